"""`pytest --torchbook NOTEBOOK`: one test per check cell, with the points in `user_properties`.

The collector and the items are nbval's own classes, so a failure looks as nbval's users know it, and stock
`pytest --nbval` is left alone: without the flag, nothing here collects anything. What is replaced is the run.
nbval's kernel is the one that the notebook names, started in the notebook's folder; it obeys `NBVAL_*`
comments in the student's cells, compares outputs as exact text, and is not missed when it dies. So the
notebook is rebuilt and run by the grader's own runner, once per file, and each item reports its question.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("torchbook", "Torchbook exercises")
    group.addoption("--torchbook", action="store_true", help="check exercise notebooks, one test per question")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if not parent.config.getoption("--torchbook") or file_path.suffix != ".ipynb":
        return None
    if not parent.config.pluginmanager.hasplugin("nbval"):
        raise pytest.UsageError("--torchbook needs nbval: pip install 'torchbook[grade]'")
    return _classes()[0].from_parent(parent, path=file_path)


@cache
def _classes() -> tuple[Any, Any]:
    """The collector and the item. Made late: a pytest run without the flag need not have nbval."""
    from nbval.plugin import IPyNbCell, IPyNbFile

    from torchbook.grading.check import Checked, CheckError, Loaded, check_loaded, explanation, load
    from torchbook.grading.outcome import QuestionResult, State
    from torchbook.grading.protocol import RunnerError

    class ExerciseFile(IPyNbFile):
        """One exercise notebook."""

        loaded: Loaded
        checked: Checked | None = None

        def collect(self) -> Iterator[pytest.Item]:
            try:
                self.loaded = load(self.path)
            except CheckError as error:
                raise self.CollectError(str(error)) from None
            for number, (identity, source) in enumerate(self.loaded.template.cells):
                if identity.kind == "check":
                    yield CheckCell.from_parent(
                        self, name=identity.name, cell_num=number, cell=_Source(source), options={}
                    )

        def setup(self) -> None:
            """Run the whole notebook, before the first of its questions reports."""
            from torchbook.grading.local import LocalRunner

            runner = LocalRunner()
            try:
                self.checked = check_loaded(self.loaded, runner)
            except RunnerError as error:
                raise pytest.UsageError(str(error)) from None
            finally:
                runner.close()

        def teardown(self) -> None:
            """nbval would stop a kernel here; the runner has done so."""

        def result(self, question: str) -> tuple[QuestionResult, list[str]]:
            assert self.checked is not None
            result = next(q for q in self.checked.graded.questions if q.name == question)
            return result, explanation(result, self.checked.inputs.get(question))

    class CheckCell(IPyNbCell):
        """One question."""

        def setup(self) -> None:
            """nbval marks what follows a timeout as an expected failure; here every question had its turn."""

        def runtest(self) -> None:
            result, lines = self.parent.result(self.name.split()[0])
            self.user_properties += [
                ("torchbook_question", result.name),
                ("torchbook_state", str(result.state)),
                ("torchbook_points", result.points),
                ("torchbook_max", result.max),
            ]
            if result.state is not State.CORRECT:
                self.raise_cell_error("\n".join([f"{result.name} {result.state}", *lines]), result.traceback)

        def reportinfo(self) -> tuple[Path, int, str]:
            return self.path, 0, f"{self.path.name}::{self.name}"

    return ExerciseFile, CheckCell


class _Source:
    """The one thing that nbval's failure report asks of a cell."""

    def __init__(self, source: str) -> None:
        self.source = source
