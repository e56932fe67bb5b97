"""Judging and recovery, with a runner that needs no kernel."""

from __future__ import annotations

import pytest

from tests.grading.build import (
    CELLS,
    Q1_ANSWER,
    Q1_CHECK,
    Q2_CHECK,
    RIGHT,
    SETUP,
    as_bytes,
    key_of,
    submission,
)
from tests.grading.fake import FakeRunner
from torchbook.grading.assembly import assemble
from torchbook.grading.grader import MAX_REPLAYS, Grader
from torchbook.grading.key import BadKey
from torchbook.grading.outcome import State
from torchbook.grading.reader import read_notebook
from torchbook.grading.references import references_of_key
from torchbook.grading.template import template_of

SEED = 99


class Class:
    """Grades lists of cells with one key."""

    def __init__(self, key):
        self.key = key
        self.runner = FakeRunner()
        self.references = references_of_key(key, FakeRunner(), SEED)

    def grade(self, cells):
        plan = assemble(read_notebook(as_bytes(cells)), template_of(self.key))
        self.runner = FakeRunner()
        self.graded = Grader(self.runner).grade(plan, self.key.questions, self.references)
        return {result.name: result for result in self.graded.questions}

    def states(self, cells):
        return [result.state for result in self.grade(cells).values()]


@pytest.fixture
def course(tmp_path):
    return Class(key_of(tmp_path))


def test_right_answers_get_full_points_in_one_kernel(course):
    assert course.states(submission()) == [State.CORRECT, State.CORRECT]
    assert (course.graded.total, course.graded.max, course.graded.kernels) == (5, 5, 1)
    assert course.graded.all_correct
    assert course.runner.seeds == [SEED]


def test_a_failed_public_assert_is_the_message(course):
    result = course.grade(submission(q1="# Q1 answer\ndef double(x):\n    return x + 2"))["Q1"]
    assert (result.state, result.points, result.message) == (State.WRONG, 0, "twice, not plus two")


def test_a_hidden_case_is_compared_outside_and_not_told(course):
    lookup = "# Q1 answer\ndef double(x):\n    return 6 if x == 3 else 41234"
    result = course.grade(submission(q1=lookup))["Q1"]
    expected = course.references.expected["Q1"][0]
    assert (result.state, result.points, result.case) == (State.WRONG, 0, 0)
    assert f"expected {expected}, got 41234" in result.detail
    assert str(expected) not in result.message
    assert "41234" in result.message


def test_an_error_names_the_cell_that_is_to_blame(course):
    cells = submission(
        q1="# Q1 answer\nimport nothing_of_this_name", q2="# Q2 answer\ndef add(a, b):\n    return 1 / 0"
    )
    results = course.grade(cells)
    assert results["Q1"].state == results["Q2"].state == State.ERROR
    assert results["Q1"].message.startswith("The answer cell raised ModuleNotFoundError")
    assert results["Q2"].message.startswith("The check cell raised ZeroDivisionError")


def test_an_answer_cell_may_fail_after_its_definition(course):
    assert course.states(submission(q1=RIGHT["Q1"] + "\nplot()")) == [State.CORRECT, State.CORRECT]


def test_missing_answers(course):
    results = course.grade(submission(q1=None))
    assert (results["Q1"].state, results["Q1"].message) == (State.MISSING, "There is no answer yet.")
    assert results["Q2"].state is State.CORRECT


def test_an_answer_in_a_nameless_cell_still_counts(course):
    assert course.states([SETUP, "def double(x):\n    return 2 * x", Q1_CHECK])[0] is State.CORRECT


def test_names_of_our_functions_may_be_taken(course):
    assert course.states(submission(q1=RIGHT["Q1"] + "\nanswer = 42\ncases = [1]")) == [State.CORRECT] * 2


SILENT = "# Q1 answer\ndouble = lambda x: 2 * x\nimport torchbook.exercises as e\n"


def test_silence_is_no_pass(course):
    result = course.grade(submission(q1=SILENT + "e.answer = lambda value: None"))["Q1"]
    assert (result.state, result.message) == (State.WRONG, "The check cell ended without an answer.")


def test_two_answers_are_no_pass_even_if_both_are_right(course):
    twice = "# Q1 answer\ndef double(x):\n    return 2 * x\nimport torchbook.exercises as e\nold = e.answer\n"
    result = course.grade(submission(q1=twice + "e.answer = lambda value: (old(value), old(value))"))["Q1"]
    assert (result.state, result.message) == (
        State.WRONG,
        "The check cell sent 2 answers; exactly one counts.",
    )


def test_a_forged_message_is_refused(course):
    result = course.grade(submission(q1=SILENT + "e.encode = lambda value: {'$array': 1}"))["Q1"]
    assert result.state is State.WRONG
    assert "could not be read" in result.message


@pytest.mark.parametrize(
    "spoil",
    [
        "import torchbook.exercises as e\ne.answer = lambda value: None",
        "import torchbook.exercises as e\ne.cases = lambda name: []",
        "import random\nrandom.Random.randint = lambda *args: 1",
    ],
)
def test_one_question_cannot_spoil_the_next(course, spoil):
    q1 = f"# Q1 answer\n{spoil}\ndef double(x):\n    return 0"
    assert course.states(submission(q1=q1)) == [State.WRONG, State.CORRECT]


