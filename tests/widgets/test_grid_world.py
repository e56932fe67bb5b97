"""The gridworld's maths against PyTorch's value iteration and Q-learning, and its grid in a real page."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from torchbook.widgets import GridWorld
from torchbook.widgets.grid_world import EXAMPLE

MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))
PAYS = {"G": 1.0, "P": -1.0, "+": 1.0, "-": -0.2}
WORLDS = [
    list(EXAMPLE),
    ["S.-.G", "~~#~.", "P.~.+"],
    ["..", "~G"],
    ["S"],
    ["GP#"],
]


def tensors(rows: list[str], wind: float) -> tuple[torch.Tensor, torch.Tensor]:
    """p (S, A, S), with no row for ends and walls, and r (S,) for landing."""
    cells, width = "".join(rows), len(rows[0])
    p = torch.zeros(len(cells), 4, len(cells), dtype=torch.float64)
    for y, x in itertools.product(range(len(rows)), range(width)):
        if rows[y][x] in "GP#":
            continue
        lands = []
        for dy, dx in MOVES:
            v, u = min(max(y + dy, 0), len(rows) - 1), min(max(x + dx, 0), width - 1)
            lands.append((y, x) if rows[v][u] == "#" else (v, u))
        blown = wind if rows[y][x] == "~" else 0.0
        for a, (v, u) in enumerate(lands):
            p[y * width + x, a, v * width + u] += 1 - blown
            p[y * width + x, a, lands[0][0] * width + lands[0][1]] += blown
    return p, torch.tensor([PAYS.get(cell, 0.0) for cell in cells], dtype=torch.float64)


def torch_sweeps(rows: list[str], wind: float, gamma: float, count: int) -> torch.Tensor:
    p, r = tensors(rows, wind)
    q = torch.zeros(len(r), 4, dtype=torch.float64)
    for _ in range(count):
        q = torch.einsum("sat,t->sa", p, r + gamma * q.amax(dim=1))
    return q


class Mulberry:
    """The kit's generator, for the same draws."""

    def __init__(self, seed: int) -> None:
        self.state = seed & 0xFFFFFFFF

    def uniform(self) -> float:
        def imul(a: int, b: int) -> int:
            return (a * b) & 0xFFFFFFFF

        self.state = (self.state + 0x6D2B79F5) & 0xFFFFFFFF
        t = imul(self.state ^ (self.state >> 15), self.state | 1)
        t ^= (t + imul(t ^ (t >> 7), t | 61)) & 0xFFFFFFFF
        return (t ^ (t >> 14)) / 4294967296


def torch_learning(rows: list[str], case: dict[str, float], count: int) -> torch.Tensor:
    """Q-learning with PyTorch's tables and the kit's draws; an episode is cut after 100 moves."""
    cells = "".join(rows)
    p, r = tensors(rows, 0.0)
    q, draw = torch.zeros(len(r), 4, dtype=torch.float64), Mulberry(case["seed"] + 1)
    open_cells = [s for s, cell in enumerate(cells) if cell not in "GP#"]

    def begin() -> int:
        return cells.index("S") if "S" in cells else open_cells[int(draw.uniform() * len(open_cells))]

    s, age = begin(), 0
    for _ in range(count):
        explore = draw.uniform() < case["eps"]
        choice = [0, 1, 2, 3] if explore else (q[s] == q[s].max()).nonzero()[:, 0].tolist()
        a = choice[int(draw.uniform() * len(choice))]
        way = 0 if cells[s] == "~" and case["wind"] > 0 and draw.uniform() < case["wind"] else a
        to = int(p[s, way].argmax())
        over = cells[to] in "GP"
        target = r[to] if over else r[to] + case["gamma"] * q[to].max()
        q[s, a] += case["alpha"] * (target - q[s, a])
        s, age = to, age + 1
        if over or age == 100:
            s, age = begin(), 0
    return q


# ---- Traits.


