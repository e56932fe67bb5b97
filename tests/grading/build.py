"""Small keys, exercises and submissions for the tests."""

from __future__ import annotations

import json
from pathlib import Path

from torchbook.grading.key import Key, read_key
from torchbook.grading.protocol import ANSWER_MIME

SETUP = """# setup
from torchbook.exercises import answer, cases, draws

@draws("Q1")
def numbers(rng):
    return [rng.randint(1, 1000) for _ in range(6)]

@draws("Q2")
def pairs(rng):
    return [(rng.randint(1, 9), rng.randint(1, 9)) for _ in range(5)]"""
Q1_ANSWER = """# Q1 answer
def double(x):
    ### BEGIN SOLUTION
    return 2 * x
    ### END SOLUTION"""
Q1_CHECK = """# Q1 check · 2 points
assert double(3) == 6, "twice, not plus two"
answer([double(x) for x in cases("Q1")])"""
Q2_ANSWER = """# Q2 answer
def add(a, b):
    ### BEGIN SOLUTION
    return a + b
    ### END SOLUTION"""
Q2_CHECK = """# Q2 check · 3 points
assert add(1, 2) == 3, "a sum"
answer([add(*pair) for pair in cases("Q2")])"""
CELLS = [SETUP, Q1_ANSWER, Q1_CHECK, Q2_ANSWER, Q2_CHECK]

RIGHT = {
    "Q1": "# Q1 answer\ndef double(x):\n    return x + x",
    "Q2": "# Q2 answer\ndef add(a, b):\n    return b + a",
}


def code(source: str, **extra) -> dict:
    return {
        "cell_type": "code",
        "metadata": {},
        "execution_count": None,
        "outputs": [],
        "source": source,
        **extra,
    }


def markdown(source: str) -> dict:
    return {"cell_type": "markdown", "metadata": {}, "source": source}


def notebook(cells: list, **extra) -> dict:
    """A notebook of `cells`: dicts, or strings for code cells."""
    cells = [code(cell) if isinstance(cell, str) else cell for cell in cells]
    return {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5, **extra}


def as_bytes(cells: list, **extra) -> bytes:
    return json.dumps(notebook(cells, **extra)).encode()


def answered(source: str, value) -> dict:
    """A check cell of a key, with its stored output."""
    data = {ANSWER_MIME: {"value": value}, "text/plain": "answer"}
    return code(source, outputs=[{"output_type": "display_data", "data": data, "metadata": {}}])


def write_key(root: Path, cells: list | None = None, assignment: str = "part/chapter") -> Path:
    """Write a key under `root/solutions`."""
    path = root / "solutions" / f"{assignment}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(as_bytes(cells if cells is not None else CELLS))
    return path


def key_of(tmp_path: Path, cells: list | None = None) -> Key:
    return read_key(write_key(tmp_path, cells), "part/chapter")


def submission(q1: str | None = RIGHT["Q1"], q2: str | None = RIGHT["Q2"]) -> list:
    """The cells of a complete submission; None leaves an answer cell out."""
    cells = [SETUP, q1, Q1_CHECK, q2, Q2_CHECK]
    return [cell for cell in cells if cell is not None]
