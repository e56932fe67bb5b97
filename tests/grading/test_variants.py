"""Every key is fair: other right answers get full points; mistakes get none, and the message that helps."""

from __future__ import annotations

import ast
from dataclasses import replace

import pytest

from tests.grading.build import as_bytes
from tests.grading.variants import answer_cell, modules
from torchbook.grading.assembly import assemble
from torchbook.grading.grader import Grader
from torchbook.grading.local import LocalRunner
from torchbook.grading.outcome import State
from torchbook.grading.reader import read_notebook
from torchbook.grading.references import references_of_key
from torchbook.grading.release import find_tree
from torchbook.grading.sandbox import SandboxRunner, sandbox_available
from torchbook.grading.template import template_of

TREE = find_tree()
MODULES = {module.ASSIGNMENT: module.VARIANTS for module in modules()}
SEED = 20_251


def test_every_key_has_variants():
    assert sorted(MODULES) == TREE.assignments()


@pytest.mark.parametrize("assignment", MODULES)
def test_every_question_has_two_right_and_three_wrong_variants(assignment):
    key, variants = TREE.key(assignment), MODULES[assignment]
    assert sorted(variants) == [question.name for question in key.questions]
    for name, own in variants.items():
        assert len(own.right) >= 2, f"{name} needs two right variants"
        assert len(own.wrong) >= 3, f"{name} needs three wrong variants"


@pytest.fixture(scope="module")
def grade():
    """Grade {question: answer cell}; each key is run once."""
    runner, exams = SandboxRunner() if sandbox_available()[0] else LocalRunner(), {}

    def grade(assignment, answers, *, asserts=True):
        if (assignment, asserts) not in exams:
            key = TREE.key(assignment) if asserts else _without_asserts(TREE.key(assignment))
            exams[assignment, asserts] = key, template_of(key), references_of_key(key, runner, SEED)
        key, template, references = exams[assignment, asserts]
        plan = assemble(read_notebook(as_bytes(list(answers.values()))), template)
        graded = Grader(runner).grade(plan, key.questions, references)
        return {result.name: result for result in graded.questions}

    yield grade
    runner.close()


def _without_asserts(key):
    """What a student gets who has them stripped, say by an AST transformer."""
    cells = []
    for cell in key.cells:
        if cell.identity and cell.identity.kind == "check":
            first, _, rest = cell.source.partition("\n")
            comments = [line for line in rest.split("\n") if line.startswith("# compare:")]
            kept = [ast.unparse(node) for node in ast.parse(rest).body if not isinstance(node, ast.Assert)]
            cell = replace(cell, source="\n".join([first, *comments, *kept]))
        cells.append(cell)
    return replace(key, cells=tuple(cells))


def _sets(kind):
    """(assignment, i): notebooks that hold variant i of every question that has so many."""
    lengths = {a: max(len(getattr(v, kind)) for v in own.values()) for a, own in MODULES.items()}
    return [
        pytest.param(assignment, i, marks=pytest.mark.xdist_group(f"variants of {assignment}"))  # one run of the key
        for assignment, length in lengths.items()
        for i in range(length)
    ]


def _notebook(assignment, kind, i):
    key = TREE.key(assignment)
    own = {name: list(getattr(variants, kind)) for name, variants in MODULES[assignment].items()}
    return {name: answer_cell(key, name, own[name][i]) for name in own if i < len(own[name])}


@pytest.mark.slow
@pytest.mark.parametrize(("assignment", "i"), _sets("right"))
def test_right_variants_get_full_points(grade, assignment, i):
    answers = _notebook(assignment, "right", i)
    results = grade(assignment, answers)
    for name in answers:
        result = results[name]
        assert (result.state, result.points) == (State.CORRECT, result.max), f"{name}: {result.detail}"


@pytest.mark.slow
@pytest.mark.parametrize(("assignment", "i"), _sets("wrong"))
def test_wrong_variants_get_no_points_and_the_message_of_their_mistake(grade, assignment, i):
    answers = _notebook(assignment, "wrong", i)
    results = grade(assignment, answers)
    for name in answers:
        expected = list(MODULES[assignment][name].wrong.values())[i]
        assert results[name].points == 0, f"{name}: a wrong variant passed:\n{answers[name]}"
        assert expected in results[name].message, f"{name}: {results[name].message}"


@pytest.mark.slow
@pytest.mark.parametrize(("assignment", "i"), _sets("wrong"))
def test_wrong_variants_are_wrong_without_the_public_asserts(grade, assignment, i):
    """The asserts are feedback. It is the hidden cases that decide, so they alone must catch each mistake."""
    answers = _notebook(assignment, "wrong", i)
    results = grade(assignment, answers, asserts=False)
    passed = [name for name in answers if results[name].points]
    assert not passed, f"the hidden cases do not catch variant {i} of {', '.join(passed)}"
