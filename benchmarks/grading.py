"""Seconds per submission: `torchbook grade` in its sandbox, nbgrader, otter, and stock `pytest --nbval`.

    python benchmarks/grading.py [--submissions 20] [--long 1000]

One run on one machine, the same five questions with torch for all, every submission right. nbgrader and otter
get an environment of their own under _build/bench (the first run installs them: minutes). Prints a Markdown
report and writes it to benchmarks/grading.md. Totals are checked: a fast wrong grader is no result.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import nbformat
import psutil
from five_questions import nbgrader_source, otter_master, torchbook_key
from tqdm import tqdm

HERE = Path(__file__).resolve().parent
ENVIRONMENTS = HERE.parent / "_build" / "bench"
OTHERS = {"nbgrader": ["nbgrader==0.9.6"], "otter": ["otter-grader==7.0.0", "ipykernel"]}
TORCHBOOK = [sys.executable, "-m", "torchbook.cli"]
SAMPLE_SECONDS = 0.05


@dataclass(frozen=True)
class Cost:
    """What a command took: wall seconds; peak private memory of all its processes, and of one forked kernel."""

    seconds: float
    memory: int
    kernel: int = 0


def binary(name: str) -> str:
    """The folder of the programs of `name`'s own environment, which is made if need be."""
    folder = ENVIRONMENTS / name
    if not (folder / "ready").exists():
        print(f"installing {name} into {folder}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        torch = f"torch=={public_version('torch')}"
        subprocess.run([folder / "bin" / "pip", "install", "-q", *OTHERS[name], torch], check=True)
        (folder / "ready").touch()
    return str(folder / "bin")


def public_version(package: str) -> str:
    """The version that is installed here, without its local part: 2.13.0+cpu is 2.13.0."""
    from importlib.metadata import version

    return version(package).partition("+")[0]


def run(command: list[str], folder: Path, path: str = "") -> Cost:
    """Run a command and sample its processes' memory. Stops the benchmark with the output if it fails."""
    search = os.pathsep.join(filter(None, [path, os.environ["PATH"]]))
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PATH": search}
    started, peak, kernel = time.perf_counter(), 0, 0
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT)
        while process.poll() is None:
            sizes = dict(_private_memory(psutil.Process(process.pid)))
            peak = max(peak, sum(sizes.values()))
            kernel = max([kernel, *(size for depth, size in sizes.items() if depth[0] >= 4)])
            time.sleep(SAMPLE_SECONDS)
        if process.returncode:
            output.seek(0)
            sys.exit(f"{' '.join(map(str, command))} failed:\n{output.read()[-2000:]}")
    return Cost(time.perf_counter() - started, peak, kernel)


def _private_memory(process: psutil.Process, depth: int = 0) -> Iterable[tuple[tuple[int, int], int]]:
    """((depth in the tree, pid), bytes that no other process shares) of a process and its descendants."""
    try:
        yield (depth, process.pid), process.memory_full_info().uss
        for child in process.children():
            yield from _private_memory(child, depth + 1)
    except psutil.Error:
        return  # it ended while it was read


def check(totals: list[float], count: int) -> None:
    """Every submission was graded, and got all five points."""
    if totals != [5.0] * count:
        sys.exit(f"the answers are right, but the totals are {totals}")


# ---------------------------------------------------------------- the graders


def prepare_torchbook(folder: Path, count: int) -> Path:
    """A tree with one key, and `count` submissions of it."""
    path = folder / "solutions" / "bench" / "five.ipynb"
    path.parent.mkdir(parents=True)
    (folder / "exercises").mkdir()
    (folder / "inbox").mkdir()
    nbformat.write(torchbook_key(), path)
    subprocess.run([*TORCHBOOK, "release", "--execute", "bench/five"], cwd=folder, check=True, capture_output=True)
    for number in range(count):
        shutil.copy(path, folder / "inbox" / f"student{number:04}.ipynb")
    return folder


def torchbook(folder: Path, count: int, jobs: int) -> tuple[Cost, list[float]]:
    """The cost, and the seconds of each submission in the order of their ends."""
    shutil.rmtree(folder / "out", ignore_errors=True)
    options = ["--out", "out", "--jobs", str(jobs), "--assignment", "bench/five", "--seed", "1"]
    cost = run([*TORCHBOOK, "grade", "inbox", *options], folder)
    records = [json.loads(line) for line in (folder / "out" / "results.jsonl").read_text("utf-8").splitlines()]
    check([record["total"] for record in records], count)
    return cost, [record["seconds"] for record in records]


def nbval(folder: Path) -> Cost:
    """pytest's exit code says whether all cells passed."""
    return run([sys.executable, "-m", "pytest", "-q", "--nbval", "inbox"], folder)


