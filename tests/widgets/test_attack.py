"""The attack widget's networks, projections and steps against PyTorch, and its controls in a real page."""

from __future__ import annotations

import base64
import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from torchbook.data import load_digits
from torchbook.widgets import Attack
from torchbook.widgets.attack import LARGEST, NORMS

ORDER = {"inf": math.inf, "2": 2, "1": 1}


def mlp(seed: int, width: int = 20) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 12), nn.ReLU(), nn.Linear(12, 10))


def rounded(model: nn.Module) -> nn.Module:
    """The model in double precision, with the weights that the browser has."""
    state = {name: value.half().double() for name, value in model.state_dict().items()}
    model.double().load_state_dict(state)
    return model


@pytest.fixture(scope="module")
def digits() -> tuple[torch.Tensor, list[int]]:
    data = load_digits(flat=True)
    return data.x_test[:4], data.y_test[:4].tolist()


@pytest.fixture(scope="module")
def nets(digits) -> tuple[nn.Module, nn.Module]:
    """Two networks that read the four digits right."""
    trained = []
    for seed in (1, 2):
        model = mlp(seed)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
        for _ in range(60):
            optimizer.zero_grad()
            F.cross_entropy(model(digits[0]), torch.tensor(digits[1])).backward()
            optimizer.step()
        trained.append(model)
    return tuple(trained)


@pytest.fixture
def widget(nets, digits) -> Attack:
    return Attack(nets[0].state_dict(), nets[1].state_dict(), *digits)


# ---- Traits.


def test_the_weights_travel_as_halves(nets, widget) -> None:
    assert widget.standard["sizes"] == [64, 20, 12, 10]
    sent = np.frombuffer(base64.b64decode(widget.standard["data"]), dtype="<f2")
    state = nets[0].state_dict()
    wanted = torch.cat([state[f"{layer}.{part}"].ravel() for layer in (0, 2, 4) for part in ("weight", "bias")])
    assert torch.equal(torch.tensor(sent.astype(np.float32)), wanted.half().float())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"standard": {}}, r"standard must be the state_dict\(\)"),
        ({"robust": {"0.weight": torch.zeros(10, 64)}}, "robust must hold exactly 0.bias, 0.weight"),
        ({"robust": {"0.weight": torch.zeros(9, 64), "0.bias": torch.zeros(9)}}, "robust must end in 10 logits"),
        ({"robust": {"0.weight": torch.zeros(10, 63), "0.bias": torch.zeros(10)}}, "layer 0 must take 64 numbers"),
        ({"standard": {"0.weight": torch.full((10, 64), math.nan), "0.bias": torch.zeros(10)}}, "not finite"),
        ({"standard": mlp(0, 900).state_dict()}, "too heavy for a page"),
        ({"images": torch.zeros(4, 63)}, "1 to 20 rows of 64 pixels"),
        ({"images": torch.full((4, 64), 1.5)}, "pixels in"),
        ({"labels": [1, 2, 3]}, "one class of 0 to 9 per image, 4 in all"),
        ({"labels": [1, 2, 3, 10]}, "one class of 0 to 9 per image"),
        ({"digit": 4}, "digit must be a whole number from 0 to 3"),
        ({"norm": "3"}, "norm must be one of inf, 2, 1"),
        ({"eps": 0.5}, "eps must be a number from 0 to 0.4"),
        ({"norm": "2", "eps": 3.5}, "eps must be a number from 0 to 3"),
        ({"steps": 0}, "steps must be a whole number from 1 to 40"),
        ({"start": 1}, "start must be True or False"),
        ({"aim": 10}, "aim must be a whole number from -1 to 9"),
        ({"made_for": "none"}, "made_for must be one of each, standard, robust"),
        ({"seed": -1}, "seed must be a whole number"),
    ],
)
def test_bad_arguments_say_what_is_wrong(nets, digits, changes: dict[str, object], message: str) -> None:
    given = {"standard": nets[0].state_dict(), "robust": nets[1].state_dict(), "images": digits[0], "labels": digits[1]}
    with pytest.raises(ValueError, match=message):
        Attack(**(given | changes))


