"""Do the chapters' assertions have room? Run chapters with other seeds, and print which of them still pass.

    python benchmarks/seeds.py [--shifts 1,2] [--jobs 2] [CHAPTER ...]

Every seed in the cells is shifted by the same number: manual_seed(0) becomes manual_seed(0 + shift), and default_rng
likewise. A chapter fails at the first assertion that does not hold. The exit code is the number of failures.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from chapters import chosen
from tqdm import tqdm

from torchbook.site.chapters import Page

SEEDING = re.compile(r"\b(manual_seed|default_rng|PCG64)\((?=[^)])")


def shifted(page: Page, shift: int) -> str:
    """The chapter's cells as one script, every seed moved by `shift`."""
    return "\n\n".join(SEEDING.sub(rf"\1({shift} + ", cell) for cell in page.cells)


def run(page: Page, shift: int) -> str:
    """An empty text if the chapter passes, else its error and the line that raised it."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1", "TORCHBOOK_SCALE": "cpu",
                   "MPLBACKEND": "agg"}  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "chapter.py"
        script.write_text(shifted(page, shift))
        result = subprocess.run([sys.executable, str(script)], cwd=folder, env=environment, capture_output=True,
                                text=True, timeout=900)  # fmt: skip
    if result.returncode == 0:
        return ""
    lines = [line.strip() for line in result.stderr.strip().splitlines() if line.strip(" ^~")]
    raised = [lines[i + 1] for i, line in enumerate(lines[:-1]) if "chapter.py" in line]
    return " | ".join([lines[-1], *raised[-1:]])[:400]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("chapters", nargs="*", metavar="CHAPTER", help="part/chapter; all by default")
    parser.add_argument("--shifts", type=lambda text: [int(part) for part in text.split(",")], default=[1, 2])
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    pages = chosen(parser, args.chapters)
    failures = 0
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        waiting = {pool.submit(run, page, shift): (page.name, shift) for page in pages for shift in args.shifts}
        for future in tqdm(concurrent.futures.as_completed(waiting), total=len(waiting), unit="run"):
            name, shift = waiting[future]
            if said := future.result():
                failures += 1
                tqdm.write(f"{name}, seeds + {shift}: {said}")
    print(f"{len(waiting) - failures} of {len(waiting)} runs passed")
    return failures


if __name__ == "__main__":
    sys.exit(main())
