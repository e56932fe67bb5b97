"""The activations' maths against PyTorch and autograd, and the widget's controls in a real page."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from torchbook.widgets import Activations
from torchbook.widgets.activations import NAMES

TORCH = {
    "identity": lambda z, alpha: z,
    "sigmoid": lambda z, alpha: torch.sigmoid(z),
    "tanh": lambda z, alpha: torch.tanh(z),
    "arctan": lambda z, alpha: torch.atan(z),
    "relu": lambda z, alpha: torch.relu(z),
    "leaky_relu": F.leaky_relu,
    "relu6": lambda z, alpha: F.relu6(z),
    "elu": F.elu,
    "gelu": lambda z, alpha: F.gelu(z),
    "softplus": lambda z, alpha: F.softplus(z, threshold=1000),
    "logsigmoid": lambda z, alpha: F.logsigmoid(z),
}


def torch_journey(name: str, case: dict[str, object], parts: dict[str, object]) -> tuple[list, list]:
    """Size of signal and gradient at each layer, by autograd, from the browser's own random numbers."""
    width = case["width"]
    columns = [torch.tensor(list(parts[key]), dtype=torch.float64).view(width, 8) for key in ("inputs", "top")]
    layers = [torch.tensor(list(layer), dtype=torch.float64).view(width, width) for layer in parts["layers"]]
    hidden = [columns[0].requires_grad_()]
    for layer in layers:
        hidden.append(TORCH[name](case["gain"] / math.sqrt(width) * layer @ hidden[-1], case["alpha"]))
    gradients = torch.autograd.grad(hidden[-1], hidden, columns[1], allow_unused=True)
    if case["measure"] == "spread":
        signal = [h.var(dim=1, correction=0).mean().sqrt().item() for h in hidden]
    else:
        signal = [h.square().mean().sqrt().item() for h in hidden]
    return signal, [g.square().mean().sqrt().item() for g in gradients[:-1]] + [
        columns[1].square().mean().sqrt().item()
    ]


