"""Keys are validated, and released the same way every time; the committed exercises are up to date."""

from __future__ import annotations

import json
import subprocess
import sys

import nbformat
import pytest

from tests.grading.build import (
    CELLS,
    Q1_ANSWER,
    Q1_CHECK,
    Q2_ANSWER,
    SETUP,
    answered,
    key_of,
    markdown,
    write_key,
)
from torchbook.grading.cells import identify
from torchbook.grading.key import BadKey, cut_solution
from torchbook.grading.reader import read_notebook
from torchbook.grading.release import Tree, exercise_text, find_tree, main, orphans, release, stale
from torchbook.grading.template import BadTemplate, pack, template_of, unpack

TREE = find_tree()
ASSIGNMENTS = TREE.assignments()
WITH_OUTPUTS = [
    SETUP,
    Q1_ANSWER,
    answered(Q1_CHECK, [2]),
    markdown("**Q2**"),
    Q2_ANSWER,
    answered(CELLS[4], [3]),
]


def test_a_sound_key(tmp_path):
    key = key_of(tmp_path)
    assert [(q.name, q.points) for q in key.questions] == [("Q1", 2), ("Q2", 3)]
    assert key.max_points == 5


def changed(old, new, cells=CELLS):
    return [cell.replace(old, new) for cell in cells]


@pytest.mark.parametrize(
    ("cells", "says"),
    [
        ([*CELLS, "x = 1"], "does not say what it is"),
        ([*CELLS, Q1_ANSWER], "two cells '# Q1 answer'"),
        (CELLS[:1], "no check cell"),
        ([SETUP, Q1_CHECK, Q1_ANSWER], "must stand before its check"),
        ([SETUP, Q1_CHECK], "no '# Q1 answer' before it"),
        ([SETUP, Q1_ANSWER], "no check cell"),
        (
            [*CELLS, "# Q3 answer\n### BEGIN SOLUTION\n### END SOLUTION"],
            "'# Q3 answer' belongs to no question",
        ),
        (changed("Q2", "Q3"), "must be Q1, Q2, ... in order"),
        (changed("· 2 points", ""), "must say the points"),
        (changed("    ### END SOLUTION", ""), "needs '### BEGIN SOLUTION'"),
        (changed("    ### BEGIN SOLUTION", ""), "stands where none may stand"),
        (changed("    ### BEGIN SOLUTION", "    ### BEGIN SOLUTION\n    ### BEGIN SOLUTION"), "may stand"),
        (changed("answer([double(x) for x", "print([double(x) for x"), "must call answer"),
        (changed("answer([add", "answer(1)\nanswer([add"), "once, as its last statement"),
        (changed("return 2 * x", "return 2 *"), "is not Python"),
        (changed("assert add", "# compare: magic\nassert add"), "'# Q2 check' has a '# compare:' line"),
        (changed("assert add", "# compare: judge\nassert add"), "belong together"),
        ([*CELLS, "# Q2 grader\ndef judge(value):\n    return True"], "belong together"),
        ([*CELLS, "# Q2 grader\nx = 1"], "must call answer"),
        ([*CELLS[:3], "# Q2 grader\nanswer(1)", *CELLS[3:]], "must stand after the check"),
        (["### BEGIN SOLUTION"], "does not say what it is"),
    ],
)
def test_a_broken_key_is_named(tmp_path, cells, says):
    with pytest.raises(BadKey, match=r"chapter\.ipynb") as error:
        key_of(tmp_path, cells)
    assert says in str(error.value)


def test_a_file_that_is_no_notebook(tmp_path):
    path = write_key(tmp_path)
    path.write_text("{}")
    with pytest.raises(BadKey, match="no notebook"):
        Tree(tmp_path).key("part/chapter")


def test_the_solution_is_cut_at_its_indentation():
    assert cut_solution(Q1_ANSWER, "Q1") == (
        '# Q1 answer\ndef double(x):\n    raise NotImplementedError("Q1 is not answered yet")'
    )


def test_instead_gives_the_student_code_to_repair():
    source = """# Q1 answer
for x in data:
    ### BEGIN SOLUTION
    optimizer.zero_grad()
    step(x)
    ### INSTEAD
    # if x:
    #     step(x)
    #
    ### END SOLUTION
done()"""
    assert cut_solution(source, "Q1") == ("# Q1 answer\nfor x in data:\n    if x:\n        step(x)\n\ndone()")
    with pytest.raises(ValueError, match="must be a comment"):
        cut_solution(source.replace("# if x", "if x"), "Q1")


def test_release_cuts_everything_that_is_the_teachers(tmp_path):
    cells = [
        *WITH_OUTPUTS,
        "# Q2 grader\nsecret = 41_234\nanswer([secret])",
        markdown("<!-- solution -->\nThe trick"),
    ]
    cells[6] = answered(cells[6], [41_234])
    text = exercise_text(key_of(tmp_path, cells))
    for word in ("SOLUTION", "return 2 * x", "secret", "41_234", "41234", "The trick"):
        assert word not in text
    assert "**Q2**" in text


