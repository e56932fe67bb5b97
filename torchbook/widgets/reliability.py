"""A reliability diagram with its knobs: temperature, bins, number of answers, on a real model's logits."""

from __future__ import annotations

from collections.abc import Mapping

import traitlets
from torch import Tensor

from .base import Widget
from .checks import number, one_of, trait_number, trait_whole, whole
from .packing import array, packed

MASSES = ("width", "mass")
TRUTHS = ("true", "drawn")
TEMPERATURES = (0.1, 10.0)
BINS = (2, 50)
LEAST = 20
MAX_ANSWERS = 2000
MAX_CLASSES = 100
MAX_NUMBERS = 40_000
MAX_SETS = 4


def _packed(name: str, pair: object) -> dict[str, object]:
    """Logits relative to the largest of their row, as halves, and labels as bytes, both in base64."""
    try:
        logits, labels = pair
    except (TypeError, ValueError):
        raise ValueError(f"{name!r} must be a pair: logits (N, C) and labels (N,)") from None
    if not isinstance(logits, Tensor) or logits.dim() != 2 or not logits.is_floating_point():
        raise ValueError(f"the logits of {name!r} must be a floating-point tensor (N, C)")
    rows, classes = logits.shape
    if not LEAST <= rows <= MAX_ANSWERS or not 2 <= classes <= MAX_CLASSES or rows * classes > MAX_NUMBERS:
        raise ValueError(
            f"{name!r} must have {LEAST} to {MAX_ANSWERS} rows, 2 to {MAX_CLASSES} classes and at most "
            f"{MAX_NUMBERS:,} logits, got {tuple(logits.shape)}"
        )
    if not logits.isfinite().all():
        raise ValueError(f"the logits of {name!r} hold a number that is not finite")
    if not isinstance(labels, Tensor) or labels.shape != (rows,) or labels.is_floating_point():
        raise ValueError(f"the labels of {name!r} must be {rows} whole numbers, one per row of logits")
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"the labels of {name!r} must lie in 0..{classes - 1}")
    z = logits.detach().cpu().double()
    z = (z - z.amax(dim=1, keepdim=True)).clamp(min=-60_000)  # a half ends at 65,504
    texts = {"logits": packed(array(z), "<f2"), "labels": packed(array(labels), "u1")}
    return {"name": name, "rows": rows, "classes": classes, **texts}


class Reliability(Widget):
    """Confidence against accuracy, bin by bin, while a temperature, the bins and the sample size change.

    Beside the diagram stand the NLL and the expected calibration error (ECE) against the temperature (Guo et al. 2017),
    the latter with its floor: what a perfectly calibrated model with these confidences scores on so few answers.
    Bins are (lower, upper], of equal width or of equal mass. Labels are the true ones, or drawn from the softmax.

    Args:
        models: up to 4 pairs (logits (N, C), labels (N,)) by name; log-probabilities are logits too. Stored as halves.
        temperature: 0.1 to 10.
        bins: how many, 2 to 50.
        mass: one of `MASSES`: bins of equal "width", or of equal "mass".
        truth: one of `TRUTHS`: the "true" labels, or labels "drawn" from the model's softmax at temperature 1.
        answers: how many of the first model's answers are used, from 20; by default all.
        seed: of the drawn labels.
        title: the line above the figure.

    Raises:
        ValueError: for arguments that do not fit together; the message names them.
    """

    sets = traitlets.List(traitlets.Dict()).tag(sync=True)
    chosen = traitlets.Unicode().tag(sync=True)
    temperature = traitlets.Float(1.0).tag(sync=True)
    bins = traitlets.Int(15).tag(sync=True)
    mass = traitlets.Enum(MASSES, "width").tag(sync=True)
    truth = traitlets.Enum(TRUTHS, "true").tag(sync=True)
    answers = traitlets.Int(MAX_ANSWERS).tag(sync=True)
    seed = traitlets.Int(0).tag(sync=True)
    title = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        models: Mapping[str, tuple[Tensor, Tensor]],
        *,
        temperature: float = 1.0,
        bins: int = 15,
        mass: str = "width",
        truth: str = "true",
        answers: int | None = None,
        seed: int = 0,
        title: str = "How often is it right when it is this sure?",
    ) -> None:
        if not isinstance(models, Mapping) or not 1 <= len(models) <= MAX_SETS:
            raise ValueError(f"models must hold 1 to {MAX_SETS} pairs (logits, labels) by name")
        sets = [_packed(str(name), pair) for name, pair in models.items()]
        rows = sets[0]["rows"]
        super().__init__(
            sets=sets,
            chosen=sets[0]["name"],
            temperature=number("temperature", temperature, *TEMPERATURES),
            bins=whole("bins", bins, *BINS),
            mass=one_of("mass", mass, MASSES),
            truth=one_of("truth", truth, TRUTHS),
            answers=rows if answers is None else whole("answers", answers, LEAST, rows),
            seed=whole("seed", seed, 0, 2**31 - 1),
            title=title,
        )

    @traitlets.validate("temperature")
    def _check_temperature(self, proposal: dict[str, object]) -> float:
        return trait_number(proposal["value"], "temperature", *TEMPERATURES)

    @traitlets.validate("bins")
    def _check_bins(self, proposal: dict[str, object]) -> int:
        return trait_whole(proposal["value"], "bins", *BINS)

    @traitlets.validate("answers")
    def _check_answers(self, proposal: dict[str, object]) -> int:
        return trait_whole(proposal["value"], "answers", LEAST, MAX_ANSWERS)

    @traitlets.validate("chosen")
    def _check_chosen(self, proposal: dict[str, object]) -> str:
        names = [one["name"] for one in self.sets]
        if names and proposal["value"] not in names:
            raise traitlets.TraitError(f"chosen must be one of {', '.join(names)}, got {proposal['value']!r}")
        return str(proposal["value"])
