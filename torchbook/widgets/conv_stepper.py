"""ConvStepper: a kernel slides over a small image, one sum at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real

import traitlets

from .base import Widget
from .checks import whole

# The browser's half has the same presets and limits. Whole numbers, so that each sum can be followed by hand.
PRESETS = {
    "vertical edges": [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]],
    "horizontal edges": [[-1, -2, -1], [0, 0, 0], [1, 2, 1]],
    "Laplacian": [[0, 1, 0], [1, -4, 1], [0, 1, 0]],
    "sharpen": [[0, -1, 0], [-1, 5, -1], [0, -1, 0]],
    "box sum": [[1, 1, 1], [1, 1, 1], [1, 1, 1]],
    "Gaussian times 16": [[1, 2, 1], [2, 4, 2], [1, 2, 1]],
    "identity": [[0, 0, 0], [0, 1, 0], [0, 0, 0]],
    "shift right": [[0, 0, 0], [1, 0, 0], [0, 0, 0]],
    "motion": [[0, 0, 0], [0, 1, 0], [0, 0, 0]],  # now minus one step ago: the other channels have the opposite sign
}
SIDES, KERNELS, CHANNELS, FILTERS = (3, 12), (1, 5), (1, 3), (1, 3)
LIMITS = {"padding": (0, 3), "stride": (1, 3), "dilation": (1, 3)}
LARGEST = 99
# A zero of the UCI digits, in the data's own units of 0 to 16.
ZERO = [
    [0, 0, 5, 13, 9, 1, 0, 0],
    [0, 0, 13, 15, 10, 15, 5, 0],
    [0, 3, 15, 2, 0, 11, 8, 0],
    [0, 4, 12, 0, 0, 8, 8, 0],
    [0, 5, 8, 0, 0, 9, 8, 0],
    [0, 4, 11, 0, 1, 12, 7, 0],
    [0, 2, 14, 5, 10, 12, 0, 0],
    [0, 0, 6, 13, 10, 0, 0, 0],
]


def _number(name: str, value: object) -> float:
    good = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    if not good or abs(value) > LARGEST:
        raise ValueError(f"{name} must be a number from -{LARGEST} to {LARGEST}, got {value!r}")
    return float(value)


def _nested(name: str, values: object) -> object:
    """Lists of lists from a tensor, an array or lists."""
    values = values.tolist() if hasattr(values, "tolist") else values
    if isinstance(values, str) or not isinstance(values, Sequence) or not values:
        raise ValueError(f"{name} must be nested lists, an array or a tensor of numbers, got {values!r}")
    return values


def _depth(values: object) -> int:
    return 1 + _depth(values[0]) if isinstance(values, Sequence) and not isinstance(values, str) and values else 0


def _planes(name: str, planes: object, low: int, high: int, square: bool) -> list[list[list[float]]]:
    """(C, rows, columns) as lists of floats: every plane of one shape, with sides from low to high."""
    out = [[[_number(name, v) for v in row] for row in plane] for plane in planes]
    shapes = {(len(plane), len(row)) for plane in out for row in plane}
    if len(shapes) != 1:
        raise ValueError(f"{name}: rows and channels must all have one length, got {sorted(shapes)}")
    ((rows, columns),) = shapes
    if square and rows != columns:
        raise ValueError(f"{name} must be square, got {rows} rows and {columns} columns")
    if not all(low <= side <= high for side in (rows, columns)):
        raise ValueError(f"{name} must have sides from {low} to {high}, got {rows} by {columns}")
    return out


def whole_image(image: object) -> list[list[list[float]]]:
    """(C, H, W) from a picture (H, W) or (C, H, W). A single picture gets itself, one step ago, as a second channel."""
    image = _nested("image", image)
    if _depth(image) not in (2, 3):
        raise ValueError(f"image must be (H, W) or (C, H, W), got {_depth(image)} dimensions")
    planes = _planes("image", image if _depth(image) == 3 else [image], *SIDES, square=False)
    if len(planes) > CHANNELS[1]:
        raise ValueError(f"image must have at most {CHANNELS[1]} channels, got {len(planes)}")
    if len(planes) == 1:
        planes.append([[*row[1:], 0.0] for row in planes[0]])
    return planes


def preset_kernel(name: str, channels: int) -> list[list[list[float]]]:
    """The kernel of one filter: (channels, 3, 3)."""
    if name not in PRESETS:
        raise ValueError(f"no preset named {name!r}: there are {', '.join(PRESETS)}")
    signs = [1 if name != "motion" or c == 0 else -1 if c == 1 else 0 for c in range(channels)]
    return [[[float(sign * v) for v in row] for row in PRESETS[name]] for sign in signs]


def whole_kernel(kernel: object, channels: int) -> list[list[list[list[float]]]]:
    """(filters, channels, K, K) from (K, K), which serves every channel, or from all four dimensions."""
    kernel = _nested("kernel", kernel)
    if _depth(kernel) not in (2, 4):
        raise ValueError(f"kernel must be (K, K) or (filters, channels, K, K), got {_depth(kernel)} dimensions")
    filters = [[kernel] * channels] if _depth(kernel) == 2 else kernel
    whole("the number of filters in kernel", len(filters), *FILTERS)
    if any(len(one) != channels for one in filters):
        raise ValueError(f"kernel must hold {channels} channels per filter, as many as the image has")
    flat = _planes("kernel", [plane for one in filters for plane in one], *KERNELS, square=True)
    return [flat[i : i + channels] for i in range(0, len(flat), channels)]


class ConvStepper(Widget):
    """A kernel slides over a small image: each sum in full, each output place, and why there are so many of them.

    The numbers are those of `torch.nn.functional.conv2d` with the same stride, padding and dilation; `flip` turns
    its cross-correlation into a convolution.

    Args:
        image: (H, W) or (C, H, W), sides 3 to 12, up to 3 channels; a zero of the UCI digits by default. A single
            picture gets a second channel: itself, one column to the left, as it was one step ago.
        preset: one of `PRESETS`, for the first filter.
        kernel: instead of a preset, (K, K) or (filters, C, K, K), K from 1 to 5.
        channels: how many of the image's channels take part.
        filters: how many filters, 1 to 3; with `kernel` in four dimensions, as many as it holds.
        padding, stride, dilation: the same for both axes; `LIMITS` says how far.
        flip: use the reflected kernel.
        title: the line above the figure.
    """

    image = traitlets.List().tag(sync=True)
    kernel = traitlets.List().tag(sync=True)
    bias = traitlets.List(traitlets.Float()).tag(sync=True)
    channels = traitlets.Int(1).tag(sync=True)
    filter = traitlets.Int(0).tag(sync=True)
    padding = traitlets.Int(0).tag(sync=True)
    stride = traitlets.Int(1).tag(sync=True)
    dilation = traitlets.Int(1).tag(sync=True)
    flip = traitlets.Bool(False).tag(sync=True)
    step = traitlets.Int(0).tag(sync=True)
    title = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        image: object = None,
        *,
        preset: str = "vertical edges",
        kernel: object = None,
        channels: int | None = None,
        filters: int = 1,
        padding: int = 0,
        stride: int = 1,
        dilation: int = 1,
        flip: bool = False,
        title: str = "One kernel, every place",
    ) -> None:
        planes = whole_image(ZERO if image is None else image)
        first = preset_kernel(preset, len(planes))
        if kernel is None:
            others = [name for name in PRESETS if name != preset]
            more = [preset_kernel(name, len(planes)) for name in others[: whole("filters", filters, *FILTERS) - 1]]
            weight = [first, *more]
        else:
            weight = whole_kernel(kernel, len(planes))
        wanted = 2 if preset == "motion" and kernel is None else 1
        if not isinstance(flip, bool):
            raise ValueError(f"flip must be True or False, got {flip!r}")
        super().__init__(
            image=planes,
            kernel=weight,
            bias=[0.0] * len(weight),
            channels=whole("channels", wanted if channels is None else channels, 1, len(planes)),
            padding=whole("padding", padding, *LIMITS["padding"]),
            stride=whole("stride", stride, *LIMITS["stride"]),
            dilation=whole("dilation", dilation, *LIMITS["dilation"]),
            flip=flip,
            title=title,
        )
