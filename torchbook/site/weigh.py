"""What a page costs a reader on a slow line: the gzipped bytes of all that it loads."""

from __future__ import annotations

import gzip
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

LIMIT = 300_000
# Which of KaTeX's fonts the browser fetches follows from the classes in the page.
KATEX_FONTS = {
    "KaTeX_Main-Regular": r'class="katex"',
    "KaTeX_Math-Italic": r"\bmathnormal\b",
    "KaTeX_Main-Bold": r"\bmathbf\b",
    "KaTeX_Main-Italic": r"\bmathit\b",
    "KaTeX_Math-BoldItalic": r"\bboldsymbol\b",
    "KaTeX_AMS-Regular": r"\b(?:amsrm|mathbb)\b",
    "KaTeX_Caligraphic-Regular": r"\bmathcal\b",
    "KaTeX_Typewriter-Regular": r"\bmathtt\b|\btexttt\b",
    "KaTeX_SansSerif-Regular": r"\bmathsf\b|\btextsf\b",
    "KaTeX_Size1-Regular": r"\bdelimsizing size1\b|\bsmall-op\b",
    "KaTeX_Size2-Regular": r"\bdelimsizing size2\b|\blarge-op\b",
    "KaTeX_Size3-Regular": r"\bdelimsizing size3\b|delim-size3",
    "KaTeX_Size4-Regular": r"\bdelimsizing size4\b|delim-size4|delimsizing mult",
}
LOADED = re.compile(r'<(?:script|img|link|source)\b[^>]*?\b(?:src|href)="([^"]+)"[^>]*>')
PASSIVE = re.compile(r'\brel="(?:next|prev|search|index|canonical|author|copyright|shortcut icon)"')


@cache
def _packed(path: Path) -> int:
    data = path.read_bytes()
    already = path.suffix in {".png", ".jpg", ".jpeg", ".woff2", ".gif", ".webp"}
    return len(data) if already else len(gzip.compress(data, 6, mtime=0))


@dataclass(frozen=True)
class Weight:
    """One page: its own gzipped bytes, and those of everything that it loads."""

    page: str
    own: int
    total: int
    outside: tuple[str, ...]  # resources of other hosts: there must be none


def weigh(page: Path, root: Path) -> Weight:
    """Weigh one built page.

    Args:
        page: the HTML file.
        root: the site's folder.
    """
    text = page.read_text(encoding="utf-8")
    own, files, outside = _packed(page), set(), []
    for match in LOADED.finditer(text):
        if match[0].startswith("<link") and PASSIVE.search(match[0]):
            continue
        target = urlsplit(match[1])
        if target.scheme in {"http", "https"} or match[1].startswith("//"):
            outside.append(match[1])
        elif not target.scheme and target.path:
            files.add((page.parent / unquote(target.path)).resolve())
    if any(path.name == "katex.min.css" for path in files):
        fonts = root / "_static" / "katex" / "fonts"
        files |= {fonts / f"{font}.woff2" for font, use in KATEX_FONTS.items() if re.search(use, text)}
    total = own + sum(_packed(path) for path in files if path.is_file())
    return Weight(page.relative_to(root).as_posix(), own, total, tuple(outside))


def weigh_site(root: Path) -> list[Weight]:
    """Weigh every page of the built site, heaviest first."""
    found = [weigh(page, root) for page in sorted(root.rglob("*.html")) if "_static" not in page.parts]
    return sorted(found, key=lambda weight: -weight.total)
