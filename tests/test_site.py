"""The build's own parts, without building: pages, keys, export, weights, stamp, bootstrap."""

from __future__ import annotations

import ast
import gzip
import json
import re
import shutil
import socket
from pathlib import Path

import pytest

from tests.support import ROOT
from torchbook import bootstrap
from torchbook.site import cache, notebooks, stamp, weigh
from torchbook.site import chapters as chapters_module
from torchbook.site.__main__ import main
from torchbook.site.exercises import publish
from torchbook.site.lab import prefer_notebooks
from torchbook.site.serve import PortTaken, serve

HEADER = """---
jupytext:
  text_representation: {extension: .md, format_name: myst}
kernelspec:
  name: python3
  display_name: Python 3
---

"""
MYST = (
    HEADER
    + """# A title with $x^2$

% teaches: something
Text with {cite}`goyal2017accurate` and {eq}`decay`, see [the other](../cnn/two.md#part).

(a-label)=
## Part

$$
\\alpha_t = \\alpha_0 (1 - t/T)
$$ (decay)

:::{admonition} Common slip: a sign
:class: warning
Often written with a plus.

It is a minus.
:::

:::{note}
Short.
:::

```{code-cell} ipython3
:tags: [hide-input]

x = 1
```
"""
)
BIB = """@article{goyal2017accurate, title={T}, year={2017},
  author={Goyal, Priya and Doll{\\'a}r, Piotr and Girshick, Ross}}"""


@pytest.fixture
def book(tmp_path):
    (tmp_path / "book" / "cnn").mkdir(parents=True)
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: book/index\nchapters:\n- file: book/cnn/one\n")
    (tmp_path / "_config.yml").write_text("repository: {url: ''}\nhtml: {baseurl: ''}\n")
    (tmp_path / "requirements.txt").write_text("torch==1\n")
    (tmp_path / "book" / "index.md").write_text("# Hello\n")
    (tmp_path / "book" / "cnn" / "one.md").write_text(MYST)
    (tmp_path / "book" / "references.bib").write_text(BIB)
    return tmp_path


def one(book: Path):
    return chapters_module.Page(book, "book/cnn/one")


def markdown(book: Path) -> str:
    return "\n\n".join(cell.source for cell in notebooks.export(one(book)).cells if cell.cell_type == "markdown")


def test_pages_follow_the_contents(book):
    assert [page.name for page in chapters_module.pages(book)] == ["index", "cnn/one"]
    assert [page.name for page in chapters_module.notebooks(book)] == ["cnn/one"]
    assert one(book).cells == ["x = 1"]
    assert one(book).title == "A title with $x^2$"


def test_export_has_no_myst_left(book):
    text = markdown(book)
    assert not re.search(r"\{\w+\}`|^:::|^%|\)=\s*$|:class:", text, re.MULTILINE), text
    assert "\\tag{1}" in text
    assert "and (1)" in text
    assert "> **Common slip: a sign**" in text
    assert "> It is a minus." in text
    assert "> **Note**" in text
    assert "(Goyal et al., 2017)" in text
    assert "see the other." in text  # no published address: no invented link


def test_export_links_into_the_published_book(book):
    (book / "_config.yml").write_text("repository: {url: 'https://github.com/Some-One/a.book'}\n")
    text = markdown(book)
    assert "[the other](https://some-one.github.io/a.book/book/cnn/two.html#part)" in text
    assert notebooks.colab_url(book, "cnn/one") == (
        "https://colab.research.google.com/github/Some-One/a.book/blob/gh-pages/notebooks/cnn/one.ipynb"
    )
    assert "torchbook @ git+https://github.com/Some-One/a.book" in notebooks.export(one(book)).cells[0].source


def test_without_an_address_nothing_is_invented(book, monkeypatch):
    monkeypatch.delenv("GITHUB_REPOSITORY", raising=False)
    assert notebooks.repository_url(book) is None
    assert notebooks.site_url(book) is None
    assert notebooks.colab_url(book, "cnn/one") is None
    assert "http" not in notebooks.export(one(book)).cells[0].source


