"""The house style of the figures: readable in grey, light and dark, and never without alt text.

`show(fig, alt=...)` writes the figure into the page as SVG. Text stays text, and its color follows the
page, so one picture serves the light and the dark theme, print and a phone.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager

import matplotlib as mpl
from matplotlib.figure import Figure

# Okabe and Ito's palette, darkened where it was too light for thin lines on white, and told apart by dashes too.
COLORS = ["#d1541f", "#2f7fb8", "#3a9463", "#b07c10", "#9c63b8", "#7c8594"]
DASHES = ["-", (0, (5, 2)), (0, (1, 1.4)), (0, (6, 2, 1, 2)), (0, (3, 1.5)), (0, (8, 2))]
INK = "#010203"  # a color that no figure uses by chance; `show` turns it into the page's own

STYLE = {
    "figure.figsize": (6.4, 3.0),
    "figure.constrained_layout.use": True,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "legend.facecolor": "none",
    "legend.edgecolor": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "grid.color": INK,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "lines.linewidth": 1.8,
    "image.cmap": "gray",
    "image.interpolation": "nearest",
    "axes.prop_cycle": mpl.cycler(color=COLORS) + mpl.cycler(linestyle=DASHES),
    "svg.fonttype": "none",  # text stays text: small, searchable, selectable
    "svg.hashsalt": "torchbook",  # the same figure gives the same bytes
}


def use_style() -> None:
    """Make the house style matplotlib's default for this notebook."""
    mpl.rcParams.update(STYLE)


@contextmanager
def style() -> Iterator[None]:
    """The house style for one block, without touching the reader's own settings."""
    with mpl.rc_context(STYLE):
        yield


def to_svg(fig: Figure) -> str:
    """The figure as one `<svg>` element that takes its text color from the page."""
    buffer = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "torchbook"}):
        fig.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    # matplotlib's style element would reach every SVG of the page, the widgets' too: keep it on this one.
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>\s*", "", svg, flags=re.DOTALL)
    return _compact(svg.replace(INK, "currentColor"))


def _shorter(match: re.Match[str]) -> str:
    digits = re.sub(r"-?\d+\.\d{3,}", lambda m: f"{float(m[0]):.2f}".rstrip("0").rstrip("."), match[2])
    return f"{match[1]}{' '.join(digits.split())}{match[3]}"


def _compact(svg: str) -> str:
    """The same picture in half the bytes: 0.01 pt is finer than a screen, and most ids are never referred to.

    Only coordinates are rounded: a `scale(0.0156)` and the digits of a label keep all they have.
    """
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r'( (?:d|x|y|x1|y1|x2|y2)=")([^"]*)(")', _shorter, svg)
    svg = re.sub(r"((?:rotate|translate)\()([^)]*)(\))", _shorter, svg)
    referred = set(re.findall(r'(?:url\(#|href="#)([^")]+)', svg))
    svg = re.sub(r' id="([^"]+)"', lambda m: m[0] if m[1] in referred else "", svg)
    # Each text repeats a long list of fonts: the reader's own sans-serif is the page's font too.
    svg = re.sub(r"font-family: [^;\"]*sans-serif", "font-family: sans-serif", svg)
    svg = re.sub(r"(font: [\d.]+px )[^;\"]*sans-serif", r"\1sans-serif", svg)
    return re.sub(r">\s+<", "><", svg)


def _own_ids(svg: str, prefix: str) -> str:
    """Ids that no other figure of the page uses: clip paths are found by id."""
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}\1"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}\1)", svg)
    return re.sub(r'(xlink:href|href)="#([^"]+)"', rf'\1="#{prefix}\2"', svg)


class Picture:
    """A figure with its alt text; Jupyter shows it as HTML, a terminal as the alt text."""

    count = 0

    def __init__(self, fig: Figure, alt: str) -> None:
        if not alt or len(alt.split()) < 4:
            raise ValueError("a figure needs alt text: one sentence that says what it shows")
        Picture.count += 1
        self.alt = alt
        self.svg = _own_ids(to_svg(fig), f"f{Picture.count}-")

    def _repr_html_(self) -> str:
        svg = self.svg.replace("<svg ", f'<svg role="img" aria-label="{html.escape(self.alt)}" ', 1)
        return f'<div class="tb-figure" style="max-width:100%;overflow-x:auto">{_responsive(svg)}</div>'

    def __repr__(self) -> str:
        return f"[figure: {self.alt}]"


def _responsive(svg: str) -> str:
    """Let the picture shrink with its column instead of being cut."""
    return re.sub(
        r'(<svg [^>]*?)width="([\d.]+)pt" height="[\d.]+pt"',
        lambda m: (
            f'{m[1]}style="width:{float(m[2]) * 4 / 3:.0f}px;max-width:100%;height:auto;'
            'stroke-linejoin:round;stroke-linecap:butt"'
        ),
        svg,
        count=1,
    )


def show(fig: Figure, alt: str) -> None:
    """Display `fig` with its alt text and close it.

    Args:
        fig: a matplotlib figure.
        alt: one sentence that says what the picture shows, for those who do not see it.
    """
    from IPython.display import display
    from matplotlib import pyplot as plt

    display(Picture(fig, alt))
    plt.close(fig)
