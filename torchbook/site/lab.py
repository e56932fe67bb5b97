"""JupyterLab with the chapters as notebooks: a double click on a `.md` opens it through jupytext."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

VIEWERS = {"@jupyterlab/docmanager-extension:plugin": {"defaultViewers": {"markdown": "Jupytext Notebook"}}}


def prefer_notebooks(prefix: Path = Path(sys.prefix)) -> Path:
    """Make jupytext the default viewer of Markdown in this environment, not in the user's own settings."""
    path = prefix / "share" / "jupyter" / "lab" / "settings" / "overrides.json"
    settings = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**settings, **VIEWERS}, indent=2), encoding="utf-8")
    return path


def open_lab(root: Path) -> None:
    """Replace this process by JupyterLab in the book's folder."""
    prefer_notebooks()
    os.chdir(root)
    os.execv(sys.executable, [sys.executable, "-m", "jupyterlab"])
