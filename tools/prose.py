"""Write torchbook/assets/prose.txt: the sentences of the chapters, one paragraph a line.

    python tools/prose.py

The corpus is a fixed snapshot: chapters train language models on it, and their text must not change whenever
a sentence of the book does. Run this by hand, on purpose, and expect those chapters' numbers to move.
Sentences with mathematics, code or citations are left out: they would be gaps, not prose.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "torchbook" / "assets" / "prose.txt"
_CELL = re.compile(r"^(`{3,}).*?^\1\s*$", re.MULTILINE | re.DOTALL)
_DIRECTIVE = re.compile(r"^:+.*$", re.MULTILINE)  # the lines around an admonition, not its text
_DISPLAY = re.compile(r"^\$\$.*?^\$\$.*?$", re.MULTILINE | re.DOTALL)
_SENTENCE = re.compile(r"(?<=[.?!:])\s+(?=[A-Z])")
_NOT_PROSE = re.compile(r"[$`{}|<>\\\[\]_=]")
PLAIN = {"“": '"', "”": '"', "’": "'", "‘": "'", "–": "-", "−": "-", "—": "-", "×": "x", "…": "...", "\u00a0": " "}


def chapters() -> list[Path]:
    """The chapters of the table of contents, in its order."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    files = [chapter["file"] for part in toc["parts"] for chapter in part["chapters"]]
    paths = [ROOT / f"{name}.md" for name in files if re.fullmatch(r"book/(?!appendix)\w+/.*", name)]
    return [path for path in paths if path.read_text(encoding="utf-8").startswith("---\njupytext")]


def paragraphs(text: str) -> list[str]:
    """The plain sentences of one chapter, joined by paragraph."""
    text = re.sub(r"\A---.*?^---$", "", text, flags=re.MULTILINE | re.DOTALL)
    text = _DIRECTIVE.sub("", _DISPLAY.sub("", _CELL.sub("", text)))
    text = text.partition("## Further reading")[0].partition("## Quiz")[0]
    found = []
    for block in re.split(r"\n\s*\n", text):
        block = " ".join(block.split())
        if block.startswith(("#", "%", "|", "- ", "1. ")):
            continue
        block = block.replace("*", "")
        kept = [s for s in _SENTENCE.split(block) if len(s) > 12 and not _NOT_PROSE.search(s)]
        if kept:
            found.append(" ".join(kept).translate(str.maketrans(PLAIN)))
    return found


def main() -> None:
    """Write the snapshot and say how large it is."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    lines = [line for path in chapters() for line in paragraphs(path.read_text(encoding="utf-8"))]
    text = "\n".join(line for line in lines if line.isascii()) + "\n"
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(text, encoding="ascii", newline="\n")
    print(f"{len(text)} characters, {len(set(text))} different ones, {len(text.split())} words", file=sys.stderr)


if __name__ == "__main__":
    main()
