"""ReceptiveField: which pixels can change one unit of a stack of convolutions?"""

from __future__ import annotations

import operator
from collections.abc import Sequence

import traitlets

from torchbook.widgets.base import Widget

# One layer is (kernel, stride, dilation, padding); receptive_field.js holds the same table.
LIMITS = {"kernel": (1, 11), "stride": (1, 4), "dilation": (1, 8), "padding": (0, 8)}
DEFAULTS = (None, 1, 1, 0)
MOST_LAYERS = 8
LARGEST_INPUT = 255
OUTPUTS = 9  # an input that is chosen for the reader gives this many output units


def _whole(value: object, what: str, low: int, high: int) -> int:
    """`value` as an int in [low, high], or an error that names `what`."""
    try:
        number = operator.index(value)
    except TypeError:
        raise traitlets.TraitError(f"{what} must be a whole number, got {value!r}") from None
    if not low <= number <= high:
        raise traitlets.TraitError(f"{what} must lie in {low}..{high}, got {number}")
    return number


def _whole_layer(layer: object, index: int) -> list[int]:
    """One layer in full: [kernel, stride, dilation, padding]."""
    if isinstance(layer, str) or not isinstance(layer, Sequence) or not 1 <= len(layer) <= 4:
        raise traitlets.TraitError(f"layer {index} must be (kernel, stride[, dilation[, padding]]), got {layer!r}")
    given = (*layer, *DEFAULTS[len(layer) :])
    return [_whole(value, f"{name} of layer {index}", *LIMITS[name]) for name, value in zip(LIMITS, given, strict=True)]


def whole_layers(layers: object) -> list[list[int]]:
    """Every layer in full. Raises TraitError that names the layer and the number that is wrong."""
    if isinstance(layers, str) or not isinstance(layers, Sequence):
        raise traitlets.TraitError(f"layers must be a list of (kernel, stride, ...), got {layers!r}")
    if not 1 <= len(layers) <= MOST_LAYERS:
        raise traitlets.TraitError(f"layers must hold 1 to {MOST_LAYERS} layers, got {len(layers)}")
    return [_whole_layer(layer, index) for index, layer in enumerate(layers, start=1)]


def output_sizes(layers: Sequence[Sequence[int]], input_size: int) -> list[int]:
    """Side of the input and of each layer's output, in units. It ends with a 0 where a layer cannot fit."""
    sizes = [input_size]
    for kernel, stride, dilation, padding in layers:
        room = sizes[-1] + 2 * padding - dilation * (kernel - 1) - 1
        sizes.append(room // stride + 1 if room >= 0 else 0)
        if room < 0:
            break
    return sizes


def fitting_input(layers: Sequence[Sequence[int]], outputs: int) -> int:
    """The smallest input side, in pixels, that gives at least `outputs` output units."""
    size = outputs
    for kernel, stride, dilation, padding in reversed(layers):
        size = max((size - 1) * stride + dilation * (kernel - 1) + 1 - 2 * padding, 1)
    return size


class ReceptiveField(Widget):
    """A stack of convolutions, one marked output unit, and every pixel that can change it.

    layers: (kernel, stride[, dilation[, padding]]) for each layer, first layer first. Kernels and images
        are square, so one number tells both sides. A pooling layer counts like a convolution.
    input_size: side of the input, in pixels (1..255). Without it, the smallest side with nine output units.
    unit: index of the marked output unit, the same in both directions. Without it, the middle one.

    All three are traits: they follow the reader's hand, and the figure follows them.
    Raises TraitError for numbers out of their range and for a stack that does not fit its input.
    """

    layers = traitlets.List(traitlets.List(traitlets.Int())).tag(sync=True)
    input_size = traitlets.Int().tag(sync=True)
    unit = traitlets.Int().tag(sync=True)

    def __init__(
        self,
        layers: Sequence[Sequence[int]] = ((3, 1), (3, 2), (3, 1)),
        input_size: int | None = None,
        unit: int | None = None,
        **kwargs: object,
    ) -> None:
        layers = whole_layers(layers)
        if input_size is None:
            input_size = min(fitting_input(layers, OUTPUTS), LARGEST_INPUT)
        input_size = _whole(input_size, "input_size", 1, LARGEST_INPUT)
        sizes = output_sizes(layers, input_size)
        if sizes[-1] < 1:
            raise traitlets.TraitError(_misfit(layers, sizes))
        unit = sizes[-1] // 2 if unit is None else unit
        super().__init__(layers=layers, input_size=input_size, unit=unit, **kwargs)

    @traitlets.validate("layers")
    def _check_layers(self, proposal: dict) -> list[list[int]]:
        return whole_layers(proposal["value"])

    @traitlets.validate("input_size")
    def _check_input_size(self, proposal: dict) -> int:
        return _whole(proposal["value"], "input_size", 1, LARGEST_INPUT)

    @traitlets.validate("unit")
    def _check_unit(self, proposal: dict) -> int:
        # A reader may pass through a stack that does not fit; the figure says so, and keeps the unit.
        outputs = output_sizes(self.layers, self.input_size)[-1] or LARGEST_INPUT
        return _whole(proposal["value"], "unit (an index into the output)", 0, outputs - 1)

    @traitlets.observe("layers", "input_size")
    def _keep_unit(self, _change: dict) -> None:
        outputs = output_sizes(self.layers, self.input_size)[-1]
        if outputs and self.unit >= outputs:
            self.unit = outputs - 1


def _misfit(layers: list[list[int]], sizes: list[int]) -> str:
    index = len(sizes) - 1
    kernel, _, dilation, padding = layers[index - 1]
    span, arriving = dilation * (kernel - 1) + 1, sizes[-2] + 2 * padding
    enough = fitting_input(layers, 1)
    larger = f"an input_size of at least {enough}, " if enough <= LARGEST_INPUT else ""
    return (
        f"layer {index} does not fit: its kernel spans {span} units, and only {arriving} arrive (padding "
        f"included). Give {larger}a smaller kernel or dilation, or more padding"
    )
