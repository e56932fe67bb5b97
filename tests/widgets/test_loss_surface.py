"""The loss surface's maths against autograd and torch.optim.SGD, and its handles in a real page."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from torchbook.widgets import LossSurface
from torchbook.widgets.loss_surface import DEFAULTS, METHODS, SURFACES

TORCH = {
    "quadratic": lambda p, k: (p[0] ** 2 + k * p[1] ** 2) / 2,
    "ravine": lambda p, k: 2.5 * (p[1] - torch.sin(p[0])) ** 2 + p[0] ** 2 / 20,
    "rosenbrock": lambda p, k: (1 - p[0]) ** 2 + 10 * (p[1] - p[0] ** 2) ** 2,
    "saddle": lambda p, k: (p[0] ** 2 - p[1] ** 2) / 2 + p[1] ** 4 / 4,
    "valleys": lambda p, k: p[0] ** 4 - 2 * p[0] ** 2 + 0.3 * p[0] + p[1] ** 2,
}


def torch_path(method: str, case: dict[str, object]) -> list[list[float]]:
    """What torch.optim.SGD does from the same start."""
    p = torch.nn.Parameter(torch.tensor(case["start"], dtype=torch.float64))
    mu = 0.0 if method == "plain" else case["momentum"]
    optimizer = torch.optim.SGD([p], lr=case["lr"], momentum=mu, nesterov=method == "nesterov" and mu > 0)
    path = [p.tolist()]
    for _ in range(case["steps"]):
        optimizer.zero_grad()
        TORCH[case["surface"]](p, case["kappa"]).backward()
        optimizer.step()
        path.append(p.tolist())
    return path


# ---- Traits.


def test_the_defaults_suit_the_surface() -> None:
    for name in SURFACES:
        widget = LossSurface(name)
        start, lr, steps = DEFAULTS[name]
        assert (widget.start, widget.lr, widget.steps, widget.step) == (list(start), lr, steps, steps)
        assert widget.methods == list(METHODS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"surface": "bowl"}, "there are quadratic, ravine"),
        ({"methods": []}, "one or more of plain"),
        ({"methods": ["adam"]}, "one or more of plain"),
        ({"lr": 0}, "lr must be a number from 0.001 to 10"),
        ({"lr": math.nan}, "lr must be a number"),
        ({"lr": True}, "lr must be a number"),
        ({"lr": "0.1"}, "lr must be a number"),
        ({"kappa": 101}, "kappa must be a number from 1 to 100"),
        ({"momentum": 1.0}, "momentum must be a number from 0 to 0.99"),
        ({"noise": -0.1}, "noise must be a number from 0 to 5"),
        ({"start": (1, 2, 3)}, "start must be two numbers"),
        ({"start": (1, 7)}, "start's y must be a number from -5 to 5"),
        ({"steps": 9}, "steps must be a whole number from 10 to 1000"),
        ({"steps": 50.0}, "steps must be a whole number"),
        ({"seed": -1}, "seed must be a whole number"),
    ],
)
def test_bad_arguments_say_what_is_wrong(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LossSurface(**arguments)


# ---- The maths, in the browser.


@pytest.mark.slow
def test_values_gradients_and_hessians_are_those_of_autograd(js) -> None:
    points = list(itertools.product((-2.1, -0.4, 0.0, 1.3, 3.0), (-1.7, 0.0, 0.6, 2.2)))
    for name in SURFACES:
        for kappa in (1, 37.5):
            got = js(
                LossSurface._esm,
                "arg.points.map(([x, y]) => [value(arg.name, arg.kappa, x, y),"
                " ...gradient(arg.name, arg.kappa, x, y), ...hessian(arg.name, arg.kappa, x, y)])",
                {"name": name, "kappa": kappa, "points": points},
            )
            for point, row in zip(points, got, strict=True):
                p = torch.tensor(point, dtype=torch.float64)

                def f(p, name=name, kappa=kappa):
                    return TORCH[name](p, kappa)

                h = torch.func.hessian(f)(p)
                wanted = [f(p), *torch.func.grad(f)(p), h[0, 0], h[0, 1], h[1, 1]]
                assert row == pytest.approx([float(v) for v in wanted], rel=1e-12, abs=1e-12), (name, point)


@pytest.mark.slow
def test_the_sharpness_is_the_largest_eigenvalue_at_the_lowest_point(js) -> None:
    for name in SURFACES:
        lowest = js(LossSurface._esm, "SURFACES[arg].lowest()", name)
        p = torch.tensor(lowest, dtype=torch.float64)

        def f(p, name=name):
            return TORCH[name](p, 20.0)

        assert torch.func.grad(f)(p).norm() < 1e-9, name
        grid = torch.stack(torch.meshgrid(*[torch.linspace(-5, 5, 201, dtype=torch.float64)] * 2, indexing="ij"))
        assert f(p) <= f(grid).min() + 1e-9, name
        largest = torch.linalg.eigvalsh(torch.func.hessian(f)(p))[-1]
        assert js(LossSurface._esm, "sharpness(arg, 20)", name) == pytest.approx(float(largest), rel=1e-9)


@pytest.mark.slow
def test_descents_are_those_of_torch_step_by_step(js) -> None:
    for name, method in itertools.product(SURFACES, METHODS):
        start, lr, _ = DEFAULTS[name]
        for mu, factor in ((0.0, 1.0), (0.5, 0.7), (0.9, 0.2)):
            case = {"surface": name, "kappa": 8.0, "lr": lr * factor, "momentum": mu, "start": list(start), "steps": 40}
            got = js(LossSurface._esm, "descend(arg.method, arg.case)", {"method": method, "case": case})
            for ours, theirs in zip(got, torch_path(method, case), strict=True):
                assert ours == pytest.approx(theirs, rel=1e-8, abs=1e-9), (name, method, mu)


@pytest.mark.slow
def test_the_limits_are_where_torch_stops_converging(js) -> None:
    for kappa, mu, method in itertools.product((2.0, 30.0), (0.0, 0.5, 0.9), METHODS):
        limit = js(LossSurface._esm, "limits(arg[0], arg[1])", [kappa, mu])[method]
        case = {"surface": "quadratic", "kappa": kappa, "momentum": mu, "start": [0.0, 1.0], "steps": 400}
        calm = torch_path(method, case | {"lr": 0.97 * limit})
        lost = torch_path(method, case | {"lr": 1.03 * limit})
        assert abs(calm[-1][1]) < 1e-2, (kappa, mu, method)
        assert abs(lost[-1][1]) > 1e2, (kappa, mu, method)


@pytest.mark.slow
def test_noise_is_seeded_scaled_and_shared(js) -> None:
    gusts = torch.tensor(js(LossSurface._esm, "weather(3, 4000, 0.5)"), dtype=torch.float64)
    assert gusts.mean().abs() < 0.03
    assert gusts.std().item() == pytest.approx(0.5, rel=0.05)
    assert (
        js(LossSurface._esm, "weather(3, 5, 0.5)") == gusts[:5].tolist() != js(LossSurface._esm, "weather(4, 5, 0.5)")
    )
    case = {
        "surface": "quadratic",
        "kappa": 3,
        "lr": 0.1,
        "momentum": 0,
        "start": [1, 1],
        "steps": 20,
        "noise": 1,
        "seed": 5,
    }
    paths = [js(LossSurface._esm, "descend(arg[0], arg[1])", [method, case]) for method in METHODS]
    assert paths[0] == paths[1] == paths[2], "without momentum all three are one"
    assert paths[0][-1] != js(LossSurface._esm, "descend('plain', arg)", case | {"seed": 6})[-1]


@pytest.mark.slow
def test_level_lines_lie_on_the_level(js) -> None:
    values = [[float((i - 6) ** 2 + (j - 5) ** 2) for i in range(13)] for j in range(11)]
    segments = js(LossSurface._esm, "contour(arg, 9)", values)
    radii = [math.hypot(x - 6, y - 5) for a, b, c, d in segments for x, y in ((a, b), (c, d))]
    assert len(segments) > 15
    assert max(radii) - min(radii) < 0.15
    assert sum(math.hypot(c - a, d - b) for a, b, c, d in segments) == pytest.approx(2 * math.pi * 3, rel=0.03)


# ---- In the page.


@pytest.mark.slow
def test_keyboard_moves_the_rate_and_the_start_and_the_line_says_the_result(open_widgets) -> None:
    watched = open_widgets(LossSurface("quadratic", kappa=20, lr=0.05, steps=40, start=(-4, 2)))
    page = watched.page
    readout = page.locator(".tb-readout")
    case = {"surface": "quadratic", "kappa": 20, "lr": 0.05, "momentum": 0.8, "start": [-4, 2], "steps": 40}

    def said(**changes) -> str:
        path = torch_path("plain", case | changes)
        return f"plain {float(TORCH['quadratic'](path[-1], 20)):.3g},"

    assert readout.text_content().startswith("Rate 0.05 is 0.5 of 2/L; L = 20")
    assert said() in readout.text_content()
    page.get_by_role("slider", name="learning rate").press("ArrowRight")
    assert readout.text_content().startswith("Rate 0.051 is 0.51 of 2/L")
    assert said(lr=0.051) in readout.text_content()
    page.get_by_role("slider", name="Start of the descent").press("ArrowRight")
    assert said(lr=0.051, start=[-3.9, 2]) in readout.text_content()
    for _ in range(4):
        page.get_by_role("slider", name="learning rate").press("PageUp")
    assert "plain diverged" in readout.text_content() or "plain 1" in readout.text_content()
    page.get_by_role("slider", name="step").fill("3")
    assert "after 3 steps" in readout.text_content()
    watched.check()


@pytest.mark.slow
@pytest.mark.parametrize("touch", [False, True])
def test_the_pointer_sets_the_start_and_the_rate(open_widgets, touch: bool) -> None:
    watched = open_widgets(LossSurface("quadratic", kappa=10), touch=touch)
    page = watched.page
    box = page.locator(".tb-ls-map svg").bounding_box()
    x, y = box["x"] + 0.75 * box["width"], box["y"] + 0.25 * box["height"]
    page.touchscreen.tap(x, y) if touch else page.mouse.click(x, y)
    text = page.locator(".tb-ls-start").get_attribute("aria-valuetext")
    got = [float(part.split(" ")[1]) for part in text.split(", ")]
    assert got == pytest.approx([2.5, 2.0], abs=0.05)
    box = page.locator(".tb-ls-ruler").bounding_box()
    at = 78 + 0.5 * (box["width"] - 12 - 78)
    page.touchscreen.tap(box["x"] + at, box["y"] + 20) if touch else page.mouse.click(box["x"] + at, box["y"] + 20)
    rate = float(page.locator(".tb-ls-rate").get_attribute("aria-valuenow"))
    assert rate == pytest.approx(0.1, rel=0.05)
    watched.check()


@pytest.mark.slow
def test_surfaces_methods_and_play(open_widgets) -> None:
    watched = open_widgets(LossSurface("quadratic"))
    page = watched.page
    readout = page.locator(".tb-readout")
    page.get_by_label("surface").select_option("saddle")
    assert not page.get_by_label("condition κ").is_visible()
    assert "plain 0.25, momentum 0.25, Nesterov 0.25." in readout.text_content(), "all rest on the saddle"
    page.get_by_label("gradient noise").press("ArrowRight")
    assert "plain 0.25" not in readout.text_content(), "noise tips them off"
    page.get_by_label("plain").uncheck()
    page.get_by_label("Nesterov").uncheck()
    page.get_by_label("momentum", exact=True).click()
    assert page.get_by_label("momentum", exact=True).is_checked(), "one method runs always"
    assert page.locator(".tb-ls-path").count() == 1
    page.get_by_role("button", name="Play").click()
    page.wait_for_function("document.querySelector('.tb-readout').textContent.includes('after 9')")
    watched.check()


@pytest.mark.slow
@pytest.mark.parametrize(("theme", "width"), [("light", 360), ("dark", 900)])
def test_it_fits_and_its_controls_are_large_enough(open_widgets, theme: str, width: int) -> None:
    watched = open_widgets(LossSurface("rosenbrock"), theme=theme, width=width)
    page = watched.page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    small = watched.too_low(".tb button, .tb select, .tb .hit, .tb label.tb-check, .tb input[type=range]")
    assert small == 0
    assert page.locator(".tb-ls-ruler text").first.bounding_box()["height"] >= 11
    watched.check()


@pytest.mark.slow
def test_a_slider_answers_within_a_frame(open_widgets) -> None:
    watched = open_widgets(LossSurface("quadratic", noise=0.5, steps=400))
    median = watched.slide_ms("document.querySelector('.tb-controls input[type=range]')", "i / 12")
    assert median < 50, f"{median:.0f} ms for one move of the condition number"
    watched.check()
