"""Position encodings: their table as a heat map, pairs of columns as clocks, dot products against distance."""

from __future__ import annotations

import traitlets

from .base import Widget
from .checks import number, one_of, trait_number, trait_whole, whole

KINDS = ("sinusoid", "random", "binary")
WIDTHS = (4, 64)
BASES = (2.0, 100_000.0)
LENGTHS = (16, 128)


class Positions(Widget):
    """What a position encoding knows: turn its clocks, and see which pairs of positions look alike.

    The sinusoid is that of Vaswani et al. (2017), section 3.5: column 2i holds sin(w t) and column 2i + 1 holds
    cos(w t), with w = base ** (-2i / d). A random table is a learned one before training; binary digits are the
    bits of t as -1 and 1.

    Args:
        kind: one of `KINDS`.
        d: columns of the encoding, an even number from 4 to 64.
        base: of the frequencies, 2 to 100,000.
        length: how many positions, 16 to 128.
        position: the first of two positions, from 0.
        distance: from the first to the second, negative to the left; both must lie in the table.
        clock: the pair of columns to explain, from 0.
        seed: of the random table.
        title: the line above the figure.
    """

    kind = traitlets.Enum(KINDS, "sinusoid").tag(sync=True)
    d = traitlets.Int(32).tag(sync=True)
    base = traitlets.Float(10_000.0).tag(sync=True)
    length = traitlets.Int(64).tag(sync=True)
    position = traitlets.Int(20).tag(sync=True)
    distance = traitlets.Int(7).tag(sync=True)
    clock = traitlets.Int(4).tag(sync=True)
    seed = traitlets.Int(0).tag(sync=True)
    title = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        kind: str = "sinusoid",
        *,
        d: int = 32,
        base: float = 10_000,
        length: int = 64,
        position: int = 20,
        distance: int = 7,
        clock: int = 4,
        seed: int = 0,
        title: str = "Clocks for positions",
    ) -> None:
        width, rows = whole("d", d, *WIDTHS), whole("length", length, *LENGTHS)
        if width % 2:
            raise ValueError(f"d must be even, one sine and one cosine per clock, got {d}")
        first = whole("position", position, 0, rows - 1)
        super().__init__(
            kind=one_of("kind", kind, KINDS),
            d=width,
            base=number("base", base, *BASES),
            length=rows,
            position=first,
            distance=whole("distance", distance, -first, rows - 1 - first),
            clock=whole("clock", clock, 0, width // 2 - 1),
            seed=whole("seed", seed, 0, 2**31 - 1),
            title=title,
        )

    @traitlets.validate("d")
    def _even_width(self, proposal: dict[str, object]) -> int:
        width = trait_whole(proposal["value"], "d", *WIDTHS)
        if width % 2:
            raise traitlets.TraitError(f"d must be even, got {width}")
        return width

    @traitlets.validate("base")
    def _base_in_range(self, proposal: dict[str, object]) -> float:
        return trait_number(proposal["value"], "base", *BASES)

    @traitlets.validate("length")
    def _length_in_range(self, proposal: dict[str, object]) -> int:
        return trait_whole(proposal["value"], "length", *LENGTHS)
