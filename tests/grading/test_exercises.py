"""What runs in the student's kernel: cases from a seed, and the form in which answers leave."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell

from torchbook import exercises
from torchbook.exercises import answer, cases, draws, encode
from torchbook.grading.protocol import ANSWER_MIME
from torchbook.grading.values import Array, Bag, Pairs, decode


def test_both_sides_agree_on_the_mime_type():
    assert exercises.ANSWER_MIME == ANSWER_MIME


@pytest.fixture
def numbers():
    @draws("Q77")
    def generator(rng):
        return [rng.randint(0, 10**9) for _ in range(5)]

    yield generator
    del exercises._generators["Q77"]


def test_cases_follow_the_seed(numbers, monkeypatch):
    public = cases("Q77")
    assert cases("Q77") == public, "the same seed draws the same cases"
    monkeypatch.setenv("TORCHBOOK_SEED", "0")
    assert cases("Q77") == public, "0 is the public seed"
    monkeypatch.setenv("TORCHBOOK_SEED", "1")
    assert cases("Q77") != public


def test_cases_are_drawn_anew_so_that_a_student_may_change_them(numbers):
    first = cases("Q77")
    first.clear()
    assert len(cases("Q77")) == 5


def test_cases_depend_on_the_question(numbers):
    draws("Q78")(numbers)
    assert cases("Q77") != cases("Q78")
    del exercises._generators["Q78"]


def test_unknown_cases_name_the_remedy():
    with pytest.raises(LookupError, match="Run the setup cell"):
        cases("Q99")


def test_a_seed_that_is_none_is_named(numbers, monkeypatch):
    monkeypatch.setenv("TORCHBOOK_SEED", "x")
    with pytest.raises(ValueError, match="TORCHBOOK_SEED must be a whole number"):
        cases("Q77")


def test_draws_without_a_name():
    with pytest.raises(TypeError, match="needs the name of a question"):
        draws(lambda rng: [])


VALUES = [
    (None, None),
    (True, True),
    (np.bool_(True), True),
    (7, 7),
    (np.int64(7), 7),
    (0.5, 0.5),
    (torch.tensor(0.5), 0.5),
    (np.float32(0.5), 0.5),
    (1 + 2j, 1 + 2j),
    ("text", "text"),
    ((1, (2, 3)), [1, [2, 3]]),
    (range(3), [0, 1, 2]),
    (torch.tensor([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
    (torch.tensor([1.5], requires_grad=True), [1.5]),
    (torch.tensor([1.5], dtype=torch.bfloat16), [1.5]),
    (torch.tensor([True, False]), [True, False]),
    (torch.eye(2).to_sparse(), [[1.0, 0.0], [0.0, 1.0]]),
    (torch.tensor([1 + 1j]).conj(), [1 - 1j]),
    (np.array([["a", "b"]]), [["a", "b"]]),
    (np.zeros((0, 3)), []),
    (math.inf, math.inf),
    ([-math.inf], [-math.inf]),
]


@pytest.mark.parametrize(("value", "expected"), VALUES, ids=lambda value: repr(value)[:40])
def test_values_survive_the_way(value, expected):
    message = json.loads(json.dumps({"value": encode(value)}, allow_nan=False))
    decoded = decode(message)
    assert decoded == expected
    assert type(decoded) is type(expected) or isinstance(decoded, Array)


def test_nan_survives():
    assert math.isnan(decode({"value": encode(math.nan)}))
    assert math.isnan(decode({"value": encode(torch.tensor([math.nan]))})[0])


def test_shapes_sets_and_dicts_survive():
    assert decode({"value": encode(np.zeros((0, 3)))}).shape == (0, 3)
    bag = decode({"value": encode({3, 1, 2})})
    assert isinstance(bag, Bag)
    assert sorted(bag) == [1, 2, 3]
    pairs = decode({"value": encode({(1, 2): "a", "b": {1}})})
    assert isinstance(pairs, Pairs)
    assert pairs == [[[1, 2], "a"], ["b", [1]]]


def test_the_same_set_gives_the_same_bytes():
    assert encode({"x", "y", "z"}) == encode({"z", "y", "x"})


def test_a_lone_surrogate_does_not_break_the_message():
    json.dumps(encode("\ud800"), ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("value", "error", "says"),
    [
        (object(), TypeError, "cannot send a object"),
        (len, TypeError, "builtin_function"),
        (np.array([object()]), TypeError, "array of object"),
        (10**400, ValueError, "1,024 bits"),
        (torch.zeros(300_000), ValueError, "at most 200,000 values"),
    ],
)
def test_what_cannot_be_sent_is_named(value, error, says):
    with pytest.raises(error, match=says):
        encode(value)


def test_depth_is_bounded():
    value: list = []
    for _ in range(200):
        value = [value]
    with pytest.raises(ValueError, match="at most 32 levels"):
        encode(value)


def test_answer_outside_a_notebook_prints(capsys):
    answer([1, 2])
    assert capsys.readouterr().out == "answer: [1, 2]\n"


# ---------------------------------------------------------------- asserts that say what they saw


@pytest.fixture
def shell(monkeypatch):
    shell = InteractiveShell()
    monkeypatch.setattr("IPython.get_ipython", lambda: shell)
    shell.run_cell("from torchbook.exercises import answer, cases, draws\ndraws('Q1')")
    return shell


def _said(shell, check, ending="answer(1)"):
    result = shell.run_cell(f"{check}\n{ending}")
    return str(result.error_in_exec)


@pytest.mark.parametrize(
    ("check", "says"),
    [
        ("assert abs(-3) == 5, 'a hint'", "a hint\n  abs(-3): expected 5, got 3"),
        ("assert abs(-3) == 5", "abs(-3): expected 5, got 3"),
        ("assert abs(-3) < 2, 'small'", "small\n  abs(-3): expected < 2, got 3"),
        ("import math\nassert math.isclose(1.0, 2.0), 'far'", "far\n  1.0: expected 2.0, got 1.0"),
        (
            "import torch\nassert torch.allclose(torch.ones(2), torch.zeros(2))",
            "expected [0.0, 0.0], got [1.0, 1.0]",
        ),
        ("assert [] or False, 'plain'", "plain"),
    ],
)
def test_a_failed_assert_shows_both_sides(shell, check, says):
    assert says in _said(shell, check)


def test_passing_asserts_still_pass(shell):
    assert shell.run_cell("assert 2 == 2, 'no'\nassert 1 < 2\nassert max([1], [0]) == [1]\nanswer(1)").success


def test_other_cells_are_left_alone(shell):
    assert _said(shell, "assert 1 == 2, 'mine'", ending="3") == "mine"


def test_each_side_is_evaluated_once(shell):
    shell.run_cell("calls = []")
    shell.run_cell("assert calls.append(1) == None\nanswer(1)")
    assert shell.user_ns["calls"] == [1]
