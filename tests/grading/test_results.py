"""results.jsonl survives a kill; the gradebook is safe to open; pages are escaped."""

from __future__ import annotations

import csv
import json
import multiprocessing
import re
import xml.etree.ElementTree as ET

import pytest

from torchbook.grading.gradebook import write_gradebook, write_junit
from torchbook.grading.outcome import QuestionResult, State
from torchbook.grading.reports import _distribution, write_feedback, write_report
from torchbook.grading.results import Record, ResultsError, ResultsFile, latest, read_results

EVIL = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'&\x1b[31m"


def record(student="ada", total=2.0, when=0.0, assignment="cnn/a", **extra):
    state = State.CORRECT if total else State.WRONG
    question = QuestionResult("Q1", 2, state, total, 0.5, message=extra.pop("message", ""), detail="expected 41234")
    return Record(
        file=f"{student}.ipynb",
        student=student,
        assignment=assignment,
        sha256="0" * 64,
        seed=7,
        key="k",
        limits=[60, 2048],
        submitted=[when, 0],
        questions=[question],
        total=total,
        max=2,
        **extra,
    )


@pytest.fixture
def path(tmp_path):
    return tmp_path / "results.jsonl"


def append(path, *records):
    results = ResultsFile(path)
    for item in records:
        results.append(item)
    results.close()


def test_records_come_back(path):
    append(path, record(), record("bob", 0, notes=["é"]))
    assert read_results(path) == [record(), record("bob", 0, notes=["é"])]
    assert json.loads(path.read_text().splitlines()[0])["questions"][0]["state"] == "correct"


def test_each_line_is_on_disk_before_the_next(path):
    results = ResultsFile(path)
    results.append(record())
    assert len(read_results(path)) == 1
    results.close()


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_torn_last_line_is_dropped_and_the_file_goes_on(path, cut):
    append(path, record(), record("bob"))
    path.write_bytes(path.read_bytes()[:-cut])
    assert [r.student for r in read_results(path)] == (["ada", "bob"] if cut == 1 else ["ada"])
    append(path, record("eve"))
    assert [r.student for r in read_results(path)] == (["ada", "bob", "eve"] if cut == 1 else ["ada", "eve"])


def test_a_foreign_line_is_an_error_not_a_loss(path):
    path.write_text('{"x": 1}\n')
    with pytest.raises(ResultsError, match="line 1, is no result"):
        read_results(path)
    assert path.read_text() == '{"x": 1}\n'


def _try_to_open(path, queue):
    try:
        ResultsFile(path).close()
        queue.put("opened")
    except ResultsError as error:
        queue.put(str(error))


def test_two_runs_cannot_write_at_once(path):
    results = ResultsFile(path)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    process = context.Process(target=_try_to_open, args=(path, queue))
    process.start()
    assert "another torchbook grade" in queue.get(timeout=20)
    process.join()
    results.close()


def test_the_latest_submission_counts_then_the_latest_grading():
    old, new, again = record(total=2, when=1), record(total=0, when=2), record(total=2, when=2)
    assert latest([new, old])["ada", "cnn/a"] is new
    assert latest([new, again])["ada", "cnn/a"] is again


def rows(records, tmp_path):
    write_gradebook(records, tmp_path / "g.csv")
    with (tmp_path / "g.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_one_row_per_student(tmp_path):
    records = [record(), record(total=0, when=5), record("bob"), record("bob", assignment="rnn/b")]
    ada, bob = rows(records, tmp_path)
    assert (ada["student"], ada["total"], ada["max"], ada["cnn/a Q1"], ada["rnn/b"]) == (
        "ada",
        "0",
        "2",
        "0",
        "",
    )
    assert (bob["total"], bob["max"], bob["cnn/a"], bob["rnn/b Q1"]) == ("4", "4", "2", "2")


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", " =1", "\t=1", "|cmd", "%x"])
def test_no_formula_reaches_a_spreadsheet(tmp_path, name):
    (row,) = rows([record(name)], tmp_path)
    assert row["student"] == f"'{name}"


def test_every_field_is_quoted(tmp_path):
    rows([record('a"b,c')], tmp_path)
    lines = (tmp_path / "g.csv").read_text().splitlines()
    assert lines[1].startswith('"a""b,c","2","2"')
    assert all(re.fullmatch(r'("([^"]|"")*"(,|$))+', line) for line in lines)


def test_junit(tmp_path):
    write_junit([record(), record("eve" + EVIL, 0, message=EVIL)], tmp_path / "j.xml")
    suites = ET.parse(tmp_path / "j.xml").getroot().findall("testsuite")
    assert [(s.get("tests"), s.get("failures")) for s in suites] == [("1", "0"), ("1", "1")]
    assert suites[1].find("testcase/failure").get("type") == "wrong"


def test_feedback_is_escaped_and_keeps_the_secret(tmp_path):
    bad = record("eve " + EVIL, 0, message=EVIL, notes=[EVIL])
    bad.questions[0].output = bad.questions[0].traceback = EVIL
    write_feedback([bad, record()], tmp_path)
    pages = sorted(tmp_path.iterdir())
    assert len(pages) == 2
    assert pages[0].name == "ada.html"
    for page in pages:
        text = page.read_text()
        assert "<script" not in text
        assert "<img" not in text
        assert "41234" not in text, "the expected value of a hidden case"
        assert not re.search(r"(src|href|url)\s*[=(]", text.replace("src=x", "")), "nothing is loaded"


def test_the_report_shows_everything_to_the_teacher(tmp_path):
    records = [record(), record("bob", 0, message=EVIL), record("bob", 2, when=-1), record("é", 0)]
    records[1].questions[0].detail = f"expected 41234 {EVIL}"
    write_report(records, [("x.pdf", "not a notebook")], tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text()
    for part in ("Seed 7", "expected 41234", "x.pdf", "1 (33%)", "wrong 2", "Earlier submissions", "é"):
        assert part in text
    assert "<script" not in text


def test_a_report_of_nothing_but_unknown_assignments(tmp_path):
    unknown = record(total=0, assignment="", state="unknown assignment")
    unknown.questions, unknown.max = [], 0
    write_report([unknown], [], tmp_path / "r.html")
    assert "unknown assignment" in (tmp_path / "r.html").read_text()


@pytest.mark.parametrize(
    ("totals", "maximum", "rows"),
    [
        ([0, 2, 2], 2, {"0": 1, "1": 0, "2": 2}),
        ([0], 0, {"0": 1}),
        ([1.5, 2], 2, {"1.4 to under 1.6": 1, "1.8 to 2": 1}),
        ([0, 10, 99, 100], 100, {"0 to under 10": 1, "10 to under 20": 1, "90 to 100": 2}),
    ],
)
def test_the_distribution_counts_every_student_once(totals, maximum, rows):
    counts = {label: count for label, count, _ in _distribution(totals, maximum)}
    assert sum(counts.values()) == len(totals)
    assert {label: counts[label] for label in rows} == rows