def nbgrader(folder: Path, count: int) -> Cost:
    """`nbgrader autograde` of a class, its own folders."""
    path, source = binary("nbgrader"), folder / "source" / "five" / "five.ipynb"
    source.parent.mkdir(parents=True)
    nbformat.write(nbgrader_source(), source)
    for number in range(count):
        inbox = folder / "submitted" / f"student{number:04}" / "five"
        inbox.mkdir(parents=True)
        shutil.copy(source, inbox)
    command = f"{path}/nbgrader"
    run([command, "generate_assignment", "five", "--create"], folder, path)
    cost = run([command, "autograde", "five"], folder, path)
    run([command, "export"], folder, path)
    with (folder / "grades.csv").open(newline="") as file:
        check([float(row["score"]) for row in csv.DictReader(file)], count)
    return cost


def otter(folder: Path, count: int) -> Cost:
    """`otter run`, once per submission: it takes one at a time."""
    path = binary("otter")
    nbformat.write(otter_master(), folder / "five.ipynb")
    run([f"{path}/otter", "assign", "five.ipynb", "dist", "--no-pdfs"], folder, path)
    (archive,) = (folder / "dist" / "autograder").glob("*.zip")
    costs = []
    for number in tqdm(range(count), desc="otter run"):
        out = folder / f"out{number}"
        out.mkdir()
        command = [
            f"{path}/otter",
            "run",
            "--no-logo",
            "-a",
            str(archive),
            "-o",
            str(out),
            "dist/autograder/five.ipynb",
        ]
        costs.append(run(command, folder, path))
        tests = json.loads((out / "results.json").read_text("utf-8"))["tests"]
        check([sum(test.get("score", 0.0) for test in tests)], 1)
    return Cost(sum(cost.seconds for cost in costs), max(cost.memory for cost in costs))


# ---------------------------------------------------------------- the report


def compare(count: int) -> list[str]:
    """The table of all graders on one class."""
    with tempfile.TemporaryDirectory() as ours, tempfile.TemporaryDirectory() as a, tempfile.TemporaryDirectory() as b:
        folder = prepare_torchbook(Path(ours), count)
        rows = [(f"torchbook grade, sandbox, {jobs} job{'s' * (jobs > 1)}", torchbook(folder, count, jobs)[0])
                for jobs in (1, 2)]  # fmt: skip
        rows.append(("pytest --nbval (stock: no sandbox, no hidden cases)", nbval(folder)))
        rows.append(("nbgrader autograde 0.9.6", nbgrader(Path(a), count)))
        rows.append(("otter run 7.0.0", otter(Path(b), count)))
    ours_seconds = rows[0][1].seconds
    return [
        f"## A class of {count}",
        "",
        "Wall time of the whole command, its start included.",
        "",
        "| grader | seconds per submission | times ours | peak memory, all processes (MB) |",
        "|---|---|---|---|",
        *(
            f"| {label} | {cost.seconds / count:.2f} | {cost.seconds / ours_seconds:.1f} | {cost.memory / 1e6:.0f} |"
            for label, cost in rows
        ),
    ]


def constancy(short: int, long: int) -> list[str]:
    """What one more submission costs, and whether the thousandth costs more than the first."""
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        few, _ = torchbook(prepare_torchbook(Path(one), short), short, 1)
        many, each = torchbook(prepare_torchbook(Path(two), long), long, 1)
    tenth = long // 10
    return [
        f"## A class of {long}",
        "",
        f"torchbook grade, sandbox, 1 job. {short} submissions took {few.seconds:.1f} s, {long} took "
        f"{many.seconds:.1f} s: **{(many.seconds - few.seconds) / (long - short):.3f} s for each further submission**.",
        "",
        f"Median of the first {tenth}: {statistics.median(each[:tenth]):.3f} s; of the last {tenth}: "
        f"{statistics.median(each[-tenth:]):.3f} s.",
        f"Peak memory of all processes: {few.memory / 1e6:.0f} MB and {many.memory / 1e6:.0f} MB; "
        f"of one kernel alone (what it does not share with the server): {many.kernel / 1e6:.0f} MB.",
    ]


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--submissions", type=int, default=20, help="size of the class that all graders grade")
    parser.add_argument("--long", type=int, default=1000, help="size of the class that ours alone grades")
    args = parser.parse_args()
    command = f"python benchmarks/grading.py --submissions {args.submissions} --long {args.long}"
    lines = [
        "# Grading speed",
        "",
        f"`{command}` printed, with Python {platform.python_version()}, torch {public_version('torch')} "
        f"and {os.cpu_count()} cores:",
        "",
        *compare(args.submissions),
        "",
        *constancy(args.submissions, args.long),
    ]
    (HERE / "grading.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
