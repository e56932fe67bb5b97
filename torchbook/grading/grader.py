"""Grade one rebuilt notebook: run it, recover from what it breaks, and compare outside.

One kernel runs everything. Where the kernel ends early, or an answer channel misbehaves, more kernels follow,
so that one question cannot take the next one with it:

1. The whole notebook.
2. If the kernel was lost: again without the cell that it was lost in, for the questions that had no turn yet;
   at most MAX_REPLAYS times.
3. Questions that may have suffered from another one (see `_suffers`) run without the others.
4. A NameError may come from cells that were saved in another order than they were run in: once more, with all
   definitions first.

A later run can turn a question to correct, never away from it. That is safe: a question is correct only when
its values equal those of the key, whichever kernel they come from.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from torchbook.grading.assembly import Plan, PlannedCell
from torchbook.grading.compare import compare
from torchbook.grading.judges import Judges
from torchbook.grading.key import Question
from torchbook.grading.outcome import Graded, QuestionResult, State
from torchbook.grading.protocol import CellResult, CellState, Limits, Runner
from torchbook.grading.tampering import tampers
from torchbook.grading.values import MalformedAnswer, decode, show

MAX_REPLAYS = 3
_LOST = {
    CellState.TIMEOUT: State.TIMEOUT,
    CellState.DIED: State.DIED,
    CellState.MEMORY: State.MEMORY,
    CellState.OUTPUT: State.OUTPUT,
}
_SAID = {
    State.TIMEOUT: "The code ran longer than its time limit.",
    State.DIED: "The Python process ended while this question ran.",
    State.MEMORY: "The code used more memory than its limit.",
    State.OUTPUT: "The code wrote more output than its limit.",
}


@dataclass(frozen=True)
class References:
    """What answers are held against, for one seed: an answer message per question, and the judges."""

    seed: int
    expected: dict[str, Any]  # decoded values
    judges: Judges | None = None
    public: bool = False  # the student may see the expected values


@dataclass
class _Turn:
    """A question's two cells in one kernel."""

    answer: CellResult
    check: CellResult


class Grader:
    """Grades plans with one runner. Not for several threads at once; a thread takes its own."""

    def __init__(self, runner: Runner, limits: Limits | None = None) -> None:
        self.runner = runner
        self.limits = limits or Limits()

    def grade(self, plan: Plan, questions: Sequence[Question], references: References) -> Graded:
        """Run `plan` and judge every question. Raises RunnerError when no kernel starts."""
        return _Grading(self, plan, questions, references).grade()


