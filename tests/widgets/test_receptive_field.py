"""ReceptiveField against autograd on real nn.Conv2d stacks, and in the hands of a reader."""

from __future__ import annotations

import random
import re

import pytest
import torch
import traitlets
from torch import nn

from torchbook.widgets.receptive_field import (
    LIMITS,
    ReceptiveField,
    fitting_input,
    output_sizes,
    whole_layers,
)

PLAIN = [(3, 1), (3, 2), (3, 1)]


def conv_stack(layers: list[list[int]]) -> list[nn.Conv2d]:
    """The layers as real convolutions with all-ones weights: a gradient then counts paths."""
    convs = [
        nn.Conv2d(1, 1, kernel, stride=stride, dilation=dilation, padding=padding, bias=False)
        for kernel, stride, dilation, padding in layers
    ]
    for conv in convs:
        nn.init.ones_(conv.weight)
    return [conv.double() for conv in convs]


def measure(layers: list[list[int]], size: int, row: int, column: int) -> list[torch.Tensor]:
    """Gradient of output unit (row, column) by each level, input first: number of paths to it."""
    levels = [torch.zeros(1, 1, size, size, dtype=torch.float64, requires_grad=True)]
    for conv in conv_stack(layers):
        levels.append(conv(levels[-1]))
    grads = torch.autograd.grad(levels[-1][0, 0, row, column], levels)
    return [grad[0, 0] for grad in grads]


def span(gradient: torch.Tensor) -> tuple[int, int]:
    """First and last row with a gradient that is not zero."""
    rows = gradient.abs().sum(dim=1).nonzero().flatten()
    return int(rows[0]), int(rows[-1])


def random_layer(rng: random.Random) -> list[int]:
    kernel = rng.choice([1, 1, 2, 3, 3, 3, 4, 5, 7, 11])
    stride, dilation = rng.choice([1, 1, 1, 2, 2, 3, 4]), rng.choice([1, 1, 1, 2, 3, 4, 8])
    return [kernel, stride, dilation, rng.choice([0, 0, 1, 1, 2, 3, 5, 8])]


def random_stacks(wanted: int, seed: int = 0) -> list[dict]:
    """Stacks that fit and are quick to measure, each with two marked units, often at the border."""
    rng = random.Random(seed)
    stacks = []
    while len(stacks) < wanted:
        layers = [random_layer(rng) for _ in range(rng.choice([1, 2, 2, 3, 3, 4, 5]))]
        size = rng.randint(1, 40)
        outputs = output_sizes(layers, size)[-1]
        unpadded = [[k, s, d, 0] for k, s, d, _ in layers]
        if outputs < 1 or fitting_input(unpadded, 2) > 70:
            continue
        border = [0, outputs - 1, outputs // 2, min(1, outputs - 1), rng.randrange(outputs)]
        row = border[len(stacks) % len(border)]
        stacks.append({"layers": layers, "size": size, "row": row, "column": rng.randrange(outputs)})
    return stacks


# ---- the traits -----------------------------------------------------------------------------------


def test_traits_are_filled_in():
    widget = ReceptiveField([(3, 1), (5, 2, 2), (1, 1, 1, 3)])
    assert widget.layers == [[3, 1, 1, 0], [5, 2, 2, 0], [1, 1, 1, 3]]
    outputs = output_sizes(widget.layers, widget.input_size)[-1]
    assert outputs == 9
    assert widget.unit == 4


def test_the_chosen_input_never_grows_past_its_limit():
    assert ReceptiveField([(11, 4), (5, 4), (3, 2)]).input_size == 255


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layers": []}, "1 to 8 layers, got 0"),
        ({"layers": [(3, 1)] * 9}, "1 to 8 layers, got 9"),
        ({"layers": "3,1"}, "layers must be a list"),
        ({"layers": [3, 1]}, "layer 1 must be"),
        ({"layers": [(3, 1), (1, 2, 3, 4, 5)]}, "layer 2 must be"),
        ({"layers": [(3, 1), (12, 1)]}, r"kernel of layer 2 must lie in 1\.\.11, got 12"),
        ({"layers": [(3, 0)]}, r"stride of layer 1 must lie in 1\.\.4, got 0"),
        ({"layers": [(3, 1, 9)]}, r"dilation of layer 1 must lie in 1\.\.8, got 9"),
        ({"layers": [(3, 1, 1, -1)]}, r"padding of layer 1 must lie in 0\.\.8, got -1"),
        ({"layers": [(3, 1.5)]}, "stride of layer 1 must be a whole number, got 1.5"),
        ({"layers": [(3, 1)], "input_size": 0}, r"input_size must lie in 1\.\.255, got 0"),
        ({"layers": [(3, 1)], "input_size": 256}, r"input_size must lie in 1\.\.255, got 256"),
        ({"layers": [(3, 1)], "input_size": 9, "unit": 7}, r"unit .* must lie in 0\.\.6, got 7"),
        ({"layers": [(3, 1)], "input_size": 9, "unit": -1}, r"unit .* must lie in 0\.\.6, got -1"),
        ({"layers": [(3, 2), (11, 1, 2, 1)], "input_size": 9},
         "layer 2 does not fit: its kernel spans 21 units, and only 6 arrive .* input_size of at least 39"),
        ({"layers": [(11, 1, 8)] * 4, "input_size": 255}, "layer 4 does not fit.* Give a smaller kernel"),
    ],
)  # fmt: skip
def test_bad_input_is_named(arguments, message):
    with pytest.raises(traitlets.TraitError, match=message):
        ReceptiveField(**arguments)


