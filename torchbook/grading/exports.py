"""Who submitted a file, by the file's name alone.

- Canvas: `lovelaceada_1234_56789_receptive-fields.ipynb`, with `_LATE` after the name where it was late, and
  `-1`, `-2` before the suffix for later attempts. The student is `lovelaceada_1234` (the number is the id).
- Moodle: `Ada Lovelace_1234_assignsubmission_file_/receptive-fields.ipynb`, or the same without the slash.
  The student is `Ada Lovelace_1234`.
- A notebook that still bears its exercise's name, in a folder: the folder. Otherwise: the file's stem.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Collection
from pathlib import PurePosixPath

_NOTEBOOK = re.compile(r"\.ipynb(?:\.(?:json|txt))?$", re.IGNORECASE)
_COPY = re.compile(r"(?: ?\(\d+\)|-\d+)$")  # `x (1).ipynb` from a browser, `x-2.ipynb` from Canvas
# Canvas ids have many digits; short numbers are more likely part of a name that somebody chose.
_CANVAS = re.compile(r"^(.+?)(?:_LATE)?_(\d{2,})_(\d{3,})_(.+)$")
_MOODLE = re.compile(r"^(.+?)_(\d+)_assignsubmission_file_?(.*)$")
_RESERVED = re.compile(r"^(con|prn|aux|nul|com\d|lpt\d)(\..*)?$", re.IGNORECASE)
MAX_NAME = 100


def is_notebook(name: str) -> bool:
    """Whether a file's name says that it is a notebook; `x.ipynb.txt` is what some browsers make of one."""
    return bool(_NOTEBOOK.search(name))


def student_and_attempt(path: str, exercises: Collection[str] = ()) -> tuple[str, int]:
    """The student, and the number of the attempt (0 for the first), of the file `path` ("/" between folders).

    exercises: the last parts of all assignments, such as `receptive-fields`.
    """
    parts = PurePosixPath(path).parts
    stem = _NOTEBOOK.sub("", parts[-1])
    for part in reversed(parts[:-1]):
        if match := _MOODLE.match(part):
            return clean_name(f"{match[1]}_{match[2]}"), 0
    if match := _MOODLE.match(stem):
        return clean_name(f"{match[1]}_{match[2]}"), 0
    if match := _CANVAS.match(stem):
        copy = re.search(r"-(\d{1,3})$", match[4])
        return clean_name(f"{match[1]}_{match[2]}"), int(copy[1]) if copy else 0
    if len(parts) > 1 and (stem in exercises or _COPY.sub("", stem) in exercises):
        return clean_name(parts[-2]), 0
    return clean_name(stem), 0


def clean_name(name: str) -> str:
    """`name` on one line, in one Unicode form (macOS decomposes accents), of bounded length."""
    name = name.encode("utf-8", "replace").decode("utf-8")
    name = unicodedata.normalize("NFC", name)
    name = "".join(" " if unicodedata.category(char)[0] in "CZ" else char for char in name)
    return " ".join(name.split())[:MAX_NAME] or "unnamed"


def file_name(student: str) -> str:
    """A name for the student's feedback file that every file system takes, and that no other student has."""
    safe = re.sub(r"[^\w.@()+ -]", "_", student).strip(". ")
    unchanged = safe == student == student.lower() and len(safe.encode()) < 120
    if safe and unchanged and not _RESERVED.match(safe):
        return safe
    # Two names that differ only in case, or in what was replaced, must not share a file.
    mark = hashlib.sha256(student.encode()).hexdigest()[:6]
    return f"{safe[:60].strip('. ') or 'student'}-{mark}"
