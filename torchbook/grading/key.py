"""Read an answer key, `solutions/<part>/<chapter>.ipynb`, and say clearly what is wrong with it.

A key is a notebook that runs from top to bottom. Each code cell says on its first line what it is:

    # setup  or  # setup: data      imports, and the @draws generators of the inputs
    # Q1 answer                     the solution, between `### BEGIN SOLUTION` and `### END SOLUTION`;
                                    lines after `### INSTEAD` are what the student gets in its place, each
                                    without its first `# `
    # Q1 check · 2 points           public asserts, an optional `# compare: ...` line (see rules.py), and
                                    answer(...) as the last statement
    # Q1 grader                     optional, never released in clear: answer(hidden reference), or
                                    `def judge(value)` with `# compare: judge`

Markdown cells are copied to the exercise, but for those that start with `<!-- solution -->`. The stored
outputs hold what each check cell answers on the public seed.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torchbook.grading.cells import Identity, identify
from torchbook.grading.protocol import ANSWER_MIME
from torchbook.grading.rules import Rule, parse_rule

BEGIN, INSTEAD, END = "### BEGIN SOLUTION", "### INSTEAD", "### END SOLUTION"
TEACHER_ONLY = "<!-- solution -->"
_MARKER = re.compile(r"^(\s*)### (BEGIN SOLUTION|INSTEAD|END SOLUTION)\s*$")


class BadKey(ValueError):
    """The key breaks the format. The message names the file, the cell and the remedy."""


@dataclass(frozen=True)
class KeyCell:
    """One cell of the key. `identity` is None for Markdown."""

    source: str
    identity: Identity | None
    answers: tuple[Any, ...] = ()  # stored answer messages (public seed)
    has_outputs: bool = False


@dataclass(frozen=True)
class Question:
    name: str
    points: float
    rule: Rule


@dataclass(frozen=True)
class Key:
    """An answer key that has been read and validated."""

    assignment: str  # `cnn/receptive-fields`
    cells: tuple[KeyCell, ...]
    questions: tuple[Question, ...] = field(default=())
    digest: str = ""  # of the sources: results of another version of the key are not mixed with this one's

    def source(self, name: str) -> str | None:
        """The source of the cell `name`, such as `Q1 grader`, or None where the key has none."""
        for cell in self.cells:
            if cell.identity and cell.identity.name == name:
                return cell.source
        return None

    @property
    def max_points(self) -> float:
        return sum(question.points for question in self.questions)


def read_key(path: Path, assignment: str) -> Key:
    """Read and validate the key at `path`. Raises BadKey and OSError."""
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        cells = tuple(_key_cell(cell) for cell in notebook["cells"])
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise BadKey(f"{path}: this is no notebook of format 4 ({error})") from None
    try:
        questions = _validated(cells)
    except ValueError as error:
        raise BadKey(f"{path}: {error}") from None
    sources = json.dumps([cell.source for cell in cells if cell.identity])
    digest = hashlib.sha256(sources.encode()).hexdigest()[:16]
    return Key(assignment, cells, questions, digest)


def _key_cell(cell: dict[str, Any]) -> KeyCell:
    source = "".join(cell["source"])
    if cell["cell_type"] != "code":
        return KeyCell(source, None)
    identity = identify(source)
    if identity is None or identity.kind == "install":
        raise ValueError(
            f"the code cell that starts with {source[:40]!r} does not say what it is; "
            "its first line must be '# setup', '# Q1 answer', '# Q1 check · 2 points' or '# Q1 grader'"
        )
    outputs = cell.get("outputs") or []
    messages = [output.get("data", {}) for output in outputs if output.get("output_type") == "display_data"]
    answers = tuple(data[ANSWER_MIME] for data in messages if ANSWER_MIME in data)
    return KeyCell(source, identity, answers, bool(outputs))


# ---------------------------------------------------------------- validation


def _validated(cells: tuple[KeyCell, ...]) -> tuple[Question, ...]:
    code = [cell for cell in cells if cell.identity]
    names = [cell.identity.name for cell in code if cell.identity]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"there are two cells '# {name}'; a name may occur once")
    checks = [cell for cell in code if cell.identity and cell.identity.kind == "check"]
    if not checks:
        raise ValueError("there is no check cell; a question needs '# Q1 check · 2 points'")
    _validate_order(names, [cell.identity.question for cell in checks if cell.identity])
    for cell in code:
        _validate_code(cell)
    return tuple(_question(cell, code) for cell in checks)


def _validate_order(names: list[str], questions: list[str]) -> None:
    if questions != [f"Q{i + 1}" for i in range(len(questions))]:
        raise ValueError(f"the check cells are {', '.join(questions)}; they must be Q1, Q2, ... in order")
    for question in questions:
        if f"{question} answer" not in names:
            raise ValueError(f"{question} has a check cell and no '# {question} answer' before it")
        if names.index(f"{question} answer") > names.index(f"{question} check"):
            raise ValueError(f"the answer cell of {question} must stand before its check cell")
        grader = f"{question} grader"
        if grader in names and names.index(grader) < names.index(f"{question} check"):
            raise ValueError(f"'# {grader}' must stand after the check cell of {question}")
    for name in names:
        question = name.split()[0]
        if question.startswith("Q") and question not in questions:
            raise ValueError(f"'# {name}' belongs to no question: '# {question} check' is missing")


def _validate_code(cell: KeyCell) -> None:
    assert cell.identity is not None
    name = cell.identity.name
    try:
        tree = ast.parse(cell.source)
    except SyntaxError as error:
        raise ValueError(f"'# {name}' is not Python: {error}") from None
    if cell.identity.kind == "answer":
        cut_solution(cell.source, cell.identity.question)
    elif _MARKED.search(cell.source):
        raise ValueError(f"'# {name}' has a solution marker; only answer cells are cut")
    if cell.identity.kind == "check" and not (_ends_with_answer(tree) and _answer_calls(tree) == 1):
        raise ValueError(f"'# {name}' must call answer(...) once, as its last statement")


_MARKED = re.compile(r"^\s*### (BEGIN|END) SOLUTION", re.MULTILINE)


def _ends_with_answer(tree: ast.Module) -> bool:
    last = tree.body[-1] if tree.body else None
    return isinstance(last, ast.Expr) and _is_answer_call(last.value)


def _is_answer_call(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "answer"


def _answer_calls(tree: ast.Module) -> int:
    return sum(_is_answer_call(node) for node in ast.walk(tree))


def _question(check: KeyCell, code: list[KeyCell]) -> Question:
    assert check.identity is not None
    name = check.identity.question
    if not check.identity.points:
        raise ValueError(f"the first line of the check cell must say the points: '# {name} check · 2 points'")
    try:
        rule = parse_rule(check.source)
    except ValueError as error:
        raise ValueError(f"'# {name} check' {error}") from None
    grader = next((c.source for c in code if c.identity and c.identity.name == f"{name} grader"), "")
    tree = ast.parse(grader)
    judges = any(isinstance(node, ast.FunctionDef) and node.name == "judge" for node in tree.body)
    if judges != (rule.kind == "judge"):
        raise ValueError(
            f"{name}: '# compare: judge' in the check cell and 'def judge(value)' in '# {name} grader' "
            "belong together; one of them is missing"
        )
    if grader and not judges and _answer_calls(tree) != 1:
        raise ValueError(f"'# {name} grader' must call answer(...) once, or define judge(value)")
    return Question(name, check.identity.points, rule)


# ---------------------------------------------------------------- cutting


def cut_solution(source: str, question: str) -> str:
    """`source` as the student gets it. Raises ValueError for markers that do not pair."""
    out: list[str] = []
    part, instead, indent, blocks = "kept", False, "", 0
    for line in source.split("\n"):
        match = _MARKER.match(line)
        marker = match[2] if match else ""
        expected = {"kept": ("", "BEGIN SOLUTION"), "solution": ("", "INSTEAD", "END SOLUTION")}
        if marker not in expected.get(part, ("", "END SOLUTION")):
            raise ValueError(f"'# {question} answer': '### {marker}' stands where none may stand")
        if marker == "BEGIN SOLUTION":
            part, instead, indent, blocks = "solution", False, match[1] if match else "", blocks + 1
        elif marker == "INSTEAD":
            part, instead = "instead", True
        elif marker == "END SOLUTION":
            if not instead:
                out.append(f'{indent}raise NotImplementedError("{question} is not answered yet")')
            part = "kept"
        elif part == "kept":
            out.append(line)
        elif part == "instead":
            out.append(_uncommented(line, question))
    if part != "kept" or not blocks:
        raise ValueError(f"'# {question} answer' needs '{BEGIN}' and, below it, '{END}'")
    return "\n".join(out)


def _uncommented(line: str, question: str) -> str:
    match = re.match(r"^(\s*)#(?: (.*))?$", line)
    if not match:
        raise ValueError(f"'# {question} answer': every line after '{INSTEAD}' must be a comment, not {line!r}")
    return (match[1] + (match[2] or "")).rstrip()
