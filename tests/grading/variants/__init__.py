"""Right and wrong answers to each question: the tests of the keys and of the grader's fairness.

One file per chapter, `<part>_<chapter>.py` with underscores, holds `ASSIGNMENT` and `VARIANTS`, a dict from
the question to its `Variants`. `test_variants.py` grades them all.
"""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass, field
from types import ModuleType

from torchbook.grading.cells import without_first_line
from torchbook.grading.key import Key

HIDDEN = "a hidden case does not"  # the feedback of an answer that passes every public assert


@dataclass(frozen=True)
class Edit:
    """The key's own answer with `old` replaced by `new`."""

    old: str
    new: str

    def apply(self, source: str) -> str:
        assert source.count(self.old) >= 1, f"the key's answer does not contain {self.old!r}:\n{source}"
        return source.replace(self.old, self.new)


@dataclass(frozen=True)
class Variants:
    """`right`: other correct answers. `wrong`: plausible mistakes, each with a part of its feedback."""

    right: list[str | Edit]
    wrong: dict[str | Edit, str] = field(default_factory=dict)


def edit(old: str, new: str) -> Edit:
    return Edit(old, new)


def answer_cell(key: Key, question: str, variant: str | Edit) -> str:
    """The whole answer cell of `variant`."""
    if isinstance(variant, Edit):
        source = without_first_line(key.source(f"{question} answer") or "")
        lines = [line for line in source.split("\n") if not line.strip().startswith("### ")]
        variant = variant.apply("\n".join(lines))
    return f"# {question} answer\n{variant.strip(chr(10))}"


def modules() -> list[ModuleType]:
    """All files of variants."""
    return [importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)]
