"""The built book, in a real browser: from file:// and http://, light and dark, wide and narrow, without network."""

from __future__ import annotations

import functools
import http.server
import re
import threading
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from fontTools.ttLib import TTFont

from tests.support import ROOT, Watched
from torchbook.site.chapters import notebooks, pages
from torchbook.site.slim import FONTS
from torchbook.site.weigh import LIMIT, weigh_site

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("site")]  # one process builds
OUT = ROOT / "_build" / "html"
PAGES = [page.docname for page in pages(ROOT)]
CHAPTERS = [page.docname for page in notebooks(ROOT)]


@pytest.fixture(scope="session")
def site() -> Path:
    """The built site; `make test` builds it first, and a lone pytest does so here."""
    from torchbook.site.build import build

    return build(ROOT)


@pytest.fixture(scope="session")
def address(site):
    """The site served over http on a free port."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(site))
    handler.log_message = lambda *args: None
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture
def opened(browser):
    """`opened(url, theme=..., width=...)`: a watched page in a fresh context."""
    contexts = []

    def opener(url: str, theme: str = "light", width: int = 1200, allowed: str = "", **options) -> Watched:
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=theme, **options)
        contexts.append(context)
        watched = Watched(context.new_page(), allowed)
        watched.page.goto(url)
        return watched

    yield opener
    for context in contexts:
        context.close()


def wait_for_widgets(page) -> int:
    count = page.locator('script[type="application/vnd.jupyter.widget-view+json"]').count()
    page.wait_for_function(
        "n => document.querySelectorAll('.tb-widget[data-ready=yes]').length === n", arg=count, timeout=15_000
    )
    return count


@pytest.mark.parametrize("docname", PAGES)
def test_page_lives_from_a_file_without_network(site, opened, docname):
    watched = opened((site / f"{docname}.html").as_uri(), offline=True)
    count = wait_for_widgets(watched.page)
    if docname in CHAPTERS:
        assert count, "a chapter has at least one widget"
    watched.check()


@pytest.mark.parametrize("docname", CHAPTERS)
def test_page_lives_from_a_server(site, address, opened, docname):
    watched = opened(f"{address}/{docname}.html", allowed=address)
    assert wait_for_widgets(watched.page)
    watched.check()


@pytest.mark.parametrize("docname", PAGES)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_page_fits_a_phone(site, opened, docname, theme):
    watched = opened((site / f"{docname}.html").as_uri(), theme=theme, width=360)
    wait_for_widgets(watched.page)
    wide, screen = watched.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert wide <= screen
    assert watched.page.evaluate("document.documentElement.dataset.theme") == theme


@pytest.mark.parametrize("docname", PAGES)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_page_is_accessible(site, opened, docname, theme):
    from axe_playwright_python.sync_playwright import Axe

    watched = opened((site / f"{docname}.html").as_uri(), theme=theme)
    wait_for_widgets(watched.page)
    found = Axe().run(watched.page).response["violations"]
    serious = [
        f"{rule['id']}: {rule['help']}: {node['html'][:160]}"
        for rule in found
        if rule["impact"] in {"serious", "critical"}
        for node in rule["nodes"][:3]
    ]
    assert not serious, "\n".join(serious)


def test_mathematics_reads_without_javascript(site, opened):
    for docname in CHAPTERS:
        watched = opened((site / f"{docname}.html").as_uri(), java_script_enabled=False)
        body = watched.page.locator("article").inner_text()
        assert not re.search(r"\\(?:frac|sum|alpha|cdot|prod|mathbb)|\$\$", body), docname
        if "$" in re.sub(r"```.*?```", "", (ROOT / f"{docname}.md").read_text(), flags=re.DOTALL):
            assert watched.page.locator(".katex").count() > 0


def test_the_fonts_hold_every_character_of_every_formula(site, opened):
    fonts = site / "_static" / "katex" / "fonts"
    held, whole = ({chr(code) for path in folder.glob("*.woff2") for code in TTFont(path).getBestCmap()}
                   for folder in (fonts, FONTS))  # fmt: skip
    for docname in PAGES:
        watched = opened((site / f"{docname}.html").as_uri())
        shown = watched.page.evaluate("[...document.querySelectorAll('.katex-html')].map(f => f.textContent).join('')")
        missing = (set(shown) & whole) - held  # a sign that KaTeX never had comes from the page's own font
        assert not missing, docname


def test_search_finds_a_word(site, opened):
    watched = opened((site / "search.html").as_uri() + "?q=dilation", offline=True)
    watched.page.wait_for_selector("#search-results li a", timeout=10_000)
    texts = watched.page.locator("#search-results li a").all_inner_texts()
    assert any("eceptive" in text for text in texts), texts
    watched.check()


def test_search_box_leads_to_the_search_page(site, address, opened):
    watched = opened(f"{address}/{CHAPTERS[-1]}.html", allowed=address)
    page = watched.page
    page.wait_for_load_state("networkidle")  # leaving the page would call off what it still loads, say its icon
    page.keyboard.press("Control+K")
    page.keyboard.type("warm-up")
    page.keyboard.press("Enter")
    page.wait_for_selector("#search-results li a", timeout=10_000)
    watched.check()


def test_theme_button_changes_the_theme(site, opened):
    watched = opened((site / f"{CHAPTERS[-1]}.html").as_uri())
    seen = set()
    for _ in range(3):
        seen.add(watched.page.evaluate("document.documentElement.dataset.theme"))
        watched.page.locator("button.theme-switch-button:visible").first.click()
    assert seen == {"light", "dark"}


def test_a_code_cell_can_be_copied(site, opened):
    watched = opened((site / f"{CHAPTERS[-1]}.html").as_uri())
    block = watched.page.locator("div.cell_input .highlight:visible").first
    block.hover()
    button = block.locator("button.copybtn")
    button.click()
    watched.page.wait_for_function("b => b.classList.contains('success')", arg=button.element_handle())


def test_long_outputs_scroll(site, opened):
    watched = opened((site / f"{CHAPTERS[-1]}.html").as_uri())
    style = watched.page.evaluate("""() => {
        const pre = document.createElement('pre');
        pre.textContent = 'line\\n'.repeat(500);
        const holder = document.createElement('div');
        holder.className = 'cell_output';
        holder.append(pre);
        document.querySelector('div.cell').append(holder);
        return [pre.clientHeight, pre.scrollHeight, getComputedStyle(pre).overflowY];
    }""")
    assert style[0] < 800 < style[1]
    assert style[2] == "auto"


def test_pages_are_light_and_ask_no_other_host(site):
    weights = weigh_site(site)
    assert len(weights) > len(PAGES)
    assert [w.page for w in weights if w.total > LIMIT] == []
    assert [w.page for w in weights if w.outside] == []


def test_the_browser_loads_no_more_than_was_weighed(site, address, opened):
    """The estimate of `weigh` against what Chromium really fetches."""
    weighed = {w.page: w for w in weigh_site(site)}
    for docname in CHAPTERS:
        fetched = []
        watched = opened("about:blank", allowed=address)
        watched.page.on("response", lambda response, fetched=fetched: fetched.append(urlsplit(response.url).path))
        watched.page.goto(f"{address}/{docname}.html", wait_until="networkidle")
        local = {site / unquote(path.lstrip("/")) for path in fetched if path and not path.startswith("blob")}
        from torchbook.site.weigh import _packed

        total = sum(_packed(path.resolve()) for path in local if path.is_file())
        assert total <= weighed[f"{docname}.html"].total * 1.02 + 5_000, (docname, total)


class Links(HTMLParser):
    """Ids and link targets of one page."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.ids |= {values[key] for key in ("id", "name") if values.get(key)}
        if tag == "a" and values.get("href"):
            self.links.append(values["href"])


