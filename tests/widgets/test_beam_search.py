"""The beam search's network against torch, its searches against Python and brute force, and the tree in a real page."""

from __future__ import annotations

import itertools
import math
import random

import pytest
import torch
from torch import nn

from torchbook.widgets import BeamSearch
from torchbook.widgets.beam_search import RULES, STRENGTHS, WIDTHS

SPECIAL = ["<pad>", "<bos>", "<eos>"]
SOURCE, TARGET = SPECIAL + list("0123"), [*SPECIAL, "one", "two", "three", "four"]
BOS, EOS = 1, 2
LONGEST = 5


class Seq2Seq(nn.Module):
    """The chapter's model, small and untrained, with clear preferences."""

    def __init__(self, hidden: int = 6) -> None:
        super().__init__()
        self.source, self.target = nn.Embedding(len(SOURCE), 4), nn.Embedding(len(TARGET), 3)
        self.encoder, self.decoder = nn.LSTM(4, hidden, batch_first=True), nn.LSTM(3, hidden, batch_first=True)
        self.head = nn.Linear(hidden, len(TARGET))
        with torch.no_grad():
            self.head.weight *= 6
            self.head.bias[EOS] += 0.5
            for weight in self.parameters():
                weight *= 1.5
                weight.copy_(weight.half())  # what the browser gets
            for cell in (self.encoder, self.decoder):
                cell.bias_hh_l0.zero_()  # the sum of two rounded biases would be rounded again
        self.double()

    def log_p(self, source: list[int], tokens: list[int]) -> torch.Tensor:
        """(len(tokens) + 1, M): the log-probabilities of every next token."""
        _, state = self.encoder(self.source(torch.tensor([source])))
        h, _ = self.decoder(self.target(torch.tensor([[BOS, *tokens]])), state)
        return self.head(h)[0].log_softmax(dim=1)


@pytest.fixture(scope="module")
def model() -> Seq2Seq:
    torch.manual_seed(7)
    return Seq2Seq().eval()


def widget_of(model: Seq2Seq, **options: object) -> BeamSearch:
    return BeamSearch(model.state_dict(), SOURCE, TARGET, **({"text": "21", "longest": LONGEST} | options))


def python_beam(step, width: int, longest: int, eos: int) -> tuple[list[tuple[float, list[int]]], int]:
    """Beam search over step(tokens) -> log-probabilities; all outputs with their scores, and the calls."""
    live, done, calls = [(0.0, [])], [], 0
    for _ in range(longest):
        candidates = []
        for score, tokens in live:
            calls += 1
            candidates += [(score + p, [*tokens, token]) for token, p in enumerate(step(tokens))]
        kept = sorted(candidates, key=lambda c: -c[0])[: width - len(done)]
        done += [c for c in kept if c[1][-1] == eos]
        live = [c for c in kept if c[1][-1] != eos]
    return sorted(done + live, key=lambda c: -c[0]), calls


def random_table(rng: random.Random, m: int, longest: int) -> dict[tuple[int, ...], list[float]]:
    rows = {}
    for t in range(longest):
        for prefix in itertools.product(range(m), repeat=t):
            p = [rng.random() ** 3 + 1e-3 for _ in range(m)]
            rows[prefix] = [v / sum(p) for v in p]
    return rows


def named(rows: dict[tuple[int, ...], list[float]]) -> dict[str, list[float]]:
    return {",".join(map(str, prefix)): row for prefix, row in rows.items()}