def test_traits_are_checked_later_too():
    widget = ReceptiveField(PLAIN, input_size=25)
    with pytest.raises(traitlets.TraitError, match="kernel of layer 1"):
        widget.layers = [[99, 1, 1, 0]]
    with pytest.raises(traitlets.TraitError, match=r"unit .* 0\.\.8"):
        widget.unit = 9
    assert (widget.layers[0], widget.unit) == ([3, 1, 1, 0], 4)


def test_the_unit_stays_inside_the_output():
    widget = ReceptiveField(PLAIN, input_size=25, unit=8)
    widget.input_size = 15
    assert widget.unit == output_sizes(widget.layers, 15)[-1] - 1 == 3


def test_what_the_browser_sends_is_taken():
    widget = ReceptiveField(PLAIN, input_size=25)
    widget.set_state({"layers": [[3, 1, 1, 1]], "input_size": 40, "unit": 39})
    assert (widget.layers, widget.input_size, widget.unit) == ([[3, 1, 1, 1]], 40, 39)
    widget.set_state({"layers": [[11, 1, 8, 0]]})  # a reader may pass through a stack that does not fit
    assert (output_sizes(widget.layers, 40)[-1], widget.unit) == (0, 39)
    widget.set_state({"unit": 12})  # a late message about the mark does no harm there
    assert widget.unit == 12


def test_output_sizes_equal_conv2d():
    for stack in random_stacks(100, seed=3):
        image = torch.zeros(1, 1, stack["size"], stack["size"], dtype=torch.float64)
        sizes = [stack["size"]]
        for conv in conv_stack(stack["layers"]):
            image = conv(image)
            sizes.append(image.shape[-1])
        assert output_sizes(stack["layers"], stack["size"]) == sizes, stack


def test_fitting_input_is_the_smallest():
    for stack in random_stacks(60, seed=4):
        layers, outputs = stack["layers"], 3
        by_search = next(n for n in range(1, 2000) if output_sizes(layers, n)[-1] >= outputs)
        assert fitting_input(layers, outputs) == by_search, layers


# ---- the maths of the real .js file against autograd ----------------------------------------------

EVERYTHING = """arg.map(({ layers, size, row, column }) => ({
  sizes: outputSizes(layers, size), field: receptiveFields(layers).at(-1),
  rows: pathCounts(layers, size, row), columns: pathCounts(layers, size, column),
  sets: reachedSets(layers, size, row), view: view(layers, size, row), fitting: fittingInput(layers, 3),
}))"""


