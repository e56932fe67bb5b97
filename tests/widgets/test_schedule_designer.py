"""The schedule designer's curves and its code, stepped by PyTorch itself over a large grid."""

from __future__ import annotations

import itertools
import math
import random
import warnings

import pytest
import torch
from torch.optim import lr_scheduler
from torch.optim.optimizer import register_optimizer_step_pre_hook

from torchbook.widgets import ScheduleDesigner
from torchbook.widgets.schedule_designer import KINDS

OWN = {
    "constant": [{}],
    "step": [{"step_size": s, "gamma": g} for s in (1, 7, 40) for g in (0.1, 0.9, 1.0)],
    "exponential": [{"gamma": g} for g in (0.5, 0.97, 0.99991, 1.0)],
    "linear": [{}],
    "cosine": [{}],
    "restarts": [{"T_0": t, "T_mult": m} for t in (1, 5, 30) for m in (1, 2, 3)],
    "inverse-sqrt": [{"timescale": t} for t in (1, 12.5, 400)],
    "one-cycle": [
        {"pct_start": p, "div_factor": d, "final_div_factor": f}
        for p in (0.2, 0.3, 0.55, 0.95)
        for d in (1, 25)
        for f in (1, 1e4)
    ],
}


def grid() -> list[dict[str, object]]:
    """Every kind with its own parameters, crossed with lengths, rates, floors and warm-ups; a sample."""
    cases = []
    for kind, owns in OWN.items():
        lengths = (10, 11, 64, 150)
        common = [{"base_lr": b} for b in (0.1, 3e-4, 1)]
        floors = [{}] if "min_lr" not in KINDS[kind] else [{"min_lr": f} for f in (0, 0.02, 1)]
        warmups = [{}] if "warmup" not in KINDS[kind] else [
            {"warmup": w, "warmup_start": s} for w in (0, 1, 2, 9) for s in (0.01, 1 / 3, 1)]  # fmt: skip
        every = list(itertools.product(lengths, owns, common, floors, warmups))
        for steps, own, base, floor, warmup in random.Random(0).sample(every, min(len(every), 64)):
            low = {name: part * base["base_lr"] for name, part in floor.items()}
            cases.append({"steps": steps, "schedule": {"kind": kind, **own, **base, **low, **warmup}})
    return cases


GRID = grid()


def reference(schedule: dict[str, object], steps: int) -> list[float]:
    """The rate of each update, from schedulers built here, without the widget's code."""
    p = {"min_lr": 0.0, "warmup": 0, **schedule}
    base, rest = p["base_lr"], steps - p["warmup"]
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=base)
    floor = p["min_lr"] / base
    make = {
        "constant": lambda: lr_scheduler.LambdaLR(optimizer, lambda i: 1.0),
        "step": lambda: lr_scheduler.StepLR(optimizer, p["step_size"], p["gamma"]),
        "exponential": lambda: lr_scheduler.ExponentialLR(optimizer, p["gamma"]),
        "linear": lambda: lr_scheduler.LambdaLR(optimizer, lambda i: 1 - i / rest * (1 - floor)),
        "cosine": lambda: lr_scheduler.CosineAnnealingLR(optimizer, rest, p["min_lr"]),
        "restarts": lambda: lr_scheduler.CosineAnnealingWarmRestarts(
            optimizer, p["T_0"], p["T_mult"], p["min_lr"]),
        "inverse-sqrt": lambda: lr_scheduler.LambdaLR(optimizer, lambda i: (1 + i / p["timescale"]) ** -0.5),
        "one-cycle": lambda: lr_scheduler.OneCycleLR(
            optimizer, base, steps, pct_start=p["pct_start"], div_factor=p["div_factor"],
            final_div_factor=p["final_div_factor"], cycle_momentum=False),
    }  # fmt: skip
    main = make[p["kind"]]()
    rates = [base * (p["warmup_start"] + (1 - p["warmup_start"]) * i / p["warmup"]) for i in range(p["warmup"])]
    floored = p["kind"] in {"step", "exponential", "inverse-sqrt"}
    optimizer.step()  # a scheduler warns when it is stepped before its optimizer
    for _ in range(rest):
        rate = optimizer.param_groups[0]["lr"]
        rates.append(max(rate, p["min_lr"]) if floored else rate)
        main.step()
    return rates