def test_the_defaults_are_the_example() -> None:
    widget = GridWorld()
    assert widget.rows == list(EXAMPLE)
    assert (widget.method, widget.gamma, widget.alpha, widget.eps, widget.wind) == (
        "value iteration", 0.9, 0.3, 0.3, 0.3)  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rows": []}, "rows must be a list of strings"),
        ({"rows": "S.G"}, "rows must be a list of strings"),
        ({"rows": [1, 2]}, "rows must be a list of strings"),
        ({"rows": [""]}, "the length of a row must be a whole number from 1 to 10"),
        ({"rows": ["."] * 11}, "the number of rows must be a whole number from 1 to 10"),
        ({"rows": ["..", "..."]}, "all rows must be equally long, got lengths"),
        ({"rows": ["S?"]}, "no cell is written '\\?'"),
        ({"rows": ["SS"]}, "one start S, got several"),
        ({"method": "SARSA"}, "method must be one of value iteration, Q-learning"),
        ({"gamma": 1.01}, "gamma must be a number from 0 to 1"),
        ({"alpha": 0}, "alpha must be a number from 0.01 to 1"),
        ({"eps": math.nan}, "eps must be a number from 0 to 1"),
        ({"wind": True}, "wind must be a number from 0 to 1"),
        ({"seed": 1.0}, "seed must be a whole number"),
    ],
)
def test_bad_arguments_say_what_is_wrong(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GridWorld(**arguments)


# ---- The maths, in the browser.


@pytest.mark.slow
def test_sweeps_are_those_of_pytorch(js) -> None:
    sweeps = """(() => { const world = build(arg.rows, arg.wind); let q = zeros(world);
        for (let n = 0; n < arg.count; n += 1) q = backup(q, world, arg.gamma); return q; })()"""
    for rows, wind, gamma, count in itertools.product(WORLDS, (0.0, 0.3, 1.0), (0.0, 0.5, 0.9, 1.0), (1, 4, 60)):
        got = js(GridWorld._esm, sweeps, {"rows": rows, "wind": wind, "gamma": gamma, "count": count})
        wanted = torch_sweeps(rows, wind, gamma, count)
        torch.testing.assert_close(torch.tensor(got, dtype=torch.float64), wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.slow
def test_the_solution_is_the_fixed_point_and_null_where_there_is_none(js) -> None:
    for rows, gamma in itertools.product(WORLDS, (0.3, 0.9, 0.99)):
        got = js(GridWorld._esm, "solve(build(arg.rows, 0.4), arg.gamma)", {"rows": rows, "gamma": gamma})
        wanted = torch_sweeps(rows, 0.4, gamma, 4000)
        torch.testing.assert_close(torch.tensor(got, dtype=torch.float64), wanted, rtol=0, atol=1e-7)
    assert js(GridWorld._esm, "solve(build(['S+'], 0), 1)") is None, "a reward without an end"
    assert js(GridWorld._esm, "solve(build(['SG'], 0), 1)[0][1]") == 1, "an end keeps it finite"


@pytest.mark.slow
def test_q_learning_is_pytorchs_on_the_same_draws(js) -> None:
    for rows, (seed, eps, alpha, gamma) in itertools.product(
        WORLDS[:3], ((0, 0.3, 0.3, 0.9), (5, 1.0, 0.7, 0.5), (9, 0.0, 1.0, 1.0))
    ):
        case = {"seed": seed, "eps": eps, "alpha": alpha, "gamma": gamma, "wind": 0.3}
        got = js(GridWorld._esm, "learn(arg.rows, arg.case, 400).q", {"rows": rows, "case": case})
        torch.testing.assert_close(
            torch.tensor(got, dtype=torch.float64), torch_learning(rows, case, 400), rtol=1e-10, atol=1e-10
        )


@pytest.mark.slow
def test_q_learning_ends_at_the_fixed_point(js) -> None:
    case = {"seed": 1, "eps": 1.0, "alpha": 0.5, "gamma": 0.9, "wind": 0.0}
    rows = ["S..", ".#.", "..G"]
    got = torch.tensor(js(GridWorld._esm, "learn(arg.rows, arg.case, 20000).q", {"rows": rows, "case": case}))
    torch.testing.assert_close(got.double(), torch_sweeps(rows, 0.0, 0.9, 200), rtol=0, atol=1e-6)


@pytest.mark.slow
def test_greedy_actions_routes_distances_and_paint(js) -> None:
    assert js(GridWorld._esm, "[[1, 2, 2, 0], [1, 1, 1, 1], [3, -1, 0, 0]].map((row) => greedy(row))") == [
        [1, 2],
        [],
        [0],
    ]
    solved = "(() => { const world = build(arg, 0); return route(solve(world, 0.9), world); })()"
    assert js(GridWorld._esm, solved, ["S.#", ".#.", "..G"]) == 4
    assert js(GridWorld._esm, solved, ["S#G"]) is None
    assert js(GridWorld._esm, solved, ["..G"]) is None, "no start"
    assert js(GridWorld._esm, "distance([[1, 0, 0, 0]], [[-1, 0, 0, 3]])") == 3
    assert js(GridWorld._esm, "meanDistance([[1, 0, 0, 0]], [[-1, 0, 0, 2]], { open: [0] })") == 1
    assert js(GridWorld._esm, "paint(['S.', '..'], 3, 'S')") == ["..", ".S"], "one start at most"
    assert js(GridWorld._esm, "paint(['S.', '..'], 1, '#')") == ["S#", ".."]


# ---- In the page.


@pytest.mark.slow
def test_steps_values_and_the_line_that_says_the_result(open_widgets) -> None:
    watched = open_widgets(GridWorld(["S.G", ".#P"]))
    page = watched.page
    readout = page.locator(".tb-readout")
    assert readout.text_content().startswith("Value iteration, sweep 0: largest error against Q* 1.")
    page.get_by_role("button", name="Step", exact=True).click()
    assert "sweep 1, last change 1" in readout.text_content()
    assert "No greedy path leads" in readout.text_content()
    page.get_by_role("button", name="100 steps").click()
    assert "The greedy path from the start takes 2 moves." in readout.text_content()
    assert page.locator(".tb-gw-grid .value").all_text_contents()[:2] == [".90", "1.0"]
    page.get_by_role("slider", name="discount").press("Home")
    page.get_by_role("button", name="100 steps").click()
    assert page.locator(".tb-gw-grid .value").all_text_contents()[:2] == ["0", "1.0"]
    page.get_by_role("button", name="Forget all values").click()
    assert "sweep 0" in readout.text_content()
    watched.check()


@pytest.mark.slow
def test_the_keyboard_paints_and_the_values_answer(open_widgets) -> None:
    watched = open_widgets(GridWorld(["S..G"]))
    page = watched.page
    grid, readout = page.get_by_role("application", name="Grid to paint"), page.locator(".tb-readout")
    page.get_by_role("button", name="100 steps").click()
    assert "takes 3 moves" in readout.text_content()
    grid.press("ArrowRight")
    assert "Row 1, column 2: free. up .81, right .90, down .81, left .73." in page.locator(".tb-gw").text_content()
    grid.press("Space")
    page.get_by_role("button", name="100 steps").click()
    assert "No greedy path" in readout.text_content(), "the brush is a wall at first"
    grid.press(".")
    grid.press("ArrowRight")
    grid.press("+")
    page.get_by_role("slider", name="discount").press("End")
    assert "Q* does not exist" in readout.text_content()
    grid.press("-")
    grid.press("p")
    assert page.locator(".tb-gw-grid .pit").count() == 1
    watched.check()


@pytest.mark.slow
@pytest.mark.parametrize("touch", [False, True])
def test_the_pointer_paints_with_the_brush(open_widgets, touch: bool) -> None:
    watched = open_widgets(GridWorld(["S...", "...G"]), touch=touch)
    page = watched.page
    page.get_by_role("button", name="goal").click()
    box = page.locator(".tb-gw-grid").bounding_box()
    x, y = box["x"] + box["width"] * 3 / 8, box["y"] + box["height"] / 4
    page.touchscreen.tap(x, y) if touch else page.mouse.click(x, y)
    assert page.locator(".tb-gw-grid .goal").count() == 2
    if not touch:  # a stroke paints each cell that it crosses
        page.get_by_role("button", name="wall").click()
        page.mouse.move(box["x"] + box["width"] / 8, box["y"] + box["height"] * 3 / 4)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 5 / 8, box["y"] + box["height"] * 3 / 4, steps=8)
        page.mouse.up()
        assert page.locator(".tb-gw-grid .wall").count() == 3
    watched.check()


@pytest.mark.slow
def test_q_learning_plays_pauses_and_learns(open_widgets) -> None:
    watched = open_widgets(GridWorld(["S.G"], method="Q-learning", eps=0.5))
    page = watched.page
    readout = page.locator(".tb-readout")
    assert not page.get_by_role("slider", name="exploration").is_disabled()
    page.get_by_role("button", name="Step", exact=True).click()
    assert readout.text_content().startswith("Q-learning, 1 move in 0 finished episodes")
    page.get_by_role("slider", name="speed").press("End")
    page.get_by_role("button", name="Play").click()
    page.wait_for_function("document.querySelector('.tb-readout').textContent.includes('takes 2 moves')")
    page.get_by_role("button", name="Pause").click()
    page.get_by_role("button", name="Play").wait_for()
    page.get_by_label("method").select_option("value iteration")
    assert page.get_by_role("slider", name="exploration").is_disabled()
    assert "sweep 0" in readout.text_content()
    page.get_by_role("button", name="Play").click()
    page.wait_for_function("document.querySelector('.tb-readout').textContent.includes('takes 2 moves')")
    page.get_by_role("button", name="Play").wait_for()
    watched.check()


@pytest.mark.slow
@pytest.mark.parametrize(("theme", "width"), [("light", 360), ("dark", 900)])
def test_it_fits_and_its_controls_are_large_enough(open_widgets, theme: str, width: int) -> None:
    watched = open_widgets(GridWorld(["S" + "." * 9, *["~" * 10] * 8, "." * 9 + "G"]), theme=theme, width=width)
    page = watched.page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert watched.too_low(".tb button, .tb select, .tb input[type=range]") == 0
    watched.check()


@pytest.mark.slow
def test_a_slider_answers_within_a_frame_or_two(open_widgets) -> None:
    watched = open_widgets(GridWorld(["S" + "." * 9, *["~" * 10] * 8, "." * 9 + "G"]))
    discount = "[...document.querySelectorAll('.tb input[type=range]')][1]"
    median = watched.slide_ms(discount, "0.5 + i / 50")
    assert median < 100, f"{median:.0f} ms for one move of the discount"
    watched.check()