class _Grading:
    def __init__(self, grader: Grader, plan: Plan, questions: Sequence[Question], references: References) -> None:
        self.runner, self.limits = grader.runner, grader.limits
        self.plan, self.questions, self.references = plan, questions, references
        self.results: dict[str, QuestionResult] = {}
        self.kernels = 0
        self.fatal: set[str] = set()  # cells that were lost, in whichever kernel
        self.no_channel: set[str] = set()  # questions that did not send exactly one answer
        self.end = time.monotonic() + 2 * self.limits.total_seconds

    def grade(self) -> Graded:
        first = self._run(self.plan.cells)
        self._judge(self._turns(self.plan.cells, first), self.questions)
        self._replay(list(self.plan.cells), first)
        self._alone()
        self._definitions_first()
        notes = list(self.plan.notes.get("", ()))
        ordered = [self._finished(question) for question in self.questions]
        return Graded(ordered, notes, self.kernels)

    def _finished(self, question: Question) -> QuestionResult:
        result = self.results[question.name]
        result.notes = [*self.plan.notes.get(question.name, ()), *result.notes]
        if result.state is not State.CORRECT and question.name not in self.plan.answered:
            return _set(result, State.MISSING, "There is no answer yet.")
        if result.state is State.NOT_RUN:
            return _set(result, State.TIMEOUT, "The time for the whole notebook was used up before this question.")
        return result

    # ------------------------------------------------------------ runs

    def _run(self, cells: Sequence[PlannedCell]) -> list[CellResult]:
        self.kernels += 1
        left = max(1.0, self.end - time.monotonic())
        limits = replace(self.limits, total_seconds=min(self.limits.total_seconds, left))
        results = self.runner.run([c.cell() for c in cells], seed=self.references.seed, limits=limits)
        self.fatal |= {result.name for result in results if result.state in _LOST}
        return results

    def _turns(self, cells: Sequence[PlannedCell], results: Sequence[CellResult]) -> dict[str, _Turn]:
        by_name = dict(zip((cell.name for cell in cells), results, strict=True))
        none = CellResult("", CellState.OK)  # an answer cell that this run left out: its own result stands
        return {
            question.name: _Turn(by_name.get(f"{question.name} answer", none), check)
            for question in self.questions
            if (check := by_name.get(f"{question.name} check")) is not None
        }

    def _out_of_time(self) -> bool:
        return time.monotonic() >= self.end

    def _replay(self, cells: list[PlannedCell], results: list[CellResult]) -> None:
        """After a loss: the questions that had no turn, in a fresh kernel without the fatal cell."""
        for _ in range(MAX_REPLAYS):
            waiting = {name for name, result in self.results.items() if result.state is State.NOT_RUN}
            fatal = _fatal(cells, results)
            if not waiting or fatal is None or self._out_of_time():
                break
            self.fatal.add(fatal.name)
            skip = {f"{fatal.question} check"} if fatal.question else set()
            done = {f"{q.name} check" for q in self.questions if q.name not in waiting}
            cells = [c for c in cells if c is not fatal and c.name not in skip | done]
            results = self._run(cells)
            self._judge(self._turns(cells, results), [q for q in self.questions if q.name in waiting])

    def _alone(self) -> None:
        """Questions that another cell may have spoiled, each in a kernel without the suspects."""
        setup = [cell.source for cell in self.plan.cells if cell.role == "setup"]
        suspects = {cell.name for cell in self._students_cells() if tampers([cell.source], setup)}
        harmless = {cell.name for cell in self.plan.cells if cell.role == "extra"} - suspects
        for question in self.questions:
            tried = self._suffers(question, bool(suspects)) and not self._out_of_time()
            if tried and not self._alone_with(question, harmless - self.fatal):
                self._alone_with(question, set())

    def _alone_with(self, question: Question, extras: set[str]) -> bool:
        """Run one question with the setup and `extras`; False if an extra cell took the kernel with it."""
        own = extras | {f"{question.name} answer", f"{question.name} check"}
        cells = [cell for cell in self.plan.cells if cell.role == "setup" or cell.name in own]
        results = self._run(cells)
        self._judge(self._turns(cells, results), [question])
        return not any(result.name in extras and result.state in _LOST for result in results)

    def _suffers(self, question: Question, tampering: bool) -> bool:
        """Whether the question may be right by itself. A time limit is run into again only on suspicion."""
        state = self.results[question.name].state
        settled = state in (State.CORRECT, State.MISSING, State.UNCHECKED)
        if settled or question.name not in self.plan.answered:
            return False
        if state is State.TIMEOUT:
            return tampering
        return tampering or bool(self.fatal) or state is State.NOT_RUN or question.name in self.no_channel

    def _definitions_first(self) -> None:
        """Run the student's cells twice, so that a definition may stand below its use."""
        students = list(self._students_cells())
        failed = [q for q in self.questions if self._lacks_a_name(q, students)]
        if not failed or self._out_of_time():
            return
        first = [replace(cell, name=f"{cell.name} (first)") for cell in students]
        setup = [cell for cell in self.plan.cells if cell.role == "setup"]
        rest = [cell for cell in self.plan.cells if cell.role != "setup"]
        cells = [*setup, *first, *rest]
        self._judge(self._turns(cells, self._run(cells)), failed)

    def _lacks_a_name(self, question: Question, students: Sequence[PlannedCell]) -> bool:
        """Whether the question failed for a name that another cell of the student seems to define."""
        result = self.results[question.name]
        match = re.search(r"NameError: name '(\w{1,100})' is not defined", result.message)
        if result.state is not State.ERROR or not match:
            return False
        defines = re.compile(rf"^(def|class|import|from.* import.*)?\s*{match[1]}\b|import .*\b{match[1]}\b", re.M)
        return any(defines.search(cell.source) for cell in students)

    def _students_cells(self) -> list[PlannedCell]:
        answers = self.plan.answered
        return [c for c in self.plan.cells if c.role == "extra" or (c.role == "answer" and c.question in answers)]

    # ------------------------------------------------------------ judging

    def _judge(self, turns: dict[str, _Turn], questions: Sequence[Question]) -> None:
        """Update the results of `questions` with `turns`; a result that is correct stays."""
        pending: dict[str, tuple[Question, _Turn, Any]] = {}
        for question in questions:
            turn = turns.get(question.name)
            old = self.results.get(question.name)
            if turn is None or (old is not None and old.state is State.CORRECT):
                continue
            new = self._verdict(question, turn, pending)
            better = new.state is State.CORRECT or question.name in pending
            if old is None or old.state is State.NOT_RUN or better:
                new.seconds += old.seconds if old else 0.0
                self.results[question.name] = new
        if pending and self.references.judges is not None:
            self._ask_judges(pending)

    def _verdict(
        self, question: Question, turn: _Turn, pending: dict[str, tuple[Question, _Turn, Any]]
    ) -> QuestionResult:
        result = _blank(question, turn)
        if turn.check.state is not CellState.OK:
            return _failed(result, turn)
        if turn.answer.state in _LOST:
            return _set(result, _LOST[turn.answer.state], _SAID[_LOST[turn.answer.state]])
        if len(turn.check.answers) != 1:
            self.no_channel.add(question.name)
            return _set(result, State.WRONG, _wrong_count(len(turn.check.answers)))
        try:
            value = decode(turn.check.answers[0])
        except MalformedAnswer as error:
            return _set(result, State.WRONG, f"The answer could not be read: {error}.")
        if question.rule.kind == "judge":
            pending[question.name] = (question, turn, value)
            return _set(result, State.WRONG, "The answer was not judged.")
        return self._compared(result, question, value)

    def _compared(self, result: QuestionResult, question: Question, value: Any) -> QuestionResult:
        if question.name not in self.references.expected:
            return _set(result, State.UNCHECKED, "The public checks passed; there are no values to compare with.")
        difference = compare(self.references.expected[question.name], value, question.rule)
        if difference is None:
            return _passed(result)
        result.case = difference.case
        if self.references.public:
            return _set(result, State.WRONG, f"A public case differs. {difference.for_teacher()}")
        said = f"The public cases pass, a hidden case does not. {difference.for_student()}."
        return _set(result, State.WRONG, said, difference.for_teacher())

    def _ask_judges(self, pending: dict[str, tuple[Question, _Turn, Any]]) -> None:
        assert self.references.judges is not None
        values = {name: value for name, (_, _, value) in pending.items()}
        verdicts = self.references.judges.judge(self.runner, values, self.references.seed)
        self.kernels += 1
        for name, verdict in verdicts.items():
            if verdict.ok:
                _passed(self.results[name])
            else:
                detail = f"{verdict.detail} (answer: {show(values[name])})"
                _set(self.results[name], State.WRONG, verdict.message, detail)


