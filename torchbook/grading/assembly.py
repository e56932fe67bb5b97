"""Rebuild a notebook from the template: only answers and extra cells come from the submission.

The rules, in the order in which they apply to a submitted cell:

- A cell is what its first line says (`# Q1 answer`); where the line is gone, what its metadata or id say.
- Setup, install and check cells are dropped: the template's own run in their place. An edit is noted.
- Answer cells run in the template's order. Of several copies, the last one that is neither empty nor the
  untouched stub is the answer; the others run where they stand, as extra cells.
- An answer in a Markdown or raw cell counts as code, unless a code cell answers the same question.
- All other code cells are extra: each runs after the template's cell that it followed. If it fails, nothing
  is lost but what it would have defined.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from torchbook.grading.cells import Identity, identify, without_first_line
from torchbook.grading.protocol import Cell
from torchbook.grading.reader import Submitted, SubmittedCell
from torchbook.grading.template import Template

CHECK_PREFIX = "from torchbook.exercises import answer, cases  # "


@dataclass(frozen=True)
class PlannedCell:
    """One cell to run. `role`: setup, answer, check or extra."""

    name: str
    source: str
    role: str
    question: str = ""

    def cell(self) -> Cell:
        return Cell(self.name, self.source)


@dataclass(frozen=True)
class Plan:
    """The rebuilt notebook."""

    cells: tuple[PlannedCell, ...]
    answered: frozenset[str]  # questions whose answer cell was found, and is not the untouched stub
    notes: dict[str, tuple[str, ...]] = field(default_factory=dict)  # question, or "" for the whole notebook


def assemble(submitted: Submitted, template: Template) -> Plan:
    """The cells to run for `submitted`."""
    return _Assembly(template).build(submitted)


def check_source(source: str) -> str:
    """A check cell as it runs: `answer = 42` in a student's cell must not hide the function of that name."""
    return CHECK_PREFIX + "check\n" + without_first_line(source.lstrip("\n"))


def fingerprint(source: str) -> str:
    """`source` without what editors change: blank lines and spaces at line ends."""
    return "\n".join(line.rstrip() for line in source.split("\n") if line.strip())


class _Assembly:
    def __init__(self, template: Template) -> None:
        self.template = template
        self.known = {identity.name: source for identity, source in template.cells}
        self.by_id = {identity.cell_id: identity for identity, _ in template.cells}
        self.by_name = {identity.name: identity for identity, _ in template.cells}
        self.notes: dict[str, list[str]] = defaultdict(list)
        self.copies: dict[str, list[tuple[SubmittedCell, str]]] = defaultdict(list)  # with their anchors
        self.texts: dict[str, SubmittedCell] = {}  # answers in Markdown or raw cells
        self.extras: dict[str, list[str]] = defaultdict(list)  # anchor -> sources

    def build(self, submitted: Submitted) -> Plan:
        self.notes[""] += submitted.notes
        self._sort(submitted)
        answers = {q.name: self._answer(q.name) for q in self.template.questions}
        cells = self._cells(answers)
        answered = frozenset(name for name, source in answers.items() if source is not None)
        return Plan(tuple(cells), answered, {key: tuple(value) for key, value in self.notes.items() if value})

    def _sort(self, submitted: Submitted) -> None:
        anchor = ""
        for cell in submitted.cells:
            identity = self._identity(cell)
            if cell.kind != "code":
                if identity is not None and identity.kind == "answer":
                    self.texts[identity.question] = cell
                continue
            if identity is None:
                if cell.source.strip():
                    self.extras[anchor].append(cell.source)
                continue
            anchor = identity.name if identity.name in self.known else anchor
            if identity.kind == "answer":
                self.copies[identity.question].append((cell, anchor))
            elif fingerprint(cell.source) != fingerprint(self.known.get(identity.name, cell.source)):
                self.notes[identity.question].append(
                    f"The cell '# {identity.name}' was edited; the original one was used."
                )

    def _identity(self, cell: SubmittedCell) -> Identity | None:
        """What the cell is, or None for an extra one. Text cells need the first line."""
        identity = identify(cell.source)
        if identity is not None:
            return identity if identity.kind == "install" or identity.name in self.known else None
        if cell.kind != "code":
            return None
        return self.by_name.get(cell.label) or self.by_id.get(cell.cell_id)

    def _answer(self, question: str) -> str | None:
        """The source that answers `question`; None where there is no attempt."""
        stub = fingerprint(without_first_line(self.known[f"{question} answer"]))
        copies = self.copies[question]
        tried = [i for i, (cell, _) in enumerate(copies) if fingerprint(_body(cell)) not in ("", stub)]
        if len(copies) > 1:
            self.notes[question].append(
                f"The notebook has {len(copies)} cells '# {question} answer'; the last one that is filled in "
                "counts, the others run before it."
            )
        if tried:
            for i in tried[:-1]:
                cell, anchor = copies[i]
                self.extras[anchor if anchor != f"{question} answer" else f"{question} earlier"].append(cell.source)
            return copies[tried[-1]][0].source
        text = self.texts.get(question)
        if text is not None and fingerprint(_body(text)) not in ("", stub):
            self.notes[question].append(
                f"The answer was in a {text.kind} cell, which Jupyter does not run; it was graded as code."
            )
            return text.source
        if not copies:
            self.notes[question].append(f"The notebook has no cell '# {question} answer'.")
        return None

    def _cells(self, answers: dict[str, str | None]) -> list[PlannedCell]:
        cells: list[PlannedCell] = []
        count = 0

        def add_extras(anchor: str) -> None:
            nonlocal count
            for source in self.extras.get(anchor, []):
                count += 1
                cells.append(PlannedCell(f"extra {count}", source, "extra"))

        add_extras("")
        for identity, source in self.template.cells:
            if identity.kind == "answer":
                add_extras(f"{identity.question} earlier")
                if answers[identity.question] is None and not self.copies[identity.question]:
                    continue  # the stub would overwrite an answer in a cell that lost its name
                source = answers[identity.question] or source
            elif identity.kind == "check":
                source = check_source(source)
            cells.append(PlannedCell(identity.name, source, identity.kind, identity.question))
            add_extras(identity.name)
        return cells


def _body(cell: SubmittedCell) -> str:
    """The source without its identity line, if it has one."""
    source = cell.source.lstrip("\n")
    return without_first_line(source) if identify(source) else source
