"""The ledger: every statement of the notes, its verdict, and the cell of the book that checks it.

A code cell that begins with `# checks: id, id` checks those rows; a comment `% teaches: id, id` in the text
teaches them. The directive `{ledger}` writes the rows of one part as a table with a link to each claim.
"""

from __future__ import annotations

import csv
import hashlib
import itertools
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from torchbook.site.chapters import CODE_CELL, Page, notebooks, pages

CHECKS = re.compile(r"^# checks: *(.+)$")
TEACHES = re.compile(r"^% teaches: *(.+)$", re.MULTILINE)
ASSERTION = re.compile(r"^\s*(assert\b|with (pytest\.)?raises|(torch\.)?testing\.assert_|np\.testing\.assert_)", re.M)
VERDICTS = {
    "ok": "right",
    "imprecise": "loose",
    "garbled": "illegible",
    "wrong": "wrong",
}


@dataclass(frozen=True)
class Claim:
    """One row that one page checks or teaches. `asserts` tells whether a checking cell can fail at all."""

    row: str
    docname: str
    kind: str  # "check" or "teach"
    asserts: bool = True

    @property
    def anchor(self) -> str:
        return f"{self.kind}-{self.row}"


def read_rows(root: Path) -> list[dict[str, str]]:
    """The rows of `book/ledger.csv`, in order."""
    with (root / "book" / "ledger.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _ids(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _checked(source: str) -> list[str]:
    """The rows that a cell says it checks: in its first line, or in its first lines."""
    found = itertools.takewhile(bool, map(CHECKS.match, source.split("\n")))
    return [row for match in found for row in _ids(match[1])]


def claims(page: Page) -> list[Claim]:
    """What this page claims, in the order of its text."""
    found = []
    for source in page.cells:
        asserts = bool(ASSERTION.search(source))
        found += [Claim(row, page.docname, "check", asserts) for row in _checked(source)]
    for match in TEACHES.finditer(CODE_CELL.sub("", page.text)):
        found += [Claim(row, page.docname, "teach") for row in _ids(match[1])]
    return found


def all_claims(root: Path) -> dict[str, list[Claim]]:
    """Claims of every page, by row."""
    found: dict[str, list[Claim]] = defaultdict(list)
    for page in pages(root):
        for claim in claims(page):
            found[claim.row].append(claim)
    return found


def problems(root: Path) -> list[str]:
    """What is wrong between the ledger and the chapters, a sentence each; empty when all is well."""
    rows = {row["id"]: row for row in read_rows(root)}
    claimed, present = all_claims(root), {page.name for page in notebooks(root)}
    found = [f"{claims[0].docname} claims {row}, which the ledger does not know"
             for row, claims in claimed.items() if row not in rows]  # fmt: skip
    for name, row in rows.items():
        if row["chapter"] not in present:
            continue
        kinds = {claim.kind for claim in claimed.get(name, [])}
        if row["must"] == "check" and "check" not in kinds:
            found.append(f"{row['chapter']}: no cell checks {name}")
        elif not kinds:
            found.append(f"{row['chapter']}: nothing teaches {name}")
    found += [f"{claim.docname}: the cell that checks {claim.row} asserts nothing"
              for claims in claimed.values() for claim in claims if not claim.asserts]  # fmt: skip
    return found


def inline(text: str) -> list[nodes.Node]:
    """Docutils nodes for text with `$math$` and `code`."""
    found: list[nodes.Node] = []
    for piece in re.split(r"(\$[^$]+\$|`[^`]+`)", text):
        if piece.startswith("$") and len(piece) > 2:
            found.append(nodes.math(piece[1:-1], piece[1:-1]))
        elif piece.startswith("`") and len(piece) > 2:
            found.append(nodes.literal(piece[1:-1], piece[1:-1]))
        elif piece:
            found.append(nodes.Text(piece))
    return found


class Ledger(SphinxDirective):
    """`{ledger} cnn`: the rows of one part, chapter by chapter, each with its verdict and its check."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        root, part = Path(self.env.srcdir), self.arguments[0]
        rows = [row for row in read_rows(root) if row["chapter"].split("/")[0] == part]
        if not rows:
            raise self.error(f"the ledger has no part {part!r}")
        self.env.note_dependency(str(root / "book" / "ledger.csv"))
        claimed = all_claims(root)
        known = {page.name: page.title for page in notebooks(root)}
        sections = []
        for chapter in dict.fromkeys(row["chapter"] for row in rows):
            section = nodes.section(ids=[nodes.make_id(chapter)])
            section += nodes.title("", known.get(chapter) or chapter.split("/")[1].replace("-", " ").capitalize())
            if chapter not in known:
                section += nodes.paragraph("", "This chapter is not in the book yet.")
            section += [self._entry(row, claimed) for row in rows if row["chapter"] == chapter]
            sections.append(section)
        return sections

    def _entry(self, row: dict[str, str], claimed: dict[str, list[Claim]]) -> nodes.Node:
        entry = nodes.container(classes=["ledger-row", f"ledger-{row['verdict']}"], ids=[f"row-{row['id']}"])
        head = nodes.paragraph(classes=["ledger-head"])
        head += nodes.inline("", VERDICTS[row["verdict"]], classes=["ledger-verdict"])
        head += [nodes.Text(" "), nodes.strong("", "", *inline(row["concept"])), nodes.Text(" ")]
        for number, claim in enumerate(claimed.get(row["id"], [])):
            verb = "checked" if claim.kind == "check" else "taught"
            head += self._link(claim, verb if number == 0 else f"and {verb}")
            head += nodes.Text(" ")
        entry += head
        said = nodes.paragraph("", "", nodes.emphasis("", "The notes: "), *inline(row["notes_say"]))
        entry += said
        if row["correction"]:
            entry += nodes.paragraph("", "", nodes.emphasis("", "Put right: "), *inline(row["correction"]))
        return entry

    def _link(self, claim: Claim, text: str) -> nodes.Node:
        uri = self.env.app.builder.get_relative_uri(self.env.docname, claim.docname)
        return nodes.reference("", text, refuri=f"{uri}#{claim.anchor}", internal=True, classes=["ledger-link"])


class LedgerSummary(SphinxDirective):
    """`{ledger-summary}`: how many rows each part has, by verdict, and how many are claimed so far."""

    def run(self) -> list[nodes.Node]:
        root = Path(self.env.srcdir)
        rows, claimed = read_rows(root), all_claims(root)
        table = [["Part", "Rows", *(VERDICTS[v] for v in VERDICTS), "In the book"]]
        for part in [*dict.fromkeys(row["chapter"].split("/")[0] for row in rows), None]:
            mine = [row for row in rows if part is None or row["chapter"].startswith(f"{part}/")]
            counts = [sum(row["verdict"] == verdict for row in mine) for verdict in VERDICTS]
            done = sum(row["id"] in claimed for row in mine)
            table.append([part or "all", *map(str, [len(mine), *counts, done])])
        return [_table(table)]


def _table(rows: list[list[str]]) -> nodes.table:
    group = nodes.tgroup(cols=len(rows[0]))
    group += [nodes.colspec(colwidth=1) for _ in rows[0]]
    for holder, lines in ((nodes.thead(), rows[:1]), (nodes.tbody(), rows[1:])):
        for line in lines:
            row = nodes.row()
            row += [nodes.entry("", nodes.paragraph("", text)) for text in line]
            holder += row
        group += holder
    return nodes.table("", group, classes=["ledger-summary"])


def _anchor_claims(app: Sphinx, doctree: nodes.document) -> None:
    """Give each checking cell and each teaching comment an id that the ledger can point at."""
    used: set[str] = set()

    def targets(kind: str, rows: list[str]) -> list[nodes.Node]:
        names = [f"{kind}-{row}" for row in rows]
        new = [name for name in names if name not in used]
        used.update(new)
        return [nodes.target(ids=[name]) for name in new]

    for block in list(doctree.findall(nodes.literal_block)):
        index = block.parent.index(block)
        block.parent[index:index] = targets("check", _checked(block.astext()))
    for comment in list(doctree.findall(nodes.comment)):
        match = TEACHES.match("% " + comment.astext().strip())
        if match:
            comment.replace_self(targets("teach", _ids(match[1])))


def _outdated(app: Sphinx, env, added: set, changed: set, removed: set) -> list[str]:
    """Ledger pages depend on the claims of every chapter, not on their own text alone."""
    root = Path(app.srcdir)
    state = sorted((c.row, c.docname, c.kind) for found in all_claims(root).values() for c in found)
    digest = hashlib.sha256(repr((state, [page.title for page in pages(root)])).encode()).hexdigest()
    stale = getattr(env, "torchbook_claims", None) != digest
    env.torchbook_claims = digest
    return [name for name in env.found_docs if stale and name.startswith("book/appendix/ledger")]


def setup(app: Sphinx) -> None:
    """Connect the directives and events of this part."""
    app.add_directive("ledger", Ledger)
    app.add_directive("ledger-summary", LedgerSummary)
    app.connect("doctree-read", _anchor_claims)
    app.connect("env-get-outdated", _outdated)
