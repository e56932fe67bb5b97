"""When must a chapter run again? When its cells change, and when anything changes that its cells use.

jupyter-cache compares the code of the cells alone. An edit in `torchbook/`, of a data file or of
requirements.txt would leave stale pages. So each chapter gets a key over all that it can reach, and a
cached run whose key is not today's is thrown away before anything is built.
"""

from __future__ import annotations

import ast
import hashlib
import json
import sys
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.util import logging

from torchbook.site.chapters import Page, notebooks

LOGGER = logging.getLogger(__name__)
PACKAGE = Path(__file__).parent.parent
KEYS = "torchbook-keys.json"


def _module_file(name: str) -> Path | None:
    base = PACKAGE.parent.joinpath(*name.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.exists():
            return path
    return None


def _imports(source: str) -> set[str]:
    """Modules of ours that this code names, `from torchbook.widgets import Quiz` as widgets and its home."""
    try:
        tree = ast.parse(source)
    except SyntaxError:  # a magic such as %timeit: fall back to "may use everything"
        return {"torchbook.*"}
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.split(".")[0] == "torchbook"}


def _widget_homes() -> dict[str, str]:
    from torchbook import widgets

    return {f"torchbook.widgets.{name}": f"torchbook.widgets.{home}" for name, home in widgets._HOMES.items()}


def dependencies(sources: list[str]) -> set[Path]:
    """Files of the library that code cells with these sources can reach, scripts and styles included."""
    homes, todo, files = _widget_homes(), set(), set()
    for source in sources:
        todo |= _imports(source)
    seen: set[str] = set()
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        if name == "torchbook.*":
            files |= {path for path in PACKAGE.rglob("*") if path.suffix in {".py", ".js", ".css"}}
            continue
        if name in homes:
            todo.add(homes[name])
        path = _module_file(name)
        if path is None:
            continue
        files.add(path)
        todo |= _imports(path.read_text(encoding="utf-8"))
        if path.parent.name == "widgets":
            siblings = [path.with_suffix(".js"), path.with_suffix(".css"), path.parent / "kit.js"]
            files |= {file for file in [*siblings, path.parent / "kit.css"] if file.exists()}
    return files


def key(page: Page) -> str:
    """A digest of everything but the page's own text that its outputs depend on."""
    digest = hashlib.sha256(sys.version.encode())
    shared = [page.root / "requirements.txt", *sorted((PACKAGE / "assets").glob("**/*"))]
    for path in [*shared, *sorted(dependencies(page.cells))]:
        if path.is_file():
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def open_cache(root: Path):
    """The jupyter-cache of the checkout at `root`."""
    from jupyter_cache import get_cache

    return get_cache(str(root / "_build" / ".jupyter_cache"))


def read_notebook(page: Page):
    """The page as nbformat notebook, read as myst-nb reads it, so that both find the same cached run."""
    from myst_nb.core.read import myst_nb_reader_plugin

    return myst_nb_reader_plugin(str(page.path))


def cached(cache, page: Page):
    """The cached run of this page's cells, or None."""
    try:
        return cache.match_cache_notebook(read_notebook(page))
    except KeyError:
        return None


def refresh(root: Path) -> dict[str, str]:
    """Throw away cached runs whose key is stale. Returns the keys of today, by docname."""
    cache = open_cache(root)
    store = root / "_build" / ".jupyter_cache" / KEYS
    old = json.loads(store.read_text()) if store.exists() else {}
    new = {page.docname: key(page) for page in notebooks(root)}
    for page in notebooks(root):
        record = cached(cache, page)
        if record is not None and old.get(page.docname) != new[page.docname]:
            cache.remove_cache(record.pk)
    store.parent.mkdir(parents=True, exist_ok=True)
    store.write_text(json.dumps(new, indent=1))
    return new


def _before_reading(app: Sphinx) -> None:
    app.torchbook_keys = refresh(Path(app.srcdir))


def _outdated(app: Sphinx, env, added: set, changed: set, removed: set) -> list[str]:
    old = getattr(env, "torchbook_keys", {})
    env.torchbook_keys = app.torchbook_keys
    stale = [name for name, value in app.torchbook_keys.items() if old.get(name) != value]
    return [name for name in stale if name in env.found_docs]


def _all_ran(app: Sphinx, env) -> None:
    """A page that did not run, or failed, is a warning; the build turns warnings into failure."""
    for page in notebooks(Path(app.srcdir)):
        if page.docname not in env.found_docs:
            continue
        data = env.metadata.get(page.docname, {}).get("exec_data") or getattr(env, "nb_metadata", {}).get(
            page.docname, {}
        ).get("exec_data")
        if not data:
            LOGGER.warning("%s has code cells but was not executed: is its jupytext header there?", page.docname)
        elif not data.get("succeeded"):
            LOGGER.warning("%s: a cell failed", page.docname)


def setup(app: Sphinx) -> None:
    """Connect the events of this part."""
    app.connect("builder-inited", _before_reading)
    app.connect("env-get-outdated", _outdated)
    app.connect("env-updated", lambda app, env: _all_ran(app, env))
