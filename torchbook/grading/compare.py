"""Hold a student's value against the reference, outside the student's process.

Both are values from `values.decode`. Containers do not matter (list, tuple, array, tensor), nor do dtypes (7
and 7.0; True and 1 unless the rule is exact). Shapes, lengths, keys and every number do. The result names the
first difference, in two voices: the teacher's has the expected value, the student's never has.
"""

from __future__ import annotations

import cmath
import re
from dataclasses import dataclass
from typing import Any

from torchbook.grading.metrics import measure
from torchbook.grading.rules import METRICS, Rule
from torchbook.grading.values import Array, Bag, Pairs, show

MAX_STEPS = 5_000_000
MAX_INT_ERROR = 0.01  # a whole number may carry float32 noise, but never hides an off-by-one


@dataclass(frozen=True)
class Difference:
    """The first place where the value is wrong. `where` is an index path such as `[3][0]`."""

    where: str
    student: str  # says nothing about the expected value
    teacher: str

    @property
    def case(self) -> int | None:
        """The index of the case, where the answer is a list with one item per case."""
        match = re.match(r"\[(\d+)\]", self.where)
        return int(match[1]) if match else None

    def for_student(self) -> str:
        return f"{self.where}: {self.student}" if self.where else self.student

    def for_teacher(self) -> str:
        return f"{self.where}: {self.teacher}" if self.where else self.teacher


def compare(expected: Any, actual: Any, rule: Rule) -> Difference | None:
    """The first difference under `rule`, or None if the value is right."""
    if rule.kind in METRICS:
        text = measure(expected, actual, rule)
        return Difference("", text, text) if text else None
    walker = _Walker(rule)
    try:
        if rule.unordered and isinstance(expected, list) and isinstance(actual, list):
            return walker.bags(expected, actual, "")
        return walker.walk(expected, actual, "")
    except _TooLong:
        text = "the answer is too large to compare"
        return Difference("", text, text)


class _TooLong(Exception):
    pass


class _Walker:
    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.steps = 0

    def walk(self, expected: Any, actual: Any, where: str) -> Difference | None:
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise _TooLong
        if isinstance(expected, Bag) and isinstance(actual, Bag):
            return self.bags(expected, actual, where)
        if isinstance(expected, Pairs) or isinstance(actual, Pairs):
            return self.pairs(expected, actual, where)
        if isinstance(expected, list) and isinstance(actual, list):
            return self.lists(expected, actual, where)
        if isinstance(expected, list) or isinstance(actual, list):
            return _differ(where, f"got {show(actual)}, which has the wrong form", expected, actual)
        if self.same(expected, actual):
            return None
        return _differ(where, f"got {show(actual)}, which is not right", expected, actual)

    def same(self, expected: Any, actual: Any) -> bool:
        if isinstance(expected, (str, type(None))) or isinstance(actual, (str, type(None))):
            return type(expected) is type(actual) and expected == actual
        if self.rule.exact:
            return _exactly(expected, actual)
        return _close(expected, actual, self.rule)

    def lists(self, expected: list[Any], actual: list[Any], where: str) -> Difference | None:
        if isinstance(expected, Array) and isinstance(actual, Array) and expected.shape != actual.shape:
            hidden = f"got shape {actual.shape}, which is not right"
            return Difference(where, hidden, f"expected shape {expected.shape}, got {actual.shape}")
        if len(expected) != len(actual):
            hidden = f"got {len(actual)} values, which is not the right number"
            return Difference(where, hidden, f"expected {len(expected)} values, got {len(actual)}")
        for i, (left, right) in enumerate(zip(expected, actual, strict=True)):
            if difference := self.walk(left, right, f"{where}[{i}]"):
                return difference
        return None

    def pairs(self, expected: Any, actual: Any, where: str) -> Difference | None:
        if not (isinstance(expected, Pairs) and isinstance(actual, Pairs)):
            return _differ(where, f"got {show(actual)}, which has the wrong form", expected, actual)
        wanted = {repr(key): value for key, value in expected}
        got = {repr(key): value for key, value in actual}
        if wanted.keys() != got.keys():
            teacher = f"expected the keys {', '.join(wanted)}, got {', '.join(got)}"
            return Difference(where, f"got the keys {', '.join(got)}, which are not right", teacher)
        for key, value in wanted.items():
            if difference := self.walk(value, got[key], f"{where}[{key}]"):
                return difference
        return None

    def bags(self, expected: list[Any], actual: list[Any], where: str) -> Difference | None:
        """Match greedily: a tolerance is far smaller than the distance between two values of a question."""
        if len(expected) != len(actual):
            hidden = f"got {len(actual)} values, which is not the right number"
            return Difference(where, hidden, f"expected {len(expected)} values, got {len(actual)}")
        left = list(expected)
        for i, item in enumerate(actual):
            match = next((j for j, want in enumerate(left) if self.walk(want, item, "") is None), None)
            if match is None:
                hidden = f"got {show(item)}, which does not belong there"
                return Difference(f"{where}[{i}]", hidden, f"{show(item)} is not among {show(left)}")
            del left[match]
        return None


def _differ(where: str, student: str, expected: Any, actual: Any) -> Difference:
    return Difference(where, student, f"expected {show(expected)}, got {show(actual)}")


def _exactly(expected: Any, actual: Any) -> bool:
    if isinstance(expected, bool) != isinstance(actual, bool):
        return False
    return expected == actual or (_is_nan(expected) and _is_nan(actual))


def _close(expected: Any, actual: Any, rule: Rule) -> bool:
    if expected == actual or (_is_nan(expected) and _is_nan(actual)):
        return True
    if not (_is_finite(expected) and _is_finite(actual)):
        return False
    try:
        error, size = abs(actual - expected), abs(expected)
        if isinstance(expected, int):
            return error <= min(1e-6 * max(1, size), MAX_INT_ERROR)
        return error <= rule.atol + rule.rtol * size
    except OverflowError:
        return False


def _is_nan(value: Any) -> bool:
    return value != value


def _is_finite(value: Any) -> bool:
    return isinstance(value, int) or cmath.isfinite(value)
