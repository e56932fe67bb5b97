"""The identity of a code cell is its first line: `# Q1 answer`, `# Q1 check · 2 points`, `# setup`.

Not its id and not its metadata: Colab drops both. They serve as a second chance where the line is gone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_QUESTION = re.compile(r"^#+\s*(Q[0-9]+)\s*[:·-]?\s*(answer|check|grader)\b\W*(.*)$", re.IGNORECASE)
_OTHER = re.compile(r"^#+\s*(setup|install)\b\s*:?\s*(.*)$", re.IGNORECASE)
_POINTS = re.compile(r"^([0-9]+(?:\.[0-9]+)?)\s*points?\b", re.IGNORECASE)


@dataclass(frozen=True)
class Identity:
    """What a cell is. `kind`: answer, check, grader, setup or install; `question`: `Q1`, or empty."""

    kind: str
    question: str = ""
    label: str = ""  # of a setup cell: `# setup: data` has the label `data`
    points: float | None = None  # of a check cell

    @property
    def name(self) -> str:
        """`Q1 answer`, `setup`, `setup: data`."""
        if self.question:
            return f"{self.question} {self.kind}"
        return f"{self.kind}: {self.label}" if self.label else self.kind

    @property
    def cell_id(self) -> str:
        """The fixed notebook id of this cell: `q1-answer`."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")[:64]


def identify(source: str) -> Identity | None:
    """The identity on the first line that is not blank, or None."""
    line = next((line.strip() for line in source.splitlines() if line.strip()), "")[:200]
    if match := _QUESTION.match(line):
        question, kind, rest = match.groups()
        points = _POINTS.match(rest)
        kind = kind.lower()
        return Identity(kind, question.upper(), points=float(points[1]) if points and kind == "check" else None)
    if match := _OTHER.match(line):
        return Identity(match[1].lower(), label=" ".join(match[2].lower().split()))
    return None


def first_line(source: str) -> str:
    return source.split("\n", 1)[0]


def without_first_line(source: str) -> str:
    """The code below the identity line."""
    return source.partition("\n")[2]
