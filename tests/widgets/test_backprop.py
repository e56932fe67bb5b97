"""Backprop's parser, its two walks and its finite differences against torch, and the widget in a real page."""

from __future__ import annotations

import itertools
import math
import random

import pytest
import torch
from traitlets import TraitError

from torchbook.widgets import Backprop
from torchbook.widgets.backprop import EDGE, FUNCTIONS, MOST_INPUTS, MOST_NODES, PRESETS, inputs_of

PROGRAMS = [
    *(expression for expression, _ in PRESETS.values()),
    "x*x",
    "-x^2 + (2 - x)^3 / 4 - y / x / 2",
    "2^-1 * x ** 2 - -y",
    "a = x*x; b = exp(-a/2)*sin(3*x) + y; (b - 2*tanh(a*y))^2 / (1 + b*b)",
    "s = sigmoid(w1*x1 + w2*x2 + b); (1 - s) * log(s) - sqrt(s + 1.5) + 1e-1 * cos(s)",
    "k = 2 * 3; p = relu(x) - relu(-x); k * p * p",
]
VALUES = (-1.7, -0.3, 0.45, 2.1)


def torch_value(expression: str, inputs: dict[str, float]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The output by Python's own parser and torch's functions, and the inputs as leaves."""
    leaves = {name: torch.tensor(value, dtype=torch.float64, requires_grad=True) for name, value in inputs.items()}
    scope = {name: getattr(torch, name) for name in FUNCTIONS} | leaves
    output = None
    for piece in expression.replace("^", "**").split(";"):
        name, _, text = piece.rpartition("=")
        output = scope[name.strip() or "out"] = eval(text.strip(), {}, scope)
    return output, leaves


def grid(expression: str) -> list[dict[str, float]]:
    """Inputs at which every program has finite values."""
    names, rng = inputs_of(expression), random.Random(1)
    points = list(itertools.product(VALUES, repeat=len(names)))
    return [dict(zip(names, point, strict=True)) for point in rng.sample(points, min(12, len(points)))]


# ---- Traits.


def test_the_presets_fill_in_their_inputs() -> None:
    for preset, (expression, inputs) in PRESETS.items():
        widget = Backprop(preset=preset)
        assert widget.expression == expression
        assert widget.inputs == inputs
        assert list(inputs) == inputs_of(expression)
        assert all(-EDGE <= value <= EDGE for value in inputs.values())
    assert Backprop("x * y", inputs={"y": 2}).inputs == {"x": 1.0, "y": 2.0}
    assert Backprop("x * y").by == "x"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"preset": "cube"}, "there are shared input"),
        ({"expression": ""}, "must be text such as"),
        ({"expression": " ; "}, "no statement"),
        ({"expression": "x *"}, "cannot read 'x \\*'"),
        ({"expression": "x ** y"}, "exponent must be a number"),
        ({"expression": "max(x)"}, "no function max of one number; there are sin"),
        ({"expression": "sin(x, y)"}, "no function sin of one number"),
        ({"expression": "x % 2"}, "use names, numbers"),
        ({"expression": "x = x + 1"}, "x is used or defined already"),
        ({"expression": "long1 * 2"}, "'long1' cannot be a name"),
        ({"expression": "sin = x * 2"}, "'sin' cannot be a name"),
        ({"expression": "y = x; y * y"}, "y is a second name for an input"),
        ({"expression": "3 * 4"}, "must compute something from an input"),
        ({"expression": "x * 2; x"}, "must compute something from an input"),
        ({"expression": "a+b+c+d+e+g+h"}, f"has 7 inputs; use at most {MOST_INPUTS}"),
        ({"expression": "+".join("x" * (MOST_NODES + 1))}, f"more than {MOST_NODES} nodes"),
        ({"expression": "x*" * 100 + "x"}, "letters"),
        ({"inputs": {"y": 1.0}}, "no input named 'y': the inputs are x"),
        ({"inputs": {"x": 5}}, "input x must be a number in -4..4"),
        ({"inputs": {"x": math.nan}}, "input x must be a number"),
        ({"direction": "up"}, "direction must be reverse or forward"),
        ({"by": "z"}, "by must be an input"),
        ({"step": -1}, "step must be a whole number"),
    ],
)
def test_bad_arguments_say_what_is_wrong(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(TraitError, match=message):
        Backprop(**arguments)


# ---- The maths, in the browser.


@pytest.mark.slow
@pytest.mark.parametrize("expression", PROGRAMS)
def test_values_and_both_modes_are_those_of_torch(js, expression: str) -> None:
    points = grid(expression)
    got = js(
        Backprop._esm,
        """arg.points.map((inputs) => {
            const graph = parse(arg.expression);
            const { values, slopes } = evaluate(graph, inputs);
            const names = graph.map((node) => node.op ? "" : node.name);
            const back = pullBack(graph, slopes);
            return Object.keys(inputs).map((name) => [values.at(-1), back[names.indexOf(name)],
                pushForward(graph, slopes, name).at(-1), differences(graph, inputs)[name]]);
        })""",
        {"expression": expression, "points": points},
    )
    checked = 0
    for inputs, rows in zip(points, got, strict=True):
        output, leaves = torch_value(expression, inputs)
        if not torch.isfinite(output):
            continue
        gradient = torch.autograd.grad(output, list(leaves.values()))
        for slope, (value, reverse, forward, difference) in zip(gradient, rows, strict=True):
            assert value == pytest.approx(output.item(), rel=1e-12, abs=1e-12)
            assert reverse == pytest.approx(slope.item(), rel=1e-10, abs=1e-12), inputs
            assert forward == pytest.approx(slope.item(), rel=1e-10, abs=1e-12), inputs
            assert difference == pytest.approx(slope.item(), rel=1e-5, abs=1e-6), inputs
            checked += 1
    assert checked >= 4


@pytest.mark.slow
def test_every_local_derivative_is_that_of_autograd(js) -> None:
    for u, v in itertools.product((0.3, 1.9), (-0.8, 2.5)):
        got = js(Backprop._esm, "Object.entries(OPERATIONS).map(([op, { slopes }]) => [op, slopes(...arg)])", [u, v])
        for op, slopes in got:
            a, b = (torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (u, v))
            binary = {"+": a + b, "-": a - b, "*": a * b, "/": a / b, "^": a ** b.detach(), "neg": -a}
            output = binary[op] if op in binary else getattr(torch, op)(a)
            wanted = torch.autograd.grad(output, [a, b], allow_unused=True)
            for slope, true in zip(slopes, wanted, strict=False):
                assert slope == pytest.approx(0 if true is None else true.item(), rel=1e-12), op
    assert js(Backprop._esm, "Object.keys(OPERATIONS).filter((op) => /^[a-z]+$/.test(op) && op !== 'neg')") == list(
        FUNCTIONS
    )


@pytest.mark.slow
def test_presets_and_limits_are_the_same_on_both_sides(js) -> None:
    assert js(Backprop._esm, "PRESETS") == {name: list(preset) for name, preset in PRESETS.items()}
    for expression in ("+".join("x" * (MOST_NODES + 2)), "a+b+c+d+e+g+h", "x ** y", "x *", "(x", "y = x; y*y", "3*4",
                       "x*2; x", "x = x*2", "max(x)", "x % 2", "x 2", "", "sin = x*x"):  # fmt: skip
        message = js(
            Backprop._esm, "(() => { try { parse(arg); } catch (error) { return error.message; } })()", expression
        )
        assert message, expression
        with pytest.raises(TraitError):
            inputs_of(expression)


@pytest.mark.slow
def test_shared_names_are_one_node_and_paths_are_counted(js) -> None:
    graph = js(Backprop._esm, "parse('y = sin(x); z = x * y; cos(z)').map(({ name, op }) => [name, op])")
    assert graph == [["x", ""], ["y", "sin"], ["z", "*"], ["f", "cos"]]
    for depth in range(1, 9):
        names = ["x", *[f"a{i}" for i in range(depth)]]
        text = "; ".join(f"{new} = {old} + {old}" for old, new in itertools.pairwise(names))
        got = js(
            Backprop._esm,
            "[pullBack(parse(arg), evaluate(parse(arg), { x: 1 }).slopes)[0], arrows(parse(arg)).length]",
            text,
        )
        assert got == [2**depth, 2 * depth]


@pytest.mark.slow
def test_the_bug_keeps_one_path_and_the_walk_stops_where_it_is(js) -> None:
    x = 1.3
    call = "stateAt(parse(arg.text), arg.inputs, arg.options)"
    text, inputs = PRESETS["shared input"]
    options = {"direction": "reverse", "by": "x", "accumulate": False, "step": 99}
    wrong = js(Backprop._esm, call, {"text": text, "inputs": inputs, "options": options})["grads"][0]
    z = x * math.sin(x)
    assert wrong == pytest.approx(-math.sin(z) * x * math.cos(x), rel=1e-12), "the path through y alone"
    options |= {"accumulate": True, "step": 6}
    state = js(Backprop._esm, call, {"text": text, "inputs": inputs, "options": options})
    assert state["grads"][0] == pytest.approx(-math.sin(z) * math.sin(x), rel=1e-12), "the other path has not arrived"
    assert (state["multiplications"], state["done"], state["total"]) == (3, 6, 7)
    options |= {"step": 2}
    state = js(Backprop._esm, call, {"text": text, "inputs": inputs, "options": options})
    assert state["grads"] == [None] * 4
    assert state["values"][3] is None
    options |= {"direction": "forward", "step": 3}
    state = js(Backprop._esm, call, {"text": text, "inputs": inputs, "options": options})
    assert (state["multiplications"], state["total"]) == (4, 3)


@pytest.mark.slow
def test_no_two_nodes_share_a_place_and_arrows_point_one_way(js) -> None:
    for expression in PROGRAMS:
        got = js(
            Backprop._esm,
            "(({ places, routes, layers, widest }) => ({ places, routes: [...routes.values()], layers, widest }))"
            "(layout(parse(arg)))",
            expression,
        )
        places = [tuple(place) for place in got["places"]]
        assert len(set(places)) == len(places), expression
        for route in got["routes"]:
            assert [layer for layer, _ in route] == list(range(route[0][0], route[-1][0] + 1)), expression
            assert not {tuple(place) for place in route[1:-1]} & set(places), "an arrow runs through a node"
        assert all(abs(rank) <= (got["widest"] - 1) / 2 for _, rank in places)


# ---- In the page.


@pytest.mark.slow
def test_the_keyboard_steps_through_and_the_line_says_each_product(open_widgets) -> None:
    watched = open_widgets(Backprop(preset="shared input"))
    page, readout = watched.page, watched.page.locator(".tb-readout")
    assert readout.text_content().startswith("7 steps. Inputs: x = 1.3.")
    page.get_by_role("button", name="Next step").focus()
    page.keyboard.press("Enter")
    assert readout.text_content() == "Step 1 of 7, forward: y = sin(x) = 0.9636."
    for _ in range(6):
        page.keyboard.press("Enter")
    assert "back from y, adjoint −1.235: to x by cos x: (−1.235) · 0.2675 = −0.3303." in readout.text_content()
    assert "Done: ∂w/∂x = −1.245; 4 multiplications. Finite differences agree." in readout.text_content()
    page.keyboard.press("Enter")
    assert page.get_by_role("button", name="Next step").get_attribute("aria-disabled") == "true"
    page.get_by_label("add up").uncheck()
    assert "Finite differences disagree: ∂w/∂x = −1.245." in readout.text_content()
    page.get_by_label("add up").check()
    page.get_by_role("slider", name="input x").press("ArrowRight")
    output, leaves = torch_value(PRESETS["shared input"][0], {"x": 1.35})
    (slope,) = torch.autograd.grad(output, [leaves["x"]])
    assert f"∂w/∂x = {slope.item():.4g};".replace("-", "−") in readout.text_content()
    page.get_by_role("button", name="One step back").press("Space")
    assert readout.text_content().startswith("Step 6 of 7, back from z")
    watched.check()


@pytest.mark.slow
@pytest.mark.parametrize("touch", [False, True])
def test_pointer_presets_and_directions(open_widgets, touch: bool) -> None:
    watched = open_widgets(Backprop(), touch=touch)
    page, readout = watched.page, watched.page.locator(".tb-readout")
    page.get_by_label("program").select_option("neuron and its loss")
    end = page.get_by_role("button", name="To the end")
    end.tap() if touch else end.click()
    gap = 1 / (1 + math.exp(0.5)) - 1  # sigma(z) - 1 at z = -0.5
    assert f"∂f/∂b = {gap:.4g};".replace("-", "−") in readout.text_content()
    assert f"adj {gap:.4g}".replace("-", "−") in page.locator("[data-node=z] .grad").text_content()
    page.get_by_label("direction").select_option("forward: from w")
    assert not page.get_by_label("add up").is_enabled()
    end.tap() if touch else end.click()
    assert (
        f"Done: ∂f/∂w = {2 * gap:.4g}; 7 multiplications, and 3 such runs".replace("-", "−") in readout.text_content()
    )
    page.get_by_label("program").select_option("many paths")
    assert page.get_by_label("direction").input_value() == "forward:x"
    watched.check()


@pytest.mark.slow
def test_a_typed_expression_is_drawn_or_says_why_not(open_widgets) -> None:
    watched = open_widgets(Backprop())
    page, readout = watched.page, watched.page.locator(".tb-readout")
    field = page.get_by_label("expression")
    field.fill("u * u +")
    assert page.get_by_role("alert").text_content() == "Not drawn: “u * u +” ends too early."
    assert field.get_attribute("aria-invalid") == "true"
    assert page.locator(".tb-bp-node").count() == 4, "the last good graph stays"
    field.fill("u * u + log(w)")
    assert page.get_by_role("alert").text_content() == ""
    assert page.get_by_label("program").input_value() == ""
    assert page.locator(".tb-bp-node").count() == 5
    page.get_by_role("button", name="To the end").click()
    assert "∂f/∂u = 2, ∂f/∂w = 1; 5 multiplications. Finite differences agree." in readout.text_content()
    page.get_by_role("slider", name="input w").fill("-1")
    assert "no finite number here" in readout.text_content()
    watched.check()


@pytest.mark.slow
@pytest.mark.parametrize(("theme", "width"), [("light", 360), ("dark", 360), ("light", 900), ("dark", 900)])
def test_it_fits_and_its_numbers_stay_inside(open_widgets, theme: str, width: int) -> None:
    for preset in ("two layers", "many paths"):
        watched = open_widgets(Backprop(preset=preset, step=99), theme=theme, width=width)
        page = watched.page
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        box = page.locator(".tb").bounding_box()
        outside = page.locator(".tb-bp-graph text").evaluate_all(
            "(nodes, right) => nodes.filter((node) => node.textContent && node.getBoundingClientRect().right > right)"
            ".map((node) => node.textContent)",
            box["x"] + box["width"],
        )
        assert outside == []
        small = page.locator(".tb button, .tb select, .tb input[type=text], .tb input[type=range]").evaluate_all(
            "nodes => nodes.filter((node) => node.getBoundingClientRect().height < 24).length"
        )
        assert small == 0
        watched.check()
