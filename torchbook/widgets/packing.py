"""How numbers travel in a widget's state: arrays of tensors, and their bytes as text, which kit.js unpacks."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np


def array(values: Any, dtype: Any = None) -> np.ndarray:
    """A tensor (of any device, with or without a gradient), an array or rows of numbers as an array."""
    if hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    return np.asarray(values, dtype=dtype)


def packed(values: np.ndarray, kind: str) -> str:
    """The elements in row-major order as base64: `kind` is "<f2" for half floats, "u1" for bytes."""
    return base64.b64encode(values.astype(kind).tobytes()).decode("ascii")
