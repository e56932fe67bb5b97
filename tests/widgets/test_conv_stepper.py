"""The convolution stepper's maths against torch.nn.functional, and its controls in a real page."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch.nn import functional as F

from torchbook.widgets import ConvStepper
from torchbook.widgets.conv_stepper import PRESETS, ZERO, preset_kernel

GRID = [
    {"kernel": k, "padding": p, "stride": s, "dilation": d}
    for k, p, s, d in itertools.product((1, 2, 3, 4, 5), (0, 1, 2, 3), (1, 2, 3), (1, 2, 3))
]


def torch_output(image, weight, bias, *, padding, stride, dilation, flip=False) -> torch.Tensor:
    x, w = torch.tensor(image, dtype=torch.float64), torch.tensor(weight, dtype=torch.float64)
    w = w.flip(2, 3) if flip else w
    b = torch.tensor(bias, dtype=torch.float64)
    return F.conv2d(x[None], w, b, padding=padding, stride=stride, dilation=dilation)[0]


# ---- Traits.


def test_arguments_become_traits() -> None:
    widget = ConvStepper(torch.arange(12.0).reshape(3, 4), filters=3, padding=2)
    assert widget.image[0] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    assert widget.image[1] == [[1, 2, 3, 0], [5, 6, 7, 0], [9, 10, 11, 0]], "one step ago, one column to the left"
    assert (len(widget.kernel), len(widget.kernel[0]), widget.bias, widget.channels) == (3, 2, [0, 0, 0], 1)
    motion = ConvStepper(preset="motion")
    assert motion.channels == 2
    assert motion.kernel[0][0][1][1] == 1
    assert motion.kernel[0][1][1][1] == -1
    own = ConvStepper(torch.zeros(2, 5, 5), kernel=torch.ones(3, 2, 4, 4))
    assert (len(own.kernel), len(own.kernel[2][1]), len(own.bias)) == (3, 4, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"preset": "sobel"}, "there are vertical edges, horizontal"),
        ({"image": torch.zeros(2, 2)}, "sides from 3 to 12, got 2 by 2"),
        ({"image": torch.zeros(13, 5)}, "sides from 3 to 12"),
        ({"image": torch.zeros(4, 5, 5)}, "at most 3 channels"),
        ({"image": torch.zeros(5)}, "got 1 dimensions"),
        ({"image": [[1, 2, 3], [4, 5], [6, 7, 8]]}, "all have one length"),
        ({"image": [[math.nan] * 3] * 3}, "image must be a number"),
        ({"image": "zero"}, "nested lists, an array or a tensor"),
        ({"kernel": torch.zeros(2, 3)}, "must be square, got 2 rows and 3 columns"),
        ({"kernel": torch.zeros(6, 6)}, "sides from 1 to 5"),
        ({"kernel": torch.zeros(4, 2, 3, 3)}, "number of filters in kernel must be"),
        ({"kernel": torch.zeros(1, 3, 3, 3)}, "must hold 2 channels per filter"),
        ({"kernel": [[100]]}, "from -99 to 99"),
        ({"channels": 3}, "channels must be a whole number from 1 to 2"),
        ({"filters": 0}, "filters must be a whole number from 1 to 3"),
        ({"padding": 4}, "padding must be a whole number from 0 to 3"),
        ({"stride": 0}, "stride must be a whole number from 1 to 3"),
        ({"dilation": 1.5}, "dilation must be a whole number"),
        ({"flip": 1}, "flip must be True or False"),
    ],
)
def test_bad_arguments_say_what_is_wrong(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ConvStepper(**arguments)


# ---- The maths, in the browser.


@pytest.mark.slow
def test_sizes_are_those_of_torch_by_the_formula_and_by_counting(js) -> None:
    got = js(
        ConvStepper._esm,
        "arg.map((sizes) => [3, 7, 8, 12].map((side) => [outputSize(side, sizes), starts(side, sizes)]))",
        GRID,
    )
    for sizes, row in zip(GRID, got, strict=True):
        for side, (size, starts) in zip((3, 7, 8, 12), row, strict=True):
            span, room = sizes["dilation"] * (sizes["kernel"] - 1) + 1, side + 2 * sizes["padding"]
            if span > room:
                assert size == len(starts) == 0, sizes
                continue
            options = {key: sizes[key] for key in ("padding", "stride", "dilation")}
            out = F.conv1d(torch.zeros(1, 1, side), torch.zeros(1, 1, sizes["kernel"]), **options)
            assert size == len(starts) == out.shape[-1], sizes
            assert starts == [-sizes["padding"] + sizes["stride"] * i for i in range(size)]


@pytest.mark.slow
def test_outputs_are_those_of_conv2d(js) -> None:
    draw = torch.Generator().manual_seed(0)
    tried = 0
    for sizes in GRID[::5]:
        image = torch.randn(2, 7, 9, generator=draw).tolist()
        weight = torch.randn(1, 2, sizes["kernel"], sizes["kernel"], generator=draw).tolist()
        for channels, flip in ((1, False), (2, True)):
            options = {key: sizes[key] for key in ("padding", "stride", "dilation")}
            if sizes["dilation"] * (sizes["kernel"] - 1) + 1 > 7 + 2 * sizes["padding"]:
                continue
            wanted = torch_output(image[:channels], [weight[0][:channels]], [0.5], flip=flip, **options)[0]
            arg = {"image": image, "filter": weight[0], "options": options | {"flip": flip, "channels": channels}}
            got = torch.tensor(js(ConvStepper._esm, "convolve(arg.image, arg.filter, 0.5, arg.options)", arg))
            assert torch.allclose(got.double(), wanted, atol=1e-6), (sizes, channels, flip)
            tried += 1
    assert tried > 40


@pytest.mark.slow
def test_products_say_where_they_come_from(js) -> None:
    options = {"padding": 1, "stride": 2, "dilation": 2, "flip": False, "channels": 1}
    arg = {"image": [ZERO], "filter": [PRESETS["sharpen"]], "options": options}
    got = js(ConvStepper._esm, "products(arg.image, arg.filter, arg.options, 0, 1)", arg)
    assert [(p["row"], p["column"]) for p in got] == [(r, c) for r in (-1, 1, 3) for c in (1, 3, 5)]
    assert [p["inside"] for p in got] == [False] * 3 + [True] * 6
    assert [p["x"] for p in got] == [0, 0, 0, ZERO[1][1], ZERO[1][3], ZERO[1][5], ZERO[3][1], ZERO[3][3], ZERO[3][5]]
    lines = js(ConvStepper._esm, "sumLines(arg, 0, 3)", got)
    assert lines == ["[0]·0 + [0]·(−1) + [0]·0", "0·(−1) + 15·5 + 15·(−1)", "4·0 + 0·(−1) + 8·0"]
    assert js(ConvStepper._esm, "sumLines(arg, -2, 3).at(-1)", got) == "bias −2"


@pytest.mark.slow
def test_presets_are_the_same_in_python_and_in_the_browser(js) -> None:
    for name, channels in itertools.product(PRESETS, (1, 2, 3)):
        got = js(ConvStepper._esm, "presetKernel(arg[0], arg[1])", [name, channels])
        assert got == preset_kernel(name, channels)
        assert js(ConvStepper._esm, "presetOf(arg, arg.length)", got) in (name, "identity" * (channels == 1))
    assert js(ConvStepper._esm, "presetOf([[[1]]], 1)") == ""


@pytest.mark.slow
def test_resizing_keeps_the_middle(js) -> None:
    plane = [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    assert js(ConvStepper._esm, "resize(arg, 1)", plane) == [[5]]
    assert js(ConvStepper._esm, "resize(arg, 5)", plane) == F.pad(torch.tensor(plane), (1, 1, 1, 1)).tolist()
    assert js(ConvStepper._esm, "resize(resize(arg, 4), 3)", plane) == plane


@pytest.mark.slow
def test_the_line_in_python_is_right(js) -> None:
    state = {"image": [ZERO, ZERO], "kernel": [preset_kernel("Laplacian", 2)] * 3, "channels": 2}
    for flip in (False, True):
        options = {"padding": 2, "stride": 3, "dilation": 2, "flip": flip}
        text = js(ConvStepper._esm, "torchLine(arg)", state | options)
        x, w, b = (
            torch.tensor([state["image"]]).double(),
            torch.tensor(state["kernel"]).double(),
            torch.zeros(3).double(),
        )
        out = eval(text, {"F": F, "x": x, "w": w, "b": b})
        wanted = torch_output(state["image"], state["kernel"], [0.0] * 3, **options)
        assert torch.equal(out[0], wanted)
        assert f"# {tuple(out.shape)}" in text
        assert f"w: {tuple(w.shape)}, b: {tuple(b.shape)}" in text


# ---- In the page.


def said(page) -> str:
    return page.locator(".tb-readout").text_content()


@pytest.mark.slow
def test_the_keyboard_walks_and_the_sum_is_that_of_torch(open_widgets) -> None:
    watched = open_widgets(ConvStepper(padding=1))
    page = watched.page
    wanted = torch_output([ZERO], [[PRESETS["vertical edges"]]], [0.0], padding=1, stride=1, dilation=1)[0]
    output = page.get_by_role("slider", name="Output place")
    i = j = 0
    moves = {"ArrowRight": (0, 1), "ArrowDown": (1, 0), "ArrowLeft": (0, -1), "ArrowUp": (-1, 0)}
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "ArrowDown", "ArrowLeft", "ArrowUp"):
        output.press(key)
        i, j = i + moves[key][0], j + moves[key][1]
        value = f"{wanted[i, j]:g}".replace("-", "−")
        assert output.get_attribute("aria-valuetext") == f"row {i}, column {j}: {value}"
        assert f"sum to {value}. Output 8 by 8" in said(page)
        assert page.locator(".tb-cs-total").text_content() == f"= {value} = z[{i}, {j}]"
    output.press("Home")
    output.press("ArrowUp")
    assert output.get_attribute("aria-valuenow") == "0", "up from the first row leads nowhere"
    output.press("End")
    assert output.get_attribute("aria-valuenow") == "63"
    page.get_by_role("button", name="One place back").click()
    assert output.get_attribute("aria-valuenow") == "62"
    watched.check()


@pytest.mark.slow
@pytest.mark.parametrize("touch", [False, True])
def test_the_pointer_chooses_a_place(open_widgets, touch: bool) -> None:
    watched = open_widgets(ConvStepper(), touch=touch)
    page = watched.page
    box = page.locator(".tb-cs-output").bounding_box()
    x, y = box["x"] + box["width"] * 4.5 / 6, box["y"] + box["height"] * 2.5 / 6
    page.touchscreen.tap(x, y) if touch else page.mouse.click(x, y)
    assert "Output row 2, column 4" in said(page)
    assert page.locator(".tb-cs-input .tap").count() == 9
    watched.check()


@pytest.mark.slow
def test_every_control_changes_the_layer(open_widgets) -> None:
    watched = open_widgets(ConvStepper(stride=1))
    page = watched.page
    page.get_by_label("weight row 1, column 2, channel 1").fill("2.5")
    assert page.get_by_label("kernel", exact=True).input_value() == "", "your own"
    page.get_by_role("slider", name="Output place").press("ArrowRight")
    kernel = [row[:] for row in PRESETS["vertical edges"]]
    kernel[1][2] = 2.5
    wanted = torch_output([ZERO], [[kernel]], [0.0], padding=0, stride=1, dilation=1)[0, 0, 1]
    assert f"sum to {float(wanted):g}." in said(page)
    page.get_by_label("stride", exact=True).press("ArrowRight")
    page.get_by_label("padding", exact=True).press("ArrowRight")
    assert "Output 4 by 4" in said(page)
    assert "⌊(8 + 2·1 − 1·(3 − 1) − 1) / 2⌋ + 1 = 4; windows start at −1, 1, …, 5: 4" in page.locator(
        ".tb-cs-shapes").text_content()  # fmt: skip
    page.get_by_label("kernel", exact=True).select_option("motion")
    assert page.locator(".tb-cs-input").count() == 2
    assert "18 products" in said(page)
    page.get_by_label("filters", exact=True).select_option("2")
    page.get_by_label("shown", exact=True).select_option("1")
    page.get_by_label("bias", exact=True).fill("7")
    assert "of filter 2" in said(page)
    assert "parameters: 2 · (2 · 3² + 1) = 38" in said(page)
    assert "bias 7" in page.locator(".tb-cs-lines").text_content()
    page.get_by_label("flip the kernel").check()
    assert ".flip(2, 3)" in page.locator(".tb-code").text_content()
    watched.check()


@pytest.mark.slow
def test_a_kernel_that_does_not_fit_says_so(open_widgets) -> None:
    watched = open_widgets(ConvStepper(torch.ones(5, 5), dilation=3))
    page = watched.page
    assert "The kernel spans 7 pixels and the padded image has 5: it fits nowhere. Add padding" in said(page)
    assert not page.locator(".tb-cs-output").is_visible()
    page.get_by_label("padding", exact=True).press("ArrowRight")
    assert "Output 1 by 1" in said(page)
    watched.check()


@pytest.mark.slow
def test_play_walks_to_the_last_place(open_widgets) -> None:
    watched = open_widgets(ConvStepper(stride=3))
    page = watched.page
    page.get_by_role("button", name="Play").click()
    page.wait_for_function("document.querySelector('.tb-readout').textContent.includes('row 1, column 1')")
    page.wait_for_function("document.querySelector('.tb-cs-play').textContent === 'Play'")
    watched.check()


@pytest.mark.slow
@pytest.mark.parametrize(("theme", "width"), [("light", 360), ("dark", 900), ("light", 700)])
def test_it_fits_and_its_controls_are_large_enough(open_widgets, theme: str, width: int) -> None:
    widget = ConvStepper(kernel=torch.full((3, 2, 5, 5), -9.5), channels=2, padding=3)
    watched = open_widgets(widget, theme=theme, width=width)
    page = watched.page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    small = watched.too_low(".tb button, .tb select, .tb input[type=range], .tb input[type=number]")
    assert small == 0
    watched.check()
