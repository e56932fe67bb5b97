"""DecisionBoundary: logistic and softmax regression that train in the reader's hands."""

from __future__ import annotations

import math
from collections.abc import Sequence

import traitlets

from torchbook.widgets.base import Widget
from torchbook.widgets.checks import trait_number, trait_whole

# decision_boundary.js holds the same names and limits.
PRESETS = ("overlapping clouds", "separable clouds", "one mislabeled point", "unbalanced", "three clouds", "ring")
FEATURES = {"linear": 3, "quadratic": 6}  # numbers per class, the bias included
CLASSES = (2, 4)
EDGE = 3.0  # the plane is [-3, 3] x [-3, 3]
MOST_POINTS = 150
LR = (0.01, 100.0)
L2 = (0.0, 1.0)


def whole_points(points: object, classes: int = CLASSES[1]) -> list[list[float]]:
    """The points as [x, y, class] lists. Raises TraitError that names the point that is wrong."""
    if isinstance(points, str) or not isinstance(points, Sequence):
        raise traitlets.TraitError(f"points must be a list of (x, y, class), got {points!r}")
    if len(points) > MOST_POINTS:
        raise traitlets.TraitError(f"at most {MOST_POINTS} points, got {len(points)}")
    checked = []
    for i, point in enumerate(points):
        if isinstance(point, str) or not isinstance(point, Sequence) or len(point) != 3:
            raise traitlets.TraitError(f"point {i} must be (x, y, class), got {point!r}")
        x, y = (
            trait_number(value, f"{name} of point {i}", -EDGE, EDGE) for name, value in zip("xy", point, strict=False)
        )
        checked.append([x, y, trait_whole(point[2], f"class of point {i}", 0, classes - 1)])
    return checked


class DecisionBoundary(Widget):
    """Points in a plane, and a linear classifier that full-batch gradient descent trains on them, live.

    Two classes: logistic regression, with one row of weights. Three or four: softmax regression, one row per
    class. The loss is the mean cross-entropy plus l2 / 2 times the sum of the squared weights without biases.

    Args:
        points: (x, y, class) for each point, x and y in [-3, 3]. Without them, those of `preset`.
        preset: one of `PRESETS`.
        classes: 2, 3 or 4. Without it, what the points or the preset need.
        lr: learning rate, 0.01 to 100.
        l2: strength of the penalty, 0 to 1.
        features: "linear" (x, y, 1) or "quadratic" (x, y, x², xy, y², 1).

    All of these but `preset` are traits that follow the reader's hand; `weights`, a list of rows with the bias
    last, holds what training has reached whenever it pauses. Raises TraitError for values out of range.
    """

    points = traitlets.List(traitlets.List()).tag(sync=True)
    preset = traitlets.Unicode().tag(sync=True)
    classes = traitlets.Int(2).tag(sync=True)
    lr = traitlets.Float(1.0).tag(sync=True)
    l2 = traitlets.Float(0.0).tag(sync=True)
    features = traitlets.Unicode("linear").tag(sync=True)
    weights = traitlets.List(traitlets.List(traitlets.Float())).tag(sync=True)

    def __init__(
        self,
        points: Sequence[Sequence[float]] | None = None,
        *,
        preset: str = PRESETS[0],
        classes: int | None = None,
        lr: float = 1.0,
        l2: float = 0.0,
        features: str = "linear",
    ) -> None:
        if preset not in PRESETS:
            raise traitlets.TraitError(f"no preset named {preset!r}: there are {', '.join(PRESETS)}")
        if points is None:
            points, classes = [], 3 if preset == "three clouds" else 2  # the browser fills them in
        else:
            preset, points = "", whole_points(points)
            needed = max([2, *(int(label) + 1 for _, _, label in points)])
            classes = trait_whole(needed if classes is None else classes, "classes", *CLASSES)
            points = whole_points(points, classes)
        super().__init__(points=points, preset=preset, classes=classes, lr=lr, l2=l2, features=features)

    @traitlets.validate("points")
    def _check_points(self, proposal: dict) -> list[list[float]]:
        return whole_points(proposal["value"])

    @traitlets.validate("classes")
    def _check_classes(self, proposal: dict) -> int:
        return trait_whole(proposal["value"], "classes", *CLASSES)

    @traitlets.validate("lr")
    def _check_lr(self, proposal: dict) -> float:
        return trait_number(proposal["value"], "lr", *LR)

    @traitlets.validate("l2")
    def _check_l2(self, proposal: dict) -> float:
        return trait_number(proposal["value"], "l2", *L2)

    @traitlets.validate("features")
    def _check_features(self, proposal: dict) -> str:
        if proposal["value"] not in FEATURES:
            raise traitlets.TraitError(f"features must be linear or quadratic, got {proposal['value']!r}")
        return proposal["value"]

    @traitlets.validate("weights")
    def _check_weights(self, proposal: dict) -> list[list[float]]:
        rows = proposal["value"]
        if any(len(row) not in FEATURES.values() or not all(map(math.isfinite, row)) for row in rows):
            raise traitlets.TraitError(f"weights are rows of 3 (linear) or 6 (quadratic) finite numbers, got {rows!r}")
        return rows