def run(code: str) -> list[float]:
    """The rate at each `optimizer.step()` while the code runs; any warning is an error."""
    rates = []
    hook = register_optimizer_step_pre_hook(lambda optimizer, *_: rates.append(optimizer.param_groups[0]["lr"]))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            exec(code, {"model": torch.nn.Linear(1, 1)})
    finally:
        hook.remove()
    return [float(rate) for rate in rates]


def assert_same(found: list[float], wanted: list[float], case: dict[str, object]) -> None:
    assert len(found) == len(wanted) == case["steps"], case
    worst = max(abs(a - b) for a, b in zip(found, wanted, strict=True))
    assert worst <= 1e-6 * case["schedule"]["base_lr"], (case, worst)


@pytest.mark.slow
def test_curves_equal_pytorch_step_by_step(js) -> None:
    curves = js(ScheduleDesigner._esm, "arg.map((c) => curve(c.schedule, c.steps))", GRID)
    assert len(GRID) > 500
    for case, rates in zip(GRID, curves, strict=True):
        assert_same(rates, reference(**case), case)


@pytest.mark.slow
def test_the_code_shown_gives_the_curve_shown(js) -> None:
    both = "arg.map(({ schedule, steps }) => [torchCode(schedule, steps), curve(schedule, steps)])"
    pairs = js(ScheduleDesigner._esm, both, GRID)
    for case, (code, rates) in zip(GRID, pairs, strict=True):
        assert_same(rates, run(code), case)


@pytest.mark.slow
def test_defaults_of_every_kind_run_and_rate_is_the_curves_entry(js) -> None:
    cases = [{"schedule": {"kind": kind, "base_lr": 0.1, "warmup": w}, "steps": n}
             for kind in KINDS for w in (0, 30, 500) for n in (10, 100)]  # fmt: skip
    found = js(ScheduleDesigner._esm, """arg.map(({ schedule, steps }) => [torchCode(schedule, steps),
        Array.from({ length: steps }, (_, i) => rate(schedule, i, steps))])""", cases)  # fmt: skip
    for case, (code, rates) in zip(cases, found, strict=True):
        assert_same(rates, run(code), case)


@pytest.mark.slow
def test_inverse_square_root_is_the_transformers_rule(js) -> None:
    """Vaswani et al. 2017, equation 3: after w warm-up steps the rate falls as i ** -0.5."""
    rates = js(ScheduleDesigner._esm, "curve(arg, 500)",
               {"kind": "inverse-sqrt", "base_lr": 2.0, "warmup": 80, "timescale": 80})  # fmt: skip
    assert rates[80:] == pytest.approx([2.0 * math.sqrt(80 / i) for i in range(80, 500)])
    assert max(rates) == rates[80] == 2.0


@pytest.mark.slow
def test_python_and_javascript_know_the_same_parameters(js) -> None:
    found = js(ScheduleDesigner._esm, """Object.fromEntries(Object.keys(KINDS).map((kind) =>
        [kind, Object.keys(complete({ kind }, 100))]))""")  # fmt: skip
    assert {kind: {"kind", "base_lr", *names} for kind, names in KINDS.items()} == {
        kind: set(names) for kind, names in found.items()
    }


@pytest.mark.slow
def test_thinning_keeps_jumps_and_summary_is_the_mean(js) -> None:
    case = {"schedule": {"kind": "step", "base_lr": 1, "step_size": 5000, "gamma": 0.1}, "steps": 20000}
    points, numbers = js(ScheduleDesigner._esm, """(() => { const rates = curve(arg.schedule, arg.steps);
        return [thinned(rates), summary(rates)]; })()""", case)  # fmt: skip
    assert len(points) < 1600
    assert points[0][0] == 0
    assert points[-1][0] == 19999
    for (a, high), (b, low) in itertools.pairwise(points):
        assert high == low or b - a <= 27, "a jump became a slope"
    assert numbers == {"mean": pytest.approx(1.111 / 4), "last": pytest.approx(1e-3), "high": 1,
                       "low": pytest.approx(1e-3)}  # fmt: skip


