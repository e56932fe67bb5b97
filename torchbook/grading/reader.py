"""Read a submitted notebook, whatever became of it on its way.

Colab, GitHub, mail and editors change notebooks: ids and metadata go, formats differ, a byte-order mark
appears, a download breaks off. The reader takes what it can and says what it met. It never raises anything
but `UnreadableNotebook`, and it never trusts a type.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

MAX_BYTES = 20_000_000
MAX_CELLS = 2_000
MAX_SOURCE = 1_000_000  # characters in one cell


class UnreadableNotebook(ValueError):
    """There is no notebook in these bytes. The message says why, in a sentence for the student."""


@dataclass(frozen=True)
class SubmittedCell:
    kind: str  # code, markdown, raw
    source: str
    cell_id: str = ""
    label: str = ""  # the name that the release wrote into the metadata


@dataclass(frozen=True)
class Submitted:
    """The cells of a submission, in the order of the file, with notes on what was odd."""

    cells: tuple[SubmittedCell, ...]
    assignment: str = ""  # as the metadata say; may be missing or false
    notes: tuple[str, ...] = field(default=())


def read_notebook(data: bytes) -> Submitted:
    """The cells in the bytes of a file. Raises UnreadableNotebook."""
    notebook = _parse(data)
    notes: list[str] = []
    raw_cells = _cells_of(notebook, notes)
    if len(raw_cells) > MAX_CELLS:
        raise UnreadableNotebook(f"The notebook has {len(raw_cells)} cells; at most {MAX_CELLS} are read.")
    cells = [cell for raw in raw_cells if (cell := _cell(raw, notes)) is not None]
    if not cells:
        raise UnreadableNotebook("The notebook has no cells.")
    assignment = _text(_get(_get(notebook.get("metadata"), "torchbook"), "assignment"))
    return Submitted(tuple(cells), assignment[:200], tuple(dict.fromkeys(notes)))


def _parse(data: bytes) -> dict[str, Any]:
    if len(data) > MAX_BYTES:
        raise UnreadableNotebook(
            f"The file has {len(data) / 1e6:.0f} MB; notebooks of up to {MAX_BYTES / 1e6:.0f} MB are read. "
            "Clear the outputs, save, and submit again."
        )
    if not data.strip(b" \t\r\n\0\xef\xbb\xbf"):
        raise UnreadableNotebook("The file is empty.")
    try:
        notebook = json.loads(_decode(data))
    except RecursionError:
        raise UnreadableNotebook("The file is nested too deeply to be a notebook.") from None
    except ValueError as error:
        cut = "" if data.rstrip(b"\0 \r\n\t").endswith(b"}") else " The file seems to be cut off."
        raise UnreadableNotebook(f"The file is no notebook: {_clip(error)}.{cut}") from None
    if not isinstance(notebook, dict):
        raise UnreadableNotebook("The file is JSON, but no notebook.")
    return notebook


def _decode(data: bytes) -> str:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace")
    return data.decode("utf-8-sig", "replace")


def _clip(error: Exception) -> str:
    return " ".join(str(error).split())[:120]


def _cells_of(notebook: dict[str, Any], notes: list[str]) -> list[Any]:
    cells = notebook.get("cells")
    if isinstance(cells, list):
        return cells
    sheets = notebook.get("worksheets")  # nbformat 2 and 3
    if isinstance(sheets, list):
        notes.append("The notebook has an old format; it was read as it is.")
        parts = [sheet["cells"] for sheet in sheets if isinstance(_get(sheet, "cells"), list)]
        return [cell for part in parts for cell in part]
    raise UnreadableNotebook("The file is JSON, but no notebook: it has no list of cells.")


def _cell(raw: Any, notes: list[str]) -> SubmittedCell | None:
    kind = _get(raw, "cell_type")
    if kind not in ("code", "markdown", "raw", "heading", "html"):
        notes.append("A cell that is none was left out.")
        return None
    source = _get(raw, "source")
    if source is None:
        source = _get(raw, "input")  # nbformat 3
    text = "".join(part for part in source if isinstance(part, str)) if isinstance(source, list) else _text(source)
    if len(text) > MAX_SOURCE:
        notes.append(f"A cell of {len(text):,} characters was left out; at most {MAX_SOURCE:,} are read.")
        return None
    label = _text(_get(_get(_get(raw, "metadata"), "torchbook"), "cell"))
    kind = kind if kind in ("code", "raw") else "markdown"
    return SubmittedCell(kind, clean(text), _text(_get(raw, "id"))[:64], label[:64])


def clean(text: str) -> str:
    """Line ends as `\\n`, and no lone surrogates: the kernel's messages are UTF-8."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text.encode("utf-8", "replace").decode("utf-8")


def _get(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, dict) else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