# ---- Traits.


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"activations": "relu"}, r"must be a list of names, such as \['relu'\]"),
        ({"activations": ["swish"]}, "no activation named 'swish': there are identity, sigmoid"),
        ({"activations": []}, "choose 1 to 5 different"),
        ({"activations": ["relu", "relu"]}, "choose 1 to 5 different"),
        ({"activations": list(NAMES[:6])}, "choose 1 to 5 different"),
        ({"z": 5.1}, "z must be a number from -5 to 5"),
        ({"alpha": -0.1}, "alpha must be a number from 0 to 2"),
        ({"alpha": True}, "alpha must be a number"),
        ({"gain": 0}, "gain must be a number from 0.1 to 10"),
        ({"gain": math.nan}, "gain must be a number"),
        ({"depth": 0}, "depth must be a whole number from 1 to 50"),
        ({"depth": 3.0}, "depth must be a whole number"),
        ({"width": 48}, "width must be one of 16, 32, 64"),
        ({"measure": "mean"}, "measure must be one of size, spread"),
        ({"seed": -1}, "seed must be a whole number"),
    ],
)
def test_bad_arguments_say_what_is_wrong(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Activations(**arguments)


# ---- The maths, in the browser.


@pytest.mark.slow
def test_values_and_slopes_are_those_of_torch_and_autograd(js) -> None:
    grid = [-30.0, -7.3, -5.0, -2.1, -0.752, -0.4, -1e-7, 1e-7, 0.3, 1.414, 2.6, 5.9, 6.1, 12.0, 40.0]
    for alpha in (0.01, 0.7, 2.0):
        for name in NAMES:
            got = js(
                Activations._esm,
                "arg.grid.map((z) => [value(arg.name, z, arg.alpha), slope(arg.name, z, arg.alpha)])",
                {"grid": grid, "name": name, "alpha": alpha},
            )
            z = torch.tensor(grid, dtype=torch.float64, requires_grad=True)
            values = TORCH[name](z, alpha)
            (slopes,) = torch.autograd.grad(values.sum(), z)
            assert [v for v, _ in got] == pytest.approx(values.tolist(), rel=1e-11, abs=1e-13), (name, alpha)
            assert [s for _, s in got] == pytest.approx(slopes.tolist(), rel=1e-9, abs=1e-13), (name, alpha)


@pytest.mark.slow
def test_erf_and_far_places(js) -> None:
    grid = [x / 10 for x in range(-70, 71)]
    reference = torch.erf(torch.tensor(grid, dtype=torch.float64))
    assert js(Activations._esm, "arg.map(erf)", grid) == pytest.approx(reference.tolist(), rel=1e-13, abs=1e-15)
    far = js(Activations._esm, "Object.keys(ACTIVATIONS).flatMap((k) => [-1000, 1000].map((z) => value(k, z, 1)))")
    assert all(math.isfinite(v) for v in far), "no overflow"
    assert js(Activations._esm, "[-800, 800].map((z) => value('logsigmoid', z))") == [-800, 0]


@pytest.mark.slow
def test_the_shape_in_the_table_is_the_shape_of_torchs_function(js) -> None:
    pairs = 4 * torch.randn(2, 20_000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for alpha in (0.5, 1.0, 1.5):
        for name in NAMES:
            f = TORCH[name]
            gap = f(pairs, alpha).mean(dim=0) - f(pairs.mean(dim=0), alpha)
            convex, concave = gap.min() > -1e-12, gap.max() < 1e-12
            shape = js(Activations._esm, "ACTIVATIONS[arg[0]].shape(arg[1])", [name, alpha])
            assert (shape in ("convex", "a line")) == convex, (name, alpha)
            assert (shape in ("concave", "a line")) == concave, (name, alpha)


@pytest.mark.slow
def test_journeys_are_those_of_autograd(js) -> None:
    for name in NAMES:
        for gain, measure in ((0.5, "size"), (1.6, "spread")):
            case = {"alpha": 0.3, "depth": 6, "width": 16, "gain": gain, "seed": 3, "measure": measure}
            parts = js(Activations._esm, "(({inputs, top, layers}) => ({inputs: [...inputs], top: [...top],"
                       " layers: layers.map((l) => [...l])}))(stack(arg))", case)  # fmt: skip
            run = js(Activations._esm, "journey(arg[0], arg[1])", [name, case])
            signal, gradient = torch_journey(name, case, parts)
            assert run["signal"] == pytest.approx(signal, rel=1e-9), name
            assert run["gradient"] == pytest.approx(gradient, rel=1e-9), name
            assert run["factor"] == pytest.approx((gradient[0] / gradient[-1]) ** (1 / 6), rel=1e-9)


@pytest.mark.slow
def test_the_random_numbers_are_standard_normal_seeded_and_shared(js) -> None:
    layer = torch.tensor(js(Activations._esm, "[...stack({seed: 1, width: 64, depth: 3}).layers[2]]"))
    assert abs(layer.mean()) < 0.06
    assert layer.std().item() == pytest.approx(1, rel=0.05)
    same = "[...stack({seed: %d, width: 64, depth: %d}).layers[2]]"
    assert js(Activations._esm, same % (1, 40)) == layer.tolist() or torch.allclose(
        torch.tensor(js(Activations._esm, same % (1, 40))), layer
    ), "a deeper stack keeps its first layers"
    assert not torch.allclose(torch.tensor(js(Activations._esm, same % (2, 3))), layer)


@pytest.mark.slow
def test_small_helpers(js) -> None:
    assert js(Activations._esm, "size([3, -4, 0, 0])") == pytest.approx(2.5)
    assert js(Activations._esm, "spread([1, 1, 1, 1, 3, 3, 3, 3])") == pytest.approx(1)
    assert js(Activations._esm, "histogram([0, 0.1, 0.9, 1], 2)") == {"low": 0, "high": 1, "counts": [2, 2]}
    assert js(Activations._esm, "histogram([2, 2], 3).counts") == [2, 0, 0]
    assert js(Activations._esm, "[fate(0.5, 20), fate(1.01, 20), fate(1.5, 20)]") == [
        "vanishes",
        "survives",
        "explodes",
    ]


# ---- In the page.


@pytest.mark.slow
def test_keyboard_drives_place_depth_and_gain(open_widgets) -> None:
    watched = open_widgets(Activations(["sigmoid", "elu"], z=0, depth=20, alpha=1.0))
    page = watched.page
    readout = page.locator(".tb-readout")
    table = page.get_by_role("region", name="Value and slope at z")
    assert readout.text_content().startswith("20 layers of width 64, gain 1.")
    assert "sigmoid 0.2" in readout.text_content()
    assert "(vanishes)" in readout.text_content()
    assert "0.50.25neither" in table.text_content()
    page.get_by_role("slider", name="z", exact=True).press("ArrowRight")
    assert f"{torch.sigmoid(torch.tensor(0.05)):.3g}" in table.text_content()
    assert "not convex" not in table.text_content()
    page.get_by_role("slider", name="α, leaky and ELU").press("ArrowRight")
    assert "not convex" in table.text_content(), "alpha is 1.01"
    page.get_by_role("slider", name="depth").press("Home")
    assert readout.text_content().startswith("1 layer of width 64")
    assert "(survives)" in readout.text_content()
    page.get_by_role("slider", name="gain g").press("End")
    assert "gain 10." in readout.text_content()
    page.get_by_role("button", name="g = √2").click()
    assert "gain 1.41." in readout.text_content()
    watched.check()


@pytest.mark.slow
def test_choosing_activations_and_measures(open_widgets) -> None:
    watched = open_widgets(Activations(["relu"]))
    page = watched.page
    readout = page.locator(".tb-readout")
    assert not page.get_by_role("slider", name="α, leaky and ELU").is_visible()
    page.get_by_label("ReLU", exact=True).click()
    assert page.get_by_label("ReLU", exact=True).is_checked(), "one stays"
    for label in ("tanh", "leaky ReLU", "GELU", "softplus"):
        page.get_by_label(label, exact=True).check()
    assert page.get_by_role("slider", name="α, leaky and ELU").is_visible()
    assert page.get_by_label("sigmoid", exact=True).is_disabled(), "five at most"
    assert page.locator(".tb-ac-crowds figure").count() == 5
    before = page.get_by_role("region", name="Signal and gradient").text_content()
    page.get_by_label("signal", exact=True).select_option("spread")
    assert page.get_by_role("region", name="Signal and gradient").text_content() != before
    page.get_by_label("width", exact=True).select_option("16")
    assert "width 16" in readout.text_content()
    said = readout.text_content()
    page.get_by_role("button", name="New weights").click()
    assert readout.text_content() != said
    watched.check()


@pytest.mark.slow
@pytest.mark.parametrize("touch", [False, True])
def test_the_pointer_moves_the_place(open_widgets, touch: bool) -> None:
    watched = open_widgets(Activations(["tanh"], z=-4), touch=touch)
    page = watched.page
    box = page.locator(".tb-ac-graph").first.bounding_box()
    x, y = box["x"] + 0.75 * box["width"], box["y"] + 0.4 * box["height"]
    page.touchscreen.tap(x, y) if touch else page.mouse.click(x, y)
    z = float(page.get_by_role("slider", name="z", exact=True).input_value())
    assert 2.0 < z < 3.2
    assert f"{math.tanh(z):.3g}" in page.get_by_role("region", name="Value and slope at z").text_content()
    watched.check()


@pytest.mark.slow
@pytest.mark.parametrize(("theme", "width"), [("light", 360), ("dark", 360), ("dark", 900)])
def test_it_fits_and_its_controls_are_large_enough(open_widgets, theme: str, width: int) -> None:
    watched = open_widgets(Activations(["tanh", "elu", "leaky_relu"], alpha=1.5, gain=5.0), theme=theme, width=width)
    page = watched.page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    small = watched.too_low(".tb button, .tb select, .tb label.tb-check, .tb input[type=range]")
    assert small == 0
    assert page.locator(".tb-plot text").first.bounding_box()["height"] >= 11
    watched.check()


@pytest.mark.slow
def test_the_depth_slider_answers_fast(open_widgets) -> None:
    watched = open_widgets(Activations(["sigmoid", "tanh", "relu"], depth=50))
    median = watched.page.evaluate(
        """() => {
            const input = [...document.querySelectorAll('.tb-slider')]
                .find((node) => node.textContent.startsWith('depth')).querySelector('input');
            const times = [];
            for (let i = 0; i < 15; i += 1) {
                const begin = performance.now();
                input.value = 15 + (i % 5);
                input.dispatchEvent(new Event('input'));
                times.push(performance.now() - begin);
            }
            return times.sort((a, b) => a - b)[7];
        }"""
    )
    assert median < 50, f"{median:.0f} ms for one move of the depth"
    watched.check()