@pytest.mark.slow
def test_equal_to_gradients_on_conv2d(js):
    """Sizes, sets and path counts of every level, for 520 stacks."""
    stacks = random_stacks(520)
    cut = holes = blind = 0
    for stack, got in zip(stacks, js(ReceptiveField._esm, EVERYTHING, stacks), strict=True):
        grads = measure(stack["layers"], stack["size"], stack["row"], stack["column"])
        assert got["sizes"] == [grad.shape[0] for grad in grads], stack
        for rows, columns, indices, grad in zip(got["rows"], got["columns"], got["sets"], grads, strict=True):
            counts = torch.outer(torch.tensor(rows).double(), torch.tensor(columns).double())
            assert torch.equal(counts, grad), stack
            if columns and any(columns):
                assert indices == grad.sum(dim=1).nonzero().flatten().tolist(), stack
        pixels, view = grads[0], got["view"]
        if not pixels.any():  # this row or this column sees padding alone: look along the row's own diagonal
            pixels = measure(stack["layers"], stack["size"], stack["row"], stack["row"])[0]
        assert view["touched"] == int(pixels.any(dim=1).sum()), stack
        if not view["touched"]:
            assert view == {"first": None, "last": None, "extent": 0, "touched": 0, "holes": 0}
            blind += 1
            continue
        first, last = span(pixels)
        seen = int(pixels.any(dim=1).sum())
        assert (view["first"], view["last"], view["extent"]) == (first, last, last - first + 1), stack
        assert view["holes"] == last - first + 1 - seen, stack
        cut += view["extent"] < got["field"]["extent"]
        holes += view["holes"] > 0
    # The grid must hold what it is meant to try.
    assert min(cut, holes) > 100
    assert blind > 5


@pytest.mark.slow
def test_extent_jump_and_start_equal_gradients_without_a_border(js):
    """Two neighbors on an input that never cuts them: their extent, and how far apart they look."""
    stacks = random_stacks(260, seed=1)
    for stack, got in zip(stacks, js(ReceptiveField._esm, EVERYTHING, stacks), strict=True):
        unpadded = [[k, s, d, 0] for k, s, d, _ in stack["layers"]]
        size = fitting_input(unpadded, 2)
        (first, last), (next_first, _) = (span(measure(unpadded, size, row, 0)[0]) for row in (0, 1))
        assert got["field"]["extent"] == last - first + 1, stack
        assert got["field"]["jump"] == next_first - first, stack
        assert got["fitting"] == fitting_input(stack["layers"], 3), stack
        view, field = got["view"], got["field"]
        if view["extent"] == field["extent"]:  # nothing is cut: `start` must then say where it lies
            assert view["first"] == field["start"] + stack["row"] * field["jump"], stack


@pytest.mark.slow
def test_it_refuses_what_conv2d_refuses(js):
    rng = random.Random(5)
    stacks = [
        {"layers": [random_layer(rng) for _ in range(rng.randint(1, 4))], "size": rng.randint(1, 60)}
        for _ in range(300)
    ]
    sizes = js(ReceptiveField._esm, "arg.map(({ layers, size }) => outputSizes(layers, size))", stacks)
    refused = 0
    for stack, got in zip(stacks, sizes, strict=True):
        assert got == output_sizes(stack["layers"], stack["size"]), stack
        image = torch.zeros(1, 1, stack["size"], stack["size"], dtype=torch.float64)
        try:
            nn.Sequential(*conv_stack(stack["layers"]))(image)
        except RuntimeError:
            refused += 1
            assert got[-1] == 0, stack
        else:
            assert got[-1] > 0, stack
    assert 50 < refused < 250


@pytest.mark.slow
def test_presets_equal_their_gradients(js):
    found = js(ReceptiveField._esm, """PRESETS.map(({ name, layers, inputSize }) => {
        const unit = Math.floor(outputSizes(layers, inputSize).at(-1) / 2);
        return { name, layers, inputSize, unit, ...view(layers, inputSize, unit) };
    })""")  # fmt: skip
    assert {"VGG block", "AlexNet, first half", "ResNet stem", "Dilated 1, 2, 4, 8"} <= {p["name"] for p in found}
    for preset in found:
        widget = ReceptiveField(preset["layers"], preset["inputSize"])
        assert widget.unit == preset["unit"]
        pixels = measure(preset["layers"], preset["inputSize"], preset["unit"], preset["unit"])[0]
        first, last = span(pixels)
        assert preset["extent"] == last - first + 1
        assert preset["touched"] ** 2 == int((pixels != 0).sum())


