"""The gated cells of the widget, against nn.LSTMCell, nn.GRUCell and autograd, and its handles in a real page."""

from __future__ import annotations

import itertools
import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from torchbook.widgets import Gates
from torchbook.widgets.gates import HAND, PUSHES

CELLS = {"lstm": nn.LSTMCell, "gru": nn.GRUCell}
BASE = {"kind": "lstm", "mode": "trained", "unit": 0, "length": 12, "mark": 3, "step": 3, "seed": 5, "flips": []}
BASE |= {"hand": dict(HAND), "push": dict.fromkeys(PUSHES, 0.0)}
LATCH = {"forget": 1.0, "input": 0.0, "input_at_mark": 1.0, "output": 1.0, "update": 1.0, "update_at_mark": 0.0}


def double(values) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def network(kind: str, units: int = 3, seed: int = 0, gain: float = 3.0) -> SimpleNamespace:
    """An untrained network with weights that are large enough to tell all paths apart."""
    torch.manual_seed(seed)
    rnn, head = (nn.LSTM if kind == "lstm" else nn.GRU)(2, units, batch_first=True), nn.Linear(units, 2)
    with torch.no_grad():
        for p in rnn.parameters():
            p.mul_(gain)
    return SimpleNamespace(rnn=rnn, head=head)


def state_of(kind: str, **changes: object) -> dict[str, object]:
    widget = Gates(**{kind: network(kind)})
    return BASE | {"kind": kind, "weights": widget.weights} | changes


def reference(kind: str, w: dict[str, list], xs: list, unit: int) -> dict[str, object]:
    """PyTorch's cell over the inputs: h and memory of each step, and d memory_T[unit] / d memory_t[unit], t = 0..T."""
    cell = CELLS[kind](2, len(w["w_hh"][0])).double()
    with torch.no_grad():
        for name, key in [("weight_ih", "w_ih"), ("weight_hh", "w_hh"), ("bias_ih", "b_ih"), ("bias_hh", "b_hh")]:
            getattr(cell, name).copy_(double(w[key]))
    h = torch.zeros(1, cell.hidden_size, dtype=torch.float64, requires_grad=True)
    c = torch.zeros_like(h, requires_grad=True)
    memories, shown = [c if kind == "lstm" else h], []
    for x in double(xs):
        if kind == "lstm":
            h, c = cell(x[None], (h, c))
        else:
            h = cell(x[None], h)
        memories.append(c if kind == "lstm" else h)
        shown.append(h)
    grads = torch.autograd.grad(memories[-1][0, unit], memories)
    return {
        "h": [v[0].tolist() for v in shown],
        "memory": [v[0].tolist() for v in memories[1:]],
        "all": [g[0, unit].item() for g in grads],
    }


# ---- Traits.


