"""Activations and their slopes side by side, and what a stack of random layers makes of a signal and a gradient."""

from __future__ import annotations

from collections.abc import Sequence

import traitlets

from .base import Widget
from .checks import number, whole

NAMES = (
    "identity",
    "sigmoid",
    "tanh",
    "arctan",
    "relu",
    "leaky_relu",
    "relu6",
    "elu",
    "gelu",
    "softplus",
    "logsigmoid",
)
MOST = 5  # curves that can still be told apart
WIDTHS = (16, 32, 64)
DEPTHS = (1, 50)
GAINS = (0.1, 10.0)
MEASURES = ("size", "spread")


def _chosen(names: Sequence[str]) -> list[str]:
    if isinstance(names, str):
        raise ValueError(f"activations must be a list of names, such as [{names!r}], not one string")
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise ValueError(f"no activation named {unknown[0]!r}: there are {', '.join(NAMES)}")
    if not 1 <= len(names) <= MOST or len(set(names)) != len(names):
        raise ValueError(f"choose 1 to {MOST} different activations, got {list(names)!r}")
    return list(names)


class Activations(Widget):
    """Compare activations: value and slope at a place, and the fate of signal and gradient through random layers.

    Eight inputs with independent standard normal entries go through `depth` layers h = a(W h), where each weight is
    normal with standard deviation gain / sqrt(width). A standard normal gradient at the top goes back through the
    same layers. Both are measured at each layer by their root mean square over units and inputs.

    Args:
        activations: one to five of `NAMES`, with PyTorch's definitions.
        z: the place at which values and slopes are read, -5 to 5.
        alpha: left slope of leaky_relu and left scale of elu, 0 to 2.
        depth: number of layers, 1 to 50.
        width: units per layer, one of `WIDTHS`.
        gain: scale of the weights, 0.1 to 10.
        measure: of the signal: "size" (root mean square) or "spread" (root of the variance over the inputs).
        seed: of weights, inputs and gradient.
        title: the line above the figure.
    """

    activations = traitlets.List(traitlets.Enum(NAMES)).tag(sync=True)
    z = traitlets.Float(1.0).tag(sync=True)
    alpha = traitlets.Float(0.2).tag(sync=True)
    depth = traitlets.Int(20).tag(sync=True)
    width = traitlets.Int(64).tag(sync=True)
    gain = traitlets.Float(1.0).tag(sync=True)
    measure = traitlets.Enum(MEASURES, "size").tag(sync=True)
    seed = traitlets.Int(0).tag(sync=True)
    title = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        activations: Sequence[str] = ("sigmoid", "tanh", "relu"),
        *,
        z: float = 1.0,
        alpha: float = 0.2,
        depth: int = 20,
        width: int = 64,
        gain: float = 1.0,
        measure: str = "size",
        seed: int = 0,
        title: str = "The bend, its slope, and what many layers make of it",
    ) -> None:
        if width not in WIDTHS or isinstance(width, bool):
            raise ValueError(f"width must be one of {', '.join(map(str, WIDTHS))}, got {width!r}")
        if measure not in MEASURES:
            raise ValueError(f"measure must be one of {', '.join(MEASURES)}, got {measure!r}")
        super().__init__(
            activations=_chosen(activations),
            z=number("z", z, -5, 5),
            alpha=number("alpha", alpha, 0, 2),
            depth=whole("depth", depth, *DEPTHS),
            width=int(width),
            gain=number("gain", gain, *GAINS),
            measure=measure,
            seed=whole("seed", seed, 0, 2**31 - 1),
            title=title,
        )