@pytest.mark.parametrize(
    ("fate", "state"),
    [
        ("raise SystemExit", State.DIED),
        ("raise TimeoutError", State.TIMEOUT),
        ("raise MemoryError", State.MEMORY),
    ],
)
@pytest.mark.parametrize("where", ["answer", "check"])
def test_one_questions_death_does_not_sink_the_next(course, fate, state, where):
    body = fate if where == "answer" else f"def double(x):\n    {fate}"
    results = course.grade(submission(q1=f"# Q1 answer\n{body}"))
    assert results["Q1"].state is state
    assert results["Q1"].points == 0
    assert results["Q2"].state is State.CORRECT


def test_a_deadly_extra_cell_sinks_nothing(course):
    cells = [SETUP, "raise SystemExit", *submission()[1:]]
    assert course.states(cells) == [State.CORRECT, State.CORRECT]


def test_a_failing_extra_cell_costs_nothing(course):
    assert course.states([SETUP, "1 / 0", *submission()[1:]]) == [State.CORRECT, State.CORRECT]
    assert course.graded.kernels == 1


def test_deadly_cells_everywhere_end_after_a_bounded_number_of_kernels(course):
    extras = ["raise SystemExit"] * 20
    results = course.grade([SETUP, *extras, *submission()[1:], *extras])
    assert [result.state for result in results.values()] == [State.CORRECT, State.CORRECT]
    assert len(course.runner.kernels) <= 1 + MAX_REPLAYS + 2 * len(results)


def test_a_later_answer_that_needs_an_earlier_one_survives_the_death_of_its_check(course):
    q1 = "# Q1 answer\ndef double(x):\n    if x == 3:\n        raise SystemExit\n    return 2 * x"
    q2 = "# Q2 answer\ndef add(a, b):\n    return double(a) // 2 + b"
    assert course.states(submission(q1=q1, q2=q2)) == [State.DIED, State.CORRECT]


def test_a_definition_may_stand_below_its_use(course):
    cells = [SETUP, "# Q1 answer\ndef double(x):\n    return twice(x)", Q1_CHECK, RIGHT["Q2"], Q2_CHECK]
    assert course.states([*cells, "def twice(x):\n    return 2 * x"]) == [State.CORRECT, State.CORRECT]
    assert course.graded.kernels == 2
    assert course.states(cells) == [State.ERROR, State.CORRECT]
    assert course.graded.kernels == 1, "no other cell defines the name"


def test_honest_wrong_answers_cost_no_second_kernel(course):
    course.grade(submission(q1="# Q1 answer\ndef double(x):\n    return 6 if x == 3 else 0"))
    assert course.graded.kernels == 1


def test_a_key_that_fails_grades_nobody(tmp_path):
    key = key_of(tmp_path, [SETUP, Q1_ANSWER.replace("return 2 * x", "return 3 * x"), Q1_CHECK])
    with pytest.raises(BadKey, match="fails with seed 99 in '# Q1 check'"):
        references_of_key(key, FakeRunner(), SEED)


def test_a_grader_cell_gives_the_hidden_reference(tmp_path):
    check = Q1_CHECK.replace("assert", "# compare: accuracy >= 0.5\nassert")
    key = key_of(tmp_path, [SETUP, Q1_ANSWER, check, '# Q1 grader\nanswer([1 for _ in cases("Q1")])'])
    course = Class(key)
    assert course.references.expected == {"Q1": [1] * 6}
    ones = "# Q1 answer\ndef double(x):\n    return 6 if x == 3 else 1"
    assert course.states([SETUP, ones])[0] is State.CORRECT
    assert "accuracy is 0" in course.grade([SETUP, RIGHT["Q1"]])["Q1"].message


JUDGE = """# Q1 grader
def judge(value):
    wanted = cases("Q1")
    if not isinstance(value, list) or len(value) != len(wanted):
        return "one number per case"
    larger = all(v > w for v, w in zip(value, wanted))
    return larger or "each number must be larger than its case\""""


def test_a_judge_decides_in_a_kernel_of_its_own(tmp_path):
    check = Q1_CHECK.replace("assert", "# compare: judge\nassert")
    course = Class(key_of(tmp_path, [SETUP, Q1_ANSWER, check, JUDGE, *CELLS[3:]]))
    assert course.references.expected.keys() == {"Q2"}
    assert course.states(submission())[0] is State.CORRECT
    assert course.runner.kernels[1] == ["setup 0", "Q1 grader", "Q1"]
    small = "# Q1 answer\ndef double(x):\n    return 6 if x == 3 else -1"
    assert course.grade(submission(q1=small))["Q1"].message == "each number must be larger than its case"
    text = "# Q1 answer\ndef double(x):\n    return 6 if x == 3 else 'x'"
    result = course.grade(submission(q1=text))["Q1"]
    assert (result.state, result.points) == (State.WRONG, 0)
    assert "TypeError" in result.detail
