"""Pages for people: feedback for each student, one report for the teacher. Escaped, and without a request."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader

from torchbook.grading.exports import file_name
from torchbook.grading.outcome import State
from torchbook.grading.results import GRADED, Record, latest

BINS = 10
MAX_ROWS = 15


def _environment() -> Environment:
    loader = PackageLoader("torchbook.grading", "templates")
    environment = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["points"] = lambda value: f"{round(value, 2):g}"
    return environment


def write_feedback(records: Iterable[Record], folder: Path) -> None:
    """`<student>.html` for each student, from the records that count. No expected value of a hidden case."""
    folder.mkdir(parents=True, exist_ok=True)
    by_student: dict[str, list[Record]] = defaultdict(list)
    for record in latest(records).values():
        by_student[record.student].append(record)
    template = _environment().get_template("feedback.html")
    for student, own in by_student.items():
        page = template.render(student=student, records=sorted(own, key=lambda r: r.assignment))
        (folder / f"{file_name(student)}.html").write_text(page, encoding="utf-8")


def write_report(records: Sequence[Record], skipped: Sequence[tuple[str, str]], path: Path) -> None:
    """The teacher's page: distribution, questions, states, every submission with its details."""
    chosen = latest(records)
    counted = {id(record) for record in chosen.values()}
    assignments = sorted({assignment for _, assignment in chosen})
    groups = [_group(a, [r for r in chosen.values() if r.assignment == a]) for a in assignments]
    superseded = [record for record in records if id(record) not in counted]
    page = _environment().get_template("report.html")
    text = page.render(groups=groups, skipped=skipped, superseded=superseded)
    path.write_text(text, encoding="utf-8")


def _group(assignment: str, records: list[Record]) -> dict[str, Any]:
    records = sorted(records, key=lambda record: record.student.casefold())
    totals = [record.total for record in records]
    maximum = max((record.max for record in records), default=0)
    distribution = _distribution(totals, maximum)
    return {
        "assignment": assignment,
        "records": [_with_summary(record) for record in records],
        "mean": statistics.fmean(totals),
        "median": statistics.median(totals),
        "max": maximum,
        "seeds": sorted({record.seed for record in records}),
        "distribution": distribution,
        "distribution_text": ", ".join(f"{label} points: {count}" for label, count, _ in distribution),
        "questions": _questions(records),
    }


def _with_summary(record: Record) -> Record:
    """The record, with a line that says what was not correct."""
    bad = [f"{q.name} {q.state}" for q in record.questions if q.state is not State.CORRECT]
    record.summary = record.state if record.state != GRADED else ", ".join(bad)  # type: ignore[attr-defined]
    return record


def _distribution(totals: list[float], maximum: float) -> list[tuple[str, int, int]]:
    """(points, students, width of the bar in percent): one row per point, or BINS ranges if there are many."""
    if maximum <= MAX_ROWS and all(float(total).is_integer() for total in [*totals, maximum]):
        labels = [f"{points}" for points in range(int(maximum) + 1)]
        counts = Counter(int(total) for total in totals)
    else:
        width = maximum / BINS
        labels = [f"{i * width:g} to under {(i + 1) * width:g}" for i in range(BINS - 1)]
        labels.append(f"{(BINS - 1) * width:g} to {maximum:g}")
        counts = Counter(min(int(total / width), BINS - 1) for total in totals)
    top = max(counts.values())
    return [(label, counts[i], round(100 * counts[i] / top)) for i, label in enumerate(labels)]


def _questions(records: list[Record]) -> list[dict[str, Any]]:
    by_name = defaultdict(list)
    for record in records:
        for question in record.questions:
            by_name[question.name].append(question)
    rows = []
    for name in sorted(by_name, key=lambda name: (len(name), name)):
        results = by_name[name]
        states = Counter(str(q.state) for q in results)
        correct = states.pop(str(State.CORRECT), 0)
        rows.append(
            {
                "name": name,
                "max": results[0].max,
                "correct": correct,
                "percent": round(100 * correct / len(results)),
                "states": ", ".join(f"{state} {count}" for state, count in states.most_common()),
                "seconds": f"{statistics.median(q.seconds for q in results):.2f}",
            }
        )
    return rows