@pytest.mark.slow
def test_small_functions(js):
    esm = ReceptiveField._esm
    assert js(esm, "LIMITS") == [[name, low, high] for name, (low, high) in LIMITS.items()]
    moves = js(esm, "[moved([1, 2, 3], 0, 2), moved([1, 2, 3], 2, 0), moved([1, 2, 3], 1, 1)]")
    assert moves == [[2, 3, 1], [3, 1, 2], [1, 2, 3]]
    # In the middle it stays in the middle, at the end at the end, elsewhere where it was, if that still is.
    cases = {(4, 9, 21): 10, (8, 9, 21): 20, (2, 9, 21): 2, (6, 9, 5): 4, (0, 9, 21): 0, (0, 1, 9): 4}
    assert [js(esm, f"carryUnit({a}, {b}, {c})") for a, b, c in cases] == list(cases.values())


# ---- in the reader's hands --------------------------------------------------------------------------


class Hand:
    """The first widget of a page, as a reader meets it."""

    def __init__(self, watched) -> None:
        self.watched, self.page = watched, watched.page
        self.box = watched.page.locator(".tb-widget").first
        self.mark = self.box.get_by_role("slider", name="Marked output unit")

    def read(self) -> str:
        return self.box.locator(".tb-readout").inner_text()

    def layers(self) -> list[list[int]]:
        rows = self.box.locator(".tb-rf-layer").all()
        return [[int(field.input_value()) for field in row.locator("input").all()] for row in rows]

    def reached(self, level: int) -> int:
        """How many units of a level are drawn as reached."""
        return (self.box.locator(f"path[data-level='{level}']").get_attribute("d") or "").count("M")

    def drag(self, locator, dx: float, dy: float = 0, steps: int = 6) -> None:
        spot = locator.bounding_box()
        x, y = spot["x"] + spot["width"] / 2, spot["y"] + spot["height"] / 2
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        self.page.mouse.move(x + dx, y + dy, steps=steps)
        self.page.mouse.up()


def expected(layers: list, size: int, unit: int) -> str:
    """The numbers of the readout, measured: extent, the pixels, holes."""
    pixels = measure(whole_layers(layers), size, unit, unit)[0]
    first, last = span(pixels)
    holes = last - first + 1 - int((pixels.sum(dim=1) != 0).sum())
    return rf"Extent {last - first + 1}\b.*unit {unit} sees pixels {first} to {last}\. Holes {holes}\b"


@pytest.fixture
def hand(open_widgets) -> Hand:
    return Hand(open_widgets(ReceptiveField(PLAIN, input_size=25)))


@pytest.mark.slow
def test_the_mark_moves_by_key_and_pointer(hand):
    assert re.search(expected(PLAIN, 25, 4), hand.read())
    assert "Jump 2:" in hand.read()
    assert "Output size 9." in hand.read()
    for key, unit in [("ArrowRight", 5), ("ArrowLeft", 4), ("Home", 0), ("ArrowLeft", 0), ("End", 8),
                      ("ArrowRight", 8), ("PageDown", 6), ("PageUp", 8)]:  # fmt: skip
        hand.mark.press(key)
        assert re.search(expected(PLAIN, 25, unit), hand.read()), key
        assert hand.mark.get_attribute("aria-valuenow") == str(unit)
        assert hand.mark.get_attribute("aria-valuetext") == f"unit {unit} of 0 to 8"
    starts = [float(x) for x in re.findall(r"M([\d.]+) ", hand.box.locator("path[data-level='1']").get_attribute("d"))]
    pitch = 2 * (starts[1] - starts[0])  # layer 2 has stride 2
    hand.drag(hand.mark, -3 * pitch)
    assert re.search(expected(PLAIN, 25, 5), hand.read())
    hand.drag(hand.mark, -2000)
    assert re.search(expected(PLAIN, 25, 0), hand.read())
    hand.watched.check()


@pytest.mark.slow
def test_the_border_cuts_the_field(open_widgets):
    layers = [(3, 1, 2, 2), (3, 1, 2, 2)]
    hand = Hand(open_widgets(ReceptiveField(layers, input_size=21, unit=0)))
    assert re.search(expected(layers, 21, 0), hand.read())
    assert "cut from 9 by the border" in hand.read()
    assert [hand.reached(k) for k in range(3)] == [3, 2, 1]
    assert hand.box.locator(".tb-rf-ghost").count() == 2
    assert "Dotted: padding." in hand.box.locator("figcaption").inner_text()
    hand.watched.check()


