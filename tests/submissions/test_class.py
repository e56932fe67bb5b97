"""A class of thirty hands in a real exercise, and is graded as the README says: one zip file, one command."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest

from tests.grading.variants import answer_cell, modules
from tests.support import ROOT
from torchbook.grading.release import find_tree

ASSIGNMENT = "mlp/linear-models"
# Extra cells of students who would rather not work. None of them may change what their answers are worth.
ATTACKS = (
    "import math, torch\ntorch.allclose = torch.equal = math.isclose = lambda *a, **k: True",
    "import torchbook.exercises as t\nt.answer = answer = lambda value: None\nt.cases = cases = lambda name: []",
    "import builtins\nbuiltins.abs = lambda x: 0\nbuiltins.float = lambda x: 0",
    "class Equal(float):\n    __eq__ = lambda *a: True\n    __hash__ = float.__hash__\n"
    "import builtins\nbuiltins.float = Equal",
    "import ast\nclass Strip(ast.NodeTransformer):\n    def visit_Assert(self, node): return ast.Pass()\n"
    "get_ipython().ast_transformers.append(Strip())",
    "import os, signal\nfor pid in range(2, 4000):\n    try: os.kill(pid, 9)\n    except OSError: pass",
    "import inspect, os\nprint(os.listdir('/'), dict(os.environ))\nfor f in inspect.stack(): print(f.frame.f_locals)",
)  # fmt: skip


@dataclass(frozen=True)
class Student:
    name: str
    notebook: nbformat.NotebookNode
    right: frozenset[str]  # the questions that they answered rightly


def _class() -> Iterator[Student]:
    """8 right, 8 wrong, 7 mixed, 7 hostile; the answers are those of the key's own tests."""
    key = find_tree().key(ASSIGNMENT)
    (variants,) = (module.VARIANTS for module in modules() if module.ASSIGNMENT == ASSIGNMENT)
    names = list(variants)
    for number in range(30):
        kind = ("right", "wrong", "mixed", "hostile")[number % 4]
        if kind == "right":
            right = frozenset(names)
        elif kind == "mixed":
            right = frozenset(name for i, name in enumerate(names) if (i + number // 4) % 3)
        else:
            right = frozenset()
        notebook = nbformat.read(ROOT / "exercises" / f"{ASSIGNMENT}.ipynb", as_version=4)
        for name, own in variants.items():
            pool = own.right if name in right else list(own.wrong)
            _cell(notebook, f"# {name} answer")["source"] = answer_cell(key, name, pool[number // 4 % len(pool)])
        if kind == "hostile":
            notebook.cells.insert(1, nbformat.v4.new_code_cell(ATTACKS[number // 4 % len(ATTACKS)]))
        yield Student(f"student{number:02}", notebook, right)


def _cell(notebook: nbformat.NotebookNode, first_line: str) -> nbformat.NotebookNode:
    (cell,) = (cell for cell in notebook.cells if cell.source.split("\n")[0] == first_line)
    return cell


@pytest.mark.slow
@pytest.mark.alone
def test_a_class_is_graded_by_the_words_of_the_readme(tmp_path: Path) -> None:
    students = list(_class())
    key = find_tree().key(ASSIGNMENT)
    points = {question.name: question.points for question in key.questions}
    with zipfile.ZipFile(tmp_path / "submissions.zip", "w") as archive:  # as Canvas names them
        for number, student in enumerate(students):
            archive.writestr(f"{student.name}_{1000 + number}_{5000 + number}_linear-models.ipynb",
                             nbformat.writes(student.notebook))  # fmt: skip
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "torchbook grade submissions/ --out graded/" in readme
    command = [sys.executable, "-m", "torchbook.cli", "grade", "submissions.zip", "--out", "graded"]
    command += ["--solutions", str(ROOT / "solutions")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]

    records = [json.loads(line) for line in (tmp_path / "graded" / "results.jsonl").read_text("utf-8").splitlines()]
    earned = {r["student"]: {q["name"]: q["points"] for q in r["questions"]} for r in records}
    expected = {
        f"{student.name}_{1000 + number}": {name: points[name] * (name in student.right) for name in points}
        for number, student in enumerate(students)
    }
    assert earned == expected
    with (tmp_path / "graded" / "gradebook.csv").open(newline="", encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 30
    assert len(list((tmp_path / "graded" / "feedback").glob("*.html"))) == 30
    assert "student29" in (tmp_path / "graded" / "report.html").read_text(encoding="utf-8")

    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert again.returncode == 0
    assert "0 graded, 30 had a result already" in again.stdout