def _blank(question: Question, turn: _Turn) -> QuestionResult:
    seconds = round(turn.answer.seconds + turn.check.seconds, 3)
    output = "\n".join(text for text in (turn.answer.stdout, turn.check.stdout) if text.strip())
    notes = list(dict.fromkeys([*turn.answer.notes, *turn.check.notes]))
    return QuestionResult(question.name, question.points, State.WRONG, seconds=seconds, output=output, notes=notes)


def _set(result: QuestionResult, state: State, message: str, detail: str = "") -> QuestionResult:
    result.state, result.message, result.detail = state, message, detail or message
    return result


def _passed(result: QuestionResult) -> QuestionResult:
    result.state, result.points, result.message, result.detail = State.CORRECT, result.max, "", ""
    return result


def _failed(result: QuestionResult, turn: _Turn) -> QuestionResult:
    """The check cell did not come to its end: name the first of the two cells that is to blame."""
    answer, check = turn.answer, turn.check
    if check.state is CellState.NOT_RUN and answer.state not in _LOST:
        return _set(result, State.NOT_RUN, "The kernel was gone before this question had its turn.")
    public = check.error_name == "AssertionError" and check.state is CellState.ERROR
    blamed = check if public or check.state in _LOST or answer.state is CellState.OK else answer
    if answer.state in _LOST:
        blamed = answer
    if blamed.state in _LOST:
        state = _LOST[blamed.state]
        return _set(result, state, _SAID[state])
    if blamed is turn.check and blamed.error_name == "AssertionError":
        message = blamed.error_value or "A public check failed."
        return _set(result, State.WRONG, message)
    if blamed.error_name == "NotImplementedError" and "is not answered yet" in blamed.error_value:
        return _set(result, State.MISSING, "There is no answer yet.")
    where = "answer" if blamed is turn.answer else "check"
    message = f"The {where} cell raised {blamed.error_name}: {blamed.error_value}".rstrip(": ")
    result.traceback = blamed.traceback
    return _set(result, State.ERROR, message)


def _wrong_count(count: int) -> str:
    if count == 0:
        return "The check cell ended without an answer."
    return f"The check cell sent {count} answers; exactly one counts."


def _fatal(cells: Sequence[PlannedCell], results: Sequence[CellResult]) -> PlannedCell | None:
    """The last cell that ran before the kernel was gone; None if the kernel lived to the end."""
    gone = next((i for i, result in enumerate(results) if result.state is CellState.NOT_RUN), None)
    last = cells[gone - 1] if gone else None
    return last if last is not None and last.role != "setup" else None
