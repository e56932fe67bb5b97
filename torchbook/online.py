"""Larger image sets, for a GPU: downloaded once, checked, cached. Without a network, the digits that are installed.

They stand in files of their own formats (IDX, CIFAR's records) and are read by numpy alone: nothing is unpickled.
"""

from __future__ import annotations

import gzip
import os
import tarfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from torchbook.data import Split, load_digits

_IDX_FILES = ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz",
              "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz")  # fmt: skip
_CIFAR = "cifar-10-batches-bin"


@dataclass(frozen=True)
class _Source:
    """Where a set comes from: addresses to try in turn, files with their MD5 sums, and the reader of those files."""

    addresses: tuple[str, ...]
    files: dict[str, str]
    read: Callable[[list[Path]], tuple[Tensor, Tensor, Tensor, Tensor]]
    about: str


def load_images(name: str) -> Split:
    """MNIST, Fashion-MNIST or CIFAR-10, with the train and test rows of their authors.

    The first call downloads, with a progress bar, to the folder in TORCHBOOK_DATA, or else to the user's cache.
    Where that fails, a warning tells why, and the installed digits of 8x8 pixels come instead: so take sizes from
    `x_train.shape`, and say which data a number belongs to by `about`. TORCHBOOK_OFFLINE=1 asks for the digits at once.

    Args:
        name: "mnist" (1, 28, 28), "fashion-mnist" (1, 28, 28) or "cifar-10" (3, 32, 32).

    Returns:
        x: float32 in [0, 1], (N, C, H, W); y: int64 in 0..9, (N,).

    Sources: LeCun et al. (1998); Xiao, Rasul and Vollgraf (2017), MIT; Krizhevsky (2009).
    """
    if name not in _SOURCES:
        raise ValueError(f"no image set named {name!r}: choose one of {', '.join(_SOURCES)}")
    if os.environ.get("TORCHBOOK_OFFLINE", "0") not in ("", "0"):
        return load_digits()
    source = _SOURCES[name]
    try:
        paths = [_fetch(name, file, md5, source.addresses) for file, md5 in source.files.items()]
    except _Unreachable as reason:
        warnings.warn(f"{name} could not be downloaded ({reason}). The 8x8 digits stand in for it.", stacklevel=2)
        return load_digits()
    return Split(*source.read(paths), about=source.about)


class _Unreachable(Exception):
    """No address gave the file."""


def data_folder() -> Path:
    """Where downloads are kept: TORCHBOOK_DATA, or else the user's cache folder."""
    import pooch

    return Path(os.environ.get("TORCHBOOK_DATA") or pooch.os_cache("torchbook"))


def _fetch(name: str, file: str, md5: str, addresses: tuple[str, ...]) -> Path:
    """The path of a file with this MD5 sum, from the cache or from the first address that gives it."""
    import pooch
    import requests

    pooch.get_logger().setLevel("WARNING")
    download = pooch.HTTPDownloader(progressbar=True, timeout=20)
    reasons = []
    for address in addresses:
        try:
            return Path(pooch.retrieve(address + file, f"md5:{md5}", fname=file, path=data_folder() / name,
                                       downloader=download))  # fmt: skip
        except (requests.RequestException, OSError) as error:
            reasons.append(f"{address}: {type(error).__name__}")
        except ValueError:  # another sum: a broken transfer, or another file under this name
            reasons.append(f"{address}: {file} has the wrong checksum")
    raise _Unreachable("; ".join(reasons))


def _idx(path: Path) -> Tensor:
    """An IDX file of bytes: two zeros, the type 8, the number of dimensions, their sizes, the data."""
    raw = gzip.decompress(path.read_bytes())
    if raw[:3] != b"\x00\x00\x08":
        raise ValueError(f"{path} is not an IDX file of bytes: delete it, and it is downloaded again")
    sizes = np.frombuffer(raw, dtype=">u4", offset=4, count=raw[3]).tolist()
    return torch.from_numpy(np.frombuffer(raw, dtype=np.uint8, offset=4 + 4 * raw[3]).reshape(sizes).copy())


def _read_idx(paths: list[Path]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    x_train, y_train, x_test, y_test = map(_idx, paths)
    return x_train.unsqueeze(1) / 255, y_train.long(), x_test.unsqueeze(1) / 255, y_test.long()


def _read_cifar(paths: list[Path]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """CIFAR-10's binary version: records of one byte for the class and 3,072 for the image."""
    with tarfile.open(paths[0]) as archive:
        parts = [archive.extractfile(f"{_CIFAR}/{part}.bin").read()
                 for part in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch")]  # fmt: skip
    records = [torch.from_numpy(np.frombuffer(part, dtype=np.uint8).reshape(-1, 3073).copy()) for part in parts]
    train, test = torch.cat(records[:5]), records[5]
    x_train, x_test = (rows[:, 1:].view(-1, 3, 32, 32) / 255 for rows in (train, test))
    return x_train, train[:, 0].long(), x_test, test[:, 0].long()


_SOURCES = {
    "mnist": _Source(
        ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"),
        dict(zip(_IDX_FILES, ("f68b3c2dcbeaaa9fbdd348bbdeb94873", "d53e105ee54ea40749a09fcbcd1e9432",
                              "9fb629c4189551a2d022fa330f9573f3", "ec29112dd5afa0611ce80d1b7f02629c"), strict=True)),
        _read_idx, "MNIST, 70,000 handwritten digits, 28x28, range [0, 1]"),
    "fashion-mnist": _Source(
        ("https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
         "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"),
        dict(zip(_IDX_FILES, ("8d4fb7e6c68d591d4c3dfef9ec88bf0d", "25c81989df183df01b3e8a0aad5dffbe",
                              "bef4ecab320f06d8554ea6380940ec79", "bb300cfdad3c16e7a12a480ee83cd310"), strict=True)),
        _read_idx, "Fashion-MNIST, 70,000 pictures of clothes, 28x28, range [0, 1], MIT"),
    "cifar-10": _Source(
        ("https://www.cs.toronto.edu/~kriz/",), {"cifar-10-binary.tar.gz": "c32a1d4ab5d03f1284b67883e8d87530"},
        _read_cifar, "CIFAR-10, 60,000 color photographs, 32x32, range [0, 1]"),
}  # fmt: skip
