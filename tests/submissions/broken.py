"""What becomes of notebooks on their way: edited, damaged, absurd, and archives that lie about their members."""

from __future__ import annotations

import io
import json
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.submissions import (
    ALL,
    FALSE,
    HONEST,
    NONE,
    POINTS,
    SETUP,
    State,
    Submission,
    answer_cell,
    as_file,
    cells_of,
    check,
    code,
    markdown,
    notebook,
)

MISSING = {State.MISSING}


def submissions() -> list[Submission]:
    return [*_edited(), *_reformatted(), *_odd_structures(), *_unreadable()]


# ---------------------------------------------------------------- cells


def _edited() -> Iterator[Submission]:
    cells, without_q2 = cells_of(), ALL - {"Q2"}
    setup, answer, checked = cells[0], cells[3], cells[4]
    lie = answer_cell("Q2", FALSE["Q2"])
    rest = [*cells[:3], *cells[5:]]

    def made(name: str, sources: list, earns: frozenset[str] = ALL, **states: set[State]) -> Submission:
        return Submission(name, as_file(sources), earns, states)

    yield made("no-asserts", [cell if "check" not in cell else _without_asserts(cell) for cell in cells])
    yield made("checks-that-answer-other-things", [_answering_nothing(cell) for cell in cells])
    yield made("checks-deleted", [cell for cell in cells if " check " not in cell])
    yield made("setup-deleted", cells[1:])
    yield made("setup-edited", [setup.replace("return [rng", "return 8 * [2] or [rng"), *cells[1:]])
    yield made("answer-deleted", [*cells[:3], *cells[4:]], without_q2, Q2=MISSING)
    yield made("answer-emptied", [*cells[:3], "# Q2 answer", *cells[4:]], without_q2, Q2=MISSING)
    yield made("answer-twice-last-right", [*cells[:3], lie, *cells[3:]])
    yield made("answer-twice-last-false", [*cells, lie], without_q2, Q2={State.WRONG})
    yield made("answer-a-hundred-times", [*cells[:3], *[lie] * 100, *cells[3:]])
    yield made("reversed", cells[::-1])
    yield made("answers-last", [*[c for c in cells if " answer\n" not in c], *[c for c in cells if " answer\n" in c]])
    yield made("answer-in-markdown", [*cells[:3], markdown(answer), *cells[4:]])
    yield made("answer-in-raw", [*cells[:3], {**markdown(answer), "cell_type": "raw"}, *cells[4:]])
    yield made("false-answer-in-markdown", [*cells[:3], markdown(lie), *cells[4:]], without_q2, Q2={State.WRONG})
    yield made("check-in-markdown", [*cells[:4], markdown(checked), *cells[5:]])
    yield made("first-line-removed", [*cells[:3], HONEST["Q2"], *cells[4:]])
    yield made("first-line-of-another", [*cells[:3], answer_cell("Q1", HONEST["Q2"]), *cells[4:]])
    yield made("a-question-that-is-none", [*cells, answer_cell("Q9", "1 / 0"), "# Q9 check · 100 points\nanswer(1)"])
    graders = ["# Q5 grader\ndef judge(value):\n    return True", "# Q4 grader\nanswer(0)"]
    yield made("a-grader-of-ones-own", [*_all_false(), *graders], NONE)
    yield made("more-points", [cell.replace("point", "0 point") for cell in cells])
    yield made("another-rule", [_with_another_rule(cell) for cell in _all_false()], NONE)
    yield made("syntax-error", [*rest, answer_cell("Q2", "def softmax(x:\n    return")], without_q2, Q2={State.ERROR})
    yield made("only-the-stub", [setup, check("Q1")], NONE, **dict.fromkeys(POINTS, MISSING))
    yield made("null-bytes-in-a-cell", [*cells, "x = '\0'\0\0"])
    yield made("a-cell-of-two-megabytes", [*cells, "x = '" + "y" * 2_000_000 + "'"])
    large = answer.replace("return", "#" * 2_000_000 + "\n    return")
    yield made("answer-of-two-megabytes", [*rest, large], without_q2, Q2=MISSING)
    for name, deep in {"brackets": "(" * 5000 + ")" * 5000, "additions": "1+" * 50_000 + "1"}.items():
        yield made(f"deep-{name}", [*rest, answer_cell("Q2", f"softmax = {deep}")], without_q2)


