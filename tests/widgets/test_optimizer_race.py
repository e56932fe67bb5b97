"""The optimizer race's maths against autograd and torch.optim, and its handles in a real page."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from torchbook.widgets import OptimizerRace
from torchbook.widgets.optimizer_race import DEFAULTS, METHODS, SURFACES

KNOBS = {"kappa": 40.0, "tilt": 25.0, "every": 7, "noise": 1.5}
CENTER = torch.tensor([1.5, 1.0], dtype=torch.float64)


def mean_loss(surface: str, p: torch.Tensor, o: dict[str, object]) -> torch.Tensor:
    """What the chapter's reader sees as the loss, written with tensors."""
    d = p - CENTER
    if surface == "axes":
        a = math.radians(o["tilt"])
        turn = torch.tensor([[math.cos(a), math.sin(a)], [-math.sin(a), math.cos(a)]], dtype=torch.float64)
        return ((turn @ d) ** 2 * torch.tensor([1.0, o["kappa"]], dtype=torch.float64)).sum() / 2
    if surface == "ravine":
        return 3 / 8 * (p @ p - 9) ** 2 + 3 / 20 * (p[0] ** 2 + (p[1] - 3) ** 2)
    return (d**2).sum() / 2 if surface == "noisy" else (d[0] ** 2 + d[1] ** 2 / o["every"]) / 2


def case_of(surface: str, **changes) -> dict[str, object]:
    start, rates, _ = DEFAULTS[surface]
    own = {"surface": surface, "start": list(start), "rates": list(rates), "steps": 50, "seed": 3, "beta1": 0.8}
    settings = {"beta2": 0.95, "eps": 1e-8, "eps_place": "outside", "bias_correction": True}
    return KNOBS | own | settings | {"weight_decay": 0.0, "scale": 1.0} | changes


def torch_path(method: str, o: dict[str, object], weather: list[dict[str, object]]) -> list[list[float]]:
    """What torch.optim makes of the same gradients."""
    p = torch.nn.Parameter(torch.tensor(o["start"], dtype=torch.float64))
    decay, betas = {"weight_decay": o["weight_decay"]}, {"betas": (o["beta1"], o["beta2"]), "eps": o["eps"]}
    lr = o["rates"][METHODS.index(method)]
    optimizer = {
        "sgd": lambda: torch.optim.SGD([p], lr, **decay),
        "momentum": lambda: torch.optim.SGD([p], lr, momentum=o["beta1"], **decay),
        "adagrad": lambda: torch.optim.Adagrad([p], lr, eps=o["eps"], **decay),
        "rmsprop": lambda: torch.optim.RMSprop([p], lr, alpha=o["beta2"], eps=o["eps"], **decay),
        "adam": lambda: torch.optim.Adam([p], lr, **betas, **decay),
        "adamw": lambda: torch.optim.AdamW([p], lr, **betas, **decay),
    }[method]()
    if not o["bias_correction"] and method.startswith("adam"):  # a state so old that the corrections are 1
        zeros = torch.zeros(2, dtype=torch.float64)
        optimizer.state[p] = {"step": torch.tensor(1e6), "exp_avg": zeros, "exp_avg_sq": zeros.clone()}
    path = [p.tolist()]
    for gust in weather:
        optimizer.zero_grad()
        mean_loss(o["surface"], p, o).backward()
        p.grad = o["scale"] * (
            p.grad * torch.tensor([1.0, gust["times"]], dtype=torch.float64)
            + torch.tensor(gust["add"], dtype=torch.float64)
        )
        optimizer.step()
        path.append(p.tolist())
    return path


# ---- Traits.


def test_the_defaults_suit_the_surface() -> None:
    for name in SURFACES:
        widget = OptimizerRace(name)
        start, rates, steps = DEFAULTS[name]
        assert (widget.start, widget.rates, widget.steps, widget.step) == (list(start), list(rates), steps, steps)
        assert widget.methods == list(METHODS)
    assert OptimizerRace("noisy", lr={"adam": 0.7}).rates == [0.05, 0.005, 1.0, 0.05, 0.7, 0.1]


