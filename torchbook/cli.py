"""The command line: `torchbook check | grade | release`.

Each command imports what it needs when it runs, so that a student's `torchbook check` loads neither the
teacher's dependencies nor anything that only Linux has.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from torchbook import __version__


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command in `argv`; return its exit code. Wrong usage is 2, as in argparse."""
    parser = build_parser()
    args = parser.parse_args(argv)
    try:
        return args.run(args)
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of a pipe (`| head`) has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="torchbook", description="Check, grade and release exercises.")
    parser.add_argument("--version", action="version", version=f"torchbook {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_check(commands)
    _add_grade(commands)
    _add_release(commands)
    return parser


def _add_check(commands: argparse._SubParsersAction) -> None:
    check = commands.add_parser(
        "check",
        help="run an exercise and show its points on the public cases",
        description="Run an exercise notebook from the top and show, question by question, what is right. "
        "The exit code is 0 only if everything is.",
    )
    check.add_argument("notebook", type=Path, metavar="NOTEBOOK")
    check.add_argument("--timeout", type=_positive, default=60.0, metavar="S", help="seconds per cell (60)")
    check.set_defaults(run=_check)


def _add_grade(commands: argparse._SubParsersAction) -> None:
    grade = commands.add_parser(
        "grade",
        help="grade a class: notebooks, folders, zip files from Canvas or Moodle",
        description="Grade submissions with hidden cases, in a sandbox. A second run with the same --out "
        "grades what is new or changed. The exit code is 0 when every submission has a result.",
    )
    grade.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="notebook, folder or zip file")
    grade.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the results go")
    grade.add_argument("--assignment", metavar="PART/CHAPTER", help="for notebooks that do not say theirs")
    grade.add_argument("--solutions", type=Path, metavar="DIR", help="the keys (nearest folder solutions/)")
    grade.add_argument("--seed", type=_seed, metavar="N", help="of the hidden cases (secret, random)")
    grade.add_argument("--jobs", type=_count, default=1, metavar="N", help="notebooks at a time (1)")
    grade.add_argument("--timeout", type=_positive, default=60.0, metavar="S", help="seconds per cell (60)")
    grade.add_argument("--memory", type=_count, default=2048, metavar="MB", help="per notebook (2048)")
    grade.add_argument("--no-sandbox", action="store_true", help="run students' code without any protection")
    grade.add_argument("--junit", type=Path, metavar="FILE", help="write JUnit XML as well")
    grade.set_defaults(run=_grade)


def _add_release(commands: argparse._SubParsersAction) -> None:
    release = commands.add_parser(
        "release",
        help="make the exercises from the answer keys",
        description="Write exercises/ from solutions/: the same notebooks with the solutions cut out.",
    )
    release.add_argument("assignments", nargs="*", metavar="PART/CHAPTER", help="all by default")
    release.add_argument("--check", action="store_true", help="write nothing; fail on stale exercises")
    release.add_argument("--execute", action="store_true", help="first run the keys and store their outputs")
    release.set_defaults(run=_release)


def _check(args: argparse.Namespace) -> int:
    from torchbook.grading.check import main as check
    from torchbook.grading.protocol import Limits

    return check(args.notebook, Limits(cell_seconds=args.timeout))


def _grade(args: argparse.Namespace) -> int:
    from torchbook.grading.batch import main as grade

    return grade(args)


def _release(args: argparse.Namespace) -> int:
    from torchbook.grading.release import main as release

    return release(args.assignments, check=args.check, execute=args.execute)


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not above zero")
    return number


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not one or more")
    return number


def _seed(text: str) -> int:
    number = int(text)
    if not 0 <= number < 2**63:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 2**63 - 1")
    return number


if __name__ == "__main__":
    sys.exit(main())
