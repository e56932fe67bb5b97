"""A gradient on its way back through a recurrent network: how it shrinks or grows, and what clipping does."""

from __future__ import annotations

import traitlets

from .base import Widget
from .checks import number, one_of, whole

MATRICES = ("orthogonal", "random", "shear")
NONLINEARITIES = ("linear", "tanh", "relu")
UNITS = 16
RADII = (0.5, 1.5)
LENGTHS = (5, 100)
INPUTS = (0.0, 3.0)
LIMITS = (0.01, 100.0)


class GradientFlow(Widget):
    """The norm of dL/dh_t for every step t of h_t = phi(W h_{t-1} + x_t), where L is u . h_T and u has length 1.

    Beside it run the bound by the largest singular value and the rate of the spectral radius (Pascanu, Mikolov and
    Bengio 2013, section 2.1). Below: each step's term in the gradient of W, and that gradient's norm, clipped.

    Args:
        matrix: the recurrent matrix of 16 units: one of `MATRICES`. shear: blocks (r, 3; 0, r).
        radius: its spectral radius r, 0.5 to 1.5.
        nonlinearity: phi, one of `NONLINEARITIES`.
        length: T, 5 to 100 steps.
        inputs: standard deviation of the noise x_t, 0 to 3.
        clip: whether the gradient of W is clipped by its norm.
        limit: at which norm, 0.01 to 100.
        step: where the marker stands, 0 to length; by default at the start of the sequence.
        seed: of matrix, noise and u.
        title: the line above the figure.
    """

    matrix = traitlets.Enum(MATRICES, "orthogonal").tag(sync=True)
    radius = traitlets.Float(1.0).tag(sync=True)
    nonlinearity = traitlets.Enum(NONLINEARITIES, "tanh").tag(sync=True)
    length = traitlets.Int(50).tag(sync=True)
    inputs = traitlets.Float(0.1).tag(sync=True)
    clip = traitlets.Bool(False).tag(sync=True)
    limit = traitlets.Float(1.0).tag(sync=True)
    step = traitlets.Int(0).tag(sync=True)
    seed = traitlets.Int(0).tag(sync=True)
    title = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        *,
        matrix: str = "orthogonal",
        radius: float = 1.0,
        nonlinearity: str = "tanh",
        length: int = 50,
        inputs: float = 0.1,
        clip: bool = False,
        limit: float = 1.0,
        step: int = 0,
        seed: int = 0,
        title: str = "A gradient goes back in time",
    ) -> None:
        if not isinstance(clip, bool):
            raise ValueError(f"clip must be True or False, got {clip!r}: the norm to clip at is limit=")
        steps = whole("length", length, *LENGTHS)
        super().__init__(
            matrix=one_of("matrix", matrix, MATRICES),
            radius=number("radius", radius, *RADII),
            nonlinearity=one_of("nonlinearity", nonlinearity, NONLINEARITIES),
            length=steps,
            inputs=number("inputs", inputs, *INPUTS),
            clip=clip,
            limit=number("limit", limit, *LIMITS),
            step=whole("step", step, 0, steps),
            seed=whole("seed", seed, 0, 2**31 - 1),
            title=title,
        )
