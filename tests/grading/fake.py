"""A runner without a kernel, for tests of what stands around it: `exec` in this process.

Cells choose their fate by what they raise: SystemExit is the death of the kernel, TimeoutError its time limit
(both end it), MemoryError and everything else leave it alive.
"""

from __future__ import annotations

import contextlib
import io
import random
from unittest.mock import patch

import torchbook.exercises
from torchbook.grading.protocol import Cell, CellResult, CellState

STATES = {SystemExit: CellState.DIED, TimeoutError: CellState.TIMEOUT, MemoryError: CellState.MEMORY}


class FakeRunner:
    """Counts its runs in `kernels`, and keeps the names of the cells of each."""

    def __init__(self):
        self.kernels = []
        self.seeds = []

    def run(self, cells: list[Cell], *, seed, limits=None, files=None) -> list[CellResult]:
        self.kernels.append([cell.name for cell in cells])
        self.seeds.append(seed)
        run = _Run(files or {})
        with _fresh_modules(), patch.dict("os.environ", TORCHBOOK_SEED=str(seed)):
            torchbook.exercises.answer = run.answer
            return [run.execute(cell) for cell in cells]

    def close(self):
        pass


class _Run:
    def __init__(self, files: dict):
        self.namespace = {"__name__": "__main__", "open": _opener(files)}
        self.result = CellResult("", CellState.OK)

    def answer(self, value):
        self.result.answers.append({"value": torchbook.exercises.encode(value)})

    def execute(self, cell: Cell) -> CellResult:
        if self.result.state in (CellState.DIED, CellState.TIMEOUT, CellState.NOT_RUN):
            return self._next(CellResult(cell.name, CellState.NOT_RUN))
        result = self._next(CellResult(cell.name, CellState.OK, seconds=0.25))
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            try:
                exec(cell.source, self.namespace)
            except BaseException as error:
                result.state = STATES.get(type(error), CellState.ERROR)
                result.error_name, result.error_value = type(error).__name__, str(error)
        result.stdout = out.getvalue()
        return result

    def _next(self, result: CellResult) -> CellResult:
        self.result = result
        return result


@contextlib.contextmanager
def _fresh_modules():
    """Undo what cells did to modules: the next kernel is another process."""
    holders = (torchbook.exercises, random.Random)
    saved = [{name: value for name, value in vars(h).items() if callable(value)} for h in holders]
    try:
        yield
    finally:
        for holder, names in zip(holders, saved, strict=True):
            for name, value in names.items():
                if vars(holder).get(name) is not value:
                    setattr(holder, name, value)


def _opener(files: dict):
    return lambda name, *args, **kwargs: io.StringIO(files[name].decode())
