"""What a matrix loses when its rank is cut, or when it is stored in four bits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import traitlets
from torch import Tensor

from .base import Widget
from .checks import number, one_of, trait_number, trait_whole, whole

LEVELS = ("nf4", "even", "fp4")
BLOCKS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
RANDOM = "random numbers"
MAX_SIDE = 96
MAX_UPDATES = 3
MAX_WEIGHTS = 16_384
MAX_OUTLIER = 100.0


def _matrix(name: str, value: object) -> Tensor:
    if not isinstance(value, Tensor) or value.dim() != 2 or not value.is_floating_point():
        raise ValueError(f"{name} must be a floating-point tensor with two dimensions")
    if not 2 <= min(value.shape) <= max(value.shape) <= MAX_SIDE:
        raise ValueError(f"{name} must have 2 to {MAX_SIDE} rows and columns, got {tuple(value.shape)}")
    if not value.isfinite().all() or not value.any():
        raise ValueError(f"{name} must be finite and not all zero")
    return value.detach().cpu().double()


def _short(values: Tensor) -> list[float]:
    """Four digits each: half the size of the page, and finer than anything that is drawn."""
    return [float(f"{v:.4g}") for v in values.flatten().tolist()]


def _updates(updates: Mapping[str, Tensor]) -> tuple[list[str], list[Tensor]]:
    if not 1 <= len(updates) <= MAX_UPDATES:
        raise ValueError(f"updates must hold 1 to {MAX_UPDATES} matrices by name, got {len(updates)}")
    matrices = [_matrix(f"the update {name!r}", value) for name, value in updates.items()]
    if len({matrix.shape for matrix in matrices}) > 1:
        raise ValueError(f"updates must have one shape, got {', '.join(str(tuple(m.shape)) for m in matrices)}")
    if RANDOM in updates:
        raise ValueError(f"no update may be called {RANDOM!r}: the widget adds one of that name")
    return list(updates), matrices


def _scores(scores: Mapping[str, Sequence[float]], names: list[str], full: int) -> list[list[float]]:
    if sorted(scores) != sorted(names):
        raise ValueError(f"scores must have the names of updates, {', '.join(names)}, got {', '.join(scores)}")
    for name, values in scores.items():
        if len(values) != full + 1:
            raise ValueError(
                f"scores of {name!r} must be {full + 1} accuracies, for rank 0 to {full}, got {len(values)}"
            )
    return [[round(number("an accuracy", value, 0, 1), 4) for value in scores[name]] for name in names]


def _weights(value: object) -> list[float]:
    if not isinstance(value, Tensor) or not value.is_floating_point():
        raise ValueError("weights must be a floating-point tensor")
    if not 64 <= value.numel() <= MAX_WEIGHTS or not value.isfinite().all() or not value.any():
        raise ValueError(f"weights must be 64 to {MAX_WEIGHTS:,} finite numbers, not all zero")
    return _short(value.detach().cpu())


class LowRank(Widget):
    """A weight update cut to a rank, and a weight matrix stored in four bits; either, or both.

    The singular value decomposition runs in the browser (one-sided Jacobi). A cut at rank r is the best
    approximation of that rank (Eckart and Young 1936). The levels of NF4 are those of Dettmers et al. (2023).

    Args:
        updates: up to 3 matrices (out, in) of one shape, by name: changes that a training made. Rows of 4, 9, 16, ...
            numbers are drawn as square images.
        scores: for each update the accuracies in [0, 1] of the network with the update cut to rank 0, 1, ..., full.
        weights: 64 to 16,384 numbers whose blocks are quantized.
        rank: where the rank slider starts.
        levels: one of `LEVELS`: nf4, even (16 evenly spaced), fp4 (2 exponent bits, 1 fraction bit).
        block: weights that share a scale, one of `BLOCKS`.
        outlier: factor on the largest weight, 1 to 100.
        title: the line above the figure.
    """

    names = traitlets.List(traitlets.Unicode()).tag(sync=True)
    shape = traitlets.List(traitlets.Int()).tag(sync=True)
    matrices = traitlets.List(traitlets.List(traitlets.Float())).tag(sync=True)
    scores = traitlets.List(traitlets.List(traitlets.Float())).tag(sync=True)
    weights = traitlets.List(traitlets.Float()).tag(sync=True)
    update = traitlets.Unicode().tag(sync=True)
    rank = traitlets.Int(8).tag(sync=True)
    levels = traitlets.Enum(LEVELS, "nf4").tag(sync=True)
    block = traitlets.Enum(BLOCKS, 64).tag(sync=True)
    outlier = traitlets.Float(1.0).tag(sync=True)
    title = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        updates: Mapping[str, Tensor] | None = None,
        *,
        scores: Mapping[str, Sequence[float]] | None = None,
        weights: Tensor | None = None,
        rank: int = 8,
        levels: str = "nf4",
        block: int = 64,
        outlier: float = 1.0,
        title: str | None = None,
    ) -> None:
        if updates is None and weights is None:
            raise ValueError("give updates, or weights, or both: there is nothing to show")
        if scores is not None and updates is None:
            raise ValueError("scores belong to updates, and there are none")
        names, matrices = _updates(updates) if updates is not None else ([], [])
        shape = list(matrices[0].shape) if matrices else []
        full = min(shape) if shape else MAX_SIDE
        if block not in BLOCKS:
            raise ValueError(f"block must be one of {', '.join(map(str, BLOCKS))}, got {block!r}")
        own = "How much rank does a change need?" if names else "Sixteen levels for all weights"
        super().__init__(
            names=names,
            shape=shape,
            matrices=[_short(matrix) for matrix in matrices],
            scores=_scores(scores, names, full) if scores is not None else [],
            weights=_weights(weights) if weights is not None else [],
            update=names[0] if names else "",
            rank=whole("rank", rank, 0, full),
            levels=one_of("levels", levels, LEVELS),
            block=block,
            outlier=number("outlier", outlier, 1, MAX_OUTLIER),
            title=own if title is None else title,
        )

    @traitlets.validate("rank")
    def _check_rank(self, proposal: dict[str, object]) -> int:
        return trait_whole(proposal["value"], "rank", 0, min(self.shape) if self.shape else MAX_SIDE)

    @traitlets.validate("outlier")
    def _check_outlier(self, proposal: dict[str, object]) -> float:
        return trait_number(proposal["value"], "outlier", 1, MAX_OUTLIER)

    @traitlets.validate("update")
    def _check_update(self, proposal: dict[str, object]) -> str:
        name = str(proposal["value"])
        if self.names and name not in [*self.names, RANDOM]:
            raise traitlets.TraitError(f"update must be one of {', '.join([*self.names, RANDOM])}, got {name!r}")
        return name