def read_links(path: Path) -> Links:
    links = Links()
    links.feed(path.read_text(encoding="utf-8"))
    return links


def test_every_internal_link_and_anchor_exists(site):
    cache = {path.resolve(): read_links(path) for path in site.rglob("*.html") if "_static" not in path.parts}
    broken = []
    for path, page in cache.items():
        for link in page.links:
            target = urlsplit(link)
            if target.scheme or link.startswith(("//", "javascript:")):
                continue
            file = (path.parent / unquote(target.path)).resolve() if target.path else path
            if not file.exists():
                broken.append(f"{path.name} -> {link}")
            elif target.fragment and file in cache and unquote(target.fragment) not in cache[file].ids:
                broken.append(f"{path.name} -> {link} (no such anchor)")
    assert not broken, "\n".join(broken[:20])


def test_each_chapter_offers_its_notebook_and_its_stamp(site):
    for docname in CHAPTERS:
        text = (site / f"{docname}.html").read_text(encoding="utf-8")
        name = docname.removeprefix("book/")
        assert f"notebooks/{name}.ipynb" in text
        assert (site / "notebooks" / f"{name}.ipynb").exists()
        assert re.search(r"Executed in \d+ s with torch 2\.13\.0\. Built on ", text), docname


def test_the_ledger_links_to_the_checking_cells(site):
    text = (site / "book/appendix/ledger/cnn.html").read_text(encoding="utf-8")
    assert "../../cnn/receptive-fields.html#check-receptive-field-formula" in text
    assert 'id="check-receptive-field-formula"' in (site / "book/cnn/receptive-fields.html").read_text(encoding="utf-8")
