"""Each chapter as a clean notebook: no MyST syntax, no outputs, and a first cell that finds the library.

The exported notebook must read well in Colab and JupyterLab, which know plain Markdown only. So the small
subset of MyST that chapters use is turned into it: admonitions to block quotes, equation labels to tags,
references and citations to text with links.
"""

from __future__ import annotations

import os
import re
import subprocess
from functools import lru_cache
from pathlib import Path

import nbformat
import yaml
from docutils import nodes
from sphinx.application import Sphinx

from torchbook.site.chapters import Page, notebooks

KNOWN_KINDS = {"note": "Note", "tip": "Tip", "warning": "Warning", "important": "Important"}
FENCE = re.compile(r"^(:{3,})\{(\w+)\} *(.*?)\n(.*?)^\1 *$", re.MULTILINE | re.DOTALL)
EQUATION = re.compile(r"\$\$(.+?)\$\$[ \t]*\(([\w:-]+)\)", re.DOTALL)
INSTALL = """# {first}Colab starts without the book's library. This installs it and leaves an existing torch alone.
import importlib.util

if importlib.util.find_spec("torchbook") is None:
{action}

from torchbook.training import where_it_runs

print(where_it_runs())"""


def repository_url(root: Path) -> str | None:
    """The repository's public https address, or None: from `_config.yml`, GitHub's runner, or the git remote."""
    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    named = (config.get("repository") or {}).get("url")
    if named:
        return named.rstrip("/")
    if os.environ.get("GITHUB_REPOSITORY"):
        server = os.environ.get("GITHUB_SERVER_URL", "https://github.com")
        return f"{server}/{os.environ['GITHUB_REPOSITORY']}"
    try:
        remote = subprocess.run(["git", "-C", str(root), "remote", "get-url", "origin"],
                                capture_output=True, text=True, timeout=10).stdout.strip()  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.match(r"(?:https://(?:[^@/]+@)?|git@|ssh://git@)github\.com[:/]([\w.-]+/[\w.-]+?)(?:\.git)?$", remote)
    return f"https://github.com/{match[1]}" if match else None


def site_url(root: Path) -> str | None:
    """Where the book is published, or None: `html.baseurl` of `_config.yml`, else the repository's Pages."""
    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    named = (config.get("html") or {}).get("baseurl")
    if named:
        return named.rstrip("/")
    match = re.match(r"https://github\.com/([\w.-]+)/([\w.-]+)$", repository_url(root) or "")
    return f"https://{match[1].lower()}.github.io/{match[2]}" if match else None


def colab_url(root: Path, name: str, folder: str = "notebooks") -> str | None:
    """Opens `folder/name.ipynb` of the published site in Colab; None without a GitHub address."""
    match = re.match(r"https://github\.com/([\w.-]+/[\w.-]+)$", repository_url(root) or "")
    return f"https://colab.research.google.com/github/{match[1]}/blob/gh-pages/{folder}/{name}.ipynb" if match else None


def install_cell(root: Path, first: str = "") -> str:
    """Source of the first cell of an exported notebook; its first line begins with `# {first}`."""
    url = repository_url(root)
    if url:
        action = f'    %pip install -q "torchbook @ git+{url}"'
    else:
        action = (
            '    raise ModuleNotFoundError(\n        "torchbook is not installed: run `pip install PATH`, '
            'where PATH is the folder of your copy of the book"\n    )'
        )
    return INSTALL.format(action=action, first=first)


@lru_cache(maxsize=4)
def _bibliography(path: Path) -> dict[str, str]:
    from pybtex.database import parse_file

    names = {}
    for key, entry in parse_file(str(path)).entries.items():
        people = [" ".join([*p.prelast_names, *p.last_names]) for p in entry.persons.get("author", [])]
        who = people[0] if people else key
        if len(people) == 2:
            who = f"{people[0]} and {people[1]}"
        elif len(people) > 2:
            who = f"{people[0]} et al."
        names[key] = f"{who.replace('{', '').replace('}', '')}, {entry.fields.get('year', 'n.d.')}"
    return names


