"""Colab, as nearly as a machine without it allows: the newest packages, an empty folder, no repository in sight.

The environment holds what Colab has before the first cell runs, and nothing of the book. The install cell of an
exported notebook then brings the book's package, from a git address as there, and every notebook runs on what is
there. Google's own module is the one thing that stands in: it hands over the notebook on the screen.
"""

from __future__ import annotations

import contextlib
import functools
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest

from tests.grading.variants import answer_cell, modules
from tests.support import ROOT
from torchbook.grading.assembly import assemble
from torchbook.grading.grader import Grader
from torchbook.grading.local import LocalRunner
from torchbook.grading.reader import read_notebook
from torchbook.grading.references import references_of_key
from torchbook.grading.release import find_tree
from torchbook.grading.sandbox import SandboxRunner, sandbox_available
from torchbook.grading.template import template_of
from torchbook.site.chapters import notebooks
from torchbook.site.exercises import publish
from torchbook.site.notebooks import write_all

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("colab")]  # one environment
BEFORE = ["numpy", "matplotlib", "ipywidgets", "ipykernel", "nbclient"]  # and torch; Colab has its own nbclient
# One thread, because another test runs beside this one. No hash seed, no quiet progress bars: Colab sets neither.
THREADS = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
RUN = """
import sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
client = NotebookClient(notebook, timeout=300)
client.create_kernel_manager()
client.km.transport, client.km.ip = "ipc", sys.argv[1] + "-ipc"
try:
    client.execute()
finally:
    nbformat.write(notebook, sys.argv[1])
"""
GOOGLE = """
import json, os
def blocking_request(name, request="", timeout_sec=5):
    assert name == "get_ipynb"
    with open(os.environ["SCREEN"]) as file:
        return {"ipynb": json.load(file)}
"""
KEYS = ["cnn/receptive-fields", "optimization/learning-rate-schedules", "attention/attention"]


@dataclass(frozen=True)
class Colab:
    """A fresh environment, and the notebooks as the site publishes them."""

    python: Path
    site: Path  # exported notebooks and exercises
    before: dict[str, str]  # name of a package -> version, before the install cell ran
    installed: nbformat.NotebookNode  # the notebook whose first cell installed the library


def pip(python: Path, *arguments: str) -> str:
    command = [str(python), "-m", "pip", "--disable-pip-version-check", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert result.returncode == 0, result.stdout[-1500:] + result.stderr[-1500:]
    return result.stdout


def versions(python: Path) -> dict[str, str]:
    return {package["name"]: package["version"] for package in json.loads(pip(python, "list", "--format=json"))}


def newest_torch(python: Path) -> str:
    """The newest build for the CPU that the index names as such; else the pinned one, which others call the same."""
    listing = pip(python, "index", "versions", "torch")
    known = re.search(r"Available versions: (.*)", listing)[1].split(", ")
    pinned = re.search(r"^torch==.*$", (ROOT / "requirements.txt").read_text(), re.MULTILINE)[0]
    return next((f"torch=={version}" for version in known if version.endswith("+cpu")), pinned)


def publish_book(folder: Path, address: str) -> Path:
    """Notebooks and exercises of a book whose public git repository lies in `folder`, served at `address`."""
    package = folder / "public"
    shutil.copytree(ROOT / "torchbook", package / "torchbook", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, package / name)
    commit = ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "1"]
    for command in (["init", "-q"], ["add", "-A"], commit, ["update-server-info"]):
        subprocess.run(["git", "-C", str(package), *command], check=True)
    book = folder / "book"
    book.mkdir()
    shutil.copytree(ROOT / "book", book / "book")
    shutil.copytree(ROOT / "exercises", book / "exercises")
    shutil.copy(ROOT / "_toc.yml", book)
    config = (ROOT / "_config.yml").read_text()
    empty = 'repository:\n  url: ""\n'
    assert empty in config
    named = empty.replace('""', f'"{address}/public/.git"')
    (book / "_config.yml").write_text(config.replace(empty, named))
    write_all(book, folder / "site" / "notebooks")
    publish(book, folder / "site" / "exercises")
    return folder / "site"


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of `folder` on this machine."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture(scope="module")
def colab(tmp_path_factory) -> Colab:
    folder = tmp_path_factory.mktemp("colab")
    subprocess.run([sys.executable, "-m", "venv", str(folder / "env")], check=True)
    python = folder / "env" / "bin" / "python"
    pip(python, "install", "-q", newest_torch(python), *BEFORE)
    before = versions(python)
    (folder / "first").mkdir()
    with served(folder) as address:
        site = publish_book(folder, address)
        first = nbformat.read(site / "notebooks" / "mlp" / "linear-models.ipynb", as_version=4)
        first.cells = first.cells[:1]
        return Colab(python, site, before, run(python, first, folder / "first", network=True))


