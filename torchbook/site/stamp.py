"""The line at the foot of each page: what it was run with, how long that took, and when it was built."""

from __future__ import annotations

import datetime
import os
from importlib.metadata import version

from docutils import nodes
from sphinx.application import Sphinx


def build_date() -> datetime.date:
    """The day of the build; SOURCE_DATE_EPOCH fixes it, so that two builds can be equal."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    if epoch is None:
        return datetime.datetime.now(datetime.UTC).date()
    if not epoch.isdigit():
        raise ValueError(f"SOURCE_DATE_EPOCH must be seconds since 1970, got {epoch!r}")
    return datetime.datetime.fromtimestamp(int(epoch), datetime.UTC).date()


def _add_stamp(app: Sphinx, pagename: str, template: str, context: dict, doctree: nodes.document | None) -> None:
    data = getattr(app.env, "nb_metadata", {}).get(pagename, {}).get("exec_data") or {}
    parts = [f"Built on {build_date():%B %-d, %Y}"] if os.name != "nt" else [f"Built on {build_date()}"]
    if data.get("runtime"):
        parts.insert(0, f"Executed in {data['runtime']:.0f} s with torch {version('torch').split('+')[0]}")
    context["torchbook_stamp"] = ". ".join(parts) + "."


def setup(app: Sphinx) -> None:
    """Connect the events of this part."""
    app.connect("html-page-context", _add_stamp)
