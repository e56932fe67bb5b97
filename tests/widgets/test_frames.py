"""Frames: pictures of every kind become small, safe and told apart; slider, keys, drag and player agree."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from PIL import Image

from torchbook.plotting import style
from torchbook.widgets import Frames
from torchbook.widgets.frames import picture

ALT = ["The first picture is dark", "The second picture is gray", "The third picture is bright"]


def figure(value: float = 1.0) -> plt.Figure:
    with style():
        fig, ax = plt.subplots(figsize=(4.5, 2.5))
        ax.plot(np.sin(np.linspace(0, 6, 50)) * value)
        ax.set_xlabel("step")
    return fig


def images() -> Frames:
    return Frames({0.1: torch.zeros(8, 8), 0.5: torch.full((8, 8), 0.5), 1.0: torch.ones(8, 8)},
                  parameter="brightness", alt=ALT, start=1)  # fmt: skip


def figures() -> Frames:
    return Frames({k: figure(k) for k in (1, 2, 3)}, parameter="scale", alt=ALT)


def test_a_tensor_becomes_the_png_of_its_pixels() -> None:
    pixels = torch.linspace(0, 1, 12).reshape(2, 2, 3)
    entry = picture(pixels)
    decoded = np.asarray(Image.open(io.BytesIO(base64.b64decode(entry["png"].split(",")[1]))))
    assert decoded.shape == (2, 2, 3)
    np.testing.assert_allclose(decoded / 255, pixels.numpy(), atol=0.5 / 255 + 1e-7)
    assert (entry["width"], entry["height"], entry["pixelated"]) == (320, 320, True)


def test_png_bytes_travel_unchanged() -> None:
    buffer = io.BytesIO()
    Image.new("L", (400, 300)).save(buffer, "PNG")
    entry = picture(buffer.getvalue())
    assert base64.b64decode(entry["png"].split(",")[1]) == buffer.getvalue()
    assert (entry["width"], entry["height"], entry["pixelated"]) == (400, 300, False)


def test_a_figure_becomes_small_svg_in_the_pages_color_and_is_closed() -> None:
    fig = figure()
    raw = io.StringIO()
    fig.savefig(raw, format="svg")
    entry = picture(fig)
    assert "currentColor" in entry["svg"]
    assert "step" in entry["svg"]
    assert len(entry["svg"]) < 0.75 * len(raw.getvalue())
    assert entry["width"] == pytest.approx(4.5 * 96)
    assert not plt.fignum_exists(fig.number)


def test_labels_are_short() -> None:
    frames = {0.1 + 0.2: torch.zeros(2, 2), 1e-5: torch.zeros(2, 2), "none": torch.zeros(2, 2)}
    labels = [frame["label"] for frame in Frames(frames, parameter="lr", alt=ALT).frames]
    assert labels == ["0.3", "1e-05", "none"]


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (torch.zeros(3, 8, 8), r"permute\(1, 2, 0\)"),
        (torch.zeros(8), "is \\(H, W\\)"),
        (torch.full((2, 2), 2.0), "lies in \\[0, 1\\]"),
        (torch.full((2, 2), -0.1), "lies in \\[0, 1\\]"),
        (torch.tensor([[0.0, float("nan")]]), "lies in \\[0, 1\\]"),
        (b"GIF89a" + bytes(40), "no PNG"),
    ],
)
def test_bad_pictures_say_which_frame_and_why(image: object, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        Frames({"a": torch.zeros(2, 2), "b": image}, parameter="p", alt=ALT[:2])
    assert "'b'" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"alt": ALT[:1]}, "one sentence per frame"),
        ({"alt": "one string for all"}, "one sentence per frame"),
        ({"alt": ["short", ALT[1]]}, "in a sentence"),
        ({"start": 2}, "indices 0 to 1"),
        ({"start": -1}, "indices 0 to 1"),
        ({"frames": {1: torch.zeros(2, 2)}, "alt": ALT[:1]}, "at least two"),
        ({"frames": {1: torch.zeros(2, 2), "1": torch.zeros(2, 2)}}, "same label"),
    ],
)
def test_bad_arguments_say_what_is_wrong(change: dict[str, object], message: str) -> None:
    given = {
        "frames": {1: torch.zeros(2, 2), 2: torch.zeros(2, 2)},
        "parameter": "p",
        "alt": ALT[:2],
    } | change
    with pytest.raises(ValueError, match=message):
        Frames(given.pop("frames"), **given)


def test_other_objects_and_indices_are_refused() -> None:
    with pytest.raises(TypeError, match="got list"):
        picture([[0.0, 1.0]])
    with pytest.raises(Exception, match="index must lie in 0 to 2"):
        images().index = 3


@pytest.mark.slow
def test_a_drag_over_the_whole_picture_passes_all_frames(js) -> None:
    steps = js(Frames._esm, "arg.map(([start, dx]) => dragged(start, dx, 300, 6))",
               [[0, 0], [0, 49], [0, 51], [0, 300], [5, -300], [2, -10], [2, 24], [2, 26]])  # fmt: skip
    assert steps == [0, 1, 1, 5, 0, 2, 2, 3]


HOSTILE = """<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" onload="x()">
<script>x()</script><style>@import url(http://h/)</style><foreignObject><b/></foreignObject>
<clipPath id="c"><rect id="r"/></clipPath><g clip-path="url(#c)" onclick="x()" style="fill: url(http://h/a)"/>
<use xlink:href="#r"/><use href="http://h/b#r"/><use href="data:image/png;base64,BBBB"/>
<image href="data:image/png;base64,AAAA"/>
<image xlink:href="//h/i"/><a xlink:href="javascript:x()"><text>kept</text></a>
<animate attributeName="href" values="javascript:x()"/></svg>"""


@pytest.mark.slow
def test_a_hostile_svg_is_disarmed(js) -> None:
    safe = js(Frames._esm, "safeSvg(arg, 'P-').outerHTML", HOSTILE)
    for bad in ("script", "onload", "onclick", "http://h", "//h/", "@import", "foreignObject", "animate", "BBBB"):
        assert bad not in safe, bad
    for kept in ('id="P-c"', "url(#P-c)", 'xlink:href="#P-r"', "data:image/png;base64,AAAA", "kept"):
        assert kept in safe, kept
    with pytest.raises(Exception, match="no readable SVG"):
        js(Frames._esm, "safeSvg(arg, 'P-').outerHTML", "<svg><g></svg>")


@pytest.mark.slow
def test_slider_keys_buttons_and_drag_agree(open_widgets) -> None:
    watched = open_widgets(images())
    page = watched.page
    readout, frame = page.locator(".tb-readout"), page.locator(".tb-frame")
    assert readout.text_content() == f"brightness = 0.5 (2 of 3): {ALT[1]}"
    page.get_by_role("slider").press("ArrowRight")
    assert readout.text_content() == f"brightness = 1 (3 of 3): {ALT[2]}"
    assert frame.get_attribute("aria-label") == ALT[2]
    assert frame.get_attribute("role") == "img"
    assert page.get_by_role("slider").get_attribute("aria-valuetext") == "1"
    # Without this attribute on the focused element itself, JupyterLab takes the arrow keys for "next cell".
    assert page.evaluate("document.activeElement.hasAttribute('data-lm-suppress-shortcuts')")
    page.get_by_role("button", name="Next frame").click()
    assert "(1 of 3)" in readout.text_content()
    page.get_by_role("button", name="Previous frame").click()
    assert "(3 of 3)" in readout.text_content()
    box = page.locator(".tb-frames").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 60)
    assert "(2 of 3)" in readout.text_content()
    page.mouse.move(box["x"] + 2, box["y"] + 60)
    page.mouse.up()
    assert "(1 of 3)" in readout.text_content()
    assert page.get_by_role("slider").input_value() == "0"
    watched.check()


@pytest.mark.slow
def test_the_player_plays_and_stops(open_widgets) -> None:
    watched = open_widgets(images())
    page = watched.page
    page.get_by_role("button", name="Play the frames").click()
    page.get_by_text("(3 of 3)").wait_for(timeout=5000)
    page.get_by_text("(1 of 3)").wait_for(timeout=5000)
    page.get_by_role("button", name="Pause").click()
    stood = page.locator(".tb-readout").text_content()
    page.wait_for_timeout(900)
    assert page.locator(".tb-readout").text_content() == stood
    page.get_by_role("button", name="Play the frames").click()
    page.get_by_role("slider").press("End")  # a hand on the slider stops the player
    page.get_by_role("slider").press("Home")
    page.get_by_role("button", name="Play the frames").wait_for(timeout=2000)
    page.wait_for_timeout(900)
    assert "(1 of 3)" in page.locator(".tb-readout").text_content()
    watched.check()


@pytest.mark.slow
def test_less_motion_means_no_player(open_widgets) -> None:
    watched = open_widgets(images())
    watched.page.emulate_media(reduced_motion="reduce")
    watched.page.reload()
    watched.page.locator("[data-ready=yes]").wait_for()
    assert watched.page.get_by_role("button").count() == 2
    watched.page.get_by_role("button", name="Next frame").click()
    assert "(3 of 3)" in watched.page.locator(".tb-readout").text_content()
    watched.check()


@pytest.mark.slow
@pytest.mark.parametrize(("theme", "width"), [("light", 360), ("dark", 900)])
def test_figures_follow_the_theme_fit_and_share_no_id(open_widgets, theme: str, width: int) -> None:
    watched = open_widgets(figures(), figures(), images(), theme=theme, width=width)
    page = watched.page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((node) => node.id)")
    assert len(ids) == len(set(ids)) > 10
    broken = page.evaluate(
        """[...document.querySelectorAll('.tb-frame [clip-path], .tb-frame use')].filter((node) => {
            const clip = node.getAttribute('clip-path')?.slice(5, -1);
            return !document.getElementById(clip ?? node.getAttribute('xlink:href').slice(1));
        }).length"""
    )
    assert broken == 0
    ink = page.locator(".tb-frame text").first.evaluate("node => getComputedStyle(node).fill")
    assert ink == page.locator(".tb").first.evaluate("node => getComputedStyle(node).color")
    size = page.locator(".tb-frame text").first.bounding_box()["height"]
    assert size >= 11
    watched.check()
