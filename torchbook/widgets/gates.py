"""A gated cell that plays a sequence: its gates, its state, and what is left of the gradient on the way back."""

from __future__ import annotations

from collections.abc import Mapping

import traitlets

from .base import Widget
from .checks import number, one_of, whole

KINDS = ("lstm", "gru")
MODES = ("trained", "by hand")
BLOCKS = {"lstm": 4, "gru": 3}  # blocks of rows in a weight: i, f, g, o; r, z, n
UNITS = (1, 16)
LENGTHS = (10, 240)
PUSH = 8.0  # the most that a slider adds to the biases of a gate
HAND = {
    "forget": 0.9,
    "input": 0.5,
    "input_at_mark": 0.5,
    "output": 1.0,
    "update": 0.9,
    "update_at_mark": 0.9,
    "reset": 1.0,
}
PUSHES = ("forget", "input", "output", "update", "reset")


def _rounded(tensor: object) -> list:
    """Nested lists with 6 significant digits: the page carries them."""
    if isinstance(tensor, list):
        return [_rounded(item) for item in tensor]
    return float(f"{float(tensor):.6g}")


def _network(kind: str, model: object) -> dict[str, list]:
    """The weights of `model.rnn` and `model.head` as lists. Raises ValueError that says what does not fit."""
    rnn, head = getattr(model, "rnn", None), getattr(model, "head", None)
    if rnn is None or head is None or not hasattr(rnn, "weight_ih_l0") or not hasattr(head, "weight"):
        raise ValueError(f"{kind} must be a model with .rnn, an nn.{kind.upper()}, and .head, an nn.Linear")
    shape, units = tuple(rnn.weight_ih_l0.shape), rnn.hidden_size
    if shape != (BLOCKS[kind] * units, 2) or rnn.num_layers != 1 or rnn.bidirectional or not rnn.bias:
        raise ValueError(
            f"{kind}.rnn must be an nn.{kind.upper()} with 2 inputs, one layer, one direction and biases, got {rnn}"
        )
    if not UNITS[0] <= units <= UNITS[1] or tuple(head.weight.shape) != (2, units) or head.bias is None:
        raise ValueError(f"{kind} needs 1 to {UNITS[1]} units and a head of 2 logits with a bias, got {head}")
    tensors = {
        "w_ih": rnn.weight_ih_l0,
        "w_hh": rnn.weight_hh_l0,
        "b_ih": rnn.bias_ih_l0,
        "b_hh": rnn.bias_hh_l0,
        "w_out": head.weight,
        "b_out": head.bias,
    }
    return {name: _rounded(tensor.detach().cpu().tolist()) for name, tensor in tensors.items()}


def _settings(name: str, given: object, defaults: Mapping[str, float], low: float, high: float) -> dict[str, float]:
    """`defaults`, with those of `given` in their place. Raises ValueError for an unknown name or a bad number."""
    if given is not None and not isinstance(given, Mapping):
        raise ValueError(f"{name} must be a dict such as {{'forget': {defaults['forget']:g}}}, got {given!r}")
    settings = dict(defaults)
    for key, value in (given or {}).items():
        settings[one_of(f"a key of {name}", key, list(defaults))] = number(f"{name}[{key!r}]", value, low, high)
    return settings


class Gates(Widget):
    """An LSTM or a GRU reads bits, one of them marked, and should name the marked one at the end.

    Each step's input is (bit as -1 or 1, mark as 0 or 1). Either a trained network runs, and sliders push its gates,
    or a single unit runs whose gates the sliders set. Shown for one unit and every step: the gates, the state, and the
    derivative of the last state by this one, along the cell path alone (the product of the forget or update gates)
    and through all paths (Hochreiter and Schmidhuber 1997; Cho et al. 2014, in PyTorch's form).

    Args:
        lstm: a model with `.rnn`, an `nn.LSTM(2, up to 16)`, and `.head`, an `nn.Linear` to 2 logits; or None.
        gru: the same with an `nn.GRU`.
        kind: "lstm" or "gru"; by default the first one that is given.
        mode: "trained" or "by hand"; by default "trained" where there is a network.
        unit: which unit is shown, from 0.
        length: steps, 10 to 240.
        mark: the marked step, 1 to length.
        step: the step that the line reads, 1 to length; by default the marked one.
        seed: of the bits.
        hand: gates by hand, 0 to 1: any of `HAND`.
        push: what is added to the biases of the trained network's gates, -8 to 8: any of `PUSHES`.
        title: the line above the figure.
    """

    weights = traitlets.Dict().tag(sync=True)
    kind = traitlets.Enum(KINDS, "lstm").tag(sync=True)
    mode = traitlets.Enum(MODES, "by hand").tag(sync=True)
    unit = traitlets.Int(0).tag(sync=True)
    length = traitlets.Int(60).tag(sync=True)
    mark = traitlets.Int(4).tag(sync=True)
    step = traitlets.Int(4).tag(sync=True)
    seed = traitlets.Int(0).tag(sync=True)
    flips = traitlets.List(traitlets.Int()).tag(sync=True)
    hand = traitlets.Dict().tag(sync=True)
    push = traitlets.Dict().tag(sync=True)
    title = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        *,
        lstm: object = None,
        gru: object = None,
        kind: str | None = None,
        mode: str | None = None,
        unit: int = 0,
        length: int = 60,
        mark: int = 4,
        step: int | None = None,
        seed: int = 0,
        hand: Mapping[str, float] | None = None,
        push: Mapping[str, float] | None = None,
        title: str = "One marked bit goes through a gated cell",
    ) -> None:
        given = {"lstm": lstm, "gru": gru}
        weights = {name: _network(name, model) for name, model in given.items() if model is not None}
        kind = one_of("kind", next(iter(weights), "lstm") if kind is None else kind, KINDS)
        mode = one_of("mode", ("trained" if kind in weights else "by hand") if mode is None else mode, MODES)
        if mode == "trained" and kind not in weights:
            raise ValueError(f"there is no trained {kind}: pass {kind}=model, or choose mode='by hand'")
        units = len(weights[kind]["b_ih"]) // BLOCKS[kind] if mode == "trained" else 1
        length = whole("length", length, *LENGTHS)
        mark = whole("mark", mark, 1, length)
        super().__init__(
            weights=weights,
            kind=kind,
            mode=mode,
            unit=whole("unit", unit, 0, units - 1),
            length=length,
            mark=mark,
            step=mark if step is None else whole("step", step, 1, length),
            seed=whole("seed", seed, 0, 2**31 - 1),
            hand=_settings("hand", hand, HAND, 0.0, 1.0),
            push=_settings("push", push, dict.fromkeys(PUSHES, 0.0), -PUSH, PUSH),
            title=title,
        )