class Exporter:
    """Turns one page's MyST into the Markdown that every notebook program reads."""

    def __init__(self, page: Page) -> None:
        self.page, self.site = page, site_url(page.root)
        self.numbers: dict[str, int] = {}
        for number, match in enumerate(EQUATION.finditer(page.text), 1):
            self.numbers[match[2]] = number

    def link(self, text: str, target: str) -> str:
        """A link into the published book, or the bare text where there is none."""
        return f"[{text}]({self.site}/{target})" if self.site else text

    def cite(self, match: re.Match) -> str:
        """`{cite}`a,b`` as (Author et al., year; ...)."""
        known = _bibliography(self.page.root / "book" / "references.bib")
        names = [known.get(key.strip(), key.strip()) for key in match[2].split(",")]
        if match[1] == ":t":  # in the sentence: Author et al. (year)
            return ", ".join(re.sub(r", (\S+)$", r" (\1)", name) for name in names)
        return "(" + self.link("; ".join(names), "book/appendix/bibliography.html") + ")"

    def admonition(self, match: re.Match) -> str:
        """A fenced box as a block quote with a bold first line."""
        _, kind, title, body = match.groups()
        body = re.sub(r"\A(?::[\w-]+:[^\n]*\n)+", "", body)
        head = KNOWN_KINDS.get(kind, "")
        head = f"{head}: {title}" if head and title else (head or title)
        lines = [f"**{head}**", "", *body.strip().split("\n")] if head else body.strip().split("\n")
        return "\n".join(f"> {line}".rstrip() for line in lines)

    def exercises(self) -> str:
        """The `{exercises}` directive as a sentence."""
        path = f"exercises/{self.page.name}.ipynb"
        return f"The exercises of this chapter are in {self.link(f'`{path}`', path)}."

    def reference(self, match: re.Match) -> str:
        """A link between pages, `[text](../cnn/x.md#y)`, as a link into the published book."""
        text, target, anchor = match[1], match[2], match[3] or ""
        path = (self.page.path.parent / target).resolve().relative_to(self.page.root.resolve())
        return self.link(text, f"{path.with_suffix('.html').as_posix()}{anchor}")

    def markdown(self, text: str) -> str:
        """The text of one Markdown cell without MyST syntax."""
        text = re.sub(r"^%[^\n]*\n?", "", text, flags=re.MULTILINE)
        text = re.sub(r"^\([\w-]+\)=\s*$", "", text, flags=re.MULTILINE)
        text = text.replace("```{exercises}\n```", self.exercises())
        text = FENCE.sub(self.admonition, text)
        text = EQUATION.sub(lambda m: f"$$\n{m[1].strip()} \\tag{{{self.numbers[m[2]]}}}\n$$", text)
        text = re.sub(r"\{eq\}`([\w:-]+)`", lambda m: f"({self.numbers[m[1]]})", text)
        text = re.sub(r"\{cite(:[tp])?\}`([^`]+)`", self.cite, text)
        text = re.sub(r"\[([^\]]+)\]\(([\w./-]+)\.md(#[\w-]+)?\)", self.reference, text)
        text = re.sub(r"\{(?:download|doc|ref)\}`([^`<]+?)(?: *<[^>]*>)?`", r"\1", text)
        text = re.sub(r"```\{bibliography\}.*?```", "", text, flags=re.DOTALL)
        return re.sub(r"\n{3,}", "\n\n", text).strip()

    def notebook(self) -> nbformat.NotebookNode:
        """The whole page as a notebook, nbformat 4.5, with stable cell ids and no outputs."""
        import jupytext

        source = jupytext.reads(self.page.text, fmt="md:myst")
        cells = [nbformat.v4.new_code_cell(install_cell(self.page.root))]
        for cell in source.cells:
            if cell.cell_type == "code":
                cells.append(nbformat.v4.new_code_cell(cell.source))
                if "hide-input" in cell.metadata.get("tags", []):
                    cells[-1].metadata["jupyter"] = {"source_hidden": False}
            elif text := self.markdown(cell.source):
                cells.append(nbformat.v4.new_markdown_cell(text))
        for index, cell in enumerate(cells):
            cell["id"] = f"{self.page.name.replace('/', '-')}-{index}"[:64]
        return nbformat.v4.new_notebook(
            cells=cells,
            metadata={
                "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
                "language_info": {"name": "python"},
                "colab": {"provenance": []},
            },
        )


def export(page: Page) -> nbformat.NotebookNode:
    """The chapter as a clean notebook."""
    return Exporter(page).notebook()


def write_all(root: Path, out: Path) -> list[Path]:
    """Export every chapter below `out`; returns the files."""
    written = []
    for page in notebooks(root):
        path = out / f"{page.name}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(export(page), path)
        written.append(path)
    return written


def _write(app: Sphinx, exception: Exception | None) -> None:
    if exception is None and app.builder.format == "html":
        write_all(Path(app.srcdir), Path(app.outdir) / "notebooks")


def _add_buttons(app: Sphinx, pagename: str, template: str, context: dict, doctree: nodes.document | None) -> None:
    """Download and Colab buttons in the header of each chapter."""
    pages = {page.docname: page for page in notebooks(Path(app.srcdir))}
    if pagename not in pages or "header_buttons" not in context:
        return
    name, pathto = pages[pagename].name, context["pathto"]
    buttons = [{"type": "link", "url": pathto(f"notebooks/{name}.ipynb", 1), "text": "Notebook",
                "icon": "fas fa-download", "tooltip": "Download this chapter as a notebook",
                "label": "download-notebook"}]  # fmt: skip
    colab = colab_url(Path(app.srcdir), name)
    if colab:
        buttons.append({"type": "link", "url": colab, "text": "Colab", "icon": "fas fa-rocket",
                        "tooltip": "Open this chapter in Colab", "label": "open-colab"})  # fmt: skip
    context["header_buttons"] = buttons + context["header_buttons"]


def setup(app: Sphinx) -> None:
    """Connect the events of this part."""
    app.connect("html-page-context", _add_buttons, priority=900)
    app.connect("build-finished", _write)
