"""The attention widget's maths against PyTorch, and its matrix, plane and sentence in a real page."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
import traitlets
from torch.nn import functional as F

from torchbook.widgets import Attention
from torchbook.widgets.attention import HEADS, KEYS, MASKS, QUERIES, VALUES, WAYS, words_of

SENTENCE = "the cat saw the bat and the cats sat"


def by_torch(Q, K, V, temperature=1.0, mask="none", window=1, way="add", hard=False):
    """Scores, masked scores, weights and output, by PyTorch's own functions."""
    Q, K, V = (torch.tensor(rows, dtype=torch.float64) for rows in (Q, K, V))
    scores = Q @ K.T / math.sqrt(Q.shape[1]) / temperature
    i, j = torch.arange(len(Q))[:, None], torch.arange(len(K))[None]
    seen = {"none": (i + j) >= 0, "causal": j <= i, "local": (i - j).abs() <= window}[mask]
    if mask == "none":
        masked = scores
    elif way == "add":
        masked = scores.masked_fill(~seen, -math.inf)
    else:
        masked = scores * torch.where(seen, 1.0, 0.0 if way == "zero" else -math.inf).double()
    weights = F.softmax(masked, dim=1)
    if hard:
        weights = torch.where(weights.isnan(), math.nan, F.one_hot(masked.argmax(dim=1), len(K)).double())
    return scores, seen, masked, weights, weights @ V


def same(got, wanted) -> bool:
    got = torch.tensor([[math.nan if v is None else v for v in row] for row in got], dtype=torch.float64)
    return torch.allclose(got, wanted, rtol=1e-10, atol=1e-12, equal_nan=True)


# ---- Traits.


