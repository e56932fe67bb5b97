"""Real data that is already installed: scikit-learn's and matplotlib's sets as tensors, the book's own prose.

Every loader says in `about` what it gives: shapes, range, origin, license.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Split:
    """A data set cut in two. Iterates as `x_train, y_train, x_test, y_test`."""

    x_train: Tensor
    y_train: Tensor
    x_test: Tensor
    y_test: Tensor
    about: str

    def __iter__(self):
        return iter((self.x_train, self.y_train, self.x_test, self.y_test))

    def to(self, device: torch.device | str) -> Split:
        """The same split on another device."""
        return Split(*(tensor.to(device) for tensor in self), about=self.about)


def load_digits(*, test_size: int = 450, seed: int = 0, flat: bool = False) -> Split:
    """Handwritten digits, 1,797 gray images of 8x8 pixels.

    Args:
        test_size: how many images to hold out (drawn at random, so that train and test share the writers).
        seed: of the draw.
        flat: images as rows of 64 numbers instead of (1, 8, 8).

    Returns:
        x: float32 in [0, 1], (N, 1, 8, 8), or (N, 64) if flat; y: int64 in 0..9, (N,).

    Source: Alpaydin and Kaynak (1998), UCI repository, CC BY 4.0; shipped with scikit-learn.
    """
    from sklearn.datasets import load_digits as sklearn_digits

    raw = sklearn_digits()
    if not 0 < test_size < len(raw.target):
        raise ValueError(f"test_size must lie in 1..{len(raw.target) - 1}, got {test_size}")
    x = torch.tensor(raw.images / 16.0, dtype=torch.float32).unsqueeze(1)
    if flat:
        x = x.flatten(1)
    y = torch.tensor(raw.target, dtype=torch.int64)
    order = torch.from_numpy(np.random.default_rng(seed).permutation(len(y)))
    test, train = order[:test_size], order[test_size:]
    return Split(x[train], y[train], x[test], y[test], about="UCI optical digits, 8x8, range [0, 1], CC BY 4.0")


_TABLES = {
    "breast-cancer": ("load_breast_cancer", "UCI breast cancer Wisconsin, 569 x 30, 2 classes, CC BY 4.0"),
    "wine": ("load_wine", "UCI wine, 178 x 13, 3 classes, CC BY 4.0"),
    "iris": ("load_iris", "Fisher's iris, 150 x 4, 3 classes, CC BY 4.0"),
    "diabetes": ("load_diabetes", "Efron et al. (2004), 442 x 10, disease progression 25 to 346"),
}


def load_table(name: str, *, test_size: float = 0.25, seed: int = 0) -> Split:
    """One of scikit-learn's tables: breast-cancer, wine, iris (classes) or diabetes (a number).

    Args:
        name: of the table.
        test_size: the share to hold out, between 0 and 1.
        seed: of the draw.

    Returns:
        x: float32, (N, D), in the table's own units (not standardized);
        y: int64 classes, or float32 targets for diabetes, (N,).
    """
    from sklearn import datasets

    if name not in _TABLES:
        raise ValueError(f"no table named {name!r}: choose one of {', '.join(_TABLES)}")
    if not 0 < test_size < 1:
        raise ValueError(f"test_size is a share between 0 and 1, got {test_size}")
    loader, about = _TABLES[name]
    raw = getattr(datasets, loader)(**({"scaled": False} if name == "diabetes" else {}))
    x = torch.tensor(raw.data, dtype=torch.float32)
    y = torch.tensor(raw.target, dtype=torch.float32 if name == "diabetes" else torch.int64)
    order = torch.from_numpy(np.random.default_rng(seed).permutation(len(y)))
    cut = round(test_size * len(y))
    test, train = order[:cut], order[cut:]
    return Split(x[train], y[train], x[test], y[test], about=about)


def load_photo(name: str, *, gray: bool = False) -> Tensor:
    """A photograph as a float32 tensor in [0, 1].

    Args:
        name: "temple" (427x640) and "flower" (427x640), both from scikit-learn, CC BY; or "portrait"
            (Grace Hopper, 600x512, public domain), from matplotlib's sample data.
        gray: one channel (ITU-R BT.601 weights) instead of three.

    Returns:
        (3, H, W), or (1, H, W) if gray.
    """
    if name == "portrait":
        from matplotlib.cbook import get_sample_data
        from matplotlib.image import imread

        with get_sample_data("grace_hopper.jpg") as file:
            pixels = imread(file, format="jpg")
    elif name in ("temple", "flower"):
        from sklearn.datasets import load_sample_image

        pixels = load_sample_image({"temple": "china.jpg", "flower": "flower.jpg"}[name])
    else:
        raise ValueError(f"no photograph named {name!r}: choose temple, flower or portrait")
    image = torch.from_numpy(np.array(pixels, dtype=np.float32) / 255).permute(2, 0, 1).contiguous()
    if gray:
        image = (image * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(0, keepdim=True)
    return image


def load_prose() -> str:
    """This book's own sentences, one paragraph a line: plain ASCII, a fixed snapshot (see tools/prose.py).

    Returns:
        the whole text as one string; split, encode and hold out as you like.

    Source: the chapters of this book, MIT.
    """
    return (Path(__file__).parent / "assets" / "prose.txt").read_text(encoding="ascii")


def batches(*tensors: Tensor, batch_size: int, generator: torch.Generator | None = None):
    """One pass over the rows of `tensors` in random order, `batch_size` at a time, the rest last.

    Plain indexing: on small sets it is several times faster than a DataLoader, and works on any device.
    """
    order = torch.randperm(len(tensors[0]), generator=generator)
    for rows in order.split(batch_size):
        rows = rows.to(tensors[0].device)
        yield tuple(tensor[rows] for tensor in tensors)
