"""What the arguments of several widgets have in common: numbers in a range, one name of a few."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real

import traitlets


def number(name: str, value: object, low: float, high: float) -> float:
    """`value` as a float in [low, high]. Raises ValueError that names `name`; NaN lies in no range."""
    if not isinstance(value, Real) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(f"{name} must be a number from {low:g} to {high:g}, got {value!r}")
    return float(value)


def whole(name: str, value: object, low: int, high: int) -> int:
    """`value` as an int in [low, high]. Raises ValueError that names `name`."""
    if not isinstance(value, Integral) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(f"{name} must be a whole number from {low} to {high}, got {value!r}")
    return int(value)


def one_of(name: str, value: object, choices: Sequence[str]) -> str:
    """`value`, if it is one of `choices`. Raises ValueError that lists them."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}")
    return str(value)


def trait_number(value: object, what: str, low: float, high: float) -> float:
    """`value` as a float in [low, high], for a trait's validator. Raises TraitError that names `what`."""
    if isinstance(value, bool) or not isinstance(value, Real) or not low <= value <= high:
        raise traitlets.TraitError(f"{what} must be a number in {low:g}..{high:g}, got {value!r}")
    return float(value)


def trait_whole(value: object, what: str, low: int, high: int) -> int:
    """`value` as an int in [low, high], for a trait's validator. Raises TraitError that names `what`."""
    if isinstance(value, bool) or not isinstance(value, Integral) or not low <= value <= high:
        raise traitlets.TraitError(f"{what} must be a whole number in {low}..{high}, got {value!r}")
    return int(value)
