"""`torchbook check NOTEBOOK`: what a student's notebook is worth on the public cases.

Needs neither the key nor a sandbox, and nothing that only Linux has. The notebook is rebuilt from the
description in its own last cell, run from the top in a fresh kernel, and compared with the public values.
"""

from __future__ import annotations

import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from torchbook.grading.assembly import assemble
from torchbook.grading.cells import Identity, identify
from torchbook.grading.grader import Grader
from torchbook.grading.key import Question
from torchbook.grading.outcome import Graded, QuestionResult, State
from torchbook.grading.protocol import Cell, Limits, Runner
from torchbook.grading.reader import MAX_BYTES, Submitted, UnreadableNotebook, read_notebook
from torchbook.grading.references import PUBLIC_SEED, public_references
from torchbook.grading.rules import Rule, parse_rule
from torchbook.grading.template import BadTemplate, Template, unpack
from torchbook.grading.values import MalformedAnswer, decode

INPUT_CELL = """\
from torchbook.exercises import answer as _answer, cases as _cases
_answer([repr(case)[:200] for case in _cases({name!r})])"""


class CheckError(Exception):
    """The notebook cannot be checked at all. The message says what to do."""


@dataclass(frozen=True)
class Checked:
    """One notebook, graded on the public seed."""

    path: Path
    template: Template
    graded: Graded
    inputs: dict[str, str]  # question -> the input of its first wrong case


@dataclass(frozen=True)
class Loaded:
    """A notebook that has been read, and what it is rebuilt from."""

    path: Path
    submitted: Submitted
    template: Template
    note: str = ""


def load(path: Path) -> Loaded:
    """Read the notebook at `path`. Raises CheckError."""
    submitted = _read(path)
    template, note = _template(submitted, path)
    return Loaded(path, submitted, template, note)


def check_loaded(loaded: Loaded, runner: Runner, limits: Limits | None = None) -> Checked:
    """Run and judge the notebook. Raises RunnerError when no kernel starts."""
    template = loaded.template
    plan = assemble(loaded.submitted, template)
    graded = Grader(runner, limits).grade(plan, template.questions, public_references(template))
    graded.notes += [loaded.note] if loaded.note else []
    return Checked(loaded.path, template, graded, _first_inputs(template, graded, runner))


def _read(path: Path) -> Submitted:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        return read_notebook(data)
    except OSError as error:
        raise CheckError(f"{path} cannot be read: {error.strerror}.") from None
    except UnreadableNotebook as error:
        raise CheckError(f"{path}: {error}") from None


def _template(submitted: Submitted, path: Path) -> tuple[Template, str]:
    texts = [cell.source for cell in submitted.cells if cell.kind != "code"]
    try:
        return unpack(texts), ""
    except BadTemplate as error:
        template = _template_from_cells(submitted)
        if not template.questions:
            raise CheckError(
                f"{path} is no exercise of Torchbook: it has no cell such as '# Q1 check · 2 points'."
            ) from None
        return template, (
            f"{str(error)[:1].upper()}{str(error)[1:]}. So only the asserts of the check cells were tried. "
            "Copy your answers into a fresh download of the exercise."
        )


def _template_from_cells(submitted: Submitted) -> Template:
    """The notebook's own setup and check cells, where its description is gone. Nothing to compare with."""
    cells: dict[str, tuple[Identity, str]] = {}
    for cell in submitted.cells:
        identity = identify(cell.source) if cell.kind == "code" else None
        if identity is not None and identity.kind in ("setup", "answer", "check"):
            source = f"# {identity.name}\n" if identity.kind == "answer" else cell.source
            cells.setdefault(identity.name, (identity, source))
    checks = [identity for identity, _ in cells.values() if identity.kind == "check"]
    for check in checks:
        answer = Identity("answer", check.question)
        cells.setdefault(answer.name, (answer, f"# {answer.name}\n"))
    kept = [(i, s) for i, s in cells.values() if i.kind == "setup" or i.question in {c.question for c in checks}]
    rules = {identity.question: _rule(source) for identity, source in kept if identity.kind == "check"}
    questions = tuple(Question(check.question, check.points or 0, rules[check.question]) for check in checks)
    return Template("", tuple(kept), questions)


def _rule(source: str) -> Rule:
    try:
        rule = parse_rule(source)
    except ValueError:
        return Rule()
    return Rule() if rule.kind == "judge" else rule


def _first_inputs(template: Template, graded: Graded, runner: Runner) -> dict[str, str]:
    """The input of each question's first wrong public case, as text. Needs a kernel, if one is wrong."""
    wanted = {q.name: q.case for q in graded.questions if q.state is State.WRONG and q.case is not None}
    if not wanted:
        return {}
    setup = [Cell(identity.name, source) for identity, source in template.cells if identity.kind == "setup"]
    asked = [Cell(name, INPUT_CELL.format(name=name)) for name in wanted]
    inputs = {}
    for result in runner.run([*setup, *asked], seed=PUBLIC_SEED):
        if result.name in wanted and len(result.answers) == 1:
            try:
                texts = decode(result.answers[0])
            except MalformedAnswer:
                continue
            case = wanted[result.name]
            if isinstance(texts, list) and case is not None and case < len(texts):
                inputs[result.name] = str(texts[case])
    return inputs


# ---------------------------------------------------------------- the table


def number(points: float) -> str:
    """Points without a needless `.0`."""
    return f"{points:g}"


def print_table(checked: Checked, out: TextIO) -> None:
    """One line per question, with what to do below it."""
    graded = checked.graded
    width = max(len(state) for state in State)
    rows = [(q, f"{q.name:<4} {q.state:<{width}} {number(q.points):>4} of {number(q.max)}") for q in graded.questions]
    for result, row in rows:
        print(row, file=out)
        for line in explanation(result, checked.inputs.get(result.name)):
            print(textwrap.indent(line, "       "), file=out)
    print(f"\n{number(graded.total)} of {number(graded.max)} points on the public cases.", file=out)
    for note in graded.notes:
        print(f"Note: {note}", file=out)


def explanation(result: QuestionResult, first_input: str | None) -> list[str]:
    """What the student reads below a question's line."""
    lines = result.message.splitlines()
    if first_input is not None:
        lines.append(f"That is case {result.case} (counted from 0), with the input {first_input}.")
    if result.output.strip() and result.state not in (State.CORRECT, State.MISSING):
        tail = result.output.strip().splitlines()[-3:]
        lines += ["Printed last:", *(f"  {line[:120]}" for line in tail)]
    return lines + [f"Note: {note}" for note in result.notes]


def main(path: Path, limits: Limits | None = None) -> int:
    """The command: 0 if every question is correct, 1 if not, 2 if the notebook cannot be checked."""
    from torchbook.grading.local import LocalRunner
    from torchbook.grading.protocol import RunnerError

    # A Windows console may lack a character of the notebook; a question mark is better than a traceback.
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")
    runner = LocalRunner()
    try:
        checked = check_loaded(load(path), runner, limits)
    except (CheckError, RunnerError) as error:
        print(f"torchbook check: {error}", file=sys.stderr)
        return 2
    finally:
        runner.close()
    print_table(checked, sys.stdout)
    return 0 if checked.graded.all_correct else 1
