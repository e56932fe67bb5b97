"""The noise widget's schedules, network and steps against PyTorch, and its controls in a real page."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from torchbook.data import load_digits
from torchbook.widgets import Noise
from torchbook.widgets.noise import HALF, LETTERS, NONE, SCHEDULES, STEPS, pack

WAVES = torch.tensor([0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.65, 0.8], dtype=torch.float64)


class Denoiser(nn.Module):
    """The network that the widget's docstring describes."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.inp, self.out = nn.Linear(64, width), nn.Linear(width, 64)
        self.mix = nn.ModuleList([nn.Linear(width, width), nn.Linear(width, width)])
        self.level, self.label = nn.Linear(16, 3 * width), nn.Embedding(NONE + 1, 3 * width)

    def forward(self, x, a, label):
        angle = torch.log(a / (1 - a)) * WAVES.to(x.dtype)
        shift = (self.level(torch.cat([angle.sin(), angle.cos()], dim=1)) + self.label(label)).chunk(3, dim=1)
        h = F.silu(self.inp(x) + shift[0])
        for layer, s in zip(self.mix, shift[1:], strict=True):
            h = h + F.silu(layer(h) + s)
        return (1 - a).sqrt() * x + a.sqrt() * self.out(h)


def unpacked(packed: dict[str, object]) -> torch.Tensor:
    """What Python's own reading of a packed matrix gives."""
    levels = torch.tensor([LETTERS.index(letter) - HALF for letter in packed["data"]], dtype=torch.float64)
    return levels.reshape(packed["shape"]) * torch.tensor(packed["scale"], dtype=torch.float64)[:, None]


def rounded(model: nn.Module) -> nn.Module:
    """The model in double precision, with the weights that the browser has."""
    state = {name: unpacked(pack(value)).reshape(value.shape) for name, value in model.state_dict().items()}
    model.double().load_state_dict(state)
    return model


def torch_levels(name: str) -> torch.Tensor:
    t = torch.arange(STEPS + 1, dtype=torch.float64) / STEPS
    if name == "cosine":
        f = torch.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2
        alpha = (f[1:] / f[:-1]).clamp(min=0.001)
    else:
        factor = 1000 / STEPS if name == "linear" else 1
        alpha = 1 - factor * torch.linspace(1e-4, 0.02, STEPS, dtype=torch.float64)
    return torch.cat([torch.ones(1, dtype=torch.float64), alpha.cumprod(0)])


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(3)
    return Denoiser()


@pytest.fixture(scope="module")
def judge() -> nn.Module:
    torch.manual_seed(4)
    return nn.Sequential(nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, 10))


@pytest.fixture(scope="module")
def digits() -> torch.Tensor:
    return 2 * load_digits(flat=True).x_test[:3] - 1


# ---- Traits.


def test_the_packed_weights_are_within_half_a_level() -> None:
    torch.manual_seed(0)
    matrix = torch.randn(7, 30) * torch.logspace(-3, 2, 7)[:, None]
    packed = pack(matrix)
    assert packed["shape"] == [7, 30]
    assert set(packed["data"]) <= set(LETTERS)
    assert ((unpacked(packed) - matrix).abs() <= 0.501 * torch.tensor(packed["scale"])[:, None]).all()
    assert unpacked(pack(torch.zeros(4))).abs().max() == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": {}}, "state_dict"),
        ({"network": {"inp.weight": torch.zeros(8, 64)}}, "network must hold exactly"),
        ({"network": {"inp.weight": torch.zeros(300, 64)}}, "too heavy for a page"),
        ({"judge": {"0.weight": torch.zeros(9, 64), "0.bias": torch.zeros(9)}}, "judge must end in 10 logits"),
        ({"judge": {"0.weight": torch.zeros(10, 64)}}, "judge must hold exactly"),
        ({"images": torch.zeros(2, 63)}, "1 to 20 rows of 64 pixels"),
        ({"images": torch.full((1, 64), 1.5)}, "pixels in"),
        ({"images": torch.full((1, 64), math.nan)}, "pixels in"),
        ({"names": ["one"]}, "one entry per image, 3, got 1"),
        ({"digit": 3}, "digit must be a whole number from 0 to 2"),
        ({"schedule": "sine"}, "schedule must be one of cosine, linear, copied"),
        ({"level": 0}, "level must be a whole number from 1 to 200"),
        ({"asked": 11}, "asked must be a whole number from 0 to 10"),
        ({"steps": 51}, "steps must be a whole number from 1 to 50"),
        ({"guidance": -1}, "guidance must be a number from 0 to 8"),
        ({"eta": 1.1}, "eta must be a number from 0 to 1"),
        ({"seed": 1.0}, "seed must be a whole number"),
    ],
)
def test_bad_arguments_say_what_is_wrong(network, digits, changes: dict[str, object], message: str) -> None:
    arguments = {"network": network.state_dict(), "images": digits} | changes
    with pytest.raises(ValueError, match=message):
        Noise(**arguments)


