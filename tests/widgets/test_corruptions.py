"""The corruptions widget's networks and corruptions against PyTorch, and its controls in a real page."""

from __future__ import annotations

import base64

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from torchbook.data import load_digits
from torchbook.widgets import Corruptions
from torchbook.widgets.corruptions import KINDS

READOUT = ".tb-readout"


@pytest.fixture(scope="module")
def digits() -> tuple[torch.Tensor, torch.Tensor]:
    split = load_digits(flat=True)
    return split.x_test[:40], split.y_test[:40]


@pytest.fixture(scope="module")
def models() -> dict[str, list[torch.Tensor]]:
    """A network that reads digits, and one with other random features."""
    split = load_digits(flat=True)
    made = {}
    for seed, name in enumerate(("first", "second")):
        torch.manual_seed(seed)
        w1, b1 = torch.randn(64, 60) * 0.3, torch.randn(1, 60) * 0.1
        h = torch.cat([(split.x_train @ w1 + b1).relu(), torch.ones(len(split.x_train), 1)], 1)
        solved = torch.linalg.lstsq(h, 8 * F.one_hot(split.y_train, 10).float()).solution
        made[name] = [w1, b1, solved[:-1], solved[-1:]]
    return made


def halves(params: list[torch.Tensor]) -> list[torch.Tensor]:
    """The weights that the browser has."""
    return [p.half().double() for p in params]


def probabilities(params: list[torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    w1, b1, w2, b2 = halves(params)
    return ((x.double() @ w1 + b1).relu() @ w2 + b2).softmax(-1)


def bytes_of(x: torch.Tensor) -> torch.Tensor:
    return (x.double() * 255).round() / 255


# ---- Traits.


def test_weights_and_images_travel_as_halves_and_bytes(models, digits) -> None:
    widget = Corruptions(models, *digits)
    weights = np.frombuffer(base64.b64decode(widget.models[0]["weights"]), dtype="<f2")
    wanted = torch.cat([p.flatten() for p in models["first"]]).half().numpy()
    assert (weights == wanted).all()
    pixels = np.frombuffer(base64.b64decode(widget.images), dtype="u1").reshape(40, 64) / 255
    assert np.abs(pixels - digits[0].numpy()).max() <= 0.5 / 255 + 1e-7


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"models": {}}, "two names"),
        ({"models": {"a": [], "b": []}}, "four tensors"),
        ({"models": {"a": [torch.zeros(64, 200)] + [torch.zeros(1)] * 3, "b": []}}, "1 to 128"),
        ({"images": torch.zeros(40, 63)}, "1 to 200 rows of 64 pixels"),
        ({"images": torch.full((40, 64), 1.5)}, "pixels in"),
        ({"images": torch.full((40, 64), float("nan"))}, "pixels in"),
        ({"labels": torch.zeros(3)}, "40 whole numbers from 0 to 9"),
        ({"labels": torch.full((40,), 10)}, "40 whole numbers from 0 to 9"),
        ({"kind": "fog"}, "kind must be one of noise, blur, contrast, shift, occlusion"),
        ({"severity": 6}, "severity must be a number from 0 to 5"),
        ({"digit": 40}, "digit must be a whole number from 0 to 39"),
        ({"seed": -1}, "seed must be a whole number"),
    ],
)
def test_bad_arguments_say_what_is_wrong(models, digits, changes: dict[str, object], message: str) -> None:
    arguments = {"models": models, "images": digits[0], "labels": digits[1]} | changes
    with pytest.raises(ValueError, match=message):
        Corruptions(**arguments)


def test_a_weight_of_another_shape_or_not_finite_is_refused(models, digits) -> None:
    w1, b1, w2, b2 = models["first"]
    with pytest.raises(ValueError, match=r"'first' must have a w2 of shape \(60, 10\)"):
        Corruptions(models | {"first": [w1, b1, w2.T, b2]}, *digits)
    with pytest.raises(ValueError, match="b2 that is not finite"):
        Corruptions(models | {"first": [w1, b1, w2, b2 * float("inf")]}, *digits)


# ---- The maths, in the browser.


