"""Which chapters a benchmark runs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from torchbook.site.chapters import Page, notebooks

ROOT = Path(__file__).resolve().parent.parent


def chosen(parser: argparse.ArgumentParser, names: Sequence[str]) -> list[Page]:
    """The chapters of these names, all if there are none. An unknown name ends the program with a sentence."""
    pages = [page for page in notebooks(ROOT) if not names or page.name in names]
    if unknown := set(names) - {page.name for page in pages}:
        parser.error(f"no chapter named {', '.join(sorted(unknown))}")
    return pages
