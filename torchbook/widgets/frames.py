"""Pictures that were computed when the chapter ran, one per value of a parameter, to scrub through."""

from __future__ import annotations

import base64
import io
import struct
from collections.abc import Mapping, Sequence

import numpy as np
import traitlets
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from PIL import Image

from ..plotting import to_svg
from .base import Widget

_PNG = b"\x89PNG\r\n\x1a\n"
_POINT = 4 / 3  # CSS pixels in one point


def _label(value: object) -> str:
    """The text of a parameter's value: floats without their trailing digits."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _from_figure(figure: Figure) -> dict[str, object]:
    svg = to_svg(figure)
    width, height = (float(inches) * 72 * _POINT for inches in figure.get_size_inches())
    plt.close(figure)
    return {"svg": svg, "width": width, "height": height}


def _from_png(data: bytes, where: str) -> dict[str, object]:
    if not data.startswith(_PNG) or len(data) < 24:
        raise ValueError(f"{where}: these bytes are no PNG picture")
    width, height = struct.unpack(">II", data[16:24])
    # Small images are enlarged by whole numbers, so that each of their pixels stays a square.
    scale = max(1, 320 // max(width, height))
    source = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    return {"png": source, "width": width * scale, "height": height * scale, "pixelated": scale > 1}


def _from_image(image: object, where: str) -> dict[str, object]:
    if hasattr(image, "detach"):
        image = image.detach().cpu().numpy()
    pixels = np.asarray(image)
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] != 3) or 0 in pixels.shape:
        hint = "; permute(1, 2, 0) puts the channels last" if len(pixels) == 3 else ""
        raise ValueError(f"{where}: an image is (H, W) or (H, W, 3), got {pixels.shape}{hint}")
    if pixels.dtype.kind not in "fbiu":
        raise TypeError(f"{where}: an image holds numbers, got {pixels.dtype}")
    pixels = pixels.astype(np.float64)
    low, high = pixels.min(), pixels.max()
    if not (low >= 0 and high <= 1):  # written so that NaN fails too
        raise ValueError(f"{where}: an image lies in [0, 1], this one in [{low:g}, {high:g}]: rescale it")
    buffer = io.BytesIO()
    Image.fromarray(np.round(pixels * 255).astype(np.uint8)).save(buffer, format="PNG", optimize=True)
    return _from_png(buffer.getvalue(), where)


def picture(source: object, where: str = "picture") -> dict[str, object]:
    """What the browser needs to show one picture, with its size in CSS pixels.

    Args:
        source: a matplotlib figure (it is closed), the bytes of a PNG file, or an image of shape (H, W) or
            (H, W, 3) with values in [0, 1].
        where: what error messages call it.
    """
    if isinstance(source, Figure):
        return _from_figure(source)
    if isinstance(source, bytes):
        return _from_png(source, where)
    if hasattr(source, "__array__") or hasattr(source, "detach"):
        return _from_image(source, where)
    kind = type(source).__name__
    raise TypeError(f"{where}: give a matplotlib figure, PNG bytes or an image tensor, got {kind}")


def _check(labels: Sequence[str], alt: Sequence[str], start: int) -> None:
    if len(labels) < 2:
        raise ValueError(f"Frames needs at least two pictures, got {len(labels)}")
    if len(set(labels)) < len(labels):
        raise ValueError(f"two frames have the same label: {list(labels)}")
    if isinstance(alt, str) or len(alt) != len(labels):
        count = "one string" if isinstance(alt, str) else f"{len(alt)} sentences"
        raise ValueError(f"alt needs one sentence per frame: got {count} for {len(labels)} frames")
    for label, sentence in zip(labels, alt, strict=True):
        if len(sentence.split()) < 4:
            raise ValueError(f"frame {label!r}: its alt text must say in a sentence what it shows: {sentence!r}")
    if not 0 <= start < len(labels):
        raise ValueError(f"start={start}, but the frames have the indices 0 to {len(labels) - 1}")


class Frames(Widget):
    """Pictures computed beforehand, one per value of a parameter, scrubbed through anywhere.

    Draw figures about 4.5 inches wide: their text then stays readable on a phone.

    Args:
        frames: pictures by the parameter's value, in the order of the slider: a matplotlib figure (closed
            afterwards), the bytes of a PNG file, or an image tensor (H, W) or (H, W, 3) in [0, 1].
        parameter: the name of what changes from frame to frame, such as "learning rate".
        alt: one sentence per frame that says what it shows, for those who do not see it.
        title: the line above the picture; by default it names the parameter.
        start: the index of the frame that is shown first.
    """

    title = traitlets.Unicode().tag(sync=True)
    parameter = traitlets.Unicode().tag(sync=True)
    frames = traitlets.List(traitlets.Dict()).tag(sync=True)
    index = traitlets.Int(0).tag(sync=True)

    def __init__(
        self,
        frames: Mapping[object, object],
        *,
        parameter: str,
        alt: Sequence[str],
        title: str = "",
        start: int = 0,
    ) -> None:
        labels = [_label(value) for value in frames]
        _check(labels, alt, start)
        pictures = [
            {"label": label, "alt": sentence, **picture(source, f"frame {label!r}")}
            for label, sentence, source in zip(labels, alt, frames.values(), strict=True)
        ]
        title = title or f"What changes with the {parameter}"
        super().__init__(frames=pictures, parameter=parameter, title=title, index=start)

    @traitlets.validate("index")
    def _valid_index(self, proposal: dict[str, object]) -> int:
        index = proposal["value"]
        if not 0 <= index < max(len(self.frames), 1):
            raise traitlets.TraitError(f"index must lie in 0 to {len(self.frames) - 1}, got {index}")
        return index
