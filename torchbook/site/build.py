"""Build the book: execute what changed, let Sphinx write the pages, weigh them."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from torchbook.site.execute import ANSI, KERNEL_ENVIRONMENT, ChapterFailed, execute
from torchbook.site.weigh import LIMIT, weigh_site


class BuildFailed(Exception):
    """The book could not be built; the text says what to mend."""


def _sphinx(root: Path) -> None:
    program = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()"]
    command = [*program, "build", str(root), "--warningiserror", "--nitpick",
               "--keep-going", "--quiet"]  # fmt: skip
    environment = {**KERNEL_ENVIRONMENT, **os.environ, "NO_COLOR": "1"}
    with tempfile.TemporaryFile("w+", encoding="utf-8") as log:  # a file: a pipe could be held open by a child
        result = subprocess.run(command, cwd=root, stdout=log, stderr=subprocess.STDOUT,
                                stdin=subprocess.DEVNULL, env=environment)  # fmt: skip
        log.seek(0)
        lines = [line for line in ANSI.sub("", log.read()).splitlines() if line.strip()]
    if result.returncode:
        telling = [line for line in lines if "WARNING" in line or "ERROR" in line]
        raise BuildFailed("The pages have warnings:\n" + "\n".join(telling or lines[-40:]))


def _weigh(out: Path) -> None:
    weights = weigh_site(out)
    print(f"\nPage weights, gzipped, with all that a page loads (limit {LIMIT // 1000} kB):")
    for weight in weights:
        print(f"  {weight.total / 1000:6.1f} kB  (page alone {weight.own / 1000:5.1f})  {weight.page}")
    heavy = [weight.page for weight in weights if weight.total > LIMIT]
    outside = [f"{weight.page}: {url}" for weight in weights for url in weight.outside]
    if heavy:
        raise BuildFailed(f"Too heavy for a slow line, more than {LIMIT // 1000} kB: {', '.join(heavy)}")
    if outside:
        raise BuildFailed("Pages must ask no other host for anything:\n" + "\n".join(outside))


def build(root: Path, jobs: int = 2) -> Path:
    """Execute, build and weigh the book at `root`. Returns the site's folder.

    Raises:
        BuildFailed: with one text that says what went wrong and where.
    """
    started, out = time.perf_counter(), root / "_build" / "html"
    if not (out / "index.html").exists():  # Sphinx would trust its memory of pages that are gone
        shutil.rmtree(root / "_build" / ".doctrees", ignore_errors=True)
    try:
        took = execute(root, jobs)
        _sphinx(root)
    except ChapterFailed as error:
        raise BuildFailed(f"A chapter failed:\n{error}") from None
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise BuildFailed("The disk is full: the build needs about 500 MB in the book's folder") from None
        raise
    _weigh(out)
    ran = f"{len(took)} chapters executed" if took else "nothing had to run again"
    print(f"\nBuilt in {time.perf_counter() - started:.0f} s ({ran}): {out / 'index.html'}")
    return out