def test_an_exercise_is_a_valid_notebook_with_fixed_ids(tmp_path):
    key = key_of(tmp_path, WITH_OUTPUTS)
    notebook = json.loads(exercise_text(key))
    nbformat.validate(notebook)
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert [cell["id"] for cell in notebook["cells"]] == [
        "install", "setup", "q1-answer", "q1-check", "text-03", "q2-answer", "q2-check", "closing",
    ]  # fmt: skip
    assert exercise_text(key) == exercise_text(key)


def test_the_description_survives_the_way_through_a_notebook(tmp_path):
    key = key_of(tmp_path, WITH_OUTPUTS)
    cells = read_notebook(exercise_text(key).encode()).cells
    template = unpack([cell.source for cell in cells if cell.kind == "markdown"])
    assert template == template_of(key)
    assert template.expected == {"Q1": {"value": [2]}, "Q2": {"value": [3]}}


def test_a_missing_or_foreign_description_is_refused(tmp_path):
    with pytest.raises(BadTemplate, match="is missing"):
        unpack(["nothing"])
    packed = pack(template_of(key_of(tmp_path, WITH_OUTPUTS)))
    with pytest.raises(BadTemplate, match="is damaged"):
        unpack([packed.replace("A", "B", 3)])


def test_a_key_without_outputs_is_not_released(tmp_path):
    with pytest.raises(BadKey, match="torchbook release --execute part/chapter"):
        exercise_text(key_of(tmp_path))


def test_release_writes_once_and_stale_sees_every_change(tmp_path):
    tree = Tree(tmp_path)
    write_key(tmp_path, WITH_OUTPUTS)
    assert "is missing" in stale(tree, ["part/chapter"])[0]
    assert release(tree, ["part/chapter"]) == [tree.exercise_path("part/chapter")]
    assert release(tree, ["part/chapter"]) == []
    assert stale(tree, ["part/chapter"]) == []
    write_key(tmp_path, [SETUP.replace("1000", "999"), *WITH_OUTPUTS[1:]])
    assert "is not what its key gives" in stale(tree, ["part/chapter"])[0]
    tree.exercise_path("part/chapter").rename(tree.exercises / "part" / "old.ipynb")
    assert orphans(tree) == ["exercises/part/old.ipynb has no key in solutions/; delete it"]


def test_release_command(tmp_path, monkeypatch, capsys):
    write_key(tmp_path, WITH_OUTPUTS)
    monkeypatch.chdir(tmp_path / "solutions" / "part")
    assert main([], check=True, execute=False) == 1
    assert "is missing" in capsys.readouterr().err
    assert main(["part/chapter"], check=False, execute=False) == 0
    assert main([], check=True, execute=False) == 0
    assert main(["part/nothing"], check=False, execute=False) == 2
    assert "there are part/chapter" in capsys.readouterr().err


# ---------------------------------------------------------------- the committed keys and exercises


def test_there_are_keys():
    assert ASSIGNMENTS


def test_the_committed_exercises_are_what_their_keys_give():
    assert stale(TREE, ASSIGNMENTS) == []
    assert orphans(TREE) == []


@pytest.mark.parametrize("assignment", ASSIGNMENTS)
def test_the_key_holds_the_outputs_that_nbval_compares_with(assignment):
    """nbval passes on a notebook without outputs, so it must never be one."""
    notebook = nbformat.read(TREE.solutions / f"{assignment}.ipynb", as_version=4)
    nbformat.validate(notebook)
    checks = [cell for cell in notebook.cells if (i := identify(cell.source)) and i.kind == "check"]
    assert checks
    for cell in checks:
        assert cell.execution_count, f"not executed: {cell.source[:40]}"
        assert cell.outputs, f"no stored output: {cell.source[:40]}"
    for cell in notebook.cells:
        errors = [output for output in cell.get("outputs", []) if output.output_type in ("error", "stream")]
        assert not errors, f"a key prints nothing and fails nowhere: {cell.source[:40]}"


@pytest.mark.parametrize("assignment", ASSIGNMENTS)
def test_the_text_names_the_points_of_its_check(assignment):
    key = TREE.key(assignment)
    texts = "\n".join(cell.source for cell in key.cells if cell.identity is None)
    for question in key.questions:
        unit = "point" if question.points == 1 else "points"
        line = next((line for line in texts.split("\n") if line.startswith(f"**{question.name} ")), "")
        assert f"{question.points:g} {unit}" in line, f"{question.name}: {line!r}"


@pytest.mark.slow
def test_stock_nbval_passes_on_the_keys():
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--nbval", str(TREE.solutions)]
    done = subprocess.run(command, cwd=TREE.root, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
