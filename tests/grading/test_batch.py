"""`torchbook grade`: usage, resuming, seeds, several files of one student."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
import zipfile

import pytest

from tests.grading.build import CELLS, RIGHT, as_bytes, submission, write_key
from tests.grading.fake import FakeRunner
from torchbook import cli
from torchbook.grading import sandbox
from torchbook.grading.protocol import RunnerError
from torchbook.grading.release import find_tree

WRONG = "# Q1 answer\ndef double(x):\n    return 6 if x == 3 else 41234"


class Course:
    """A folder with a key, submissions and results."""

    def __init__(self, root):
        self.root, self.out, self.inbox = root, root / "out", root / "in"
        self.inbox.mkdir()
        self.runner = FakeRunner()
        write_key(root)

    def hand_in(self, name, cells=None, when=None):
        path = self.inbox / f"{name}.ipynb"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(as_bytes(submission() if cells is None else cells))
        if when is not None:
            os.utime(path, (when, when))

    def grade(self, *options, paths=None):
        self.runner = FakeRunner()
        paths = [self.inbox] if paths is None else paths
        where = ["--out", str(self.out), "--solutions", str(self.root / "solutions")]
        return cli.main(["grade", *map(str, paths), *where, *options])

    def results(self):
        return [json.loads(line) for line in (self.out / "results.jsonl").read_text().splitlines()]

    def gradebook(self):
        with (self.out / "gradebook.csv").open(newline="") as file:
            return {row["student"]: row for row in csv.DictReader(file)}


@pytest.fixture
def course(tmp_path, monkeypatch):
    made = Course(tmp_path)
    monkeypatch.setattr(sandbox, "sandbox_available", lambda: (True, ""))
    monkeypatch.setattr(sandbox, "SandboxRunner", lambda: made.runner)
    return made


def test_a_class_is_graded(course):
    course.hand_in("ada")
    course.hand_in("bob", submission(q1=WRONG))
    course.hand_in("eve", submission(q1=None, q2=None))
    (course.inbox / "mallory.ipynb").write_text("{")
    assert course.grade("--seed", "5", "--junit", str(course.out / "sub" / "j.xml")) == 0
    records = {record["student"]: record for record in course.results()}
    assert {name: record["total"] for name, record in records.items()} == {
        "ada": 5,
        "bob": 3,
        "eve": 0,
        "mallory": 0,
    }
    ada = records["ada"]
    assert ada["questions"][0] | {"message": "", "detail": ""} == ada["questions"][0]
    assert {"name", "points", "max", "state", "seconds"} <= ada["questions"][0].keys()
    assert (ada["assignment"], ada["seed"], ada["max"], len(ada["sha256"])) == ("part/chapter", 5, 5, 64)
    assert [question["state"] for question in records["eve"]["questions"]] == ["missing", "missing"]
    assert (records["mallory"]["state"], records["mallory"]["max"]) == ("unreadable", 5)
    assert course.gradebook()["bob"]["part/chapter Q1"] == "0"
    assert len(list((course.out / "feedback").iterdir())) == 4
    assert len(ET.parse(course.out / "sub" / "j.xml").getroot()) == 4


def test_no_hidden_expected_value_in_feedback(course):
    course.hand_in("bob", submission(q1=WRONG))
    course.grade("--seed", "5")
    (record,) = course.results()
    expected = re.search(r"expected (\d+)", record["questions"][0]["detail"])[1]
    assert int(expected) > 20, "a number that cannot stand there by chance"
    page = (course.out / "feedback" / "bob.html").read_text()
    assert "41234" in page
    assert expected not in re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    assert expected in (course.out / "report.html").read_text()


def test_a_second_run_grades_only_what_is_new_or_changed(course):
    course.hand_in("ada")
    course.hand_in("bob")
    assert course.grade() == 0
    assert course.grade() == 0
    assert course.runner.kernels == [], "nothing to do: not even the key is run"
    course.hand_in("eve")
    course.hand_in("bob", submission(q1=WRONG), when=time.time() + 9)
    assert course.grade() == 0
    assert [record["student"] for record in course.results()] == ["ada", "bob", "bob", "eve"]
    assert course.gradebook()["bob"]["total"] == "3"


def test_the_seed_is_kept_and_another_one_grades_anew(course):
    course.hand_in("ada")
    course.grade()
    seed = course.results()[0]["seed"]
    assert seed > 2**20, "secret: drawn from many"
    course.hand_in("bob")
    course.grade()
    assert {record["seed"] for record in course.results()} == {seed}
    course.grade("--seed", "3")
    assert [record["seed"] for record in course.results()] == [seed, seed, 3, 3]


def test_the_same_seed_gives_the_same_grades(course, tmp_path):
    course.hand_in("bob", submission(q1=WRONG))
    grades = []
    for name in ("one", "two"):
        course.out = tmp_path / name
        course.grade("--seed", "11")
        (record,) = course.results()
        grades.append([record["questions"], record["total"]])
    assert grades[0] == grades[1]


def test_a_changed_key_grades_anew(course):
    course.hand_in("ada")
    course.grade()
    write_key(course.root, [CELLS[0], *[cell.replace("2 * x", "x * 2") for cell in CELLS[1:]]])
    course.grade()
    assert len(course.results()) == 2


def test_the_same_student_twice_the_latest_counts_and_both_are_kept(course):
    course.hand_in("week1/ada", submission(), when=100)
    course.hand_in("week2/ada", submission(q1=WRONG), when=200)
    assert course.grade() == 0
    assert sorted(record["total"] for record in course.results()) == [3, 5]
    assert course.gradebook()["ada"]["total"] == "3"


def test_later_attempts_of_a_canvas_export_win(course, tmp_path):
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as archive:
        for name, q1 in (("chapter-1", RIGHT["Q1"]), ("chapter-2", WRONG), ("chapter", WRONG)):
            member = zipfile.ZipInfo(f"adal_1234_56789_{name}.ipynb", date_time=(2026, 1, 1, 0, 0, 0))
            archive.writestr(member, as_bytes(submission(q1=q1)))
    assert course.grade(paths=[tmp_path / "export.zip"]) == 0
    assert course.gradebook()["adal_1234"]["total"] == "3"


def test_the_assignment_is_found_or_given(course):
    write_key(course.root, assignment="part/other")
    course.hand_in("ada")
    course.hand_in("bob-chapter")
    (course.inbox / "eve.ipynb").write_bytes(
        as_bytes(submission(), metadata={"torchbook": {"assignment": "part/other"}})
    )
    assert course.grade() == 0
    found = {record["student"]: (record["assignment"], record["state"]) for record in course.results()}
    assert found == {
        "ada": ("", "unknown assignment"),
        "bob-chapter": ("part/chapter", "graded"),
        "eve": ("part/other", "graded"),
    }
    assert course.grade("--assignment", "part/other") == 0
    assert course.gradebook()["ada"]["part/other"] == "5"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--assignment", "no/such"], "there is no key for --assignment no/such; there are part/chapter"),
        (["--solutions", "nowhere"], "nowhere has no key"),
        (["--jobs", "0"], "not one or more"),
        (["--timeout", "-1"], "not above zero"),
        (["--seed", "-1"], "not between"),
        (["--memory", "x"], "invalid"),
    ],
)
def test_wrong_usage_is_2_and_writes_nothing(course, capsys, options, says):
    course.hand_in("ada")
    before = sorted(course.root.rglob("*"))
    try:
        code = course.grade(*options)
    except SystemExit as stop:  # argparse's own
        code = stop.code
    assert code == 2
    assert says in capsys.readouterr().err
    assert sorted(course.root.rglob("*")) == before


def test_wrong_paths_and_keys_write_nothing(course, capsys):
    assert course.grade(paths=[course.root / "nothing"]) == 2
    assert course.grade() == 2
    course.hand_in("ada")
    write_key(course.root, [cell.replace("return 2 * x", "return 3 * x") for cell in CELLS])
    assert course.grade() == 2
    assert "the key of part/chapter fails" in capsys.readouterr().err
    assert not course.out.exists()
    course.out.write_text("a file")
    assert course.grade() == 2


def test_without_a_sandbox_it_refuses_and_says_how_to_go_on(course, capsys, monkeypatch):
    monkeypatch.setattr(sandbox, "sandbox_available", lambda: (False, "No namespaces here."))
    course.hand_in("ada")
    assert course.grade() == 2
    assert re.search(r"No namespaces here\..*--no-sandbox", capsys.readouterr().err, re.DOTALL)
    assert not course.out.exists()


def test_a_runner_that_breaks_costs_no_student_points(course, monkeypatch, capsys):
    for name in ("ada", "bob"):
        course.hand_in(name)
    real = FakeRunner.run

    def run(self, cells, **kwargs):
        if len(self.kernels) == 1:  # the key has run; the first submission comes
            self.kernels.append([])
            raise RunnerError("no kernel starts")
        return real(self, cells, **kwargs)

    monkeypatch.setattr(FakeRunner, "run", run)
    assert course.grade() == 1
    assert "1 submissions have no result; run the command again" in capsys.readouterr().err
    assert len(course.results()) == 1
    monkeypatch.setattr(FakeRunner, "run", real)
    assert course.grade() == 0
    assert [record["total"] for record in course.results()] == [5, 5]


def test_check_imports_nothing_of_the_teachers_side():
    code = (
        "import sys, torchbook.cli, torchbook.grading.check, torchbook.grading.local;"
        "print([m for m in ('jinja2', 'torch', 'torchbook.grading.sandbox') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr


# ---------------------------------------------------------------- for real


@pytest.mark.slow
@pytest.mark.alone
def test_a_batch_survives_a_kill_and_loses_nothing(tmp_path):
    """Real kernels, real sandbox, real key; SIGKILL in the middle, then a second run."""
    tree = find_tree()
    assignment = tree.assignments()[0]
    inbox, out = tmp_path / "in", tmp_path / "out"
    inbox.mkdir()
    key = (tree.solutions / f"{assignment}.ipynb").read_bytes()
    for i in range(8):
        (inbox / f"s{i}.ipynb").write_bytes(key)
    (inbox / "empty.ipynb").write_bytes(tree.exercise_path(assignment).read_bytes())
    command = [sys.executable, "-m", "torchbook.cli", "grade", str(inbox), "--out", str(out), "--seed", "4"]
    command += ["--assignment", assignment, "--solutions", str(tree.solutions), "--jobs", "2"]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
    results = out / "results.jsonl"
    deadline = time.monotonic() + 120
    while not (results.exists() and results.read_bytes().count(b"\n") >= 2):
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    with results.open("ab") as file:
        file.write(b'{"file": "torn')
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in results.read_text().splitlines()]
    assert sorted(record["student"] for record in records) == ["empty", *(f"s{i}" for i in range(8))]
    totals = {record["student"]: record["total"] for record in records}
    assert totals.pop("empty") == 0
    assert set(totals.values()) == {records[0]["max"]}
