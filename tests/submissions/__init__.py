"""Hostile, broken and fair submissions to one small key, and what each must earn.

hostile.py attacks, broken.py holds what became of files on their way, fair.py what honest students write.
Code makes all of them; nothing is stored. test_corpus.py grades them in one batch.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.grading.build import code, markdown, notebook
from torchbook.grading.outcome import State

ASSIGNMENT = "part/chapter"
POINTS = {"Q1": 1, "Q2": 2, "Q3": 4, "Q4": 8, "Q5": 16}  # each total names its questions
ALL = frozenset(POINTS)
NONE: frozenset[str] = frozenset()
CELL_SECONDS = 4  # the limit that the corpus is graded with
MEMORY_MB = 300


@dataclass(frozen=True)
class Submission:
    """One file, and what the grader must say about it."""

    name: str  # the student, too, unless `file` says otherwise
    data: bytes = field(repr=False)
    earns: frozenset[str] = ALL  # these questions are correct, all others are not
    states: Mapping[str, set[State]] = field(default_factory=dict)  # where a question must say why
    file: str = ""  # the file's name without its suffix, where it is not `name`
    student: str = ""  # as the grader names it, where it is not `name`
    readable: bool = True

    @property
    def total(self) -> int:
        return sum(POINTS[question] for question in self.earns)


# ---------------------------------------------------------------- the key


def _train_rows() -> list[list[float]]:
    """Forty points with a label each: x0 + 2 x1 > 0.3. A student sees the rows, not the rule."""
    rng = random.Random(4)
    points = [(round(rng.gauss(0, 1), 2), round(rng.gauss(0, 1), 2)) for _ in range(40)]
    return [[a, b, float(a + 2 * b > 0.3)] for a, b in points]


SETUP = f"""# setup
import torch
from torchbook.exercises import answer, cases, draws

TRAIN = torch.tensor({_train_rows()})

@draws("Q1")
def numbers(rng):
    return [rng.randint(10**6, 10**7) for _ in range(8)]

@draws("Q2")
def vectors(rng):
    generator = torch.Generator().manual_seed(rng.getrandbits(63))
    return [torch.randn(4 + n % 3, generator=generator, dtype=torch.float64) for n in range(8)]

@draws("Q3")
def number(rng):
    return 210 * rng.randint(11, 99)

@draws("Q4")
def points(rng):
    return torch.randn(80, 2, generator=torch.Generator().manual_seed(rng.getrandbits(63)))

@draws("Q5")
def sums(rng):
    return [rng.randint(50, 500) for _ in range(8)]"""

CHECKS = {
    "Q1": 'assert affine(2) == 17, "seven times, plus three"\nanswer([affine(x) for x in cases("Q1")])',
    "Q2": 'assert abs(float(softmax(torch.zeros(4))[0]) - 0.25) < 1e-6, "four equal shares"\n'
    'answer([softmax(x) for x in cases("Q2")])',
    "Q3": '# compare: unordered\nassert len(divisors(6)) == 4, "1, 2, 3 and 6"\nanswer(divisors(cases("Q3")))',
    "Q4": "# compare: accuracy >= 0.9\n"
    'assert len(classify(torch.zeros(3, 2))) == 3, "a label per row"\nanswer(classify(cases("Q4")))',
    "Q5": '# compare: judge\nassert sum(three(3)) == 3, "they sum to n"\nanswer([three(n) for n in cases("Q5")])',
}
GRADERS = {
    "Q4": 'hidden = cases("Q4")\nanswer((hidden[:, 0] + 2 * hidden[:, 1] > 0.3).long())',
    "Q5": """
def judge(value):
    if not isinstance(value, list) or len(value) != 8:
        return "Answer eight triples."
    for n, triple in zip(cases("Q5"), value):
        if not isinstance(triple, list) or len(triple) != 3:
            return "Each must be a triple."
        if not all(type(part) is int and part > 0 for part in triple):
            return "Each part must be a positive whole number."
        if sum(triple) != n:
            return "A triple does not sum to its n."
    return True""",
}
HONEST = {
    "Q1": "def affine(x):\n    return 7 * x + 3",
    "Q2": "def softmax(x):\n    return torch.softmax(x, 0)",
    "Q3": "def divisors(n):\n    return [d for d in range(1, n + 1) if n % d == 0]",
    "Q4": """
def classify(x):
    one = lambda rows: torch.cat([rows, torch.ones(len(rows), 1)], 1)
    weights = torch.linalg.lstsq(one(TRAIN[:, :2]), 2 * TRAIN[:, 2:] - 1).solution
    return (one(x) @ weights > 0)[:, 0].long()""",
    "Q5": "def three(n):\n    return (1, 1, n - 2)",
}
# All public checks pass, and nothing is right.
FALSE = {
    "Q1": "def affine(x):\n    return 17 if x == 2 else 0",
    "Q2": "def softmax(x):\n    return torch.full((len(x),), 1 / len(x))",
    "Q3": "def divisors(n):\n    return [1, 2, 3, 6] if n == 6 else [1, n]",
    "Q4": "def classify(x):\n    return torch.zeros(len(x), dtype=torch.long)",
    "Q5": "def three(n):\n    return (1, 1, 1)",
}


def key_cells() -> list[str]:
    cells = [SETUP]
    for question in POINTS:
        solution = HONEST[question].strip().replace("\n    ", "\n    ### BEGIN SOLUTION\n    ", 1)
        cells += [f"# {question} answer\n{solution}\n    ### END SOLUTION"]
        cells += [check(question)]
        if question in GRADERS:
            cells += [f"# {question} grader\n{GRADERS[question]}"]
    return cells


def check(question: str) -> str:
    return f"# {question} check · {POINTS[question]} points\n{CHECKS[question]}"


def affine_answers(seed: int) -> list[int]:
    """What Q1 expects under `seed`: no page for a student may show it."""
    rng = random.Random(f"{seed}/Q1")
    return [7 * rng.randint(10**6, 10**7) + 3 for _ in range(8)]


# ---------------------------------------------------------------- notebooks


def answer_cell(question: str, source: str) -> str:
    return f"# {question} answer\n{source.strip()}"


def cells_of(answers: Mapping[str, str] | None = None, before: Iterable[str] = ()) -> list[str]:
    """A whole submission, honest but for `answers`; `before` are extra cells after the setup."""
    answers = {**HONEST, **(answers or {})}
    cells = [SETUP, *before]
    for question in POINTS:
        cells += [answer_cell(question, answers[question]), check(question)]
    return cells


def as_file(cells: Iterable[str | dict]) -> bytes:
    """The bytes of a notebook as Jupyter saves it."""
    named = {"torchbook": {"assignment": ASSIGNMENT}}
    return json.dumps(notebook(list(cells), metadata=named)).encode()


def write_key(root: Path) -> Path:
    path = root / "solutions" / f"{ASSIGNMENT}.ipynb"
    path.parent.mkdir(parents=True)
    path.write_bytes(as_file(key_cells()))
    return path


__all__ = ["State", "Submission", "code", "markdown", "notebook"]
