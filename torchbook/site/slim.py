"""Leave out of the style sheets and the fonts of mathematics what no page of the book uses.

The theme brings Bootstrap and an icon font with some 2,000 names: 66 kB gzipped on every page. A rule stays if
every class that its selector needs occurs in a page, or as a word in a script that may set it. KaTeX's fonts bring
every sign of mathematics: a glyph stays if its character stands in a formula.
"""

from __future__ import annotations

import html
import re
from pathlib import Path

import tinycss2
from fontTools import subset
from sphinx.application import Sphinx

CLASS = re.compile(r"\.(-?[A-Za-z_][\w-]*)")
NEGATED = re.compile(r":not\([^)]*\)")
FONTS = Path(__file__).parent / "static" / "katex" / "fonts"
# What KaTeX draws: from the start of a formula to the next formula or the end of a block, so rather too much.
FORMULA = re.compile(
    r'class="katex-html"[^>]*>(.*?)(?=</(?:p|div|li|td|th|h\d|dt|dd|figcaption|body)>|class="katex-mathml")', re.S
)
SHEETS = ("styles/pydata-sphinx-theme.css", "styles/sphinx-book-theme.css", "sphinx-design.min.css")


def used_names(site: Path) -> set[str]:
    """Every class of every page, and every word of every script."""
    names: set[str] = set()
    for page in site.rglob("*.html"):
        for value in re.findall(r'\bclass="([^"]*)"', page.read_text(encoding="utf-8")):
            names |= set(value.split())
    for script in [*site.glob("_static/**/*.js")]:
        if script.name != "fontawesome.js":  # it names all icons; no page loads it
            names |= set(re.findall(r"[A-Za-z_][\w-]*", script.read_text(encoding="utf-8", errors="ignore")))
    return names


def _selectors(prelude: str) -> list[str]:
    """A selector list cut at its own commas, not at those inside `:is(a, b)`."""
    depth, parts = 0, [""]
    for char in prelude:
        depth += (char == "(") - (char == ")")
        if char == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += char
    return [part.strip() for part in parts]


def _needs(selector: str) -> set[str]:
    """Classes without which this selector matches nothing. Inside `:is()` and `:where()` one of several is enough."""
    plain = re.sub(r":(?:is|where|has)\((?:[^()]|\([^()]*\))*\)", "", NEGATED.sub("", selector))
    return set(CLASS.findall(plain))


def slim(css: str, names: set[str]) -> str:
    """The style sheet without rules that match no page, and without the icon font."""
    out = []
    for rule in tinycss2.parse_stylesheet(css, skip_comments=True, skip_whitespace=True):
        if rule.type == "qualified-rule":
            selectors = _selectors(tinycss2.serialize(rule.prelude))
            kept = [selector for selector in selectors if _needs(selector) <= names]
            icons = all(re.match(r"\.(?:fa|sr-only)", selector) for selector in selectors)
            if kept and not icons:
                out.append(",".join(kept) + "{" + tinycss2.serialize(rule.content).strip() + "}")
        elif rule.type == "at-rule" and rule.lower_at_keyword in {"media", "supports"} and rule.content is not None:
            inner = slim(tinycss2.serialize(rule.content), names)
            if inner:
                out.append(f"@{rule.lower_at_keyword}{tinycss2.serialize(rule.prelude)}{{{inner}}}")
        elif rule.type != "error":
            text = rule.serialize()
            if "Awesome" not in text:
                out.append(text)
    return "".join(out)


def used_characters(site: Path) -> set[str]:
    """Every character of every formula."""
    found: set[str] = set()
    for page in site.rglob("*.html"):
        for match in FORMULA.finditer(page.read_text(encoding="utf-8")):
            found |= set(html.unescape(re.sub(r"<[^>]*>?", "", match[1])))
    return found


def slim_font(source: Path, target: Path, characters: set[str]) -> None:
    """Write the font with the glyphs of these characters alone."""
    options = subset.Options(flavor="woff2", layout_features=["*"], notdef_outline=True)
    font = subset.load_font(str(source), options)
    subsetter = subset.Subsetter(options)
    subsetter.populate(text="".join(characters))
    subsetter.subset(font)
    subset.save_font(font, str(target), options)


def _slim_site(app: Sphinx, exception: Exception | None) -> None:
    if exception is not None or app.builder.format != "html":
        return
    site = Path(app.outdir)
    names = used_names(site)
    for name in SHEETS:
        sheet = site / "_static" / name
        if sheet.exists():
            sheet.write_text(slim(sheet.read_text(encoding="utf-8"), names), encoding="utf-8")
    characters = used_characters(site)
    for source in FONTS.glob("*.woff2"):  # always from the whole font: an earlier build kept what it needed
        slim_font(source, site / "_static" / "katex" / "fonts" / source.name, characters)


def setup(app: Sphinx) -> None:
    """Connect the events of this part."""
    app.connect("build-finished", _slim_site, priority=900)
