"""Judges: a grader cell's own function that says whether a value is a valid answer.

For questions with many right answers ("choose a stack whose receptive field is 15"). The function runs in a
kernel with the key's setup cells, never beside the student's code; the value travels as JSON.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from torchbook.grading.protocol import Cell, CellResult, CellState, Limits, Runner
from torchbook.grading.values import MalformedAnswer, decode, plain

JUDGE_SECONDS = 20.0
_ASK = """\
import json as _json
from torchbook.exercises import answer as _answer
with open({file!r}, encoding="utf-8") as _file:
    _verdict = judge(_json.load(_file))
_answer(True if _verdict is True else str(_verdict) if isinstance(_verdict, str) else False)"""


@dataclass(frozen=True)
class Verdict:
    ok: bool
    message: str = ""  # for the student
    detail: str = ""  # for the teacher


@dataclass(frozen=True)
class Judges:
    """The setup cells and, per question, the source of its grader cell."""

    setup: tuple[str, ...]
    sources: dict[str, str]

    def judge(self, runner: Runner, values: dict[str, Any], seed: int) -> dict[str, Verdict]:
        """A verdict on each value, by the name of its question."""
        cells = [Cell(f"setup {i}", source) for i, source in enumerate(self.setup)]
        files = {}
        for name, value in values.items():
            file = f"{name}.json"
            files[file] = json.dumps(plain(value), default=str).encode()  # complex numbers as text
            cells += [Cell(f"{name} grader", self.sources[name]), Cell(name, _ASK.format(file=file))]
        results = runner.run(cells, seed=seed, limits=Limits(cell_seconds=JUDGE_SECONDS), files=files)
        by_name = {result.name: result for result in results}
        return {name: _verdict(by_name[name]) for name in values}


def _verdict(result: CellResult) -> Verdict:
    if result.state is not CellState.OK or len(result.answers) != 1:
        trouble = f"the judge ended with {result.state.value} {result.error_name}: {result.error_value}"
        return Verdict(False, "The answer does not have the form that the question asks for.", trouble)
    try:
        said = decode(result.answers[0])
    except MalformedAnswer as error:
        return Verdict(False, "The answer could not be judged.", str(error))
    if said is True:
        return Verdict(True)
    sentence = said if isinstance(said, str) and said else "The answer does not do what is asked."
    return Verdict(False, sentence, sentence)
