"""Gan1D: a generator and a discriminator on a line, one step at a time."""

from __future__ import annotations

from collections.abc import Sequence

import traitlets

from torchbook.widgets.base import Widget
from torchbook.widgets.checks import number, one_of, trait_number, trait_whole

# gan_1d.js holds the same limits.
LOSSES = ("non-saturating", "saturating")
EDGE = 5.0  # the line is [-5, 5]
FARTHEST = 4.0  # a mode's center lies in [-4, 4]
MOST_MODES = 3
LR = (0.0001, 0.1)
TURNS = (1, 10)


def _modes(value: object) -> list[float]:
    if isinstance(value, str) or not isinstance(value, Sequence) or not 1 <= len(value) <= MOST_MODES:
        raise traitlets.TraitError(f"modes must be a list of 1 to {MOST_MODES} centers, got {value!r}")
    return [trait_number(v, f"center {i} of modes", -FARTHEST, FARTHEST) for i, v in enumerate(value)]


class Gan1D(Widget):
    """A GAN on a line that trains in the browser, with hand-written gradients and Adam.

    The data are a mixture of normal distributions, standard deviation 0.5, equal shares. The generator maps one normal
    number through 12 tanh units to a point; the discriminator maps a point through 16 tanh units to a logit. The
    figure shows the density of the data, that of the generator (pushed forward exactly), the discriminator, the best
    discriminator p / (p + q), and for generated points where the generator's loss pushes them. `reset` starts again
    from the same weights, "New start" from the next seed.

    Args:
        modes: the centers of the data's modes, 1 to 3 numbers in [-4, 4].
        loss: the generator's, one of `LOSSES`.
        turns: discriminator steps per generator step, 1 to 10.
        lr: learning rates of the generator and the discriminator, each 0.0001 to 0.1.
        seed: of the weights, the noise and the data.

    Raises ValueError or TraitError for values out of range.
    """

    modes = traitlets.List(traitlets.Float(), [-2.0, 2.0]).tag(sync=True)
    loss = traitlets.Unicode("non-saturating").tag(sync=True)
    turns = traitlets.Int(2).tag(sync=True)
    lr_generator = traitlets.Float(0.005).tag(sync=True)
    lr_discriminator = traitlets.Float(0.02).tag(sync=True)
    seed = traitlets.Int(0).tag(sync=True)

    def __init__(
        self,
        modes: Sequence[float] = (-2.0, 2.0),
        *,
        loss: str = "non-saturating",
        turns: int = 2,
        lr: Sequence[float] = (0.005, 0.02),
        seed: int = 0,
    ) -> None:
        if isinstance(lr, str) or not isinstance(lr, Sequence) or len(lr) != 2:
            raise ValueError(f"lr must be two numbers, the generator's and the discriminator's rate, got {lr!r}")
        super().__init__(
            modes=_modes(modes),
            loss=one_of("loss", loss, LOSSES),
            turns=turns,
            lr_generator=number("lr of the generator", lr[0], *LR),
            lr_discriminator=number("lr of the discriminator", lr[1], *LR),
            seed=seed,
        )

    @traitlets.validate("modes")
    def _check_modes(self, proposal: dict) -> list[float]:
        return _modes(proposal["value"])

    @traitlets.validate("loss")
    def _check_loss(self, proposal: dict) -> str:
        if proposal["value"] not in LOSSES:
            raise traitlets.TraitError(f"loss must be one of {', '.join(LOSSES)}, got {proposal['value']!r}")
        return proposal["value"]

    @traitlets.validate("turns")
    def _check_turns(self, proposal: dict) -> int:
        return trait_whole(proposal["value"], "turns", *TURNS)

    @traitlets.validate("lr_generator", "lr_discriminator")
    def _check_lr(self, proposal: dict) -> float:
        return trait_number(proposal["value"], proposal["trait"].name, *LR)

    @traitlets.validate("seed")
    def _check_seed(self, proposal: dict) -> int:
        return trait_whole(proposal["value"], "seed", 0, 2**31 - 1)
