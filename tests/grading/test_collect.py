"""Finding submissions: naming of exports, folders, zip files, and names that want to escape."""

from __future__ import annotations

import os
import stat
import warnings
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.grading.build import as_bytes
from torchbook.grading.collect import UnreadableFile, UsageError, collect
from torchbook.grading.exports import clean_name, file_name, is_notebook, student_and_attempt
from torchbook.grading.reader import MAX_BYTES

NOTEBOOK = as_bytes(["x = 1"])


@pytest.mark.parametrize(
    ("path", "student", "attempt"),
    [
        ("ada.ipynb", "ada", 0),
        ("Ada Lovelace.ipynb", "Ada Lovelace", 0),
        ("section 1/ada.ipynb", "ada", 0),
        ("ada/receptive-fields.ipynb", "ada", 0),
        ("ada/receptive-fields (1).ipynb", "ada", 0),
        ("ada/receptive-fields-2.ipynb", "ada", 0),
        ("receptive-fields.ipynb", "receptive-fields", 0),
        ("lovelaceada_1234_56789_receptive-fields.ipynb", "lovelaceada_1234", 0),
        ("lovelaceada_LATE_1234_56789_receptive-fields.ipynb", "lovelaceada_1234", 0),
        ("lovelaceada_1234_56789_receptive-fields-2.ipynb", "lovelaceada_1234", 2),
        ("homework_1_2_ada.ipynb", "homework_1_2_ada", 0),
        ("Ada Lovelace_1234_assignsubmission_file_/receptive-fields.ipynb", "Ada Lovelace_1234", 0),
        ("Ada Lovelace_1234_assignsubmission_file_receptive-fields.ipynb", "Ada Lovelace_1234", 0),
        ("Ada_1234_assignsubmission_file_/deep/er/x.ipynb", "Ada_1234", 0),
        ("ada.ipynb.txt", "ada", 0),
        ("ADA.IPYNB", "ADA", 0),
    ],
)
def test_students_of_exports(path, student, attempt):
    assert student_and_attempt(path, {"receptive-fields"}) == (student, attempt)


def test_names_are_cleaned():
    assert clean_name("a\nb\tc\u202e d\x00") == "a b c d"
    assert clean_name("é") == clean_name("e\u0301") == "é"
    assert clean_name("  ") == "unnamed"
    assert clean_name("\ud800x") == "?x"
    assert len(clean_name("x" * 1000)) == 100


@given(st.text(max_size=150), st.text(max_size=150))
def test_feedback_names_are_safe_and_never_shared(one, two):
    one, two = clean_name(one), clean_name(two)
    for name in map(file_name, (one, two)):
        assert name == os.path.basename(name)
        assert name.strip(". ")
        assert not set(name) & set('/\\:*?"<>|\n\0')
        assert len(name.encode()) < 250
    if one != two:
        assert file_name(one).casefold() != file_name(two).casefold()


@pytest.mark.parametrize("name", ["CON", "..", "a/b", "<script>", "Ada", "", "x."])
def test_odd_feedback_names(name):
    assert file_name(name) not in (name, "", ".", "..")


def test_is_notebook():
    assert is_notebook("a.ipynb")
    assert is_notebook("a.IPYNB.json")
    assert not is_notebook("a.py")
    assert not is_notebook("ipynb")


def test_folders(tmp_path):
    for name in ("ada.ipynb", "x/bob.ipynb", ".ipynb_checkpoints/ada.ipynb", "__MACOSX/c.ipynb", "notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(NOTEBOOK)
    secret = tmp_path.parent / "secret.ipynb"
    secret.write_bytes(NOTEBOOK)
    (tmp_path / "link.ipynb").symlink_to(secret)
    (tmp_path / "folder-link").symlink_to(tmp_path.parent)
    os.mkfifo(tmp_path / "pipe.ipynb")
    collected = collect([tmp_path])
    assert sorted(found.student for found in collected.found) == ["ada", "bob"]
    assert dict(collected.skipped) == {
        "notes.txt": "not a notebook",
        "link.ipynb": "a link or a special file",
        "pipe.ipynb": "a link or a special file",
        "folder-link": "not a notebook",
    } or "folder-link" not in dict(collected.skipped)
    assert all(found.read() == NOTEBOOK for found in collected.found)


def zip_of(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a doubled name is what one test is about
        for name, data in members:
            archive.writestr(name, data)
    return path


def test_a_zip_file_is_read_without_being_unpacked(tmp_path):
    link = zipfile.ZipInfo("link.ipynb")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    members = [
        ("lovelaceada_1234_56789_x.ipynb", NOTEBOOK),
        ("../../escape.ipynb", NOTEBOOK),
        ("/etc/absolute.ipynb", NOTEBOOK),
        ("..\\windows.ipynb", NOTEBOOK),
        (link, b"/etc/passwd"),
        ("__MACOSX/._x.ipynb", b"x"),
        ("essay.pdf", b"x"),
        ("twice.ipynb", NOTEBOOK),
        ("twice.ipynb", NOTEBOOK),
        ("inner.zip", b"PK"),
    ]
    folder = tmp_path / "in"
    folder.mkdir()
    collected = collect([zip_of(folder / "export.zip", members)])
    students = sorted(found.student for found in collected.found)
    assert students == ["absolute", "escape", "lovelaceada_1234", "windows"]
    assert all(found.read() == NOTEBOOK for found in collected.found)
    assert [why for _, why in collected.skipped] == [
        "a link",
        "not a notebook",
        "two members of the zip file have this name",
        "two members of the zip file have this name",
        "not a notebook",
    ]
    assert list(tmp_path.rglob("*")) == [folder, folder / "export.zip"]


def test_a_zip_bomb_is_read_up_to_the_limit(tmp_path):
    path = zip_of(tmp_path / "bomb.zip", [("bomb.ipynb", b"\0" * (MAX_BYTES + 50))])
    assert path.stat().st_size < 50_000
    assert len(collect([path]).found[0].read()) == MAX_BYTES + 1


def test_a_damaged_member_costs_only_itself(tmp_path):
    path = zip_of(tmp_path / "e.zip", [("a.ipynb", os.urandom(5000)), ("b.ipynb", NOTEBOOK)])
    data = bytearray(path.read_bytes())
    data[200:300] = bytes(100)
    path.write_bytes(data)
    first, second = collect([path]).found
    with pytest.raises(UnreadableFile, match="cannot be read"):
        first.read()
    assert second.read() == NOTEBOOK


def test_wrong_paths_are_usage_errors(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    (tmp_path / "b.zip").write_text("x")
    (tmp_path / "empty").mkdir()
    for name, says in {
        "nothing": "does not exist",
        "a.txt": "neither a notebook",
        "b.zip": "no zip file",
        "empty": "no notebook",
    }.items():
        with pytest.raises(UsageError, match=says):
            collect([tmp_path / name])
