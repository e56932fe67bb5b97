"""The rank widget's decomposition against torch.linalg, its 4-bit levels against the published table, and the page."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
import traitlets

from torchbook.widgets import LowRank
from torchbook.widgets.low_rank import BLOCKS

DRAW = torch.Generator().manual_seed(0)
WEIGHTS = torch.randn(32, 64, generator=DRAW)
CHANGE = {"mirrored": torch.randn(25, 16, generator=DRAW), "turned": torch.randn(25, 16, generator=DRAW)}
SCORES = {name: [k / 16 for k in range(17)] for name in CHANGE}
PUBLISHED = [  # Dettmers et al. (2023), appendix E
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
    -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
]  # fmt: skip


# ---- Traits.


def test_the_arguments_become_traits() -> None:
    widget = LowRank(CHANGE, scores=SCORES, weights=WEIGHTS, rank=3, levels="fp4", block=32, outlier=5)
    assert (widget.names, widget.shape, widget.update) == (["mirrored", "turned"], [25, 16], "mirrored")
    assert widget.matrices[1] == pytest.approx(CHANGE["turned"].flatten().tolist(), rel=1e-3)
    assert widget.scores[0][16] == 1
    assert widget.weights == pytest.approx(WEIGHTS.flatten().tolist(), rel=1e-3)
    assert (widget.rank, widget.levels, widget.block, widget.outlier) == (3, "fp4", 32, 5.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "give updates, or weights, or both"),
        ({"scores": SCORES, "weights": WEIGHTS}, "scores belong to updates"),
        ({"updates": {}}, "updates must hold 1 to 3 matrices"),
        ({"updates": {"a": [[1.0, 2.0]]}}, "the update 'a' must be a floating-point tensor"),
        ({"updates": {"a": torch.ones(3, 3, dtype=torch.int64)}}, "the update 'a' must be a floating-point tensor"),
        ({"updates": {"a": torch.ones(3, 97)}}, "2 to 96 rows and columns"),
        ({"updates": {"a": torch.zeros(3, 3)}}, "not all zero"),
        ({"updates": {"a": torch.full((3, 3), math.nan)}}, "must be finite"),
        ({"updates": {"a": torch.ones(3, 3), "b": torch.ones(3, 4)}}, "must have one shape"),
        ({"updates": {"random numbers": torch.ones(3, 3)}}, "no update may be called 'random numbers'"),
        ({"updates": CHANGE, "scores": {"mirrored": [0.5] * 17}}, "scores must have the names of updates"),
        ({"updates": CHANGE, "scores": {name: [0.5] * 16 for name in CHANGE}}, "must be 17 accuracies"),
        ({"updates": CHANGE, "scores": {name: [1.5] * 17 for name in CHANGE}}, "an accuracy must be a number from 0"),
        ({"updates": CHANGE, "rank": 17}, "rank must be a whole number from 0 to 16"),
        ({"updates": CHANGE, "rank": 2.0}, "rank must be a whole number"),
        ({"weights": torch.ones(63)}, "weights must be 64 to 16,384"),
        ({"weights": [1.0] * 64}, "weights must be a floating-point tensor"),
        ({"weights": WEIGHTS, "levels": "int4"}, "levels must be one of nf4, even, fp4"),
        ({"weights": WEIGHTS, "block": 48}, "block must be one of 16, 32"),
        ({"weights": WEIGHTS, "outlier": 0.5}, "outlier must be a number from 1 to 100"),
    ],
)
def test_bad_arguments_say_what_is_wrong(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LowRank(**arguments)


def test_bad_traits_are_refused() -> None:
    widget = LowRank(CHANGE)
    for name, value in (("rank", 17), ("rank", -1), ("outlier", 0.0), ("update", "upside down"), ("block", 48)):
        with pytest.raises(traitlets.TraitError):
            setattr(widget, name, value)
    widget.update = "random numbers"


# ---- The maths, in the browser.


@pytest.mark.slow
def test_the_decomposition_is_torchs(js) -> None:
    low = torch.randn(9, 2, generator=DRAW) @ torch.randn(2, 7, generator=DRAW)
    for a in (torch.randn(12, 9, generator=DRAW), torch.randn(5, 11, generator=DRAW), low, torch.eye(4)):
        a = a.double()
        m, n = a.shape
        got = js(LowRank._esm, "svd(arg.a, arg.m, arg.n)", {"a": a.flatten().tolist(), "m": m, "n": n})
        u, s, v = (torch.tensor(got[name], dtype=torch.float64) for name in "usv")
        assert torch.allclose(s, torch.linalg.svdvals(a), atol=1e-10)
        assert torch.allclose((u.T * s) @ v, a, atol=1e-10)
        assert torch.allclose(v @ v.T, torch.eye(len(v), dtype=v.dtype), atol=1e-9) or m < n
        alive = u[s > 1e-9]
        assert torch.allclose(alive @ alive.T, torch.eye(len(alive), dtype=u.dtype), atol=1e-9)


@pytest.mark.slow
def test_cuts_are_the_best_of_their_rank(js) -> None:
    a = torch.randn(8, 6, generator=DRAW).double()
    U, s, V = torch.linalg.svd(a, full_matrices=False)
    for r in range(7):
        got = js(LowRank._esm, "cut(svd(arg[0], 8, 6), arg[1])", [a.flatten().tolist(), r])
        best = (U[:, :r] * s[:r]) @ V[:r]
        assert got == pytest.approx(best.flatten().tolist(), abs=1e-10)
        left = js(LowRank._esm, "missing(arg[0], arg[1])", [s.tolist(), r])
        assert left == pytest.approx(((a - best).norm() / a.norm()).item(), abs=1e-10)
        assert js(LowRank._esm, f"thin(8, 6, {r})") == U[:, :r].numel() + V[:r].numel()


@pytest.mark.slow
def test_random_numbers_are_gaussian_with_the_norm_and_the_seed(js) -> None:
    got = torch.tensor(js(LowRank._esm, "noise(60, 50, 7, 3)"))
    assert got.norm().item() == pytest.approx(7, rel=1e-6)
    unit = got / got.std()
    assert unit.mean().abs() < 0.06
    assert unit.pow(4).mean().item() == pytest.approx(3, abs=0.4)
    assert got.tolist() == torch.tensor(js(LowRank._esm, "noise(60, 50, 7, 3)")).tolist()
    assert js(LowRank._esm, "noise(3, 3, 1, 3)") != js(LowRank._esm, "noise(3, 3, 1, 4)")


@pytest.mark.slow
def test_normal_quantiles_and_levels(js) -> None:
    p = torch.tensor([0.5, 0.51, 0.6, 0.75, 0.9, 929 / 960, 0.99, 0.25], dtype=torch.float64)
    got = js(LowRank._esm, "arg.map(normalQuantile)", p.tolist())
    assert got == pytest.approx(torch.special.ndtri(p).tolist(), abs=1e-12)
    back = js(LowRank._esm, "arg.map(normalCdf)", [-3.0, -1.0, 0.0, 0.5, 2.0])
    wanted = torch.special.ndtr(torch.tensor([-3.0, -1.0, 0.0, 0.5, 2.0], dtype=torch.float64))
    assert back == pytest.approx(wanted.tolist(), abs=1e-12)
    levels = js(LowRank._esm, "Object.fromEntries(Object.entries(LEVELS).map(([k, v]) => [k, v.values]))")
    assert levels["nf4"] == pytest.approx(PUBLISHED, abs=1e-6)
    assert levels["even"] == pytest.approx(torch.linspace(-1, 1, 16).tolist(), abs=1e-6)
    floats = {s * m * 2.0**e for s, e, m in itertools.product((-1, 1), (0, 1, 2), (1, 1.5))} | {0.0, 0.5, -0.5}
    assert levels["fp4"] == pytest.approx(sorted(value / 6 for value in floats))


@pytest.mark.slow
def test_quantization_takes_the_nearest_level_of_its_block(js) -> None:
    w = torch.randn(8, 40, generator=DRAW).double().flatten()
    w[64:80] = 0
    levels = torch.tensor(PUBLISHED, dtype=torch.float64)
    for block in (16, 64, 128, 512):
        got = js(LowRank._esm, "quantize(arg[0], arg[1], arg[2])", [w.tolist(), levels.tolist(), block])
        parts = w.split(block)
        restored, codes = [], []
        for part in parts:
            scale = part.abs().max()
            unit = part / scale if scale > 0 else part
            code = (unit[:, None] - levels).abs().argmin(dim=1)
            codes += code.tolist()
            restored += (levels[code] * scale).tolist()
        assert got["codes"] == codes
        assert got["scales"] == pytest.approx([part.abs().max().item() for part in parts])
        assert got["restored"] == pytest.approx(restored)
        error = js(LowRank._esm, "relativeError(arg[0], arg[1])", [w.tolist(), restored])
        assert error == pytest.approx(((w - torch.tensor(restored)).norm() / w.norm()).item())
    spared = js(LowRank._esm, "relativeError([3, 4, 100], [3, 3, 0], 2)")
    assert spared == pytest.approx(1 / 5)


@pytest.mark.slow
def test_bits_and_outliers(js) -> None:
    assert js(LowRank._esm, "bits(64)") == 4.5
    assert js(LowRank._esm, "bits(64, true)") == pytest.approx(4 + 8 / 64 + 32 / (64 * 256))
    got = js(LowRank._esm, "withOutlier([1, -3, 2], 10)")
    assert got == {"at": 1, "values": [1, -30, 2]}


@pytest.mark.slow
def test_rows_become_tiles_where_they_are_square(js) -> None:
    tiles = js(LowRank._esm, "[layout(9, 16)].map((g) => [g.width, g.height, g.place(0, 0), g.place(4, 5)])[0]")
    assert tiles == [14, 14, [0, 0], [6, 6]]
    plain = js(LowRank._esm, "[layout(3, 5)].map((g) => [g.width, g.height, g.place(2, 4)])[0]")
    assert plain == [5, 3, [4, 2]]


# ---- In the page.


def _missing(name: str, rank: int) -> str:
    s = torch.linalg.svdvals(CHANGE[name].double())
    return f"{100 * (s[rank:].norm() / s.norm()).item():.0f} % of ΔW is missing"


@pytest.mark.slow
def test_keyboard_moves_the_rank_and_the_line_says_the_result(open_widgets) -> None:
    watched = open_widgets(LowRank(CHANGE, scores=SCORES, rank=4))
    page = watched.page
    readout = page.locator(".tb-readout")
    assert "Rank 4 of 16: 164 numbers instead of 400 (41 %)." in readout.text_content()
    assert _missing("mirrored", 4) in readout.text_content()
    assert "Accuracy 25.0 %; with all of ΔW 100.0 %." in readout.text_content()
    page.get_by_role("slider", name="rank").press("ArrowRight")
    assert "Rank 5 of 16" in readout.text_content()
    assert _missing("mirrored", 5) in readout.text_content()
    page.get_by_role("slider", name="rank").press("End")
    assert "Rank 16 of 16" in readout.text_content()
    assert " 0 % of ΔW is missing" in readout.text_content()
    assert page.locator(".tb-lr-shared .off").count() == 0
    page.get_by_role("slider", name="rank").press("Home")
    assert "100 % of ΔW is missing" in readout.text_content()
    assert page.locator(".tb-lr-shared .off").count() == 8
    page.get_by_label("update", exact=True).select_option("turned")
    page.get_by_role("slider", name="rank").fill("6")
    assert _missing("turned", 6) in readout.text_content()
    page.get_by_label("update", exact=True).select_option("random numbers")
    assert "Accuracy" not in readout.text_content()
    assert page.locator(".tb-lr-score").count() == 1, "the legend's own; no curve without scores"
    watched.check()


@pytest.mark.slow
@pytest.mark.parametrize("touch", [False, True])
def test_the_pointer_sets_the_rank(open_widgets, touch: bool) -> None:
    watched = open_widgets(LowRank(CHANGE, rank=1), touch=touch)
    page = watched.page
    box = page.locator(".tb-lr-rank .tb-plot").bounding_box()
    scale = box["width"] / float(page.locator(".tb-lr-rank .tb-plot").get_attribute("viewBox").split()[2])
    x = box["x"] + scale * 40 + (box["width"] - scale * 50) * 10 / 16.5
    y = box["y"] + 0.4 * box["height"]
    page.touchscreen.tap(x, y) if touch else page.mouse.click(x, y)
    assert "Rank 10 of 16" in page.locator(".tb-readout").text_content()
    watched.check()


@pytest.mark.slow
def test_levels_blocks_and_outliers(open_widgets) -> None:
    watched = open_widgets(LowRank(weights=WEIGHTS))
    page = watched.page
    readout = page.locator(".tb-readout")

    def error() -> float:
        return float(readout.text_content().split("the error is ")[1].split(" %")[0])

    assert "NF4, blocks of 64" in readout.text_content()
    assert "4.5 bits per weight, 4.127 with double quantization" in readout.text_content()
    assert page.locator(".tb-lr-pin").count() == 16
    nf4 = error()
    page.get_by_label("levels", exact=True).select_option("even")
    assert error() > nf4
    page.get_by_label("levels", exact=True).select_option("fp4")
    assert page.locator(".tb-lr-pin").count() == 15
    page.get_by_label("levels", exact=True).select_option("nf4")
    page.get_by_role("slider", name="outlier").press("End")
    assert error() < 3 * nf4, "only one block of 32 suffers"
    page.get_by_role("slider", name="block").press("End")
    assert f"blocks of {max(b for b in BLOCKS if b <= WEIGHTS.numel()):,}" in readout.text_content()
    assert error() > 4 * nf4, "now all do"
    watched.check()


@pytest.mark.slow
@pytest.mark.parametrize(("theme", "width"), [("light", 360), ("dark", 900)])
def test_it_fits_and_its_controls_are_large_enough(open_widgets, theme: str, width: int) -> None:
    watched = open_widgets(LowRank(CHANGE, scores=SCORES, weights=WEIGHTS), theme=theme, width=width)
    page = watched.page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    small = page.locator(".tb select, .tb input[type=range]").evaluate_all(
        "nodes => nodes.filter((node) => node.getBoundingClientRect().height < 24).length"
    )
    assert small == 0
    assert page.locator(".tb-plot text").first.bounding_box()["height"] >= 11
    assert page.locator(".tb-readout").text_content().count("Rank 8 of 16") == 1
    watched.check()


@pytest.mark.slow
def test_a_slider_answers_within_a_frame(open_widgets) -> None:
    watched = open_widgets(LowRank({"full": torch.randn(64, 64, generator=DRAW)}, weights=torch.randn(4096)))
    median = watched.slide_ms("document.querySelector('.tb-controls input[type=range]')", "i")
    assert median < 50, f"{median:.0f} ms for one move of the rank"
    watched.check()
