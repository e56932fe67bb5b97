"""A digit on its way into noise and back, with the trained denoiser at work in the browser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import traitlets

from .base import Widget
from .checks import number, one_of, whole
from .packing import array

SCHEDULES = ("cosine", "linear", "copied")
STEPS = 200  # the levels of a schedule
NONE = 10  # the label that means: no class
PIXELS = 64
MAX_WIDTH = 256  # more would make the page heavy
HALF = 15
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcde"


def pack(matrix: Any) -> dict[str, Any]:
    """A matrix (R, C), or a vector as one row, as text: a letter per entry and a scale per row.

    Entry (r, c) is `scale[r] * level`, with the levels -15..15 as the letters A..Z, a..e. A row's scale is its largest
    absolute value over 15, so the error is at most half of that. A page compresses a letter to about 5 bits.
    """
    values = array(matrix, np.float32)
    rows = values.reshape(1, -1) if values.ndim == 1 else values
    scale = [float(f"{top / HALF:.4g}") for top in np.maximum(np.abs(rows).max(axis=1), 1e-6)]
    levels = np.clip(np.rint(rows / np.array(scale)[:, None]), -HALF, HALF).astype(int)
    return {
        "shape": list(rows.shape),
        "scale": scale,
        "data": "".join(LETTERS[level + HALF] for level in levels.ravel()),
    }


def _checked(what: str, weights: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    if set(weights) != set(shapes):
        raise ValueError(f"{what} must hold exactly {', '.join(sorted(shapes))}; got {', '.join(sorted(weights))}")
    for name, shape in shapes.items():
        values = array(weights[name], np.float32)
        if values.shape != shape:
            raise ValueError(f"{what}'s {name} must have the shape {shape}, got {values.shape}")
        if not np.isfinite(values).all():
            raise ValueError(f"{what}'s {name} holds a number that is not finite")
    return {name: pack(weights[name]) for name in shapes}


def _network(weights: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(weights, Mapping) or "inp.weight" not in weights:
        raise ValueError("network must be the denoiser's state_dict(), with an entry inp.weight")
    width = len(array(weights["inp.weight"], np.float32))
    if width > MAX_WIDTH:
        raise ValueError(f"a network of width {width} is too heavy for a page: at most {MAX_WIDTH}")
    shapes = {"inp.weight": (width, PIXELS), "inp.bias": (width,), "out.weight": (PIXELS, width)}
    shapes |= {"out.bias": (PIXELS,), "level.weight": (3 * width, 16), "level.bias": (3 * width,)}
    shapes |= {"label.weight": (NONE + 1, 3 * width)}
    for i in range(2):
        shapes |= {f"mix.{i}.weight": (width, width), f"mix.{i}.bias": (width,)}
    return _checked("network", weights, shapes)


def _judge(weights: Mapping[str, Any] | None) -> dict[str, Any]:
    if weights is None:
        return {}
    names = sorted((name for name in weights if name.endswith("weight")), key=lambda name: int(name.split(".")[0]))
    shapes, features = {}, PIXELS
    for name in names:
        size = len(array(weights[name], np.float32))
        shapes |= {name: (size, features), name.replace("weight", "bias"): (size,)}
        features = size
    if features != NONE:
        raise ValueError(f"judge must end in {NONE} logits, got {features}")
    return _checked("judge", weights, shapes)


class Noise(Widget):
    """Noise a digit up to a level of choice, then come back with DDIM, step by step.

    The denoiser runs in the browser, with its weights rounded to 31 levels per row. It guesses the noise in x at
    level a (the share of signal variance, abar) for a label:

        s = level(cat[sin, cos](log(a / (1 - a)) * WAVES)) + label[c]       # three shifts
        h = silu(inp(x) + s0);  h = h + silu(mix_i(h) + s_i), i = 1, 2
        noise = sqrt(1 - a) x + sqrt(a) out(h)

    Schedules of 200 levels: cosine (Nichol and Dhariwal 2021), linear (Ho et al. 2020, rescaled from 1000 steps), and
    copied, the linear one with the step sizes for 1000 steps, which never gets down to noise. At level 200 the way back
    starts from the noise alone, as a generator must. Steps are those of Song, Meng and Ermon (2021, eq. 12), the
    guess of the clean image kept in [-1, 1]; guidance is that of Ho and Salimans (2022), 1 being none.

    Args:
        network: the denoiser's `state_dict()`; the page grows by about 5 bits a weight.
        images: 1 to 20 digits (N, 64), pixels in [-1, 1].
        judge: optional `state_dict()` of a `nn.Sequential` of linear layers with ReLU between, 64 to 10.
        names: what to call each image; by default its place.
        digit: which image, from 0.
        schedule: one of `SCHEDULES`.
        level: how far into noise, 1 to 200.
        asked: the class that is asked for on the way back, 0 to 9; 10 for none.
        steps: of DDIM, 1 to 50.
        guidance: w, 0 to 8.
        eta: share of fresh noise per step, 0 (DDIM) to 1 (ancestral).
        seed: of the noise.
        title: the line above the figure.
    """

    network = traitlets.Dict().tag(sync=True)
    judge = traitlets.Dict().tag(sync=True)
    images = traitlets.Dict().tag(sync=True)
    names = traitlets.List(traitlets.Unicode()).tag(sync=True)
    digit = traitlets.Int(0).tag(sync=True)
    schedule = traitlets.Enum(SCHEDULES, "cosine").tag(sync=True)
    level = traitlets.Int(STEPS).tag(sync=True)
    asked = traitlets.Int(NONE).tag(sync=True)
    steps = traitlets.Int(20).tag(sync=True)
    guidance = traitlets.Float(2.0).tag(sync=True)
    eta = traitlets.Float(0.0).tag(sync=True)
    seed = traitlets.Int(0).tag(sync=True)
    moment = traitlets.Float(1.0).tag(sync=True)
    title = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        network: Mapping[str, Any],
        images: Sequence[Any],
        *,
        judge: Mapping[str, Any] | None = None,
        names: Sequence[str] | None = None,
        digit: int = 0,
        schedule: str = "cosine",
        level: int = STEPS,
        asked: int = 3,
        steps: int = 20,
        guidance: float = 2.0,
        eta: float = 0.0,
        seed: int = 0,
        title: str = "Into noise and back",
    ) -> None:
        pictures = array(images, np.float32)
        if pictures.ndim != 2 or pictures.shape[1] != PIXELS or not 1 <= len(pictures) <= 20:
            raise ValueError(f"images must be 1 to 20 rows of {PIXELS} pixels, got the shape {pictures.shape}")
        if not np.abs(pictures).max() <= 1:
            raise ValueError("images must have pixels in [-1, 1]")
        called = [f"{i + 1} of {len(pictures)}" for i in range(len(pictures))] if names is None else [*map(str, names)]
        if len(called) != len(pictures):
            raise ValueError(f"names must have one entry per image, {len(pictures)}, got {len(called)}")
        super().__init__(
            network=_network(network),
            judge=_judge(judge),
            images=pack(pictures),
            names=called,
            digit=whole("digit", digit, 0, len(pictures) - 1),
            schedule=one_of("schedule", schedule, SCHEDULES),
            level=whole("level", level, 1, STEPS),
            asked=whole("asked", asked, 0, NONE),
            steps=whole("steps", steps, 1, 50),
            guidance=number("guidance", guidance, 0, 8),
            eta=number("eta", eta, 0, 1),
            seed=whole("seed", seed, 0, 2**31 - 1),
            title=title,
        )