def test_the_runner_of_github_knows_the_address(book, monkeypatch):
    monkeypatch.setenv("GITHUB_REPOSITORY", "someone/book")
    assert notebooks.repository_url(book) == "https://github.com/someone/book"


def test_export_is_stable(book):
    first, second = notebooks.export(one(book)), notebooks.export(one(book))
    assert first == second
    assert len({cell["id"] for cell in first.cells}) == len(first.cells)


def test_install_cell_is_python_once_the_magic_is_gone(book, monkeypatch):
    monkeypatch.delenv("GITHUB_REPOSITORY", raising=False)
    compile(notebooks.install_cell(book), "install", "exec")


def test_published_exercises_install_the_library_and_keep_all_else(book, tmp_path):
    (book / "_config.yml").write_text("repository: {url: 'https://github.com/Some-One/a.book'}\n")
    shutil.copytree(ROOT / "exercises" / "cnn", book / "exercises" / "cnn")
    for path in publish(book, tmp_path / "out"):
        original = json.loads((ROOT / "exercises" / "cnn" / path.name).read_text())["cells"]
        published = json.loads(path.read_text())["cells"]
        first = "".join(published[0]["source"])
        assert first.startswith("# install\n")
        assert '%pip install -q "torchbook @ git+https://github.com/Some-One/a.book"' in first
        assert [("".join(c["source"]), c["id"], c["metadata"]) for c in published[1:]] == [
            ("".join(c["source"]), c["id"], c["metadata"]) for c in original[1:]
        ]


def test_every_chapter_exports_without_myst():
    for page in chapters_module.notebooks(ROOT):
        for cell in notebooks.export(page).cells:
            if cell.cell_type == "markdown":
                text = re.sub(r"`[^`]*`", "", cell.source)
                assert not re.search(r"\{\w+(?::\w+)?\}`|^ *:::|^ *```\{|^%", cell.source, re.MULTILINE), cell.source
                assert ".md)" not in text, cell.source


CHAPTERS = [page for page in chapters_module.notebooks(ROOT) if page.name != "index"]


@pytest.mark.parametrize("page", CHAPTERS, ids=lambda page: page.name)
def test_one_visible_cell_decides_the_size(page):
    deciding = [cell for cell in chapters_module.CODE_CELL.findall(page.text) if "book_scale()" in cell]
    assert len(deciding) == 1
    assert not re.search(r"hide-|remove-|\[check\]", deciding[0]), "readers must see the cell"
    assert "best_device()" in deciding[0]


def bound_and_used(source: str) -> tuple[set[str], set[str]]:
    """The names that a cell binds, and those that it needs from other cells (or from Python)."""
    names = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)]
    bound = {node.id for node in names if isinstance(node.ctx, ast.Store)}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            bound.add(node.name)
        elif isinstance(node, ast.alias):
            bound.add((node.asname or node.name).split(".")[0])
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
    return bound, {node.id for node in names if isinstance(node.ctx, ast.Load)} - bound


@pytest.mark.parametrize("page", CHAPTERS, ids=lambda page: page.name)
def test_no_visible_cell_needs_a_checking_cell(page):
    """A reader who skips the checks can run all the rest."""
    import jupytext

    shown, checking = set(), set()
    for cell in jupytext.reads(page.text, fmt="md:myst").cells:
        if cell.cell_type == "code":
            bound, used = bound_and_used(cell.source)
            if "check" in cell.metadata.get("tags", []):
                checking |= bound
            else:
                missing = used & (checking - shown)
                assert not missing, f"{sorted(missing)} come from a checking cell; needed by:\n{cell.source[:300]}"
                shown |= bound


