"""The Sphinx extension of the book: widget host, mathematics, notebooks, exercises, ledger pages, cache, stamp."""

from __future__ import annotations

from sphinx.application import Sphinx

from torchbook.site import assets, cache, exercises, ledger, notebooks, slim, stamp


def setup(app: Sphinx) -> dict[str, object]:
    """Connect every part; Sphinx calls this once."""
    for part in (assets, cache, exercises, ledger, notebooks, slim, stamp):
        part.setup(app)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": False}
