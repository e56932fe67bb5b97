"""DecisionBoundary against PyTorch's cross-entropy, autograd and SGD, and in the hands of a reader."""

from __future__ import annotations

import random
import re

import pytest
import torch
import traitlets
from torch.nn import functional as F

from torchbook.widgets import DecisionBoundary
from torchbook.widgets.decision_boundary import FEATURES, MOST_POINTS, PRESETS

FOUR = [(-1, -1, 0), (1, 1, 1), (-1.5, 0.5, 0), (0.5, -1, 1)]


# ---- The traits.


def test_points_are_taken_and_classes_counted():
    widget = DecisionBoundary([(-1, 0, 0), (1, 0.5, 2)])
    assert widget.points == [[-1.0, 0.0, 0], [1.0, 0.5, 2]]
    assert (widget.classes, widget.preset) == (3, "")
    assert DecisionBoundary(FOUR, classes=4).classes == 4
    assert DecisionBoundary(preset="three clouds").classes == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"preset": "moons"}, "no preset named 'moons': there are overlapping clouds"),
        ({"points": "0 0 0"}, "points must be a list"),
        ({"points": [(0, 0)]}, r"point 0 must be \(x, y, class\)"),
        ({"points": [(0, 0, 0), (0, 3.1, 0)]}, r"y of point 1 must be a number in -3\.\.3, got 3.1"),
        ({"points": [(float("nan"), 0, 0)]}, "x of point 0"),
        ({"points": [(0, 0, 4)]}, r"class of point 0 must be a whole number in 0\.\.3, got 4"),
        ({"points": [(0, 0, 0.5)]}, "class of point 0 must be a whole number"),
        ({"points": [(0, 0, 2)], "classes": 2}, r"class of point 0 must be a whole number in 0\.\.1, got 2"),
        ({"points": FOUR, "classes": 5}, r"classes must be a whole number in 2\.\.4"),
        ({"points": [(0, 0, 0)] * (MOST_POINTS + 1)}, "at most 150 points, got 151"),
        ({"lr": 0.0}, r"lr must be a number in 0.01\.\.100"),
        ({"l2": 1.5}, r"l2 must be a number in 0\.\.1"),
        ({"features": "cubic"}, "features must be linear or quadratic"),
    ],
)
def test_bad_input_is_named(arguments, message):
    with pytest.raises(traitlets.TraitError, match=message):
        DecisionBoundary(**arguments)


def test_traits_are_checked_later_too():
    widget = DecisionBoundary(FOUR)
    with pytest.raises(traitlets.TraitError, match="x of point 0"):
        widget.points = [[9, 0, 0]]
    with pytest.raises(traitlets.TraitError, match="rows of 3"):
        widget.weights = [[1.0, 2.0]]
    widget.set_state({"points": [[0, 0, 1]], "classes": 3, "weights": [[0.0, 1.0, 2.0]] * 3, "lr": 30.0})
    assert (widget.points, widget.classes, widget.lr) == ([[0.0, 0.0, 1]], 3, 30.0)


# ---- The maths of the real file, against PyTorch.


def phi(points: torch.Tensor, kind: str) -> torch.Tensor:
    x, y = points[:, 0], points[:, 1]
    more = [x * x, x * y, y * y] if kind == "quadratic" else []
    return torch.stack([x, y, *more, torch.ones_like(x)], dim=1)


def torch_loss(weights: torch.Tensor, state: dict) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(cross-entropy, loss, logits) with PyTorch's own functions; logistic for one row of weights."""
    points = torch.tensor(state["points"], dtype=torch.float64)
    label = points[:, 2].long()
    logits = phi(points, state["features"]) @ weights.T
    if len(weights) == 1:
        entropy = F.binary_cross_entropy_with_logits(logits[:, 0], label.double())
        logits = torch.cat([torch.zeros_like(logits), logits], dim=1)
    else:
        entropy = F.cross_entropy(logits, label)
    return entropy, entropy + state["l2"] / 2 * weights[:, :-1].square().sum(), logits


def random_states() -> list[dict]:
    rng, states = random.Random(0), []
    for classes in (2, 3, 4):
        for kind, width in FEATURES.items():
            for l2 in (0.0, 0.01, 0.3):
                rows = 1 if classes == 2 else classes
                points = [
                    [rng.uniform(-3, 3), rng.uniform(-3, 3), rng.randrange(classes)]
                    for _ in range(rng.choice([1, 9, 40]))
                ]
                scale = rng.choice([0.1, 1, 100])  # large logits too
                weights = [[rng.gauss(0, scale) for _ in range(width)] for _ in range(rows)]
                states.append({"points": points, "classes": classes, "features": kind, "l2": l2, "weights": weights})
    return states


