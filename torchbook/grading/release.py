"""From keys to exercises: cut the solutions out, the same bytes every time.

The exercise has fixed cell ids, no outputs, the kernel `python3` and nbformat 4.5. Its first cell tells who
lacks the package how to get it; its last cell describes the exercise to `torchbook check` (see template.py).
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from torchbook.grading.key import TEACHER_ONLY, BadKey, Key, read_key
from torchbook.grading.template import pack, template_of

METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}

INSTALL = """\
# install
try:
    import torchbook.exercises
except ImportError:
    raise ImportError(
        "This notebook needs the package torchbook. Get a copy of the book's repository, then run in a new "
        "cell: %pip install PATH_OF_THE_COPY (it keeps the torch that is installed)"
    ) from None"""

CLOSING = """\
---
Save the notebook, then run `torchbook check {name}.ipynb` in a terminal: it runs everything from the top \
and shows your points on the public cases. In Colab, run `import torchbook.colab; torchbook.colab.check()` in a new \
cell. Your teacher grades with other cases of the same kind.

"""


class Tree:
    """The folders `solutions/` and `exercises/` of one repository."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.solutions = root / "solutions"
        self.exercises = root / "exercises"

    def assignments(self) -> list[str]:
        """All keys, as `part/chapter`, sorted."""
        paths = self.solutions.glob("*/*.ipynb")
        return sorted(path.relative_to(self.solutions).with_suffix("").as_posix() for path in paths)

    def key(self, assignment: str) -> Key:
        """Read one key. Raises BadKey with the known names for a name that is none."""
        known = self.assignments()
        if assignment not in known:
            names = ", ".join(known) or "none"
            raise BadKey(f"there is no key for {assignment!r} under {self.solutions} (keys: {names})")
        return read_key(self.solutions / f"{assignment}.ipynb", assignment)

    def exercise_path(self, assignment: str) -> Path:
        return self.exercises / f"{assignment}.ipynb"


def find_tree(start: Path | None = None) -> Tree | None:
    """The nearest folder with `solutions/`, upward from `start`, else the one that the library lies in."""
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents, Path(__file__).resolve().parents[2]):
        if any((folder / "solutions").glob("*/*.ipynb")):
            return Tree(folder)
    return None


def exercise_text(key: Key) -> str:
    """The exercise notebook of `key`, as the text of its file. Raises BadKey where outputs are missing."""
    template = template_of(key)
    for question in key.questions:
        if question.name not in template.expected:
            raise BadKey(
                f"{key.assignment}: the key has no stored answer of {question.name}; "
                f"run: torchbook release --execute {key.assignment}"
            )
    released = {identity.name: source for identity, source in template.cells}
    cells = [_code_cell("install", "install", INSTALL)]
    for number, cell in enumerate(key.cells):
        if cell.identity is None and not cell.source.startswith(TEACHER_ONLY):
            cells.append(_markdown_cell(f"text-{number:02d}", cell.source))
        elif cell.identity is not None and cell.identity.name in released:
            name = cell.identity.name
            cells.append(_code_cell(cell.identity.cell_id, name, released[name]))
    closing = CLOSING.format(name=key.assignment.rpartition("/")[2]) + pack(template)
    cells.append(_markdown_cell("closing", closing))
    metadata = {**METADATA, "torchbook": {"assignment": key.assignment}}
    return notebook_text({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5})


def notebook_text(notebook: dict[str, Any]) -> str:
    """The bytes that nbformat itself would write."""
    return json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def _code_cell(cell_id: str, name: str, source: str) -> dict[str, Any]:
    metadata: dict[str, Any] = {"torchbook": {"cell": name}}
    if not name.endswith("answer"):
        metadata |= {"deletable": False, "editable": False}
    return {
        "cell_type": "code",
        "execution_count": None,
        "id": cell_id,
        "metadata": metadata,
        "outputs": [],
        "source": source.splitlines(keepends=True),
    }


def _markdown_cell(cell_id: str, source: str) -> dict[str, Any]:
    lines = source.splitlines(keepends=True)
    return {"cell_type": "markdown", "id": cell_id, "metadata": {}, "source": lines}


def stale(tree: Tree, assignments: list[str]) -> list[str]:
    """One sentence for each exercise that is not what its key gives, and for each without a key."""
    problems = []
    for assignment in assignments:
        path = tree.exercise_path(assignment)
        text = exercise_text(tree.key(assignment))
        if not path.is_file():
            problems.append(f"{path} is missing; run: torchbook release {assignment}")
        elif path.read_text(encoding="utf-8") != text:
            problems.append(f"{path} is not what its key gives; run: torchbook release {assignment}")
    return problems


def orphans(tree: Tree) -> list[str]:
    """One sentence for each exercise without a key."""
    keys = set(tree.assignments())
    paths = sorted(tree.exercises.glob("*/*.ipynb"))
    names = [path.relative_to(tree.exercises).with_suffix("").as_posix() for path in paths]
    return [f"exercises/{name}.ipynb has no key in solutions/; delete it" for name in names if name not in keys]


def release(tree: Tree, assignments: list[str]) -> list[Path]:
    """Write the exercises; return the paths of those that changed. Reads all keys before it writes."""
    texts = {assignment: exercise_text(tree.key(assignment)) for assignment in assignments}
    changed = []
    for assignment, text in texts.items():
        path = tree.exercise_path(assignment)
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
        changed.append(path)
    return changed


def execute_key(path: Path) -> None:
    """Run the key on the public seed and store its outputs: what `pytest --nbval` compares with.

    Raises BadKey when a cell fails.
    """
    import nbclient
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    client = nbclient.NotebookClient(notebook, kernel_name="python3", timeout=600, record_timing=False)
    try:
        client.execute(env=_public_environment(), cwd=str(path.parent))
    except nbclient.exceptions.CellExecutionError as error:
        raise BadKey(f"{path}: a cell failed.\n{error}") from None
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number:02d}"
        cell.metadata = {}
    notebook.metadata = METADATA
    nbformat.validate(notebook)
    path.write_text(nbformat.writes(notebook).rstrip() + "\n", encoding="utf-8", newline="\n")


def _public_environment() -> dict[str, str]:
    return {**os.environ, "TORCHBOOK_SEED": "0", "PYTHONHASHSEED": "0"}


def main(assignments: list[str], *, check: bool, execute: bool) -> int:
    """The command: 0 when done, 1 for stale exercises or a key that fails, 2 for wrong usage."""
    tree = find_tree()
    if tree is None:
        print("torchbook release: there is no folder solutions/ here or above.", file=sys.stderr)
        return 2
    names = assignments or tree.assignments()
    unknown = sorted(set(names) - set(tree.assignments()))
    if unknown:
        known = ", ".join(tree.assignments())
        print(f"torchbook release: no key for {', '.join(unknown)}; there are {known}.", file=sys.stderr)
        return 2
    try:
        if check:
            return _report_stale(tree, names)
        for name in names if execute else []:
            execute_key(tree.solutions / f"{name}.ipynb")
        for path in release(tree, names):
            print(f"wrote {path}")
    except BadKey as error:
        print(f"torchbook release: {error}", file=sys.stderr)
        return 1
    return 0


def _report_stale(tree: Tree, names: list[str]) -> int:
    problems = [*stale(tree, names), *orphans(tree)]
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0
