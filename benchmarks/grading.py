"""Seconds per submission: `torchbook grade` in its sandbox, with one and two jobs, and stock `pytest --nbval`.

    python benchmarks/grading.py [--submissions 20]

One run on one machine, the same five questions with torch for all. Prints a Markdown table and writes it to
benchmarks/grading.md. The first rows include the start of the warm server, which a larger class pays once.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
import psutil

HERE = Path(__file__).parent
SETUP = """# setup
import torch
from torchbook.exercises import answer, cases, draws

def vectors(rng):
    return [torch.randn(6, generator=torch.Generator().manual_seed(rng.getrandbits(63))) for _ in range(8)]

for name in ("Q1", "Q2", "Q3", "Q4", "Q5"):
    draws(name)(vectors)
"""
BODIES = {
    "Q1": "x.relu()",
    "Q2": "(x - x.max()).exp() / (x - x.max()).exp().sum()",
    "Q3": "(x - x.mean()) / x.std(unbiased=False)",
    "Q4": "x.logsumexp(0)",
    "Q5": "torch.outer(x, x)",
}


def key() -> nbformat.NotebookNode:
    """An answer key of five short questions."""
    cells = [nbformat.v4.new_markdown_cell("# Benchmark"), nbformat.v4.new_code_cell(SETUP)]
    for name, body in BODIES.items():
        solution = f"    ### BEGIN SOLUTION\n    return {body}\n    ### END SOLUTION"
        check = f'# {name} check · 1 point\nassert f(torch.ones(3)) is not None, "return it"\n'
        cells += [
            nbformat.v4.new_markdown_cell(f"**{name} · Function** · 1 point"),
            nbformat.v4.new_code_cell(f"# {name} answer\ndef f(x):\n{solution}"),
            nbformat.v4.new_code_cell(f'{check}answer([f(x) for x in cases("{name}")])'),
        ]
    return nbformat.v4.new_notebook(
        cells=cells, metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    )


def run(command: list[str], folder: Path) -> tuple[float, int]:
    """Wall seconds and the peak of the memory (bytes, PSS-like sum of unique memory) of a command's processes."""
    started, peak = time.perf_counter(), 0
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    while process.poll() is None:
        total = 0
        try:
            for child in [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]:
                total += child.memory_full_info().uss
        except psutil.Error:
            pass  # a process ended while it was read
        peak = max(peak, total)
        time.sleep(0.2)
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{process.stdout.read()[-2000:]}")
    return time.perf_counter() - started, peak


def earned(results: Path, count: int) -> None:
    """Stop unless every submission was graded and got all five points: a fast wrong grader is no result."""
    totals = [json.loads(line)["total"] for line in results.read_text(encoding="utf-8").splitlines()]
    if totals != [5.0] * count:
        sys.exit(f"the answers are right, but the totals are {totals}")


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--submissions", type=int, default=20)
    count = parser.parse_args().submissions
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    torchbook = [sys.executable, "-m", "torchbook.cli"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "solutions" / "bench" / "five.ipynb"
        path.parent.mkdir(parents=True)
        (folder / "exercises").mkdir()
        nbformat.write(key(), path)
        subprocess.run([*torchbook, "release", "--execute", "bench/five"], cwd=folder, check=True, capture_output=True)
        inbox = folder / "inbox"
        inbox.mkdir()
        for number in range(count):
            shutil.copy(path, inbox / f"student{number:04}.ipynb")
        assignment = ["--assignment", "bench/five", "--seed", "1"]
        rows = []
        for jobs in (1, 2):
            out = ["--out", str(folder / f"out{jobs}"), "--jobs", str(jobs)]
            rows.append((f"torchbook grade, sandbox, {jobs} job{'s' if jobs > 1 else ''}",
                         *run([*torchbook, "grade", "inbox", *out, *assignment], folder)))  # fmt: skip
            earned(folder / f"out{jobs}" / "results.jsonl", count)
        rows.append(("pytest --nbval (stock, no sandbox, no hidden cases)",
                     *run([sys.executable, "-m", "pytest", "-q", "--nbval", "inbox"], folder)))  # fmt: skip
    lines = [
        f"{count} submissions of five questions, Python {platform.python_version()}, {os.cpu_count()} cores.",
        "",
        "| grader | seconds per submission | peak memory, all processes (MB) |",
        "|---|---|---|",
        *(f"| {label} | {seconds / count:.2f} | {peak / 1e6:.0f} |" for label, seconds, peak in rows),
    ]
    command = f"python benchmarks/grading.py --submissions {count}"
    (HERE / "grading.md").write_text(f"# Grading speed\n\n`{command}` printed:\n\n" + "\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
