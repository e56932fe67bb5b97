"""A bandit: a softmax policy learns from sampled rewards, with the exact gradient beside its estimate."""

from __future__ import annotations

from collections.abc import Sequence

import traitlets

from .base import Widget
from .checks import number, trait_number, trait_whole, whole

MEAN = 2.0  # the largest mean reward of an arm, in size
RATES = (0.01, 5.0)
BONUS = 10.0
NOISE = 2.0
STEPS = (10, 1000)


def _means(value: object) -> list[float]:
    if isinstance(value, str) or not isinstance(value, Sequence) or not 2 <= len(value) <= 5:
        raise ValueError(f"means must be 2 to 5 numbers, one per arm, got {value!r}")
    return [number(f"the mean of arm {'ABCDE'[i]}", v, -MEAN, MEAN) for i, v in enumerate(value)]


class Bandit(Widget):
    """REINFORCE on a row of arms, one draw a step, from equal logits.

    In step n the policy pi = softmax(theta) draws an arm, its reward is `mean[arm] + bonus + noise * z` with z from
    N(0, 1), and theta grows by `lr * (reward - b) * (onehot(arm) - pi)` (Williams 1992). The baseline b is the mean of
    the rewards before this step (in the first step the reward itself), or 0 without one. The exact gradient is
    `pi_k * (mean_k - sum_j pi_j * mean_j)`, with or without the bonus. Arms are drawn by inverting the distribution
    function with a uniform number, so that runs with the same seed differ only by what is set.

    Args:
        means: mean reward of each arm, 2 to 5 numbers from -2 to 2.
        lr: learning rate, 0.01 to 5.
        baseline: whether one is subtracted.
        bonus: added to every reward, -10 to 10: the same task.
        noise: standard deviation of the rewards, 0 to 2.
        steps: of a run, 10 to 1000.
        seed: of the draws.
        title: the line above the figure.
    """

    means = traitlets.List(traitlets.Float()).tag(sync=True)
    lr = traitlets.Float(0.3).tag(sync=True)
    baseline = traitlets.Bool(True).tag(sync=True)
    bonus = traitlets.Float(0.0).tag(sync=True)
    noise = traitlets.Float(0.3).tag(sync=True)
    steps = traitlets.Int(300).tag(sync=True)
    step = traitlets.Int(300).tag(sync=True)
    seed = traitlets.Int(0).tag(sync=True)
    title = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        means: Sequence[float] = (0.2, 0.5, 0.9, 0.4),
        *,
        lr: float = 0.3,
        baseline: bool = True,
        bonus: float = 0.0,
        noise: float = 0.3,
        steps: int = 300,
        seed: int = 0,
        title: str = "A policy learns which arm pays",
    ) -> None:
        if not isinstance(baseline, bool):
            raise ValueError(f"baseline must be True or False, got {baseline!r}")
        length = whole("steps", steps, *STEPS)
        super().__init__(
            means=_means(means),
            lr=number("lr", lr, *RATES),
            baseline=baseline,
            bonus=number("bonus", bonus, -BONUS, BONUS),
            noise=number("noise", noise, 0, NOISE),
            steps=length,
            step=length,
            seed=whole("seed", seed, 0, 2**31 - 1),
            title=title,
        )

    @traitlets.validate("means")
    def _valid_means(self, proposal: dict[str, object]) -> list[float]:
        try:
            return _means(proposal["value"])
        except ValueError as error:
            raise traitlets.TraitError(str(error)) from None

    @traitlets.validate("lr")
    def _valid_lr(self, proposal: dict[str, object]) -> float:
        return trait_number(proposal["value"], "lr", *RATES)

    @traitlets.validate("steps")
    def _valid_steps(self, proposal: dict[str, object]) -> int:
        return trait_whole(proposal["value"], "steps", *STEPS)