def _without_asserts(cell: str) -> str:
    return "\n".join(line for line in cell.split("\n") if not line.startswith("assert"))


def _answering_nothing(cell: str) -> str:
    return cell.split("\n")[0] + "\nanswer('correct')" if " check " in cell else cell


def _with_another_rule(cell: str) -> str:
    return cell.replace("accuracy >= 0.9", "accuracy >= 0").replace("# compare: judge", "# compare: mse <= 1e9")


def _all_false() -> list[str]:
    return cells_of(FALSE)


# ---------------------------------------------------------------- files that still are notebooks


def _reformatted() -> Iterator[Submission]:
    whole = json.loads(as_file(cells_of()))

    def made(name: str, change: Callable[[dict], object], earns: frozenset[str] = ALL) -> Submission:
        copy = json.loads(json.dumps(whole))
        change(copy)
        return Submission(name, json.dumps(copy).encode(), earns)

    yield made("another-kernel", lambda n: n["metadata"].update(kernelspec={"name": "bash", "language": "bash"}))
    yield made("a-kernel-that-is-a-path", lambda n: n["metadata"].update(kernelspec={"name": "../../evil"}))
    yield made("no-metadata", lambda n: (n.pop("metadata"), [cell.pop("metadata") for cell in n["cells"]]))
    yield made("no-format", lambda n: (n.pop("nbformat"), n.pop("nbformat_minor")))
    yield made("format-4.0", lambda n: n.update(nbformat_minor=0))
    yield made("format-of-the-future", lambda n: n.update(nbformat=99, nbformat_minor=-1))
    yield made("format-3", _as_format_3)
    yield made("same-ids", lambda n: [cell.update(id="same") for cell in n["cells"]])
    yield made("wrong-ids", lambda n: [cell.update(id=["q1-answer"]) for cell in n["cells"]])
    of_q5 = {"torchbook": {"cell": "Q5 answer"}}
    yield made("labels-of-others", lambda n: [cell.update(metadata=of_q5) for cell in n["cells"]])
    yield made("metadata-of-the-wrong-type", lambda n: [part.update(metadata=[7]) for part in (n, *n["cells"])])
    yield made("outputs-of-the-wrong-type", lambda n: [cell.update(outputs={"x": 1}) for cell in n["cells"]])
    yield made("another-assignment", lambda n: n["metadata"]["torchbook"].update(assignment="../../etc/passwd"))
    yield made("stored-answers", lambda n: [cell.update(outputs=_FORGED) for cell in n["cells"]])


_FORGED = [
    {
        "output_type": "display_data",
        "metadata": {},
        "data": {"application/vnd.torchbook.answer+json": {"value": 1}, "text/html": "<script>alert(1)</script>"},
    }
] * 3


def _as_format_3(saved: dict) -> None:
    sources = [cell["source"] for cell in saved.pop("cells")]
    cells = [{"cell_type": "code", "input": source, "language": "python", "outputs": []} for source in sources]
    saved.update(nbformat=3, nbformat_minor=0, worksheets=[{"cells": cells[:4]}, {"cells": cells[4:]}])


def _odd_structures() -> Iterator[Submission]:
    cells = cells_of()
    odd = [None, 7, "x", [], {}, {"cell_type": "x"}, {"cell_type": ["code"]}, {"cell_type": "code", "source": {"a": 1}}]
    yield Submission("cells-that-are-none", as_file([*map(_raw, odd), *cells]))
    mixed = {**code(""), "source": [1, None, SETUP.replace("\n", "\r"), ["x"]]}
    yield Submission("a-source-of-mixed-types", as_file([mixed, *cells[1:]]))
    yield Submission("lone-surrogates", as_file([*cells, "x = '\ud800'"]))
    yield Submission("numbers-that-are-none", as_file(cells).replace(b'_count": null', b'_count": -Infinity'))
    yield Submission("keys-twice", as_file(cells).replace(b'"cells":', b'"cells": [], "cells":'))
    yield Submission("fifteen-hundred-cells", as_file([*cells, *["x = 1"] * 300, *[markdown("x")] * 1200]))


