"""The position encodings of the widget against PyTorch, and its handles in a real page."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
import traitlets

from torchbook.widgets import Positions
from torchbook.widgets.positions import KINDS

CASES = list(itertools.product((4, 10, 32, 64), (2.0, 37.5, 10_000.0, 100_000.0), (16, 64, 128)))


def torch_sinusoid(d: int, base: float, length: int) -> torch.Tensor:
    """Vaswani et al. (2017), section 3.5, column by column."""
    t = torch.arange(length, dtype=torch.float64)
    columns = []
    for i in range(d // 2):
        columns += [torch.sin(t / base ** (2 * i / d)), torch.cos(t / base ** (2 * i / d))]
    return torch.stack(columns, dim=1)


def state(**changes: object) -> dict[str, object]:
    plain = {"kind": "sinusoid", "d": 32, "base": 10_000, "length": 64, "position": 20, "distance": 7}
    return plain | {"clock": 4, "seed": 0} | changes


# ---- Traits.


def test_the_defaults_and_the_kinds() -> None:
    widget = Positions()
    assert (widget.kind, widget.d, widget.base, widget.length) == ("sinusoid", 32, 10_000.0, 64)
    assert [Positions(kind).kind for kind in KINDS] == list(KINDS)
    assert Positions(position=5, distance=-5).distance == -5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "rotary"}, "kind must be one of sinusoid, random, binary"),
        ({"d": 7}, "d must be even"),
        ({"d": 66}, "d must be a whole number from 4 to 64"),
        ({"d": 8.0}, "d must be a whole number"),
        ({"base": 1}, "base must be a number from 2 to 100000"),
        ({"base": math.nan}, "base must be a number"),
        ({"base": True}, "base must be a number"),
        ({"length": 8}, "length must be a whole number from 16 to 128"),
        ({"position": 64}, "position must be a whole number from 0 to 63"),
        ({"position": 60, "distance": 7}, "distance must be a whole number from -60 to 3"),
        ({"clock": 16}, "clock must be a whole number from 0 to 15"),
        ({"seed": -1}, "seed must be a whole number"),
    ],
)
def test_bad_arguments_say_what_is_wrong(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Positions(**arguments)


@pytest.mark.parametrize(("name", "value"), [("d", 9), ("d", 2), ("base", 1.0), ("length", 200), ("kind", "none")])
def test_traits_refuse_what_the_browser_cannot_draw(name: str, value: object) -> None:
    widget = Positions()
    with pytest.raises(traitlets.TraitError):
        setattr(widget, name, value)


# ---- The maths, in the browser.


@pytest.mark.slow
def test_sinusoids_are_those_of_the_paper(js) -> None:
    for d, base, length in CASES:
        got = js(Positions._esm, "encode(arg)", state(d=d, base=base, length=length))
        assert torch.allclose(torch.tensor(got, dtype=torch.float64), torch_sinusoid(d, base, length), atol=1e-9)


@pytest.mark.slow
def test_dot_products_depend_on_the_distance_alone(js) -> None:
    for d, base, length in CASES:
        table = torch_sinusoid(d, base, length)
        for distance in (0, 1, 7, -7, length - 1):
            case = state(d=d, base=base, length=length, distance=distance)
            low, high = js(Positions._esm, "spread(encode(arg), arg.distance)", case)
            wanted = sum(math.cos(distance * base ** (-2 * i / d)) for i in range(d // 2))
            assert low == pytest.approx(wanted, abs=1e-8)
            assert high == pytest.approx(wanted, abs=1e-8)
        got = js(Positions._esm, "products(encode(arg), 5)", state(d=d, base=base, length=length))
        assert got == pytest.approx((table @ table[5]).tolist(), abs=1e-9)


@pytest.mark.slow
def test_binary_rows_are_the_bits_of_the_position(js) -> None:
    table = torch.tensor(js(Positions._esm, "encode(arg)", state(kind="binary", d=10, length=128)))
    powers = 2 ** torch.arange(10)
    assert torch.equal(((table + 1) / 2 * powers).sum(dim=1), torch.arange(128.0))
    assert set(table.flatten().tolist()) == {-1, 1}
    low, high = js(Positions._esm, "spread(encode(arg), 1)", state(kind="binary", d=10, length=128))
    assert low < high, "the distance does not decide"


@pytest.mark.slow
def test_random_tables_are_seeded_and_have_the_sinusoids_size(js) -> None:
    one = torch.tensor(js(Positions._esm, "encode(arg)", state(kind="random", d=64, length=128, seed=3)))
    assert abs(one.mean()) < 0.03
    assert one.square().mean().item() == pytest.approx(0.5, rel=0.06)
    assert torch_sinusoid(64, 50.0, 128).square().mean().item() == pytest.approx(0.5)
    again = torch.tensor(js(Positions._esm, "encode(arg)", state(kind="random", d=64, length=128, seed=3)))
    assert torch.equal(one, again)
    other = torch.tensor(js(Positions._esm, "encode(arg)", state(kind="random", d=64, length=128, seed=4)))
    assert not torch.equal(one, other)


@pytest.mark.slow
def test_lookalikes_and_clocks_that_stand_still(js) -> None:
    for d, base in itertools.product((4, 32), (2.0, 100.0, 1e5)):
        table = torch_sinusoid(d, base, 64)
        products = table @ table[20]
        products[16:25] = -math.inf
        got, value = js(Positions._esm, "lookalike(encode(arg), 20)", state(d=d, base=base))
        assert value == pytest.approx(products.max().item(), abs=1e-8)
        assert products[got].item() == pytest.approx(products.max().item(), abs=1e-8)
        omega = base ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)
        wanted = int((omega * 63 < 2 * math.pi / 10).sum())
        assert js(Positions._esm, "still(arg.d, arg.base, 64)", state(d=d, base=base)) == wanted


@pytest.mark.slow
def test_settling_keeps_both_positions_in_the_table(js) -> None:
    for t, k in itertools.product(range(-3, 20), range(-20, 21)):
        first, distance = js(Positions._esm, "settle(arg[0], arg[1], 16)", [t, k])
        assert 0 <= first <= 15
        assert 0 <= first + distance <= 15
        if -15 <= k <= 15:
            assert distance == k, "the distance is kept"
        if 0 <= t <= 15 and 0 <= t + k <= 15:
            assert first == t


# ---- In the page.


@pytest.mark.slow
def test_keyboard_moves_positions_and_base_and_the_line_says_the_result(open_widgets) -> None:
    watched = open_widgets(Positions())
    page = watched.page
    readout = page.locator(".tb-readout")

    def said(distance: int, base: float = 10_000) -> str:
        value = sum(math.cos(distance * base ** (-2 * i / 32)) for i in range(16))
        return f"dot product {round(value, 2):g}, the same for any two positions {abs(distance)} apart"

    assert readout.text_content().startswith("Positions 20 and 27: ")
    assert said(7) in readout.text_content()
    page.get_by_role("slider", name="position t").press("ArrowRight")
    assert readout.text_content().startswith("Positions 21 and 28: ")
    assert said(7) in readout.text_content()
    page.get_by_role("slider", name="distance k").press("ArrowLeft")
    assert readout.text_content().startswith("Positions 21 and 27: ")
    assert said(6) in readout.text_content()
    page.get_by_role("slider", name="Row of the second position").press("PageUp")
    assert readout.text_content().startswith("Positions 21 and 19: ")
    page.get_by_role("slider", name="Row of the first position").press("ArrowDown")
    assert readout.text_content().startswith("Positions 22 and 20: ")
    page.get_by_role("slider", name="base").press("Home")
    assert said(-2, 2) in readout.text_content()
    page.get_by_role("slider", name="clocks d / 2").press("ArrowRight")
    assert page.locator("[data-clock]").count() == 17
    watched.check()


@pytest.mark.slow
def test_other_encodings_lose_the_distance(open_widgets) -> None:
    watched = open_widgets(Positions())
    page = watched.page
    page.get_by_label("encoding", exact=True).select_option("binary")
    assert "but between" in page.locator(".tb-readout").text_content()
    assert not page.get_by_role("slider", name="base").is_visible()
    assert not page.locator(".key-arc").is_visible()
    page.get_by_label("encoding", exact=True).select_option("random")
    assert "but between" in page.locator(".tb-readout").text_content()
    page.get_by_label("encoding", exact=True).select_option("sinusoid")
    assert "the same for any two positions 7 apart" in page.locator(".tb-readout").text_content()
    watched.check()


@pytest.mark.slow
@pytest.mark.parametrize("touch", [False, True])
def test_the_pointer_takes_the_nearer_row_and_a_clock(open_widgets, touch: bool) -> None:
    watched = open_widgets(Positions(position=10, distance=30), touch=touch)
    page = watched.page
    box = page.locator(".tb-po-map").bounding_box()

    def tap(x: float, y: float) -> None:
        page.touchscreen.tap(x, y) if touch else page.mouse.click(x, y)

    tap(box["x"] + (2 * 9 + 1) / 32 * box["width"], box["y"] + 50.5 / 64 * box["height"])
    assert page.locator(".tb-readout").text_content().startswith("Positions 10 and 50: ")
    assert "Clock 9 turns" in page.locator(".tb-readout").text_content()
    tap(box["x"] + 5, box["y"] + 4.5 / 64 * box["height"])
    assert page.locator(".tb-readout").text_content().startswith("Positions 4 and 44: ")
    face = page.locator("[data-clock='2'] .face").bounding_box()
    tap(face["x"] + face["width"] / 2, face["y"] + face["height"] / 2)
    assert "Clock 2 turns" in page.locator(".tb-readout").text_content()
    watched.check()


@pytest.mark.slow
def test_play_walks_to_the_end_and_stops(open_widgets) -> None:
    watched = open_widgets(Positions(length=16, position=12, distance=2))
    page = watched.page
    page.get_by_role("button", name="Play").click()
    page.wait_for_function("document.querySelector('.tb-readout').textContent.startsWith('Positions 13 and 15')")
    page.wait_for_function("document.querySelector('.tb-po-play').textContent === 'Play'")
    watched.check()


@pytest.mark.slow
@pytest.mark.parametrize(("theme", "width"), [("light", 360), ("dark", 360), ("dark", 900)])
def test_it_fits_and_its_controls_are_large_enough(open_widgets, theme: str, width: int) -> None:
    watched = open_widgets(Positions(d=64), theme=theme, width=width)
    page = watched.page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    small = watched.too_low(".tb button, .tb select, .tb input[type=range], .tb [data-clock]")
    assert small == 0
    watched.check()


@pytest.mark.slow
def test_a_slider_answers_within_a_frame(open_widgets) -> None:
    watched = open_widgets(Positions(d=64, length=128))
    median = watched.slide_ms("document.querySelector('.tb-controls input[type=range]')", "3 * i")
    assert median < 50, f"{median:.0f} ms for one move of the position"
    watched.check()
