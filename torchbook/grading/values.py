"""Answers as they arrive: untrusted JSON in the form of `torchbook.exercises.encode`, made into plain values.

The sender may be hostile, so nothing is assumed: every array's shape must fit its data, depth and size are
bounded, and what does not fit raises `MalformedAnswer`.
"""

from __future__ import annotations

import math
from typing import Any

MAX_DEPTH = 64
MAX_VALUES = 400_000


class MalformedAnswer(ValueError):
    """The message is not a value that `answer` could have sent."""


class Array(list):
    """Nested lists with a shape, so that (0, 3) and (0, 5) stay different."""

    def __init__(self, nested: list[Any], shape: tuple[int, ...]) -> None:
        super().__init__(nested)
        self.shape = shape


class Pairs(list):
    """The items of a dict, as [key, value] pairs: a key may be a list, which a dict would refuse."""


class Bag(list):
    """The items of a set."""


def decode(message: Any) -> Any:
    """The value inside one answer message, `{"value": ...}`. Raises MalformedAnswer."""
    if not isinstance(message, dict) or set(message) != {"value"}:
        raise MalformedAnswer("the answer message has no value")
    return _Decoder().decode(message["value"], 0)


def plain(value: Any) -> Any:
    """`value` as lists, dicts and scalars of plain Python, for judges. Pairs with odd keys stay a list."""
    if isinstance(value, Pairs):
        items = [(plain(key), plain(item)) for key, item in value]
        hashable = all(isinstance(key, (str, int, float, type(None))) for key, _ in items)
        return dict(items) if hashable else [list(item) for item in items]
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


class _Decoder:
    def __init__(self) -> None:
        self.count = 0

    def decode(self, data: Any, depth: int) -> Any:
        self.count += 1
        if depth > MAX_DEPTH:
            raise MalformedAnswer("the answer is nested too deeply")
        if self.count > MAX_VALUES:
            raise MalformedAnswer("the answer has too many values")
        if data is None or isinstance(data, (bool, str)):
            return data
        if isinstance(data, (int, float)):
            return _bounded(data)
        if isinstance(data, list):
            return [self.decode(item, depth + 1) for item in data]
        if isinstance(data, dict) and len(data) == 1:
            return self._special(*next(iter(data.items())), depth + 1)
        raise MalformedAnswer("the answer holds something that is no value")

    def _special(self, tag: str, data: Any, depth: int) -> Any:
        if tag == "$float" and data in ("nan", "inf", "-inf"):
            return float(data)
        if tag == "$complex" and isinstance(data, list) and len(data) == 2:
            return self._complex(data, depth)
        if tag == "$set" and isinstance(data, list):
            return Bag(self.decode(item, depth) for item in data)
        if tag == "$dict" and isinstance(data, list):
            if not all(isinstance(item, list) and len(item) == 2 for item in data):
                raise MalformedAnswer("a dict of the answer is no list of pairs")
            return Pairs([self.decode(key, depth), self.decode(item, depth)] for key, item in data)
        if tag == "$array" and isinstance(data, dict):
            return self._array(data, depth)
        raise MalformedAnswer("the answer holds something that is no value")

    def _complex(self, data: list[Any], depth: int) -> complex:
        parts = [self.decode(item, depth) for item in data]
        if not all(isinstance(part, (int, float)) for part in parts):
            raise MalformedAnswer("a complex number of the answer has parts that are no numbers")
        try:
            return complex(*parts)
        except OverflowError:
            raise MalformedAnswer("a complex number of the answer is too large") from None

    def _array(self, data: dict[str, Any], depth: int) -> Array:
        shape, items = data.get("shape"), data.get("data")
        if not isinstance(items, list) or not _is_shape(shape) or math.prod(shape) != len(items):
            raise MalformedAnswer("an array of the answer does not fit its shape")
        scalars = [self.decode(item, depth) for item in items]
        if any(isinstance(item, list) for item in scalars):
            raise MalformedAnswer("an array of the answer holds something that is no scalar")
        return Array(_nested(scalars, shape), tuple(shape))


def _bounded(number: int | float) -> int | float:
    if isinstance(number, int) and number.bit_length() > 1024:
        raise MalformedAnswer("the answer holds an integer of more than 1,024 bits")
    return number


def _is_shape(shape: Any) -> bool:
    return (
        isinstance(shape, list)
        and 1 <= len(shape) <= 32
        and all(type(n) is int and 0 <= n <= MAX_VALUES for n in shape)
    )


def _nested(items: list[Any], shape: list[int]) -> list[Any]:
    """Row-major `items` as lists in lists. An empty array stops at its first empty axis."""
    if 0 in shape:
        return []
    for size in reversed(shape[1:]):
        items = [items[i : i + size] for i in range(0, len(items), size)]
    return items


def show(value: Any, width: int = 80) -> str:
    """`value` on one short line, without building a long text first."""
    if isinstance(value, Array) and len(repr_limited(value, width)) >= width:
        return f"an array of shape {value.shape}"
    text = repr_limited(value, width)
    return text if len(text) <= width else text[: width - 4] + " ..."


def repr_limited(value: Any, budget: int) -> str:
    """`repr`, cut off soon after `budget` characters, whatever the size of the value."""
    if isinstance(value, Pairs):
        parts, opening, closing = (f"{show(k, 30)}: {show(v, 30)}" for k, v in value), "{", "}"
    elif isinstance(value, list):
        opening, closing = ("{", "}") if isinstance(value, Bag) else ("[", "]")
        parts = (repr_limited(item, budget) for item in value)
    elif isinstance(value, str):
        return repr(value[: budget + 1])
    elif isinstance(value, float):
        return f"{value:.7g}"
    else:
        return repr(value)
    text = opening
    for i, part in enumerate(parts):
        text += (", " if i else "") + part
        if len(text) > budget:
            return text
    return text + closing
