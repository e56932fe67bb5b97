"""`gradebook.csv` and JUnit XML: the results for other programs."""

from __future__ import annotations

import csv
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence
from pathlib import Path

from torchbook.grading.outcome import State
from torchbook.grading.results import Record, latest

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_gradebook(records: Sequence[Record], path: Path) -> None:
    """One row per student: total, maximum, then each assignment and its questions. Every field is quoted."""
    chosen = latest(records)
    assignments = sorted({assignment for _, assignment in chosen})
    columns = [column for assignment in assignments for column in _columns(assignment, chosen.values())]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        writer.writerow(map(_safe, ["student", "total", "max", *(name for name, *_ in columns)]))
        for student in sorted({student for student, _ in chosen}):
            own = {a: chosen[student, a] for a in assignments if (student, a) in chosen}
            total, maximum = (sum(getattr(r, name) for r in own.values()) for name in ("total", "max"))
            cells = [_cell(own.get(assignment), question) for _, assignment, question in columns]
            writer.writerow([_safe(student), f"{total:g}", f"{maximum:g}", *cells])


def _columns(assignment: str, records: Iterable[Record]) -> list[tuple[str, str, str]]:
    """(heading, assignment, question); the question `""` stands for the assignment's total."""
    names = {q.name for r in records if r.assignment == assignment for q in r.questions}
    ordered = sorted(names, key=lambda name: (len(name), name))
    return [(assignment, assignment, ""), *((f"{assignment} {name}", assignment, name) for name in ordered)]


def _cell(record: Record | None, question: str) -> str:
    if record is None:
        return ""
    if not question:
        return f"{record.total:g}"
    return next((f"{q.points:g}" for q in record.questions if q.name == question), "")


def _safe(text: str) -> str:
    """A spreadsheet runs a cell that starts with =, +, - or @, even a quoted one: put an apostrophe first."""
    return f"'{text}" if text.lstrip()[:1] in ("=", "+", "-", "@", "|", "%") or text[:1] in "\t\r\n" else text


def write_junit(records: Iterable[Record], path: Path) -> None:
    """One suite per submission that counts, one case per question."""
    root = ET.Element("testsuites")
    for record in latest(records).values():
        failed = sum(q.state is not State.CORRECT for q in record.questions)
        suite = ET.SubElement(
            root,
            "testsuite",
            name=_xml(f"{record.student} {record.assignment}"),
            tests=str(len(record.questions)),
            failures=str(failed),
            time=f"{record.seconds:.3f}",
        )
        for question in record.questions:
            case = ET.SubElement(
                suite,
                "testcase",
                classname=_xml(f"{record.assignment}.{record.student}"),
                name=question.name,
                time=f"{question.seconds:.3f}",
            )
            if question.state is not State.CORRECT:
                failure = ET.SubElement(case, "failure", message=_xml(question.message), type=question.state)
                failure.text = _xml(question.message)
    ET.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


def _xml(text: str) -> str:
    return _NOT_XML.sub("?", text)
