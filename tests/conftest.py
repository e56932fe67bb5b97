"""Fixtures that several tests share: one real browser, and pages that hold widgets as the book does."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator

import pytest

from tests.support import CHROMIUM_FLAGS, HOST, Watched

PAGE = """<!doctype html><html lang="en" data-theme="{theme}"><head><meta charset="utf-8"><title>widget</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>body {{ margin: 16px; background: {background}; }}</style></head><body><main>
{views}
<script type="application/vnd.jupyter.widget-state+json">{state}</script>
</main><script>{host}</script></body></html>"""


@pytest.fixture(scope="session")
def browser() -> Iterator[object]:
    """The system's Chromium, headless. Without one the test fails: it is not skipped."""
    from playwright.sync_api import sync_playwright

    path = os.environ.get("TORCHBOOK_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if not path:
        pytest.fail("no Chromium found: install Debian's chromium, or set TORCHBOOK_CHROMIUM to its path")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def open_widgets(browser, tmp_path) -> Iterator[Callable[..., Watched]]:
    """`open_widgets(widget, ..., theme="dark", width=360)`: a static page with the widgets alive, from file://."""
    from ipywidgets.embed import embed_data

    contexts = []

    def opener(*widgets, theme: str = "light", width: int = 900, height: int = 900, touch: bool = False) -> Watched:
        data = embed_data(views=list(widgets), drop_defaults=False)
        views = "\n".join(
            f'<script type="application/vnd.jupyter.widget-view+json">{json.dumps(spec)}</script>'
            for spec in data["view_specs"]
        )
        state = json.dumps(data["manager_state"]).replace("</", "<\\/")
        page_file = tmp_path / f"page{len(contexts)}.html"
        background = "#121418" if theme == "dark" else "#ffffff"
        page_file.write_text(PAGE.format(theme=theme, background=background, views=views, state=state,
                                         host=HOST.read_text(encoding="utf-8")), encoding="utf-8")  # fmt: skip
        context = browser.new_context(viewport={"width": width, "height": height}, has_touch=touch,
                                      color_scheme=theme, offline=True)  # fmt: skip
        contexts.append(context)
        watched = Watched(context.new_page())
        watched.page.goto(page_file.as_uri())
        for index in range(len(widgets)):
            watched.page.locator(".tb-widget").nth(index).and_(
                watched.page.locator("[data-ready=yes]")).wait_for(timeout=10_000)  # fmt: skip
        return watched

    yield opener
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def js(browser) -> Iterator[Callable[[str, str, object], object]]:
    """`js(esm, "name(arg)", arg)`: evaluate an expression over a widget module's own exports in the browser.

    The exported functions are in scope by name, `arg` is the JSON value that is passed in.
    """
    page = browser.new_page()
    page.goto("about:blank")

    def run(esm: str, expression: str, arg: object = None) -> object:
        return page.evaluate(
            """async ([source, expression, arg]) => {
                const url = URL.createObjectURL(new Blob([source], {type: "text/javascript"}));
                const module = await import(url);
                URL.revokeObjectURL(url);
                const scope = {...module};
                delete scope.default;
                const evaluate = new Function("arg", ...Object.keys(scope), `return (${expression});`);
                return evaluate(arg, ...Object.values(scope));
            }""",
            [esm, expression, arg],
        )

    yield run
    page.close()
