"""One fit loop for every chapter: progress bar, history, device. Nothing that a chapter is about lives here."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from torchbook.data import Split, batches


@dataclass
class History:
    """What `fit` saw. Losses and rates once per step, accuracies once per epoch."""

    loss: list[float] = field(default_factory=list)
    lr: list[float] = field(default_factory=list)
    train_loss: list[float] = field(default_factory=list)  # mean of an epoch's steps
    test_loss: list[float] = field(default_factory=list)
    test_accuracy: list[float] = field(default_factory=list)


def best_device() -> torch.device:
    """CUDA, else Apple's MPS, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def book_scale() -> str:
    """How large to train: "gpu" where a chapter finds CUDA, "cpu" (seconds) elsewhere, "smoke" to see that it runs.

    The variable TORCHBOOK_SCALE overrides what is found.

    Raises:
        ValueError: if TORCHBOOK_SCALE is none of the three.
    """
    asked = os.environ.get("TORCHBOOK_SCALE")
    if asked is None:
        return "gpu" if torch.cuda.is_available() else "cpu"
    if asked not in ("smoke", "cpu", "gpu"):
        raise ValueError(f"TORCHBOOK_SCALE must be smoke, cpu or gpu, not {asked!r}")
    return asked


def where_it_runs() -> str:
    """One line for the top of a notebook: the device, and the size that its experiments take from it."""
    device = best_device()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    return (
        f"PyTorch {torch.__version__} on {device.type} ({name}), scale {book_scale()}: "
        "set TORCHBOOK_SCALE to smoke, cpu or gpu for another"
    )


def progress_bar(*args, disable: bool = False, **options) -> tqdm:
    """tqdm's bar for this place, terminal or notebook, which goes when the work is done.

    TQDM_DISABLE=1 hides it, as when the book is built: tqdm's own bar for notebooks does not heed that variable.
    """
    hidden = os.environ.get("TQDM_DISABLE", "0") not in ("", "0")
    return tqdm(*args, **{"leave": False, "disable": disable or hidden, **options})


@torch.no_grad()
def evaluate(model: nn.Module, x: Tensor, y: Tensor, batch_size: int = 4096) -> tuple[float, float]:
    """Mean cross-entropy and accuracy of a classifier in eval mode.

    Args:
        model: maps x to logits (N, C).
        x: inputs, first dimension N.
        y: classes, int64 (N,).
    """
    was_training = model.training
    model.eval()
    loss = correct = 0.0
    for rows, labels in zip(x.split(batch_size), y.split(batch_size), strict=True):
        logits = model(rows)
        loss += nn.functional.cross_entropy(logits, labels, reduction="sum").item()
        correct += (logits.argmax(1) == labels).sum().item()
    model.train(was_training)
    return loss / len(y), correct / len(y)


def fit(
    model: nn.Module,
    data: Split,
    *,
    optimizer: torch.optim.Optimizer,
    epochs: int,
    batch_size: int = 64,
    scheduler: torch.optim.lr_scheduler.LRScheduler | None = None,
    loss_fn: Callable[[Tensor, Tensor], Tensor] = nn.functional.cross_entropy,
    seed: int = 0,
    progress: bool = True,
) -> History:
    """Train a classifier with mini-batches and tell how it went.

    Args:
        model: maps a batch of data.x_train to logits (N, C); it must be on the data's device already.
        data: train and test rows.
        optimizer: over the model's parameters.
        epochs: passes over the training rows.
        batch_size: rows per step; the last batch of an epoch may be smaller.
        scheduler: stepped after every optimizer step (not once per epoch).
        loss_fn: of (logits, targets), the mean over the batch.
        seed: of the order of the rows, so that two runs see the same batches.
        progress: show a bar.

    Returns:
        History. If the loss stops being finite, training ends early and the history shows it.
    """
    if epochs < 1 or batch_size < 1:
        raise ValueError(f"epochs and batch_size must be at least 1, got {epochs} and {batch_size}")
    history, generator = History(), torch.Generator().manual_seed(seed)
    bar = progress_bar(range(epochs), disable=not progress, unit="epoch")
    for _ in bar:
        steps = []
        model.train()
        for x, y in batches(data.x_train, data.y_train, batch_size=batch_size, generator=generator):
            history.lr.append(optimizer.param_groups[0]["lr"])
            loss = loss_fn(model(x), y)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
            steps.append(loss.detach())
        losses = torch.stack(steps).tolist()  # one transfer an epoch: no wait in the loop on a GPU
        history.loss += losses
        history.train_loss.append(sum(losses) / len(losses))
        test_loss, accuracy = evaluate(model, data.x_test, data.y_test)
        history.test_loss.append(test_loss)
        history.test_accuracy.append(accuracy)
        bar.set_postfix(loss=f"{history.train_loss[-1]:.3f}", accuracy=f"{accuracy:.3f}")
        if not math.isfinite(history.train_loss[-1]):
            break
    return history
