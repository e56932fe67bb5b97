"""`python -m torchbook.site build`, `serve` and `lab`: what the Makefile calls."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from torchbook.site.build import BuildFailed, build
from torchbook.site.chapters import book_root
from torchbook.site.lab import open_lab
from torchbook.site.serve import PortTaken, serve


def main(argv: list[str] | None = None) -> int:
    """Build or serve the book; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m torchbook.site", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    builder = verbs.add_parser("build", help="execute what changed and write the pages")
    builder.add_argument("--jobs", type=int, default=2, help="chapters executed at a time")
    server = verbs.add_parser("serve", help="serve the built pages on this machine")
    server.add_argument("--port", type=int, default=8000)
    verbs.add_parser("lab", help="open JupyterLab, chapters as notebooks")
    args = parser.parse_args(argv)
    try:
        root: Path = book_root()
        if args.verb == "build":
            build(root, args.jobs)
        elif args.verb == "lab":
            open_lab(root)
        else:
            serve(root / "_build" / "html", args.port)
    except (BuildFailed, PortTaken, FileNotFoundError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
