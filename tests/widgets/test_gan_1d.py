"""The players' losses, gradients and distributions against autograd and closed forms, and the game in a real page."""

from __future__ import annotations

import math

import pytest
import torch
import traitlets
from torch.nn import functional as F

from torchbook.widgets import Gan1D

SEEDS = (0, 3, 8)


def net(p: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """v · tanh(w x + b) + c, with the parameters in one list."""
    units = (len(p) - 1) // 3
    w, b, v, c = p[:units], p[units : 2 * units], p[2 * units : -1], p[-1]
    return torch.tanh(x[:, None] * w + b) @ v + c


def players(js, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights of generator and discriminator as the widget draws them, the latter made larger."""
    g, d = js(Gan1D._esm, "[start(arg).generator.p, start(arg).discriminator.p]", seed)
    d = torch.tensor(d, dtype=torch.float64) * 3
    return torch.tensor(g, dtype=torch.float64), d


def normals(seed: int, count: int = 40) -> torch.Tensor:
    return torch.randn(count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# ---- Traits.


def test_the_defaults_and_the_arguments_arrive() -> None:
    widget = Gan1D([1, -3.5], loss="saturating", turns=5, lr=(0.001, 0.1), seed=4)
    assert (widget.modes, widget.loss, widget.turns) == ([1.0, -3.5], "saturating", 5)
    assert (widget.lr_generator, widget.lr_discriminator, widget.seed) == (0.001, 0.1, 4)
    assert Gan1D().modes == [-2.0, 2.0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"modes": []}, "modes must be a list of 1 to 3 centers"),
        ({"modes": [0, 1, 2, 3]}, "modes must be a list of 1 to 3 centers"),
        ({"modes": 2.0}, "modes must be a list of 1 to 3 centers"),
        ({"modes": [0, 4.5]}, "center 1 of modes must be a number in -4..4"),
        ({"modes": [math.nan]}, "center 0 of modes must be a number"),
        ({"loss": "hinge"}, "loss must be one of non-saturating, saturating"),
        ({"turns": 0}, "turns must be a whole number in 1..10"),
        ({"turns": True}, "turns must be a whole number"),
        ({"lr": 0.01}, "lr must be two numbers"),
        ({"lr": (0.01, 1.0)}, "lr of the discriminator must be a number from 0.0001 to 0.1"),
        ({"lr": ("fast", 0.1)}, "lr of the generator must be a number"),
        ({"seed": -1}, "seed must be a whole number"),
    ],
)
def test_bad_arguments_say_what_is_wrong(arguments: dict[str, object], message: str) -> None:
    with pytest.raises((ValueError, traitlets.TraitError), match=message):
        Gan1D(**arguments)


def test_traits_are_checked_later_too() -> None:
    widget = Gan1D()
    for name, value in [("modes", [9.0]), ("loss", "mse"), ("turns", 11), ("lr_generator", 0.5), ("seed", -3)]:
        with pytest.raises(traitlets.TraitError):
            setattr(widget, name, value)


# ---- The maths, in the browser.


@pytest.mark.slow
def test_outputs_and_slopes_are_those_of_autograd(js) -> None:
    for seed in SEEDS:
        for p in players(js, seed):
            x = torch.linspace(-5, 5, 23, dtype=torch.float64, requires_grad=True)
            y = net(p, x)
            (slope,) = torch.autograd.grad(y.sum(), x)
            got = js(Gan1D._esm, "arg.x.map((x) => output(arg.p, x))", {"p": p.tolist(), "x": x.tolist()})
            for row, wanted in zip(got, zip(y.tolist(), slope.tolist(), strict=True), strict=True):
                assert row == pytest.approx(wanted, rel=1e-9, abs=1e-12)


@pytest.mark.slow
def test_the_discriminators_loss_is_binary_cross_entropy(js) -> None:
    for seed in SEEDS:
        _, d = players(js, seed)
        d.requires_grad_()
        real, made = 2 + normals(seed), normals(seed + 50)
        x = torch.cat([real, made])
        coin = (torch.arange(80) < 40).double()
        loss = F.binary_cross_entropy_with_logits(net(d, x), coin)
        (gradient,) = torch.autograd.grad(loss, d)
        points = [[v, c / 40, (1 - c) / 40] for v, c in zip(x.tolist(), coin.tolist(), strict=True)]
        got = js(Gan1D._esm, "discriminatorLoss(arg.d, arg.points)", {"d": d.tolist(), "points": points})
        assert got["loss"] == pytest.approx(loss.item(), rel=1e-9)
        assert got["gradient"] == pytest.approx(gradient.tolist(), rel=1e-8, abs=1e-12)


@pytest.mark.slow
def test_both_generator_losses_their_gradients_and_pushes(js) -> None:
    for seed in SEEDS:
        g, d = players(js, seed)
        g.requires_grad_()
        for kind in ("saturating", "non-saturating"):
            z = normals(seed)
            x = net(g, z)
            probability = torch.sigmoid(net(d, x))
            losses = torch.log(1 - probability) if kind == "saturating" else -torch.log(probability)
            (gradient,) = torch.autograd.grad(losses.mean(), g, retain_graph=True)
            (push,) = torch.autograd.grad(-losses.sum(), x)
            case = {"g": g.tolist(), "d": d.tolist(), "z": z.tolist(), "kind": kind}
            got = js(Gan1D._esm, "generatorLoss(arg.g, arg.d, arg.z, arg.kind)", case)
            assert got["loss"] == pytest.approx(losses.mean().item(), rel=1e-9)
            assert got["gradient"] == pytest.approx(gradient.tolist(), rel=1e-8, abs=1e-12)
            assert got["push"] == pytest.approx(push.tolist(), rel=1e-8, abs=1e-12)
    extreme = js(Gan1D._esm, "[-800, 800].flatMap((s) => [...pointLoss(s, 'saturating'), ...pointLoss(s, 'x')])")
    assert extreme == pytest.approx([0, 0, 800, -1, -800, -1, 0, 0]), "far out, nothing overflows"


@pytest.mark.slow
def test_adam_is_torchs_adam(js) -> None:
    p = torch.nn.Parameter(normals(1, 6))
    optimizer = torch.optim.Adam([p], lr=0.03, betas=(0.5, 0.999))
    gradients = [normals(10 + t, 6) for t in range(7)]
    first = p.tolist()
    for gradient in gradients:
        p.grad = gradient.clone()
        optimizer.step()
    case = {"p": first, "gradients": [gradient.tolist() for gradient in gradients]}
    fresh = "{ p: arg.p, m: arg.p.map(() => 0), v: arg.p.map(() => 0), t: 0 }"
    got = js(Gan1D._esm, f"arg.gradients.reduce((net, gradient) => adam(net, gradient, 0.03), {fresh}).p", case)
    assert got == pytest.approx(p.tolist(), rel=1e-9)


@pytest.mark.slow
def test_the_tables_are_those_of_draws(js) -> None:
    noise = torch.randn(400_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for seed in SEEDS:
        g, _ = players(js, seed)
        g = torch.cat([g[:-1], torch.tensor([0.4 * seed], dtype=torch.float64)])
        table = torch.tensor(js(Gan1D._esm, "pushForward(arg)", g.tolist()), dtype=torch.float64)
        drawn = torch.histogram(net(g, noise).clamp(-5, 5), 200, range=(-5.0, 5.0)).hist / len(noise)
        assert table.sum().item() == pytest.approx(1, abs=1e-5)
        assert (table - drawn).cumsum(0).abs().max() < 0.004, "as distribution functions"
    data = torch.tensor(js(Gan1D._esm, "dataTable([-2, 2.5])"), dtype=torch.float64)
    edges = torch.linspace(-5, 5, 201, dtype=torch.float64)
    below = sum(torch.distributions.Normal(m, 0.5).cdf(edges) for m in (-2.0, 2.5)) / 2
    assert (data - below.diff()).abs().max() < 1e-4


@pytest.mark.slow
def test_the_divergence_and_the_best_discriminator(js) -> None:
    p, q = torch.distributions.Dirichlet(torch.full((2, 200), 0.3, dtype=torch.float64)).sample()
    m = (p + q) / 2
    wanted = (F.kl_div(m.log(), p, reduction="sum") + F.kl_div(m.log(), q, reduction="sum")) / 2
    got = js(Gan1D._esm, "[jensenShannon(arg.p, arg.q), best(arg.p, arg.q)]", {"p": p.tolist(), "q": q.tolist()})
    assert got[0] == pytest.approx(wanted.item(), rel=1e-6)
    for d, a, b in zip(got[1], p.tolist(), q.tolist(), strict=True):
        assert d is None or d == pytest.approx(a / (a + b), rel=1e-9)
    apart = "jensenShannon(dataTable([-4]), dataTable([4]))"
    assert js(Gan1D._esm, apart) == pytest.approx(math.log(2), abs=1e-4)
    assert js(Gan1D._esm, "best([0, 1], [0, 1])") == [None, 0.5]
    assert js(Gan1D._esm, "sharesOf(dataTable([-2, 2]), [-2, 2])") == pytest.approx([0.477, 0.477], abs=2e-3)


@pytest.mark.slow
def test_a_discriminator_at_its_best_reaches_the_bound_and_no_other_beats_it(js) -> None:
    source = """(() => {
        const fresh = start(arg);
        const trained = trainToBest(fresh, [-2, 2]);
        const [before, after] = [survey(fresh, [-2, 2], "saturating"), survey(trained, [-2, 2], "saturating")];
        return { before: before.jd, after: after.jd, lowest: after.lowest, js: after.js };
    })()"""
    for seed in SEEDS:
        got = js(Gan1D._esm, source, seed)
        assert got["lowest"] == pytest.approx(math.log(2) - got["js"])
        assert got["lowest"] < got["after"] < got["before"], "no discriminator is below log 2 - JS"
        assert got["after"] - got["lowest"] < 0.04


@pytest.mark.slow
def test_the_generator_finds_the_data(js) -> None:
    source = """(() => {
        let players = start(arg);
        const rng = draws(arg);
        for (let i = 0; i < 250; i += 1) {
            for (let k = 0; k < 2; k += 1) players = stepDiscriminator(players, rng, [1.5], 0.02);
            players = stepGenerator(players, rng, "non-saturating", 0.005);
        }
        return [survey(start(arg), [1.5], "saturating").js, survey(players, [1.5], "saturating").js];
    })()"""
    esm = Gan1D._esm + "\nexport const draws = kit.random;"
    for seed in range(4):
        before, after = js(esm, source, seed)
        assert after < 0.2, seed
        assert after < before - 0.05, seed


# ---- In the page.


@pytest.mark.slow
def test_buttons_move_the_players(open_widgets) -> None:
    watched = open_widgets(Gan1D([-2.0, 2.0], seed=1))
    page = watched.page
    readout = page.locator(".tb-readout")
    first = readout.text_content()
    generator = page.locator("path.tb-gan-q").first
    shape = generator.get_attribute("d")
    page.get_by_role("button", name="One step of the discriminator").click()
    assert readout.text_content().startswith("After 1 move: J_D")
    assert generator.get_attribute("d") == shape, "only the discriminator moved"
    page.get_by_role("button", name="One step of the generator").click()
    assert generator.get_attribute("d") != shape
    page.get_by_role("button", name="Train the discriminator to its best").press("Enter")
    told = readout.text_content()
    loss, lowest = (float(told.split(mark)[1].split(";")[0].split(",")[0]) for mark in ("J_D ", "it would be "))
    assert loss - lowest < 0.06
    page.get_by_role("button", name="Back to the first weights").click()
    assert readout.text_content() == first
    page.get_by_role("button", name="Start from other weights").click()
    assert readout.text_content() != first
    page.get_by_role("button", name="Run round after round").click()
    page.wait_for_function("Number(document.querySelector('.tb-readout').textContent.match(/After (\\d+)/)[1]) > 40")
    page.get_by_role("button", name="Run round after round").click()
    stopped = readout.text_content()
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert readout.text_content() == stopped
    watched.check()


@pytest.mark.slow
def test_a_perfect_discriminator_silences_the_saturating_loss(open_widgets) -> None:
    watched = open_widgets(Gan1D([3.5], seed=0))
    page = watched.page
    page.get_by_role("button", name="Train the discriminator to its best").click()
    drawn = "nodes => nodes.filter((node) => node.getAttribute('d')).length"
    arrows = page.locator("svg.tb-plot .tb-gan-arrows path")
    assert arrows.evaluate_all(drawn) > 15
    page.get_by_label("loss of G").select_option("saturating")
    assert arrows.evaluate_all(drawn) < 5, "no push on points that are recognized"
    watched.check()


@pytest.mark.slow
@pytest.mark.parametrize("touch", [False, True])
def test_modes_follow_the_pointer_and_the_keys(open_widgets, touch: bool) -> None:
    watched = open_widgets(Gan1D(), touch=touch)
    page = watched.page
    mode = page.get_by_role("slider", name="mode 2 of the data")
    mode.press("ArrowLeft")
    assert mode.get_attribute("aria-valuenow") == "1.9"
    mode.press("PageUp")
    assert mode.get_attribute("aria-valuenow") == "2.9"
    if not touch:
        box = page.locator(".tb-gan-mode .hit").nth(1).bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + 2000, y)
        page.mouse.up()
        assert mode.get_attribute("aria-valuenow") == "4", "no farther than this"
    page.get_by_label("data").first.select_option("1")
    assert page.locator(".tb-gan-mode").count() == 1
    page.get_by_role("slider", name="D steps per round").press("ArrowRight")
    assert page.get_by_role("slider", name="D steps per round").get_attribute("aria-valuetext") == "3"
    page.get_by_role("slider", name="rate of G").press("ArrowLeft")
    assert "at the mode" in page.locator(".tb-readout").text_content()
    watched.check()


@pytest.mark.slow
@pytest.mark.parametrize(("theme", "width"), [("light", 360), ("dark", 900)])
def test_it_fits_and_its_controls_are_large_enough(open_widgets, theme: str, width: int) -> None:
    watched = open_widgets(Gan1D([-3, 0, 3]), theme=theme, width=width)
    page = watched.page
    page.get_by_role("button", name="One round").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    small = page.locator(".tb button, .tb select, .tb .hit, .tb input[type=range]").evaluate_all(
        "nodes => nodes.filter((node) => node.getBoundingClientRect().height < 24).length"
    )
    assert small == 0
    watched.check()


@pytest.mark.slow
def test_a_round_takes_less_than_a_frame(open_widgets) -> None:
    watched = open_widgets(Gan1D(turns=3))
    median = watched.page.evaluate(
        """() => {
            const round = [...document.querySelectorAll('.tb button')].find((b) => b.textContent === 'One round');
            const times = [];
            for (let i = 0; i < 21; i += 1) {
                const begin = performance.now();
                round.click();
                times.push(performance.now() - begin);
            }
            return times.sort((a, b) => a - b)[10];
        }"""
    )
    assert median < 50, f"{median:.0f} ms for one round"
    watched.check()