def run(python: Path, notebook: nbformat.NotebookNode, folder: Path, *, network: bool = False,
        environment: dict[str, str] | None = None) -> nbformat.NotebookNode:  # fmt: skip
    """Run a notebook where the repository cannot be seen, in an empty folder; return it with outputs."""
    bwrap = shutil.which("bwrap")
    assert bwrap, "bubblewrap is missing: install Debian's bubblewrap, so that the repository can be hidden"
    work, home, path = folder / "content", folder / "home", folder / "screen.ipynb"
    work.mkdir()
    home.mkdir()
    nbformat.write(notebook, path)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "JUPYTER", "TQDM"))}
    clean |= {**THREADS, "HOME": str(home), **(environment or {})}
    hide = ["--dev-bind", "/", "/", "--tmpfs", str(ROOT), "--chdir", str(work)]
    result = subprocess.run([bwrap, *hide, *([] if network else ["--unshare-net"]), str(python), "-c", RUN, str(path)],
                            env=clean, capture_output=True, text=True, timeout=900)  # fmt: skip
    assert result.returncode == 0, re.sub(r"\x1b\[[0-9;]*m", "", result.stderr)[-3000:]
    return nbformat.read(path, as_version=4)


def printed(cell: dict) -> str:
    return "".join(output.text for output in cell.outputs if output.output_type == "stream")


def test_the_install_cell_leaves_what_was_there(colab):
    after = versions(colab.python)
    assert "torchbook" not in colab.before
    assert "torchbook" in after
    assert {name: after.get(name) for name in colab.before} == colab.before


def test_the_first_cell_says_where_it_runs(colab):
    last = printed(colab.installed.cells[0]).strip().splitlines()[-1]
    assert re.match(rf"PyTorch {re.escape(colab.before['torch'])}\S* on cpu \(1 threads?\), scale cpu", last), last


@pytest.mark.parametrize("name", [page.name for page in notebooks(ROOT)])
def test_every_chapter_runs_with_the_newest_packages(colab, tmp_path, name):
    notebook = nbformat.read(colab.site / "notebooks" / f"{name}.ipynb", as_version=4)
    # The scale "cpu" runs twice elsewhere: when the book is built, and in test_notebooks.py.
    done = run(colab.python, notebook, tmp_path, environment={"TORCHBOOK_SCALE": "smoke"})
    assert "scale smoke" in printed(done.cells[0])
    assert all(cell.execution_count for cell in done.cells if cell.cell_type == "code" and cell.source.strip())
    assert not any((tmp_path / "content").iterdir()), "the notebook left files behind"


def as_colab_saves(notebook: nbformat.NotebookNode) -> dict:
    """Without ids and without the metadata that Colab does not know."""
    cells = [{"cell_type": cell.cell_type, "metadata": {"id": f"x{i}"}, "source": cell.source.splitlines(True),
              **({"execution_count": None, "outputs": []} if cell.cell_type == "code" else {})}
             for i, cell in enumerate(notebook.cells)]  # fmt: skip
    return {"cells": cells, "metadata": {"colab": {"provenance": []}}, "nbformat": 4, "nbformat_minor": 0}


@pytest.mark.parametrize("assignment", KEYS)
def test_an_exercise_is_solved_checked_and_handed_in(colab, tmp_path, assignment):
    tree, variants = find_tree(ROOT), {module.ASSIGNMENT: module.VARIANTS for module in modules()}[assignment]
    key = tree.key(assignment)
    notebook = nbformat.read(colab.site / "exercises" / f"{assignment}.ipynb", as_version=4)
    for cell in notebook.cells:
        if found := re.match(r"# (Q\d) answer", cell.source):
            cell.source = answer_cell(key, found[1], variants[found[1]].right[0])
    notebook.cells.append(nbformat.v4.new_code_cell("import torchbook.colab\ncode = torchbook.colab.check()\ncode"))
    screen = tmp_path / "saved.ipynb"
    screen.write_text(json.dumps(as_colab_saves(notebook)))
    stub = tmp_path / "google" / "colab"
    stub.mkdir(parents=True)
    (stub / "_message.py").write_text(GOOGLE)

    done = run(colab.python, nbformat.read(screen, as_version=4), tmp_path,
               environment={"SCREEN": str(screen), "PYTHONPATH": str(tmp_path)})  # fmt: skip
    table = printed(done.cells[-1])
    assert done.cells[-1].outputs[-1].data["text/plain"] == "0", table
    assert f"{key.max_points:g} of {key.max_points:g} points on the public cases" in table
    assert "Note:" not in table, table

    runner = SandboxRunner() if sandbox_available()[0] else LocalRunner()
    try:
        template, references = template_of(key), references_of_key(key, runner, 77)
        graded = Grader(runner).grade(assemble(read_notebook(screen.read_bytes()), template), key.questions, references)
    finally:
        runner.close()
    assert graded.total == key.max_points, [question.message for question in graded.questions]
