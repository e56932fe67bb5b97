"""The bandit widget's gradients and runs against PyTorch on the same draws, and its controls in a real page."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
import traitlets
from torch.distributions import Categorical

from torchbook.widgets import Bandit

MEANS = [0.2, 0.5, 0.9, 0.4]
SETTINGS = {"means": MEANS, "lr": 0.3, "baseline": True, "bonus": 0.0, "noise": 0.3}


def torch_run(settings: dict[str, object], draws: list[list[float]]) -> dict[str, list]:
    """REINFORCE by autograd and torch.optim.SGD, on draws (u, z) that the browser made."""
    means = torch.tensor(settings["means"], dtype=torch.float64)
    theta = torch.nn.Parameter(torch.zeros_like(means))
    optimizer = torch.optim.SGD([theta], lr=settings["lr"])
    out: dict[str, list] = {"theta": [theta.tolist()], "arm": [], "reward": [], "b": [], "regret": [0.0]}
    out |= {"exact": [], "sampled": []}
    for u, z in draws:
        policy = Categorical(logits=theta)
        edges = policy.probs.detach().cumsum(0)
        arm = torch.searchsorted(edges, torch.tensor(u, dtype=torch.float64), right=True).clamp_max(len(means) - 1)
        reward = (means[arm] + settings["bonus"] + settings["noise"] * z).item()
        b = (sum(out["reward"]) / len(out["reward"]) if out["reward"] else reward) if settings["baseline"] else 0.0
        (exact,) = torch.autograd.grad(policy.probs @ means, theta)
        optimizer.zero_grad()
        (-(reward - b) * Categorical(logits=theta).log_prob(arm)).backward()
        out["sampled"].append((-theta.grad).tolist())
        optimizer.step()
        out["exact"].append(exact.tolist())
        for name, value in (("theta", theta.tolist()), ("arm", arm.item()), ("reward", reward), ("b", b)):
            out[name].append(value)
        out["regret"].append(out["regret"][-1] + (means.max() - means[arm]).item())
    return out


# ---- Traits.


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"means": (1.0,)}, "2 to 5 numbers, one per arm"),
        ({"means": "ab"}, "2 to 5 numbers, one per arm"),
        ({"means": (0, 0, 0, 0, 0, 0)}, "2 to 5 numbers, one per arm"),
        ({"means": (0.5, 2.5)}, "the mean of arm B must be a number from -2 to 2"),
        ({"means": (math.nan, 0)}, "the mean of arm A must be a number"),
        ({"lr": 0}, "lr must be a number from 0.01 to 5"),
        ({"lr": "1"}, "lr must be a number"),
        ({"baseline": 1}, "baseline must be True or False, got 1"),
        ({"bonus": 11}, "bonus must be a number from -10 to 10"),
        ({"noise": -0.1}, "noise must be a number from 0 to 2"),
        ({"steps": 9}, "steps must be a whole number from 10 to 1000"),
        ({"steps": 50.0}, "steps must be a whole number"),
        ({"seed": -1}, "seed must be a whole number"),
    ],
)
def test_bad_arguments_say_what_is_wrong(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Bandit(**arguments)


def test_traits_refuse_what_the_arguments_refuse() -> None:
    widget = Bandit(steps=50)
    assert (widget.step, widget.steps, widget.means) == (50, 50, MEANS)
    for name, value in (("means", [0.0]), ("means", [0.0, 3.0]), ("lr", 0.0), ("steps", 5)):
        with pytest.raises(traitlets.TraitError):
            setattr(widget, name, value)


# ---- The maths, in the browser.


@pytest.mark.slow
def test_the_gradients_are_those_of_autograd(js) -> None:
    for theta, means in itertools.product(([0.0, 0.0], [3.0, -1.5], [800.0, 799.0]), ([0.2, 0.9], [-2.0, 2.0])):
        logits = torch.tensor(theta, dtype=torch.float64, requires_grad=True)
        p = logits.softmax(0)
        assert js(Bandit._esm, "softmax(arg)", theta) == pytest.approx(p.tolist(), abs=1e-12)
        (exact,) = torch.autograd.grad(p @ torch.tensor(means, dtype=torch.float64), logits)
        assert js(Bandit._esm, "exactGradient(...arg)", [theta, means]) == pytest.approx(exact.tolist(), abs=1e-12)
        for arm, reward, b in itertools.product((0, 1), (-1.3, 2.0), (0.0, 0.7)):
            logits.grad = None
            ((reward - b) * Categorical(logits=logits).log_prob(torch.tensor(arm))).backward()
            got = js(Bandit._esm, "sampledGradient(...arg)", [theta, arm, reward, b])
            assert got == pytest.approx(logits.grad.tolist(), abs=1e-12), (theta, arm, reward, b)


@pytest.mark.slow
def test_arms_are_drawn_with_their_probabilities(js) -> None:
    p = [0.1, 0.0, 0.6, 0.3]
    draws = js(Bandit._esm, "drawsOf(3, 20000)")
    counts = torch.bincount(torch.tensor(js(Bandit._esm, "arg[1].map(([u]) => choose(arg[0], u))", [p, draws])))
    assert counts[1] == 0
    for k in (0, 2, 3):
        assert abs(counts[k] / 20_000 - p[k]) < 5 * (p[k] * (1 - p[k]) / 20_000) ** 0.5
    assert js(Bandit._esm, "[0, 0.0999, 0.1, 0.6999, 0.7, 0.9999999, 1].map((u) => choose(arg, u))", p) == [
        0,
        0,
        2,
        2,
        3,
        3,
        3,
    ]
    z = torch.tensor(draws, dtype=torch.float64)[:, 1]
    assert abs(z.mean()) < 0.04
    assert z.std().item() == pytest.approx(1, rel=0.03)
    assert js(Bandit._esm, "drawsOf(3, 5)") == draws[:5] != js(Bandit._esm, "drawsOf(4, 5)")


@pytest.mark.slow
@pytest.mark.parametrize("baseline", [True, False])
@pytest.mark.parametrize(("lr", "bonus"), [(0.3, 0.0), (2.0, 0.0), (0.1, -4.0)])
def test_a_run_is_pytorch_s_on_the_same_draws(js, baseline: bool, lr: float, bonus: float) -> None:
    settings = SETTINGS | {"baseline": baseline, "lr": lr, "bonus": bonus}
    draws = js(Bandit._esm, "drawsOf(7, 60)")
    got, wanted = js(Bandit._esm, "run(...arg)", [settings, draws]), torch_run(settings, draws)
    assert got["arm"] == wanted["arm"]
    for name in ("theta", "exact", "sampled"):
        ours, theirs = (torch.tensor(one[name], dtype=torch.float64) for one in (got, wanted))
        assert torch.allclose(ours, theirs, atol=1e-8), name
    for name in ("reward", "b", "regret"):
        assert got[name] == pytest.approx(wanted[name], abs=1e-9), name


@pytest.mark.slow
def test_exact_ascent_is_that_of_torch_and_a_bonus_is_invisible_with_a_baseline(js) -> None:
    theta = torch.nn.Parameter(torch.zeros(4, dtype=torch.float64))
    optimizer = torch.optim.SGD([theta], lr=0.3, maximize=True)
    for _ in range(50):
        optimizer.zero_grad()
        (theta.softmax(0) @ torch.tensor(MEANS, dtype=torch.float64)).backward()
        optimizer.step()
    assert js(Bandit._esm, "ascent(arg, 50)", SETTINGS)[-1] == pytest.approx(theta.tolist(), abs=1e-10)
    ends = [js(Bandit._esm, "run(arg, drawsOf(2, 200)).theta.at(-1)", SETTINGS | {"bonus": b}) for b in (0.0, 8.0)]
    assert ends[0] == pytest.approx(ends[1], abs=1e-9)


@pytest.mark.slow
def test_the_mean_regret_is_that_of_single_runs(js) -> None:
    seeds = "[1, 2, 3].map((seed) => drawsOf(seed, 80))"
    for baseline in (True, False):
        settings = SETTINGS | {"baseline": baseline, "bonus": 1.0}
        crowd = js(Bandit._esm, f"meanRegret(arg, {seeds}, 80)", settings)
        runs = js(Bandit._esm, f"{seeds}.map((draws) => run(arg, draws))", settings)
        mean = torch.tensor([one["regret"] for one in runs], dtype=torch.float64).mean(0)
        assert crowd["regret"] == pytest.approx(mean.tolist(), abs=1e-9)
        likeliest = [max(range(4), key=one["theta"][-1].__getitem__) for one in runs]
        assert crowd["found"] == likeliest.count(2)
    many = "Array.from({ length: 40 }, (_, i) => drawsOf(1000 + i, 300))"
    found = [
        js(Bandit._esm, f"meanRegret(arg, {many}, 300).found", SETTINGS | change)
        for change in ({}, {"bonus": 5.0}, {"bonus": 5.0, "baseline": False}, {"lr": 2.0})
    ]
    assert found[0] == found[1] > 35, "with a baseline 5 more per reward change nothing"
    assert found[2] < 20, "without one most runs lock on to an arm of chance"
    assert found[3] < 40, "a large rate misses the best arm in some runs"


# ---- In the page.


@pytest.mark.slow
def test_keyboard_and_controls_change_the_result(open_widgets, js) -> None:
    watched = open_widgets(Bandit(MEANS, steps=60, noise=0.0))
    page = watched.page
    readout = page.locator(".tb-readout")
    wanted = torch_run(SETTINGS | {"noise": 0.0}, js(Bandit._esm, "drawsOf(0, 60)"))
    assert readout.text_content().startswith(f"Step 60: drew arm {'ABCD'[wanted['arm'][-1]]}, reward ")
    p = torch.tensor(wanted["theta"][-1]).softmax(0)[2]
    assert f"Best arm C: probability {100 * p:.0f}%" in readout.text_content()
    page.get_by_role("slider", name="step").press("Home")
    assert readout.text_content().startswith("Before the first step. Best arm C: probability 25%, regret so far 0.")
    mean = page.get_by_role("slider", name="mean of arm A")
    mean.press("End")
    assert mean.get_attribute("aria-valuenow") == "2"
    assert "Best arm A" in readout.text_content()
    mean.press("ArrowDown")
    assert mean.get_attribute("aria-valuenow") == "1.9"
    page.get_by_label("baseline").uncheck()
    assert "Without a baseline, " in readout.text_content()
    page.get_by_role("slider", name="add to all rewards").press("ArrowRight")
    assert "Without a baseline and 0.5 more per reward" in readout.text_content()
    page.get_by_role("slider", name="step").press("ArrowRight")
    assert readout.text_content().startswith("Step 1: drew arm ")
    before = readout.text_content()
    for _ in range(6):
        page.get_by_role("button", name="New draws").click()
    assert page.locator(".tb-ba-tag").count() == 4
    page.get_by_role("slider", name="step").press("End")
    assert readout.text_content() != before
    watched.check()


@pytest.mark.slow
@pytest.mark.parametrize("touch", [False, True])
def test_the_pointer_drags_a_mean_and_goes_to_a_step(open_widgets, touch: bool) -> None:
    watched = open_widgets(Bandit(MEANS, steps=100), touch=touch)
    page = watched.page
    plots = page.locator(".tb-split svg.tb-plot")
    field = plots.nth(2).locator(".tb-ba-field").bounding_box()
    x, y = field["x"] + 0.5 * field["width"], field["y"] + 0.5 * field["height"]
    page.touchscreen.tap(x, y) if touch else page.mouse.click(x, y)
    assert page.locator(".tb-readout").text_content().startswith("Step 50: ")
    assert page.get_by_role("slider", name="step").input_value() == "50"
    handle = page.get_by_role("slider", name="mean of arm B")
    box = handle.bounding_box()
    if not touch:
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] - 30)
        page.mouse.up()
        assert 1.0 < float(handle.get_attribute("aria-valuenow")) <= 2.0
        assert "Best arm B" in page.locator(".tb-readout").text_content()
    page.get_by_role("button", name="Play").click()
    page.wait_for_function("document.querySelector('.tb-readout').textContent.startsWith('Step 100')", timeout=15_000)
    watched.check()


@pytest.mark.slow
@pytest.mark.parametrize(("theme", "width"), [("light", 360), ("dark", 900)])
def test_it_fits_and_its_controls_are_large_enough(open_widgets, theme: str, width: int) -> None:
    watched = open_widgets(Bandit((0, 1, 0.5, -1, 2), baseline=False, bonus=-3.0), theme=theme, width=width)
    page = watched.page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert watched.sticking_out() == 0
    assert watched.too_low(".tb button, .tb .hit, .tb input[type=range]") == 0
    watched.check()


@pytest.mark.slow
def test_a_slider_answers_within_a_frame_or_two(open_widgets) -> None:
    watched = open_widgets(Bandit(steps=300))
    median = watched.slide_ms("document.querySelector('.tb-controls input[type=range]')", "Math.log10(0.1 + i / 12)")
    assert median < 60, f"{median:.0f} ms for one move of the learning rate"
    watched.check()
