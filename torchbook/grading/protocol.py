"""What the grader asks of a kernel, and what comes back: the contract between graders and runners.

A runner executes a list of cells in one fresh kernel. `LocalRunner` (any platform, no isolation) and
`SandboxRunner` (Linux namespaces, pre-warmed fork) share this contract: grading never knows which one runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

ANSWER_MIME = "application/vnd.torchbook.answer+json"


class CellState(StrEnum):
    """How one cell ended. Only `OK` means that it ran to its end."""

    OK = "ok"
    ERROR = "error"  # the cell raised
    TIMEOUT = "timeout"  # the cell passed its time limit
    DIED = "kernel died"  # the kernel's process ended
    MEMORY = "out of memory"
    OUTPUT = "output cap"  # more output than the limit
    NOT_RUN = "not run"  # the kernel was gone before this cell's turn


@dataclass(frozen=True)
class Limits:
    """What one kernel may use. Times in seconds, sizes as named."""

    cell_seconds: float = 60.0
    total_seconds: float = 300.0
    memory_mb: int = 2048
    # Sums over one kernel. A cell that passes one is OUTPUT, and keeps no answers; its bytes do not count on.
    output_bytes: int = 1_000_000  # stdout, stderr and displays, answers excluded
    answer_bytes: int = 4_000_000  # answers, as JSON
    processes: int = 64
    file_mb: int = 64


@dataclass(frozen=True)
class Cell:
    """One code cell to run. `name` is for reports: `Q1 answer`, `Q1 check`, `extra 3`."""

    name: str
    source: str


@dataclass
class CellResult:
    """What one cell did. `answers` holds the JSON values that it sent, in order, still untrusted."""

    name: str
    state: CellState
    seconds: float = 0.0
    answers: list[Any] = field(default_factory=list)
    stdout: str = ""  # stdout and stderr, cut at a few kB, ANSI codes removed
    error_name: str = ""
    error_value: str = ""
    traceback: str = ""  # plain text, cut at a few kB
    notes: list[str] = field(default_factory=list)  # what the runner left out or stopped, one sentence each


class RunnerError(RuntimeError):
    """The runner itself failed, not the code that it ran: no grade may follow from this."""


class Runner(Protocol):
    """Runs cells in one fresh kernel per call; after the kernel is gone the rest is `NOT_RUN`."""

    def run(
        self,
        cells: Sequence[Cell],
        *,
        seed: int,
        limits: Limits | None = None,
        files: Mapping[str, bytes] | None = None,
    ) -> list[CellResult]:
        """Run `cells` in order. `seed` reaches the kernel as TORCHBOOK_SEED; `files` lie in its cwd."""
        ...

    def close(self) -> None:
        """End every process that the runner started. Safe to call twice."""
        ...
