"""Two trained networks read corrupted digits, in the browser: what they say, how sure and how often right they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import traitlets

from .base import Widget
from .checks import number, one_of, whole
from .packing import array, packed

KINDS = ("noise", "blur", "contrast", "shift", "occlusion")
PIXELS, CLASSES = 64, 10
MAX_WIDTH, MAX_IMAGES = 128, 200  # more would make the page heavy
SEVEREST = 5


def _network(name: str, params: Sequence[Any]) -> dict[str, Any]:
    if len(params) != 4:
        raise ValueError(f"the model {name!r} must be four tensors, w1, b1, w2, b2; got {len(params)}")
    w1, b1, w2, b2 = (array(one, np.float64) for one in params)
    width = w1.shape[-1] if w1.ndim == 2 else 0
    if not 1 <= width <= MAX_WIDTH:
        raise ValueError(f"the model {name!r} must have a w1 of shape (64, 1 to {MAX_WIDTH}), got {w1.shape}")
    shapes = {"w1": (PIXELS, width), "b1": (width,), "w2": (width, CLASSES), "b2": (CLASSES,)}
    parts = {"w1": w1, "b1": b1.reshape(-1), "w2": w2, "b2": b2.reshape(-1)}
    for part, shape in shapes.items():
        if parts[part].shape != shape:
            raise ValueError(f"the model {name!r} must have a {part} of shape {shape}, got {parts[part].shape}")
        if not (np.abs(parts[part]) < 6e4).all():
            raise ValueError(f"the model {name!r} holds a number in {part} that is not finite or too large for float16")
    flat = np.concatenate([parts[part].ravel() for part in shapes])
    return {"name": name, "width": width, "weights": packed(flat, "<f2")}


class Corruptions(Widget):
    """Corrupt a digit and compare what two networks say; beside it, accuracy and confidence over all digits.

    The severity s runs from 0 to 5, and 0 leaves the image alone: noise of standard deviation 0.12 s; a Gaussian blur
    of 0.25 + 0.2 s pixels; contrast, 1 - 0.18 s of the distance to the image's own mean; a shift by 0.3 s pixels to one
    of four sides; a blank rectangle of up to 4x4 pixels. A network is softmax(relu(x w1 + b1) w2 + b2), its weights
    rounded to float16. All images are read again in the browser for each point of the curves.

    Args:
        models: two names, each with the parameters [w1 (64, H), b1 (H), w2 (H, 10), b2 (10)], H at most 128.
        images: 1 to 200 digits (N, 64), pixels in [0, 1].
        labels: (N,) true classes, 0 to 9.
        kind: one of `KINDS`.
        severity: 0 to 5.
        digit: which image is shown, from 0.
        seed: of noise, directions and places.
        title: the line above the figure.

    Raises ValueError for arguments that do not fit together.
    """

    models = traitlets.List(traitlets.Dict()).tag(sync=True)
    images = traitlets.Unicode().tag(sync=True)
    labels = traitlets.List(traitlets.Int()).tag(sync=True)
    kind = traitlets.Enum(KINDS, "noise").tag(sync=True)
    severity = traitlets.Float(3.0).tag(sync=True)
    digit = traitlets.Int(0).tag(sync=True)
    seed = traitlets.Int(0).tag(sync=True)
    title = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        models: Mapping[str, Sequence[Any]],
        images: Any,
        labels: Any,
        *,
        kind: str = "noise",
        severity: float = 3,
        digit: int = 0,
        seed: int = 0,
        title: str = "Two networks read corrupted digits",
    ) -> None:
        if not isinstance(models, Mapping) or len(models) != 2:
            raise ValueError('models must map two names to their parameters, such as {"plain": [...], "PixMix": [...]}')
        pictures, classes = array(images, np.float64), array(labels, np.float64)
        if pictures.ndim != 2 or pictures.shape[1] != PIXELS or not 1 <= len(pictures) <= MAX_IMAGES:
            raise ValueError(
                f"images must be 1 to {MAX_IMAGES} rows of {PIXELS} pixels, got the shape {pictures.shape}"
            )
        if not ((pictures >= 0) & (pictures <= 1)).all():
            raise ValueError("images must have pixels in [0, 1]")
        if classes.shape != (len(pictures),) or not np.isin(classes, range(CLASSES)).all():
            raise ValueError(f"labels must be {len(pictures)} whole numbers from 0 to 9, one for each image")
        super().__init__(
            models=[_network(str(name), params) for name, params in models.items()],
            images=packed(np.rint(pictures * 255), "u1"),
            labels=classes.astype(int).tolist(),
            kind=one_of("kind", kind, KINDS),
            severity=number("severity", severity, 0, SEVEREST),
            digit=whole("digit", digit, 0, len(pictures) - 1),
            seed=whole("seed", seed, 0, 2**31 - 1),
            title=title,
        )
