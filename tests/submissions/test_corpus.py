"""The corpus of hostile, broken and fair submissions, graded in one batch by the command that a teacher runs."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.submissions import (
    CELL_SECONDS,
    MEMORY_MB,
    POINTS,
    Submission,
    affine_answers,
    broken,
    fair,
    hostile,
    write_key,
)
from torchbook.grading.exports import file_name
from torchbook.grading.sandbox import sandbox_available

pytestmark = pytest.mark.alone

SEED = 20260117
JOBS = 2
# Of one submission: a cell may be run into its limit in the whole notebook and twice alone, with 2 s to end.
MAX_SECONDS = 3 * (CELL_SECONDS + 2) + 20
MAX_BATCH_SECONDS = 600
GRADER_MB = 150  # the grader's own peak: a zip bomb of 200 MB, read whole, would pass it
# All processes together: the warm server, and per job what a kernel may use, with its share of torch.
FAMILY_MB = 1_000 + JOBS * 2 * MEMORY_MB

_GRADE = """
import re, sys
from torchbook import cli
code = cli.main(sys.argv[1:])
print("peak kB", re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1])
sys.exit(code)
"""


@dataclass
class World:
    """The folders of one batch, outside the sandbox, with canaries that everybody may read and write."""

    root: Path
    places: hostile.Places
    listeners: list[socket.socket]
    before: dict[str, str] = field(default_factory=dict)

    def snapshot(self) -> dict[str, str]:
        """Every file below inbox, key and canary, with its content, rights and time."""
        found = {}
        for folder in (self.places.inbox, self.root / "course", self.places.canary.parent):
            for path in sorted(folder.rglob("*")):
                status = path.lstat()
                regular = path.is_file() and not path.is_symlink()
                digest = hashlib.sha256(path.read_bytes()).hexdigest() if regular else ""
                found[str(path)] = f"{status.st_mode:o} {status.st_size} {status.st_mtime_ns} {digest}"
        return found


@dataclass
class Graded:
    """What the batch left: one record per student, pages, and how it went."""

    world: World
    records: dict[str, dict[str, Any]]
    code: int
    stderr: str
    seconds: float
    grader_mb: float
    family_mb: float

    def page(self, student: str) -> str:
        return (self.world.places.out / "feedback" / f"{file_name(student)}.html").read_text()


def corpus(places: hostile.Places) -> list[Submission]:
    return [*fair.submissions(), *broken.submissions(), *hostile.submissions(places)]


def _nowhere() -> hostile.Places:
    """Places for the names alone: pytest collects the tests before the folders exist."""
    none = Path("/nowhere")
    return hostile.Places(none, none, none, none, 0, none, "mark", "secret")


NAMES = [submission.name for submission in [*corpus(_nowhere()), *broken.archived()]]


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """A folder that the user of the sandbox could reach, if it saw it: not one below pytest's private one."""
    root = Path(tempfile.mkdtemp(prefix="torchbook-corpus-", dir="/var/tmp"))
    root.chmod(0o755)
    token = root.name.rpartition("-")[2]
    for name in ("in", "out", "outside", "tmp"):
        (root / name).mkdir()
        (root / name).chmod(0o777)
    canary, unix = root / "outside" / "canary.txt", root / "outside" / "socket"
    canary.write_text("tweet")
    canary.chmod(0o666)
    tcp = socket.create_server(("127.0.0.1", 0))
    listeners = [tcp, _listen(str(unix)), _listen(f"\0{unix}")]
    key = write_key(root / "course")
    key.chmod(0o666)
    mark = f"{int(token.encode().hex()[:10], 16)}.5"  # a number that `sleep` takes, and nobody else has
    places = hostile.Places(key, root / "in", root / "out", canary, tcp.getsockname()[1], unix, mark, f"canary-{token}")
    yield World(root, places, listeners)
    for listener in listeners:
        listener.close()
    shutil.rmtree(root)


def _listen(address: str) -> socket.socket:
    server = socket.socket(socket.AF_UNIX)
    server.bind(address)
    server.listen()
    return server


@pytest.fixture(scope="module")
def expected(world: World) -> dict[str, Submission]:
    """All submissions by name, written where the grader will look for them."""
    made = corpus(world.places)
    for submission in made:
        (world.places.inbox / f"{submission.file or submission.name}.ipynb").write_bytes(submission.data)
    broken.write_links(world.places.inbox, world.places.key)
    broken.write_archives(world.root / "course")
    return {submission.name: submission for submission in [*made, *broken.archived()]}


