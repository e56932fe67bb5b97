"""Rebuilding: what runs is the template's, but for the answers and the extra cells."""

from __future__ import annotations

import pytest

from tests.grading.build import (
    Q1_CHECK,
    Q2_CHECK,
    RIGHT,
    SETUP,
    as_bytes,
    code,
    key_of,
    markdown,
    submission,
)
from torchbook.grading.assembly import CHECK_PREFIX, assemble
from torchbook.grading.reader import read_notebook
from torchbook.grading.template import template_of

NAMES = ["setup", "Q1 answer", "Q1 check", "Q2 answer", "Q2 check"]


@pytest.fixture
def plan(tmp_path):
    template = template_of(key_of(tmp_path))
    return lambda cells: assemble(read_notebook(as_bytes(cells)), template)


def names(plan):
    return [cell.name for cell in plan.cells]


def source(plan, name):
    return next(cell.source for cell in plan.cells if cell.name == name)


def test_answers_come_from_the_submission_and_the_rest_from_the_template(plan):
    edited = [
        SETUP.replace("1000", "1"),
        RIGHT["Q1"],
        "# Q1 check · 99 points\nanswer(7)",
        RIGHT["Q2"],
        Q2_CHECK,
    ]
    made = plan(edited)
    assert names(made) == NAMES
    assert source(made, "Q1 answer") == RIGHT["Q1"]
    assert "1000" in source(made, "setup")
    assert source(made, "Q1 check").endswith(Q1_CHECK.partition("\n")[2])
    assert "'# setup' was edited" in made.notes[""][0]
    assert "'# Q1 check' was edited" in made.notes["Q1"][0]
    assert "Q2" not in made.notes


def test_a_check_cell_brings_its_own_functions_and_keeps_its_line_numbers(plan):
    check = source(plan(submission()), "Q1 check")
    assert check.startswith(CHECK_PREFIX)
    assert check.count("\n") == Q1_CHECK.count("\n")


def test_spaces_and_blank_lines_are_no_edit(plan):
    assert plan([SETUP + "\n\n", RIGHT["Q1"], Q1_CHECK.replace("\n", "  \n")]).notes.get("Q1") is None


def test_cells_saved_out_of_order_run_in_order(plan):
    assert names(plan(list(reversed(submission())))) == NAMES


def test_extra_cells_run_after_the_cell_that_they_followed(plan):
    made = plan(["top", SETUP, "a", RIGHT["Q1"], "b", "c", Q1_CHECK, RIGHT["Q2"], Q2_CHECK, "end"])
    run = [cell.source if cell.role == "extra" else cell.name for cell in made.cells]
    assert run == ["top", "setup", "a", "Q1 answer", "b", "c", "Q1 check", "Q2 answer", "Q2 check", "end"]


def test_deleted_checks_come_back(plan):
    assert names(plan([RIGHT["Q1"], RIGHT["Q2"]])) == NAMES


def test_a_missing_answer_is_told_and_runs_as_the_stub(plan):
    made = plan(submission(q1=None))
    assert made.answered == {"Q2"}
    assert "no cell '# Q1 answer'" in made.notes["Q1"][0]
    assert "Q1 answer" not in names(made), "the stub would overwrite an answer in a nameless cell"


@pytest.mark.parametrize("extra", ["", "# Q1 answer", "# Q1 answer\n\n   ", "stub"])
def test_of_doubled_answers_the_last_one_filled_in_counts(plan, tmp_path, extra):
    stub = template_of(key_of(tmp_path)).source("Q1 answer")
    last = stub if extra == "stub" else extra
    made = plan([SETUP, "# Q1 answer\nold = 1", RIGHT["Q1"], last, Q1_CHECK, RIGHT["Q2"]])
    assert source(made, "Q1 answer") == RIGHT["Q1"]
    assert [c.source for c in made.cells if c.role == "extra"] == ["# Q1 answer\nold = 1"]
    assert names(made).index("extra 1") < names(made).index("Q1 answer")
    assert "last one that is filled in" in made.notes["Q1"][0]


def test_an_untouched_or_empty_answer_is_none(plan, tmp_path):
    stub = template_of(key_of(tmp_path)).source("Q1 answer")
    assert plan(submission(q1=stub)).answered == {"Q2"}
    assert plan(submission(q1="# Q1 answer\n")).answered == {"Q2"}


def test_an_answer_in_a_markdown_cell_counts_as_code(plan):
    made = plan([SETUP, markdown(RIGHT["Q1"]), Q1_CHECK, {"cell_type": "raw", "source": RIGHT["Q2"]}])
    assert source(made, "Q1 answer") == RIGHT["Q1"]
    assert made.answered == {"Q1", "Q2"}
    assert "markdown cell" in made.notes["Q1"][0]
    assert "raw cell" in made.notes["Q2"][0]


def test_a_code_cell_beats_a_markdown_cell(plan):
    assert source(plan([RIGHT["Q1"], markdown("# Q1 answer\nAn explanation.")]), "Q1 answer") == RIGHT["Q1"]


def test_an_answer_without_its_first_line_is_found_by_metadata_or_id(plan):
    body = RIGHT["Q1"].partition("\n")[2]
    for found in (code(body, metadata={"torchbook": {"cell": "Q1 answer"}}), code(body, id="q1-answer")):
        made = plan([SETUP, found, Q1_CHECK])
        assert (made.answered, source(made, "Q1 answer")) == ({"Q1"}, body)


def test_an_answer_that_nothing_names_runs_as_an_extra_cell_at_its_place(plan):
    made = plan([SETUP, "def double(x):\n    return 2 * x", Q1_CHECK])
    assert names(made)[:3] == ["setup", "extra 1", "Q1 check"]


def test_foreign_questions_are_extra_cells(plan):
    assert [c.source for c in plan(["# Q9 answer\nx = 1"]).cells if c.role == "extra"] == ["# Q9 answer\nx = 1"]


def test_the_install_cell_is_dropped(plan):
    assert names(plan(["# install\nimport torchbook", *submission()])) == NAMES
