"""Stack blocks of convolutional networks; what each block costs is counted in the browser."""

from __future__ import annotations

from collections.abc import Sequence

import traitlets

from .base import Widget
from .checks import whole

_CONV = (("channels", 1, 4096), ("kernel", 1, 11), ("stride", 1, 4), ("padding", 0, 5))
_STAGE = (("blocks", 1, 40), ("channels", 4, 4096), ("stride", 1, 2))
# The browser's half has the same kinds: the fields of each, with the smallest and the largest value.
KINDS: dict[str, tuple[tuple[str, int, int], ...]] = {
    "conv": _CONV,
    "convnorm": _CONV,
    "maxpool": _CONV[1:],
    "avgpool": _CONV[1:],
    "vgg": (("convolutions", 1, 8), ("channels", 1, 4096)),
    "inception": tuple((name, 1, 1024) for name in ("1x1", "3x3 reduced", "3x3", "5x5 reduced", "5x5", "pool 1x1")),
    "basic": _STAGE,
    "bottleneck": _STAGE,
    "dense": (("layers", 1, 64), ("growth", 1, 128)),
    "transition": (),
    "norm": (),
    "gap": (),
    "linear": (("units", 1, 10_000),),
}
Block = Sequence[str | int]
_HEAD: list[Block] = [("linear", 4096), ("linear", 4096), ("linear", 1000)]
_STEM: list[Block] = [("convnorm", 64, 7, 2, 3), ("maxpool", 3, 2, 1)]
_POOL: list[Block] = [("maxpool", 3, 2, 1)]
PRESETS: dict[str, tuple[tuple[int, int], list[Block]]] = {
    "LeNet": (
        (1, 28),
        [
            *[("conv", 6, 5, 1, 2), ("avgpool", 2, 2, 0), ("conv", 16, 5, 1, 0), ("avgpool", 2, 2, 0)],
            *[("linear", 120), ("linear", 84), ("linear", 10)],
        ],
    ),
    "AlexNet": (
        (3, 227),
        [
            *[("conv", 96, 11, 4, 0), ("maxpool", 3, 2, 0), ("conv", 256, 5, 1, 2), ("maxpool", 3, 2, 0)],
            *[("conv", 384, 3, 1, 1), ("conv", 384, 3, 1, 1), ("conv", 256, 3, 1, 1), ("maxpool", 3, 2, 0)],
            *_HEAD,
        ],
    ),
    "VGG-16": ((3, 224), [("vgg", 2, 64), ("vgg", 2, 128), ("vgg", 3, 256), ("vgg", 3, 512), ("vgg", 3, 512), *_HEAD]),
    "GoogLeNet": (
        (3, 224),
        [
            *[("conv", 64, 7, 2, 3), *_POOL, ("conv", 64, 1, 1, 0), ("conv", 192, 3, 1, 1), *_POOL],
            *[("inception", 64, 96, 128, 16, 32, 32), ("inception", 128, 128, 192, 32, 96, 64), *_POOL],
            *[("inception", 192, 96, 208, 16, 48, 64), ("inception", 160, 112, 224, 24, 64, 64)],
            *[("inception", 128, 128, 256, 24, 64, 64), ("inception", 112, 144, 288, 32, 64, 64)],
            *[("inception", 256, 160, 320, 32, 128, 128), *_POOL, ("inception", 256, 160, 320, 32, 128, 128)],
            *[("inception", 384, 192, 384, 48, 128, 128), ("gap",), ("linear", 1000)],
        ],
    ),
    "ResNet-18": (
        (3, 224),
        [
            *[*_STEM, ("basic", 2, 64, 1), ("basic", 2, 128, 2), ("basic", 2, 256, 2), ("basic", 2, 512, 2)],
            *[("gap",), ("linear", 1000)],
        ],
    ),
    "DenseNet-121": (
        (3, 224),
        [
            *[*_STEM, ("dense", 6, 32), ("transition",), ("dense", 12, 32), ("transition",), ("dense", 24, 32)],
            *[("transition",), ("dense", 16, 32), ("norm",), ("gap",), ("linear", 1000)],
        ],
    ),
}
MAX_BLOCKS = 24


def _block(place: int, block: object) -> list[str | int]:
    if isinstance(block, str) or not isinstance(block, Sequence) or not block:
        raise ValueError(f"block {place} must be a list such as ['conv', 64, 3, 1, 1], got {block!r}")
    kind, *values = block
    if kind not in KINDS:
        raise ValueError(f"block {place}: no kind {kind!r}; there are {', '.join(KINDS)}")
    fields = KINDS[kind]
    if len(values) != len(fields):
        wanted = ", ".join(name for name, _, _ in fields) or "nothing"
        raise ValueError(f"block {place}: {kind} takes {wanted}; got {values!r}")
    numbers = [
        whole(f"block {place}: {name} of {kind}", value, low, high)
        for value, (name, low, high) in zip(values, fields, strict=True)
    ]
    return [kind, *numbers]


class ArchitectureBuilder(Widget):
    """A network as a row of blocks: shapes, parameters, multiply-adds, activations and receptive field of each.

    Memory is that of the outputs of convolutions, poolings and linear layers, as 32-bit floats, for one image. The
    receptive field is that of the longest path; a linear layer counts as a kernel as large as its input.

    Args:
        preset: one of `PRESETS`: LeNet, AlexNet, VGG-16, GoogLeNet, ResNet-18, DenseNet-121.
        blocks: instead of a preset, a list of blocks, each a kind of `KINDS` and its numbers.
        channels: of the input image, 1 to 16; by default the preset's, or 3.
        side: of the square input image in pixels, 8 to 256; by default the preset's, or 224.
        title: the line above the picture.
    """

    blocks = traitlets.List().tag(sync=True)
    channels = traitlets.Int(3).tag(sync=True)
    side = traitlets.Int(224).tag(sync=True)
    selected = traitlets.Int(0).tag(sync=True)
    title = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        preset: str = "VGG-16",
        *,
        blocks: Sequence[Block] | None = None,
        channels: int | None = None,
        side: int | None = None,
        title: str = "What a network costs",
    ) -> None:
        if preset not in PRESETS:
            raise ValueError(f"no network named {preset!r}: there are {', '.join(PRESETS)}")
        image, own = PRESETS[preset] if blocks is None else ((3, 224), blocks)
        if not 1 <= len(own) <= MAX_BLOCKS:
            raise ValueError(f"blocks must be a list of 1 to {MAX_BLOCKS} blocks, got {len(own)}")
        super().__init__(
            blocks=[_block(i, block) for i, block in enumerate(own, start=1)],
            channels=whole("channels", image[0] if channels is None else channels, 1, 16),
            side=whole("side", image[1] if side is None else side, 8, 256),
            selected=0,
            title=title,
        )
