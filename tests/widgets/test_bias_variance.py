"""The fits, bias and variance of the widget against PyTorch and NumPy, and its handles in a real page."""

from __future__ import annotations

import itertools
import math
import re

import numpy as np
import pytest
import torch

from torchbook.widgets import BiasVariance
from torchbook.widgets.bias_variance import AXES, LAMS, MAX_DEGREE

TRUTH = {
    "wave": lambda x: np.sin(2 * np.pi * x),
    "hump": lambda x: 1 / (1 + 25 * x**2),
    "step": lambda x: np.where(x < 0, -0.7, 0.7),
    "line": lambda x: x,
}
GRID = np.arange(-50, 51) / 50
STATE = {"truth": "wave", "degree": 9, "lam": 1e-8, "noise": 0.4, "n": 20, "fits": 40, "axis": "degree", "seed": 0}


def features(x: np.ndarray, degree: int) -> torch.Tensor:
    columns = np.polynomial.legendre.legvander(np.asarray(x, dtype=float), degree)
    return torch.tensor(columns * np.sqrt(2 * np.arange(degree + 1) + 1))


def torch_smoother(n: int, degree: int, lam: float) -> torch.Tensor:
    """The same matrix by PyTorch's SVD of the stacked problem."""
    stacked = torch.cat([features((2 * np.arange(n) + 1) / n - 1, degree), lam**0.5 * torch.eye(degree + 1).double()])
    return features(GRID, degree) @ torch.linalg.pinv(stacked, rtol=0.0)[:, :n]


# ---- Traits.