@pytest.mark.slow
def test_another_kind_keeps_what_both_know(js) -> None:
    old = {"kind": "restarts", "base_lr": 0.3, "min_lr": 0.01, "warmup": 5, "color": 2, "T_0": 9}
    one, constant = js(ScheduleDesigner._esm, "[adopt(arg, 'one-cycle'), adopt(arg, 'constant')]", old)
    assert one == {"kind": "one-cycle", "base_lr": 0.3, "color": 2}
    assert constant == {"kind": "constant", "base_lr": 0.3, "color": 2, "warmup": 5}


def test_the_first_picture_overlays_three_schedules() -> None:
    widget = ScheduleDesigner()
    assert [schedule["kind"] for schedule in widget.schedules] == ["cosine", "one-cycle", "step"]
    assert {schedule["color"] for schedule in widget.schedules} == {0, 1, 2}
    assert widget.step == 333


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ({"kind": "cosin"}, "there are constant, step"),
        ({"base_lr": 0.1}, "no schedule of kind None"),
        ({"kind": "cosine", "gamma": 0.1}, "cosine has no parameter 'gamma'"),
        ({"kind": "constant", "min_lr": 0.1}, "constant has no parameter 'min_lr'"),
        ({"kind": "one-cycle", "warmup": 10}, "give pct_start"),
        ({"kind": "cosine", "base_lr": 0}, "base_lr must be above 0"),
        ({"kind": "cosine", "base_lr": math.nan}, "base_lr must be above 0"),
        ({"kind": "cosine", "base_lr": math.inf}, "base_lr must be above 0"),
        ({"kind": "cosine", "base_lr": True}, "base_lr must be above 0"),
        ({"kind": "cosine", "base_lr": "0.1"}, "base_lr must be above 0"),
        ({"kind": "cosine", "min_lr": 0.2}, "min_lr=0.2 exceeds base_lr=0.1"),
        ({"kind": "cosine", "warmup": 1.5}, "warmup must be a whole number"),
        ({"kind": "cosine", "warmup": 100}, "warmup=100 leaves nothing of 100 steps"),
        ({"kind": "cosine", "warmup_start": 0}, "warmup_start must be in"),
        ({"kind": "step", "step_size": 0}, "step_size must be a whole number"),
        ({"kind": "exponential", "gamma": 1.1}, "gamma must be in"),
        ({"kind": "restarts", "T_mult": 1.5}, "T_mult must be a whole number"),
        ({"kind": "one-cycle", "pct_start": 1}, "pct_start must be in"),
        ({"kind": "one-cycle", "pct_start": 0.01}, "less than 2 steps"),
        ({"kind": "one-cycle", "div_factor": 0.5}, "div_factor must be 1 or more"),
        ({"kind": "inverse-sqrt", "timescale": 0}, "timescale must be above 0"),
        ({"kind": "cosine", "color": 6}, "color must be 0 to 5"),
    ],
)
def test_bad_schedules_say_what_is_wrong(schedule: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        ScheduleDesigner([{"kind": "linear"}, schedule], steps=100)
    assert "schedule 1" in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps": 9}, "steps must be"),
        ({"steps": 50.0}, "steps must be"),
        ({"steps": 100, "step": 100}, "the steps are 0 to 99"),
        ({"schedules": []}, "give 1 to 6"),
        ({"schedules": [{"kind": "linear"}] * 7}, "give 1 to 6"),
    ],
)
def test_bad_arguments_say_what_is_wrong(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ScheduleDesigner(**arguments)


def test_colors_that_are_left_out_are_those_that_are_left() -> None:
    widget = ScheduleDesigner([{"kind": "linear"}, {"kind": "cosine", "color": 0}, {"kind": "step"}])
    assert [schedule["color"] for schedule in widget.schedules] == [1, 0, 2]


def test_schedules_set_later_are_checked_too() -> None:
    with pytest.raises(ValueError, match="no parameter 'gamma'"):
        ScheduleDesigner().schedules = [{"kind": "cosine", "gamma": 0.5}]


# ---- In the page.

COSINE = {"kind": "cosine", "base_lr": 0.2, "warmup": 20, "warmup_start": 0.1}


def designer() -> ScheduleDesigner:
    return ScheduleDesigner([COSINE, {"kind": "step", "step_size": 25}], steps=100, step=60)


def wanted(step: int, schedule: dict[str, object] = COSINE) -> str:
    return f"{reference(schedule, 100)[step]:.4g}"


@pytest.mark.slow
def test_keyboard_reads_and_shapes_a_curve(open_widgets) -> None:
    watched = open_widgets(designer())
    page = watched.page
    readout = page.locator(".tb-readout")
    assert readout.text_content().startswith(f"Cosine, warm-up 20: at step 60 of 100 the rate is {wanted(60)}. Mean")
    mean = sum(reference(COSINE, 100)) / 100
    assert f"Mean rate {mean:.4g}, last" in readout.text_content()
    page.get_by_label("read at step").press("ArrowRight")
    assert f"at step 61 of 100 the rate is {wanted(61)}." in readout.text_content()
    assert page.locator(".tb-schedule-list thead").inner_text().split("\t")[1] == "at 61"
    handle = page.get_by_role("slider", name="Peak of the selected curve")
    handle.press("ArrowRight")
    assert f"rate is {wanted(61, COSINE | {'warmup': 21})}." in readout.text_content()
    handle.press("ArrowUp")
    assert "base rate 0.22, reached at step 21" in handle.get_attribute("aria-valuetext")
    assert f"rate is {wanted(61, COSINE | {'warmup': 21, 'base_lr': 0.22})}." in readout.text_content()
    page.get_by_label("warm-up steps").press("Home")
    assert readout.text_content().startswith("Cosine: at step 61")
    watched.check()


@pytest.mark.slow
def test_the_code_in_the_page_runs_for_every_kind_and_follows_the_sliders(open_widgets) -> None:
    watched = open_widgets(designer())
    page = watched.page
    for kind in KINDS:
        page.get_by_label("Schedule", exact=True).select_option(kind)
        for slider in page.locator(".tb-split input[type=range]").all():
            slider.press("ArrowRight")
        rates = run(page.locator(".tb-code").text_content())
        assert len(rates) == 100
        said = page.locator(".tb-readout").text_content()
        assert f"the rate is {rates[60]:.4g}." in said or rates[60] < 1e-3, (kind, said, rates[60])
    watched.check()


@pytest.mark.slow
@pytest.mark.parametrize("touch", [False, True])
def test_the_pointer_reads_the_curves(open_widgets, touch: bool) -> None:
    watched = open_widgets(designer(), touch=touch)
    page = watched.page
    box = page.locator(".tb-plot").bounding_box()
    left, right = 62, box["width"] - 14
    x, y = box["x"] + left + (right - left) * 80 / 100, box["y"] + 200
    if touch:
        page.touchscreen.tap(x, y)
    else:
        page.mouse.move(x, y)
    assert f"at step 80 of 100 the rate is {wanted(80)}." in page.locator(".tb-readout").text_content()
    watched.check()


@pytest.mark.slow
def test_dragging_the_ring_moves_the_peak(open_widgets) -> None:
    watched = open_widgets(designer())
    page = watched.page
    box, ring = (
        page.locator(".tb-plot").bounding_box(),
        page.locator(".tb-schedule-handle .ring").bounding_box(),
    )
    x, y = ring["x"] + ring["width"] / 2, ring["y"] + ring["height"] / 2
    bottom = box["y"] + (320 - 42) / 320 * box["height"]
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 40, y + 10)
    page.mouse.move(x + 20 / 100 * (box["width"] - 76), bottom - (bottom - y) / 2)
    page.mouse.up()
    text = page.locator(".tb-schedule-handle").get_attribute("aria-valuetext")
    assert text == "base rate 0.1, reached at step 40"
    again = page.locator(".tb-schedule-handle .ring").bounding_box()
    assert again["y"] < bottom - 0.8 * (bottom - y), "the axis fits the curves again"
    watched.check()


