"""`results.jsonl`: one JSON object per graded submission, appended and flushed as each ends.

The file is the only state of a batch. A line that a kill cut off is dropped when the next run opens the file,
and its submission is graded again. Later lines replace earlier ones of the same student; none is deleted.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TextIO

from torchbook.grading.outcome import QuestionResult, State

GRADED = "graded"
UNREADABLE = "unreadable"
UNKNOWN = "unknown assignment"


class ResultsError(Exception):
    """The results file cannot be used. The message says why."""


@dataclass
class Record:
    """One submission's result, as it stands in the file."""

    file: str
    student: str
    assignment: str
    sha256: str
    seed: int
    key: str  # digest of the key that it was graded with
    limits: list[float]  # seconds per cell, MB
    submitted: list[float]  # when, attempt
    state: str = GRADED
    questions: list[QuestionResult] = field(default_factory=list)
    total: float = 0.0
    max: float = 0.0
    seconds: float = 0.0
    kernels: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def identity(self) -> tuple[Any, ...]:
        """Two records with the same identity have the same grades."""
        return (self.student, self.assignment, self.sha256, self.seed, self.key, tuple(self.limits))

    def to_line(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False) + "\n"


def _from_line(line: bytes) -> Record:
    data = json.loads(line)
    questions = [QuestionResult(**{**q, "state": State(q["state"])}) for q in data.pop("questions")]
    return Record(**data, questions=questions)


def read_results(path: Path) -> list[Record]:
    """All whole records in the file, oldest first; a torn last line is left out. Raises ResultsError."""
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")
    records = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            records.append(_from_line(line))
        except (ValueError, TypeError, KeyError, AttributeError):
            if number == len(lines):
                break  # torn by a kill: this submission is graded again
            raise ResultsError(
                f"{path}, line {number}, is no result of this version; name another folder with --out"
            ) from None
    return records


def latest(records: Iterable[Record]) -> dict[tuple[str, str], Record]:
    """The record that counts per student and assignment: the latest submission, graded last."""
    chosen: dict[tuple[str, str], Record] = {}
    for record in records:
        key = (record.student, record.assignment)
        if key not in chosen or record.submitted >= chosen[key].submitted:
            chosen[key] = record
    return chosen


class ResultsFile:
    """Appends records. Holds a lock, so that two runs cannot mix their lines."""

    def __init__(self, path: Path) -> None:
        self._file: TextIO = path.open("a", encoding="utf-8", newline="\n")
        try:
            _lock(self._file)
        except OSError:
            self._file.close()
            raise ResultsError(f"another torchbook grade is writing to {path}; wait until it ends") from None
        _drop_torn_line(path)

    def append(self, record: Record) -> None:
        self._file.write(record.to_line())
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


def _lock(file: TextIO) -> None:
    try:
        import fcntl
    except ImportError:  # Windows: no lock, and two runs at once are the teacher's care
        return
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _drop_torn_line(path: Path) -> None:
    """Cut the file after its last whole line; a whole last line without its newline gets one."""
    data = path.read_bytes()
    _, _, rest = data.rpartition(b"\n")
    if not rest:
        return
    try:
        _from_line(rest)
    except (ValueError, TypeError, KeyError, AttributeError):
        os.truncate(path, len(data) - len(rest))
        return
    with path.open("ab") as file:
        file.write(b"\n")