@pytest.mark.slow
def test_numbers_are_typed_stepped_and_dragged(hand):
    field = hand.box.get_by_label("kernel of layer 1")
    field.fill("5")
    assert re.search(expected([(5, 1), (3, 2), (3, 1)], 25, 4), hand.read())
    field.press("ArrowUp")
    assert hand.layers()[0] == [6, 1, 1, 0]
    hand.drag(field, -36)
    assert hand.layers()[0] == [3, 1, 1, 0]
    hand.drag(hand.box.get_by_label("dilation of layer 1"), 24)
    assert hand.layers()[0] == [3, 1, 3, 0]
    hand.drag(field, 900)
    assert hand.layers()[0] == [11, 1, 3, 0]
    field.fill("99")
    field.blur()
    assert hand.layers()[0] == [11, 1, 3, 0]
    field.fill("2.6")
    field.blur()
    assert hand.layers()[0] == [3, 1, 3, 0]
    field.fill("")
    field.blur()
    assert hand.layers()[0] == [1, 1, 3, 0]
    hand.watched.check()


@pytest.mark.slow
def test_layers_are_added_removed_and_reordered(hand):
    hand.box.get_by_label("kernel of layer 1").fill("5")
    grip = hand.box.get_by_role("button", name=re.compile("^Move layer 1"))
    grip.press("ArrowDown")
    assert [layer[0] for layer in hand.layers()] == [3, 5, 3]
    assert "Move layer 2" in hand.page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert re.search(expected([(3, 2), (5, 1), (3, 1)], 25, 3), hand.read())  # six units: the middle is 3
    hand.page.keyboard.press("ArrowDown")
    hand.page.keyboard.press("ArrowDown")  # the end: nothing moves
    assert [layer[:2] for layer in hand.layers()] == [[3, 2], [3, 1], [5, 1]]
    rows = hand.box.locator(".tb-rf-layer")
    tall = rows.nth(1).bounding_box()["y"] - rows.nth(0).bounding_box()["y"]
    hand.drag(hand.box.get_by_role("button", name=re.compile("^Move layer 3")), 0, -2 * tall)
    assert [layer[:2] for layer in hand.layers()] == [[5, 1], [3, 2], [3, 1]]
    assert hand.box.locator(".moving").count() == 0
    hand.box.get_by_role("button", name="Remove layer 2").click()
    assert [layer[:2] for layer in hand.layers()] == [[5, 1], [3, 1]]
    hand.box.get_by_role("button", name="Remove layer 2").click()
    assert hand.box.get_by_role("button", name="Remove layer 1").is_disabled()
    for _ in range(7):
        hand.box.get_by_role("button", name="Add a layer").click()
    assert hand.layers() == [[5, 1, 1, 0]] + 7 * [[3, 1, 1, 1]]
    assert hand.box.get_by_role("button", name="Add a layer").is_disabled()
    hand.watched.check()


@pytest.mark.slow
def test_presets_and_input_size(hand):
    shown = {"AlexNet": "Extent 67:", "ResNet": "Extent 27:", "Dilated": "Extent 31:", "VGG": "Extent 7:"}
    for name, text in {**shown, "Strided": "Holes 8:", "Gridding": "Holes 6:"}.items():
        chip = hand.box.get_by_role("button", name=name)
        chip.click()
        assert text in hand.read()
        assert chip.get_attribute("aria-pressed") == "true"
    assert "49 of 169 pixels" in hand.box.locator("figcaption").inner_text()
    hand.box.get_by_label("Input size").fill("60")
    assert "Output size 60." in hand.read()
    assert "unit 30 " in hand.read()  # it was in the middle, and it stays there
    hand.watched.check()


@pytest.mark.slow
def test_a_stack_that_does_not_fit_is_explained(hand):
    field = hand.box.get_by_label("dilation of layer 3")
    hand.mark.press("End")
    field.fill("8")
    assert hand.read().startswith("Layer 3 does not fit, so there is no output:")
    assert "its kernel of 3 with dilation 8 spans 17 units, and only 11 arrive." in hand.read()
    assert hand.mark.count() == 0  # no output, no mark
    assert not hand.box.locator("figure").is_visible()
    rescue = hand.box.get_by_role("button", name="Enlarge the input to 45")
    rescue.click()
    assert "Output size 5." in hand.read()
    assert hand.page.evaluate("document.activeElement.type") == "range"
    hand.box.get_by_label("Input size").fill("1")
    assert hand.read().startswith("Layer 1 does not fit")
    hand.box.get_by_label("Input size").fill("255")
    assert "Output size" in hand.read()
    hand.watched.check()