def test_the_defaults_are_three_lists_of_points_and_a_sentence() -> None:
    widget = Attention()
    assert (widget.q, widget.k, widget.v) == (QUERIES, KEYS, VALUES)
    assert words_of(widget.sentence) == SENTENCE.split()
    tensors = Attention(queries=torch.eye(2), keys=torch.eye(2)[:1], values=torch.eye(2)[1:])
    assert (tensors.q, tensors.k, tensors.v) == ([[1, 0], [0, 1]], [[1, 0]], [[0, 1]])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mode": "text"}, "mode must be one of numbers, sentence"),
        ({"mask": "future"}, "mask must be one of none, causal, local"),
        ({"way": "multiply"}, "way must be one of add, zero, inf"),
        ({"queries": []}, "queries must hold 1 to 6 rows"),
        ({"queries": torch.zeros(2, 3)}, "rows of two numbers each"),
        ({"keys": [[1.0, 3.5]] * 4}, "each of keys must be a number from -3 to 3"),
        ({"values": [[math.nan, 0.0]] * 4}, "each of values must be a number"),
        ({"values": [[1.0, 1.0]]}, "4 keys and 1 values"),
        ({"sentence": "1 2 3"}, "1 to 9 words of the letters a to z, got 0"),
        ({"sentence": "a " * 10}, "got 10"),
        ({"sentence": None}, "sentence must be text"),
        ({"temperature": 0}, "temperature must be a number from 0.05 to 5"),
        ({"temperature": math.nan}, "temperature must be a number"),
        ({"head": 3}, "head must be a whole number from 0 to 2"),
        ({"window": 1.0}, "window must be a whole number"),
        ({"row": 4}, "row must be a whole number from 0 to 3"),
        ({"hard": 1}, "hard must be True or False"),
    ],
)
def test_bad_arguments_say_what_is_wrong(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Attention(**arguments)


def test_traits_refuse_what_the_browser_could_not_show() -> None:
    widget = Attention()
    for name, value in [("temperature", 0.0), ("head", 5), ("row", -1), ("k", [[9.0, 0.0]]), ("sentence", "...")]:
        with pytest.raises(traitlets.TraitError):
            setattr(widget, name, value)


# ---- The maths, in the browser.


@pytest.mark.slow
def test_scores_weights_and_outputs_are_those_of_torch(js) -> None:
    torch.manual_seed(0)
    for mask, way, hard, temperature in itertools.product(MASKS, WAYS, (False, True), (0.05, 1.0, 4.0)):
        for n, m, width in ((4, 4, 2), (3, 5, 2), (6, 2, 7)):
            Q, K, V = (torch.randn(rows, c).tolist() for rows, c in ((n, width), (m, width), (m, 2)))
            options = {"temperature": temperature, "mask": mask, "window": 1, "way": way, "hard": hard}
            case = {"Q": Q, "K": K, "V": V} | options
            got = js(Attention._esm, "attention(arg)", case)
            scores, seen, masked, weights, output = by_torch(Q, K, V, **options)
            assert same(got["scores"], scores)
            assert got["seen"] == seen.tolist() or mask == "none"
            assert same(got["masked"], masked), case
            assert same(got["weights"], weights), case
            assert same(got["output"], output), case


@pytest.mark.slow
def test_added_masks_are_those_of_scaled_dot_product_attention(js) -> None:
    torch.manual_seed(1)
    Q, K, V = (torch.randn(5, 2, dtype=torch.float64) for _ in range(3))
    case = {"Q": Q.tolist(), "K": K.tolist(), "V": V.tolist()}
    got = js(Attention._esm, "attention(arg).output", case | {"mask": "causal"})
    assert same(got, F.scaled_dot_product_attention(Q, K, V, is_causal=True))
    assert same(js(Attention._esm, "attention(arg).output", case), F.scaled_dot_product_attention(Q, K, V))


@pytest.mark.slow
def test_rows_that_have_no_answer_are_nan(js) -> None:
    for row in ([-math.inf, -math.inf], [math.inf, 1.0], [math.nan, 0.0]):
        texts = [str(v) for v in row]
        numbers = "arg.map((v) => Number(v.replace('inf', 'Infinity')))"
        expression = f"[softmax, hardmax].map((f) => f({numbers}).every(Number.isNaN))"
        assert F.softmax(torch.tensor(row), dim=0).isnan().all()
        assert js(Attention._esm, expression, texts) == [True, True]


@pytest.mark.slow
def test_entropy_is_that_of_torch(js) -> None:
    for row in ([1.0, 0.0], [0.25] * 4, [0.7, 0.2, 0.1]):
        assert js(Attention._esm, "entropy(arg)", row) == pytest.approx(
            torch.distributions.Categorical(torch.tensor(row)).entropy().item(), abs=1e-5
        )


@pytest.mark.slow
def test_heads_look_at_spelling_at_the_previous_word_and_at_endings(js) -> None:
    words = words_of(SENTENCE)
    assert js(Attention._esm, "wordsOf(arg)", "The CAT, saw the bat; and the cats sat!") == words
    assert js(Attention._esm, "HEADS") == list(HEADS)

    def vector(text):
        counts = torch.tensor([text.count(chr(97 + c)) for c in range(26)], dtype=torch.float64)
        return counts / counts.norm()

    for head, cut in ((0, lambda w: w), (2, lambda w: w[-2:])):
        rows = torch.stack([vector(cut(word)) for word in words])
        got = js(Attention._esm, "attention(headOf(arg[0], arg[1]))", [words, head])
        assert same(got["weights"], F.softmax(8 * rows @ rows.T, dim=1))
        assert got["output"] == got["weights"], "the values are the words, one-hot"
    got = torch.tensor(js(Attention._esm, "attention(headOf(arg[0], 1)).weights", [words]))
    assert (got.argmax(dim=1)[1:] == torch.arange(8)).all()
    assert torch.allclose(got[0], torch.full((9,), 1 / 9)), "the first word has no previous one"
    mixed = dict(js(Attention._esm, "mixture(arg[0], arg[1])", [words, [1 / 9] * 9]))
    assert mixed == pytest.approx({word: words.count(word) / 9 for word in words})


@pytest.mark.slow
def test_the_hull_is_that_of_scipy(js) -> None:
    from scipy.spatial import ConvexHull

    for seed, count in itertools.product(range(4), (3, 4, 6)):
        points = torch.randn(count, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        wanted = {tuple(points[i].tolist()) for i in ConvexHull(points.numpy()).vertices}
        assert {tuple(p) for p in js(Attention._esm, "hull(arg)", points.tolist())} == wanted


# ---- In the page.


@pytest.mark.slow
def test_the_keyboard_chooses_rows_and_moves_points(open_widgets) -> None:
    watched = open_widgets(Attention(temperature=1.0))
    page, readout = watched.page, watched.page.locator(".tb-readout")

    def said(row, q=QUERIES) -> str:
        weights = by_torch(q, KEYS, VALUES)[3][row]
        return f"q{row + 1} looks most at k{int(weights.argmax()) + 1}, with weight {weights.max():.2f}"

    assert readout.text_content().startswith(said(0))
    page.get_by_role("slider", name="query shown").press("ArrowDown")
    assert readout.text_content().startswith(said(1))
    page.get_by_role("slider", name="query q2").press("Shift+ArrowRight")
    moved = [QUERIES[0], [0.5, 2.0], *QUERIES[2:]]
    assert readout.text_content().startswith(said(1, moved))
    page.locator(".tb-at summary").click()
    page.get_by_label("q2, x").fill("0")
    assert readout.text_content().startswith(said(1))
    for _ in range(9):
        page.get_by_role("slider", name="query shown").press("ArrowDown")
    assert readout.text_content().startswith(said(3)), "it stops at the last row"
    watched.check()


@pytest.mark.slow
@pytest.mark.parametrize("touch", [False, True])
def test_the_pointer_drags_points_and_chooses_rows(open_widgets, touch: bool) -> None:
    watched = open_widgets(Attention(), touch=touch)
    page = watched.page
    handle = page.get_by_role("slider", name="query q1")
    start = handle.locator(".hit").bounding_box()
    center = [start["x"] + start["width"] / 2, start["y"] + start["height"] / 2]
    page.mouse.move(*center)
    page.mouse.down()
    page.mouse.move(center[0] - 50, center[1] - 40, steps=4)
    page.mouse.up()
    x, y = (float(part.split(" ")[1]) for part in handle.get_attribute("aria-valuetext").split(", "))
    assert x < 1.6
    assert y > 0.8
    box = page.locator(".tb-at-matrix").bounding_box()
    at = box["x"] + 0.6 * box["width"], box["y"] + 0.95 * box["height"]
    page.touchscreen.tap(*at) if touch else page.mouse.click(*at)
    assert page.locator(".tb-readout").text_content().startswith("q4 looks most at")
    watched.check()


@pytest.mark.slow
def test_masks_leak_or_give_nan_when_they_multiply(open_widgets) -> None:
    watched = open_widgets(Attention(row=1))
    page, readout = watched.page, watched.page.locator(".tb-readout")
    assert not page.get_by_label("the mask", exact=True).is_visible()
    page.get_by_label("mask", exact=True).select_option("causal")
    assert "Leak" not in readout.text_content()
    page.get_by_label("the mask", exact=True).select_option("zero")
    leak = by_torch(QUERIES, KEYS, VALUES, mask="causal", way="zero")[3][1, 2:].sum()
    assert f"Leak: {leak:.2g} of the weight" in readout.text_content()
    page.get_by_label("the mask", exact=True).select_option("inf")
    assert "the weights are NaN. A negative score times −∞ is +∞." in readout.text_content()
    page.get_by_label("the mask", exact=True).select_option("add")
    page.get_by_label("mask", exact=True).select_option("local")
    page.get_by_label("window w").fill("0")
    assert "q2 looks most at k2, with weight 1.00" in readout.text_content()
    page.get_by_label("mask", exact=True).select_option("none")
    page.get_by_label("hard: largest score only").check()
    assert "with weight 1.00. Output (−1.20, 2.60). Entropy 0.00" in readout.text_content()
    watched.check()


@pytest.mark.slow
def test_a_sentence_and_its_heads(open_widgets) -> None:
    watched = open_widgets(Attention("sentence"))
    page, readout = watched.page, watched.page.locator(".tb-readout")
    page.get_by_label("sentence, up to 9 words").fill("a rose is a rose")
    assert readout.text_content().startswith("“a” (word 1) looks most at word 1, “a”, with weight 0.50. Output 1.00 a")
    assert page.locator(".tb-at-matrix .cell").count() == 25
    page.get_by_label("sentence, up to 9 words").fill("")
    assert page.locator(".tb-at-matrix .cell").count() == 25, "an empty text changes nothing"
    page.get_by_role("button", name="previous word").click()
    page.get_by_role("slider", name="query shown").press("ArrowDown")
    assert readout.text_content().startswith("“rose” (word 2) looks most at word 1, “a”")
    assert page.locator(".tb-at-mix").text_content().count("[") == len(HEADS)
    watched.check()


@pytest.mark.slow
@pytest.mark.parametrize(("theme", "width"), [("light", 360), ("dark", 900)])
@pytest.mark.parametrize("mode", ["numbers", "sentence"])
def test_it_fits_and_its_controls_are_large_enough(open_widgets, mode: str, theme: str, width: int) -> None:
    watched = open_widgets(Attention(mode, mask="local"), theme=theme, width=width)
    page = watched.page
    if mode == "numbers":
        page.locator(".tb-at summary").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    small = watched.too_low(
        ".tb button, .tb select, .tb .hit, .tb summary, .tb label.tb-check, .tb input:not([type=checkbox])"
    )
    assert small == 0
    watched.check()


@pytest.mark.slow
def test_a_slider_answers_within_a_frame(open_widgets) -> None:
    watched = open_widgets(Attention("sentence"))
    median = watched.slide_ms("document.querySelector('.tb-controls input[type=range]')", "-1 + i / 12")
    assert median < 50, f"{median:.0f} ms for one move of the temperature"
    watched.check()
