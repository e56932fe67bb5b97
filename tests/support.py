"""What tests import from each other: where the checkout is, and a browser page that is watched."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOST = ROOT / "torchbook" / "widgets" / "host.js"
# The last flags keep Chromium from calling home at every start.
CHROMIUM_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking",
                  "--disable-component-update", "--disable-sync", "--no-first-run"]  # fmt: skip


class Watched:
    """A browser page that remembers every console error, page error and request that left file:// or blob:."""

    def __init__(self, page: object, allowed: str = "") -> None:
        self.page, self.problems = page, []
        page.on("pageerror", lambda error: self.problems.append(f"page error: {error}"))
        page.on("console", lambda m: self.problems.append(f"console: {m.text}") if m.type == "error" else None)
        page.on("requestfailed", lambda r: self.problems.append(f"failed: {r.url}"))
        page.on("request", lambda r: self._outside(r.url, allowed))

    def _outside(self, url: str, allowed: str) -> None:
        if not url.startswith(("file:", "blob:", "data:")) and not (allowed and url.startswith(allowed)):
            self.problems.append(f"left the page: {url}")

    def check(self) -> None:
        assert not self.problems, self.problems

    def too_low(self, selector: str) -> int:
        """How many of these controls are in sight and less than 24 px high."""
        return self.page.locator(selector).evaluate_all(
            "nodes => nodes.map((node) => node.getBoundingClientRect().height).filter((y) => y > 0 && y < 24).length"
        )

    def sticking_out(self) -> int:
        """How many visible nodes of the first widget reach beyond its right edge."""
        return self.page.locator(".tb *:visible").evaluate_all(
            """nodes => {
                const right = (node) => node.getBoundingClientRect().right;
                return nodes.filter((node) => right(node) > right(document.querySelector('.tb'))).length;
            }"""
        )

    def slide_ms(self, slider: str, value: str, turns: int = 21) -> float:
        """The median time in ms of a slider's move; JavaScript gives the node, `slider`, and its i-th `value`."""
        return self.page.evaluate(
            f"""() => {{
                const input = {slider};
                const times = [];
                for (let i = 0; i < {turns}; i += 1) {{
                    const begin = performance.now();
                    input.value = {value};
                    input.dispatchEvent(new Event('input'));
                    times.push(performance.now() - begin);
                }}
                return times.sort((a, b) => a - b)[{turns // 2}];
            }}"""
        )
