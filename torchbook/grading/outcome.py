"""What grading says about one submission."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class State(StrEnum):
    """How one question ended. Only `CORRECT` earns points."""

    CORRECT = "correct"
    WRONG = "wrong"
    ERROR = "error"
    TIMEOUT = "timeout"
    DIED = "kernel died"
    MEMORY = "out of memory"
    OUTPUT = "output cap"
    MISSING = "missing"
    NOT_RUN = "not run"  # while grading only: its kernel was lost before its turn
    UNCHECKED = "unchecked"  # `torchbook check` had nothing to compare with; the grader never says so


@dataclass
class QuestionResult:
    """One question. `message` is for the student and holds no expected value of a hidden case."""

    name: str
    max: float
    state: State
    points: float = 0.0
    seconds: float = 0.0
    message: str = ""
    detail: str = ""  # for the teacher: expected values
    traceback: str = ""  # plain text, of the student's own code
    output: str = ""  # what the student's cells printed, cut
    notes: list[str] = field(default_factory=list)
    case: int | None = None  # the index of the first wrong case, where there is one

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass
class Graded:
    """A whole submission: its questions, and notes on the notebook itself."""

    questions: list[QuestionResult]
    notes: list[str] = field(default_factory=list)
    kernels: int = 0  # how many were needed

    @property
    def total(self) -> float:
        return sum(question.points for question in self.questions)

    @property
    def max(self) -> float:
        return sum(question.max for question in self.questions)

    @property
    def all_correct(self) -> bool:
        return bool(self.questions) and all(q.state is State.CORRECT for q in self.questions)