def test_the_key_covers_library_data_and_environment(book, tmp_path, monkeypatch):
    package = tmp_path / "copy" / "torchbook"
    (package / "widgets").mkdir(parents=True)
    (package / "assets").mkdir()
    (package / "assets" / "text.txt").write_text("data")
    (package / "__init__.py").write_text("")
    (package / "data.py").write_text("import torchbook.plotting\nA = 1\n")
    (package / "plotting.py").write_text("B = 1\n")
    (package / "training.py").write_text("C = 1\n")
    (package / "widgets" / "__init__.py").write_text("")
    for name in ("quiz.py", "quiz.js", "frames.py", "frames.js", "kit.js", "kit.css"):
        (package / "widgets" / name).write_text("")
    monkeypatch.setattr(cache, "PACKAGE", package)
    source = "from torchbook.data import A\nfrom torchbook.widgets import Quiz\n"
    (book / "book" / "cnn" / "one.md").write_text(f"{HEADER}# T\n\n```{{code-cell}} ipython3\n{source}```\n")

    def changes(path: Path) -> bool:
        before, old = cache.key(one(book)), path.read_bytes()
        path.write_bytes(old + b"\n# changed")
        after = cache.key(one(book))
        path.write_bytes(old)
        assert cache.key(one(book)) == before
        return before != after

    for used in (
        "data.py",
        "plotting.py",
        "assets/text.txt",
        "widgets/quiz.js",
        "widgets/kit.js",
        "widgets/kit.css",
    ):
        assert changes(package / used), used
    for unused in ("training.py", "widgets/frames.js"):
        assert not changes(package / unused), unused
    assert changes(book / "requirements.txt")


def test_a_magic_in_a_cell_means_any_file_may_be_used():
    files = {path.name for path in cache.dependencies(["%timeit f(x)\n"])}
    assert {"data.py", "kit.js", "training.py"} <= files


def test_weight_counts_all_that_a_page_loads(tmp_path):
    site = tmp_path / "site"
    (site / "_static").mkdir(parents=True)
    (site / "_static" / "a.css").write_text("body { color: red }" * 50)
    (site / "_static" / "a.js").write_text("let x = 1;" * 50)
    page = site / "page.html"
    page.write_text('<link rel="next" href="huge.html"><link rel="stylesheet" href="_static/a.css?v=1">'
                    '<script src="_static/a.js"></script><a href="https://example.org">out</a>')  # fmt: skip
    weight = weigh.weigh(page, site)
    packed = sum(len(gzip.compress((site / "_static" / name).read_bytes(), 6, mtime=0)) for name in ("a.css", "a.js"))
    assert weight.total == weight.own + packed
    assert weight.outside == ()


@pytest.mark.parametrize(
    "tag",
    [
        '<script src="https://cdn.example/x.js">',
        '<link rel="stylesheet" href="//cdn.example/x.css">',
        '<img src="http://example.org/x.png">',
    ],
)
def test_a_resource_of_another_host_is_found(tmp_path, tag):
    page = tmp_path / "page.html"
    page.write_text(tag)
    assert len(weigh.weigh(page, tmp_path).outside) == 1


def test_the_date_comes_from_the_epoch(monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert stamp.build_date().isoformat() == "1970-01-02"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(ValueError, match="SOURCE_DATE_EPOCH"):
        stamp.build_date()


def test_a_taken_port_is_one_sentence(tmp_path, capsys, monkeypatch):
    (tmp_path / "_build" / "html").mkdir(parents=True)
    (tmp_path / "_build" / "html" / "index.html").write_text("hello")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortTaken, match=f"Port {port} is taken"):
            serve(tmp_path / "_build" / "html", port)
        monkeypatch.setattr("torchbook.site.__main__.book_root", lambda: tmp_path)
        assert main(["serve", "--port", str(port)]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_serving_an_unbuilt_book_says_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match="make html"):
        serve(tmp_path)


@pytest.mark.parametrize(
    ("log", "sentence"),
    [
        ("OSError: [Errno 28] No space left on device", "The disk is full"),
        ("NewConnectionError: failed to establish a new connection", "No network"),
        ("Temporary failure in name resolution", "No network"),
        ("Could not find a version that satisfies a==1 (from versions: none)", "no network, or a package index"),
        ("ERROR: No matching distribution found for torch==9", "No matching distribution found for torch==9"),
    ],
)
def test_a_failed_install_is_one_sentence(log, sentence):
    assert sentence in bootstrap.reason(log)
    assert "\n" not in bootstrap.reason(log)