# ---- The maths, in the browser.


@pytest.mark.slow
def test_forward_and_backward_are_those_of_pytorch(js, widget) -> None:
    net = rounded(mlp(0))
    state = Attack._esm
    for seed in range(3):
        net = rounded(mlp(seed))
        packed = Attack(net.state_dict(), net.state_dict(), torch.zeros(1, 64), [0]).standard
        x = torch.rand(64, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).requires_grad_()
        for y in (0, 7):
            z = net(x)
            loss = F.cross_entropy(z[None], torch.tensor([y]))
            (g,) = torch.autograd.grad(loss, x)
            case = [packed, x.tolist(), y]
            assert js(state, "logits(unpack(arg[0]), arg[1])", case) == pytest.approx(z.tolist(), abs=1e-9)
            got = js(state, "inputGradient(unpack(arg[0]), arg[1], arg[2])", case)
            assert got == pytest.approx(g.tolist(), abs=1e-9)
            others = torch.cat([z[:y], z[y + 1 :]]).max()
            assert js(state, "margin(...arg)", [z.tolist(), y]) == pytest.approx((z[y] - others).item(), abs=1e-9)
            assert js(state, "softmax(arg)", z.tolist()) == pytest.approx(z.softmax(0).tolist(), abs=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("norm", NORMS)
def test_the_projection_is_the_nearest_point_of_the_ball(js, norm: str) -> None:
    g = torch.Generator().manual_seed(5)
    for scale, eps in ((0.01, 1.0), (1.0, 0.7), (3.0, 2.0)):
        delta = scale * torch.randn(10, dtype=torch.float64, generator=g)
        case = [delta.tolist(), eps, norm]
        near = torch.tensor(js(Attack._esm, "project(...arg)", case), dtype=torch.float64)
        length = torch.linalg.vector_norm(near, ord=ORDER[norm]).item()
        assert js(Attack._esm, "size(...arg)", [near.tolist(), norm]) == pytest.approx(length, abs=1e-12)
        assert length <= eps + 1e-9
        z = torch.randn(2000, 10, dtype=torch.float64, generator=g)
        z = torch.cat([z, z.sign(), torch.eye(10).double(), -torch.eye(10).double()])
        z = eps * z / torch.linalg.vector_norm(z, ord=ORDER[norm], dim=1, keepdim=True)
        assert ((z - near) @ (delta - near)).max() < 1e-9, "a point of the ball is nearer"


@pytest.mark.slow
@pytest.mark.parametrize("norm", NORMS)
def test_the_step_gains_most(js, norm: str) -> None:
    g = torch.randn(9, dtype=torch.float64, generator=torch.Generator().manual_seed(7))
    step = torch.tensor(js(Attack._esm, "steepest(...arg)", [g.tolist(), norm]), dtype=torch.float64)
    assert torch.linalg.vector_norm(step, ord=ORDER[norm]).item() == pytest.approx(1)
    dual = {"inf": 1, "2": 2, "1": math.inf}[norm]
    assert (g @ step).item() == pytest.approx(torch.linalg.vector_norm(g, ord=dual).item())


@pytest.mark.slow
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("aim", [-1, 4])
def test_the_attack_takes_pytorch_s_steps_within_its_budget(js, nets, digits, norm: str, aim: int) -> None:
    packed = Attack(nets[0].state_dict(), nets[1].state_dict(), *digits).standard
    net, x, y = rounded(mlp(0)), digits[0][0].double(), digits[1][0]
    net.load_state_dict({name: value.half().double() for name, value in nets[0].state_dict().items()})
    eps, steps = LARGEST[norm] / 3, 6
    state = {"norm": norm, "eps": eps, "steps": steps, "start": True, "aim": aim, "seed": 3}
    way = js(Attack._esm, "attack(unpack(arg[0]), arg[1], arg[2], arg[3])", [packed, x.tolist(), y, state])
    assert len(way) == steps + 1
    assert way[0] != x.tolist(), "it starts at a random point"
    for here, there in itertools.pairwise(way):
        moved = torch.tensor(here, dtype=torch.float64, requires_grad=True)
        loss = F.cross_entropy(net(moved)[None], torch.tensor([y if aim < 0 else aim]))
        g = torch.autograd.grad(loss, moved)[0] * (1 if aim < 0 else -1)
        moved = moved.detach()
        g[((moved <= 0) & (g < 0)) | ((moved >= 1) & (g > 0))] = 0
        if norm == "1":
            step = g.sign() * F.one_hot(g.abs().argmax(), 64)
        else:
            step = g.sign() if norm == "inf" else g / g.norm()
        total = moved - x + 2.5 * eps / steps * step
        near = torch.tensor(js(Attack._esm, "project(...arg)", [total.tolist(), eps, norm]), dtype=torch.float64)
        assert there == pytest.approx((x + near).clamp(0, 1).tolist(), abs=1e-9)
        change = torch.tensor(there, dtype=torch.float64) - x
        assert torch.linalg.vector_norm(change, ord=ORDER[norm]) <= eps + 1e-9
        assert 0 <= min(there) <= max(there) <= 1


@pytest.mark.slow
def test_one_step_without_a_random_start_is_fgsm(js, nets, digits) -> None:
    packed = Attack(nets[0].state_dict(), nets[1].state_dict(), *digits).standard
    net = rounded(mlp(0))
    net.load_state_dict({name: value.half().double() for name, value in nets[0].state_dict().items()})
    x, y = digits[0][1].double().requires_grad_(), digits[1][1]
    (g,) = torch.autograd.grad(F.cross_entropy(net(x)[None], torch.tensor([y])), x)
    state = {"norm": "inf", "eps": 0.15, "steps": 1, "start": False, "aim": -1, "seed": 0}
    way = js(Attack._esm, "attack(unpack(arg[0]), arg[1], arg[2], arg[3])", [packed, x.tolist(), y, state])
    assert way[0] == pytest.approx(x.tolist())
    assert way[1] == pytest.approx((x + 0.15 * g.sign()).clamp(0, 1).tolist(), abs=1e-9)


@pytest.mark.slow
def test_the_pen_inks_and_erases(js) -> None:
    image = torch.tensor(js(Attack._esm, "touch(Array(64).fill(0), 0, 3, false)")).reshape(8, 8)
    assert image[0, 3] == 1
    assert image[0, 2] == image[0, 4] == image[1, 3] == 0.25
    assert image.sum() == 1.75
    assert sum(js(Attack._esm, "touch(touch(Array(64).fill(0), 0, 3, false), 0, 3, true)")) == 0.75


# ---- In the page.


@pytest.mark.slow
def test_keyboard_and_controls_change_the_result(open_widgets, widget, digits) -> None:
    watched = open_widgets(widget)
    page = watched.page
    readout = page.locator(".tb-readout")
    assert readout.text_content().startswith(f"A {digits[1][0]}, after 20 of 20 steps, ‖δ‖ with p = ∞ at most 0.1.")
    page.get_by_role("slider", name="budget").press("Home")
    assert "at most 0." in readout.text_content()
    assert readout.text_content().count("it stands") == 2, "without a budget nothing moves"
    assert "‖δ‖∞ 0," in readout.text_content()
    page.get_by_role("slider", name="budget").press("End")
    assert "at most 0.4" in readout.text_content()
    assert "fooled" in readout.text_content()
    page.get_by_label("norm p").select_option("2")
    assert "p = 2 at most 0.5" in readout.text_content()
    page.get_by_label("random start").uncheck()
    assert page.get_by_role("button", name="New start").is_disabled()
    page.get_by_role("slider", name="attack steps").press("Home")
    assert "after 1 of 1 step," in readout.text_content()
    page.get_by_role("combobox", name="image").select_option("1")
    assert readout.text_content().startswith(f"A {digits[1][1]}, ")
    page.get_by_label("norm p").select_option("inf")
    page.get_by_role("slider", name="budget").press("End")
    page.get_by_role("slider", name="attack steps").press("End")
    page.get_by_label("aim at").select_option(str(next(label for label in digits[1] if label != digits[1][1])))
    assert "the target is hit" in readout.text_content()
    page.get_by_role("slider", name="step", exact=True).press("Home")
    assert "after 0 of 40 steps" in readout.text_content()
    assert readout.text_content().count("it stands") == 2
    watched.check()


@pytest.mark.slow
@pytest.mark.parametrize("touch", [False, True])
def test_a_digit_may_be_drawn_with_keys_or_pointer(open_widgets, widget, touch: bool) -> None:
    watched = open_widgets(widget, touch=touch)
    page = watched.page
    page.get_by_role("button", name="Clear the paper").click()
    assert page.get_by_role("combobox", name="image").input_value() == "-1"
    ink = """canvas => { const d = canvas.getContext('2d').getImageData(0, 0, 8, 8).data;
        return [...Array(64).keys()].map((i) => 255 - d[4 * i]); }"""
    canvas = page.locator(".tb-at-draw")
    assert sum(canvas.evaluate(ink)) == 0
    box = canvas.bounding_box()
    at = (box["x"] + 4.5 * box["width"] / 8, box["y"] + 2.5 * box["height"] / 8)
    page.touchscreen.tap(*at) if touch else page.mouse.click(*at)
    assert canvas.evaluate(ink)[8 * 2 + 4] == 255
    paper = page.locator(".tb-at-paper")
    paper.press("ArrowDown")
    paper.press("ArrowDown")
    paper.press(" ")
    assert canvas.evaluate(ink)[8 * 4 + 4] == 255
    paper.press(" ")
    assert canvas.evaluate(ink)[8 * 4 + 4] == 0
    page.get_by_label("it is a").select_option("7")
    assert page.locator(".tb-readout").text_content().startswith("A 7, ")
    page.get_by_role("combobox", name="image").select_option("0")
    assert page.get_by_role("combobox", name="image").input_value() == "0"
    watched.check()


@pytest.mark.slow
def test_the_plot_sets_the_budget_and_play_runs_the_attack(open_widgets, widget) -> None:
    watched = open_widgets(widget)
    page = watched.page
    box = page.locator(".tb-plot").bounding_box()
    page.mouse.click(box["x"] + box["width"] * 0.98, box["y"] + box["height"] / 2)
    assert "at most 0.4" in page.locator(".tb-readout").text_content()
    page.get_by_role("slider", name="step", exact=True).press("Home")
    page.get_by_role("button", name="Play").click()
    page.wait_for_function("document.querySelector('.tb-readout').textContent.includes('after 20 of 20')")
    page.get_by_role("button", name="Play").wait_for()
    watched.check()


@pytest.mark.slow
@pytest.mark.parametrize(("theme", "width"), [("light", 360), ("dark", 900)])
def test_it_fits_and_its_controls_are_large_enough(open_widgets, widget, theme: str, width: int) -> None:
    watched = open_widgets(widget, theme=theme, width=width)
    page = watched.page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert watched.sticking_out() == 0
    assert watched.too_low(".tb button, .tb select, .tb input[type=range]") == 0
    watched.check()


@pytest.mark.slow
def test_a_slider_answers_within_a_frame_or_two(open_widgets, digits) -> None:
    widget = Attack(mlp(1, 96).state_dict(), mlp(2, 96).state_dict(), *digits)
    watched = open_widgets(widget)
    sliders = "[...document.querySelectorAll('.tb-at input[type=range]')]"
    assert watched.slide_ms(f"{sliders}[0]", "i / 15", turns=15) < 60
    assert watched.slide_ms(f"{sliders}[1]", "1 + 2 * i", turns=15) < 120
    watched.check()
