"""A gridworld to paint, with value iteration or Q-learning that fills it with values."""

from __future__ import annotations

from collections.abc import Sequence

import traitlets

from .base import Widget
from .checks import number, one_of, whole

METHODS = ("value iteration", "Q-learning")
CELLS = "S.#GP+-~"
SIDES = (1, 10)
EXAMPLE = ("S...#..", ".#..#.G", ".#~~...", "..~~#P.", ".......", "..P....")


def _rows(rows: Sequence[str]) -> list[str]:
    """The map as a list of strings, checked: a rectangle of known signs with one start at most."""
    if isinstance(rows, str) or not rows or not all(isinstance(row, str) for row in rows):
        raise ValueError(f"rows must be a list of strings such as ['S.', '.G'], got {rows!r}")
    whole("the number of rows", len(rows), *SIDES)
    whole("the length of a row", len(rows[0]), *SIDES)
    if len({len(row) for row in rows}) != 1:
        raise ValueError(f"all rows must be equally long, got lengths {[len(row) for row in rows]}")
    unknown = sorted(set("".join(rows)) - set(CELLS))
    if unknown:
        raise ValueError(f"no cell is written {unknown[0]!r}: use {' '.join(CELLS)}")
    if "".join(rows).count("S") > 1:
        raise ValueError("there may be one start S, got several; write the others as .")
    return list(rows)


class GridWorld(Widget):
    """Paint a gridworld, and watch value iteration or Q-learning fill it.

    A map is a list of strings: `S` start, `.` free, `#` wall, `G` goal (pays 1 and ends), `P` pit (-1 and ends), `+`
    pays 1 and `-` costs 0.2 at each landing, `~` wind: with the probability `wind` the move goes up instead. A move
    into a wall or out of the map lands where it began. Moves are up, right, down, left.

    Value iteration does one sweep per step, over all pairs at once. Q-learning does one move per step; an episode
    begins at S (or at a random free cell), ends in G or P, and is cut, not ended, after 100 moves.

    Args:
        rows: the map, 1 to 10 cells high and wide.
        method: one of `METHODS`.
        gamma: discount, 0 to 1.
        alpha: learning rate of Q-learning, 0.01 to 1.
        eps: share of random moves, 0 to 1.
        wind: how often the wind blows where it can, 0 to 1.
        seed: of Q-learning.
        title: the line above the figure.
    """

    rows = traitlets.List(traitlets.Unicode()).tag(sync=True)
    method = traitlets.Enum(METHODS, METHODS[0]).tag(sync=True)
    gamma = traitlets.Float(0.9).tag(sync=True)
    alpha = traitlets.Float(0.3).tag(sync=True)
    eps = traitlets.Float(0.3).tag(sync=True)
    wind = traitlets.Float(0.3).tag(sync=True)
    seed = traitlets.Int(0).tag(sync=True)
    title = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        rows: Sequence[str] = EXAMPLE,
        *,
        method: str = METHODS[0],
        gamma: float = 0.9,
        alpha: float = 0.3,
        eps: float = 0.3,
        wind: float = 0.3,
        seed: int = 0,
        title: str = "A world to paint",
    ) -> None:
        super().__init__(
            rows=_rows(rows),
            method=one_of("method", method, METHODS),
            gamma=number("gamma", gamma, 0, 1),
            alpha=number("alpha", alpha, 0.01, 1),
            eps=number("eps", eps, 0, 1),
            wind=number("wind", wind, 0, 1),
            seed=whole("seed", seed, 0, 2**31 - 1),
            title=title,
        )
