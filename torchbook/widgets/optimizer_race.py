"""SGD, momentum, AdaGrad, RMSProp, Adam and AdamW race, with the rate that each gives to each coordinate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import traitlets

from .base import Widget
from .checks import number, one_of, whole

SURFACES = ("axes", "ravine", "sparse", "noisy")
METHODS = ("sgd", "momentum", "adagrad", "rmsprop", "adam", "adamw")
PLACES = ("outside", "inside")
CHARTS = ("loss", "rate_x", "rate_y", "step_x", "step_y")
# The browser's half has the same: where a surface is entered, with which rates, and for how long.
DEFAULTS = {
    "axes": ((-4.0, -2.5), (0.015, 0.005, 1.5, 0.2, 0.5, 0.5), 150),
    "ravine": ((3.6, -1.5), (0.05, 0.02, 1.5, 0.15, 0.5, 0.5), 150),
    "sparse": ((-4.0, -2.5), (0.15, 0.05, 1.5, 0.1, 0.15, 0.15), 200),
    "noisy": ((-4.0, -2.5), (0.05, 0.005, 1.0, 0.05, 0.1, 0.1), 200),
}


def _point(value: Sequence[float]) -> list[float]:
    if isinstance(value, str) or len(value) != 2:
        raise ValueError(f"start must be two numbers, x and y, got {value!r}")
    return [number(f"start's {axis}", v, -b, b) for axis, v, b in zip("xy", value, (5, 4), strict=True)]


def _rates(own: Sequence[float], lr: Mapping[str, float] | None) -> list[float]:
    unknown = [name for name in lr or () if name not in METHODS]
    if unknown:
        raise ValueError(f"lr has rates for {unknown}: the methods are {', '.join(METHODS)}")
    wanted = dict(zip(METHODS, own, strict=True)) | dict(lr or {})
    return [number(f"the rate of {name}", rate, 1e-4, 10) for name, rate in wanted.items()]


class OptimizerRace(Widget):
    """Six optimizers on a surface of two parameters, each with its own rate, from one start and in the same weather.

    The methods are those of `torch.optim`: `SGD`, `SGD(momentum=beta1)`, `Adagrad`, `RMSprop(alpha=beta2)`, `Adam` and
    `AdamW(betas=(beta1, beta2))`. Beside each stands the rate that it gives to either coordinate at the step shown:
    alpha for SGD and momentum, alpha / (sqrt(s) + eps) for the others. Bias correction can be left out, and epsilon
    can stand inside the root instead.

    Args:
        surface: one of `SURFACES`. axes: a bowl with curvatures 1 and kappa whose axes may be turned; ravine: a valley
            around a corner; sparse: y gets a gradient in every n-th step alone, x a noisy one; noisy: y gets noise.
        kappa: condition number of `axes`, 1 to 1000.
        tilt: angle of its axes in degrees, 0 to 45.
        every: n of `sparse`, a whole number from 1 to 50.
        noise: standard deviation of the noise on x (sparse) or y (noisy), 0 to 5.
        lr: rates by method, each 0.0001 to 10; those not named suit the surface.
        methods: which of `METHODS` run.
        beta1: memory of the gradient, 0 to 0.99.
        beta2: memory of its square, 0 to 0.999.
        eps: 1e-10 to 1.
        eps_place: "outside" as in PyTorch, sqrt(v) + eps; or "inside", sqrt(v + eps).
        bias_correction: of Adam and AdamW.
        weight_decay: 0 to 1; an L2 penalty in all methods but AdamW, as PyTorch has it.
        scale: what the loss is multiplied with, 1e-6 to 1000.
        start: x from -5 to 5 and y from -4 to 4; by default one that suits the surface.
        steps: how many updates, 10 to 1000; by default as many as the surface needs.
        chart: one of `CHARTS`.
        seed: of the noise.
        title: the line above the figure.
    """

    surface = traitlets.Enum(SURFACES, "axes").tag(sync=True)
    kappa = traitlets.Float(100.0).tag(sync=True)
    tilt = traitlets.Float(0.0).tag(sync=True)
    every = traitlets.Int(20).tag(sync=True)
    noise = traitlets.Float(2.0).tag(sync=True)
    rates = traitlets.List(traitlets.Float()).tag(sync=True)
    methods = traitlets.List(traitlets.Enum(METHODS)).tag(sync=True)
    beta1 = traitlets.Float(0.9).tag(sync=True)
    beta2 = traitlets.Float(0.99).tag(sync=True)
    eps = traitlets.Float(1e-8).tag(sync=True)
    eps_place = traitlets.Enum(PLACES, "outside").tag(sync=True)
    bias_correction = traitlets.Bool(True).tag(sync=True)
    weight_decay = traitlets.Float(0.0).tag(sync=True)
    scale = traitlets.Float(1.0).tag(sync=True)
    start = traitlets.List(traitlets.Float()).tag(sync=True)
    steps = traitlets.Int(150).tag(sync=True)
    step = traitlets.Int(150).tag(sync=True)
    chart = traitlets.Enum(CHARTS, "loss").tag(sync=True)
    seed = traitlets.Int(0).tag(sync=True)
    title = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        surface: str = "axes",
        *,
        kappa: float = 100.0,
        tilt: float = 0.0,
        every: int = 20,
        noise: float = 2.0,
        lr: Mapping[str, float] | None = None,
        methods: Sequence[str] = METHODS,
        beta1: float = 0.9,
        beta2: float = 0.99,
        eps: float = 1e-8,
        eps_place: str = "outside",
        bias_correction: bool = True,
        weight_decay: float = 0.0,
        scale: float = 1.0,
        start: Sequence[float] | None = None,
        steps: int | None = None,
        chart: str = "loss",
        seed: int = 0,
        title: str = "Six optimizers, one rate per coordinate",
    ) -> None:
        own_start, own_rates, own_steps = DEFAULTS[one_of("surface", surface, SURFACES)]
        unknown = [name for name in methods if name not in METHODS]
        if unknown or not methods:
            raise ValueError(f"methods must be one or more of {', '.join(METHODS)}, got {list(methods)!r}")
        if not isinstance(bias_correction, bool):
            raise ValueError(f"bias_correction must be True or False, got {bias_correction!r}")
        length = whole("steps", own_steps if steps is None else steps, 10, 1000)
        super().__init__(
            surface=surface,
            kappa=number("kappa", kappa, 1, 1000),
            tilt=number("tilt", tilt, 0, 45),
            every=whole("every", every, 1, 50),
            noise=number("noise", noise, 0, 5),
            rates=_rates(own_rates, lr),
            methods=[name for name in METHODS if name in methods],
            beta1=number("beta1", beta1, 0, 0.99),
            beta2=number("beta2", beta2, 0, 0.999),
            eps=number("eps", eps, 1e-10, 1),
            eps_place=one_of("eps_place", eps_place, PLACES),
            bias_correction=bias_correction,
            weight_decay=number("weight_decay", weight_decay, 0, 1),
            scale=number("scale", scale, 1e-6, 1e3),
            start=_point(own_start if start is None else start),
            steps=length,
            step=length,
            chart=one_of("chart", chart, CHARTS),
            seed=whole("seed", seed, 0, 2**31 - 1),
            title=title,
        )
