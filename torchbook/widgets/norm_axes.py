"""A block (N, C, H, W) to touch: which entries share a mean and a variance under five normalization layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real

import traitlets

from .base import Widget
from .checks import one_of, whole

# The browser's half has the same names, the same bounds and PyTorch's eps and momentum.
NORMS = ("batch", "layer", "channels", "instance", "group")
PRESETS = ("random", "bright", "loud")
MODES = ("train", "eval")
SHARES = ("statistics", "parameters")
LARGEST = (4, 4, 2, 2)
EDGE = 9.0


def _shape(value: Sequence[int]) -> list[int]:
    if isinstance(value, str) or len(value) != 4:
        raise ValueError(f"shape must be four sizes, N, C, H and W, got {value!r}")
    return [whole(f"shape's {axis}", size, 1, most) for axis, size, most in zip("NCHW", value, LARGEST, strict=True)]


def _flat(values: object) -> list[object]:
    """The numbers of nested lists, or of anything that has `tolist`."""
    values = values.tolist() if hasattr(values, "tolist") else values
    return [n for part in values for n in _flat(part)] if isinstance(values, (list, tuple)) else [values]


def _values(values: object, shape: list[int]) -> list[float]:
    flat = _flat(values)
    if len(flat) != math.prod(shape):
        raise ValueError(f"values must be {math.prod(shape)} numbers for the shape {tuple(shape)}, got {len(flat)}")
    for value in flat:
        if not isinstance(value, Real) or isinstance(value, bool) or not -EDGE <= value <= EDGE:
            raise ValueError(f"values must be numbers from -{EDGE:g} to {EDGE:g}, got {value!r}")
    return [float(value) for value in flat]


class NormAxes(Widget):
    """Which entries of a block share a mean and a variance, and which share a scale and a shift.

    The layers are `BatchNorm2d(C)`, `LayerNorm([C, H, W])`, `LayerNorm(C)` over the channels of each position,
    `InstanceNorm2d(C)` and `GroupNorm(groups, C)`, with PyTorch's eps 1e-5 and momentum 0.1. Wu and He (2018)
    draw the same picture.

    Args:
        norm: one of `NORMS`.
        shape: N, C, H, W; at most (4, 4, 2, 2).
        groups: of group norm; must divide C.
        values: the block, nested or flat, from -9 to 9; drawn from `seed` if left out.
        preset: how values are drawn, one of `PRESETS`: random, one bright image, one loud channel.
        picked: index of the entry that is looked at, in the flattened block.
        mode: "train" or "eval"; matters to batch norm alone.
        output: show the normalized block instead of the input.
        share: "statistics" or "parameters": what the letters and the thick borders stand for.
        seed: of the values.
        title: the line above the figure.
    """

    norm = traitlets.Enum(NORMS, "batch").tag(sync=True)
    shape = traitlets.List(traitlets.Int()).tag(sync=True)
    groups = traitlets.Int(2).tag(sync=True)
    values = traitlets.List(traitlets.Float()).tag(sync=True)
    preset = traitlets.Enum(PRESETS, "random").tag(sync=True)
    picked = traitlets.Int(0).tag(sync=True)
    mode = traitlets.Enum(MODES, "train").tag(sync=True)
    output = traitlets.Bool(False).tag(sync=True)
    share = traitlets.Enum(SHARES, "statistics").tag(sync=True)
    running = traitlets.Dict().tag(sync=True)
    steps = traitlets.Int(0).tag(sync=True)
    seed = traitlets.Int(0).tag(sync=True)
    title = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        norm: str = "batch",
        *,
        shape: Sequence[int] = (3, 4, 2, 2),
        groups: int | None = None,
        values: object = None,
        preset: str = "random",
        picked: int = 0,
        mode: str = "train",
        output: bool = False,
        share: str = "statistics",
        seed: int = 0,
        title: str = "Who shares a mean?",
    ) -> None:
        sizes = _shape(shape)
        channels = sizes[1]
        count = whole("groups", (2 - channels % 2) if groups is None else groups, 1, channels)
        if channels % count:
            raise ValueError(f"groups must divide the {channels} channels, got {groups}")
        super().__init__(
            norm=one_of("norm", norm, NORMS),
            shape=sizes,
            groups=count,
            values=[] if values is None else _values(values, sizes),
            preset=one_of("preset", preset, PRESETS),
            picked=whole("picked", picked, 0, math.prod(sizes) - 1),
            mode=one_of("mode", mode, MODES),
            output=bool(output),
            share=one_of("share", share, SHARES),
            running={"mean": [0.0] * channels, "variance": [1.0] * channels},
            seed=whole("seed", seed, 0, 2**20),
            title=title,
        )
