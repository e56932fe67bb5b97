"""Attention: queries, keys and values in the plane, or the words of a sentence, with every weight in sight."""

from __future__ import annotations

import re
from collections.abc import Sequence

import traitlets

from .base import Widget
from .checks import number, one_of, trait_number, trait_whole, whole

# The browser's half has the same limits.
MODES = ("numbers", "sentence")
MASKS = ("none", "causal", "local")
WAYS = ("add", "zero", "inf")  # add 0 or minus infinity; multiply by 1 or 0; multiply by 1 or minus infinity
HEADS = ("spelling", "previous word", "ending")
ROWS, HALF, WORDS, LETTERS = (1, 6), 3.0, (1, 9), 120
TEMPERATURES = (0.05, 5.0)
QUERIES = [[2.0, 0.5], [0.0, 2.0], [-2.0, -0.5], [0.5, -1.5]]
KEYS = [[1.5, 1.0], [-0.5, 1.8], [-1.8, -0.2], [0.4, -1.6]]
VALUES = [[2.5, 2.2], [-1.2, 2.6], [-2.4, -1.4], [2.2, -1.8]]


def plane_points(name: str, rows: object) -> list[list[float]]:
    """Rows of two numbers from lists, an array or a tensor (n, 2)."""
    rows = rows.tolist() if hasattr(rows, "tolist") else rows
    if isinstance(rows, str) or not isinstance(rows, Sequence) or not ROWS[0] <= len(rows) <= ROWS[1]:
        raise ValueError(f"{name} must hold {ROWS[0]} to {ROWS[1]} rows of two numbers, got {rows!r}")
    if any(isinstance(row, str) or not isinstance(row, Sequence) or len(row) != 2 for row in rows):
        raise ValueError(f"{name} must hold rows of two numbers each, got {rows!r}")
    return [[number(f"each of {name}", v, -HALF, HALF) for v in row] for row in rows]


def words_of(text: object) -> list[str]:
    """Lower-case words of the letters a to z, as the browser finds them."""
    if not isinstance(text, str) or len(text) > LETTERS:
        raise ValueError(f"sentence must be text of at most {LETTERS} characters, got {text!r}")
    found = re.findall(r"[a-z]+", text.lower())
    if not WORDS[0] <= len(found) <= WORDS[1]:
        raise ValueError(f"sentence must have {WORDS[0]} to {WORDS[1]} words of the letters a to z, got {len(found)}")
    return found


class Attention(Widget):
    """Scores, weights and output of dot-product attention, for numbers to drag or a sentence to type.

    In the plane, queries, keys and values have two numbers each; the weights are softmax(q.k / (sqrt(2) temperature)).
    A sentence has three heads that are set by hand: words of similar spelling, the previous word, the same ending.

    Args:
        mode: one of `MODES`.
        queries: (n, 2), 1 to 6 rows, each number from -3 to 3.
        keys, values: (m, 2), as many values as keys.
        sentence: 1 to 9 words of the letters a to z.
        head: of the sentence, 0 to 2, in the order of `HEADS`.
        temperature: divides the scores, 0.05 to 5.
        mask: one of `MASKS`; causal shows query i the keys up to i, local those at most `window` away.
        window: 0 to 8.
        way: one of `WAYS`, how the mask meets the scores: only "add" is right.
        hard: give all weight to the largest score.
        row: the query that is shown in detail, from 0.
        title: the line above the figure.
    """

    mode = traitlets.Enum(MODES, "numbers").tag(sync=True)
    q = traitlets.List().tag(sync=True)  # not "keys": a widget has an attribute of that name
    k = traitlets.List().tag(sync=True)
    v = traitlets.List().tag(sync=True)
    sentence = traitlets.Unicode().tag(sync=True)
    head = traitlets.Any(0).tag(sync=True)
    temperature = traitlets.Any(1.0).tag(sync=True)
    mask = traitlets.Enum(MASKS, "none").tag(sync=True)
    window = traitlets.Any(1).tag(sync=True)
    way = traitlets.Enum(WAYS, "add").tag(sync=True)
    hard = traitlets.Bool(False).tag(sync=True)
    row = traitlets.Any(0).tag(sync=True)
    title = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        mode: str = "numbers",
        *,
        queries: object = QUERIES,
        keys: object = KEYS,
        values: object = VALUES,
        sentence: str = "the cat saw the bat and the cats sat",
        head: int = 0,
        temperature: float = 1.0,
        mask: str = "none",
        window: int = 1,
        way: str = "add",
        hard: bool = False,
        row: int = 0,
        title: str = "Who looks at whom",
    ) -> None:
        one_of("mode", mode, MODES)
        asked, found, got = plane_points("queries", queries), plane_points("keys", keys), plane_points("values", values)
        if len(found) != len(got):
            raise ValueError(f"each key needs one value: got {len(found)} keys and {len(got)} values")
        rows = len(asked) if mode == "numbers" else len(words_of(sentence))
        words_of(sentence)
        if not isinstance(hard, bool):
            raise ValueError(f"hard must be True or False, got {hard!r}")
        super().__init__(
            mode=mode,
            q=asked,
            k=found,
            v=got,
            sentence=sentence,
            head=whole("head", head, 0, len(HEADS) - 1),
            temperature=number("temperature", temperature, *TEMPERATURES),
            mask=one_of("mask", mask, MASKS),
            window=whole("window", window, 0, 8),
            way=one_of("way", way, WAYS),
            hard=hard,
            row=whole("row", row, 0, rows - 1),
            title=title,
        )

    @traitlets.validate("temperature")
    def _check_temperature(self, proposal: dict) -> float:
        return trait_number(proposal["value"], "temperature", *TEMPERATURES)

    @traitlets.validate("head", "window", "row")
    def _check_whole(self, proposal: dict) -> int:
        high = {"head": len(HEADS) - 1, "window": 8, "row": WORDS[1] - 1}[proposal["trait"].name]
        return trait_whole(proposal["value"], proposal["trait"].name, 0, high)

    @traitlets.validate("q", "k", "v")
    def _check_points(self, proposal: dict) -> list[list[float]]:
        try:
            return plane_points(proposal["trait"].name, proposal["value"])
        except ValueError as error:
            raise traitlets.TraitError(str(error)) from None

    @traitlets.validate("sentence")
    def _check_sentence(self, proposal: dict) -> str:
        try:
            words_of(proposal["value"])
        except ValueError as error:
            raise traitlets.TraitError(str(error)) from None
        return proposal["value"]
