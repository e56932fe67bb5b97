"""Bounds on hidden data: accuracy, mean squared and absolute error, cross-entropy.

The reference is labels or targets that the student's kernel never had.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from torchbook.grading.rules import METRICS, Rule
from torchbook.grading.values import show


def measure(expected: Any, actual: Any, rule: Rule) -> str | None:
    """What is wrong with the predictions `actual`, in a sentence for the student; None if nothing."""
    value = _MEASURES[rule.kind](expected, actual)
    if isinstance(value, str):
        return value
    at_least = METRICS[rule.kind] == ">="
    if value >= rule.bound if at_least else value <= rule.bound:
        return None
    name = rule.kind.replace("_", " ")
    return f"the {name} is {value:.4g}; it must be {'at least' if at_least else 'at most'} {rule.bound:g}"


def _accuracy(labels: Any, predictions: Any) -> float | str:
    if not isinstance(predictions, list) or len(predictions) != len(labels):
        return f"got {show(predictions)}; the answer must be a list of one label per case, {len(labels)} in all"
    if not all(_is_real(item) for item in predictions):
        return "every predicted label must be a number"
    return sum(p == t for p, t in zip(predictions, labels, strict=True)) / len(labels)


def _mean_error(power: int) -> Callable[[Any, Any], float | str]:
    def mean_error(targets: Any, predictions: Any) -> float | str:
        wanted, got = _flat(targets), _flat(predictions)
        if got is None or len(wanted) != len(got) or _shape(targets) != _shape(predictions):
            return f"got {show(predictions)}; the answer must hold numbers in the shape {_shape(targets)}"
        try:
            error = sum(abs(p - t) ** power for p, t in zip(got, wanted, strict=True)) / len(wanted)
        except OverflowError:
            return "the answer holds numbers that are too large"
        return error if math.isfinite(error) else "the answer holds numbers that are not finite"

    return mean_error


def _cross_entropy(labels: Any, logits: Any) -> float | str:
    """Mean of logsumexp(logits) - logits[label], in nats."""
    if not isinstance(logits, list) or len(logits) != len(labels):
        return f"got {show(logits)}; the answer must be one row of logits per case, {len(labels)} in all"
    total = 0.0
    for row, label in zip(logits, labels, strict=True):
        if not isinstance(row, list) or not all(_is_real(item) for item in row) or int(label) >= len(row):
            return "every row must hold one number per class"
        if not all(abs(item) < 1e300 for item in row):
            return "the logits hold numbers that are not finite"
        top = max(row)
        total += top + math.log(sum(math.exp(item - top) for item in row)) - row[int(label)]
    return total / len(labels)


def _is_real(value: Any) -> bool:
    return isinstance(value, (int, float))


def _flat(value: Any) -> list[float] | None:
    if not isinstance(value, list):
        return [value] if _is_real(value) else None
    flat: list[float] = []
    for item in value:
        part = _flat(item)
        if part is None:
            return None
        flat += part
    return flat


def _shape(value: Any) -> tuple[int, ...]:
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        value = value[0] if value else None
    return tuple(shape)


_MEASURES: dict[str, Callable[[Any, Any], float | str]] = {
    "accuracy": _accuracy,
    "mse": _mean_error(2),
    "mae": _mean_error(1),
    "cross_entropy": _cross_entropy,
}