def test_an_old_python_is_told(monkeypatch, capsys):
    monkeypatch.setattr(bootstrap.sys, "version_info", (3, 8, 0))
    with pytest.raises(SystemExit) as stop:
        bootstrap.check_machine(".venv")
    assert stop.value.code == 1
    assert "3.11 or newer" in capsys.readouterr().err


def test_a_full_disk_is_told(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(bootstrap, "SPACE_GB", 10**9)
    with pytest.raises(SystemExit):
        bootstrap.check_machine(str(tmp_path / ".venv"))
    assert "disk is too full" in capsys.readouterr().err


def test_bootstrap_parses_under_an_old_python():
    import ast

    ast.parse(Path(bootstrap.__file__).read_text(), feature_version=(3, 6))


def test_lab_prefers_notebooks_and_keeps_other_settings(tmp_path):
    settings = tmp_path / "share" / "jupyter" / "lab" / "settings" / "overrides.json"
    settings.parent.mkdir(parents=True)
    settings.write_text('{"other": {"a": 1}}')
    written = json.loads(prefer_notebooks(tmp_path).read_text())
    assert written["other"] == {"a": 1}
    assert written["@jupyterlab/docmanager-extension:plugin"]["defaultViewers"]["markdown"] == "Jupytext Notebook"


def test_requirements_pin_everything():
    lines = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.\-\[\]]+==[\w.!]+", line) for line in lines), lines
    pinned = {re.sub(r"[-_.]+", "-", line.split("==")[0].lower()) for line in lines}
    named = [line.split("#")[0].strip() for line in (ROOT / "requirements.in").read_text().splitlines()]
    for name in filter(None, named):
        assert re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", name)[0].lower()) in pinned, name
    assert "torch==2.13.0" in lines


def test_no_file_names_one_machine_or_leaves_work_open():
    marks = re.compile(r"\b(TODO|FIXME|XXX)\b|/(?:home|root)/|pytest\.mark\.skip|pytest\.skip\(")
    for path in [
        *(ROOT / "torchbook").rglob("*"),
        *(ROOT / "book").rglob("*.md"),
        ROOT / "README.md",
        ROOT / "Makefile",
    ]:
        if path.suffix in {".py", ".js", ".css", ".md", ".toml", ""} and path.is_file():
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                assert not marks.search(line), f"{path}:{number}: {line}"


@pytest.mark.slow
def test_the_kit_travels_once_per_page_and_comes_back_whole(js):
    from torchbook.site.assets import share
    from torchbook.widgets.base import kit_source, kit_style

    host = (ROOT / "torchbook" / "widgets" / "host.js").read_text(encoding="utf-8")
    own = "export default { render() { return '</script> $1 $&'; } };"
    state = {"state": {str(n): {"state": {"_esm": kit_source() + own, "_css": kit_style()}} for n in range(3)}}
    block = share(json.dumps(state))
    assert "</" not in block
    assert len(block) < 2 * len(kit_source() + kit_style())
    whole = re.search(r"const whole = (.*?);\n", host, re.DOTALL)[1]
    expression = f"""(() => {{
        const data = JSON.parse(arg), whole = {whole};
        const back = (text) => whole(text, data.shared);
        return Object.values(data.state).map(({{ state }}) => [back(state._esm), back(state._css)]);
    }})()"""
    back = js("export const nothing = 0;", expression, block)
    assert back == [[kit_source() + own, kit_style()]] * 3


def test_slim_keeps_what_pages_use_and_nothing_else():
    from torchbook.site.slim import slim

    css = (
        "a{color:red}.used{color:red}.used .gone{color:red}.gone,.used:hover{color:blue}"
        ".used:not(.gone){color:green}:is(.gone,.used) b{color:red}.fa-bars{content:'x'}"
        "@media print{.gone{color:red}.used{color:red}}@media print{.gone{color:red}}@font-face{font-family:Awesome}"
    )
    assert slim(css, {"used", "fa-bars"}) == (
        "a{color:red}.used{color:red}.used:hover{color:blue}.used:not(.gone){color:green}"
        ":is(.gone,.used) b{color:red}@media print{.used{color:red}}"
    )