@pytest.mark.slow
def test_the_networks_are_those_of_pytorch(js, models, digits) -> None:
    widget = Corruptions(models, *digits)
    for trait, params in zip(widget.models, models.values(), strict=True):
        got = js(Corruptions._esm, "arg[1].map((x) => read(network(arg[0]), x))", [trait, digits[0][:8].tolist()])
        assert torch.allclose(torch.tensor(got).double(), probabilities(params, digits[0][:8]), atol=1e-6)


@pytest.mark.slow
def test_blur_shift_contrast_and_noise_are_those_of_pytorch(js, digits) -> None:
    x = digits[0][3].double()
    draw = {"noise": torch.randn(64, generator=torch.Generator().manual_seed(0)).tolist(), "place": [0.5, 0.5]}

    def got(kind: str, severity: float, way: int = 0) -> torch.Tensor:
        arguments = [x.tolist(), kind, severity, draw | {"way": way}]
        return torch.tensor(js(Corruptions._esm, "corrupt(...arg)", arguments), dtype=torch.float64)

    d = torch.arange(-7, 8, dtype=torch.float64)
    for severity in (0.4, 2, 5):
        kernel = torch.exp(-(d[:, None] ** 2 + d**2) / (2 * (0.25 + 0.2 * severity) ** 2))
        wanted = F.conv2d(x.view(1, 1, 8, 8), (kernel / kernel.sum())[None, None], padding=7).flatten()
        assert torch.allclose(got("blur", severity), wanted, atol=1e-9)
        assert torch.allclose(got("contrast", severity), torch.lerp(x, x.mean(), 0.18 * severity), atol=1e-9)
        noisy = (x + 0.12 * severity * torch.tensor(draw["noise"], dtype=torch.float64)).clamp(0, 1)
        assert torch.allclose(got("noise", severity), noisy, atol=1e-9)
        for way, (dx, dy) in enumerate([(1, 0), (-1, 0), (0, 1), (0, -1)]):
            theta = torch.tensor([[[1, 0, -0.3 * severity * dx / 4], [0, 1, -0.3 * severity * dy / 4]]]).double()
            grid = F.affine_grid(theta, [1, 1, 8, 8], align_corners=False)
            wanted = F.grid_sample(x.view(1, 1, 8, 8), grid, align_corners=False).flatten()
            assert torch.allclose(got("shift", severity, way), wanted, atol=1e-9)
    for kind in KINDS:
        assert torch.equal(got(kind, 0), x), "severity 0 leaves the image alone"


@pytest.mark.slow
def test_the_hole_grows_stays_inside_and_blanks_its_pixels(js) -> None:
    sizes = [(2, 2), (2, 3), (3, 3), (3, 4), (4, 4)]
    for place in ([0, 0], [0.999, 0.999], [0.3, 0.8]):
        for severity, (height, width) in enumerate(sizes, start=1):
            draw = {"noise": [], "way": 0, "place": place}
            out = torch.tensor(js(Corruptions._esm, "corrupt(...arg)", [[1] * 64, "occlusion", severity, draw]))
            rows, columns = (out.view(8, 8) == 0).nonzero(as_tuple=True)
            assert len(rows) == height * width
            assert (rows.max() - rows.min() + 1, columns.max() - columns.min() + 1) == (height, width)
    assert js(Corruptions._esm, "hole(0.4, [0, 0])") is None


@pytest.mark.slow
def test_draws_repeat_differ_and_are_fair(js) -> None:
    same = js(Corruptions._esm, "[drawFor(3, 7), drawFor(3, 7)]")
    assert same[0] == same[1]
    many = js(Corruptions._esm, "Array.from({length: 400}, (_, n) => drawFor(5, n))")
    noise = torch.tensor([one["noise"] for one in many])
    assert abs(noise.mean()) < 0.03
    assert abs(noise.std() - 1) < 0.03
    ways = torch.bincount(torch.tensor([one["way"] for one in many]), minlength=4)
    assert ways.min() > 60
    assert js(Corruptions._esm, "drawFor(4, 7)") != same[0]


