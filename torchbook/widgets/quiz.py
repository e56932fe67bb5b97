"""Questions with explained answers, answered and kept in the reader's own browser."""

from __future__ import annotations

import hashlib
import html
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

import traitlets
from latex2mathml.converter import convert_to_element

from .base import Widget

# Elements whose number of children MathML fixes: a TeX argument that was forgotten shows here.
_ARITY = dict.fromkeys(["mfrac", "mroot", "msub", "msup", "mover", "munder"], 2) | {
    "msubsup": 3,
    "munderover": 3,
}
_SPAN = re.compile(r"\\(?P<escape>[\\$*`])|`(?P<code>[^`]+)`|\$(?P<math>[^$]+)\$", re.DOTALL)
_EMPHASIS = re.compile(r"(?<!\*)\*(?![\s*])([^*]+?)(?<!\s)\*(?!\*)")
_ID = re.compile(r"[a-z0-9-]+(/[a-z0-9-]+)*")


def mathml(tex: str) -> str:
    """Inline MathML for one TeX formula.

    Raises:
        ValueError: the formula is not TeX that the converter understands; the message quotes it.
    """
    try:
        root = convert_to_element(tex)
    except Exception as error:  # the converter has a class of its own for each slip
        raise ValueError(f"invalid TeX ${tex}$: {type(error).__name__} {error}".rstrip()) from error
    for element in root.iter():
        # The converter passes what it does not know on as text: a page would show the raw TeX.
        element.text = html.unescape(element.text or "")
        if element.tag != "mtext" and (element.text.startswith("\\") or element.text == "&"):
            raise ValueError(f"invalid TeX ${tex}$: {element.text!r} is not known here")
        if element.tag == "mi" and element.text in {"{", "}"}:
            raise ValueError(f"invalid TeX ${tex}$: a brace has no partner")
        if len(element) != _ARITY.get(element.tag, len(element)):
            raise ValueError(f"invalid TeX ${tex}$: an argument is missing")
        if "href" in element.attrib:
            raise ValueError(f"invalid TeX ${tex}$: a formula holds no links")
    # An option that is a formula alone would have no name for a screen reader.
    root.set("role", "math")
    root.set("aria-label", " ".join("".join(root.itertext()).split()))
    return ElementTree.tostring(root, encoding="unicode")


def rich_text(text: str) -> str:
    """Escaped HTML for a line of text with `code`, *emphasis* and $math$.

    A backslash takes the meaning from the sign after it: ``\\$``, ``\\*``, ``\\```.

    Raises:
        ValueError: a dollar sign or a backtick has no partner, or the TeX is invalid.
    """
    pieces: list[str] = []

    def keep(match: re.Match[str]) -> str:
        if match["escape"]:
            pieces.append(html.escape(match["escape"]))
        elif match["code"]:
            pieces.append(f"<code>{html.escape(match['code'])}</code>")
        else:
            pieces.append(mathml(match["math"]))
        return f"\0{len(pieces) - 1}\0"

    rest = _SPAN.sub(keep, text.replace("\0", ""))
    for sign in "$`":
        if sign in rest:
            raise ValueError(f"an unpaired {sign} in {text!r}: close it, or write \\{sign} for the sign")
    rest = _EMPHASIS.sub(r"<em>\1</em>", html.escape(rest))
    return re.sub(r"\0(\d+)\0", lambda match: pieces[int(match[1])], rest)


@dataclass
class Question:
    """One question: a text, its options in the order in which they appear, and why each is right or wrong.

    Args:
        text: what is asked. All texts may hold `code`, *emphasis* and $math$.
        options: two or more answers to choose from.
        correct: the index of the right option; a list of indices turns the options into check boxes.
        why: one explanation per option, shown after the reader has answered.
    """

    text: str
    options: Sequence[str]
    correct: int | Sequence[int]
    why: Sequence[str]

    def state(self) -> dict[str, object]:
        """What the browser needs, checked and as HTML."""
        where = f"question {self.text!r}"
        _check_texts(where, self.text, self.options, self.why)
        several = not isinstance(self.correct, int)
        return {
            "text": rich_text(self.text),
            "options": [rich_text(option) for option in self.options],
            "why": [rich_text(reason) for reason in self.why],
            "several": several,
            "correct": _indices(where, self.correct, len(self.options)),
        }


def _check_texts(where: str, text: str, options: Sequence[str], why: Sequence[str]) -> None:
    if not text.strip():
        raise ValueError("a question needs a text")
    for name, values in (("options", options), ("why", why)):
        if isinstance(values, str):
            raise TypeError(f"{where}: {name} is one string, give a list of strings")
        if any(not isinstance(value, str) or not value.strip() for value in values):
            raise ValueError(f"{where}: {name} must hold texts, and none may be empty")
    if len(options) < 2:
        raise ValueError(f"{where} needs at least two options, got {len(options)}")
    if len(set(options)) < len(options):
        raise ValueError(f"{where} has the same option twice")
    if len(why) != len(options):
        raise ValueError(f"{where} has {len(options)} options but {len(why)} explanations: give each its own")


def _indices(where: str, correct: int | Sequence[int], count: int) -> list[int]:
    indices = [correct] if isinstance(correct, int) else list(correct)
    if not indices:
        raise ValueError(f"{where} has no right answer: correct is empty")
    for index in indices:
        if isinstance(index, bool) or not isinstance(index, int):
            raise TypeError(f"{where}: correct must hold indices, got {index!r}")
        if not 0 <= index < count:
            raise ValueError(f"{where}: correct={index}, but the options have the indices 0 to {count - 1}")
    if len(set(indices)) < len(indices):
        raise ValueError(f"{where}: correct names an option twice: {indices}")
    return sorted(indices)


class Quiz(Widget):
    """A short quiz: one answer per question is checked, explained, and may be tried again.

    The answers stay in the reader's browser, under the quiz's id; nothing is sent anywhere.

    Args:
        quiz_id: the chapter's path, such as "cnn/receptive-fields": lowercase words, unique in the book.
        questions: one or more `Question`.
        title: the line above the questions.
    """

    quiz_id = traitlets.Unicode().tag(sync=True)
    title = traitlets.Unicode("Check yourself").tag(sync=True)
    questions = traitlets.List(traitlets.Dict()).tag(sync=True)
    # Answers that were given to other questions must not come back: the key in the browser holds this.
    edition = traitlets.Unicode().tag(sync=True)

    def __init__(self, quiz_id: str, questions: Iterable[Question], *, title: str = "Check yourself") -> None:
        if not _ID.fullmatch(quiz_id):
            raise ValueError(f"quiz id {quiz_id!r}: use the chapter's path, such as 'cnn/receptive-fields'")
        questions = list(questions)
        if not questions:
            raise ValueError("a quiz needs at least one question")
        if len({question.text for question in questions}) < len(questions):
            raise ValueError(f"quiz {quiz_id!r} asks the same question twice")
        states = [question.state() for question in questions]
        edition = hashlib.sha256(json.dumps(states).encode()).hexdigest()[:12]
        super().__init__(quiz_id=quiz_id, title=title, questions=states, edition=edition)
