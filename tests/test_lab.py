"""A real JupyterLab in a real browser: chapters open as notebooks, run, and move; an exercise is solved."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import expect

from tests.support import ROOT
from torchbook.site.chapters import Page
from torchbook.site.execute import KERNEL_ENVIRONMENT
from torchbook.site.lab import prefer_notebooks

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("lab")]
CHAPTERS = ["cnn/receptive-fields", "mlp/backpropagation", "optimization/learning-rate-schedules"]
EXERCISE = "mlp/linear-models"
RUN_SECONDS = 240
# Cells out of sight are not in the page by default; the test looks at all of them.
SETTINGS = {
    "@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"},
    "@jupyterlab/apputils-extension:notification": {"checkForUpdates": False, "fetchNews": "false"},
}


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Iterator[str]:
    """The address of a JupyterLab over a copy of the chapters and exercises, with settings of its own."""
    prefer_notebooks()
    folder = tmp_path_factory.mktemp("lab")
    for name in ("book", "exercises"):
        shutil.copytree(ROOT / name, folder / "work" / name)
    for plugin, values in SETTINGS.items():
        path = folder / "settings" / plugin.replace(":", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".jupyterlab-settings").write_text(json.dumps(values))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        **KERNEL_ENVIRONMENT,
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
    }
    options = {
        "port": port,
        "port_retries": 0,
        "root_dir": folder / "work",
        "allow_root": True,
        "open_browser": False,
        "disable_check_xsrf": True,  # so that the fixtures may end sessions
    }
    command = [sys.executable, "-m", "jupyterlab", "--IdentityProvider.token="]
    command += [f"--ServerApp.{name}={value}" for name, value in options.items()]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, env=environment, cwd=folder / "work", stdout=log, stderr=log)
        try:
            _wait_for(f"http://127.0.0.1:{port}/api", process, folder / "log")
            yield f"http://127.0.0.1:{port}"
            _ask(f"http://127.0.0.1:{port}/api/shutdown", "POST")
            process.wait(timeout=30)
        finally:
            process.kill()


def _wait_for(url: str, process: subprocess.Popen, log: Path) -> None:
    for _ in range(300):
        assert process.poll() is None, log.read_text()
        try:
            _ask(url)
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    pytest.fail(f"JupyterLab did not answer: {log.read_text()}")


@pytest.fixture
def page(browser, lab):
    """A page wide enough for a notebook. The kernels that a test started end with it."""
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    opened = context.new_page()
    opened.set_default_timeout(60_000)
    yield opened
    context.close()
    for session in json.loads(_ask(f"{lab}/api/sessions")):
        _ask(f"{lab}/api/sessions/{session['id']}", "DELETE")


def _ask(url: str, method: str = "GET") -> bytes:
    with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=30) as response:
        return response.read()


def open_by_double_click(page, lab: str, path: str) -> object:
    """Open a file as a person does, in the file browser; returns its notebook."""
    folder, name = path.rsplit("/", 1)
    page.goto(f"{lab}/lab/tree/{folder}?reset")
    page.locator(".jp-DirListing-item", has=page.get_by_text(name, exact=True)).dblclick()
    notebook = page.locator(".jp-NotebookPanel:visible")
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()  # a kernel is there: what is run before is lost
    return notebook


def run_all(page, notebook) -> None:
    """Choose Run All Cells in the menu, and wait until the last cell is done."""
    page.locator(".lm-MenuBar-item", has_text="Run").click()
    page.locator("li[data-command='runmenu:run-all']").click()
    page.wait_for_function(
        """panel => document.querySelector('[data-mime-type="application/vnd.jupyter.error"]')
                 || [...panel.querySelectorAll('.jp-CodeCell > .jp-Cell-inputWrapper .jp-InputPrompt')]
                    .every(prompt => /\\d/.test(prompt.textContent))""",
        arg=notebook.element_handle(),
        timeout=RUN_SECONDS * 1000,
    )


def errors(notebook) -> list[str]:
    return notebook.locator("[data-mime-type='application/vnd.jupyter.error']").all_inner_texts()


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_chapter_opens_runs_and_moves(page, lab, name):
    notebook = open_by_double_click(page, lab, f"book/{name}.md")
    cells = Page(ROOT, f"book/{name}").cells
    expect(notebook.locator(".jp-CodeCell")).to_have_count(len(cells), timeout=60_000)
    text = notebook.locator(".jp-MarkdownCell").all_inner_texts()
    assert not re.search(r"^:::|\{(?:eq|note|admonition)\}", "\n".join(text), re.MULTILINE), (
        "MyST shows as it is written"
    )
    run_all(page, notebook)
    assert errors(notebook) == []

    widgets = notebook.locator(".jp-OutputArea .tb")
    widgets.first.wait_for()
    made = sum(cell.count("from torchbook.widgets import") for cell in cells)
    assert widgets.count() >= made >= 2  # the chapter's own and the quiz
    moving = widgets.filter(has=page.locator("input[type=range]")).first
    said = moving.locator("[role=status]").first
    before = said.inner_text()
    slider = moving.locator("input[type=range]").first
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft", "ArrowLeft", "ArrowLeft"):
        slider.press(key)
        if said.inner_text() != before:
            break
    page.wait_for_function("([node, before]) => node.textContent !== before", arg=[said.element_handle(), before])


def test_an_exercise_is_solved_and_the_feedback_changes(page, lab):
    notebook = open_by_double_click(page, lab, f"exercises/{EXERCISE}.ipynb")
    released = nbformat.read(ROOT / "exercises" / f"{EXERCISE}.ipynb", as_version=4)
    key = nbformat.read(ROOT / "solutions" / f"{EXERCISE}.ipynb", as_version=4)
    first_lines = [cell.source.split("\n")[0] for cell in released.cells if cell.cell_type == "code"]
    solution = next(cell.source for cell in key.cells if cell.source.startswith("# Q1 answer"))

    def code_cell(first_line: str) -> object:
        """By its place: of a long cell, the editor draws only the lines in sight."""
        return notebook.locator(".jp-CodeCell").nth(first_lines.index(first_line))

    def run(first_line: str) -> object:
        """Run the cell with this first line by Shift+Enter, and give its output area."""
        cell = code_cell(first_line)
        prompt = cell.locator(".jp-InputPrompt").inner_text()
        cell.locator(".cm-content").click()
        page.keyboard.press("Shift+Enter")
        page.wait_for_function(
            "([node, before]) => node.textContent !== before && /\\d/.test(node.textContent)",
            arg=[cell.locator(".jp-InputPrompt").element_handle(), prompt],
        )
        return cell.locator(".jp-OutputArea")

    run("# install")
    run("# setup")
    run("# Q1 answer")
    assert "NotImplementedError: Q1 is not answered yet" in run("# Q1 check · 2 points").inner_text()

    def write(source: str) -> None:
        code_cell("# Q1 answer").locator(".cm-content").click()
        page.keyboard.press("Control+A")
        page.keyboard.insert_text(source)
        run("# Q1 answer")

    careless = "\n".join(line for line in solution.split("\n") if "z.max" not in line)
    assert careless != solution
    write(careless)
    assert "huge logits: subtract the row's largest one" in run("# Q1 check · 2 points").inner_text()
    write(solution)
    assert run("# Q1 check · 2 points").inner_text().startswith("answer: [tensor(")
