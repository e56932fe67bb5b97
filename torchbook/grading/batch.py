"""`torchbook grade`: a class, from files to gradebook.

1. Find the submissions, and read of each its hash and its assignment. Wrong usage ends here, nothing written.
2. Run each key once with the secret seed.
3. Grade what has no result yet, `--jobs` at a time, and append each result as it ends.
4. Write gradebook, feedback, report. They are made from results.jsonl alone, so a kill costs nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import secrets
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from torchbook.grading.assembly import assemble
from torchbook.grading.collect import Collected, Found, UnreadableFile, UsageError, collect
from torchbook.grading.gradebook import write_gradebook, write_junit
from torchbook.grading.grader import Grader, References
from torchbook.grading.key import BadKey, Key
from torchbook.grading.outcome import QuestionResult, State
from torchbook.grading.protocol import Limits, Runner, RunnerError
from torchbook.grading.reader import Submitted, UnreadableNotebook, read_notebook
from torchbook.grading.references import references_of_key
from torchbook.grading.release import Tree, find_tree
from torchbook.grading.reports import write_feedback, write_report
from torchbook.grading.results import (
    GRADED,
    UNKNOWN,
    UNREADABLE,
    Record,
    ResultsError,
    ResultsFile,
    read_results,
)
from torchbook.grading.template import BadTemplate, Template, template_of, unpack

SEED_BITS = 52  # whole in a JSON number of any reader


@dataclass(frozen=True)
class Task:
    """One submission: its file, and what could be said of it without running it."""

    found: Found
    record: Record


@dataclass(frozen=True)
class Exam:
    """One assignment, ready to grade with."""

    key: Key
    template: Template
    references: References


def main(args: argparse.Namespace) -> int:
    """The command. 0: every submission has a result; 1: some have none; 2: wrong usage, nothing written."""
    try:
        batch = Batch(args)
        tasks = batch.plan()
        runner = batch.runner(tasks)
    except (UsageError, BadKey, ResultsError, RunnerError) as error:
        print(f"torchbook grade: {error}", file=sys.stderr)
        return 2
    with contextlib.closing(runner) if runner else contextlib.nullcontext():
        try:
            exams = batch.exams(tasks, runner) if runner else {}
            args.out.mkdir(parents=True, exist_ok=True)
            results = ResultsFile(args.out / "results.jsonl")
        except (BadKey, ResultsError, RunnerError, OSError) as error:
            print(f"torchbook grade: {error}", file=sys.stderr)
            return 2
        with contextlib.closing(results):
            failures = grade_all(batch, tasks, exams, runner, results)
            batch.write_reports()
    batch.summarize(len(tasks), failures)
    return 1 if failures else 0


class Batch:
    """The command's arguments, and what they lead to."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.limits = Limits(
            cell_seconds=args.timeout,
            total_seconds=max(5 * args.timeout, Limits.total_seconds),
            memory_mb=args.memory,
        )
        self.tree = _solutions(args.solutions)
        self.keys: dict[str, Key] = {}
        if args.out.exists() and not args.out.is_dir():
            raise UsageError(f"--out {args.out} is a file; name a folder.")
        if args.assignment is not None and args.assignment not in self.tree.assignments():
            known = ", ".join(self.tree.assignments())
            raise UsageError(f"there is no key for --assignment {args.assignment}; there are {known}.")
        self.collected: Collected = collect(args.paths, {_chapter(a) for a in self.tree.assignments()})
        self.old = read_results(args.out / "results.jsonl")
        self.seed = self._seed()

    def _seed(self) -> int:
        """The seed of the command, else that of the earlier run, else a new secret one."""
        if self.args.seed is not None:
            return self.args.seed
        return self.old[-1].seed if self.old else secrets.randbits(SEED_BITS)

    def plan(self) -> list[Task]:
        """What has to be graded now: all submissions without a result for the same bytes, key and seed."""
        done = {record.identity for record in self.old}
        tasks = []
        for found in self.collected.found:
            record = self._record(found)
            if record.identity not in done:
                done.add(record.identity)
                tasks.append(Task(found, record))
        return tasks

    def _record(self, found: Found) -> Record:
        record = Record(
            file=found.label,
            student=found.student,
            assignment=self.args.assignment or "",
            sha256="",
            seed=self.seed,
            key="",
            limits=[self.limits.cell_seconds, self.limits.memory_mb],
            submitted=[found.order[0], found.order[1]],
        )
        try:
            data = found.read()
            record.sha256 = hashlib.sha256(data).hexdigest()
            submitted = read_notebook(data)
        except (UnreadableFile, UnreadableNotebook) as error:
            record.state, record.notes = UNREADABLE, [str(error)]
            record.assignment = record.assignment or self._only_or_named(found)
        else:
            record.assignment = record.assignment or self._assignment(submitted) or self._only_or_named(found)
        if record.assignment:
            self._about_key(record)
        elif record.state == GRADED:
            record.state = UNKNOWN
            record.notes = ["The notebook does not say which exercise it answers; grade it with --assignment."]
        return record

    def _assignment(self, submitted: Submitted) -> str:
        """What the notebook says of itself, where a key of that name exists."""
        known = self.tree.assignments()
        try:
            said = unpack([cell.source for cell in submitted.cells if cell.kind != "code"]).assignment
        except BadTemplate:
            said = submitted.assignment
        return said if said in known else submitted.assignment if submitted.assignment in known else ""

    def _only_or_named(self, found: Found) -> str:
        """The assignment that the file's name contains, or the only one that there is."""
        known = self.tree.assignments()
        named = [a for a in known if _chapter(a) in found.label.rpartition("/")[2]]
        return named[0] if len(named) == 1 else known[0] if len(known) == 1 else ""

    def _about_key(self, record: Record) -> None:
        key = self.key(record.assignment)
        record.key, record.max = key.digest, key.max_points
        if record.state == UNREADABLE:
            record.questions = [
                QuestionResult(q.name, q.points, State.MISSING, message="The notebook could not be read.")
                for q in key.questions
            ]

    def key(self, assignment: str) -> Key:
        if assignment not in self.keys:
            self.keys[assignment] = self.tree.key(assignment)
        return self.keys[assignment]

    def runner(self, tasks: list[Task]) -> Runner | None:
        """What runs the cells; None if nothing has to run. Raises UsageError where there is no sandbox."""
        if not any(task.record.state == GRADED for task in tasks):
            return None
        if self.args.no_sandbox:
            from torchbook.grading.local import LocalRunner

            return LocalRunner()
        from torchbook.grading.sandbox import SandboxRunner, sandbox_available

        available, why = sandbox_available()
        if not available:
            raise UsageError(
                f"{why}\nTo grade without it, add --no-sandbox: students' code then runs with your rights, "
                "and can read and change your files. Do so only in a container or virtual machine of its own."
            )
        return SandboxRunner()

    def exams(self, tasks: list[Task], runner: Runner) -> dict[str, Exam]:
        """Each needed key, run once. Raises BadKey."""
        needed = sorted({task.record.assignment for task in tasks if task.record.state == GRADED})
        exams = {}
        for assignment in needed:
            key = self.key(assignment)
            exams[assignment] = Exam(key, template_of(key), references_of_key(key, runner, self.seed))
        return exams

    def write_reports(self) -> None:
        """All files but results.jsonl, from results.jsonl."""
        out: Path = self.args.out
        records = read_results(out / "results.jsonl")
        write_gradebook(records, out / "gradebook.csv")
        write_feedback(records, out / "feedback")
        write_report(records, self.collected.skipped, out / "report.html")
        if self.args.junit is not None:
            self.args.junit.parent.mkdir(parents=True, exist_ok=True)
            write_junit(records, self.args.junit)

    def summarize(self, graded: int, failures: list[str]) -> None:
        found = len(self.collected.found)
        done = graded - len(failures)
        print(f"{done} graded, {found - graded} had a result already. See {self.args.out / 'report.html'}")
        several = [s for s, n in Counter(f.student for f in self.collected.found).items() if n > 1]
        if several:
            names = ", ".join(sorted(several)[:8]) + (" ..." if len(several) > 8 else "")
            print(f"Several files of one student and one exercise: the latest counts ({names}).")
        if self.collected.skipped:
            print(f"{len(self.collected.skipped)} files were no notebooks; report.html lists them.")
        for failure in failures:
            print(failure, file=sys.stderr)
        if failures:
            print(f"{len(failures)} submissions have no result; run the command again.", file=sys.stderr)