@pytest.mark.slow
def test_loss_gradient_and_confusion_equal_pytorch(js):
    states = random_states()
    expression = "arg.map((state) => ({...lossAndGradient(state), counts: confusion(state)}))"
    for state, mine in zip(states, js(DecisionBoundary._esm, expression, states), strict=True):
        weights = torch.tensor(state["weights"], dtype=torch.float64, requires_grad=True)
        entropy, loss, logits = torch_loss(weights, state)
        loss.backward()
        assert mine["entropy"] == pytest.approx(entropy.item(), rel=1e-10, abs=1e-12)
        assert mine["loss"] == pytest.approx(loss.item(), rel=1e-10, abs=1e-12)
        assert torch.allclose(torch.tensor(mine["gradient"], dtype=torch.float64), weights.grad, atol=1e-10)
        classes, label = state["classes"], torch.tensor([int(p[2]) for p in state["points"]])
        cells = torch.bincount(label * classes + logits.argmax(1), minlength=classes**2)
        assert torch.tensor(mine["counts"]).flatten().tolist() == cells.tolist()


@pytest.mark.slow
def test_training_equals_sgd(js):
    for state in random_states():
        if abs(state["weights"][0][0]) > 10:
            continue
        expression = "[...Array(50)].reduce((weights) => descend({...arg, weights}, 0.2), arg.weights)"
        mine = js(DecisionBoundary._esm, expression, state)
        weights = torch.tensor(state["weights"], dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.SGD([weights], lr=0.2)
        for _ in range(50):
            optimizer.zero_grad()
            torch_loss(weights, state)[1].backward()
            optimizer.step()
        assert torch.allclose(torch.tensor(mine, dtype=torch.float64), weights.detach(), atol=1e-8)


@pytest.mark.slow
def test_rates_name_zero_over_zero(js):
    counts = [[5, 0, 1], [2, 0, 1], [0, 0, 0]]
    mine = js(DecisionBoundary._esm, "rates(arg)", counts)
    assert (mine["right"], mine["total"]) == (5, 9)
    assert mine["accuracy"] == pytest.approx(5 / 9)
    assert mine["recall"] == [pytest.approx(5 / 6), 0, None]
    assert mine["precision"] == [pytest.approx(5 / 7), None, 0]


@pytest.mark.slow
def test_contour_of_a_line_is_the_line(js):
    segments = js(DecisionBoundary._esm, "contour((x, y) => 2 * x - y + 0.37)")
    assert len(segments) > 60
    for a, b, c, d in segments:
        assert abs(2 * a - b + 0.37) < 1e-9 > abs(2 * c - d + 0.37)


@pytest.mark.slow
def test_presets_are_what_both_halves_say(js):
    found = js(DecisionBoundary._esm, "Object.keys(PRESETS).map((name) => [name, presetPoints(name)])")
    assert tuple(name for name, _ in found) == PRESETS
    for name, points in found:
        assert DecisionBoundary(points).classes == DecisionBoundary(preset=name).classes, name


@pytest.mark.slow
def test_the_unbalanced_preset_sets_the_trap(js):
    """Trained to the end, accuracy is high and most of the rare class is missed."""
    counts = js(DecisionBoundary._esm, """(() => {
        const state = {points: presetPoints("unbalanced"), classes: 2, l2: 0, features: "linear", weights: [[0, 0, 0]]};
        for (let i = 0; i < 3000; i += 1) state.weights = descend(state, 1);
        return rates(confusion(state)); })()""")  # fmt: skip
    assert counts["accuracy"] >= 0.94
    assert counts["recall"][1] <= 0.34


# ---- In the page.


def loss_in(text: str) -> float:
    return float(re.search(r"loss ([\d.]+)", text)[1])


@pytest.mark.slow
def test_steps_lower_the_loss_and_reach_python_s_weights(open_widgets):
    watched = open_widgets(DecisionBoundary(FOUR, lr=0.5, l2=0.1))
    page = watched.page
    readout = page.locator(".tb-readout")
    before = readout.text_content()
    assert before.startswith("Step 0: loss")
    step = page.get_by_role("button", name="One step of gradient descent")
    for _ in range(5):
        step.click()
    after = readout.text_content()
    assert after.startswith("Step 5: loss")
    assert loss_in(after) < loss_in(before)
    page.get_by_role("button", name="Back to the start").click()
    assert readout.text_content() == before
    page.get_by_role("button", name="Start from other weights").click()
    assert readout.text_content() != before
    watched.check()


@pytest.mark.slow
def test_training_ends_at_the_minimum_that_pytorch_finds(open_widgets):
    points = [*FOUR, (0.5, 0.5, 0), (-0.5, -0.5, 1)]
    watched = open_widgets(DecisionBoundary(points, lr=2.0, l2=0.05))
    page = watched.page
    page.get_by_role("button", name="▶ Train").click()
    page.wait_for_function("document.querySelector('.tb-readout').textContent.includes('minimum')", timeout=8000)
    weights = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
    state = {"points": points, "features": "linear", "l2": 0.05}
    optimizer = torch.optim.LBFGS([weights], max_iter=200, tolerance_grad=1e-10)

    def closure():
        optimizer.zero_grad()
        loss = torch_loss(weights, state)[1]
        loss.backward()
        return loss

    optimizer.step(closure)
    assert loss_in(page.locator(".tb-readout").text_content()) == pytest.approx(
        torch_loss(weights, state)[0].item(), abs=2e-3
    )
    assert page.get_by_role("button", name="▶ Train").is_visible()
    watched.check()


@pytest.mark.slow
def test_keyboard_moves_recolors_and_removes(open_widgets):
    watched = open_widgets(DecisionBoundary(FOUR))
    page = watched.page
    points = page.locator(".tb-db-point")
    points.nth(0).press("ArrowRight")
    assert points.nth(0).get_attribute("aria-label").startswith("point 1 of 4, class 0, at −0.9, −1")
    points.nth(0).press("Enter")
    assert "class 1" in points.nth(0).get_attribute("aria-label").split(":")[0]
    points.nth(0).press("PageDown")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')").startswith("point 2 of 4")
    page.keyboard.press("Delete")
    assert points.count() == 3
    page.get_by_role("button", name="Add a point").click()
    assert points.count() == 4
    assert points.nth(3).get_attribute("aria-label").startswith("point 4 of 4, class 0, at 0, 0")
    watched.check()


@pytest.mark.slow
@pytest.mark.parametrize("touch", [False, True])
def test_pointer_adds_drags_and_recolors(open_widgets, touch):
    watched = open_widgets(DecisionBoundary(FOUR, classes=3), touch=touch)
    page = watched.page
    points = page.locator(".tb-db-point")
    box = page.locator(".tb-db-stage").bounding_box()
    page.locator(".tb-db-brush").nth(2).click()
    x, y = box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.9
    page.touchscreen.tap(x, y) if touch else page.mouse.click(x, y)
    assert points.count() == 5
    assert points.nth(4).get_attribute("aria-label").startswith("point 5 of 5, class 2, at 0, −2.4")
    page.touchscreen.tap(x, y) if touch else page.mouse.click(x, y)
    assert points.nth(4).get_attribute("aria-label").startswith("point 5 of 5, class 0")
    if not touch:
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + 30, y)
        page.mouse.move(box["x"] + box["width"] * 0.75, box["y"] + box["height"] * 0.5)
        page.mouse.up()
        assert points.nth(4).get_attribute("aria-label").startswith("point 5 of 5, class 0, at 1.5, 0")
    watched.check()


