"""The pages of the book as files: which there are, which are notebooks, what their cells say."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import yaml

CODE_CELL = re.compile(r"^```\{code-cell\}[^\n]*\n(.*?)^```\s*$", re.MULTILINE | re.DOTALL)
CELL_OPTIONS = re.compile(r"\A(?::[^\n]*\n)+|\A---\n.*?\n---\n", re.DOTALL)


@dataclass(frozen=True)
class Page:
    """One page of the table of contents. `name` is the docname below `book/`, such as `cnn/receptive-fields`."""

    root: Path
    docname: str

    @property
    def name(self) -> str:
        return self.docname.removeprefix("book/")

    @property
    def path(self) -> Path:
        return self.root / f"{self.docname}.md"

    @property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @property
    def is_notebook(self) -> bool:
        """Whether the page has code cells to run."""
        return bool(CODE_CELL.search(self.text))

    @property
    def cells(self) -> list[str]:
        """The sources of the code cells, their options taken off."""
        return [CELL_OPTIONS.sub("", source).strip("\n") for source in CODE_CELL.findall(self.text)]

    @property
    def title(self) -> str:
        """The first heading."""
        match = re.search(r"^# (.+)$", CODE_CELL.sub("", self.text), re.MULTILINE)
        return match[1].strip() if match else self.name


def _files(node: object) -> list[str]:
    if isinstance(node, list):
        return [name for child in node for name in _files(child)]
    if isinstance(node, dict):
        own = [node[key] for key in ("root", "file") if key in node]
        return own + [name for key in ("parts", "chapters", "sections") for name in _files(node.get(key, []))]
    return []


def pages(root: Path) -> list[Page]:
    """Every page that `_toc.yml` names, in its order.

    Raises:
        FileNotFoundError: if `root` is not the book's folder, or a page is missing.
    """
    toc = root / "_toc.yml"
    if not toc.exists():
        raise FileNotFoundError(f"{root} holds no _toc.yml: run this in the book's own folder")
    found = [Page(root, name) for name in _files(yaml.safe_load(toc.read_text(encoding="utf-8")))]
    for page in found:
        if not page.path.exists():
            raise FileNotFoundError(f"_toc.yml names {page.docname}, but {page.path} does not exist")
    return found


def notebooks(root: Path) -> list[Page]:
    """The pages that are executed."""
    return [page for page in pages(root) if page.is_notebook]


@lru_cache(maxsize=1)
def book_root() -> Path:
    """The folder of the checkout that this process runs in: the nearest one upwards that holds `_toc.yml`."""
    for folder in [Path.cwd(), *Path.cwd().parents]:
        if (folder / "_toc.yml").exists():
            return folder
    raise FileNotFoundError("no _toc.yml here or above: run this inside the book's folder")
