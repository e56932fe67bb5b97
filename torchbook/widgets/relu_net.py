"""ReluNet: a network with one hidden layer of ReLU units, whose joints the reader drags, counts and trains."""

from __future__ import annotations

import math
from collections.abc import Sequence

import traitlets

from torchbook.widgets.base import Widget
from torchbook.widgets.checks import trait_number, trait_whole

# relu_net.js holds the same names and limits.
DATA = {"zigzag": 1, "wave": 1, "step": 1, "XOR": 2, "ring": 2, "stripes": 2}  # name: number of inputs
MOST_UNITS = 8
LIMIT = 8.0  # of each weight and bias, by size
LR = (0.001, 1.0)
MOST_SEED = 2**31 - 1


def _row(row: object, index: int, inputs: int) -> list[float]:
    """One unit: its weights, its bias, and the weight that the output gives to it."""
    form = "(w, b, v)" if inputs == 1 else "(w1, w2, b, v)"
    if isinstance(row, str) or not isinstance(row, Sequence) or len(row) != inputs + 2:
        raise traitlets.TraitError(f"unit {index} must be {form} for data with {inputs} input(s), got {row!r}")
    names = ["w", "b", "v"] if inputs == 1 else ["w1", "w2", "b", "v"]
    return [
        trait_number(value, f"{name} of unit {index}", -LIMIT, LIMIT) for name, value in zip(names, row, strict=True)
    ]


class ReluNet(Widget):
    """f(x) = c + sum of v ReLU(w x + b) over the hidden units, on a line or in a plane, by hand or by gradient descent.

    With one input the picture shows the curve, its joints and slopes, and where each unit is awake; the loss is the
    mean squared error. With two inputs it shows the lines where units wake, the tiles between them and the level
    f = 0; the loss is the logistic one, for classes 0 and 1.

    Args:
        data: one of `DATA`: zigzag, wave, step (one input); XOR, ring, stripes (two inputs).
        units: how many hidden units, 1 to 8, from a random start; or one row per unit, (w, b, v) for one input
            and (w1, w2, b, v) for two, each number from -8 to 8.
        bias: c, from -8 to 8.
        lr: learning rate, 0.001 to 1.
        seed: of the random start.

    `data`, `units`, `bias` and `lr` are traits that follow the reader's hand; while training runs, `units` and `bias`
    are written whenever it pauses. Raises TraitError for values out of range.
    """

    data = traitlets.Unicode("zigzag").tag(sync=True)
    units = traitlets.List(traitlets.List(traitlets.Float())).tag(sync=True)
    bias = traitlets.Float(0.0).tag(sync=True)
    lr = traitlets.Float(0.05).tag(sync=True)
    count = traitlets.Int(3).tag(sync=True)
    seed = traitlets.Int(0).tag(sync=True)

    def __init__(
        self,
        data: str = "zigzag",
        *,
        units: int | Sequence[Sequence[float]] = 3,
        bias: float = 0.0,
        lr: float = 0.05,
        seed: int = 0,
    ) -> None:
        if data not in DATA:
            raise traitlets.TraitError(f"no data named {data!r}: there are {', '.join(DATA)}")
        if isinstance(units, (list, tuple)):
            rows = [_row(row, i, DATA[data]) for i, row in enumerate(units)]
            count = trait_whole(len(rows), "the number of units", 1, MOST_UNITS)
        else:
            rows, count = [], trait_whole(units, "units", 1, MOST_UNITS)  # the browser draws the start
        super().__init__(
            data=data,
            units=rows,
            bias=trait_number(bias, "bias", -LIMIT, LIMIT),
            lr=trait_number(lr, "lr", *LR),
            count=count,
            seed=trait_whole(seed, "seed", 0, MOST_SEED),
        )

    @traitlets.validate("data")
    def _check_data(self, proposal: dict) -> str:
        if proposal["value"] not in DATA:
            raise traitlets.TraitError(f"no data named {proposal['value']!r}: there are {', '.join(DATA)}")
        return proposal["value"]

    @traitlets.validate("units")
    def _check_units(self, proposal: dict) -> list[list[float]]:
        rows = proposal["value"]
        good = len(rows) <= MOST_UNITS and all(
            len(row) in (3, 4) and len(row) == len(rows[0]) and all(map(math.isfinite, row)) for row in rows
        )
        if not good:
            raise traitlets.TraitError(
                f"units are at most {MOST_UNITS} rows of 3 (one input) or 4 (two inputs) finite numbers, got {rows!r}"
            )
        return rows

    @traitlets.validate("lr")
    def _check_lr(self, proposal: dict) -> float:
        return trait_number(proposal["value"], "lr", *LR)
