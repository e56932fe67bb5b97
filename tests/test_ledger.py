"""The ledger and the chapters agree, and the check that says so can fail."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support import ROOT
from torchbook.site.chapters import notebooks
from torchbook.site.ledger import all_claims, inline, problems, read_rows

CHAPTER = """---
jupytext:
  text_representation: {{extension: .md, format_name: myst}}
---

# A chapter

{text}
"""


def small_book(tmp_path: Path, text: str, must: str = "check") -> Path:
    (tmp_path / "book" / "cnn").mkdir(parents=True)
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: book/cnn/one\n")
    (tmp_path / "book" / "cnn" / "one.md").write_text(CHAPTER.format(text=text))
    header = "id,chapter,kind,must,concept,notes_say,verdict,correction,check_idea,seeds\n"
    (tmp_path / "book" / "ledger.csv").write_text(header + f"a-row,cnn/one,claim,{must},A,says,ok,,,s\n")
    return tmp_path


def cell(source: str) -> str:
    return f"```{{code-cell}} ipython3\n:tags: [check]\n\n{source}\n```"


def test_every_row_of_a_present_chapter_is_claimed():
    assert problems(ROOT) == []


def test_no_row_was_dropped():
    rows = read_rows(ROOT)
    assert len(rows) >= 906
    assert len({row["id"] for row in rows}) == len(rows)
    assert {row["verdict"] for row in rows} == {"ok", "imprecise", "wrong", "garbled"}
    assert {row["must"] for row in rows} == {"check", "teach"}


def test_claims_exist_at_all():
    present = {page.name for page in notebooks(ROOT)}
    due = [row for row in read_rows(ROOT) if row["chapter"] in present]
    assert due
    assert {row["id"] for row in due} <= set(all_claims(ROOT))


def test_a_claim_with_an_assertion_passes(tmp_path):
    assert problems(small_book(tmp_path, cell("# checks: a-row\nassert 1 == 1"))) == []


def test_claims_may_take_several_lines(tmp_path):
    root = small_book(tmp_path, cell("# checks: a-row, b-row\n# checks: c-row\nassert 1\n# checks: d-row"))
    assert sorted(all_claims(root)) == ["a-row", "b-row", "c-row"]


@pytest.mark.parametrize(
    ("text", "must", "complaint"),
    [
        (cell("x = 1"), "check", "no cell checks a-row"),
        (cell("# checks: a-row\nx = 1"), "check", "asserts nothing"),
        (cell("# checks: a-row\nassert 1\n") + "\n\n% teaches: unknown-row", "check", "does not know"),
        ("% teaches: a-row\n\n" + cell("x = 1"), "check", "no cell checks a-row"),
        (cell("x = 1"), "teach", "nothing teaches a-row"),
        (cell("x = 1  # checks: a-row\nassert x"), "check", "no cell checks a-row"),
    ],
)
def test_a_gap_is_found(tmp_path, text, must, complaint):
    found = problems(small_book(tmp_path, text, must))
    assert any(complaint in problem for problem in found), found


def test_ledger_text_is_ready_for_readers():
    for row in read_rows(ROOT):
        for column in ("concept", "notes_say", "correction"):
            plain = "".join(node.astext() for node in inline(row[column]) if node.tagname == "#text")
            assert not set("\\$`{}^_") & set(plain), f"{row['id']} {column}: raw TeX or code in {plain!r}"


def test_a_missing_page_is_named(tmp_path):
    book = small_book(tmp_path, "text")
    shutil.rmtree(book / "book" / "cnn")
    with pytest.raises(FileNotFoundError, match="book/cnn/one"):
        problems(book)
