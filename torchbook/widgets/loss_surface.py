"""Gradient descent, momentum and Nesterov race over a surface, with the rates at which each leaves it."""

from __future__ import annotations

from collections.abc import Sequence

import traitlets

from .base import Widget
from .checks import number, whole

SURFACES = ("quadratic", "ravine", "rosenbrock", "saddle", "valleys")
METHODS = ("plain", "momentum", "nesterov")
RATES = (1e-3, 10.0)
KAPPAS = (1.0, 100.0)
STEPS = (10, 1000)
MAX_NOISE = 5.0
# The browser's half has the same: where a surface is entered, with which rate, and for how long.
DEFAULTS = {
    "quadratic": ((-4.0, 2.5), 0.06, 100),
    "ravine": ((-4.0, 2.0), 0.05, 200),
    "rosenbrock": ((-1.4, 1.2), 0.004, 400),
    "saddle": ((2.0, 0.0), 0.1, 100),
    "valleys": ((1.8, 1.0), 0.02, 100),
}


def _point(value: Sequence[float]) -> list[float]:
    if isinstance(value, str) or len(value) != 2:
        raise ValueError(f"start must be two numbers, x and y, got {value!r}")
    return [number(f"start's {axis}", v, -5, 5) for axis, v in zip("xy", value, strict=True)]


class LossSurface(Widget):
    """Three ways down a surface of two parameters, step by step, from one start and with the same noise.

    The methods are those of `torch.optim.SGD`: plain, `momentum=mu`, and `momentum=mu, nesterov=True`. A ruler
    shows for each the learning rates that converge: below 2/L, 2(1 + mu)/L and (2 + 2 mu)/(1 + 2 mu)/L, where L
    is the largest curvature at the minimum (Polyak 1964 for the second; the others by the same argument).

    Args:
        surface: one of `SURFACES`: quadratic (curvatures 1 and kappa), ravine, rosenbrock, saddle, valleys.
        kappa: condition number of the quadratic, 1 to 100.
        lr: learning rate, 0.001 to 10; by default one that suits the surface.
        momentum: mu, 0 to 0.99.
        noise: standard deviation of what is added to each entry of each gradient, 0 to 5.
        start: x and y, each from -5 to 5; by default one that suits the surface.
        methods: which of `METHODS` run.
        steps: how many updates, 10 to 1000; by default as many as the surface needs.
        seed: of the noise.
        title: the line above the figure.
    """

    surface = traitlets.Enum(SURFACES, "quadratic").tag(sync=True)
    kappa = traitlets.Float(20.0).tag(sync=True)
    lr = traitlets.Float(0.06).tag(sync=True)
    momentum = traitlets.Float(0.8).tag(sync=True)
    noise = traitlets.Float(0.0).tag(sync=True)
    start = traitlets.List(traitlets.Float()).tag(sync=True)
    methods = traitlets.List(traitlets.Enum(METHODS)).tag(sync=True)
    steps = traitlets.Int(100).tag(sync=True)
    step = traitlets.Int(100).tag(sync=True)
    seed = traitlets.Int(0).tag(sync=True)
    title = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        surface: str = "quadratic",
        *,
        kappa: float = 20.0,
        lr: float | None = None,
        momentum: float = 0.8,
        noise: float = 0.0,
        start: Sequence[float] | None = None,
        methods: Sequence[str] = METHODS,
        steps: int | None = None,
        seed: int = 0,
        title: str = "Three ways down",
    ) -> None:
        if surface not in SURFACES:
            raise ValueError(f"no surface named {surface!r}: there are {', '.join(SURFACES)}")
        unknown = [name for name in methods if name not in METHODS]
        if unknown or not methods:
            raise ValueError(f"methods must be one or more of {', '.join(METHODS)}, got {list(methods)!r}")
        own_start, own_rate, own_steps = DEFAULTS[surface]
        length = whole("steps", own_steps if steps is None else steps, *STEPS)
        super().__init__(
            surface=surface,
            kappa=number("kappa", kappa, *KAPPAS),
            lr=number("lr", own_rate if lr is None else lr, *RATES),
            momentum=number("momentum", momentum, 0, 0.99),
            noise=number("noise", noise, 0, MAX_NOISE),
            start=_point(own_start if start is None else start),
            methods=[name for name in METHODS if name in methods],
            steps=length,
            step=length,
            seed=whole("seed", seed, 0, 2**31 - 1),
            title=title,
        )