def _raw(value: object) -> dict:
    return value  # type: ignore[return-value]  # notebook() passes on what is no text


# ---------------------------------------------------------------- files that are none


def _unreadable() -> Iterator[Submission]:
    whole = as_file(cells_of())
    files = {
        "empty": b"",
        "only-spaces": b" \n" * 99,
        "cut-off": whole[: len(whole) // 2],
        "cut-in-a-character": whole[:-1],
        "two-notebooks": whole + whole,
        "no-json": b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
        "a-python-script": SETUP.encode(),
        "a-list": b"[1, 2]",
        "a-number": b"1e999",
        "no-cells": json.dumps({**notebook([]), "cells": {}}).encode(),
        "zero-cells": json.dumps(notebook([])).encode(),
        "three-thousand-cells": as_file(["x = 1"] * 3000),
        "thirty-megabytes": whole + b" " * 30_000_000,
        "brackets-without-end": b'{"cells": ' + b"[" * 200_000,
        "a-number-of-a-million-digits": b'{"cells": ' + b"9" * 1_000_000 + b"}",
        "gzip": b"\x1f\x8b" + zlib.compress(whole),
        "null-bytes": bytes(10_000),
    }
    for name, data in files.items():
        yield _unread(name, data)


# ---------------------------------------------------------------- archives, links, special files


def _members() -> dict[str, Submission]:
    """What class.zip holds, by the names of its members: some try to escape, some are those of exports."""
    whole = as_file(cells_of())
    names = {
        "../../../slipped-up.ipynb": "slipped-up",
        "/etc/slipped-absolute.ipynb": "slipped-absolute",
        "..\\..\\slipped-windows.ipynb": "slipped-windows",
        "a/../../b/slipped-between.ipynb": "slipped-between",
        "Ada Lovelace_1234_assignsubmission_file_/chapter.ipynb": "Ada Lovelace_1234",
        "lovelaceada_77_56789_chapter-1.ipynb": "lovelaceada_77",
    }
    members = {member: Submission(name, whole) for member, name in names.items()}
    return members | {"bomb.ipynb": _unread("bomb", bytes(200_000_000))}


def _unread(name: str, data: bytes) -> Submission:
    return Submission(name, data, NONE, dict.fromkeys(POINTS, MISSING), readable=False)


LYING = ("damaged", "locked", "sized")


def archived() -> list[Submission]:
    """What the members of both archives must earn."""
    return [*_members().values(), *(_unread(name, b"") for name in LYING)]


def write_archives(folder: Path) -> None:
    """Zip files below `folder`: class.zip, and lying.zip, whose members are not what they say."""
    with zipfile.ZipFile(folder / "class.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for member, submission in _members().items():
            archive.writestr(member, submission.data)
        link = zipfile.ZipInfo("linked-member.ipynb")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("nested.zip", "PK")
    (folder / "lying.zip").write_bytes(_lying())


def _lying() -> bytes:
    """One member's data are damaged, one claims a password, one a size that it has not."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in LYING:
            archive.writestr(f"{name}.ipynb", f"{name}:".encode() * 50)
    data = bytearray(buffer.getvalue())
    data[data.index(b"damaged:")] ^= 255
    directory = {name: data.rindex(f"{name}.ipynb".encode()) - 46 for name in LYING}
    data[directory["locked"] + 8] |= 1
    struct.pack_into("<I", data, directory["sized"] + 24, 4_000_000_000)
    return bytes(data)


LINKS = ("link-to-the-key", "link-to-a-device", "link-to-itself", "pipe", "folder")


def write_links(inbox: Path, key: Path) -> None:
    """What is no file, under names of notebooks: none of it may be read, or waited for."""
    (inbox / "link-to-the-key.ipynb").symlink_to(key)
    (inbox / "link-to-a-device.ipynb").symlink_to("/dev/zero")
    (inbox / "link-to-itself.ipynb").symlink_to("link-to-itself.ipynb")
    (inbox / "link-to-a-folder").symlink_to(key.parent)
    os.mkfifo(inbox / "pipe.ipynb")
    (inbox / "folder.ipynb").mkdir()