@pytest.mark.slow
def test_curves_are_added_duplicated_selected_and_removed(open_widgets) -> None:
    watched = open_widgets(designer())
    page = watched.page
    rows, paths = page.locator(".tb-schedule-pick"), page.locator("path.tb-curve")
    add, twin = page.get_by_role("button", name="Add a curve"), page.get_by_role("button", name="Duplicate")
    drop = page.get_by_role("button", name="Remove")
    twin.click()
    assert rows.all_inner_texts() == ["cosine, warm-up 20", "step", "cosine, warm-up 20"]
    add.click()
    assert rows.nth(3).inner_text() == "constant"
    assert rows.nth(3).get_attribute("aria-pressed") == "true"
    looks = {(path.get_attribute("stroke"), path.get_attribute("stroke-dasharray")) for path in paths.all()}
    assert len(looks) == paths.count() == 4
    add.click()
    add.click()
    assert add.is_disabled()
    assert twin.is_disabled()
    rows.nth(1).click()
    assert page.locator(".tb-readout").text_content().startswith("Step: at step 60")
    color = page.locator("path.tb-curve").last.get_attribute("stroke")
    assert color == "var(--tb-c1)", "the selected curve lies on top"
    for _ in range(5):
        drop.click()
    assert drop.is_disabled()
    assert rows.count() == paths.count() == 1
    watched.check()


