"""Two networks under attack in the browser: one trained as usual, one on adversarial examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import traitlets

from .base import Widget
from .checks import number, one_of, whole
from .packing import array, packed

PIXELS = 64
CLASSES = 10
MAX_WEIGHTS = 60_000  # of one network; more would make the page heavy
NORMS = ("inf", "2", "1")
LARGEST = {"inf": 0.4, "2": 3.0, "1": 12.0}  # the end of the slider, per norm
MADE_FOR = ("each", "standard", "robust")
ANY = -1  # aim at any wrong class


def pack(what: str, weights: Mapping[str, Any]) -> dict[str, Any]:
    """The `state_dict()` of linear layers with ReLU between, as sizes and float16 in base64: W, b, layer by layer.

    Raises:
        ValueError: if a layer is missing, does not fit the one before, or holds a number that float16 cannot hold.
    """
    if not isinstance(weights, Mapping) or not any(str(name).endswith(".weight") for name in weights):
        raise ValueError(f"{what} must be the state_dict() of an nn.Sequential of linear layers with ReLU between")
    layers = sorted((name.split(".")[0] for name in weights if name.endswith(".weight")), key=int)
    wanted = {f"{layer}.{part}" for layer in layers for part in ("weight", "bias")}
    if set(weights) != wanted:
        raise ValueError(f"{what} must hold exactly {', '.join(sorted(wanted))}; got {', '.join(sorted(weights))}")
    sizes, parts = [PIXELS], []
    for layer in layers:
        weight, bias = array(weights[f"{layer}.weight"], np.float32), array(weights[f"{layer}.bias"], np.float32)
        if weight.ndim != 2 or weight.shape[1] != sizes[-1] or bias.shape != weight.shape[:1]:
            raise ValueError(
                f"{what}'s layer {layer} must take {sizes[-1]} numbers; its weight has the shape {weight.shape}, "
                f"its bias {bias.shape}"
            )
        sizes.append(len(bias))
        parts += [weight.ravel(), bias]
    if sizes[-1] != CLASSES:
        raise ValueError(f"{what} must end in {CLASSES} logits, got {sizes[-1]}")
    flat = np.concatenate(parts)
    if len(flat) > MAX_WEIGHTS:
        raise ValueError(f"{what} has {len(flat):,} weights, too heavy for a page: at most {MAX_WEIGHTS:,}")
    if not np.abs(flat).max() < 65_000:
        raise ValueError(f"{what} holds a number that is not finite or too large for float16")
    return {"sizes": sizes, "data": packed(flat, "<f2")}


class Attack(Widget):
    """Draw or pick a digit, set a budget, and attack two networks; forward and backward run in the browser.

    The attack is PGD on the cross-entropy (Madry et al. 2018) within `|x' - x|_p <= eps` and the box [0, 1], the total
    change projected after each step of size 2.5 eps / steps. One step without a random start is FGSM (its size is then
    eps). With `aim` it descends to that class. Weights are rounded to float16.

    Args:
        standard: `state_dict()` of linear layers with ReLU between, 64 to 10.
        robust: the same for the second network; its sizes may differ.
        images: 1 to 20 digits (N, 64), pixels in [0, 1].
        labels: their classes.
        digit: which image, from 0.
        norm: "inf", "2" or "1".
        eps: the budget, from 0 to 0.4, 3 or 12 for the three norms.
        steps: of the attack, 1 to 40.
        start: whether it begins at a random point of the ball.
        aim: the wanted class, or -1 for any mistake.
        made_for: "each" network gets its own images, or both those made for the "standard" or the "robust" one.
        seed: of the random start.
        title: the line above the figure.
    """

    standard = traitlets.Dict().tag(sync=True)
    robust = traitlets.Dict().tag(sync=True)
    images = traitlets.List().tag(sync=True)
    labels = traitlets.List(traitlets.Int()).tag(sync=True)
    digit = traitlets.Int(0).tag(sync=True)
    drawn = traitlets.List().tag(sync=True)  # 64 numbers once the reader has drawn; digit is then -1
    truth = traitlets.Int(0).tag(sync=True)
    norm = traitlets.Enum(NORMS, "inf").tag(sync=True)
    eps = traitlets.Float(0.1).tag(sync=True)
    steps = traitlets.Int(20).tag(sync=True)
    step = traitlets.Int(20).tag(sync=True)
    start = traitlets.Bool(True).tag(sync=True)
    aim = traitlets.Int(ANY).tag(sync=True)
    made_for = traitlets.Enum(MADE_FOR, "each").tag(sync=True)
    seed = traitlets.Int(0).tag(sync=True)
    title = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        standard: Mapping[str, Any],
        robust: Mapping[str, Any],
        images: Any,
        labels: Sequence[int],
        *,
        digit: int = 0,
        norm: str = "inf",
        eps: float = 0.1,
        steps: int = 20,
        start: bool = True,
        aim: int = ANY,
        made_for: str = "each",
        seed: int = 0,
        title: str = "Attack two networks",
    ) -> None:
        pictures = array(images, np.float32)
        if pictures.ndim != 2 or pictures.shape[1] != PIXELS or not 1 <= len(pictures) <= 20:
            raise ValueError(f"images must be 1 to 20 rows of {PIXELS} pixels, got the shape {pictures.shape}")
        if not (pictures.min() >= 0 and pictures.max() <= 1):
            raise ValueError("images must have pixels in [0, 1]")
        classes = [int(label) for label in labels]
        if len(classes) != len(pictures) or not all(0 <= label < CLASSES for label in classes):
            raise ValueError(f"labels must be one class of 0 to 9 per image, {len(pictures)} in all, got {classes}")
        if not isinstance(start, bool):
            raise ValueError(f"start must be True or False, got {start!r}")
        norm, digit = one_of("norm", norm, NORMS), whole("digit", digit, 0, len(pictures) - 1)
        steps = whole("steps", steps, 1, 40)
        super().__init__(
            standard=pack("standard", standard),
            robust=pack("robust", robust),
            images=[[round(float(v), 4) for v in row] for row in pictures],
            labels=classes,
            digit=digit,
            truth=classes[digit],
            norm=norm,
            eps=number("eps", eps, 0, LARGEST[norm]),
            steps=steps,
            step=steps,
            start=start,
            aim=whole("aim", aim, ANY, CLASSES - 1),
            made_for=one_of("made_for", made_for, MADE_FOR),
            seed=whole("seed", seed, 0, 2**31 - 1),
            title=title,
        )
