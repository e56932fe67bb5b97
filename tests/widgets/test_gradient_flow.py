"""The gradient's way back through time, against torch.autograd and torch.linalg, and its handles in a real page."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from torchbook.widgets import GradientFlow
from torchbook.widgets.gradient_flow import MATRICES, NONLINEARITIES, UNITS

PHI = {"linear": lambda a: a, "tanh": torch.tanh, "relu": torch.relu}
BASE = {
    "matrix": "orthogonal",
    "radius": 1.1,
    "nonlinearity": "tanh",
    "length": 30,
    "inputs": 0.5,
    "clip": False,
    "limit": 1.0,
    "step": 0,
    "seed": 3,
}


def double(values) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def by_autograd(js, case: dict[str, object]) -> tuple[list[float], list[float], torch.Tensor]:
    """Norms of dL/dh_t, norms of the terms of dL/dW from a copy of W per step, and dL/dW; L = u . h_T."""
    w = double(js(GradientFlow._esm, "recurrent(arg.matrix, arg.radius, arg.seed)", case))
    drawn = js(GradientFlow._esm, "weather(arg.seed)", case)
    copies = [w.clone().requires_grad_() for _ in range(case["length"])]
    h = [double(drawn["start"]).requires_grad_()]
    for copy, x in zip(copies, drawn["noise"], strict=False):
        h.append(PHI[case["nonlinearity"]](copy @ h[-1] + case["inputs"] * double(x)))
    loss = h[-1] @ double(drawn["u"])
    grads = torch.autograd.grad(loss, [*h[:-1], *copies])
    states, weights = grads[: len(copies)], grads[len(copies) :]
    return [*(g.norm().item() for g in states), 1.0], [g.norm().item() for g in weights], sum(weights)


# ---- Traits.


def test_the_defaults_are_valid_and_kept() -> None:
    widget = GradientFlow()
    assert (widget.matrix, widget.radius, widget.nonlinearity, widget.length, widget.step) == (
        "orthogonal", 1.0, "tanh", 50, 0)  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"matrix": "identity"}, "matrix must be one of orthogonal, random, shear"),
        ({"nonlinearity": "sigmoid"}, "nonlinearity must be one of linear, tanh, relu"),
        ({"radius": 2}, "radius must be a number from 0.5 to 1.5"),
        ({"radius": math.nan}, "radius must be a number"),
        ({"radius": True}, "radius must be a number"),
        ({"length": 4}, "length must be a whole number from 5 to 100"),
        ({"length": 20.0}, "length must be a whole number"),
        ({"inputs": -1}, "inputs must be a number from 0 to 3"),
        ({"clip": 1.0}, "the norm to clip at is limit="),
        ({"limit": 0}, "limit must be a number from 0.01 to 100"),
        ({"length": 20, "step": 21}, "step must be a whole number from 0 to 20"),
        ({"seed": -1}, "seed must be a whole number"),
    ],
)
def test_bad_arguments_say_what_is_wrong(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GradientFlow(**arguments)


# ---- The maths, in the browser.


@pytest.mark.slow
def test_matrices_have_the_radius_and_singular_value_that_are_said(js) -> None:
    for kind, radius, seed in itertools.product(MATRICES, (0.5, 1.0, 1.37), (0, 8)):
        got, rho, sigma = js(
            GradientFlow._esm,
            "((W) => [W, spectralRadius(W), largestSingular(W)])(recurrent(arg[0], arg[1], arg[2]))",
            [kind, radius, seed],
        )
        w = double(got)
        assert w.shape == (UNITS, UNITS)
        assert torch.linalg.eigvals(w).abs().max().item() == pytest.approx(radius, rel=1e-6), kind
        assert rho == pytest.approx(radius, rel=1e-6)
        assert sigma == pytest.approx(torch.linalg.svdvals(w)[0].item(), rel=1e-6)
        if kind == "orthogonal":
            assert torch.allclose(w.T @ w, radius**2 * torch.eye(UNITS, dtype=w.dtype), atol=1e-12)
    assert js(GradientFlow._esm, "spectralRadius([[0, 5], [0, 0]])") == 0


@pytest.mark.slow
def test_norms_terms_and_gradient_are_those_of_autograd(js) -> None:
    for matrix, phi, inputs in itertools.product(MATRICES, NONLINEARITIES, (0.0, 0.7)):
        case = BASE | {"matrix": matrix, "nonlinearity": phi, "inputs": inputs, "length": 12}
        norms, terms, gradient = by_autograd(js, case)
        got = js(GradientFlow._esm, "flow(arg)", case)
        assert got["norms"] == pytest.approx(norms, rel=1e-8, abs=1e-12), (matrix, phi)
        assert got["terms"] == pytest.approx(terms, rel=1e-8, abs=1e-12), (matrix, phi)
        assert torch.allclose(double(got["gradient"]), gradient, rtol=1e-8, atol=1e-12), (matrix, phi)
        assert got["whole"] == pytest.approx(gradient.norm().item(), rel=1e-8)


@pytest.mark.slow
def test_the_bound_holds_and_a_linear_orthogonal_network_meets_it(js) -> None:
    for matrix, phi, inputs in itertools.product(MATRICES, NONLINEARITIES, (0.1, 2.0)):
        got = js(GradientFlow._esm, "flow(arg)", BASE | {"matrix": matrix, "nonlinearity": phi, "inputs": inputs})
        for t, norm in enumerate(got["norms"]):
            assert norm <= got["sigma"] ** (30 - t) * (1 + 1e-6)
    got = js(GradientFlow._esm, "flow(arg)", BASE | {"nonlinearity": "linear"})
    assert got["norms"] == pytest.approx([1.1 ** (30 - t) for t in range(31)], rel=1e-9)
    shear = js(GradientFlow._esm, "flow(arg)", BASE | {"matrix": "shear", "radius": 0.5, "nonlinearity": "linear"})
    assert shear["sigma"] > 3
    assert shear["norms"][0] < 1e-6


@pytest.mark.slow
def test_clipping_is_that_of_torch(js) -> None:
    for norm, limit in itertools.product((0.0, 0.3, 1.0, 250.0), (0.01, 1.0, 100.0)):
        p = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
        p.grad = torch.full_like(p, norm)
        torch.nn.utils.clip_grad_norm_([p], limit)
        factor = js(GradientFlow._esm, "clipFactor(arg[0], arg[1])", [norm, limit])
        assert factor * norm == pytest.approx(p.grad.item(), rel=2e-4)
    loose = js(GradientFlow._esm, "flow(arg)", BASE | {"nonlinearity": "linear", "clip": True, "limit": 0.5})
    assert loose["clipped"] == pytest.approx(0.5)
    assert loose["whole"] > 0.5


@pytest.mark.slow
def test_the_same_seed_draws_the_same_and_another_does_not(js) -> None:
    same, other = (js(GradientFlow._esm, "flow(arg).norms", BASE | {"seed": s}) for s in (3, 4))
    assert same == js(GradientFlow._esm, "flow(arg).norms", BASE) != other
    u = double(js(GradientFlow._esm, "weather(7).u"))
    assert u.norm().item() == pytest.approx(1)


@pytest.mark.slow
def test_axes_cover_the_values_and_survive_zero_and_infinity(js) -> None:
    assert js(GradientFlow._esm, "decades([1])") == pytest.approx([1e-2, 1e2])
    assert js(GradientFlow._esm, "decades([3e-7, 0])") == pytest.approx([1e-7, 1e2])
    assert js(GradientFlow._esm, "decades([1e-300, 1e300, Infinity, NaN])") == pytest.approx([1e-16, 1e16])


# ---- In the page.


@pytest.mark.slow
def test_keyboard_moves_the_radius_and_the_marker_and_the_line_says_the_result(open_widgets) -> None:
    watched = open_widgets(GradientFlow(nonlinearity="linear", radius=1.1, length=20))
    page = watched.page
    readout = page.locator(".tb-readout")
    assert f"from 1 to {1.1**20:.3g}: a factor of 1.1 per step" in readout.text_content()
    page.get_by_role("slider", name="spectral radius").press("ArrowLeft")
    assert f"from 1 to {1.09**20:.3g}: a factor of 1.09 per step" in readout.text_content()
    marker = page.get_by_role("slider", name="Step to read")
    marker.press("End")
    assert "At the last step the gradient has length 1." in readout.text_content()
    marker.press("ArrowLeft")
    marker.press("ArrowLeft")
    assert marker.get_attribute("aria-valuenow") == "18"
    assert f"back to step 18 the gradient goes from 1 to {1.09**2:.3g}:" in readout.text_content()
    page.get_by_role("slider", name="length T").fill("10")
    assert marker.get_attribute("aria-valuenow") == "10", "the marker stays inside a shorter sequence"
    watched.check()


@pytest.mark.slow
@pytest.mark.parametrize("touch", [False, True])
def test_the_pointer_places_the_marker(open_widgets, touch: bool) -> None:
    watched = open_widgets(GradientFlow(length=40), touch=touch)
    page = watched.page
    box = page.locator(".tb-gf-plot").bounding_box()
    x, y = box["x"] + 58 + 0.25 * (box["width"] - 58 - 16), box["y"] + 60
    page.touchscreen.tap(x, y) if touch else page.mouse.click(x, y)
    assert page.get_by_role("slider", name="Step to read").get_attribute("aria-valuenow") == "10"
    assert "From step 40 back to step 10" in page.locator(".tb-readout").text_content()
    watched.check()


@pytest.mark.slow
def test_choices_clipping_and_new_draw(open_widgets) -> None:
    watched = open_widgets(GradientFlow(nonlinearity="linear", radius=1.3, length=40))
    page = watched.page
    readout = page.locator(".tb-readout")
    assert page.get_by_role("slider", name="clip at norm").is_disabled()
    page.get_by_label("clip", exact=True).check()
    assert "clipped to 1." in readout.text_content()
    page.get_by_role("slider", name="clip at norm").press("ArrowLeft")
    assert "clipped to 0.832." in readout.text_content()
    before = readout.text_content()
    page.get_by_role("button", name="Draw a new matrix").click()
    assert readout.text_content() != before
    page.get_by_label("nonlinearity").select_option("tanh")
    assert "Mean slope of the units on the way: 1." not in readout.text_content()
    page.get_by_label("matrix", exact=True).select_option("shear")
    sigma = torch.linalg.matrix_norm(double([[1.3, 3.0], [0.0, 1.3]]), 2)
    assert f"largest singular value {sigma:.3g}." in readout.text_content()
    watched.check()


@pytest.mark.slow
@pytest.mark.parametrize(("theme", "width"), [("light", 360), ("dark", 900)])
def test_it_fits_and_its_controls_are_large_enough(open_widgets, theme: str, width: int) -> None:
    watched = open_widgets(GradientFlow(clip=True), theme=theme, width=width)
    page = watched.page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    small = watched.too_low(".tb button, .tb select, .tb .hit, .tb label.tb-check, .tb input[type=range]")
    assert small == 0
    watched.check()


@pytest.mark.slow
def test_a_slider_answers_within_a_frame(open_widgets) -> None:
    watched = open_widgets(GradientFlow(length=100, matrix="random"))
    median = watched.slide_ms("document.querySelector('.tb-controls input[type=range]')", "0.5 + i / 21")
    assert median < 50, f"{median:.0f} ms for one move of the radius"
    watched.check()
