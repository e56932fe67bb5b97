"""The reliability widget's numbers against PyTorch, and its controls in a real page."""

from __future__ import annotations

import base64
import itertools
import math

import numpy as np
import pytest
import torch
import traitlets
from torch.nn import functional as F

from torchbook.widgets import Reliability


@pytest.fixture(scope="module")
def sharp() -> tuple[torch.Tensor, torch.Tensor]:
    """Logits three times too large, in double precision as the browser gets them, and labels."""
    torch.manual_seed(0)
    z = 2 * torch.randn(400, 6, dtype=torch.float64)
    labels = torch.distributions.Categorical(logits=z).sample()
    z = 3 * z
    return (z - z.amax(dim=1, keepdim=True)).half().double(), labels


def by_torch(p: torch.Tensor, right: torch.Tensor, edges: torch.Tensor) -> tuple[float, float, float]:
    """ECE, MCE and floor by a loop over the bins (lower, upper]."""
    ece = mce = floor = 0.0
    for low, high in itertools.pairwise(edges):
        inside = (p > low) & (p <= high)
        n = inside.sum().item()
        if n:
            gap = abs(right[inside].double().mean() - p[inside].mean()).item()
            spread = (p * (1 - p))[inside].mean().item()
            ece, mce = ece + n / len(p) * gap, max(mce, gap)
            floor += n / len(p) * math.sqrt(2 / math.pi * spread / n)
    return ece, mce, floor


# ---- Traits.


def test_logits_and_labels_survive_the_trip(sharp) -> None:
    z, labels = sharp
    one = Reliability({"a": (z + 7, labels)}).sets[0]
    back = np.frombuffer(base64.b64decode(one["logits"]), dtype="<f2").reshape(400, 6)
    assert torch.equal(torch.from_numpy(back.astype(np.float64)), z), "a constant per row changes nothing"
    assert list(base64.b64decode(one["labels"])) == labels.tolist()


