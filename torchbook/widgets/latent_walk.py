"""LatentWalk: a trained decoder that runs in the browser, over the plane of its two latent variables."""

from __future__ import annotations

import base64
import math
from itertools import pairwise

import numpy as np
import traitlets

from .base import Widget
from .checks import number, whole
from .packing import array, packed

ACTIVATIONS = ("Tanh", "ReLU", "SiLU", "Sigmoid")  # latent_walk.js computes the same
MOST_POINTS = 1000
MOST_CLASSES = 10
REACH = (3.0, 6.0)  # the plane shows the square [-reach, reach]


def _rows(name: str, values: object, shape: tuple[int, ...]) -> np.ndarray:
    rows = array(values)
    if rows.shape != shape or rows.dtype.kind not in "fiu" or not np.isfinite(rows).all():
        raise ValueError(f"{name} must be finite numbers of the shape {shape}, got {rows.dtype} of {rows.shape}")
    return rows.astype(np.float64)


def _int8(values: np.ndarray) -> tuple[bytes, float]:
    """One byte for each value, and what a step of one is worth."""
    scale = float(np.abs(values).max()) / 127 or 1.0
    return np.round(values / scale).astype(np.int8).tobytes(), scale


def _read_decoder(decoder: object) -> tuple[list[list[object]], str]:
    """[[inputs, outputs, activation, scale, scale of the bias], ...] and all weights: matrix, bias, matrix, ..."""
    layers, parameters = [], b""
    for module in decoder:
        kind = type(module).__name__
        if kind == "Linear":
            weight = array(module.weight)
            bias = np.zeros(len(weight)) if module.bias is None else array(module.bias)
            (matrix, scale), (row, bias_scale) = _int8(weight.ravel()), _int8(bias)
            layers.append([weight.shape[1], weight.shape[0], "", scale, bias_scale])
            parameters += matrix + row
        elif kind in ACTIVATIONS and layers and not layers[-1][2]:
            layers[-1][2] = kind
        else:
            raise ValueError(
                f"the decoder must alternate Linear and one of {', '.join(ACTIVATIONS)}, and start with Linear; "
                f"got {kind} at place {len(layers)}"
            )
    if not layers:
        raise ValueError("the decoder has no layers: pass an nn.Sequential of Linear layers and activations")
    for one, following in pairwise(layers):
        if one[1] != following[0]:
            raise ValueError(f"a layer gives {one[1]} numbers and the next one takes {following[0]}")
    return layers, base64.b64encode(parameters).decode("ascii")


class LatentWalk(Widget):
    """Drag a point through the latent plane; the decoder turns it into a picture, in the browser.

    Around the point lie the codes of real images, as small colored labels. Without classes, a strip shows the
    pictures on the way from a start to the point. With classes, it shows all classes at the same place.

    Args:
        decoder: an `nn.Sequential` of Linear and Tanh, ReLU, SiLU or Sigmoid layers. It takes the 2 latent
            variables, then a one-hot class if `classes` is not 0, and gives the pixels of a square picture in [0, 1].
        codes: (N, 2), where the encoder puts N images; at most 1000.
        labels: (N,), their classes, 0 to 9.
        spreads: (N, 2), the standard deviations of the encoder, drawn for the nearest code. May be left out.
        images: (N, pixels) in [0, 1], shown for the nearest code. May be left out.
        classes: 0, or 2 to 10 for a conditional decoder.
        noise: standard deviation of the observation model, 0 to 1.
        title: the line above the figure.

    Weights travel as 8-bit numbers, codes as float16, images in 16 gray levels, so that a page stays light. The traits
    `point`, `anchor` (the start of the strip), `label` (the class), `noisy` and `tiled` follow the reader's hand.
    Raises ValueError for arguments that do not fit together.
    """

    layers = traitlets.List().tag(sync=True)
    weights = traitlets.Unicode().tag(sync=True)
    codes = traitlets.Unicode().tag(sync=True)
    labels = traitlets.List(traitlets.Int()).tag(sync=True)
    spreads = traitlets.Unicode().tag(sync=True)
    images = traitlets.Unicode().tag(sync=True)
    classes = traitlets.Int(0).tag(sync=True)
    noise = traitlets.Float(0.0).tag(sync=True)
    reach = traitlets.Float(REACH[0]).tag(sync=True)
    point = traitlets.List(traitlets.Float(), default_value=[0.0, 0.0]).tag(sync=True)
    anchor = traitlets.List(traitlets.Float(), default_value=[-1.5, 0.0]).tag(sync=True)
    label = traitlets.Int(0).tag(sync=True)
    noisy = traitlets.Bool(False).tag(sync=True)
    tiled = traitlets.Bool(False).tag(sync=True)
    title = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        decoder: object,
        codes: object,
        labels: object,
        *,
        spreads: object = None,
        images: object = None,
        classes: int = 0,
        noise: float = 0.0,
        title: str = "A walk through the latent plane",
    ) -> None:
        if classes != 0:
            whole("classes", classes, 2, MOST_CLASSES)
        layers, weights = _read_decoder(decoder)
        inputs, pixels = layers[0][0], layers[-1][1]
        if inputs != 2 + classes:
            raise ValueError(
                f"the decoder takes {inputs} numbers: a latent plane has 2 and classes={classes} adds {classes}, "
                f"so it must take {2 + classes}"
            )
        if math.isqrt(pixels) ** 2 != pixels:
            raise ValueError(f"the decoder gives {pixels} pixels, which make no square picture")
        count = whole("the number of codes", len(array(codes)), 1, MOST_POINTS)
        places = _rows("codes", codes, (count, 2))
        kinds = array(labels)
        most = classes or MOST_CLASSES
        if kinds.shape != (count,) or kinds.dtype.kind not in "iu" or kinds.min() < 0 or kinds.max() >= most:
            raise ValueError(f"labels must be {count} whole numbers from 0 to {most - 1}, one for each code")
        super().__init__(
            layers=layers,
            weights=weights,
            codes=packed(places, "<f2"),
            labels=kinds.tolist(),
            spreads="" if spreads is None else packed(_rows("spreads", spreads, (count, 2)), "<f2"),
            images="" if images is None else _images(images, (count, pixels)),
            classes=classes,
            noise=number("noise", noise, 0, 1),
            reach=float(np.clip(math.ceil(np.quantile(np.abs(places), 0.99) * 2.1) / 2, *REACH)),
            title=title,
        )


def _images(images: object, shape: tuple[int, int]) -> str:
    pixels = _rows("images", images, shape)
    if pixels.min() < 0 or pixels.max() > 1:
        raise ValueError(f"images must lie in [0, 1], these lie in [{pixels.min():g}, {pixels.max():g}]")
    levels = np.round(pixels.ravel() * 15).astype(np.uint8)
    levels = np.append(levels, np.zeros(len(levels) % 2, dtype=np.uint8)).reshape(-1, 2)
    return packed(levels[:, 0] * 16 + levels[:, 1], "u1")