@pytest.mark.slow
def test_log_axis_and_total_steps(open_widgets) -> None:
    watched = open_widgets(ScheduleDesigner([{"kind": "exponential", "gamma": 0.9}], steps=100, step=50))
    page = watched.page
    page.get_by_label("logarithmic axis").check()
    points = [tuple(map(float, pair.split())) for pair in
              page.locator("path.tb-curve").get_attribute("d")[1:].split("L")]  # fmt: skip
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in itertools.pairwise(points)]
    assert max(slopes) - min(slopes) < 0.01, "an exponential is a straight line on a logarithmic axis"
    page.get_by_label("total steps").press("ArrowRight")
    text = page.locator(".tb-readout").text_content()
    steps = int(text.split(" of ")[1].split(" ")[0])
    assert steps > 100
    assert f"at step {steps // 2} of" in text or f"at step {(steps - 1) // 2} of" in text
    assert f"range({steps})" in page.locator(".tb-code").text_content()
    watched.check()


@pytest.mark.slow
@pytest.mark.parametrize(("theme", "width"), [("light", 360), ("dark", 900)])
def test_it_fits_and_its_controls_are_large_enough(open_widgets, theme: str, width: int) -> None:
    every = [{"kind": kind} for kind in list(KINDS)[2:]]
    watched = open_widgets(ScheduleDesigner(every, steps=20000, log=True), theme=theme, width=width)
    page = watched.page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    hidden = page.locator(".tb-scroll").evaluate("node => node.scrollWidth - node.clientWidth")
    assert hidden <= 0, "the list of curves is cut"
    small = page.locator(".tb button, .tb select, .tb .hit, .tb input[type=range]").evaluate_all(
        "nodes => nodes.filter((node) => node.getBoundingClientRect().height < 24).length"
    )
    assert small == 0
    text = page.locator(".tb-plot text").first.bounding_box()["height"]
    assert text >= 11
    watched.check()


@pytest.mark.slow
def test_a_slider_answers_within_a_frame(open_widgets) -> None:
    every = [{"kind": kind} for kind in list(KINDS)[2:]]
    watched = open_widgets(ScheduleDesigner(every, steps=20000, log=True))
    median = watched.slide_ms(
        "[...document.querySelectorAll('.tb-split input[type=range]')][0]", "-2 + i / 50", turns=31
    )
    assert median < 50, f"{median:.0f} ms for one move with six curves of 20,000 steps"
    watched.check()
