"""Reading notebooks that went through mail, Colab and editors: a sentence or the cells, never a crash."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.grading.build import as_bytes, code, markdown
from torchbook.grading.assembly import assemble
from torchbook.grading.cells import identify
from torchbook.grading.key import Question
from torchbook.grading.reader import MAX_BYTES, UnreadableNotebook, read_notebook
from torchbook.grading.rules import Rule
from torchbook.grading.template import BadTemplate, Template, unpack

WHOLE = as_bytes(["# Q1 answer\nx = 1", markdown("text")])


def sources(data):
    return [cell.source for cell in read_notebook(data).cells]


def test_a_sound_notebook():
    assert sources(WHOLE) == ["# Q1 answer\nx = 1", "text"]


def test_source_as_list_of_lines():
    assert sources(as_bytes([code(["a = 1\n", "b = 2"])])) == ["a = 1\nb = 2"]


def test_byte_order_marks_and_line_ends():
    assert sources(b"\xef\xbb\xbf" + WHOLE) == sources(WHOLE)
    assert sources(WHOLE.decode().encode("utf-16")) == sources(WHOLE)
    assert sources(as_bytes(["a = 1\r\nb = 2\rc = 3"])) == ["a = 1\nb = 2\nc = 3"]


def test_nbformat_3():
    cells = [{"cell_type": "code", "input": "# Q1 answer\nx = 1", "language": "python", "outputs": []}]
    cells.append({"cell_type": "heading", "level": 1, "source": "Title"})
    data = {"nbformat": 3, "nbformat_minor": 0, "metadata": {}, "worksheets": [{"cells": cells}]}
    submitted = read_notebook(json.dumps(data).encode())
    assert [(cell.kind, cell.source) for cell in submitted.cells] == [
        ("code", "# Q1 answer\nx = 1"),
        ("markdown", "Title"),
    ]
    assert "old format" in submitted.notes[0]


def test_odd_cells_are_left_out_and_noted():
    submitted = read_notebook(as_bytes(["x = 1", {"cell_type": "video"}, {"cell_type": "code", "source": 7}]))
    assert [cell.source for cell in submitted.cells] == ["x = 1", ""]
    assert "left out" in submitted.notes[0]


def test_lone_surrogates_and_bad_utf8_are_replaced():
    for data in (as_bytes(["x = '\ud800'"]), WHOLE.replace(b"text", b"te\xff\xfet")):
        "".join(sources(data)).encode("utf-8")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "empty"),
        (b"\xef\xbb\xbf \n", "empty"),
        (WHOLE[:-40], "cut off"),
        (b"<!DOCTYPE html><html>", "no notebook"),
        (b"[1, 2]", "JSON, but no notebook"),
        (b"{}", "no list of cells"),
        (b'{"cells": {}}', "no list of cells"),
        (b'{"cells": []}', "no cells"),
        (b"[" * 200_000, "nested too deeply|no notebook"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested too deeply"),
        (b" " * (MAX_BYTES + 1), "MB"),
        (as_bytes(["x"] * 2001), "at most 2000"),
        (b'{"cells": [' + b"9" * 5000 + b"]}", "no notebook|no cells"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_what_is_no_notebook_is_said(data, says):
    with pytest.raises(UnreadableNotebook, match=says):
        read_notebook(data)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=8,
)
sources_or_junk = st.text(max_size=60) | st.lists(st.text(max_size=20)) | json_values
cells = st.fixed_dictionaries(
    {},
    optional={
        "cell_type": st.sampled_from(["code", "markdown", "raw", "heading"]) | json_values,
        "source": sources_or_junk
        | st.sampled_from(["# Q1 answer\nx", "# Q1 check · 2 points", "# setup", "#Q1answer"]),
        "input": sources_or_junk,
        "metadata": json_values | st.fixed_dictionaries({"torchbook": json_values}),
        "id": json_values,
    },
)
notebooks = st.fixed_dictionaries(
    {},
    optional={
        "cells": st.lists(cells | json_values, max_size=6) | json_values,
        "worksheets": st.lists(st.fixed_dictionaries({"cells": st.lists(cells)}) | json_values) | json_values,
        "metadata": json_values,
        "nbformat": json_values,
    },
)
TEMPLATE = Template(
    "part/chapter",
    tuple((identify(source), source) for source in ("# setup\n", "# Q1 answer\n", "# Q1 check · 1 point\nanswer(1)")),
    (Question("Q1", 1, Rule()),),
)


def _survives(data: bytes) -> None:
    try:
        submitted = read_notebook(data)
    except UnreadableNotebook:
        return
    plan = assemble(submitted, TEMPLATE)
    names = [cell.name for cell in plan.cells if cell.role not in ("extra", "answer")]
    assert names == ["setup", "Q1 check"]
    "".join(cell.source for cell in plan.cells).encode("utf-8")


@given(notebooks)
def test_any_json_notebook_is_read_or_refused(data):
    _survives(json.dumps(data).encode())


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data):
    _survives(data)


@given(st.integers(0, len(WHOLE)), st.binary(max_size=6))
def test_any_damage_is_read_or_refused(place, junk):
    _survives(WHOLE[:place] + junk + WHOLE[place + len(junk) :])
    _survives(WHOLE[:place])


@given(st.text(alphabet="ABCabc+/=\n 019<!->", max_size=80))
def test_any_damaged_description_is_refused(text):
    with pytest.raises(BadTemplate):
        unpack([f"<!-- torchbook-exercise {text}-->", "text"])


@given(st.text(max_size=60))
def test_any_first_line_has_an_identity_or_none(text):
    identity = identify(text)
    assert identity is None or identity.kind in {"answer", "check", "grader", "setup", "install"}


@pytest.mark.parametrize(
    ("line", "name", "points"),
    [
        ("# Q1 answer", "Q1 answer", None),
        ("#q2 Answer  ", "Q2 answer", None),
        ("\n\n# Q3 check · 2 points\nx", "Q3 check", 2.0),
        ("# Q3 check - 1.5 points", "Q3 check", 1.5),
        ("# Q12 check: 1 point", "Q12 check", 1.0),
        ("# setup: data", "setup: data", None),
        ("# Q1 grader", "Q1 grader", None),
    ],
)
def test_identities(line, name, points):
    assert (identify(line).name, identify(line).points) == (name, points)


@pytest.mark.parametrize("line", ["x = 1", "# the answer to Q1", "", "# Q answer", "Q1 answer", "# Q1 answering"])
def test_no_identities(line):
    assert identify(line) is None