@pytest.mark.slow
def test_both_halves_have_the_same_defaults(js) -> None:
    got = js(OptimizerRace._esm, "Object.entries(SURFACES).map(([k, s]) => [k, s.start, s.rates, s.steps])")
    assert got == [[name, list(start), list(rates), steps] for name, (start, rates, steps) in DEFAULTS.items()]
    assert js(OptimizerRace._esm, "NAMES") == list(METHODS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"surface": "bowl"}, "surface must be one of axes, ravine"),
        ({"methods": []}, "one or more of sgd"),
        ({"methods": ["lion"]}, "one or more of sgd"),
        ({"lr": {"nadam": 0.1}}, "the methods are sgd"),
        ({"lr": {"adam": 0}}, "the rate of adam must be a number from 0.0001 to 10"),
        ({"lr": {"adam": math.nan}}, "the rate of adam must be a number"),
        ({"kappa": 0.5}, "kappa must be a number from 1 to 1000"),
        ({"tilt": 60}, "tilt must be a number from 0 to 45"),
        ({"every": 2.5}, "every must be a whole number from 1 to 50"),
        ({"noise": -1}, "noise must be a number from 0 to 5"),
        ({"beta1": 1.0}, "beta1 must be a number from 0 to 0.99"),
        ({"beta2": 1}, "beta2 must be a number from 0 to 0.999"),
        ({"eps": 0}, "eps must be a number from 1e-10 to 1"),
        ({"eps_place": "before"}, "eps_place must be one of outside, inside"),
        ({"bias_correction": 1}, "bias_correction must be True or False"),
        ({"weight_decay": "0.1"}, "weight_decay must be a number"),
        ({"scale": 1e4}, "scale must be a number from 1e-06 to 1000"),
        ({"start": (0, 5)}, "start's y must be a number from -4 to 4"),
        ({"start": (1, 2, 3)}, "start must be two numbers"),
        ({"steps": 9}, "steps must be a whole number from 10 to 1000"),
        ({"chart": "speed"}, "chart must be one of loss"),
        ({"seed": True}, "seed must be a whole number"),
    ],
)
def test_bad_arguments_say_what_is_wrong(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        OptimizerRace(**arguments)


# ---- The maths, in the browser.


@pytest.mark.slow
def test_values_and_gradients_are_those_of_autograd(js) -> None:
    points = list(itertools.product((-4.1, -0.4, 0.0, 1.5, 3.0), (-2.7, 0.0, 1.0, 3.2)))
    for name in SURFACES:
        got = js(
            OptimizerRace._esm,
            "arg.points.map(([x, y]) => [value(arg.name, arg.o, x, y), ...gradient(arg.name, arg.o, x, y)])",
            {"name": name, "o": KNOBS, "points": points},
        )
        for point, row in zip(points, got, strict=True):
            p = torch.tensor(point, dtype=torch.float64, requires_grad=True)
            loss = mean_loss(name, p, KNOBS)
            wanted = [loss.item(), *torch.autograd.grad(loss, p)[0].tolist()]
            assert row == pytest.approx(wanted, rel=1e-10, abs=1e-10), (name, point)
        lowest = torch.tensor(js(OptimizerRace._esm, "SURFACES[arg].lowest", name), dtype=torch.float64)
        grid = torch.cartesian_prod(*[torch.linspace(-5, 5, 41, dtype=torch.float64)] * 2)
        assert all(mean_loss(name, lowest, KNOBS) <= mean_loss(name, p, KNOBS) + 1e-12 for p in grid), name


@pytest.mark.slow
@pytest.mark.parametrize("surface", SURFACES)
def test_descents_are_those_of_torch_step_by_step(js, surface: str) -> None:
    changes = [{}, {"weight_decay": 0.4, "eps": 1e-2}, {"bias_correction": False, "scale": 1e-3, "eps": 1e-5}]
    for change, method in itertools.product(changes, METHODS):
        o = case_of(surface, **change)
        weather = js(OptimizerRace._esm, "weather(arg)", o)
        got = js(OptimizerRace._esm, "descend(arg[0], arg[1]).path", [method, o])
        for ours, theirs in zip(got, torch_path(method, o, weather), strict=True):
            assert ours == pytest.approx(theirs, rel=1e-6, abs=1e-7), (surface, method, change)


@pytest.mark.slow
def test_epsilon_inside_the_root(js) -> None:
    """A constant gradient has a closed form: with y seen in every step and no memory, v is g squared."""
    for place, eps in itertools.product(("outside", "inside"), (1e-8, 1e-4, 1e-2)):
        o = case_of("sparse", every=1, noise=0, beta1=0, beta2=0, eps=eps, eps_place=place, scale=1e-3, steps=10)
        for method in ("rmsprop", "adam", "adamw"):
            run = js(OptimizerRace._esm, "descend(arg[0], arg[1])", [method, o])
            g = 1e-3 * abs(o["start"][0] - 1.5)
            size = math.sqrt(g * g + eps) if place == "inside" else g + eps
            lr = o["rates"][METHODS.index(method)]
            assert run["rates"][0][0] == pytest.approx(lr / size, rel=1e-9), (place, eps, method)
            assert run["path"][1][0] - run["path"][0][0] == pytest.approx(lr * g / size, rel=1e-6)


@pytest.mark.slow
def test_what_the_chapter_claims_about_scale(js) -> None:
    """On straight axes the adaptive paths ignore kappa, and a factor on the loss; on turned ones they do not."""

    def end(method: str, **changes) -> list[float]:
        path = js(OptimizerRace._esm, "descend(arg[0], arg[1]).path", [method, case_of("axes", eps=1e-10, **changes)])
        return path[-1] if len(path) == 51 else [math.inf, math.inf]

    for method in ("adagrad", "rmsprop", "adam", "adamw"):
        plain = end(method, kappa=10, tilt=0)
        assert end(method, kappa=1000, tilt=0) == pytest.approx(plain, abs=1e-6)
        assert end(method, kappa=10, tilt=0, scale=1e-3) == pytest.approx(plain, abs=1e-4)
        assert end(method, kappa=1000, tilt=30) != pytest.approx(end(method, kappa=10, tilt=30), abs=1e-2)
    for method in ("sgd", "momentum"):
        assert end(method, kappa=10, tilt=0, scale=1e-3) != pytest.approx(end(method, kappa=10, tilt=0), abs=0.1)
    assert end("sgd", kappa=1000, tilt=0) == [math.inf, math.inf]


@pytest.mark.slow
def test_noise_is_seeded_scaled_and_hits_one_coordinate(js) -> None:
    def gusts(**changes) -> torch.Tensor:
        drawn = js(OptimizerRace._esm, "weather(arg).map((gust) => [...gust.add, gust.times])", case_of(**changes))
        return torch.tensor(drawn, dtype=torch.float64)

    noisy = gusts(surface="noisy", steps=1000, noise=0.5)
    assert (noisy[:, 0] == 0).all()
    assert noisy[:, 1].std().item() == pytest.approx(0.5, rel=0.1)
    assert torch.equal(noisy, gusts(surface="noisy", steps=1000, noise=0.5))
    assert not torch.equal(noisy, gusts(surface="noisy", steps=1000, noise=0.5, seed=4))
    sparse = gusts(surface="sparse", steps=70, every=7)
    assert (sparse[:, 1] == 0).all()
    assert sparse[:, 2].tolist() == ([0.0] * 6 + [7.0]) * 10, "on average the gradient of the mean loss"


# ---- In the page.


@pytest.mark.slow
def test_keyboard_moves_rate_and_start_and_the_line_says_the_result(open_widgets) -> None:
    watched = open_widgets(OptimizerRace("axes", kappa=40, steps=30, methods=["sgd", "adam"], beta1=0.8, beta2=0.95))
    page = watched.page
    readout = page.locator(".tb-readout")
    calm = [{"times": 1, "add": [0, 0]}] * 30

    def said(method: str, **changes) -> str:
        o = case_of("axes", kappa=40.0, tilt=0.0, **changes)
        loss = mean_loss("axes", torch.tensor(torch_path(method, o, calm)[-1], dtype=torch.float64), o)
        return f"{method.upper() if method == 'sgd' else 'Adam'} {float(loss):.3g}"

    rates = list(DEFAULTS["axes"][1])
    assert readout.text_content().startswith("Loss above the lowest after 30 steps: ")
    assert said("sgd") in readout.text_content()
    assert said("adam") in readout.text_content()
    page.get_by_role("slider", name="Start of the race").press("Shift+ArrowRight")
    assert said("adam", start=[-3.5, -2.5]) in readout.text_content()
    page.get_by_role("slider", name="learning rate of SGD").press("ArrowLeft")
    rates[0] = float(f"{10 ** (math.log10(0.015) - 0.1):.3g}")
    assert said("sgd", start=[-3.5, -2.5], rates=rates) in readout.text_content()
    for _ in range(10):
        page.get_by_role("slider", name="learning rate of SGD").press("ArrowRight")
    assert "SGD diverged (step" in readout.text_content()
    assert "diverged" in page.locator(".tb-or-values").first.text_content()
    page.get_by_role("slider", name="step").fill("3")
    assert "after 3 steps" in readout.text_content()
    watched.check()


@pytest.mark.slow
@pytest.mark.parametrize("touch", [False, True])
def test_the_pointer_sets_the_start(open_widgets, touch: bool) -> None:
    watched = open_widgets(OptimizerRace("ravine"), touch=touch)
    page = watched.page
    box = page.locator(".tb-or-map svg").bounding_box()
    x, y = box["x"] + 0.75 * box["width"], box["y"] + 0.25 * box["height"]
    page.touchscreen.tap(x, y) if touch else page.mouse.click(x, y)
    text = page.locator(".tb-or-start").get_attribute("aria-valuetext")
    assert [float(part.split(" ")[1]) for part in text.split(", ")] == pytest.approx([2.5, 2.0], abs=0.05)
    watched.check()


@pytest.mark.slow
def test_switches_knobs_and_play(open_widgets) -> None:
    watched = open_widgets(OptimizerRace("axes", scale=1e-6, beta2=0.999))
    page = watched.page
    readout, values = page.locator(".tb-readout"), page.locator(".tb-or-values")
    before = values.nth(4).text_content()
    page.get_by_label("ε stands").select_option("inside")
    assert values.nth(4).text_content() != before, "on a tiny loss the place of epsilon shows"
    page.get_by_label("ε stands").select_option("outside")
    assert values.nth(4).text_content() == before
    page.get_by_label("bias correction").uncheck()
    assert values.nth(4).text_content() != before
    adam, adamw = (values.nth(i).text_content() for i in (4, 5))
    assert adam == adamw, "without decay Adam and AdamW are one"
    page.get_by_label("weight decay λ").fill("0.3")
    assert values.nth(4).text_content() != values.nth(5).text_content()

    page.get_by_label("surface").select_option("sparse")
    assert page.get_by_label("y once in n steps").is_visible()
    assert not page.get_by_label("condition κ").is_visible()
    page.get_by_label("chart").select_option("rate_y")
    for name in ("SGD", "momentum", "AdaGrad", "RMSProp", "AdamW"):
        page.get_by_label(name, exact=True).uncheck()
    page.get_by_label("Adam", exact=True).click()
    assert page.get_by_label("Adam", exact=True).is_checked(), "one method runs always"
    assert page.locator(".tb-or-path").count() == 1
    page.get_by_role("button", name="Play").click()
    page.wait_for_function("document.querySelector('.tb-readout').textContent.includes('after 9')")
    assert "Adam" in readout.text_content()
    watched.check()


@pytest.mark.slow
@pytest.mark.parametrize(("theme", "width"), [("light", 360), ("dark", 360), ("dark", 900)])
def test_it_fits_and_its_controls_are_large_enough(open_widgets, theme: str, width: int) -> None:
    watched = open_widgets(OptimizerRace("sparse"), theme=theme, width=width)
    page = watched.page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    small = watched.too_low(".tb button, .tb select, .tb .hit, .tb label.tb-check, .tb input[type=range]")
    assert small == 0
    overlaps = page.locator(".tb-or-row .tb-check").evaluate_all(
        "nodes => nodes.filter((node) => node.scrollWidth > node.clientWidth + 1).length"
    )
    assert overlaps == 0, "a method's name runs into its slider"
    watched.check()


@pytest.mark.slow
def test_a_slider_answers_within_a_frame(open_widgets) -> None:
    watched = open_widgets(OptimizerRace("noisy", steps=400))
    median = watched.slide_ms("document.querySelector('.tb-controls .tb-slider:not([style*=none]) input')", "i / 7")
    assert median < 50, f"{median:.0f} ms for one move of the noise"
    watched.check()
