"""The Sphinx extension of the book: widget host, mathematics, notebook export, ledger pages, cache, stamp."""

from __future__ import annotations

from sphinx.application import Sphinx

from torchbook.site import assets, cache, ledger, notebooks, stamp


def setup(app: Sphinx) -> dict[str, object]:
    """Connect every part; Sphinx calls this once."""
    for part in (assets, cache, ledger, notebooks, stamp):
        part.setup(app)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": False}
