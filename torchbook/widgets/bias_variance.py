"""Many ridge fits at once: bias and variance against degree, penalty or number of points, exact and measured."""

from __future__ import annotations

import traitlets

from .base import Widget
from .checks import number, whole

TRUTHS = ("wave", "hump", "step", "line")
AXES = ("degree", "lam", "n")
MAX_DEGREE = 24
LAMS = (1e-8, 100.0)
MAX_NOISE = 1.5
POINTS = (6, 60)
FITS = (5, 100)


def _choice(name: str, value: object, known: tuple[str, ...]) -> str:
    if value not in known:
        raise ValueError(f"no {name} named {value!r}: there are {', '.join(known)}")
    return str(value)


class BiasVariance(Widget):
    """Polynomial ridge regression on many training sets, and the parts of its expected test error.

    The inputs are the middles of `n` equal cells of [-1, 1]; each training set draws new noise. The basis are the
    Legendre polynomials, scaled to mean square 1; the weights minimize |Xw - y|^2 + lam |w|^2. A fit is linear in the
    labels, so bias and variance have a closed form (Hastie, Tibshirani and Friedman 2009, section 7.3): the lines.
    The marks are measured from the fits.

    Args:
        truth: one of `TRUTHS`: wave sin(2 pi x), hump 1 / (1 + 25 x^2), step, line.
        degree: of the polynomial, 0 to 24.
        lam: the penalty, 1e-8 (practically none) to 100.
        noise: standard deviation of the labels, 0 to 1.5.
        n: points in a training set, 6 to 60.
        fits: how many training sets, 5 to 100.
        axis: what the error is drawn against: degree, lam or n.
        probe: the x at which the fits are compared one by one, -1 to 1.
        seed: of the noise.
        title: the line above the figure.
    """

    truth = traitlets.Enum(TRUTHS, "wave").tag(sync=True)
    degree = traitlets.Int(9).tag(sync=True)
    lam = traitlets.Float(1e-8).tag(sync=True)
    noise = traitlets.Float(0.4).tag(sync=True)
    n = traitlets.Int(20).tag(sync=True)
    fits = traitlets.Int(40).tag(sync=True)
    axis = traitlets.Enum(AXES, "degree").tag(sync=True)
    probe = traitlets.Float(0.5).tag(sync=True)
    shown = traitlets.Int(0).tag(sync=True)
    seed = traitlets.Int(0).tag(sync=True)
    title = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        truth: str = "wave",
        *,
        degree: int = 9,
        lam: float = 1e-8,
        noise: float = 0.4,
        n: int = 20,
        fits: int = 40,
        axis: str = "degree",
        probe: float = 0.5,
        seed: int = 0,
        title: str = "One truth, many training sets",
    ) -> None:
        super().__init__(
            truth=_choice("truth", truth, TRUTHS),
            degree=whole("degree", degree, 0, MAX_DEGREE),
            lam=number("lam", lam, *LAMS),
            noise=number("noise", noise, 0, MAX_NOISE),
            n=whole("n", n, *POINTS),
            fits=whole("fits", fits, *FITS),
            axis=_choice("axis", axis, AXES),
            probe=number("probe", probe, -1, 1),
            seed=whole("seed", seed, 0, 2**31 - 1),
            title=title,
        )