Z, Y = torch.zeros(30, 3), torch.zeros(30, dtype=torch.int64)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"models": {}}, "models must hold 1 to 4 pairs"),
        ({"models": {"a": Z}}, "'a' must be a pair"),
        ({"models": {"a": (Z.long(), Y)}}, "floating-point tensor"),
        ({"models": {"a": (Z[:19], Y[:19])}}, "20 to 2000 rows"),
        ({"models": {"a": (Z[:, :1], Y)}}, "2 to 100 classes"),
        ({"models": {"a": (torch.zeros(1500, 30), Y)}}, "at most 40,000 logits"),
        ({"models": {"a": (Z.log(), Y)}}, "not finite"),
        ({"models": {"a": (Z, Y[:29])}}, "30 whole numbers"),
        ({"models": {"a": (Z, Y.float())}}, "30 whole numbers"),
        ({"models": {"a": (Z, Y + 3)}}, r"must lie in 0\.\.2"),
        ({"temperature": 0}, "temperature must be a number from 0.1 to 10"),
        ({"bins": 1}, "bins must be a whole number from 2 to 50"),
        ({"mass": "log"}, "mass must be one of width, mass"),
        ({"truth": "false"}, "truth must be one of true, drawn"),
        ({"answers": 31}, "answers must be a whole number from 20 to 30"),
        ({"seed": 0.5}, "seed must be a whole number"),
    ],
)
def test_bad_arguments_say_what_is_wrong(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Reliability(**({"models": {"a": (Z, Y)}} | arguments))


def test_a_trait_refuses_what_an_argument_does() -> None:
    widget = Reliability({"a": (Z, Y)})
    for name, value in (("temperature", 11.0), ("bins", 51), ("answers", 5), ("chosen", "b")):
        with pytest.raises(traitlets.TraitError, match=name):
            setattr(widget, name, value)


# ---- The maths, in the browser.


@pytest.mark.slow
@pytest.mark.parametrize("mass", ["width", "mass"])
def test_nll_and_errors_are_those_of_pytorch(js, sharp, mass: str) -> None:
    z, labels = sharp
    one = Reliability({"a": sharp}).sets[0]
    for temperature in (0.1, 0.7, 1.0, 3.0, 10.0):
        p, guess = (z / temperature).softmax(dim=1).max(dim=1)
        for count in (2, 10, 15, 50):
            case = [one, temperature, count, mass]
            got = js(Reliability._esm, "(one => measure(one.rows, one.labels, ...arg.slice(1)))(unpack(arg[0]))", case)
            inner = torch.arange(1, count)
            rank = (inner * len(p)) // count - 1
            middle = p.sort().values[rank] if mass == "mass" else inner.double() / count
            edges = torch.cat([torch.zeros(1), middle, torch.ones(1)]).double()
            # A confidence on an edge must not depend on the last digit: take the browser's own confidences.
            own = js(Reliability._esm, "(one => answersAt(one.rows, one.labels, arg[1]))(unpack(arg[0]))", case)
            assert own["p"] == pytest.approx(p.tolist(), rel=1e-9)
            assert own["right"] == (guess == labels).tolist()
            p_own = torch.tensor(own["p"], dtype=torch.float64)
            if mass == "mass":
                edges[1:-1] = p_own.sort().values[rank]
            wanted = by_torch(p_own, guess == labels, edges)
            assert [got["ece"], got["mce"], got["floor"]] == pytest.approx(wanted, abs=1e-9), (temperature, count)
            assert got["nll"] == pytest.approx(F.cross_entropy(z / temperature, labels).item(), rel=1e-9)
            assert sum(bin["count"] for bin in got["table"]) == len(z)


@pytest.mark.slow
def test_a_value_on_an_edge_goes_to_the_bin_below(js) -> None:
    for count in (2, 5, 10):
        edges = torch.arange(count + 1, dtype=torch.float64) / count
        values = [*edges[1:].tolist(), 1e-9, 0.3, 0.6, 0.999]
        wanted = torch.bucketize(torch.tensor(values, dtype=torch.float64), edges[1:-1]).tolist()
        assert js(Reliability._esm, f"arg.map((v) => binOf(v, equalWidth({count})))", values) == wanted
    ties = [0.5] * 10 + [0.9] * 2
    table = js(Reliability._esm, "bins(arg, arg.map(() => true), equalMass(arg, 4))", ties)
    assert [bin["count"] for bin in table if bin["count"]] == [10, 2]


@pytest.mark.slow
def test_the_fitted_temperature_is_that_of_lbfgs(js, sharp) -> None:
    z, labels = sharp
    log_t = torch.zeros((), dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS([log_t], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        solver.zero_grad()
        loss = F.cross_entropy(z / log_t.exp(), labels)
        loss.backward()
        return loss

    solver.step(closure)
    got = js(Reliability._esm, "fitTemperature(...arg)", [z.tolist(), labels.tolist()])
    assert got == pytest.approx(log_t.exp().item(), rel=1e-4)
    easy = js(Reliability._esm, "fitTemperature(...arg)", [z.tolist(), z.argmax(dim=1).tolist()])
    assert easy == pytest.approx(0.1, rel=1e-6), "all are right: there is no minimum, only the end of the range"


@pytest.mark.slow
def test_drawn_labels_follow_the_softmax(js, sharp) -> None:
    row = sharp[0][0].tolist()
    drawn = js(Reliability._esm, "drawLabels(Array(20000).fill(arg), 3)", row)
    share = torch.bincount(torch.tensor(drawn), minlength=6) / 20_000
    assert torch.allclose(share.double(), torch.tensor(row).double().softmax(0), atol=0.015)
    assert js(Reliability._esm, "drawLabels(Array(50).fill(arg), 3)", row) == drawn[:50]


# ---- In the page.


@pytest.mark.slow
def test_keyboard_and_controls_change_the_result(open_widgets, sharp) -> None:
    z, labels = sharp
    watched = open_widgets(Reliability({"sharp": sharp, "shy": (z / 10, labels)}))
    page, readout = watched.page, watched.page.locator(".tb-readout")
    p, guess = z.softmax(dim=1).max(dim=1)
    edges = torch.arange(16).double() / 15
    ece, mce, _ = by_torch(p, guess == labels, edges)
    assert f"ECE {100 * ece:.1f} %" in readout.text_content()
    assert f"MCE {100 * mce:.1f} %" in readout.text_content()
    assert ": too sure." in readout.text_content()
    page.get_by_role("button", name="Fit the temperature").click()
    assert "within what chance does to a perfect model" in readout.text_content()
    fitted = float(readout.text_content().split("T = ")[1].split(":")[0])
    assert 2.4 < fitted < 3.6
    page.get_by_role("slider", name="temperature").press("ArrowRight")
    assert not readout.text_content().startswith(f"T = {fitted:g}:")
    page.get_by_role("slider", name="bins").fill("40")
    page.get_by_label("bins of equal").select_option("mass")
    assert "With 40 bins of equal mass" in readout.text_content()
    page.get_by_role("slider", name="answers").fill("50")
    assert "of 50 answers" in readout.text_content()
    page.get_by_label("model", exact=True).select_option("shy")
    page.get_by_role("slider", name="temperature").fill("0")  # the slider holds log10 T
    assert "not sure enough" in readout.text_content()
    again = page.get_by_role("button", name="Draw other labels")
    assert again.is_disabled()
    page.get_by_label("labels", exact=True).select_option("drawn")
    before = readout.text_content()
    again.click()
    assert readout.text_content() != before
    watched.check()


@pytest.mark.slow
@pytest.mark.parametrize("touch", [False, True])
def test_bins_answer_to_keys_and_pointer_and_the_curves_to_a_drag(open_widgets, sharp, touch: bool) -> None:
    z, labels = sharp
    watched = open_widgets(Reliability({"a": sharp}, bins=10), touch=touch)
    page = watched.page
    diagram, note = page.get_by_role("slider", name="bin", exact=True), page.locator(".tb-re-note")
    p, guess = z.softmax(dim=1).max(dim=1)
    inside = p > 0.9
    diagram.press("End")
    share = (guess == labels)[inside].double().mean().item()
    assert note.text_content().startswith(f"Bin 10 of 10, (0.900, 1.000]: {inside.sum()} answers")
    assert f"right {100 * share:.1f} %" in note.text_content()
    diagram.press("ArrowLeft")
    assert note.text_content().startswith("Bin 9 of 10")
    assert diagram.get_attribute("aria-valuenow") == "9"
    box = diagram.bounding_box()
    place = {"x": box["width"] * 0.6, "y": box["height"] / 2}
    diagram.tap(position=place) if touch else diagram.click(position=place)
    assert "Bin 6 of 10" in note.text_content() or "Bin 5 of 10" in note.text_content()
    if not touch:
        curve = page.locator(".tb-re-curves svg.tb-plot").nth(1)
        curve.scroll_into_view_if_needed()
        area = curve.bounding_box()
        page.mouse.move(area["x"] + area["width"] * 0.5, area["y"] + 30)
        page.mouse.down()
        page.mouse.move(area["x"] + area["width"] * 0.8, area["y"] + 30)
        page.mouse.up()
        reached = float(page.locator(".tb-readout").text_content().split("T = ")[1].split(":")[0])
        assert 2.5 < reached < 5.5
    watched.check()


@pytest.mark.slow
@pytest.mark.parametrize(("theme", "width"), [("light", 360), ("dark", 900)])
def test_it_fits_and_its_controls_are_large_enough(open_widgets, sharp, theme: str, width: int) -> None:
    watched = open_widgets(Reliability({"one with a rather long name": sharp}, truth="drawn"), theme=theme, width=width)
    page = watched.page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert watched.sticking_out() == 0
    assert watched.too_low(".tb button, .tb select, .tb input[type=range]") == 0
    watched.check()


@pytest.mark.slow
def test_a_slider_answers_within_a_frame_or_two(open_widgets) -> None:
    torch.manual_seed(1)
    models = {"many": (torch.randn(2000, 20), torch.randint(20, (2000,)))}
    watched = open_widgets(Reliability(models))
    for index, value in ((0, "-0.5 + i / 20"), (1, "5 + i")):
        median = watched.slide_ms(f"document.querySelectorAll('.tb-controls input')[{index}]", value, turns=15)
        assert median < 100, f"{median:.0f} ms for one move of slider {index}"
    watched.check()
