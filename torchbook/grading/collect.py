"""Find submissions: notebooks, folders of them, and zip files as Canvas and Moodle export them.

Nothing is unpacked to disk, so a member's name cannot lead anywhere: it is only a label. Links are not
followed (a student's export may hold one that points at the teacher's files), and no member is read past the
limit of a notebook, whatever its header says.
"""

from __future__ import annotations

import os
import stat
import time
import zipfile
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from torchbook.grading.exports import is_notebook, student_and_attempt
from torchbook.grading.reader import MAX_BYTES

MAX_MEMBERS = 20_000
MAX_FILES = 100_000


class UsageError(Exception):
    """The command was called wrongly. The message says how to call it."""


class UnreadableFile(Exception):
    """This one file cannot be read; the others can."""


@dataclass(frozen=True)
class Found:
    """One submitted file. `label` is its path as reports show it."""

    student: str
    label: str
    order: tuple[float, int, int]  # when it was written, attempt, place in the command
    path: Path  # of the file, or of the zip that holds it
    member: str = ""  # in the zip

    def read(self) -> bytes:
        """The bytes, one more than the limit at most. Raises UnreadableFile."""
        try:
            if self.member:
                with zipfile.ZipFile(self.path) as archive, archive.open(self.member) as file:
                    return file.read(MAX_BYTES + 1)
            with self.path.open("rb") as file:
                return file.read(MAX_BYTES + 1)
        except (
            OSError,
            RuntimeError,
            NotImplementedError,
            EOFError,
            zipfile.BadZipFile,
            zlib.error,
        ) as error:
            raise UnreadableFile(f"The file cannot be read: {' '.join(str(error).split())[:200]}.") from None


@dataclass
class Collected:
    found: list[Found] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)  # label, why


def collect(paths: list[Path], exercises: Collection[str] = ()) -> Collected:
    """All submissions under `paths`. Raises UsageError for a path that is none, or where nothing is found."""
    collected = Collected()
    for path in paths:
        if path.is_dir():
            _from_folder(path, exercises, collected)
        elif path.suffix.lower() == ".zip" and path.is_file():
            _from_zip(path, exercises, collected)
        elif path.is_file() and is_notebook(path.name):
            _add(collected, path.name, path, exercises, path.stat().st_mtime)
        elif path.exists():
            raise UsageError(f"{path} is neither a notebook, a folder nor a zip file.")
        else:
            raise UsageError(f"{path} does not exist.")
    if not collected.found:
        raise UsageError(f"There is no notebook (.ipynb) in {', '.join(map(str, paths))}.")
    return collected


def _add(
    collected: Collected, inner: str, path: Path, exercises: Collection[str], when: float, member: str = ""
) -> None:
    student, attempt = student_and_attempt(inner, exercises)
    label = f"{path.name}/{inner}" if member else str(path)
    order = (when, attempt, len(collected.found))
    collected.found.append(Found(student, _printable(label), order, path, member))


def _printable(text: str) -> str:
    text = text.encode("utf-8", "replace").decode("utf-8")
    return "".join(char if char.isprintable() else "?" for char in text)[:400]


# ---------------------------------------------------------------- folders


def _from_folder(folder: Path, exercises: Collection[str], collected: Collected) -> None:
    for number, path in enumerate(_files(folder)):
        if number >= MAX_FILES:
            raise UsageError(f"{folder} has more than {MAX_FILES:,} files; name a smaller folder.")
        inner = path.relative_to(folder).as_posix()
        status = path.lstat()
        if not is_notebook(path.name):
            collected.skipped.append((_printable(inner), "not a notebook"))
        elif not stat.S_ISREG(status.st_mode):
            collected.skipped.append((_printable(inner), "a link or a special file"))
        else:
            # The folder's own name stands for the student where it holds the exercise under its first name.
            _add(collected, f"{folder.resolve().name}/{inner}", path, exercises, status.st_mtime)


def _files(folder: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(folder, followlinks=False):
        folders[:] = sorted(name for name in folders if not _is_litter(name))
        for name in sorted(names):
            if not _is_litter(name):
                yield Path(root, name)


def _is_litter(name: str) -> bool:
    """What operating systems and Jupyter leave behind."""
    return name.startswith(".") or name == "__MACOSX"


# ---------------------------------------------------------------- zip files


def _from_zip(path: Path, exercises: Collection[str], collected: Collected) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise UsageError(f"{path} is no zip file that can be read: {error}") from None
    if len(members) > MAX_MEMBERS:
        raise UsageError(f"{path} has {len(members):,} members; at most {MAX_MEMBERS:,} are read.")
    names = [member.filename for member in members]
    for member in members:
        name = member.filename.replace("\\", "/")
        if member.is_dir() or any(_is_litter(part) for part in name.split("/") if part not in ("", ".", "..")):
            continue
        problem = _problem(member, names)
        if problem:
            collected.skipped.append((_printable(f"{path.name}/{name}"), problem))
        else:
            _add(collected, name.lstrip("/"), path, exercises, _when(member), member.filename)


def _problem(member: zipfile.ZipInfo, names: list[str]) -> str:
    if not is_notebook(member.filename):
        return "not a notebook"
    if stat.S_ISLNK(member.external_attr >> 16):
        return "a link"
    if names.count(member.filename) > 1:
        return "two members of the zip file have this name"
    return ""


def _when(member: zipfile.ZipInfo) -> float:
    try:
        return time.mktime((*member.date_time, 0, 0, -1))
    except (ValueError, OverflowError):
        return 0.0