@pytest.mark.slow
def test_presets_features_and_classes_start_anew(open_widgets):
    watched = open_widgets(DecisionBoundary())
    page = watched.page
    for name in PRESETS:
        page.get_by_label("Points", exact=True).select_option(name)
        page.get_by_role("button", name="One step of gradient descent").click()
        assert page.locator(".tb-readout").text_content().startswith("Step 1:")
        page.get_by_label("features").select_option("quadratic")
        assert page.locator(".tb-readout").text_content().startswith("Step 0:")
    page.get_by_label("classes").select_option("4")
    assert page.locator(".tb-db-table tbody tr").count() == 5
    assert page.locator(".tb-db-brush").count() == 4
    page.get_by_label("Points", exact=True).select_option("")
    assert "No points yet" in page.locator(".tb-readout").text_content()
    watched.check()


@pytest.mark.slow
@pytest.mark.parametrize(("theme", "width"), [("light", 360), ("dark", 900)])
def test_it_fits_and_its_controls_are_large_enough(open_widgets, theme, width):
    watched = open_widgets(DecisionBoundary([*FOUR, (2, 2, 3)]), theme=theme, width=width)
    page = watched.page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    small = page.locator(".tb button, .tb select, .tb .hit, .tb .tb-db-brush, .tb input[type=range]").evaluate_all(
        "nodes => nodes.filter((node) => node.getBoundingClientRect().height < 24).length"
    )
    assert small == 0
    assert min(box["height"] for text in page.locator(".tb-db-region").all() if (box := text.bounding_box())) >= 11
    red = page.evaluate("""[...document.querySelector('canvas').getContext('2d').getImageData(0, 0, 48, 48).data]""")
    assert len(set(red)) > 20, "the plane is not painted"
    watched.check()


@pytest.mark.slow
def test_a_slider_answers_within_a_frame(open_widgets):
    rng = random.Random(0)
    points = [(rng.uniform(-3, 3), rng.uniform(-3, 3), i % 4) for i in range(MOST_POINTS)]
    watched = open_widgets(DecisionBoundary(points, features="quadratic"))
    median = watched.slide_ms("document.querySelectorAll('.tb input[type=range]')[1]", "-3 + i / 10", turns=15)
    assert median < 50, f"{median:.0f} ms for one move with four classes and {MOST_POINTS} points"
    watched.check()
