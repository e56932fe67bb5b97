"""Leave out of the style sheets what no page of the book uses.

The theme brings Bootstrap and an icon font with some 2,000 names: 66 kB gzipped on every page. A rule stays if
every class that its selector needs occurs in a page, or as a word in a script that may set it.
"""

from __future__ import annotations

import re
from pathlib import Path

import tinycss2
from sphinx.application import Sphinx

CLASS = re.compile(r"\.(-?[A-Za-z_][\w-]*)")
NEGATED = re.compile(r":not\([^)]*\)")
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


def _slim_sheets(app: Sphinx, exception: Exception | None) -> None:
    if exception is not None or app.builder.format != "html":
        return
    site = Path(app.outdir)
    names = used_names(site)
    for name in SHEETS:
        sheet = site / "_static" / name
        if sheet.exists():
            sheet.write_text(slim(sheet.read_text(encoding="utf-8"), names), encoding="utf-8")


def setup(app: Sphinx) -> None:
    """Connect the events of this part."""
    app.connect("build-finished", _slim_sheets, priority=900)
