"""The `{exercises}` directive: what a chapter's exercise set asks, and where to get it."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from torchbook.site.notebooks import colab_url, install_cell

QUESTION = re.compile(r"\*\*(Q\d+ · [^*]+)\*\*\s*·\s*(\d+) points?")


def questions(notebook: Path) -> list[tuple[str, int]]:
    """Title and points of each question of an exercise notebook, in order."""
    cells = nbformat.read(notebook, as_version=4).cells
    found = (QUESTION.search(cell.source) for cell in cells if cell.cell_type == "markdown")
    return [(match[1], int(match[2])) for match in found if match]


class Exercises(SphinxDirective):
    """`{exercises}`: the questions of this chapter's set, with links to download, open and hand in."""

    def run(self) -> list[nodes.Node]:
        root, name = Path(self.env.srcdir), self.env.docname.removeprefix("book/")
        path = root / "exercises" / f"{name}.ipynb"
        if not path.exists():
            raise self.error(f"{self.env.docname} has no exercise set: {path} does not exist")
        self.env.note_dependency(str(path))
        up = "../" * self.env.docname.count("/")
        links = nodes.paragraph()
        links += nodes.reference("", "Download the exercises", refuri=f"{up}exercises/{name}.ipynb", internal=False)
        colab = colab_url(root, name, "exercises")
        if colab:
            links += [nodes.Text(", or "), nodes.reference("", "open them in Colab", refuri=colab, internal=False)]
        links += nodes.Text(". Each check cell tells you at once what is still wrong; ")
        links += nodes.literal("", f"torchbook check {Path(name).name}.ipynb")
        links += nodes.Text(" gives the table of points.")
        listing = nodes.bullet_list()
        for title, points in questions(path):
            text = f"{title}, {points} point{'s' if points > 1 else ''}"
            listing += nodes.list_item("", nodes.paragraph("", text))
        return [listing, links]


def publish(root: Path, out: Path) -> list[Path]:
    """Copy the exercise notebooks below `out`, with a first cell that installs the library; returns the files.

    The grader knows that cell by its first line, `# install`, and never runs it.
    """
    written = []
    for source in sorted((root / "exercises").glob("*/*.ipynb")):
        notebook = nbformat.read(source, as_version=4)
        notebook.cells[0].source = install_cell(root, "install\n# ")
        path = out / source.relative_to(root / "exercises")
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, path)
        written.append(path)
    return written


def _publish(app: Sphinx, exception: Exception | None) -> None:
    if exception is None and app.builder.format == "html":
        publish(Path(app.srcdir), Path(app.outdir) / "exercises")


def setup(app: Sphinx) -> None:
    """Connect the directive and the events of this part."""
    app.add_directive("exercises", Exercises)
    app.connect("build-finished", _publish)
