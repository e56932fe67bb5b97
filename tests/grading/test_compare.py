"""Comparison outside the student's process: what is equal, what is not, and what is said about it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from torchbook.exercises import encode
from torchbook.grading.compare import compare
from torchbook.grading.rules import Rule, parse_rule
from torchbook.grading.values import MalformedAnswer, decode, plain, show


def differ(expected, actual, rule=""):
    rule = parse_rule(f"# compare: {rule}") if rule else Rule()
    return compare(decode({"value": encode(expected)}), decode({"value": encode(actual)}), rule)


EQUAL = [
    ([1, 2], (1, 2), ""),
    ([1, 2], torch.tensor([1.0, 2.0]), ""),
    (torch.tensor([[1.0]], dtype=torch.float64), np.array([[1]], dtype=np.int32), ""),
    ([7], [7.0], ""),
    ([True, False], [1, 0], ""),
    (torch.tensor([True, False]), torch.tensor([1.0, 0.0]), ""),
    (1 / 3, float(np.float32(1 / 3)), ""),
    (0.0, 1e-7, ""),
    (math.nan, math.nan, ""),
    ([math.inf], [math.inf], ""),
    (16_777_216, 16_777_216.0, ""),
    ("a", "a", ""),
    (None, None, ""),
    ({1, 2, 3}, {3, 2, 1}, ""),
    ({"a": 1, "b": [2]}, {"b": (2.0,), "a": 1}, ""),
    ([[3, 4], [1, 2]], [[1, 2], [3, 4]], "unordered"),
    ([0.1, 0.2], [0.2001, 0.1], "unordered, rtol=1e-2"),
    (1.0, 1.09, "rtol=0.1"),
    (3, 3, "exact"),
]
DIFFERENT = [
    ([1, 2], [1, 3], ""),
    ([1, 2], [1], ""),
    ([1], 1, ""),
    (5, [5], ""),
    ([[1, 2]], [1, 2], ""),
    (torch.zeros(0, 3), torch.zeros(0, 4), ""),
    (10_007, 10_008, ""),
    (5_000, 5_000.25, ""),
    (2**60, 2**60 + 1, "exact"),
    (1.0, 1.001, ""),
    (1.0, math.nan, ""),
    (math.inf, -math.inf, ""),
    (math.inf, 1e300, ""),
    (0, None, ""),
    ("1", 1, ""),
    ("a", "a ", ""),
    ({"a": 1}, {"a": 2}, ""),
    ({"a": 1}, {"b": 1}, ""),
    ({"a": 1}, [["a", 1]], ""),
    ({1, 2}, {1, 3}, ""),
    ([1, 1, 2], [1, 2, 2], "unordered"),
    (1, True, "exact"),
    (0.1, 0.1 + 1e-12, "exact"),
]


@pytest.mark.parametrize(("expected", "actual", "rule"), EQUAL, ids=repr)
def test_equal(expected, actual, rule):
    assert differ(expected, actual, rule) is None


@pytest.mark.parametrize(("expected", "actual", "rule"), DIFFERENT, ids=repr)
def test_different(expected, actual, rule):
    assert differ(expected, actual, rule) is not None


def test_the_first_difference_is_named_for_the_teacher_and_hidden_from_the_student():
    difference = differ([[1, 2], [3, 41_234]], [[1, 2], [3, 5]])
    assert difference.for_teacher() == "[1][1]: expected 41234, got 5"
    assert difference.case == 1
    assert "41234" not in difference.for_student()
    assert difference.for_student() == "[1][1]: got 5, which is not right"


secrets = st.integers(10_000, 99_999)


@given(secrets, st.sampled_from([lambda s: [1, s], lambda s: {"k": s}, lambda s: {s}, lambda s: np.array([s])]))
def test_no_expected_value_reaches_the_student(secret, wrap):
    for actual in (wrap(1), wrap(2)[:0] if isinstance(wrap(2), list) else 0, None, "x"):
        difference = differ(wrap(secret), actual)
        assert str(secret) not in difference.for_student()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["$array", "$set", "$dict", "$float", "$complex", "value", "x"]), inner)
        | st.fixed_dictionaries(
            {"$array": st.fixed_dictionaries({"shape": st.lists(st.integers(-1, 3)), "data": st.lists(inner)})}
        )
    ),
    max_leaves=12,
)


@given(json_values, json_values)
def test_forged_messages_are_refused_or_compared_but_never_crash(expected, actual):
    decoded = []
    for message in (expected, actual):
        try:
            decoded.append(decode({"value": message}))
        except MalformedAnswer:
            return
    for rule in (Rule(), Rule(unordered=True), Rule(exact=True)):
        compare(decoded[0], decoded[1], rule)
        assert compare(decoded[0], decoded[0], rule) is None
        # The labels of a measure come from the key; the predictions may be anything.
    for kind in ("accuracy", "mse", "mae", "cross_entropy"):
        compare([0, 1], decoded[1], Rule(kind=kind, bound=0.5))


@pytest.mark.parametrize(
    "message",
    [
        None,
        [],
        {"value": 1, "more": 2},
        {"value": {"$array": {"shape": [2], "data": [1]}}},
        {"value": {"$array": {"shape": [10**9, 10**9], "data": []}}},
        {"value": {"$array": {"shape": [1], "data": [[1]]}}},
        {"value": {"$float": "1e5"}},
        {"value": {"$pickle": "x"}},
        {"value": 2**2000},
    ],
    ids=repr,
)
def test_malformed_messages(message):
    with pytest.raises(MalformedAnswer):
        decode(message)


def test_depth_and_size_are_bounded():
    deep: list = []
    for _ in range(500):
        deep = [deep]
    with pytest.raises(MalformedAnswer, match="too deeply"):
        decode({"value": deep})
    with pytest.raises(MalformedAnswer, match="too many"):
        decode({"value": [0] * 500_000})


def test_a_costly_unordered_comparison_ends():
    expected = [[0] * 1000 + [i] for i in range(300)]
    actual = [[0] * 1000 + [-1 - i] for i in range(300)]
    difference = compare(expected, actual, Rule(unordered=True))
    assert difference is not None


# ---------------------------------------------------------------- measures


@pytest.mark.parametrize(
    ("rule", "expected", "actual", "ok"),
    [
        ("accuracy >= 0.75", [0, 1, 2, 3], [0, 1, 2, 0], True),
        ("accuracy >= 0.75", [0, 1, 2, 3], [0, 1, 0, 0], False),
        ("accuracy >= 0.75", [0, 1], torch.tensor([0, 1]), True),
        ("accuracy >= 0.75", [0, 1], [0], False),
        ("accuracy >= 0.75", [0, 1], "01", False),
        ("accuracy >= 0.75", [0, 1], [math.nan, math.nan], False),
        ("mse <= 0.25", [[1.0], [2.0]], [[1.5], [2.5]], True),
        ("mse <= 0.24", [[1.0], [2.0]], [[1.5], [2.5]], False),
        ("mse <= 1", [[1.0], [2.0]], [1.0, 2.0], False),
        ("mse <= 1", [1.0], [math.nan], False),
        ("mse <= 1", [1.0], [10**300], False),
        ("mae <= 0.5", [1.0, 2.0], [0.5, 2.5], True),
        ("cross_entropy <= 0.7", [0, 1], [[0.0, 0.0], [0.0, 0.0]], True),
        ("cross_entropy <= 0.69", [0, 1], [[0.0, 0.0], [0.0, 0.0]], False),
        ("cross_entropy <= 0.1", [0], [[math.inf, 0.0]], False),
        ("cross_entropy <= 0.1", [1], [[5.0]], False),
    ],
)
def test_measures(rule, expected, actual, ok):
    assert (differ(expected, actual, rule) is None) is ok


def test_cross_entropy_is_that_of_pytorch():
    logits, labels = torch.randn(8, 5, generator=torch.manual_seed(0)), torch.arange(8) % 5
    loss = torch.nn.functional.cross_entropy(logits, labels).item()
    assert differ(labels, logits, f"cross_entropy <= {loss + 1e-5}") is None
    assert differ(labels, logits, f"cross_entropy <= {loss - 1e-5}") is not None


# ---------------------------------------------------------------- rules


def test_rules_are_read():
    assert parse_rule("x = 1") == Rule()
    assert parse_rule("# Q1 check\n# compare: rtol=1e-3, atol=0") == Rule(rtol=1e-3, atol=0)
    assert parse_rule("# compare: judge").kind == "judge"
    assert parse_rule("# compare: accuracy >= 0.9") == Rule(kind="accuracy", bound=0.9)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("# compare: fuzzy", "unknown option 'fuzzy'"),
        ("# compare: rtol=-1", "not a number of zero or more"),
        ("# compare: rtol=small", "'small' is no number"),
        ("# compare: accuracy <= 0.9", "accuracy takes >="),
        ("# compare: f1 >= 0.9", "unknown measure 'f1'"),
        ("# compare: exact\n# compare: exact", "more than one"),
    ],
)
def test_rules_that_cannot_be_read_are_named(line, says):
    with pytest.raises(ValueError, match=says):
        parse_rule(line)


def test_show_is_short_and_cheap():
    assert show([1, 2.5, "a", None, True]) == "[1, 2.5, 'a', None, True]"
    assert len(show([[0] * 1000] * 1000)) <= 80
    assert len(show("x" * 10**6)) <= 80


def test_plain_values_for_judges():
    value = decode({"value": encode({"a": np.array([[1, 2]]), (1, 2): {3}})})
    assert plain(value) == [["a", [[1, 2]]], [[1, 2], [3]]]
    assert plain(decode({"value": encode({"a": (1, 2)})})) == {"a": [1, 2]}
