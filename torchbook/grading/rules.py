"""The comparison rule of a question: the line `# compare: ...` of its check cell.

(no line)                      number by number, rtol 1e-4, atol 1e-6
# compare: rtol=1e-3, atol=0   other tolerances
# compare: exact               no tolerance; True is not 1
# compare: unordered           the outermost list is a bag; may be combined with tolerances
# compare: accuracy >= 0.9     labels (N,) against the reference (N,)
# compare: mse <= 0.05         also mae; same shape as the reference
# compare: cross_entropy <= 1  logits (N, C) against the labels (N,)
# compare: judge               the grader cell's `judge(value)` decides
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace

METRICS = {"accuracy": ">=", "mse": "<=", "mae": "<=", "cross_entropy": "<="}
_LINE = re.compile(r"^#\s*compare:\s*(.+?)\s*$", re.MULTILINE)
_BOUND = re.compile(r"^(\w+)\s*(>=|<=)\s*(\S+)$")


@dataclass(frozen=True)
class Rule:
    """How a student's value is held against the reference."""

    kind: str = "equal"  # equal, judge, or a name in METRICS
    bound: float = 0.0  # of a metric
    rtol: float = 1e-4  # wide enough for float32 against a float64 key
    atol: float = 1e-6
    exact: bool = False
    unordered: bool = False


def parse_rule(source: str) -> Rule:
    """The rule of a check cell's source. Raises ValueError with the line at fault."""
    lines = _LINE.findall(source)
    if len(lines) > 1:
        raise ValueError("has more than one '# compare:' line; keep one")
    if not lines:
        return Rule()
    try:
        return _parse(lines[0])
    except ValueError as error:
        raise ValueError(f"has a '# compare:' line that cannot be read, {lines[0]!r}: {error}") from None


def _parse(text: str) -> Rule:
    if text == "judge":
        return Rule(kind="judge")
    if match := _BOUND.match(text):
        return _metric(*match.groups())
    rule = Rule()
    for part in text.split(","):
        rule = _option(rule, part.strip())
    return rule


def _metric(name: str, sign: str, bound: str) -> Rule:
    if name not in METRICS:
        raise ValueError(f"unknown measure {name!r}; known are {', '.join(METRICS)}")
    if sign != METRICS[name]:
        raise ValueError(f"{name} takes {METRICS[name]}, not {sign}")
    return Rule(kind=name, bound=_number(bound))


def _option(rule: Rule, option: str) -> Rule:
    if option in ("exact", "unordered"):
        return replace(rule, **{option: True})
    name, equals, value = option.partition("=")
    if equals and name.strip() in ("rtol", "atol"):
        return replace(rule, **{name.strip(): _number(value.strip())})
    raise ValueError(f"unknown option {option!r}; known are exact, unordered, rtol=, atol=")


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise ValueError(f"{text!r} is no number") from None
    if not math.isfinite(number) or number < 0:
        raise ValueError(f"{text} is not a number of zero or more")
    return number
