"""`torchbook check` and `pytest --torchbook`: what a student sees."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest

from tests.grading.build import CELLS as KEY
from tests.grading.build import RIGHT, answered, as_bytes, key_of, submission
from tests.grading.fake import FakeRunner
from torchbook.grading.check import CheckError, check_loaded, load, print_table
from torchbook.grading.outcome import State
from torchbook.grading.release import exercise_text, find_tree


@pytest.fixture
def exercise(tmp_path):
    """Write a student's copy of a released exercise: exercise(q1=..., q2=...) -> path."""
    from torchbook.grading.references import references_of_key

    bare = key_of(tmp_path / "bare")
    values = references_of_key(bare, FakeRunner(), 0).expected
    cells = [KEY[0], KEY[1], answered(KEY[2], values["Q1"]), KEY[3], answered(KEY[4], values["Q2"])]
    released = json.loads(exercise_text(key_of(tmp_path, cells)))

    def write(**answers):
        notebook = json.loads(json.dumps(released))
        for cell in notebook["cells"]:
            name = cell["id"].removesuffix("-answer")
            if name in answers:
                cell["source"] = answers[name]
        path = tmp_path / "mine.ipynb"
        path.write_text(json.dumps(notebook))
        return path

    return write


def checked(path):
    return check_loaded(load(path), FakeRunner())


def table(path):
    out = io.StringIO()
    print_table(checked(path), out)
    return out.getvalue()


def test_all_right(exercise):
    done = checked(exercise(q1=RIGHT["Q1"], q2=RIGHT["Q2"]))
    assert done.graded.all_correct
    assert "5 of 5 points" in table(done.path)


def test_a_fresh_exercise_is_missing(exercise):
    done = checked(exercise())
    assert [q.state for q in done.graded.questions] == [State.MISSING, State.MISSING]
    assert not done.graded.all_correct


def test_the_first_wrong_public_case_is_shown_with_its_input(exercise):
    text = table(exercise(q1="# Q1 answer\ndef double(x):\n    return 6 if x == 3 else -1", q2=RIGHT["Q2"]))
    assert "Q1   wrong" in text
    assert "A public case differs. [0]: expected " in text
    assert "got -1" in text
    assert "That is case 0 (counted from 0), with the input " in text
    assert "3 of 5 points" in text


def test_the_message_of_a_public_assert_is_the_hint(exercise):
    assert "twice, not plus two" in table(exercise(q1="# Q1 answer\ndef double(x):\n    return x + 2"))


def test_edited_checks_do_not_help(exercise):
    path = exercise(q1="# Q1 answer\ndouble = 1", q2=RIGHT["Q2"])
    notebook = json.loads(path.read_text())
    for cell in notebook["cells"]:
        if cell["id"] == "q1-check":
            cell["source"] = "# Q1 check · 2 points\nanswer([1])"
    path.write_text(json.dumps(notebook))
    done = checked(path)
    assert done.graded.questions[0].state is State.ERROR
    assert "was edited" in table(path)


def test_without_its_description_nothing_is_called_right(tmp_path):
    path = tmp_path / "bare.ipynb"
    path.write_bytes(as_bytes(submission()))
    done = checked(path)
    assert [q.state for q in done.graded.questions] == [State.UNCHECKED, State.UNCHECKED]
    assert not done.graded.all_correct
    assert "fresh download" in table(path)


def test_a_check_without_its_answer_cell(tmp_path):
    path = tmp_path / "odd.ipynb"
    path.write_bytes(as_bytes(["# Q1 check · 2 points\nanswer(1)", "# Q2 answer\nx = 1"]))
    assert [q.state for q in checked(path).graded.questions] == [State.MISSING]


@pytest.mark.parametrize(
    ("data", "says"),
    [(as_bytes(["x = 1"]), "no exercise of Torchbook"), (b"{", "no notebook"), (None, "cannot be read")],
)
def test_what_cannot_be_checked_is_said(tmp_path, data, says):
    path = tmp_path / "x.ipynb"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(CheckError, match=says):
        load(path)


# ---------------------------------------------------------------- for real


@pytest.fixture
def half(tmp_path):
    """The first committed exercise, with its first question solved."""
    tree = find_tree()
    assignment = tree.assignments()[0]
    notebook = json.loads(tree.exercise_path(assignment).read_text(encoding="utf-8"))
    solution = tree.key(assignment).source("Q1 answer")
    for cell in notebook["cells"]:
        if cell["id"] == "q1-answer":
            cell["source"] = solution
    path = tmp_path / "half.ipynb"
    path.write_text(json.dumps(notebook))
    return path


def torchbook(*args, cwd):
    command = [sys.executable, "-m", "torchbook.cli", *map(str, args)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)


@pytest.mark.slow
def test_the_command_from_another_folder(half, tmp_path):
    done = torchbook("check", half, cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "Q1   correct" in done.stdout
    assert "Q2   missing" in done.stdout
    done = torchbook("check", tmp_path / "none.ipynb", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "No such file" in done.stderr


@pytest.mark.slow
def test_the_solved_exercise_is_all_right(tmp_path):
    tree = find_tree()
    for assignment in tree.assignments():
        notebook = json.loads(tree.exercise_path(assignment).read_text(encoding="utf-8"))
        key = tree.key(assignment)
        for cell in notebook["cells"]:
            if cell["id"].endswith("-answer"):
                cell["source"] = key.source(cell["metadata"]["torchbook"]["cell"])
        path = tmp_path / "solved.ipynb"
        path.write_text(json.dumps(notebook))
        done = torchbook("check", path, cwd=tmp_path)
        assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_pytest_shows_one_test_per_check_cell(half, tmp_path):
    options = ["-p", "no:cacheprovider", f"--junit-xml={tmp_path / 'j.xml'}", "--color=no"]
    plugins = ["-p", "torchbook.grading.pytest_plugin"] if not _is_installed() else []
    command = [sys.executable, "-m", "pytest", "--torchbook", str(half), *plugins, *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1, done.stdout + done.stderr
    cases = ET.parse(tmp_path / "j.xml").getroot().findall("testsuite/testcase")
    questions = len(load(half).template.questions)
    assert [case.get("name") for case in cases] == [f"Q{i + 1} check" for i in range(questions)]
    first = {p.get("name"): p.get("value") for p in cases[0].findall("properties/property")}
    assert (first["torchbook_state"], first["torchbook_points"]) == ("correct", first["torchbook_max"])
    assert cases[0].find("failure") is None
    assert "There is no answer yet." in cases[1].find("failure").get("message")


def _is_installed():
    from importlib.metadata import entry_points

    return any(point.value == "torchbook.grading.pytest_plugin" for point in entry_points(group="pytest11"))
