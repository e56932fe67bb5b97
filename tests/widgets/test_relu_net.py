"""The ReLU network's maths against PyTorch and brute force, and its handles, sliders and training in a real page."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
import traitlets
from torch.nn import functional as F

from torchbook.widgets import ReluNet
from torchbook.widgets.relu_net import DATA

HAT = [[1.0, 1.0, 1.0], [1.0, 0.0, -2.0], [-1.0, -1.5, 0.5]]  # joints at -1, 0 and -1.5
CROSS = [[1.0, 0.0, 0.5, 1.0], [0.0, 1.0, -0.3, -1.0], [1.0, 1.0, 0.0, 0.7]]


def network(units: torch.Tensor, bias: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """x (N, D) to f (N,), with a row (w..., b, v) per unit."""
    return torch.relu(F.linear(x, units[:, :-2], units[:, -2])) @ units[:, -1] + bias


def torch_loss(units: torch.Tensor, bias: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    f = network(units, bias, points[:, :-1])
    one = points.shape[1] == 2
    return F.mse_loss(f, points[:, 1]) if one else F.binary_cross_entropy_with_logits(f, points[:, 2])


def random_units(inputs: int, count: int, seed: int) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(count, inputs + 2, generator=draw, dtype=torch.float64)


# ---- Traits.


def test_arguments_become_traits() -> None:
    widget = ReluNet("XOR", units=CROSS, bias=-0.5, lr=0.2)
    assert (widget.data, widget.units, widget.bias, widget.lr, widget.count) == ("XOR", CROSS, -0.5, 0.2, 3)
    assert ReluNet("wave", units=5).units == [], "the browser draws the start"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"data": "spiral"}, "there are zigzag, wave"),
        ({"units": 0}, "units must be a whole number in 1..8"),
        ({"units": 9}, "units must be a whole number in 1..8"),
        ({"units": 2.0}, "units must be a whole number"),
        ({"units": True}, "units must be a whole number"),
        ({"units": []}, "the number of units must be a whole number in 1..8"),
        ({"units": [[1, 2]]}, r"unit 0 must be \(w, b, v\) for data with 1 input"),
        ({"data": "XOR", "units": HAT}, r"unit 0 must be \(w1, w2, b, v\) for data with 2 input"),
        ({"units": [[1, 0, 1], [1, 9, 1]]}, "b of unit 1 must be a number in -8..8, got 9"),
        ({"units": [[math.nan, 0, 1]]}, "w of unit 0 must be a number"),
        ({"bias": 8.5}, "bias must be a number in -8..8"),
        ({"lr": 0}, "lr must be a number in 0.001..1"),
        ({"seed": -1}, "seed must be a whole number"),
    ],
)
def test_bad_arguments_say_what_is_wrong(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(traitlets.TraitError, match=message):
        ReluNet(**arguments)


def test_bad_values_from_outside_are_refused() -> None:
    widget = ReluNet("ring")
    for name, value in [("data", "moon"), ("units", [[1, 2]]), ("units", [[1, 2, math.inf]]), ("lr", 5.0)]:
        with pytest.raises(traitlets.TraitError):
            setattr(widget, name, value)


# ---- The maths, in the browser.


@pytest.mark.slow
def test_the_output_is_that_of_pytorch(js) -> None:
    for inputs, count in itertools.product((1, 2), (1, 3, 8)):
        units = random_units(inputs, count, seed=count)
        x = torch.cartesian_prod(*[torch.linspace(-2, 2, 9, dtype=torch.float64)] * inputs).reshape(-1, inputs)
        arg = {"net": {"units": units.tolist(), "bias": 0.3}, "x": x.tolist()}
        got = js(ReluNet._esm, "arg.x.map((x) => forward(arg.net, x))", arg)
        assert got == pytest.approx(
            network(units, torch.tensor(0.3, dtype=torch.float64), x).tolist(), rel=1e-12, abs=1e-12
        )


@pytest.mark.slow
def test_joints_and_slopes_are_those_of_autograd(js) -> None:
    for count in (1, 2, 5, 8):
        units = random_units(1, count, seed=10 + count)
        found = js(ReluNet._esm, "({joints: joints(arg), pieces: pieces(arg, -2, 2)})", units.tolist())
        assert [j["x"] for j in found["joints"]] == pytest.approx((-units[:, 1] / units[:, 0]).sort().values.tolist())
        pieces = found["pieces"]
        assert (pieces[0]["from"], pieces[-1]["to"]) == (-2, 2)
        middle = torch.tensor([[(p["from"] + p["to"]) / 2] for p in pieces], dtype=torch.float64, requires_grad=True)
        (slopes,) = torch.autograd.grad(network(units, torch.tensor(0.0), middle).sum(), middle)
        assert [p["slope"] for p in pieces] == pytest.approx(slopes[:, 0].tolist(), abs=1e-9)
        inside = ((-units[:, 1] / units[:, 0]).abs() < 2).sum()
        assert len(pieces) == inside + 1
    same = [[1, -1, 2], [-2, 2, 1], [1, 0, 0]]  # two joints in one place, and a unit that adds nothing
    assert len(js(ReluNet._esm, "pieces(arg, -2, 2)", same)) == 2
    assert js(ReluNet._esm, "joints([[0, 1, 1]])") == [], "no weight, no joint"


@pytest.mark.slow
def test_tiles_are_the_activation_patterns_of_a_fine_grid(js) -> None:
    axis = torch.linspace(-2, 2, 801, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    for count, seed in [(1, 0), (2, 1), (3, 2), (5, 3), (7, 4)]:
        units = random_units(2, count, seed=50 + seed)
        tiles = js(ReluNet._esm, "tiles(arg).map((t) => ({...t, size: area(t.polygon)}))", units.tolist())
        awake = F.linear(grid, units[:, :2], units[:, 2]) > 0
        codes, sizes = (awake.long() * 2 ** torch.arange(count)).sum(dim=1).unique(return_counts=True)
        large = {int(c) for c, n in zip(codes, sizes, strict=True) if n > 20}
        center = torch.tensor([t["center"] for t in tiles], dtype=torch.float64, requires_grad=True)
        mine = ((F.linear(center, units[:, :2], units[:, 2]) > 0).long() * 2 ** torch.arange(count)).sum(dim=1).tolist()
        assert len(set(mine)) == len(mine), "one tile per pattern"
        assert large <= set(mine)
        assert all(t["size"] < 0.002 for t, code in zip(tiles, mine, strict=True) if code not in set(codes.tolist()))
        assert sum(t["size"] for t in tiles) == pytest.approx(16)
        (slopes,) = torch.autograd.grad(network(units, torch.tensor(0.0), center).sum(), center)
        assert torch.allclose(torch.tensor([t["gradient"] for t in tiles], dtype=torch.float64), slopes, atol=1e-9)
        assert len(tiles) <= js(ReluNet._esm, "mostRegions(2, arg)", count)
    assert js(ReluNet._esm, "[1, 2, 3, 4].map((m) => mostRegions(2, m))") == [2, 4, 7, 11]


@pytest.mark.slow
def test_chords_end_on_the_border_and_lie_on_the_line(js) -> None:
    for a, b, c in [(1, 0, 0.5), (0, 2, -1), (1, 1, 0), (0.3, -1.2, 1.9), (1, 1, 3.5)]:
        ends = js(ReluNet._esm, "chord(arg)", [a, b, c])
        assert len(ends) == 2
        for x, y in ends:
            assert a * x + b * y + c == pytest.approx(0, abs=1e-9)
            assert max(abs(x), abs(y)) == pytest.approx(2)
    assert js(ReluNet._esm, "[chord([1, 1, 5]), chord([0, 0, 1])]") == [None, None]


@pytest.mark.slow
def test_gradients_and_descents_are_those_of_torch(js) -> None:
    for data, inputs in DATA.items():
        units, bias = random_units(inputs, 4, seed=7), torch.tensor(0.2, dtype=torch.float64)
        points = torch.tensor(js(ReluNet._esm, "DATA[arg].points", data), dtype=torch.float64)
        arg = {"net": {"units": units.tolist(), "bias": 0.2}, "data": data}
        got = js(ReluNet._esm, "lossAndGradient(arg.net, DATA[arg.data].points)", arg)
        parameters = [torch.nn.Parameter(units.clone()), torch.nn.Parameter(bias.clone())]
        loss = torch_loss(*parameters, points)
        for_units, for_bias = torch.autograd.grad(loss, parameters)
        assert got["loss"] == pytest.approx(loss.item(), rel=1e-10)
        assert torch.allclose(torch.tensor(got["gradient"]["units"], dtype=torch.float64), for_units, atol=1e-10)
        assert got["gradient"]["bias"] == pytest.approx(for_bias.item(), abs=1e-10)
        optimizer = torch.optim.SGD(parameters, lr=0.03)
        for _ in range(25):
            optimizer.zero_grad()
            torch_loss(*parameters, points).backward()
            optimizer.step()
        walk = "Array.from({length: 25}).reduce((net) => descend(net, DATA[arg.data].points, 0.03), arg.net)"
        ended = js(ReluNet._esm, walk, arg)
        assert torch.allclose(torch.tensor(ended["units"], dtype=torch.float64), parameters[0].data, atol=1e-8)
        assert ended["bias"] == pytest.approx(parameters[1].item(), abs=1e-8)


@pytest.mark.slow
def test_starts_are_seeded_and_wake_inside_the_picture(js) -> None:
    for inputs in (1, 2):
        first, again, other = js(ReluNet._esm, "[start(arg, 8, 3), start(arg, 8, 3), start(arg, 8, 4)]", inputs)
        assert first == again != other
    many = js(ReluNet._esm, "Array.from({length: 50}, (_, seed) => joints(start(1, 8, seed))).flat().map((j) => j.x)")
    assert len(many) == 400
    assert max(map(abs, many)) < 1.6


# ---- In the page.


@pytest.mark.slow
def test_keyboard_moves_a_joint_and_tilts_the_curve(open_widgets) -> None:
    watched = open_widgets(ReluNet("zigzag", units=HAT))
    page, readout = watched.page, watched.page.locator(".tb-readout")
    assert "3 units, 3 joints in view (−1.5, −1, 0): 4 linear regions of at most 4" in readout.text_content()
    joint = page.get_by_role("slider", name="Joint of unit 1")
    joint.press("ArrowRight")
    assert "(−1.5, −0.95, 0)" in readout.text_content()
    assert joint.get_attribute("aria-valuetext") == "at −0.95, the slope changes by 1"
    joint.press("ArrowUp")
    assert joint.get_attribute("aria-valuetext") == "at −0.95, the slope changes by 1.1"
    for _ in range(5):
        joint.press("Shift+ArrowRight")
    assert "2 joints" not in readout.text_content()
    assert joint.get_attribute("aria-valuetext").startswith("at 0.05")
    joint.press("ArrowLeft")
    assert "3 linear regions of at most 4" in readout.text_content(), "two joints in one place"
    watched.check()


@pytest.mark.slow
@pytest.mark.parametrize("touch", [False, True])
def test_the_pointer_drags_a_joint_and_the_tilt(open_widgets, touch: bool) -> None:
    watched = open_widgets(ReluNet("zigzag", units=HAT), touch=touch)
    page = watched.page
    joint = page.get_by_role("slider", name="Joint of unit 2")
    box, unit = joint.bounding_box(), page.locator(".tb-rn .tb-plot").bounding_box()["width"] / 4.4
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + unit, y + 30, steps=3)
    page.mouse.up()
    at = float(joint.get_attribute("aria-valuenow"))
    assert 0.85 < at < 1.2
    before = joint.get_attribute("aria-valuetext").split("by ")[1]
    box = page.locator(".tb-rn-tilt").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, y - 40, steps=3)
    page.mouse.up()
    after = joint.get_attribute("aria-valuetext").split("by ")[1]
    assert float(after.replace("−", "-")) > float(before.replace("−", "-")) + 0.3, "dragged up, it bends up"
    assert float(joint.get_attribute("aria-valuenow")) == at, "tilting leaves the joint where it is"
    watched.check()


@pytest.mark.slow
def test_lines_move_and_turn_in_the_plane(open_widgets) -> None:
    watched = open_widgets(ReluNet("XOR", units=CROSS))
    page, readout = watched.page, watched.page.locator(".tb-readout")
    assert "3 units, 3 lines in view: 7 linear regions of at most 7" in readout.text_content()
    line = page.get_by_role("slider", name="Line of unit 1")
    line.press("ArrowLeft")
    assert line.get_attribute("aria-valuetext") == "through −0.55, 0; weights 1, 0"
    turn = page.get_by_role("slider", name="Direction of unit 1")
    turn.press("ArrowUp")
    assert line.get_attribute("aria-valuetext") == "through −0.55, 0; weights 1.1, 0"
    turn.press("Shift+ArrowLeft")
    assert line.get_attribute("aria-valuetext").endswith("weights 1.08, 0.219")
    box = page.locator(".tb-rn-plane").bounding_box()
    grip = line.bounding_box()
    page.mouse.move(grip["x"] + grip["width"] / 2, grip["y"] + grip["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.75 * box["width"], box["y"] + 0.5 * box["height"], steps=3)
    page.mouse.up()
    through = float(line.get_attribute("aria-valuenow"))
    assert 0.8 < through < 1.2
    watched.check()


@pytest.mark.slow
def test_fit_trains_pauses_and_solves(open_widgets) -> None:
    units = [[1.0, 1.0, 1.0, 0.5], [1.0, 1.0, -1.0, -1.0], [-1.0, -1.0, 0.5, -0.7], [-1.0, 1.0, 0.3, 0.4]]
    watched = open_widgets(ReluNet("XOR", units=units, lr=0.5))
    page, readout = watched.page, watched.page.locator(".tb-readout")
    page.get_by_role("button", name="Fit").click()
    page.wait_for_function("document.querySelector('.tb-readout').textContent.includes('4 of 4 right')")
    page.get_by_role("button", name="Pause").click()
    steps = int(readout.text_content().split("After ")[1].split(" step")[0])
    assert steps > 0
    page.get_by_role("button", name="Fit").click()
    page.wait_for_function(f"parseInt(document.querySelector('.tb-readout').textContent.split('After ')[1]) > {steps}")
    page.get_by_label("output weight v").press("ArrowRight")  # a hand on the network stops training
    assert page.get_by_role("button", name="Fit").is_visible()
    assert "After 0 steps" in readout.text_content()
    page.get_by_role("button", name="Start from other random weights").click()
    assert "4 units" in readout.text_content()
    watched.check()


@pytest.mark.slow
def test_data_units_and_sliders(open_widgets) -> None:
    watched = open_widgets(ReluNet("wave", units=2))
    page, readout = watched.page, watched.page.locator(".tb-readout")
    page.get_by_label("hidden units").press("ArrowRight")
    assert "3 units, 3 joints" in readout.text_content()
    page.locator(".tb-rn-chips label").nth(2).click()
    for _ in range(3):
        page.get_by_label("weight w", exact=True).press("Home")
    assert "slope changes by" in page.get_by_role("slider", name="Joint of unit 3").get_attribute("aria-valuetext")
    page.get_by_label("weight w", exact=True).fill("0")
    assert "3 units, 2 joints" in readout.text_content(), "no weight, no joint"
    page.get_by_label("data").select_option("ring")
    assert "3 units, 3 lines in view" in readout.text_content()
    assert page.get_by_label("weight w₂").is_visible()
    page.get_by_label("hidden units").press("Home")
    assert "1 unit, 1 line in view: 2 linear regions of at most 2" in readout.text_content()
    watched.check()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("theme", "width", "data"), [("light", 360, "zigzag"), ("dark", 360, "ring"), ("dark", 900, "XOR")]
)
def test_it_fits_and_its_controls_are_large_enough(open_widgets, theme: str, width: int, data: str) -> None:
    watched = open_widgets(ReluNet(data, units=8), theme=theme, width=width)
    page = watched.page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    small = watched.too_low(".tb button, .tb select, .tb .hit, .tb .tb-rn-chips label, .tb input[type=range]")
    assert small == 0
    watched.check()


@pytest.mark.slow
def test_a_slider_answers_within_a_frame(open_widgets) -> None:
    watched = open_widgets(ReluNet("ring", units=8))
    median = watched.slide_ms("document.querySelector('.tb-rn-sliders input[type=range]')", "i / 6 - 2")
    assert median < 50, f"{median:.0f} ms for one move of a weight"
    watched.check()