# ---- Arguments.


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"text": ""}, "text must be 1 to 4 of the characters 0123"),
        ({"text": "12345"}, "text must be 1 to 4"),
        ({"text": "9"}, "text must be 1 to 4"),
        ({"text": 12}, "text must be 1 to 4"),
        ({"width": 0}, "width must be a whole number from 1 to 8"),
        ({"width": 2.0}, "width must be a whole number"),
        ({"rule": "mean"}, "rule must be one of power, gnmt, bonus"),
        ({"strength": -0.1}, "strength must be a number from 0 to 2"),
        ({"strength": math.nan}, "strength must be a number"),
        ({"longest": 17}, "longest must be a whole number from 2 to 16"),
        ({"source_length": 0}, "source_length must be a whole number from 1 to 12"),
    ],
)
def test_bad_arguments_say_what_is_wrong(model, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        widget_of(model, **arguments)


def test_weights_that_do_not_fit_are_named(model) -> None:
    weights = model.state_dict()
    missing = {name: value for name, value in weights.items() if name != "head.bias"}
    with pytest.raises(ValueError, match=r"weights must hold 'head\.bias'"):
        BeamSearch(missing, SOURCE, TARGET, "1")
    with pytest.raises(ValueError, match=r"source\.weight must have the shape 6 x any"):
        BeamSearch(weights, SOURCE[:-1], TARGET, "1")
    with pytest.raises(ValueError, match=r"encoder.weight_ih_l0 must have the shape 24 x 4 .* got \(18, 4\)"):
        BeamSearch(weights | {"encoder.weight_ih_l0": torch.zeros(18, 4)}, SOURCE, TARGET, "1")
    with pytest.raises(ValueError, match=r"head\.bias holds values that are not finite"):
        BeamSearch(weights | {"head.bias": torch.full((7,), 1e6)}, SOURCE, TARGET, "1")
    with pytest.raises(ValueError, match="target_tokens must be a list of different tokens"):
        BeamSearch(weights, SOURCE, [*TARGET, "one"], "1")


# ---- The mathematics, in the browser.


@pytest.mark.slow
def test_halves_are_those_of_torch(js) -> None:
    bits = [0, 1, 0x3FF, 0x400, 0x3C00, 0x3555, 0x7BFF, 0x8000, 0x8001, 0xC500, 0xFBFF]
    wanted = torch.tensor(bits, dtype=torch.int32).to(torch.uint16).view(torch.float16).double().tolist()
    assert js(BeamSearch._esm, "arg.map(half)", bits) == wanted
    assert js(BeamSearch._esm, "[0x7C00, 0xFC00, 0x7C01].map((b) => String(half(b)))") == [
        "Infinity",
        "-Infinity",
        "NaN",
    ]


@pytest.mark.slow
def test_the_network_is_that_of_torch(js, model) -> None:
    widget = widget_of(model)
    for text, tokens in itertools.product(("2", "013", "3210"), ([], [3], [4, 6, 5], [6, 6, 3, 4])):
        source = [0] * (4 - len(text)) + [SOURCE.index(sign) for sign in text]
        assert js(BeamSearch._esm, "toIds(arg[0], arg[1], 4)", [text, SOURCE]) == source
        got = js(
            BeamSearch._esm,
            "(() => { const net = network(arg.weights, arg.source); let state = net.start; const rows = [];"
            " for (const token of arg.tokens) { const next = net.step(token, state); rows.push(next.logp);"
            " state = next.state; } return rows; })()",
            {"weights": widget.weights, "source": source, "tokens": [BOS, *tokens]},
        )
        with torch.no_grad():
            wanted = model.log_p(source, tokens)
        assert torch.allclose(torch.tensor(got, dtype=torch.float64), wanted, atol=1e-10), (text, tokens)


BEAM = """(() => {
    const model = arg.weights ? network(arg.weights, arg.source) : table(arg.rows);
    const search = beamSearch(model, arg);
    const list = ranked(search.finished, "power", 0).map(({ tokens, score }) => [score, tokens]);
    const exact = bestFirst(model, { ...arg, floor: list[0][0] });
    return { list, calls: search.calls, exact: [exact.total, exact.tokens], lost: prunedAt(search.root, exact.tokens) };
})()"""


@pytest.mark.slow
def test_the_searches_equal_python_and_brute_force_on_tables(js) -> None:
    rng = random.Random(1)
    for trial, (m, longest) in enumerate(itertools.product((2, 3), (1, 3, 4))):
        rows, eos = random_table(rng, m, longest), m - 1
        outputs = {y[: y.index(eos) + 1] if eos in y else y for y in itertools.product(range(m), repeat=longest)}
        p = {y: sum(math.log(rows[y[:t]][token]) for t, token in enumerate(y)) for y in outputs}
        for width in (1, 2, 3, m**longest):
            case = {"rows": named(rows), "width": width, "longest": longest, "eos": eos}
            got = js(BeamSearch._esm, BEAM, case)
            wanted, calls = python_beam(lambda y, rows=rows: map(math.log, rows[tuple(y)]), width, longest, eos)
            assert [tokens for _, tokens in got["list"]] == [tokens for _, tokens in wanted], (trial, width)
            assert [s for s, _ in got["list"]] == pytest.approx([s for s, _ in wanted])
            assert got["calls"] == calls <= width * longest
            assert tuple(got["exact"][1]) == max(p, key=p.get)
            assert got["exact"][0] == pytest.approx(max(p.values()))
            assert (got["lost"] == 0) == (wanted[0][1] == got["exact"][1])
        assert [tuple(y) for _, y in got["list"]] == sorted(p, key=p.get, reverse=True), "the widest beam keeps all"


@pytest.mark.slow
def test_the_searches_equal_python_on_a_network(js, model) -> None:
    widget = widget_of(model)
    for text, width in itertools.product(("21", "3", "0123"), (1, 2, 5)):
        source = [0] * (4 - len(text)) + [SOURCE.index(sign) for sign in text]
        case = {"weights": widget.weights, "source": source, "width": width, "longest": LONGEST}
        got = js(BeamSearch._esm, BEAM, case)
        with torch.no_grad():
            wanted, calls = python_beam(lambda y, s=source: model.log_p(s, y)[-1].tolist(), width, LONGEST, EOS)
        assert [tokens for _, tokens in got["list"]] == [tokens for _, tokens in wanted], (text, width)
        assert [s for s, _ in got["list"]] == pytest.approx([s for s, _ in wanted], abs=1e-9)
        assert got["calls"] == calls
        assert got["exact"][0] >= wanted[0][0] - 1e-9


@pytest.mark.slow
def test_scores_and_ranks(js) -> None:
    formulas = {
        "power": lambda s, m, a: s / m**a,
        "gnmt": lambda s, m, a: s / ((5 + m) / 6) ** a,
        "bonus": lambda s, m, a: s + a * m,
    }
    cases = list(itertools.product(RULES, (0, 0.6, 1, 2), (-0.3, -7.5), (1, 2, 9)))
    got = js(BeamSearch._esm, "arg.map(([rule, a, s, m]) => corrected(rule, a, s, m))", cases)
    assert got == pytest.approx([formulas[rule](s, m, a) for rule, a, s, m in cases])
    nodes = [{"total": -1.0, "depth": 2, "token": 2}, {"total": -1.4, "depth": 5, "token": 2}]
    order = "ranked(arg.nodes, arg.rule, arg.a).map(({ node }) => node.depth)"
    assert js(BeamSearch._esm, order, {"nodes": nodes, "rule": "power", "a": 0}) == [2, 5]
    for rule in RULES:
        assert js(BeamSearch._esm, order, {"nodes": nodes, "rule": rule, "a": 1}) == [5, 2]


# ---- In the page.


def tokens_of(model: Seq2Seq, text: str, width: int) -> list[str]:
    source = [0] * (4 - len(text)) + [SOURCE.index(sign) for sign in text]
    with torch.no_grad():
        (_, tokens), *_ = python_beam(lambda y: model.log_p(source, y)[-1].tolist(), width, LONGEST, EOS)[0]
    return [TARGET[token] for token in tokens if token != EOS]


@pytest.mark.slow
def test_sliders_the_source_and_the_line_that_says_the_result(open_widgets, model) -> None:
    watched = open_widgets(widget_of(model, width=1))
    page = watched.page
    readout = page.locator(".tb-readout")
    assert f"Winner: “{' '.join(tokens_of(model, '21', 1)) or '(empty)'}”" in readout.text_content()
    assert page.locator(".tb-bs-table tbody tr").count() == 1
    for width in (2, 3):
        page.get_by_role("slider", name="beam width").press("ArrowRight")
        assert readout.text_content().startswith(f"21 with width {width}:")
        assert page.locator(".tb-bs-table tbody tr").count() == width
    page.get_by_label("source").fill("302")
    assert "302 with width 3: " in readout.text_content()
    assert f"“{' '.join(tokens_of(model, '302', 3)) or '(empty)'}”" in readout.text_content()
    page.get_by_label("source").fill("7")
    assert page.get_by_role("alert").text_content() == "1 to 4 of 0123"
    assert "302 with width 3" in readout.text_content(), "a source that is none leaves the tree"
    page.get_by_role("slider", name="strength").press("End")
    assert "score" in readout.text_content()
    page.get_by_label("score").select_option("bonus")
    scores = page.locator(".tb-bs-table tbody tr td:last-child").all_text_contents()
    sums = page.locator(".tb-bs-table tbody tr").evaluate_all(
        "rows => rows.map((row) => [...row.cells].map((cell) => Number(cell.textContent.replace('−', '-'))))"
        ".map((cells) => cells[3] + 2 * cells[2])"
    )
    assert [float(text.replace("−", "-")) for text in scores] == pytest.approx(sums, abs=0.011)
    watched.check()


@pytest.mark.slow
def test_the_tree_shows_what_was_kept_and_pruned(open_widgets, model) -> None:
    watched = open_widgets(widget_of(model, width=2))
    page = watched.page
    page.get_by_role("slider", name="steps shown").press("Home")
    marks = page.locator(".mark")
    labels = marks.evaluate_all("nodes => nodes.map((node) => node.getAttribute('aria-label'))")
    assert len([label for label in labels if "rank 1 at this step" in label or "rank 2 at this step" in label]) == 2
    assert all(("pruned" in label) == ("rank 1 " not in label and "rank 2 " not in label) for label in labels[1:])
    assert page.locator(".mark.pruned text").first.text_content().rstrip("★").endswith("✕"), "not by color alone"
    page.get_by_role("slider", name="steps shown").press("End")
    assert page.locator(".mark").count() > len(labels)
    assert page.locator(".mark.wins").count() >= 2
    watched.check()


@pytest.mark.slow
@pytest.mark.parametrize("touch", [False, True])
def test_nodes_are_chosen_by_arrows_and_by_the_pointer(open_widgets, model, touch: bool) -> None:
    watched = open_widgets(widget_of(model, width=3), touch=touch)
    page = watched.page
    note = page.locator(".tb-bs-detail")
    assert page.locator(".mark[tabindex='0']").count() == 1, "one stop of the tab key for the whole tree"
    page.locator(".mark[tabindex='0']").focus()
    for _ in range(LONGEST):
        page.keyboard.press("ArrowLeft")
    assert note.text_content().startswith("Start of every hypothesis")
    page.keyboard.press("ArrowRight")
    assert "step 1" in note.text_content()
    assert "rank 1 at this step" in note.text_content()
    page.keyboard.press("ArrowDown")
    assert "step 1" in note.text_content()
    assert "rank 1 at" not in note.text_content()
    target = page.locator(".mark.finished, .mark.cut").first
    target.tap() if touch else target.click()
    assert target.get_attribute("aria-selected") == "true"
    assert note.text_content() == target.get_attribute("aria-label")
    watched.check()


@pytest.mark.slow
@pytest.mark.parametrize(("theme", "width"), [("light", 360), ("dark", 900)])
def test_it_fits_and_its_controls_are_large_enough(open_widgets, model, theme: str, width: int) -> None:
    watched = open_widgets(widget_of(model, width=WIDTHS[1], strength=STRENGTHS[1]), theme=theme, width=width)
    page = watched.page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    small = page.locator(".tb select, .tb input, .tb .mark rect").evaluate_all(
        "nodes => nodes.filter((node) => node.getBoundingClientRect().height < 23.5).length"
    )
    assert small == 0
    watched.check()


@pytest.mark.slow
def test_a_slider_answers_within_a_frame(open_widgets, model) -> None:
    watched = open_widgets(widget_of(model, longest=12))
    median = watched.slide_ms("document.querySelector('.tb-bs input[type=range]')", "1 + (i % 8)")
    assert median < 50, f"{median:.0f} ms for one move of the width"
    watched.check()