@pytest.fixture(scope="module")
def graded(world: World, expected: dict[str, Submission]) -> Graded:
    available, why_not = sandbox_available()
    if not available:
        pytest.fail(f"the corpus cannot be graded here: {why_not}")
    world.before = world.snapshot()
    archives = sorted((world.root / "course").glob("*.zip"))
    command = [sys.executable, "-c", _GRADE, "grade", world.places.inbox, *archives, "--out", world.places.out]
    command += ["--solutions", world.root / "course" / "solutions", "--seed", SEED, "--jobs", JOBS]
    command += ["--timeout", CELL_SECONDS, "--memory", MEMORY_MB]
    environment = {**os.environ, "TORCHBOOK_CANARY": world.places.secret, "TMPDIR": str(world.root / "tmp")}
    started = time.monotonic()
    process = subprocess.Popen(
        list(map(str, command)), env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    family = _Watch(process.pid)
    family.start()
    try:
        stdout, stderr = process.communicate(timeout=MAX_BATCH_SECONDS)
    finally:
        process.kill()
        family.over.set()
        family.join()
    lines = (world.places.out / "results.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert len({record["student"] for record in records}) == len(records)
    return Graded(
        world,
        {record["student"]: record for record in records},
        process.returncode,
        stderr,
        time.monotonic() - started,
        int(stdout.rsplit("peak kB", 1)[1]) / 1000,
        family.peak_mb,
    )


class _Watch(threading.Thread):
    """The highest memory of a process and all below it, shared pages counted once."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid, self.peak_mb, self.over = pid, 0.0, threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.3):
            total = 0
            for process in self._family():
                try:
                    total += process.memory_full_info().pss
                except psutil.Error:
                    continue
            self.peak_mb = max(self.peak_mb, total / 1e6)

    def _family(self) -> list[psutil.Process]:
        try:
            top = psutil.Process(self.pid)
            return [top, *top.children(recursive=True)]
        except psutil.Error:
            return []


# ---------------------------------------------------------------- each submission


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_it_gets_what_it_earned(name: str, graded: Graded, expected: dict[str, Submission]) -> None:
    submission = expected[name]
    student = submission.student or submission.name
    record = graded.records[student]
    questions = {question["name"]: question for question in record["questions"]}
    said = {q: (result["state"], result["message"][:200], result["notes"]) for q, result in questions.items()}
    correct = {q for q, result in questions.items() if result["state"] == "correct"}
    assert correct == set(submission.earns), said
    points = {q: result["points"] for q, result in questions.items()}
    assert points == {q: p * (q in submission.earns) for q, p in POINTS.items()}
    assert (record["total"], record["max"]) == (submission.total, sum(POINTS.values()))
    assert record["state"] == ("graded" if submission.readable else "unreadable"), record["notes"]
    for question, states in submission.states.items():
        assert questions[question]["state"] in states, said
    assert all(result["state"] not in ("not run", "unchecked") for result in questions.values()), said
    assert all(result["message"] for q, result in questions.items() if q not in correct), said
    assert record["seconds"] < MAX_SECONDS
    _assert_harmless(json.dumps(record), graded.page(student), "Q1" in submission.earns)


def _assert_harmless(line: str, page: str, knows_q1: bool) -> None:
    """Nothing outside was seen; the student's page is short, dead text, and keeps the hidden answers."""
    assert "BREACH" not in line, line[line.index("BREACH") :][:300]
    assert len(line) < 150_000
    assert len(page) < 300_000
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert "\x1b" not in page
    if not knows_q1:
        assert not [value for value in affine_answers(SEED) if str(value) in page]


# ---------------------------------------------------------------- the batch


@pytest.mark.slow
def test_every_file_has_one_result_and_links_have_none(graded: Graded, expected: dict[str, Submission]) -> None:
    assert graded.code == 0, graded.stderr[-2000:]
    assert set(graded.records) == {submission.student or submission.name for submission in expected.values()}
    assert not set(broken.LINKS) & set(graded.records)
    with (graded.world.places.out / "gradebook.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(expected)
    assert not [row for row in rows if any(value.startswith(("=", "+", "@")) for value in row.values())]
    report = (graded.world.places.out / "report.html").read_text()
    assert "<script>alert" not in report
    assert "<img src=x" not in report
    assert "a link or a special file" in report


@pytest.mark.slow
def test_nothing_outside_has_changed(graded: Graded) -> None:
    world = graded.world
    assert world.snapshot() == world.before
    made = {path.name for path in world.places.out.iterdir()}
    assert made == {"results.jsonl", "gradebook.csv", "report.html", "feedback"}
    assert list((world.root / "tmp").iterdir()) == []
    folders = (Path("/tmp"), Path.home(), Path.cwd(), Path("/var/tmp"), world.root)
    assert [path for folder in folders for path in folder.glob(f"*{world.places.mark}*")] == []


@pytest.mark.slow
def test_no_process_and_no_connection_is_left(graded: Graded) -> None:
    world = graded.world
    assert select.select(world.listeners, [], [], 0)[0] == [], "a submission has connected"
    deadline = time.monotonic() + 5
    while (left := _left(world)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left == []


def _left(world: World) -> list[str]:
    """Processes with the mark in their command, or with the batch's folder in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            words = " ".join([*process.cmdline(), *process.environ().values()])
        except psutil.Error:
            continue
        if process.pid != os.getpid() and (world.places.mark in words or str(world.root / "tmp") in words):
            found.append(f"{process.pid} {process.name()}")
    return found


@pytest.mark.slow
def test_memory_and_time_are_bounded(graded: Graded) -> None:
    slowest = sorted(graded.records.values(), key=lambda record: -record["seconds"])[:10]
    print([(record["student"], round(record["seconds"])) for record in slowest])
    print(
        f"{len(graded.records)} submissions, {graded.seconds:.0f} s, grader {graded.grader_mb:.0f} MB, "
        f"all processes {graded.family_mb:.0f} MB"
    )
    assert graded.grader_mb < GRADER_MB
    assert graded.family_mb < FAMILY_MB
    assert graded.seconds < MAX_BATCH_SECONDS


def test_the_corpus_is_large_and_its_names_differ() -> None:
    attacks = hostile.submissions(_nowhere())
    assert len(set(NAMES)) == len(NAMES)
    assert len(attacks) >= 60
    assert len(fair.submissions()) >= 30
