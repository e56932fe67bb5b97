"""The library that chapters lean on: data, training, plotting."""

from __future__ import annotations

import sys
import types

import matplotlib as mpl
import pytest
import torch
from torch import nn

from tests.support import ROOT
from torchbook import colab, data, plotting, training

mpl.use("Agg")
from matplotlib import pyplot as plt


def test_digits_are_real_and_split_cleanly():
    split = data.load_digits()
    assert split.x_train.shape == (1347, 1, 8, 8)
    assert split.x_test.shape == (450, 1, 8, 8)
    assert split.x_train.dtype == torch.float32
    assert 0 <= split.x_train.min() < split.x_train.max() <= 1
    everything = torch.cat([split.x_train, split.x_test]).sum()
    again = data.load_digits(seed=7)
    assert torch.isclose(torch.cat([again.x_train, again.x_test]).sum(), everything)  # the same 1,797 images
    assert not torch.equal(again.y_test, split.y_test)  # drawn differently
    assert set(split.y_test.tolist()) == set(range(10))


def test_digits_flat_and_seeded():
    a, b = data.load_digits(flat=True), data.load_digits()
    assert torch.equal(a.x_train, b.x_train.flatten(1))
    assert torch.equal(a.y_train, b.y_train)


@pytest.mark.parametrize("size", [0, 1797, -3])
def test_digits_refuse_an_empty_half(size):
    with pytest.raises(ValueError, match="test_size must lie in"):
        data.load_digits(test_size=size)


@pytest.mark.parametrize(("name", "features"), [("breast-cancer", 30), ("wine", 13), ("iris", 4), ("diabetes", 10)])
def test_tables(name, features):
    split = data.load_table(name)
    assert split.x_train.shape[1] == split.x_test.shape[1] == features
    assert len(split.x_train) == len(split.y_train) > len(split.x_test)
    assert str(features) in split.about


def test_the_scale_follows_the_device_and_the_variable(monkeypatch):
    monkeypatch.delenv("TORCHBOOK_SCALE", raising=False)
    assert training.book_scale() == ("gpu" if torch.cuda.is_available() else "cpu")
    for scale in ("smoke", "cpu", "gpu"):
        monkeypatch.setenv("TORCHBOOK_SCALE", scale)
        assert training.book_scale() == scale
    monkeypatch.setenv("TORCHBOOK_SCALE", "huge")
    with pytest.raises(ValueError, match="smoke, cpu or gpu, not 'huge'"):
        training.book_scale()


def test_unknown_names_are_told():
    with pytest.raises(ValueError, match="choose one of"):
        data.load_table("mnist")
    with pytest.raises(ValueError, match="choose temple"):
        data.load_photo("cat")


@pytest.mark.parametrize(
    ("name", "shape"), [("temple", (3, 427, 640)), ("flower", (3, 427, 640)), ("portrait", (3, 600, 512))]
)
def test_photos(name, shape):
    photo = data.load_photo(name)
    assert photo.shape == shape
    assert 0 <= photo.min() < photo.max() <= 1
    gray = data.load_photo(name, gray=True)
    assert gray.shape == (1, *shape[1:])
    assert torch.allclose(gray[0, 0, 0], photo[:, 0, 0] @ torch.tensor([0.299, 0.587, 0.114]))


def test_the_prose_is_plain_and_the_book_s_own():
    text = data.load_prose()
    assert text.isascii()
    assert len(text) > 40_000
    assert len(set(text)) < 90
    assert not set("$`{}\\") & set(text)  # no mathematics, no code
    chapter = " ".join((ROOT / "book" / "mlp" / "linear-models.md").read_text(encoding="utf-8").split())
    assert "Which line is best? We want few errors" in chapter
    assert "Which line is best? We want few errors" in text


def test_batches_cover_every_row_once():
    x, y = torch.arange(10), torch.arange(10) * 2
    seen = list(data.batches(x, y, batch_size=4, generator=torch.Generator().manual_seed(0)))
    assert [len(a) for a, _ in seen] == [4, 4, 2]
    assert sorted(torch.cat([a for a, _ in seen]).tolist()) == x.tolist()
    assert all(torch.equal(2 * a, b) for a, b in seen)


def linear_run(seed=0, **kwargs):
    torch.manual_seed(0)
    model = nn.Linear(64, 10)
    optimizer = torch.optim.SGD(model.parameters(), lr=kwargs.pop("lr", 0.5))
    split = data.load_digits(flat=True)
    return (
        model,
        split,
        training.fit(model, split, optimizer=optimizer, epochs=3, seed=seed, progress=False, **kwargs),
    )


def test_fit_learns_and_repeats():
    _, _, first = linear_run()
    _, _, second = linear_run()
    assert first.loss == second.loss
    assert first.test_accuracy[-1] > 0.7  # ten classes: chance is 0.1
    assert len(first.loss) == len(first.lr) == 3 * 22
    _, _, other = linear_run(seed=1)
    assert other.loss != first.loss


