"""Learning-rate schedules side by side, with the PyTorch code for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral, Real

import traitlets

from .base import Widget

# The parameters that each kind takes, beside `base_lr`; the defaults stand in the browser's half, where they
# depend on the number of steps.
WARMUP = ("warmup", "warmup_start")
KINDS = {
    "constant": WARMUP,
    "step": ("min_lr", *WARMUP, "step_size", "gamma"),
    "exponential": ("min_lr", *WARMUP, "gamma"),
    "linear": ("min_lr", *WARMUP),
    "cosine": ("min_lr", *WARMUP),
    "restarts": ("min_lr", *WARMUP, "T_0", "T_mult"),
    "one-cycle": ("pct_start", "div_factor", "final_div_factor"),
    "inverse-sqrt": ("min_lr", *WARMUP, "timescale"),
}
MAX_CURVES = 6
STEPS = (10, 100_000)

_RULES = {
    "base_lr": (Real, lambda v: v > 0, "above 0"),
    "min_lr": (Real, lambda v: v >= 0, "0 or more"),
    "warmup": (Integral, lambda v: v >= 0, "a whole number of steps, 0 or more"),
    "warmup_start": (Real, lambda v: 0 < v <= 1, "in (0, 1], a fraction of the base rate"),
    "step_size": (Integral, lambda v: v >= 1, "a whole number of steps, 1 or more"),
    "gamma": (Real, lambda v: 0 < v <= 1, "in (0, 1]"),
    "T_0": (Integral, lambda v: v >= 1, "a whole number of steps, 1 or more"),
    "T_mult": (Integral, lambda v: v >= 1, "a whole number, 1 or more"),
    "pct_start": (Real, lambda v: 0 < v < 1, "in (0, 1), the part of the steps that rise"),
    "div_factor": (Real, lambda v: v >= 1, "1 or more"),
    "final_div_factor": (Real, lambda v: v >= 1, "1 or more"),
    "timescale": (Real, lambda v: v > 0, "above 0, in steps"),
    "color": (Integral, lambda v: 0 <= v < MAX_CURVES, f"0 to {MAX_CURVES - 1}"),
}
_START = (
    {"kind": "cosine", "warmup": 100},
    {"kind": "one-cycle"},
    {"kind": "step", "gamma": 0.2, "step_size": 250},
)


def _check_value(where: str, name: str, value: object) -> None:
    kind, holds, wanted = _RULES[name]
    if isinstance(value, bool) or not isinstance(value, kind) or not holds(value) or value == float("inf"):
        raise ValueError(f"{where}: {name} must be {wanted}, got {value!r}")


def _check_schedule(where: str, schedule: Mapping[str, object]) -> None:
    kind = schedule.get("kind")
    if kind not in KINDS:
        raise ValueError(f"{where}: no schedule of kind {kind!r}: there are {', '.join(KINDS)}")
    known = ("base_lr", *KINDS[kind])
    for name, value in schedule.items():
        if name == "warmup" and kind == "one-cycle":
            raise ValueError(f"{where}: one-cycle has its own warm-up: give pct_start instead of warmup")
        if name not in (*known, "kind", "color"):
            raise ValueError(f"{where}: {kind} has no parameter {name!r}: it takes {', '.join(known)}")
        if name != "kind":
            _check_value(where, name, value)
    if "base_lr" in schedule and schedule.get("min_lr", 0) > schedule["base_lr"]:
        raise ValueError(f"{where}: min_lr={schedule['min_lr']} exceeds base_lr={schedule['base_lr']}")


def _check_length(where: str, schedule: Mapping[str, object], steps: int) -> None:
    if schedule.get("warmup", 0) >= steps:
        raise ValueError(f"{where}: warmup={schedule['warmup']} leaves nothing of {steps} steps")
    if schedule.get("pct_start", 1) * steps < 2:
        raise ValueError(f"{where}: pct_start={schedule['pct_start']} of {steps} steps is less than 2 steps")


def _colored(schedules: Sequence[Mapping[str, object]]) -> list[dict[str, object]]:
    """Copies with a base rate and a color: those without one get the colors that are left, in order."""
    if not 1 <= len(schedules) <= MAX_CURVES:
        raise ValueError(f"give 1 to {MAX_CURVES} schedules, got {len(schedules)}")
    taken = {schedule.get("color") for schedule in schedules}
    free = (color for color in range(MAX_CURVES) if color not in taken)
    return [
        {"base_lr": 0.1, **schedule, "color": schedule["color"] if "color" in schedule else next(free)}
        for schedule in schedules
    ]


class ScheduleDesigner(Widget):
    """Learning-rate schedules overlaid, their rate at every step, and the PyTorch code for the selected one.

    The rate at step i is the one with which update i = 0, 1, ..., steps - 1 is made, as PyTorch's own
    schedulers give it when `scheduler.step()` follows each `optimizer.step()`. `warmup` is a linear rise over
    that many steps from `warmup_start * base_lr`; the schedule proper starts after it.

    Args:
        schedules: up to six dictionaries with a "kind" of `KINDS`, `base_lr` and the kind's own parameters,
            named as in torch.optim.lr_scheduler; those left out get a sensible value for this many steps.
        steps: how many updates the training makes.
        log: draw the rates on a logarithmic axis.
        step: the step whose rates are read first; by default a third of the way.
        title: the line above the curves.
    """

    schedules = traitlets.List(traitlets.Dict()).tag(sync=True)
    steps = traitlets.Int(1000).tag(sync=True)
    step = traitlets.Int(0).tag(sync=True)
    selected = traitlets.Int(0).tag(sync=True)
    log = traitlets.Bool(False).tag(sync=True)
    title = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        schedules: Sequence[Mapping[str, object]] = _START,
        *,
        steps: int = 1000,
        log: bool = False,
        step: int | None = None,
        title: str = "Design a learning-rate schedule",
    ) -> None:
        if isinstance(steps, bool) or not isinstance(steps, Integral) or not STEPS[0] <= steps <= STEPS[1]:
            raise ValueError(f"steps must be a whole number from {STEPS[0]} to {STEPS[1]}, got {steps!r}")
        step = steps // 3 if step is None else step
        if not 0 <= step < steps:
            raise ValueError(f"step={step}, but the steps are 0 to {steps - 1}")
        curves = _colored(schedules)
        for i, schedule in enumerate(curves):
            _check_schedule(f"schedule {i}", schedule)
            _check_length(f"schedule {i}", schedule, steps)
        super().__init__(schedules=curves, steps=int(steps), step=int(step), log=log, title=title)

    @traitlets.validate("schedules")
    def _valid_schedules(self, proposal: dict[str, object]) -> list[dict[str, object]]:
        schedules = proposal["value"]
        if not 1 <= len(schedules) <= MAX_CURVES:
            raise ValueError(f"give 1 to {MAX_CURVES} schedules, got {len(schedules)}")
        for i, schedule in enumerate(schedules):
            _check_schedule(f"schedule {i}", schedule)
        return schedules
