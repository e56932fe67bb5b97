"""The skeleton of an exercise: what a submission is rebuilt from.

The grader makes it from the key. A student has no key, so the release packs the same skeleton into the
exercise, with the expected values of the public seed: a comment in the last Markdown cell, which survives
Colab (ids, outputs and metadata may not). `torchbook check` can thus restore edited check cells and judge the
public cases honestly. Who unpacks the comment learns the answers to the public cases, which are worth no
points: the grader draws others from its own seed.
"""

from __future__ import annotations

import base64
import bz2
import json
import re
import textwrap
from dataclasses import dataclass, field
from typing import Any

from torchbook.grading.cells import Identity, identify
from torchbook.grading.key import BadKey, Key, Question, cut_solution
from torchbook.grading.rules import parse_rule

FORMAT = 1
MAX_PACKED = 4_000_000
MAX_UNPACKED = 16_000_000
_COMMENT = re.compile(r"<!-- torchbook-exercise\s+([A-Za-z0-9+/=\s]+)-->")


class BadTemplate(ValueError):
    """The exercise's own description is missing or damaged."""


@dataclass(frozen=True)
class Template:
    """The code cells of an exercise in order, with stubs in the answer cells."""

    assignment: str
    cells: tuple[tuple[Identity, str], ...]
    questions: tuple[Question, ...]
    expected: dict[str, Any] = field(default_factory=dict)  # question -> answer message, public seed
    graders: dict[str, str] = field(default_factory=dict)  # question -> source of its judge

    def source(self, name: str) -> str:
        return next(source for identity, source in self.cells if identity.name == name)

    @property
    def max_points(self) -> float:
        return sum(question.points for question in self.questions)


def template_of(key: Key) -> Template:
    """The skeleton of the key. Its public expected values are the key's stored outputs, where it has them."""
    cells = []
    for cell in key.cells:
        if cell.identity is None or cell.identity.kind == "grader":
            continue
        source = cell.source
        if cell.identity.kind == "answer":
            source = cut_solution(source, cell.identity.question)
        cells.append((cell.identity, source))
    graders = {q.name: key.source(f"{q.name} grader") or "" for q in key.questions if q.rule.kind == "judge"}
    return Template(key.assignment, tuple(cells), key.questions, _public_expected(key), graders)


def _public_expected(key: Key) -> dict[str, Any]:
    answers = {cell.identity.name: cell.answers for cell in key.cells if cell.identity}
    expected = {}
    for question in key.questions:
        found = answers.get(f"{question.name} grader") or answers[f"{question.name} check"]
        if len(found) == 1:
            expected[question.name] = found[0]
    return expected


# ---------------------------------------------------------------- the comment


def pack(template: Template) -> str:
    """The template as a Markdown comment. bz2, because its bytes do not depend on the library's version."""
    data = {
        "format": FORMAT,
        "assignment": template.assignment,
        "cells": [source for _, source in template.cells],
        "expected": template.expected,
        "graders": template.graders,
    }
    packed = bz2.compress(json.dumps(data, sort_keys=True, separators=(",", ":")).encode())
    lines = textwrap.wrap(base64.b64encode(packed).decode(), 100)
    return "\n".join(["<!-- torchbook-exercise", *lines, "-->"])


def unpack(sources: list[str]) -> Template:
    """The template in the Markdown cells `sources`, which may be damaged or hostile. Raises BadTemplate."""
    for source in reversed(sources):
        if match := _COMMENT.search(source[: MAX_PACKED + 1000]):
            return _unpacked(match[1])
    raise BadTemplate("the last cell of the exercise, which describes it, is missing")


def _unpacked(text: str) -> Template:
    try:
        decompressor = bz2.BZ2Decompressor()
        raw = decompressor.decompress(base64.b64decode(text), MAX_UNPACKED)
        if not decompressor.eof:
            raise ValueError("too large, or cut")
        return _from_data(json.loads(raw))
    except (ValueError, OSError, EOFError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise BadTemplate(f"the last cell of the exercise, which describes it, is damaged ({error})") from None


def _from_data(data: dict[str, Any]) -> Template:
    if data["format"] != FORMAT:
        raise ValueError(f"it has format {data['format']}; this torchbook reads {FORMAT}: update one of them")
    cells: list[tuple[Identity, str]] = []
    for source in data["cells"]:
        identity = identify(source)
        if identity is None:
            raise BadKey("a cell without identity")
        cells.append((identity, source))
    _validate([identity for identity, _ in cells])
    questions = tuple(
        Question(identity.question, identity.points or 0, parse_rule(source))
        for identity, source in cells
        if identity.kind == "check"
    )
    return Template(str(data["assignment"]), tuple(cells), questions, dict(data["expected"]), dict(data["graders"]))


def _validate(identities: list[Identity]) -> None:
    names = [identity.name for identity in identities]
    questions = {kind: sorted(i.question for i in identities if i.kind == kind) for kind in ("answer", "check")}
    if len(set(names)) < len(names) or questions["answer"] != questions["check"] or not questions["check"]:
        raise ValueError("its questions are incomplete")