def test_the_defaults_are_those_of_the_chapter() -> None:
    widget = BiasVariance()
    assert (widget.truth, widget.degree, widget.noise, widget.n, widget.axis) == ("wave", 9, 0.4, 20, "degree")
    assert widget.lam == LAMS[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"truth": "sine"}, "no truth named 'sine': there are wave, hump"),
        ({"axis": "noise"}, "no axis named 'noise': there are degree, lam, n"),
        ({"degree": 25}, "degree must be a whole number from 0 to 24"),
        ({"degree": 3.0}, "degree must be a whole number"),
        ({"degree": True}, "degree must be a whole number"),
        ({"lam": 0}, "lam must be a number from 1e-08 to 100"),
        ({"lam": math.nan}, "lam must be a number"),
        ({"lam": "1"}, "lam must be a number"),
        ({"noise": -0.1}, "noise must be a number from 0 to 1.5"),
        ({"n": 5}, "n must be a whole number from 6 to 60"),
        ({"fits": 1}, "fits must be a whole number from 5 to 100"),
        ({"probe": 1.1}, "probe must be a number from -1 to 1"),
        ({"seed": -1}, "seed must be a whole number"),
    ],
)
def test_bad_arguments_say_what_is_wrong(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BiasVariance(**arguments)


# ---- The maths, in the browser.


@pytest.mark.slow
def test_the_basis_is_numpys_legendre_and_orthonormal(js) -> None:
    got = np.array(js(BiasVariance._esm, "arg.map((x) => basis(x, 24))", GRID.tolist()))
    assert got == pytest.approx(features(GRID, MAX_DEGREE).numpy(), rel=1e-9, abs=1e-9)
    nodes, weights = np.polynomial.legendre.leggauss(40)
    values = np.array(js(BiasVariance._esm, "arg.map((x) => basis(x, 24))", nodes.tolist()))
    assert values.T * weights @ values / 2 == pytest.approx(np.eye(25), abs=1e-9)
    assert [len(js(BiasVariance._esm, "basis(0.3, arg)", degree)) for degree in (0, 1, 2)] == [1, 2, 3]


@pytest.mark.slow
def test_least_squares_is_torchs(js) -> None:
    generator = torch.Generator().manual_seed(0)
    for m, p, k in ((5, 5, 1), (9, 4, 3), (30, 12, 7)):
        A, B = (torch.randn(m, width, generator=generator, dtype=torch.float64) for width in (p, k))
        got = js(BiasVariance._esm, "leastSquares(arg[0], arg[1]).map((row) => [...row])", [A.tolist(), B.tolist()])
        assert torch.allclose(torch.tensor(got, dtype=torch.float64), torch.linalg.lstsq(A, B).solution, atol=1e-9)


@pytest.mark.slow
def test_smoothers_are_those_of_ridge_regression(js) -> None:
    call = f"smoother({GRID.tolist()}, arg).map((row) => [...row])"
    for n, degree, lam in itertools.product((6, 20, 60), (0, 5, 11, MAX_DEGREE), (1e-8, 1e-3, 1.0, 100.0)):
        got = torch.tensor(js(BiasVariance._esm, call, {"n": n, "degree": degree, "lam": lam}), dtype=torch.float64)
        wanted = torch_smoother(n, degree, lam)
        scale = max(1.0, wanted.abs().max().item())
        assert (got - wanted).abs().max() < 1e-5 * scale, (n, degree, lam)


@pytest.mark.slow
def test_exact_parts_are_closed_forms_and_what_ten_thousand_fits_measure(js) -> None:
    generator = torch.Generator().manual_seed(1)
    worlds = (("wave", 20, 5, 1e-8), ("hump", 12, 11, 1e-2), ("step", 30, 8, 0.5), ("line", 9, 20, 1.0))
    for truth, n, degree, lam in worlds:
        state = STATE | {"truth": truth, "n": n, "degree": degree, "lam": lam, "noise": 0.7}
        got = js(BiasVariance._esm, f"exact(arg, smoother({GRID.tolist()}, arg))", state)
        S, f = torch_smoother(n, degree, lam), TRUTH[truth]
        clean = torch.tensor(f((2 * np.arange(n) + 1) / n - 1))
        fits = (clean + 0.7 * torch.randn(10_000, n, generator=generator, dtype=torch.float64)) @ S.T
        assert got["variance"] == pytest.approx(fits.var(dim=0).mean().item(), rel=0.05), truth
        bias2 = (S @ clean - torch.tensor(f(GRID))).square().mean().item()
        assert got["bias2"] == pytest.approx(bias2, rel=1e-4, abs=1e-9), truth


@pytest.mark.slow
def test_labels_are_seeded_and_measured_parts_are_unbiased(js) -> None:
    labels = np.array(js(BiasVariance._esm, "datasets(arg)", STATE | {"fits": 2000}))
    x = (2 * np.arange(20) + 1) / 20 - 1
    assert labels.mean(axis=0) == pytest.approx(TRUTH["wave"](x), abs=0.05)
    assert labels.std() == pytest.approx(np.hypot(0.4, TRUTH["wave"](x).std()), rel=0.02)
    assert js(BiasVariance._esm, "datasets(arg)[3]", STATE) == labels[3].tolist()
    assert js(BiasVariance._esm, "datasets(arg)[3]", STATE | {"seed": 1}) != labels[3].tolist()
    call = f"""Array.from({{ length: 60 }}, (_, seed) => {{
        const {{ bias2, variance }} = measure(arg, smoother({GRID.tolist()}, arg), datasets({{ ...arg, seed }}));
        return [bias2, variance]; }})"""
    parts = np.array(js(BiasVariance._esm, call, STATE | {"degree": 11, "fits": 10}))
    true = js(BiasVariance._esm, f"exact(arg, smoother({GRID.tolist()}, arg))", STATE | {"degree": 11})
    error = parts.std(axis=0) / 60**0.5
    assert abs(parts[:, 1].mean() - true["variance"]) < 4 * error[1]
    assert abs(parts[:, 0].mean() - true["bias2"]) < 4 * error[0], "the share 1/M of the variance was not taken off"


@pytest.mark.slow
def test_curves_trade_bias_for_variance_and_descend_twice(js) -> None:
    call = "curves(arg).map(({ value, bias2, variance }) => [value, bias2, variance])"
    rows = {axis: np.array(js(BiasVariance._esm, call, STATE | {"axis": axis, "n": 12, "fits": 5})) for axis in AXES}
    degrees = rows["degree"]
    assert degrees[:, 0].tolist() == list(range(MAX_DEGREE + 1))
    assert (np.diff(degrees[:12, 1]) < 1e-9).all(), "up to N points, each degree lowers the bias"
    assert (np.diff(degrees[:12, 2]) > 0).all(), "and raises the variance"
    assert degrees[11, 2] > 100 * degrees[MAX_DEGREE, 2], "beyond, the shortest weights descend again"
    assert (np.diff(rows["lam"][:, 2]) < 1e-12).all()
    assert rows["lam"][-1, 1] > 10 * rows["lam"][0, 1]
    assert rows["n"][-1, 2] < rows["n"][5, 2]


# ---- In the page.


@pytest.mark.slow
def test_keyboard_moves_degree_penalty_and_probe_and_the_line_says_the_result(open_widgets) -> None:
    watched = open_widgets(BiasVariance(degree=4, noise=0.5, n=20))
    page = watched.page
    readout = page.locator(".tb-readout")

    clean, truth = (torch.tensor(TRUTH["wave"](x)) for x in ((2 * np.arange(20) + 1) / 20 - 1, GRID))

    def said(degree: int) -> str:
        S = torch_smoother(20, degree, 1e-8)
        bias2, variance = (S @ clean - truth).square().mean(), 0.25 * S.square().sum(dim=1).mean()
        return f"bias² {float(f'{bias2:.2g}'):g} + variance {float(f'{variance:.2g}'):g} + noise 0.25"

    assert said(4) in readout.text_content()
    page.get_by_label("degree", exact=True).press("ArrowRight")
    assert said(5) in readout.text_content()
    before = readout.text_content()
    page.get_by_label("penalty λ").press("ArrowRight")
    assert page.get_by_label("penalty λ").get_attribute("aria-valuetext") != "10⁻⁸"
    for _ in range(45):
        page.get_by_label("penalty λ").press("ArrowRight")
    assert readout.text_content() != before
    probe = page.get_by_role("slider", name="Probe")
    probe.press("End")
    assert "At x = 1: truth 0," in readout.text_content()
    probe.press("PageDown")
    assert "At x = 0.8:" in readout.text_content()
    watched.check()


@pytest.mark.slow
def test_the_truth_the_axis_and_the_buttons(open_widgets) -> None:
    watched = open_widgets(BiasVariance(degree=6))
    page = watched.page
    one = page.locator(".tb-bv-fits .tb-bv-one")
    first = one.get_attribute("d")
    page.get_by_role("button", name="Next training set").click()
    second = one.get_attribute("d")
    assert second != first
    page.get_by_role("button", name="New noise").click()
    assert one.get_attribute("d") not in (first, second)
    curve = page.locator("path[data-part=variance]")
    across_degrees = curve.get_attribute("d")
    page.get_by_label("error against").select_option("lam")
    assert curve.get_attribute("d") != across_degrees
    assert "Lowest at λ" in page.locator(".tb-readout").text_content()
    page.get_by_label("truth", exact=True).select_option("step")
    assert re.search(r"At x = 0.5: truth 0.7", page.locator(".tb-readout").text_content())
    page.get_by_label("noise σ").fill("0")
    assert "variance 0 + noise 0" in page.locator(".tb-readout").text_content(), "no noise, no variance"
    watched.check()


@pytest.mark.slow
@pytest.mark.parametrize("touch", [False, True])
def test_the_pointer_moves_the_probe_and_the_degree(open_widgets, touch: bool) -> None:
    watched = open_widgets(BiasVariance(degree=9), touch=touch)
    page = watched.page

    def press(plot: str, share: float, left: float) -> None:
        box = page.locator(plot).bounding_box()
        x, y = box["x"] + left + share * (box["width"] - left - 10), box["y"] + box["height"] / 3
        page.touchscreen.tap(x, y) if touch else page.mouse.click(x, y)

    press(".tb-bv-fits", 0.25, 34)
    assert float(page.locator(".tb-bv-probe").get_attribute("aria-valuenow")) == pytest.approx(-0.5, abs=0.05)
    press(".tb-bv-errors", 0.5, 44)
    assert page.get_by_label("degree", exact=True).input_value() == "12"
    watched.check()


@pytest.mark.slow
@pytest.mark.parametrize(("theme", "width"), [("light", 360), ("dark", 900), ("dark", 360)])
def test_it_fits_and_its_controls_are_large_enough(open_widgets, theme: str, width: int) -> None:
    watched = open_widgets(BiasVariance(truth="hump"), theme=theme, width=width)
    page = watched.page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    small = page.locator(".tb button, .tb select, .tb .hit, .tb input[type=range]").evaluate_all(
        "nodes => nodes.filter((node) => node.getBoundingClientRect().height < 24).length"
    )
    assert small == 0
    assert page.locator(".tb-bv-errors text").first.bounding_box()["height"] >= 11
    watched.check()


@pytest.mark.slow
def test_a_slider_answers_quickly(open_widgets) -> None:
    watched = open_widgets(BiasVariance(n=60, fits=100))
    penalty = "[...document.querySelectorAll('input[type=range]')][1]"
    median = watched.slide_ms(penalty, "-6 + i / 3", turns=15)
    assert median < 150, f"{median:.0f} ms for one move of the penalty with the largest training sets"
    watched.check()