def test_the_defaults_are_valid_and_follow_the_networks() -> None:
    widget = Gates()
    assert (widget.kind, widget.mode, widget.unit, widget.length, widget.mark, widget.step) == (
        "lstm", "by hand", 0, 60, 4, 4)  # fmt: skip
    widget = Gates(gru=network("gru"), push={"update": -2})
    assert (widget.kind, widget.mode, widget.push["update"], widget.push["reset"]) == ("gru", "trained", -2.0, 0.0)
    assert double(widget.weights["gru"]["w_hh"]).shape == (9, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lstm": nn.LSTM(2, 3)}, "lstm must be a model with .rnn, an nn.LSTM, and .head"),
        ({"gru": network("lstm")}, "gru.rnn must be an nn.GRU with 2 inputs"),
        ({"lstm": SimpleNamespace(rnn=nn.LSTM(2, 3, num_layers=2), head=nn.Linear(3, 2))}, "one layer"),
        ({"lstm": SimpleNamespace(rnn=nn.LSTM(2, 3), head=nn.Linear(3, 5))}, "a head of 2 logits"),
        ({"lstm": SimpleNamespace(rnn=nn.LSTM(2, 17), head=nn.Linear(17, 2))}, "1 to 16 units"),
        ({"kind": "rnn"}, "kind must be one of lstm, gru"),
        ({"mode": "auto"}, "mode must be one of trained, by hand"),
        ({"mode": "trained"}, "there is no trained lstm: pass lstm=model"),
        ({"lstm": network("lstm"), "unit": 3}, "unit must be a whole number from 0 to 2"),
        ({"length": 9}, "length must be a whole number from 10 to 240"),
        ({"length": 20, "mark": 21}, "mark must be a whole number from 1 to 20"),
        ({"step": 0}, "step must be a whole number from 1 to 60"),
        ({"seed": -1}, "seed must be a whole number"),
        ({"hand": {"forget": 1.1}}, "must be a number from 0 to 1"),
        ({"hand": {"forgot": 1}}, "a key of hand must be one of forget, input"),
        ({"hand": 0.5}, "hand must be a dict such as"),
        ({"push": {"forget": math.nan}}, "must be a number from -8 to 8"),
    ],
)
def test_bad_arguments_say_what_is_wrong(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Gates(**arguments)


# ---- The maths, in the browser.


@pytest.mark.slow
@pytest.mark.parametrize("kind", CELLS)
def test_states_and_gradients_are_those_of_torch(js, kind: str) -> None:
    for unit, seed in itertools.product((0, 2), (1, 9)):
        got = js(Gates._esm, "run(arg)", state_of(kind, unit=unit, seed=seed))
        weights = Gates(**{kind: network(kind)}).weights[kind]
        wanted = reference(kind, weights, got["xs"], unit)
        memory = "c" if kind == "lstm" else "h"
        assert double([s["h"] for s in got["steps"]]).flatten().tolist() == pytest.approx(
            double(wanted["h"]).flatten().tolist(), rel=1e-9, abs=1e-12
        )
        assert double([s[memory] for s in got["steps"]]).flatten().tolist() == pytest.approx(
            double(wanted["memory"]).flatten().tolist(), rel=1e-9, abs=1e-12
        )
        assert got["all"] == pytest.approx(wanted["all"], rel=1e-8, abs=1e-12)
        assert max(abs(a - b) for a, b in zip(got["all"], got["path"], strict=True)) > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("kind", CELLS)
def test_the_path_is_the_product_of_the_gates_and_exact_where_no_gate_reads_the_state(js, kind: str) -> None:
    got = js(Gates._esm, "run(arg)", state_of(kind, unit=1))
    gate = [s["f" if kind == "lstm" else "z"][1] for s in got["steps"]]
    assert got["path"] == pytest.approx([math.prod(gate[t:]) for t in range(13)])
    silent = network(kind)
    silent.rnn.weight_hh_l0.data.zero_()
    got = js(Gates._esm, "run(arg)", state_of(kind, unit=1, weights=Gates(**{kind: silent}).weights))
    assert got["all"] == pytest.approx(got["path"], rel=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("kind", CELLS)
def test_the_answer_is_the_softmax_of_the_module(js, kind: str) -> None:
    model = network(kind)
    for seed in (0, 4):
        got = js(Gates._esm, "run(arg)", state_of(kind, seed=seed))
        out = model.rnn(torch.tensor(got["xs"]).float()[None])[0]
        assert got["p"] == pytest.approx(torch.softmax(model.head(out[0, -1]), dim=0)[1].item(), abs=1e-5)


@pytest.mark.slow
def test_a_push_moves_the_biases_of_one_gate(js) -> None:
    blocks = {"lstm": {"forget": 1, "input": 0, "output": 3}, "gru": {"update": 1, "reset": 0}}
    for kind, gate in [(kind, gate) for kind, gates in blocks.items() for gate in gates]:
        weights = Gates(**{kind: network(kind)}).weights[kind]
        push = dict.fromkeys(PUSHES, 0.0) | {gate: 2.5}
        got = js(Gates._esm, "pushed(arg.kind, arg.w, arg.push)", {"kind": kind, "w": weights, "push": push})
        moved = double(got["b_ih"]) - double(weights["b_ih"])
        assert moved.view(-1, 3)[blocks[kind][gate]].tolist() == pytest.approx([2.5] * 3)
        assert moved.abs().sum().item() == pytest.approx(7.5)


@pytest.mark.slow
def test_gates_by_hand_are_what_the_sliders_say(js) -> None:
    hand = dict(HAND) | {"forget": 0.8, "input": 0.3, "input_at_mark": 0.9, "output": 0.6, "update": 0.7, "reset": 0.2}
    got = js(Gates._esm, "run(arg)", state_of("lstm", mode="by hand", hand=hand))
    c = 0.0
    for t, (x, now) in enumerate(zip(got["xs"], got["steps"], strict=True), start=1):
        i = 0.9 if t == 3 else 0.3
        c = 0.8 * c + i * math.tanh(1.5 * x[0])
        assert [now["i"][0], now["c"][0], now["h"][0]] == pytest.approx([i, c, 0.6 * math.tanh(c)])
    assert got["all"] == pytest.approx([0.8 ** (12 - t) for t in range(13)])
    got = js(Gates._esm, "run(arg)", state_of("gru", mode="by hand", hand=hand))
    h = 0.0
    for t, (x, now) in enumerate(zip(got["xs"], got["steps"], strict=True), start=1):
        z = 0.9 if t == 3 else 0.7
        h = z * h + (1 - z) * math.tanh(1.5 * x[0] + 0.2 * h)
        assert [now["z"][0], now["r"][0], now["h"][0]] == pytest.approx([z, 0.2, h])


@pytest.mark.slow
@pytest.mark.parametrize("kind", CELLS)
def test_a_latch_by_hand_holds_the_marked_bit_exactly(js, kind: str) -> None:
    for seed in range(6):
        got = js(
            Gates._esm,
            "run(arg)",
            state_of(kind, mode="by hand", hand=dict(HAND) | LATCH, length=240, mark=7, seed=seed),
        )
        assert got["path"][7] == got["path"][-1] == 1
        assert (got["p"] > 0.9) == (got["truth"] == 1)
        assert abs(got["steps"][-1]["c" if kind == "lstm" else "h"][0]) == pytest.approx(math.tanh(1.5), abs=1e-9)


@pytest.mark.slow
def test_bits_follow_the_seed_and_flips_turn_single_ones(js) -> None:
    one, again, other, turned = (
        js(Gates._esm, "bitsOf(arg[0], 200, arg[1])", case) for case in ([1, []], [1, []], [2, []], [1, [1, 200]])
    )
    assert one == again != other
    assert set(one) == {-1, 1}
    assert abs(sum(one)) < 50
    assert [t for t, (a, b) in enumerate(zip(one, turned, strict=True), start=1) if a != b] == [1, 200]


# ---- In the page.


@pytest.mark.slow
def test_keyboard_moves_steps_and_gates_and_the_line_says_the_result(open_widgets) -> None:
    watched = open_widgets(Gates(hand=LATCH, length=40, mark=5))
    page = watched.page
    readout = page.locator(".tb-readout")
    assert readout.text_content().startswith("Step 5 of 40: f 1, i 1, o 1,")
    assert "the cell path keeps 1 of the gradient, all paths 1." in readout.text_content()
    assert "right; the bit marked at step 5" in readout.text_content()
    page.get_by_role("slider", name="step to read").press("ArrowRight")
    assert readout.text_content().startswith("Step 6 of 40: f 1, i 0,")
    page.get_by_role("slider", name="forget gate f").press("ArrowLeft")
    assert f"the cell path keeps {0.99**34:.3g} of the gradient" in readout.text_content()
    before = readout.text_content().split("Answer at the end: ")[1][0]
    page.get_by_role("slider", name="step to read").fill("5")
    page.get_by_role("button", name="Turn over the bit").press("Enter")
    assert readout.text_content().split("Answer at the end: ")[1][0] != before
    page.get_by_role("slider", name="length").fill("10")
    assert readout.text_content().startswith("Step 5 of 10:")
    page.get_by_role("button", name="Put the gate sliders back").click()
    assert "f 1, i 1, o 1" in readout.text_content()
    watched.check()


@pytest.mark.slow
def test_cells_networks_units_and_pushes(open_widgets) -> None:
    watched = open_widgets(Gates(lstm=network("lstm"), length=30))
    page = watched.page
    readout = page.locator(".tb-readout")
    assert ", unit 1: f " in readout.text_content()
    page.get_by_label("unit").select_option(label="3")
    assert ", unit 3: f " in readout.text_content()
    before = readout.text_content()
    page.get_by_role("slider", name="push forget").press("ArrowRight")
    assert readout.text_content() != before
    assert not page.get_by_label("forget gate f").is_visible()
    page.get_by_label("cell", exact=True).select_option("gru")
    assert page.get_by_label("gates", exact=True).input_value() == "by hand", "there is no trained GRU"
    assert "Step 4 of 30: z 0.9, r 1," in readout.text_content()
    assert "direct path" in readout.text_content()
    assert not page.get_by_label("unit").is_visible()
    page.get_by_role("slider", name="z at the mark").fill("0")
    assert "Step 4 of 30: z 0, r 1, h " in readout.text_content()
    page.get_by_role("button", name="Draw new bits").click()
    watched.check()


@pytest.mark.slow
def test_play_runs_to_the_end_and_stops(open_widgets) -> None:
    watched = open_widgets(Gates(gru=network("gru"), length=10))
    page = watched.page
    page.get_by_role("button", name="Play").click()
    page.wait_for_function("document.querySelector('.tb-readout').textContent.startsWith('Step 10 of 10')")
    page.get_by_role("button", name="Play").wait_for()
    page.get_by_role("button", name="Play").click()
    page.get_by_role("button", name="Pause").click()
    page.get_by_role("button", name="Play").wait_for()
    watched.check()


@pytest.mark.slow
@pytest.mark.parametrize("touch", [False, True])
def test_the_pointer_reads_a_step_and_turns_a_bit(open_widgets, touch: bool) -> None:
    watched = open_widgets(Gates(length=40), touch=touch)
    page = watched.page

    def press(selector: str, share: float) -> None:
        node = page.locator(selector).first
        node.scroll_into_view_if_needed()
        box = node.bounding_box()
        x, y = box["x"] + 58 + share * (box["width"] - 58 - 14), box["y"] + box["height"] / 2
        page.touchscreen.tap(x, y) if touch else page.mouse.click(x, y)

    press(".tb-ga-panel", 0.5)
    readout = page.locator(".tb-readout")
    assert readout.text_content().startswith("Step 20 of 40:")
    truth = readout.text_content()[-2]
    press(".tb-ga-strip", 0.1)
    assert readout.text_content().startswith("Step 4 of 40:")
    assert readout.text_content()[-2] != truth, "the marked bit was turned over"
    watched.check()


@pytest.mark.slow
@pytest.mark.parametrize(("theme", "width"), [("light", 360), ("dark", 900)])
def test_it_fits_and_its_controls_are_large_enough(open_widgets, theme: str, width: int) -> None:
    watched = open_widgets(Gates(lstm=network("lstm")), theme=theme, width=width)
    page = watched.page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    small = watched.too_low(".tb button, .tb select, .tb label.tb-check, .tb input[type=range]")
    assert small == 0
    watched.check()


@pytest.mark.slow
def test_a_slider_answers_within_a_frame(open_widgets) -> None:
    watched = open_widgets(Gates(lstm=network("lstm", units=16, gain=1.0), length=240))
    median = watched.slide_ms(
        """document.querySelector('.tb-ga-gates .tb-slider:not([style*="none"]) input')""", "i / 4 - 2"
    )
    assert median < 50, f"{median:.0f} ms for one push"
    watched.check()
