"""Every exported notebook runs from top to bottom: an empty folder, the installed package, no network.

This is the second execution of each chapter (the build was the first), so it also shows that the same text
comes out twice.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest

from tests.support import ROOT
from torchbook.site.cache import cached, open_cache
from torchbook.site.chapters import Page, notebooks
from torchbook.site.execute import KERNEL_ENVIRONMENT, execute
from torchbook.site.notebooks import export

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("site")]  # one process builds
RUN = """
import sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
client = NotebookClient(notebook, timeout=300)
client.create_kernel_manager()
client.km.transport, client.km.ip = "ipc", sys.argv[1] + "-ipc"
client.execute()
nbformat.write(notebook, sys.argv[1])
"""


@pytest.fixture(scope="session")
def installed(tmp_path_factory) -> Path:
    """The package as a reader installs it: built as a wheel, unpacked in a folder of its own."""
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder),
                    str(ROOT)], check=True, cwd=folder)  # fmt: skip
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        wheel.extractall(folder / "site")
    return folder / "site"


def test_the_wheel_holds_scripts_and_styles(installed):
    for path in (ROOT / "torchbook").rglob("*"):
        if path.suffix in {".py", ".js", ".css", ".html", ".txt", ".svg"} and "__pycache__" not in path.parts:
            assert (installed / "torchbook" / path.relative_to(ROOT / "torchbook")).exists(), path


def run_offline(notebook: nbformat.NotebookNode, folder: Path, installed: Path) -> nbformat.NotebookNode:
    bwrap = shutil.which("bwrap")
    assert bwrap, "bubblewrap is missing: install Debian's bubblewrap, so that notebooks run without network"
    home = folder / "home"
    home.mkdir()
    work = folder / "empty"
    work.mkdir()
    path = folder / "chapter.ipynb"
    nbformat.write(notebook, path)
    environment = {**os.environ, **KERNEL_ENVIRONMENT, "PYTHONPATH": str(installed), "HOME": str(home)}
    result = subprocess.run([bwrap, "--dev-bind", "/", "/", "--unshare-net", "--chdir", str(work),
                             sys.executable, "-c", RUN, str(path)],
                            env=environment, capture_output=True, text=True, timeout=600)  # fmt: skip
    assert result.returncode == 0, re.sub(r"\x1b\[[0-9;]*m", "", result.stderr)[-3000:]
    assert not any(work.iterdir()), "the notebook left files behind"
    return nbformat.read(path, as_version=4)


def texts(cell: dict) -> list[str]:
    """What a cell printed and showed, without addresses in memory and widget ids."""
    found = []
    for output in cell.get("outputs", []):
        if output.output_type == "stream" and output.name == "stdout":
            found.append(output.text)
        elif output.output_type in {"execute_result", "display_data"}:
            data = output.data
            if "application/vnd.jupyter.widget-view+json" not in data:
                found.append(data.get("text/html") or data.get("text/plain", ""))
    joined = "".join(found)
    return re.sub(r"0x[0-9a-f]+", "0x", joined).splitlines()


@pytest.mark.parametrize("page", notebooks(ROOT), ids=lambda page: page.name)
def test_an_exported_notebook_runs_alone_and_says_the_same_again(page: Page, installed, tmp_path):
    execute(ROOT)  # a lone pytest has nothing to compare with otherwise
    again = run_offline(export(page), tmp_path, installed)
    cache = open_cache(ROOT)
    first = cache.get_cache_bundle(cached(cache, page).pk).nb
    before = [texts(cell) for cell in first.cells if cell.cell_type == "code"]
    after = [texts(cell) for cell in again.cells if cell.cell_type == "code"][1:]  # the install cell is extra
    assert len(before) == len(after)
    for number, (one, two) in enumerate(zip(before, after, strict=True)):
        assert one == two, f"{page.name}, code cell {number}"


MINI = """---
jupytext:
  text_representation: {extension: .md, format_name: myst}
kernelspec:
  name: python3
  display_name: Python 3
---

# Small

```{code-cell} ipython3
from torchbook.data import load_table

print("about:", load_table("wine").about)
```
"""


def test_an_edit_in_the_library_changes_the_page(tmp_path):
    """The whole build on a small book with a library of its own: change a function there, build, see the page."""
    shutil.copytree(ROOT / "torchbook", tmp_path / "torchbook", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("_config.yml", "requirements.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "book" / "assets").mkdir(parents=True)
    for name in ("logo.svg", "favicon.svg"):
        shutil.copy(ROOT / "book" / "assets" / name, tmp_path / "book" / "assets" / name)
    (tmp_path / "book" / "references.bib").write_text("")
    (tmp_path / "book" / "ledger.csv").write_text((ROOT / "book" / "ledger.csv").read_text().split("\n", 1)[0] + "\n")
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: book/small\n")
    (tmp_path / "book" / "small.md").write_text(MINI)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}

    def build() -> subprocess.CompletedProcess:
        return subprocess.run([sys.executable, "-m", "torchbook.site", "build"], cwd=tmp_path, env=environment,
                              capture_output=True, text=True, timeout=300)  # fmt: skip

    def page() -> str:
        return (tmp_path / "_build" / "html" / "book" / "small.html").read_text()

    first = build()
    assert first.returncode == 0, first.stdout + first.stderr
    assert "178 x 13" in page()
    assert "nothing had to run again" in build().stdout

    data = tmp_path / "torchbook" / "data.py"
    data.write_text(data.read_text().replace("178 x 13", "178 by 13"))
    assert "1 chapters executed" in build().stdout
    assert "178 by 13" in page()

    small = tmp_path / "book" / "small.md"
    small.write_text(MINI.replace("print(", "assert False, 'broken on purpose'\nprint("))
    failed = build()
    assert failed.returncode == 1
    assert "broken on purpose" in failed.stderr

    small.write_text(MINI + "\n[a link to nowhere](missing.md)\n")
    failed = build()
    assert failed.returncode == 1
    assert "missing" in failed.stderr

    small.write_text(MINI.split("---\n", 2)[2])  # without its header the page would not run
    failed = build()
    assert failed.returncode == 1
    assert "jupytext header" in failed.stderr
    assert json.loads((tmp_path / "_build" / ".jupyter_cache" / "torchbook-keys.json").read_text())