@pytest.mark.slow
def test_every_state_is_drawn_without_a_broken_number(open_widgets):
    """Odd stacks, pressed into one page: no NaN in the picture, no error, a sentence for each."""
    odd = [
        ReceptiveField([(1, 1, 1, 8)] * 8, input_size=1, unit=0),
        ReceptiveField([(11, 4, 1, 5)] * 8, input_size=255),
        ReceptiveField([(11, 4, 8, 8)] + [(11, 1, 1, 8)] * 7, input_size=255),
        ReceptiveField([(1, 1)], input_size=1),
        ReceptiveField([(11, 1, 1, 8)] * 8, input_size=255, unit=0),
    ]
    watched = open_widgets(*odd)
    for index in range(len(odd)):
        box = watched.page.locator(".tb-widget").nth(index)
        assert "NaN" not in box.inner_html()
        assert "Infinity" not in box.inner_html()
        assert box.locator(".tb-readout").inner_text().startswith("Extent ")
    assert "Extent 0: unit 0 reads nothing but padding" in watched.page.locator(".tb-readout").first.inner_text()
    watched.check()


@pytest.mark.slow
def test_traits_are_shared_between_views(open_widgets):
    widget = ReceptiveField(PLAIN, input_size=25)
    watched = open_widgets(widget, widget)
    hand, other = Hand(watched), Hand(watched)
    other.box = watched.page.locator(".tb-widget").nth(1)
    hand.mark.press("Home")
    assert re.search(expected(PLAIN, 25, 0), other.read())
    hand.box.get_by_label("stride of layer 1").fill("2")
    assert other.layers() == hand.layers() == [[3, 2, 1, 0], [3, 2, 1, 0], [3, 1, 1, 0]]
    other.box.get_by_label("Input size").fill("50")
    assert hand.read() == other.read()
    assert hand.box.get_by_label("Input size").input_value() == "50"
    watched.check()


@pytest.mark.slow
@pytest.mark.parametrize(("theme", "width"), [("light", 900), ("dark", 900), ("light", 360), ("dark", 360)])
def test_it_fits_every_screen(open_widgets, theme, width):
    wide = [[11, 4, 1, 0], [3, 2, 1, 0], [5, 1, 1, 2], [3, 2, 1, 0]]
    watched = open_widgets(
        ReceptiveField(wide, 227), ReceptiveField([(3, 1, 8, 8)] * 8, 31, 0), theme=theme, width=width
    )
    page = watched.page
    page.locator(".tb-widget").first.get_by_label("kernel of layer 4").fill("11")
    page.locator(".tb-widget").first.get_by_label("Input size").fill("80")  # the explanation fits, too
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for svg in page.locator(".tb-rf-pyramid").all():
        scale = svg.evaluate("node => node.getBoundingClientRect().width / node.viewBox.baseVal.width")
        assert 0.95 < scale < 1.05  # 12 px text is 12 px
        edges = svg.evaluate("""node => [...node.querySelectorAll("text")]
            .map((text) => text.getBoundingClientRect()).filter((box) => box.width)
            .map((box) => [box.left, box.right])""")
        assert len(edges) > 4
        assert all(0 <= left < right <= width for left, right in edges)
    sides = page.evaluate("""[...document.querySelectorAll(".tb button, .tb input")]
        .map((node) => node.getBoundingClientRect()).filter((box) => box.width)
        .map((box) => Math.min(box.width, box.height))""")
    assert min(sides) >= 24
    watched.check()


@pytest.mark.slow
def test_it_works_by_touch(open_widgets):
    watched = open_widgets(ReceptiveField(PLAIN, input_size=25), width=360, touch=True)
    hand = Hand(watched)
    row = hand.box.locator(".tb-rf-strip").bounding_box()
    watched.page.touchscreen.tap(row["x"] + row["width"] - 2, row["y"] + 30)
    assert re.search(expected(PLAIN, 25, 8), hand.read())
    watched.check()