def _solutions(given: Path | None) -> Tree:
    if given is None:
        tree = find_tree()
        if tree is None:
            raise UsageError("there is no folder solutions/ here or above; name it with --solutions DIR.")
        return tree
    tree = Tree(given.parent)
    tree.solutions = given
    if not tree.assignments():
        raise UsageError(f"--solutions {given} has no key; keys are {given}/PART/CHAPTER.ipynb.")
    return tree


def _chapter(assignment: str) -> str:
    return assignment.rpartition("/")[2]


# ---------------------------------------------------------------- grading


def grade_all(
    batch: Batch, tasks: list[Task], exams: dict[str, Exam], runner: Runner | None, results: ResultsFile
) -> list[str]:
    """Grade `tasks`, append each result as it ends; return a sentence for each that got none."""
    failures: list[str] = []
    with _progress(len(tasks)) as advance, ThreadPoolExecutor(batch.args.jobs) as pool:
        waiting = iter(tasks)
        running: dict[Future[Record], Task] = {}
        while True:
            # Only a few at a time: a notebook's cells are in memory from here on.
            while len(running) < 2 * batch.args.jobs and (task := next(waiting, None)) is not None:
                running[pool.submit(grade_one, task, exams, runner, batch.limits)] = task
            if not running:
                return failures
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                task = running.pop(future)
                try:
                    results.append(future.result())
                except Exception as error:  # whatever one submission triggers, the others are graded
                    why = "".join(traceback.format_exception_only(error)).strip()
                    failures.append(f"{task.found.label}: {why}")
                advance()


def grade_one(task: Task, exams: dict[str, Exam], runner: Runner | None, limits: Limits) -> Record:
    """The result of one submission. Raises RunnerError when no kernel starts: that is not the student's."""
    record = task.record
    if record.state != GRADED or runner is None:
        return record
    start = time.monotonic()
    exam = exams[record.assignment]
    data = task.found.read()
    if hashlib.sha256(data).hexdigest() != record.sha256:
        raise UnreadableFile("The file changed while it was graded.")
    plan = assemble(read_notebook(data), exam.template)
    graded = Grader(runner, limits).grade(plan, exam.key.questions, exam.references)
    record.questions, record.notes, record.kernels = graded.questions, graded.notes, graded.kernels
    record.total, record.max = graded.total, graded.max
    record.seconds = round(time.monotonic() - start, 3)
    return record


@contextlib.contextmanager
def _progress(total: int) -> Iterator[Callable[[], None]]:
    """A bar with the time left, on stderr; yields the function that moves it by one."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("Grading"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=total == 0) as progress:
        bar = progress.add_task("", total=total)
        yield lambda: progress.advance(bar)
