"""The normalization block's maths against torch.nn's layers, and the block in a real page."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import nn

from torchbook.widgets import NormAxes
from torchbook.widgets.norm_axes import EDGE, NORMS, PRESETS

SHAPES = [s for s in itertools.product((1, 3), (1, 3, 4), (1, 2), (1, 2)) if math.prod(s) > 1]


def layer_of(norm: str, shape: list[int], groups: int) -> nn.Module:
    """PyTorch's own layer, in double precision."""
    _, channels, *grid = shape
    return {
        "batch": lambda: nn.BatchNorm2d(channels),
        "layer": lambda: nn.LayerNorm([channels, *grid]),
        "channels": lambda: nn.LayerNorm(channels),
        "instance": lambda: nn.InstanceNorm2d(channels),
        "group": lambda: nn.GroupNorm(groups, channels),
    }[norm]().double()


def torch_output(norm: str, x: torch.Tensor, groups: int = 1, layer: nn.Module | None = None) -> torch.Tensor:
    layer = layer or layer_of(norm, list(x.shape), groups)
    if norm == "channels":
        return layer(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    return layer(x)


def draw(shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    return 1 + 2 * torch.randn(*shape, generator=g, dtype=torch.float64)


def cases():
    for norm, shape in itertools.product(NORMS, SHAPES):
        for groups in [g for g in (1, 2, 3, 4) if shape[1] % g == 0] if norm == "group" else [1]:
            yield norm, shape, groups


def state(norm: str, x: torch.Tensor, groups: int = 1, mode: str = "train", running: dict | None = None) -> dict:
    return {"norm": norm, "shape": list(x.shape), "groups": groups, "mode": mode, "values": x.flatten().tolist(),
            "running": running, "picked": 0}  # fmt: skip


# ---- Traits.


def test_the_defaults_and_values_of_any_form() -> None:
    widget = NormAxes()
    assert (widget.norm, widget.shape, widget.groups, widget.values) == ("batch", [3, 4, 2, 2], 2, [])
    assert widget.running == {"mean": [0.0] * 4, "variance": [1.0] * 4}
    block = torch.arange(8.0).reshape(2, 2, 1, 2)
    for values in (block, block.tolist(), block.flatten().tolist()):
        assert NormAxes(shape=(2, 2, 1, 2), values=values).values == list(range(8))
    assert NormAxes(shape=(2, 3, 1, 1)).groups == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"norm": "weight"}, "norm must be one of batch, layer"),
        ({"preset": "dark"}, "preset must be one of random, bright"),
        ({"mode": "test"}, "mode must be one of train, eval"),
        ({"share": "all"}, "share must be one of statistics"),
        ({"shape": (3, 4, 2)}, "four sizes"),
        ({"shape": (5, 4, 2, 2)}, "shape's N must be a whole number from 1 to 4"),
        ({"shape": (3, 4, 2, 2.0)}, "shape's W must be a whole number"),
        ({"groups": 3}, "groups must divide the 4 channels"),
        ({"groups": 5}, "groups must be a whole number from 1 to 4"),
        ({"values": [1, 2, 3]}, "values must be 48 numbers"),
        ({"shape": (1, 1, 1, 2), "values": [1, 10]}, "numbers from -9 to 9, got 10"),
        ({"shape": (1, 1, 1, 2), "values": [1, math.nan]}, "numbers from -9 to 9"),
        ({"shape": (1, 1, 1, 2), "values": [1, True]}, "numbers from -9 to 9"),
        ({"picked": 48}, "picked must be a whole number from 0 to 47"),
        ({"seed": -1}, "seed must be a whole number"),
    ],
)
def test_bad_arguments_say_what_is_wrong(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NormAxes(**arguments)


# ---- The maths, in the browser.


@pytest.mark.slow
def test_outputs_are_those_of_torch_and_refusals_too(js) -> None:
    every = [(norm, draw(shape, i), groups) for i, (norm, shape, groups) in enumerate(cases())]
    got = js(
        NormAxes._esm,
        "arg.map((s) => [refusal(s.norm, s.shape, s.groups, s.mode), normalize(s).output])",
        [state(*case) for case in every],
    )
    refused = 0
    for (norm, x, groups), (why, output) in zip(every, got, strict=True):
        if why:
            with pytest.raises(ValueError, match="Expected more than 1"):
                torch_output(norm, x, groups)
            refused += 1
        else:
            wanted = torch_output(norm, x, groups).flatten().tolist()
            assert output == pytest.approx(wanted, rel=1e-9, abs=1e-9), (norm, x.shape, groups)
    assert 3 <= refused < len(every) / 2


@pytest.mark.slow
def test_members_are_the_entries_that_the_gradient_reaches(js) -> None:
    for norm, shape, groups in cases():
        if shape[0] != 3 or shape[2] == 1:
            continue
        x = draw(shape).requires_grad_()
        members = js(NormAxes._esm, "normalize(arg).members", state(norm, x.detach(), groups))
        output = torch_output(norm, x, groups).flatten()
        for i in range(0, len(output), 5):
            (slope,) = torch.autograd.grad(output[i], x, retain_graph=True)
            reached = (slope.flatten().abs() > 1e-9).nonzero()[:, 0].tolist()
            assert members[i] == reached or len(members[i]) <= 2, (norm, shape, i)  # of 1 or 2, the output is fixed


@pytest.mark.slow
def test_counts_are_those_of_torch(js) -> None:
    for norm, shape, groups in cases():
        layer = layer_of(norm, list(shape), groups)
        got = js(NormAxes._esm, "counts(...arg)", [norm, list(shape), groups])
        assert got["parameters"] == sum(p.numel() for p in layer.parameters()), (norm, shape)
        buffers = [b for name, b in layer.named_buffers() if name != "num_batches_tracked"]
        assert got["remembered"] == sum(b.numel() for b in buffers)
        assert got["pooled"] * got["statistics"] == math.prod(shape)


@pytest.mark.slow
def test_parameters_are_shared_where_torch_shares_them(js) -> None:
    for norm, shape, groups in cases():
        layer = layer_of(norm, list(shape), groups)
        ids = js(NormAxes._esm, "parameterIds(...arg)", [norm, list(shape)])
        if ids is None:
            assert not list(layer.parameters())
            continue
        with torch.no_grad():  # a shift of its own number shows which one each entry gets
            layer.weight.zero_()
            layer.bias.copy_(torch.arange(layer.bias.numel()).view_as(layer.bias))
        layer.eval()
        x = draw(shape)
        if norm != "group" or x.numel() > groups:
            assert torch_output(norm, x, groups, layer).flatten().round().int().tolist() == ids, (norm, shape)


@pytest.mark.slow
def test_running_averages_and_eval_mode_are_those_of_torch(js) -> None:
    for shape in [s for s in SHAPES if s[0] * s[2] * s[3] > 1]:
        layer, batches = nn.BatchNorm2d(shape[1]).double(), [draw(shape, i) for i in range(4)]
        for batch in batches:
            layer(batch)
        running = js(
            NormAxes._esm,
            "arg.batches.reduce((r, b) => remember(r, b, arg.shape), forget(arg.shape[1]))",
            {"shape": list(shape), "batches": [batch.flatten().tolist() for batch in batches]},
        )
        assert running["mean"] == pytest.approx(layer.running_mean.tolist(), rel=1e-10)
        assert running["variance"] == pytest.approx(layer.running_var.tolist(), rel=1e-10)
        got = js(NormAxes._esm, "normalize(arg)", state("batch", batches[0], mode="eval", running=running))
        wanted = layer.eval()(batches[0]).flatten().tolist()
        assert got["output"] == pytest.approx(wanted, rel=1e-9)
        assert got["members"] == [[i] for i in range(len(wanted))]


@pytest.mark.slow
def test_drawn_values_are_seeded_in_range_and_as_their_names_say(js) -> None:
    shape = [3, 4, 2, 2]
    drawn = {
        p: torch.tensor([js(NormAxes._esm, "drawValues(...arg)", [s, p, shape]) for s in range(40)]) for p in PRESETS
    }
    for values in drawn.values():
        assert values.abs().max() <= EDGE
        assert torch.allclose(values * 10, (values * 10).round(), atol=1e-4)
    blocks = {p: values.view(40, *shape) for p, values in drawn.items()}
    assert torch.equal(blocks["bright"][:, 0], blocks["random"][:, 0])
    lift = (blocks["bright"] - blocks["random"])[:, 1]
    assert lift.mean() > 4.5
    assert blocks["loud"][:, :, 1].std() > 2.5 * blocks["random"][:, :, 1].std()
    assert not torch.equal(drawn["random"][0], drawn["random"][1])


# ---- In the page.


@pytest.mark.slow
def test_keyboard_moves_the_pick_and_the_line_says_the_result(open_widgets) -> None:
    x = draw((2, 2, 2, 2)).mul(10).round().div(10)
    watched = open_widgets(NormAxes("batch", shape=(2, 2, 2, 2), values=x, picked=0))
    page, readout = watched.page, watched.page.locator(".tb-readout")

    def said(norm: str, i: int, values: torch.Tensor = x) -> str:
        return f"= {torch_output(norm, values).flatten()[i].item():.3g}.".replace("-", "−")

    assert "its group has 8 of the 16 entries" in readout.text_content()
    assert said("batch", 0) in readout.text_content()
    page.get_by_role("button", name="image 0, channel 0, row 0, column 0").press("ArrowDown")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert "image 0, channel 1, row 1, column 0" in readout.text_content()
    assert said("batch", 6) in readout.text_content()
    page.get_by_label("layer", exact=True).select_option("layer")
    assert said("layer", 6) in readout.text_content()
    assert page.locator(".tb-na-entry.in").count() == 8
    page.get_by_role("slider", name="Picked value").press("ArrowRight")
    moved = x.clone().flatten()
    moved[6] += 0.1
    assert said("layer", 6, moved.view_as(x)) in readout.text_content()
    page.get_by_label("letters show").select_option("parameters")
    assert page.locator(".tb-na-entry.in").count() == 2, "one entry per image shares its scale and shift"
    watched.check()


@pytest.mark.slow
@pytest.mark.parametrize("touch", [False, True])
def test_the_pointer_picks_and_drags(open_widgets, touch: bool) -> None:
    watched = open_widgets(NormAxes("instance", shape=(2, 2, 2, 2)), touch=touch)
    page = watched.page
    entry = page.get_by_role("button", name="image 1, channel 0, row 1, column 1")
    entry.tap() if touch else entry.click()
    assert entry.get_attribute("aria-pressed") == "true"
    assert page.locator(".tb-na-entry.in").count() == 4
    box = page.locator(".tb-na-lines").bounding_box()
    x, y = box["x"] + 0.75 * box["width"], box["y"] + 0.25 * box["height"]
    page.touchscreen.tap(x, y) if touch else page.mouse.click(x, y)
    value = float(page.get_by_role("slider", name="Picked value").get_attribute("aria-valuenow"))
    assert value == pytest.approx(0.25 * box["width"] / (box["width"] / 2 - 20) * EDGE, abs=0.15)
    assert entry.inner_text().startswith(f"{value:.1f}")
    low = box["y"] + 0.85 * box["height"]
    page.touchscreen.tap(x - 60, low) if touch else page.mouse.click(x - 60, low)
    assert float(page.get_by_role("slider", name="Picked value").get_attribute("aria-valuenow")) == value
    watched.check()


@pytest.mark.slow
def test_training_fills_the_memory_and_eval_mode_uses_it(open_widgets) -> None:
    watched = open_widgets(NormAxes("batch"))
    page, readout = watched.page, watched.page.locator(".tb-readout")
    page.get_by_label("mode").select_option("eval")
    assert "only its channel's running averages; mean 0, variance 1" in readout.text_content()
    assert page.locator(".tb-na-entry.in").count() == 1
    assert page.get_by_role("button", name="Train 1 step").is_disabled()
    page.get_by_label("mode").select_option("train")
    page.get_by_role("button", name="Train 20 steps").click()
    page.get_by_role("button", name="Train 20 steps").click()
    assert "channel 0, 40 steps" in page.locator(".tb-na-facts").inner_text()
    page.get_by_label("mode").select_option("eval")
    mean = float(readout.text_content().split("; mean ")[1].split(",")[0])
    assert mean == pytest.approx(1, abs=0.3), "what the channel's values were drawn around"
    page.get_by_role("button", name="Forget").click()
    assert "mean 0, variance 1" in readout.text_content()
    watched.check()


@pytest.mark.slow
def test_sizes_groups_and_refusals(open_widgets) -> None:
    watched = open_widgets(NormAxes("group", output=True))
    page, readout = watched.page, watched.page.locator(".tb-readout")
    page.get_by_label("groups").select_option("4")
    assert "its group has 4 of the 48" in readout.text_content()
    page.get_by_label("images N").fill("1")
    page.get_by_label("grid H × W").select_option("1 × 1")
    assert page.locator(".tb-na-entry").count() == 4
    assert "raises ValueError" in readout.text_content()
    assert page.locator(".tb-na-entry").first.inner_text().startswith("–")
    page.get_by_label("layer", exact=True).select_option("layer")
    assert "its group has 4 of the 4" in readout.text_content()
    page.get_by_label("channels C").fill("1")
    assert "it is alone in its group" in readout.text_content()
    assert "= 0." in readout.text_content()
    page.get_by_label("layer", exact=True).select_option("batch")
    assert "raises ValueError" in readout.text_content()
    assert page.get_by_role("button", name="Train 1 step").is_disabled()
    watched.check()


@pytest.mark.slow
@pytest.mark.parametrize(("theme", "width"), [("light", 360), ("dark", 900)])
def test_it_fits_and_its_controls_are_large_enough(open_widgets, theme: str, width: int) -> None:
    watched = open_widgets(NormAxes("group", shape=(4, 4, 2, 2), preset="loud"), theme=theme, width=width)
    page = watched.page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    small = page.locator(".tb button, .tb select, .tb .hit, .tb label.tb-check, .tb input[type=range]").evaluate_all(
        "nodes => nodes.filter((node) => { const box = node.getBoundingClientRect();"
        " return box.height > 0 && (box.height < 24 || box.width < 24); }).length"
    )
    assert small == 0
    cut = page.locator(".tb-na-entry span").evaluate_all(
        "nodes => nodes.filter((n) => n.scrollWidth > n.clientWidth + 1).length"
    )
    assert cut == 0
    watched.check()