def test_a_weight_that_is_not_finite_or_of_another_shape_is_refused(network, digits) -> None:
    state = network.state_dict()
    with pytest.raises(ValueError, match=r"out\.bias holds a number that is not finite"):
        Noise(state | {"out.bias": torch.full((64,), math.inf)}, digits)
    with pytest.raises(ValueError, match=r"mix\.1\.weight must have the shape \(24, 24\)"):
        Noise(state | {"mix.1.weight": torch.zeros(24, 23)}, digits)


# ---- The maths, in the browser.


@pytest.mark.slow
@pytest.mark.parametrize("name", SCHEDULES)
def test_the_schedules_and_the_jump_are_those_of_pytorch(js, name: str) -> None:
    levels = torch_levels(name)
    got = js(Noise._esm, "levelsOf(arg)", name)
    assert got == pytest.approx(levels.tolist(), rel=1e-9)
    assert js(Noise._esm, "arg.map(snr)", got[1:]) == pytest.approx((levels / (1 - levels))[1:].tolist(), rel=1e-6)
    x0, noise = torch.randn(2, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    jump = levels[77].sqrt() * x0 + (1 - levels[77]).sqrt() * noise
    arguments = [x0.tolist(), levels[77].item(), noise.tolist()]
    assert js(Noise._esm, "noised(...arg)", arguments) == pytest.approx(jump.tolist(), abs=1e-12)


@pytest.mark.slow
def test_the_network_and_the_guidance_are_those_of_pytorch(js, network, judge, digits) -> None:
    widget = Noise(network.state_dict(), digits, judge=judge.state_dict())
    net, reader = rounded(Denoiser()), rounded(nn.Sequential(nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, 10)))
    net.load_state_dict({name: unpacked(widget.network[name]).reshape(v.shape) for name, v in net.state_dict().items()})
    reader.load_state_dict(
        {name: unpacked(widget.judge[name]).reshape(v.shape) for name, v in reader.state_dict().items()}
    )
    g = torch.Generator().manual_seed(1)
    for a, label in ((0.999, 0), (0.6, 7), (0.03, NONE), (1e-7, 3)):
        x = torch.randn(64, dtype=torch.float64, generator=g)
        level = torch.tensor([[a]], dtype=torch.float64)

        def at(label, x=x, level=level):
            return net(x[None], level, torch.tensor([label]))[0].detach()

        case = {"net": widget.network, "x": x.tolist(), "a": a, "label": label}
        got = js(Noise._esm, "guess(unpackAll(arg.net), arg.x, arg.a, arg.label)", case)
        assert got == pytest.approx(at(label).tolist(), abs=1e-9)
        for w in (0, 1, 3.5):
            wanted = at(NONE) + (0 if label == NONE else w) * (at(label) - at(NONE))
            got = js(Noise._esm, f"guided(unpackAll(arg.net), arg.x, arg.a, arg.label, {w})", case)
            assert got == pytest.approx(wanted.tolist(), abs=1e-9), (a, label, w)
    wanted = reader(digits[0].double()).softmax(0)
    got = js(Noise._esm, "read(unpackAll(arg[0]), arg[1])", [widget.judge, digits[0].tolist()])
    assert got == pytest.approx(wanted.tolist(), abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
def test_a_step_is_that_of_ddim_and_with_eta_1_the_posterior(js, eta: float) -> None:
    g = torch.Generator().manual_seed(2)
    for a, b in ((0.3, 0.8), (0.9, 1.0), (1e-6, 0.5)):
        x, noise, z = torch.randn(3, 64, dtype=torch.float64, generator=g)
        x0 = ((x - (1 - a) ** 0.5 * noise) / a**0.5).clamp(-1, 1)
        if eta == 1:  # Ho et al. (2020), equations 6 and 7
            alpha = a / b
            wanted = (b**0.5 * (1 - alpha) * x0 + alpha**0.5 * (1 - b) * x) / (1 - a)
            wanted = wanted + ((1 - alpha) * (1 - b) / (1 - a)) ** 0.5 * z
        else:  # Song, Meng and Ermon (2021), equation 12, with the noise that goes with the clamped image
            sigma = eta * ((1 - b) / (1 - a) * (1 - a / b)) ** 0.5
            fits = (x - a**0.5 * x0) / (1 - a) ** 0.5
            wanted = b**0.5 * x0 + (1 - b - sigma**2) ** 0.5 * fits + sigma * z
        got = js(Noise._esm, "ddimStep(...arg)", [x.tolist(), noise.tolist(), a, b, eta, z.tolist()])
        assert got["x"] == pytest.approx(wanted.tolist(), abs=1e-9)
        assert got["x0"] == pytest.approx(x0.tolist(), abs=1e-9)


@pytest.mark.slow
def test_the_levels_that_are_visited(js) -> None:
    assert js(Noise._esm, "visited(200, 4)") == [200, 150, 100, 50, 0]
    assert js(Noise._esm, "visited(3, 20)") == [3, 2, 1, 0], "there are no more steps than levels"
    path = js(Noise._esm, "visited(187, 50)")
    assert path[0] == 187
    assert path[-1] == 0
    assert all(a > b for a, b in itertools.pairwise(path))


@pytest.mark.slow
def test_a_trip_comes_back_by_pytorch_s_own_steps(js, network, digits) -> None:
    widget = Noise(network.state_dict(), digits)
    net = Denoiser().double()
    net.load_state_dict({name: unpacked(widget.network[name]).reshape(v.shape) for name, v in net.state_dict().items()})
    levels = torch_levels("cosine")
    for level, seed in ((200, 0), (120, 5)):
        state = {"schedule": "cosine", "level": level, "asked": 4, "steps": 5, "guidance": 2.0, "eta": 0.0}
        case = [widget.network, digits[0].tolist(), state | {"seed": seed}]
        got = js(Noise._esm, "trip(unpackAll(arg[0]), arg[1], arg[2])", case)
        assert len(got["there"]) == 11
        assert got["there"][0]["x"] == digits[0].tolist()
        end = torch.tensor(got["there"][-1]["x"], dtype=torch.float64)
        noise = (end - levels[level].sqrt() * digits[0]) / (1 - levels[level]).sqrt()
        x = noise if level == STEPS else end  # a generator starts from the noise alone
        for i in range(5):
            a, b = levels[level * (5 - i) // 5], levels[level * (4 - i) // 5]
            assert got["back"][i]["x"] == pytest.approx(x.tolist(), abs=1e-6)
            with torch.no_grad():
                plain, labeled = (net(x[None], a[None, None], torch.tensor([c]))[0] for c in (NONE, 4))
            x0 = ((x - (1 - a).sqrt() * (plain + 2 * (labeled - plain))) / a.sqrt()).clamp(-1, 1)
            x = b.sqrt() * x0 + ((1 - b) / (1 - a)).sqrt() * (x - a.sqrt() * x0)
        assert got["back"][-1]["x"] == pytest.approx(x.tolist(), abs=1e-6)
        assert abs(noise.mean()) < 0.5
        assert 0.7 < noise.std() < 1.3


# ---- In the page.


@pytest.mark.slow
def test_keyboard_and_controls_change_the_result(open_widgets, network, judge, digits) -> None:
    watched = open_widgets(
        Noise(network.state_dict(), digits, judge=judge.state_dict(), names=["a", "b", "c"], steps=6)
    )
    page = watched.page
    readout = page.locator(".tb-readout")
    assert readout.text_content().startswith("On the way back, after 6 of 6 steps: level 0 of 200, no noise.")
    assert "asked for 3 with guidance 2: the judge reads" in readout.text_content()
    page.get_by_role("slider", name="moment").press("Home")
    assert readout.text_content().startswith("On the way into noise: level 0 of 200, no noise")
    page.get_by_role("slider", name="moment").press("ArrowRight")
    a = torch_levels("cosine")[20].item()
    assert f"level 20 of 200, signal to noise {a / (1 - a):.2g}" in readout.text_content()
    page.get_by_label("schedule").select_option("linear")
    a = torch_levels("linear")[20].item()
    assert f"signal to noise {a / (1 - a):.2g}" in readout.text_content()
    before = readout.text_content()
    page.get_by_role("button", name="New noise").click()
    assert readout.text_content() != before
    page.get_by_label("ask for").select_option("no class")
    assert "no class asked" in readout.text_content()
    assert page.get_by_role("slider", name="guidance w").is_disabled()
    page.get_by_role("slider", name="noise up to level").fill("1")
    page.get_by_role("slider", name="moment").press("End")
    assert "after 1 of 1 step: level 0" in readout.text_content()
    watched.check()


@pytest.mark.slow
@pytest.mark.parametrize("touch", [False, True])
def test_a_frame_of_a_strip_goes_to_its_moment_and_play_comes_back(open_widgets, network, digits, touch: bool) -> None:
    watched = open_widgets(Noise(network.state_dict(), digits, steps=10), touch=touch)
    page = watched.page
    frame = page.get_by_role("group", name="back").locator("button").nth(3)
    frame.tap() if touch else frame.click()
    assert frame.get_attribute("aria-pressed") == "true"
    assert page.locator(".tb-no [aria-pressed=true]").count() == 1
    level = frame.get_attribute("aria-label")
    assert f"{level} of 200" in page.locator(".tb-readout").text_content()
    assert page.locator(".tb-no-big figcaption").nth(1).text_content() == f"x at {level}"
    page.get_by_role("button", name="Play").click()
    page.wait_for_function(
        "document.querySelector('.tb-readout').textContent.includes('after 10 of 10')", timeout=15_000
    )
    page.get_by_role("button", name="Play").wait_for()
    watched.check()


@pytest.mark.slow
@pytest.mark.parametrize(("theme", "width"), [("light", 360), ("dark", 900)])
def test_it_fits_and_its_controls_are_large_enough(open_widgets, network, digits, theme: str, width: int) -> None:
    watched = open_widgets(Noise(network.state_dict(), digits, schedule="copied"), theme=theme, width=width)
    page = watched.page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert watched.sticking_out() == 0
    small = page.locator(".tb button, .tb select, .tb input[type=range]").evaluate_all(
        "nodes => nodes.filter((node) => node.getBoundingClientRect().height < 24).length"
    )
    assert small == 0
    watched.check()


@pytest.mark.slow
def test_a_slider_answers_within_a_frame_or_two(open_widgets, digits) -> None:
    watched = open_widgets(Noise(Denoiser(96).state_dict(), digits, steps=20))
    median = watched.slide_ms("[...document.querySelectorAll('.tb-controls input')][2]", "i / 4", turns=15)
    assert median < 100, f"{median:.0f} ms for one move of the guidance"
    watched.check()
