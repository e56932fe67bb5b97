"""The latent walk: its decoder against PyTorch's, and the plane, the strip and the classes in a real page."""

from __future__ import annotations

import base64
import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

from torchbook.widgets import LatentWalk


def decoder(classes: int = 0, *, hidden: type[nn.Module] = nn.Tanh, pixels: int = 16, seed: int = 0) -> nn.Sequential:
    """A small decoder whose weights are whole multiples of their largest over 127: eight bits hold them exactly."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(2 + classes, 12), hidden(), nn.Linear(12, pixels), nn.Sigmoid()).double()
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.randint(-127, 128, p.shape) / 128)
            p.view(-1)[0] = 127 / 128
    return net


CODES = torch.tensor([[0.5, 0.5], [-1.0, 0.25], [1.5, -1.25], [0.0, -2.0]])
LABELS = torch.tensor([3, 8, 1, 1])
SPREADS = torch.full((4, 2), 0.25)
IMAGES = torch.linspace(0, 15, 64).round().view(4, 16) / 15


def walk(classes: int = 0, **options) -> LatentWalk:
    labels = LABELS % classes if classes else LABELS
    return LatentWalk(decoder(classes), CODES, labels, classes=classes, noise=0.2, **options)


def pictures(page, selector: str) -> list[list[float]]:
    """What each canvas shows: the opacity of its ink, pixel by pixel."""
    return page.locator(selector).evaluate_all(
        "nodes => nodes.map((node) => Array.from("
        "node.getContext('2d').getImageData(0, 0, node.width, node.height).data)"
        ".filter((_, i) => i % 4 === 3).map((v) => v / 255))"
    )


# ---- Arguments.


def test_the_traits_hold_what_was_given() -> None:
    widget = walk(spreads=SPREADS, images=IMAGES)
    assert [layer[:3] for layer in widget.layers] == [[2, 12, "Tanh"], [12, 16, "Sigmoid"]]
    assert [scale for layer in widget.layers for scale in layer[3:]] == [1 / 128] * 4
    weights = np.frombuffer(base64.b64decode(widget.weights), np.int8)
    assert len(weights) == 3 * 12 + 13 * 16
    assert (weights[24:36] / 128).tolist() == decoder()[0].bias.tolist()
    assert np.frombuffer(base64.b64decode(widget.codes), "<f2").tolist() == CODES.flatten().tolist()
    assert np.frombuffer(base64.b64decode(widget.images), "u1")[[0, -1]].tolist() == [0, 255]
    assert widget.reach == 3
    assert LatentWalk(decoder(), 40 * CODES, LABELS).reach == 6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"classes": 1}, "classes must be a whole number from 2 to 10"),
        ({"classes": 4}, "it must take 6"),
        ({"decoder": nn.Sequential(nn.Conv2d(1, 1, 3))}, "Linear and one of Tanh, ReLU, SiLU, Sigmoid.*got Conv2d"),
        ({"decoder": nn.Sequential(nn.Tanh())}, "start with Linear"),
        ({"decoder": nn.Sequential()}, "no layers"),
        ({"decoder": nn.Sequential(nn.Linear(2, 5), nn.Linear(4, 16))}, "gives 5 numbers and the next one takes 4"),
        ({"decoder": nn.Sequential(nn.Linear(2, 15))}, "15 pixels, which make no square"),
        ({"codes": CODES.T}, r"codes must be finite numbers of the shape \(2, 2\)"),
        ({"codes": CODES * math.nan}, "codes must be finite"),
        ({"codes": CODES[:0]}, "the number of codes must be a whole number from 1 to 1000"),
        ({"labels": LABELS[:3]}, "labels must be 4 whole numbers from 0 to 9"),
        ({"labels": LABELS + 2}, "labels must be 4 whole numbers from 0 to 9"),
        ({"labels": LABELS.float()}, "labels must be 4 whole numbers"),
        ({"spreads": SPREADS[:2]}, "spreads must be finite numbers of the shape"),
        ({"images": IMAGES * 2}, r"images must lie in \[0, 1\]"),
        ({"images": IMAGES[:, :9]}, "images must be finite numbers of the shape"),
        ({"noise": 2}, "noise must be a number from 0 to 1"),
    ],
)
def test_bad_arguments_say_what_is_wrong(arguments: dict[str, object], message: str) -> None:
    given = {"decoder": decoder(), "codes": CODES, "labels": LABELS} | arguments
    with pytest.raises(ValueError, match=message):
        LatentWalk(**given)


# ---- The maths, in the browser.


@pytest.mark.slow
def test_halves_are_numpys(js) -> None:
    values = np.array([0, 1, -1, 1 / 3, 65504, -65504, 2**-14, 2**-24, -3 * 2**-20, 0.1, 1000.5], dtype="<f2")
    text = base64.b64encode(values.tobytes()).decode()
    assert js(LatentWalk._esm, "Array.from(halves(arg))", text) == values.astype(float).tolist()
    special = base64.b64encode(np.array([np.inf, -np.inf, np.nan], dtype="<f2").tobytes()).decode()
    assert js(LatentWalk._esm, "Array.from(halves(arg), String)", special) == ["Infinity", "-Infinity", "NaN"]


@pytest.mark.slow
@pytest.mark.parametrize("hidden", [nn.Tanh, nn.ReLU, nn.SiLU, nn.Sigmoid])
def test_the_decoder_is_pytorchs_over_the_plane(js, hidden: type[nn.Module]) -> None:
    for classes in (0, 3):
        net = decoder(classes, hidden=hidden)
        widget = LatentWalk(net, CODES, LABELS % 3, classes=classes)
        points = list(itertools.product((-3.0, -1.2, 0.0, 0.7, 3.0), repeat=2))
        got = js(
            LatentWalk._esm,
            "arg.points.map((z) => decode(unpack(arg.layers, arg.weights), inputOf(z, 2, arg.classes)))",
            {"points": points, "layers": widget.layers, "weights": widget.weights, "classes": classes},
        )
        z = torch.tensor(points, dtype=torch.float64)
        wanted = net(torch.cat([z, torch.eye(3).double()[[2] * len(z)]], dim=1) if classes else z)
        assert torch.allclose(torch.tensor(got, dtype=torch.float64), wanted, atol=1e-12)


@pytest.mark.slow
def test_eight_bits_change_no_picture_visibly(js) -> None:
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(2, 64), nn.Tanh(), nn.Linear(64, 64), nn.Sigmoid())
    with torch.no_grad():
        net[2].weight.mul_(8)  # as large as after training
    widget = LatentWalk(net, CODES, LABELS)
    z = 2 * torch.randn(50, 2)
    got = js(
        LatentWalk._esm,
        "arg[0].map((z) => decode(unpack(arg[1], arg[2]), z))",
        [z.tolist(), widget.layers, widget.weights],
    )
    assert (torch.tensor(got) - net(z)).abs().max() < 0.02
    assert js(LatentWalk._esm, "grays(arg)", base64.b64encode(bytes([0x0F, 0x30])).decode()) == [0, 1, 0.2, 0]


@pytest.mark.slow
def test_the_plane_measures_right(js) -> None:
    for z in ([0.0, 0.0], [1.0, 0.5], [-2.0, 1.0]):
        draws = torch.randn(200_000, 2, generator=torch.Generator().manual_seed(0))
        beyond = (draws.norm(dim=1) > math.hypot(*z)).float().mean().item()
        assert js(LatentWalk._esm, "outside(arg)", z) == pytest.approx(beyond, abs=0.005)
    arguments = [CODES.flatten().tolist(), LABELS.tolist()]
    for z, label in itertools.product(([0.1, 0.0], [1.0, -1.5], [-3.0, 3.0]), (None, 1, 8, 5)):
        got = js(LatentWalk._esm, "nearest(arg[0], arg[1], arg[2], arg[3])", [*arguments, z, label])
        away = (CODES - torch.tensor(z)).norm(dim=1)
        away = away if label is None else away.where(label == LABELS, torch.tensor(math.inf))
        if away.isinf().all():
            assert got["index"] == -1
        else:
            assert got["index"] == int(away.argmin())
            assert got["distance"] == pytest.approx(float(away.min()), abs=1e-6)
    steps = js(LatentWalk._esm, "between([0, 1], [4, -1], 5)")
    assert steps == [[0, 1], [1, 0.5], [2, 0], [3, -0.5], [4, -1]]
    a, b = IMAGES[0].double(), IMAGES[2].double()
    rms = (a - b).square().mean().sqrt().item()
    assert js(LatentWalk._esm, "difference(arg[0], arg[1])", [a.tolist(), b.tolist()]) == pytest.approx(rms)


# ---- In the page.


@pytest.mark.slow
def test_keys_move_the_point_and_the_pictures_are_the_decoders(open_widgets) -> None:
    watched = open_widgets(walk(spreads=SPREADS, images=IMAGES))
    page, net = watched.page, decoder()
    readout = page.locator(".tb-readout")
    handle = page.get_by_role("slider", name="Point in the latent plane")
    for key in ("ArrowRight", "Shift+ArrowUp", "ArrowLeft", "ArrowUp"):
        handle.press(key)
    assert handle.get_attribute("aria-valuetext") == "first 0.00, second 0.60"
    assert readout.text_content().startswith("At z = (0.00, 0.60): 84 % of draws from the prior lie farther out.")
    assert "The nearest code, of a 3, is 0.51 away" in readout.text_content()
    here, real = pictures(page, ".tb-lw-figure canvas")
    point = torch.tensor([0.0, 0.6], dtype=torch.float64)
    assert here == pytest.approx(net(point).tolist(), abs=1 / 250)
    assert real == pytest.approx(IMAGES[0].tolist(), abs=1 / 250)
    strip = pictures(page, ".tb-lw-strip canvas")
    start = torch.tensor([-1.5, 0.0], dtype=torch.float64)
    wanted = net(torch.stack([start + (point - start) * i / 8 for i in range(9)]))
    for ours, theirs in zip(strip, wanted.tolist(), strict=True):
        assert ours == pytest.approx(theirs, abs=1 / 250)
    handle.press("Home")
    assert "At z = (0.00, 0.00)" in readout.text_content()
    for _ in range(20):
        handle.press("Shift+ArrowLeft")
    assert "z = (−3.00, 0.00)" in readout.text_content(), "the plane has an end"
    watched.check()


@pytest.mark.slow
@pytest.mark.parametrize("touch", [False, True])
def test_the_pointer_moves_the_point(open_widgets, touch: bool) -> None:
    watched = open_widgets(walk(images=IMAGES), touch=touch)
    page = watched.page
    box = page.locator(".tb-lw-plane svg").bounding_box()
    x, y = box["x"] + 0.75 * box["width"], box["y"] + 0.25 * box["height"]
    page.touchscreen.tap(x, y) if touch else page.mouse.click(x, y)
    text = page.locator(".tb-lw-handle").get_attribute("aria-valuetext")
    assert [float(part.split(" ")[1]) for part in text.split(", ")] == pytest.approx([1.5, 1.5], abs=0.05)
    watched.check()


@pytest.mark.slow
def test_draws_start_noise_and_map(open_widgets) -> None:
    watched = open_widgets(walk(images=IMAGES))
    page = watched.page
    readout = page.locator(".tb-readout")
    before = readout.text_content()
    page.get_by_role("button", name="Draw from the prior").click()
    assert readout.text_content() != before
    page.get_by_role("button", name="Start the walk here").click()
    strip = pictures(page, ".tb-lw-strip canvas")
    assert strip[0] == strip[-1], "the walk starts where it ends"
    (clean, _), said = pictures(page, ".tb-lw-figure canvas"), readout.text_content()
    page.get_by_label("add the decoder's noise").check()
    noisy, _ = pictures(page, ".tb-lw-figure canvas")
    differences = np.array(noisy) - np.array(clean)
    assert 0.05 < differences.std() < 0.35
    assert "(noise included)" in readout.text_content() != said
    assert not page.locator(".tb-lw-tiles").is_visible()
    page.get_by_label("map of pictures").check()
    (tiles,) = pictures(page, ".tb-lw-tiles")
    side = 12 * (4 + 2)
    first = np.array(tiles).reshape(side, side)[1:5, 1:5].flatten()
    corner = torch.tensor([-3 + 0.25, 3 - 0.25], dtype=torch.float64)
    assert first.tolist() == pytest.approx(decoder()(corner).tolist(), abs=1 / 250)
    watched.check()


@pytest.mark.slow
def test_classes_share_the_plane(open_widgets) -> None:
    watched = open_widgets(walk(4))
    page, net = watched.page, decoder(4)
    readout = page.locator(".tb-readout")
    assert page.get_by_role("button", name="Start the walk here").count() == 0
    page.get_by_role("button", name="Class 1").press("Enter")
    assert page.get_by_role("button", name="Class 1").get_attribute("aria-pressed") == "true"
    assert page.get_by_role("button", name="Class 0").get_attribute("aria-pressed") == "false"
    assert readout.text_content().startswith("Class 1, style z = (0.00, 0.00): 100 %")
    assert "The nearest code of this class is 1.95 away." in readout.text_content()
    assert page.locator(".tb-lw-code.faint").count() == 2, "two codes are of another class"
    rows = torch.cat([torch.zeros(4, 2), torch.eye(4)], dim=1).double()
    for ours, theirs in zip(pictures(page, ".tb-lw-strip canvas"), net(rows).tolist(), strict=True):
        assert ours == pytest.approx(theirs, abs=1 / 250)
    assert pictures(page, ".tb-lw-figure canvas")[0] == pytest.approx(net(rows)[1].tolist(), abs=1 / 250)
    page.get_by_role("button", name="Class 2").click()
    assert "No held-out image has this class." in readout.text_content()
    watched.check()


@pytest.mark.slow
@pytest.mark.parametrize(("theme", "width"), [("light", 360), ("dark", 900)])
def test_it_fits_and_its_controls_are_large_enough(open_widgets, theme: str, width: int) -> None:
    watched = open_widgets(walk(images=IMAGES), walk(4, images=IMAGES), theme=theme, width=width)
    page = watched.page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    small = watched.too_low(".tb button, .tb .hit, .tb label.tb-check")
    assert small == 0
    ink = page.locator(".tb-lw-figure canvas").first.evaluate("node => getComputedStyle(node).filter")
    assert ink == ("invert(1)" if theme == "dark" else "none")
    watched.check()


@pytest.mark.slow
def test_a_step_answers_within_a_frame(open_widgets) -> None:
    watched = open_widgets(LatentWalk(decoder(10, pixels=64), CODES, LABELS, classes=10, images=IMAGES.repeat(1, 4)))
    median = watched.page.evaluate(
        """() => {
            const handle = document.querySelector('.tb-lw-handle');
            const times = [];
            for (let i = 0; i < 21; i += 1) {
                const begin = performance.now();
                handle.dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowRight', bubbles: true }));
                times.push(performance.now() - begin);
            }
            return times.sort((a, b) => a - b)[10];
        }"""
    )
    assert median < 50, f"{median:.0f} ms for one step"
    watched.check()