@pytest.mark.slow
def test_scores_and_disagreements_are_those_of_pytorch(js, models, digits) -> None:
    widget = Corruptions(models, *digits)
    case = [widget.models, widget.images, digits[1].tolist()]
    head = "(() => { const nets = arg[0].map(network), images = pictures(arg[1]);"
    head += "const draws = images.map((_, n) => drawFor(0, n));"
    for severity in (0, 4):
        call = f"{head} return nets.map((net) => score(net, images, arg[2], 'contrast', {severity}, draws)); }})()"
        x = bytes_of(digits[0])
        x = torch.lerp(x, x.mean(1, keepdim=True).expand_as(x), 0.18 * severity)
        p = torch.stack([probabilities(params, x) for params in models.values()])
        for got, one in zip(js(Corruptions._esm, call, case), p, strict=True):
            assert got["accuracy"] == pytest.approx((one.argmax(1) == digits[1]).double().mean().item())
            assert got["confidence"] == pytest.approx(one.amax(1).mean().item(), abs=1e-6)
        split = (p[0].argmax(1) != p[1].argmax(1)).nonzero()[:, 0].tolist()
        call = f"{head} return nextSplit(nets, images, 'contrast', {severity}, draws, 5); }})()"
        after = [n for n in split if n > 5] + split
        assert js(Corruptions._esm, call, case) == (after[0] if after else -1)


# ---- In the page.


@pytest.mark.slow
def test_keyboard_and_controls_change_the_result(open_widgets, models, digits) -> None:
    watched = open_widgets(Corruptions(models, *digits, kind="contrast", severity=3))
    page = watched.page
    readout = page.locator(READOUT)
    assert readout.text_content().startswith(
        f"Image 1, a{'n' * (digits[1][0] == 8)} {digits[1][0]}, contrast at severity 3"
    )
    page.get_by_role("slider", name="severity").press("ArrowRight")
    assert "severity 3.1:" in readout.text_content()
    page.get_by_role("slider", name="severity").press("Home")
    x = bytes_of(digits[0])
    for name, params in models.items():
        right = (probabilities(params, x).argmax(1) == digits[1]).sum().item()
        assert f"{name} reads {right}" in readout.text_content()
    page.get_by_role("slider", name="image").press("End")
    assert readout.text_content().startswith("Image 40")
    page.get_by_role("slider", name="severity").press("End")
    page.get_by_label("corruption").select_option("noise")
    before = readout.text_content()
    assert "noise at severity 5" in before
    page.get_by_role("button", name="New draw").click()
    assert readout.text_content() != before
    page.get_by_role("button", name="Next disagreement").click()
    says = readout.text_content().split(". Of ")[0]
    first, second = (part.split(" (")[0][-1] for part in says.split("; "))
    assert first != second
    watched.check()


@pytest.mark.slow
def test_a_drag_over_the_curves_sets_the_severity(open_widgets, models, digits) -> None:
    watched = open_widgets(Corruptions(models, *digits, severity=0))
    page = watched.page
    box = page.locator(".tb-co-curves").bounding_box()
    page.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 1, box["y"] + box["height"] / 2)
    page.mouse.up()
    assert "at severity 5:" in page.locator(READOUT).text_content()
    assert page.get_by_role("slider", name="severity").input_value() == "5"
    watched.check()


@pytest.mark.slow
@pytest.mark.parametrize(("theme", "width"), [("light", 360), ("dark", 900)])
def test_it_fits_and_its_controls_are_large_enough(open_widgets, models, digits, theme: str, width: int) -> None:
    watched = open_widgets(Corruptions(models, *digits), theme=theme, width=width)
    page = watched.page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert watched.sticking_out() == 0
    assert watched.too_low(".tb button, .tb select, .tb input[type=range]") == 0
    watched.check()


@pytest.mark.slow
def test_a_slider_answers_within_a_frame_or_two(open_widgets, models, digits) -> None:
    watched = open_widgets(Corruptions(models, *digits, kind="blur"))
    median = watched.slide_ms("document.querySelector('.tb-controls input')", "i / 5", turns=15)
    assert median < 50, f"{median:.0f} ms for one move of the severity"
    watched.check()