def test_fit_steps_the_scheduler_per_batch():
    torch.manual_seed(0)
    model, split = nn.Linear(64, 10), data.load_digits(flat=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
    history = training.fit(model, split, optimizer=optimizer, scheduler=scheduler, epochs=1, progress=False)
    assert history.lr == pytest.approx([1 / (1 + step) for step in range(22)])


def test_fit_stops_when_the_loss_is_not_finite():
    _, _, history = linear_run(lr=float("inf"))
    assert len(history.train_loss) == 1


def test_fit_refuses_nonsense():
    with pytest.raises(ValueError, match="at least 1"):
        linear_run(batch_size=0)


def test_evaluate_agrees_with_the_definition():
    model, split, _ = linear_run()
    loss, accuracy = training.evaluate(model, split.x_test, split.y_test, batch_size=7)
    log_p = torch.log_softmax(model(split.x_test), 1)
    assert loss == pytest.approx(-log_p[range(450), split.y_test].mean().item(), rel=1e-5)
    assert accuracy == pytest.approx((log_p.argmax(1) == split.y_test).float().mean().item())


def picture(alt="a line that climbs from left to right"):
    with plotting.style():
        fig, ax = plt.subplots()
        ax.plot([1, 2, 3], label="loss")
        ax.set_xlabel("step")
        made = plotting.Picture(fig, alt)
        plt.close(fig)
    return made


def test_a_picture_has_alt_text_and_follows_the_page():
    html = picture('a line with "quotes" & signs')._repr_html_()
    assert 'aria-label="a line with &quot;quotes&quot; &amp; signs"' in html
    assert "currentColor" in html
    assert plotting.INK not in html
    assert "<style" not in html
    assert "step</text>" in html  # text stays text


def test_two_pictures_share_no_id():
    import re

    first, second = (set(re.findall(r'id="([^"]+)"', picture().svg)) for _ in range(2))
    assert first
    assert not first & second


@pytest.mark.parametrize("alt", ["", "figure", "a plot"])
def test_a_picture_refuses_to_be_mute(alt):
    with pytest.raises(ValueError, match="alt text"):
        picture(alt)


def test_style_leaves_the_readers_settings_alone():
    before = mpl.rcParams["axes.grid"]
    with plotting.style():
        assert mpl.rcParams["axes.grid"] is True
    assert mpl.rcParams["axes.grid"] == before


def test_compact_moves_no_point_by_more_than_a_hundredth():
    path = '<path d="M 1.234567 -0.000001 \nL 10 20.999999 z"/>'
    use = '  <use x="3.14159" y="-2.5" transform="scale(0.015625)"/>'
    text = '<text x="1.0004">0.0015</text>'
    assert plotting._compact(path + use + text) == (
        '<path d="M 1.23 -0 L 10 21 z"/><use x="3.14" y="-2.5" transform="scale(0.015625)"/><text x="1">0.0015</text>'
    )


def test_where_it_runs_names_device_and_scale(monkeypatch):
    monkeypatch.setenv("TORCHBOOK_SCALE", "smoke")
    line = training.where_it_runs()
    assert training.best_device().type in line
    assert "scale smoke" in line
    assert torch.__version__ in line


def test_outside_colab_the_check_says_what_to_do(capsys, monkeypatch):
    monkeypatch.delenv("TORCHBOOK_SEED", raising=False)
    assert colab.check() == 0
    assert "torchbook check" in capsys.readouterr().out


def test_a_graded_notebook_does_not_check_itself(capsys, monkeypatch):
    monkeypatch.setenv("TORCHBOOK_SEED", "5")
    assert colab.check() == 0
    assert capsys.readouterr().out == ""


def test_a_silent_colab_gets_a_clear_error(monkeypatch):
    message = types.SimpleNamespace(blocking_request=lambda *args, **kwargs: None)
    monkeypatch.delenv("TORCHBOOK_SEED", raising=False)
    monkeypatch.setitem(sys.modules, "google", types.ModuleType("google"))
    monkeypatch.setitem(sys.modules, "google.colab", types.SimpleNamespace(_message=message))
    with pytest.raises(RuntimeError, match="File > Download"):
        colab.check()


@pytest.mark.parametrize(("value", "hidden"), [("1", True), ("0", False)])
def test_the_variable_hides_the_bar_of_a_notebook(monkeypatch, value, hidden):
    """A bar in a built page would be a dead widget."""
    from tqdm.notebook import tqdm as notebook_tqdm

    monkeypatch.setattr(training, "tqdm", notebook_tqdm)
    monkeypatch.setenv("TQDM_DISABLE", value)
    assert training.progress_bar(range(3), display=False).disable is hidden
