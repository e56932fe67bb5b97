"""What one cell produced, within limits: both runners fill a `Record` while a cell runs.

All that comes out of a kernel is untrusted. Nothing here keeps more than the limits allow, and no value that
a kernel sent is used as anything but text or JSON.
"""

from __future__ import annotations

import json
import re
import time
from typing import Any

from torchbook.grading.protocol import CellResult, CellState, Limits

TEXT_CHARS = 4_000  # of stdout and of a traceback, for feedback
ERROR_CHARS = 500  # of an error's name and message
GRACE_SECONDS = 2.0  # between the interrupt and the kill
# JSON of N bytes can become 30 N bytes of Python objects ("[[],[],[], ..."): bound the objects as well.
ANSWER_ITEMS = 500_000

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_OUT_OF_MEMORY = ("not enough memory", "can't allocate memory", "Cannot allocate memory")


def plain(text: Any, limit: int) -> str:
    """`text` as printable text without ANSI codes; its middle is cut where it is longer than `limit`."""
    text = text if isinstance(text, str) else str(type(text).__name__)
    if len(text) > 4 * limit:  # an absurd length never meets the regular expressions
        text = text[: 2 * limit] + text[-2 * limit :]
    text = _CONTROL.sub("", _ANSI.sub("", text))
    # A lone surrogate would fail later, where the text is written to a file.
    text = text.encode("utf-8", "replace").decode("utf-8")
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n[... cut ...]\n{text[-half:]}"


def parse_answer(payload: bytes | str) -> Any:
    """The JSON value in `payload`. Raises ValueError for anything that is not sound JSON of bounded size."""
    try:
        text = payload.decode() if isinstance(payload, bytes) else payload
        if text.count(",") + text.count("[") + text.count("{") > ANSWER_ITEMS:
            raise ValueError(f"more than {ANSWER_ITEMS} values")
        value = json.loads(text)
        if "\\u" in text:  # escaped lone surrogates are JSON, and break every file that they are written to
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except UnicodeError:
        raise ValueError("not sound Unicode") from None
    return value


class Budget:
    """The bytes that one kernel may still send, over all its cells."""

    def __init__(self, limits: Limits) -> None:
        self.output = limits.output_bytes
        self.answers = limits.answer_bytes


class Record:
    """One cell's result while it grows. Reading is cheap and bounded; `result` ends it."""

    def __init__(self, name: str, budget: Budget) -> None:
        self._budget = budget
        self._start = time.monotonic()
        self._text: list[str] = []
        self._kept = 0
        self._output = self._answers = 0
        self._cell = CellResult(name, CellState.OK)
        self.stopped: CellState | None = None  # why the runner stopped the cell, if it did

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._start

    def output(self, text: str, size: int | None = None) -> None:
        """Count output of `size` bytes, and keep the beginning of `text`."""
        self._output += len(text) if size is None else size
        room = 2 * TEXT_CHARS - self._kept
        if room > 0 and text:
            self._text.append(text[:room])
            self._kept += len(text[:room])
        if self._output > self._budget.output:
            self.stop(CellState.OUTPUT, f"The cell wrote more than {self._budget.output} bytes of output.")

    def answer(self, payload: bytes | str, size: int | None = None) -> None:
        """Keep the JSON text `payload` as an answer if it is sound and within the limit."""
        self._answers += len(payload) if size is None else size
        if self._answers > self._budget.answers:
            self.stop(CellState.OUTPUT, f"The answers are larger than {self._budget.answers} bytes.")
            return
        try:
            self._cell.answers.append(parse_answer(payload))
        except ValueError as error:
            self.note(f"An answer was left out, it is not valid JSON: {plain(str(error), 100)}.")

    def error(self, name: Any, value: Any, traceback: Any) -> None:
        """The cell raised. All three come from the kernel and may be of any type."""
        lines = traceback if isinstance(traceback, list) else []
        self._cell.state = CellState.ERROR
        self._cell.error_name = plain(name, ERROR_CHARS)
        self._cell.error_value = plain(value, ERROR_CHARS)
        self._cell.traceback = plain("\n".join(x for x in lines[:200] if isinstance(x, str)), TEXT_CHARS)
        allocation = any(words in self._cell.error_value for words in _OUT_OF_MEMORY)
        if self._cell.error_name == "MemoryError" or (self._cell.error_name == "RuntimeError" and allocation):
            self._cell.state = CellState.MEMORY

    def stop(self, state: CellState, why: str) -> None:
        """Remember that the runner stops this cell; the first reason counts."""
        if self.stopped is None:
            self.stopped = state
            self.note(why)

    def note(self, sentence: str) -> None:
        if len(self._cell.notes) < 20 and sentence not in self._cell.notes:
            self._cell.notes.append(sentence)

    def result(self) -> CellResult:
        """The finished result. A cell over an output limit keeps no answers, and gives its bytes back."""
        cell = self._cell
        cell.seconds = round(self.seconds, 4)
        cell.stdout = plain("".join(self._text), TEXT_CHARS)
        cell.state = self.stopped or cell.state
        if cell.state is CellState.OUTPUT:
            cell.answers.clear()
        else:
            self._budget.output -= self._output
            self._budget.answers -= self._answers
        return cell


def not_run(name: str) -> CellResult:
    """The result of a cell whose kernel was gone before its turn."""
    return CellResult(name, CellState.NOT_RUN)
