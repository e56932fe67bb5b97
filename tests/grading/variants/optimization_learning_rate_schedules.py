"""Answers to `optimization/learning-rate-schedules`."""

from tests.grading.variants import HIDDEN, Variants, edit

ASSIGNMENT = "optimization/learning-rate-schedules"

CLOSED_LOOP = """
def fit(model, batches, epochs, base_lr, warmup):
    optimizer = torch.optim.SGD(model.parameters(), lr=base_lr, momentum=0.9)
    ramp = lr_scheduler.LinearLR(optimizer, 1 / warmup, 1.0, total_iters=warmup - 1)
    decay = lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs * len(batches) - warmup)
    scheduler = lr_scheduler.SequentialLR(optimizer, [ramp, decay], milestones=[warmup])
    rates = []
    for _ in range(epochs):
        for x, y in batches:
            rates.append(scheduler.get_last_lr()[0])
            optimizer.zero_grad()
            F.mse_loss(model(x), y).backward()
            optimizer.step()
            scheduler.step()
    return rates
"""

THROUGH_A_FILE = """
import io

def save(run):
    file = io.BytesIO()
    torch.save([run.model.state_dict(), run.optimizer.state_dict(), run.scheduler.state_dict(),
                run.generator.get_state()], file)
    return file.getvalue()

def load(run, saved):
    model, optimizer, scheduler, generator = torch.load(io.BytesIO(saved), weights_only=False)
    run.model.load_state_dict(model)
    run.optimizer.load_state_dict(optimizer)
    run.scheduler.load_state_dict(scheduler)
    run.generator.set_state(generator)
"""

VARIANTS = {
    "Q1": Variants(
        right=[
            """
def warmup_cosine(step, base_lr, warmup, steps, floor=0.0):
    if step >= steps:
        return floor
    angle = math.pi * (step - warmup) / (steps - warmup)
    return base_lr * (step + 1) / warmup if angle < 0 else floor + (base_lr - floor) * math.cos(angle / 2) ** 2
""",
            """
def warmup_cosine(step, base_lr, warmup, steps, floor=0.0):          # as PyTorch does it, in a tensor
    ramp = (torch.arange(1, warmup + 1) / max(warmup, 1)) * base_lr
    cosine = torch.cos(torch.linspace(0, math.pi, steps - warmup + 1, dtype=torch.float64))
    table = torch.cat([ramp.double(), floor + (base_lr - floor) * (1 + cosine) / 2])
    return table[min(step, steps)]
""",
        ],
        wrong={
            edit("(step + 1) / warmup", "step / warmup"): "i / warmup wastes the first batch",
            edit("(step - warmup) / (steps - warmup)", "step / steps"): "the cosine has the steps after the warm-up",
            edit("(step - warmup) / (steps - warmup)", "(step - warmup) / steps"): "its half is at step 55",
            edit("min(1.0, (step - warmup) / (steps - warmup))", "(step - warmup) / (steps - warmup)"): (
                "a cosine goes up again after its end"
            ),
            edit("(base_lr - floor) * 0.5", "base_lr * 0.5"): "with a floor the cosine runs between",
            edit("return base_lr", "return floor + (base_lr - floor)"): HIDDEN,
        },
    ),
    "Q2": Variants(
        right=[
            """
def largest_rate(curvatures, sigma, target):          # bisection on the logit of rate / border, in torch
    h = torch.tensor(curvatures, dtype=torch.float64)
    border, low, high = 2 / h.max(), -60.0, 60.0
    while high - low > 1e-9:
        middle = (low + high) / 2
        rate = border / (1 + math.exp(-middle))
        settled = (rate * sigma**2 / (2 * (2 - rate * h))).sum()
        low, high = (middle, high) if settled < target else (low, middle)
    return rate
""",
            """
import numpy as np

def largest_rate(curvatures, sigma, target):          # the smallest positive root of a polynomial
    h, x = np.array(curvatures), np.polynomial.Polynomial([0, 1])
    factors = [2 - x * c for c in h]
    total = sum(x * sigma**2 / 2 * np.prod([f for j, f in enumerate(factors) if j != i] or [1]) for i in range(len(h)))
    roots = (total - target * np.prod(factors)).roots()
    return min(root.real for root in roots if abs(root.imag) < 1e-9 and root.real > 0)
""",
            """
def largest_rate(curvatures, sigma, target):          # a fine grid up to the border, zoomed in three times
    h = torch.tensor(curvatures, dtype=torch.float64)[:, None]
    low, high = 0.0, float(2 / h.max())
    for _ in range(3):
        grid = torch.linspace(low, high, 10_001, dtype=torch.float64)[:-1]
        settled = (grid * sigma**2 / (2 * (2 - grid * h))).sum(dim=0)
        last = int((settled <= target).sum()) - 1
        low, high = float(grid[last]), float(grid[last] + (high - low) / 10_000)
    return low
""",
        ],
        wrong={
            """
def largest_rate(curvatures, sigma, target):
    return min(4 * target / (len(curvatures) * sigma**2), 2 / max(curvatures))
""": "is the floor for small rates only",
            """
def largest_rate(curvatures, sigma, target):          # the strictest of the directions, each by itself
    return min(4 * target / (sigma**2 + 2 * target * h) for h in curvatures)
""": "every direction adds its own floor",
            edit("2 / max(curvatures)", "2 / min(curvatures)"): "beyond 2 / h of the steepest direction",
            edit("rate * sigma**2 /", "rate * sigma /"): "the noise enters as its variance",
            """
def largest_rate(curvatures, sigma, target):          # the steepest direction stands for all
    n, h = len(curvatures), max(curvatures)
    return 4 * target / (n * sigma**2 + 2 * target * h)
""": HIDDEN,
        },
    ),
    "Q3": Variants(
        right=[
            CLOSED_LOOP,
            """
def fit(model, batches, epochs, base_lr, warmup):     # no scheduler, and SGD by hand
    rates, velocity, total = [], torch.zeros_like(model.weight), epochs * len(batches)
    for i in range(total):
        x, y = batches[i % len(batches)]
        if i < warmup:
            lr = base_lr * (i + 1) / warmup
        else:
            lr = base_lr / 2 * (1 + math.cos(math.pi * (i - warmup) / (total - warmup)))
        (grad,) = torch.autograd.grad(F.mse_loss(model(x), y), [model.weight])
        velocity = 0.9 * velocity + grad
        with torch.no_grad():
            model.weight -= lr * velocity
        rates.append(lr)
    return torch.tensor(rates, dtype=torch.float64).tolist()
""",
        ],
        wrong={
            CLOSED_LOOP.replace("T_max=epochs * len(batches) - warmup", "T_max=epochs"): "T_max counts calls of step()",
            CLOSED_LOOP.replace("total_iters=warmup - 1", "total_iters=warmup"): "base_lr * (i + 1) / warmup",
            CLOSED_LOOP.replace(
                "    scheduler = lr_scheduler.SequentialLR(optimizer, [ramp, decay], milestones=[warmup])\n", ""
            )
            .replace("scheduler.get_last_lr()[0]", 'optimizer.param_groups[0]["lr"]')
            .replace("scheduler.step()", "ramp.step(); decay.step()"): "nothing multiplies it",
            """
def fit(model, batches, epochs, base_lr, warmup):     # the scheduler steps first, so the first rate is lost
    total = epochs * len(batches)
    optimizer = torch.optim.SGD(model.parameters(), lr=base_lr, momentum=0.9)
    scheduler = lr_scheduler.LambdaLR(optimizer, lambda i: (i + 1) / warmup if i < warmup else 0.5 * (
        1 + math.cos(math.pi * (i - warmup) / (total - warmup))))
    rates = []
    for x, y in batches * epochs:
        optimizer.zero_grad()
        F.mse_loss(model(x), y).backward()
        scheduler.step()
        rates.append(scheduler.get_last_lr()[0])
        optimizer.step()
    return rates
""": "first the optimizer steps",
            CLOSED_LOOP.replace("scheduler.step()", "optimizer.step()").replace(
                "optimizer.step()", "scheduler.step()", 1
            ): HIDDEN,  # reports the rates that it should have used
        },
    ),
    "Q4": Variants(
        right=[
            THROUGH_A_FILE,
            """
import copy

def save(run):                                        # the whole run: its parts refer to each other, so in one go
    return copy.deepcopy([run.model, run.optimizer, run.scheduler]), run.generator.get_state()

def load(run, saved):
    (run.model, run.optimizer, run.scheduler), state = saved
    run.generator = torch.Generator()
    run.generator.set_state(state)
""",
        ],
        wrong={
            edit("copy.deepcopy(getattr(run, name).state_dict())", "getattr(run, name).state_dict()"): (
                "state_dict() holds the live tensors"
            ),
            edit('PARTS = ("model", "optimizer", "scheduler")', 'PARTS = ("model", "optimizer")'): (
                "the scheduler counts its own calls"
            ),
            edit('run.generator.set_state(saved["generator"])', "pass"): "another batch comes first",
            edit('PARTS = ("model", "optimizer", "scheduler")', 'PARTS = ("model", "scheduler")'): (
                "the optimizer's momentum is a state"
            ),
            THROUGH_A_FILE.replace("run.optimizer.load_state_dict(optimizer)", "").replace(
                "run.scheduler.load_state_dict(scheduler)",
                "run.scheduler.load_state_dict(scheduler)\n"
                '    run.optimizer.param_groups[0]["lr"] = scheduler["_last_lr"][0]',
            ): "the optimizer's momentum is a state",
            """
import copy

def save(run):                                        # copies the weights, and refers to the live momentum
    return copy.deepcopy(run.model.state_dict()), run.optimizer.state_dict(), run.scheduler.last_epoch, \\
        run.generator.get_state()

def load(run, saved):
    model, optimizer, last_epoch, generator = saved
    run.model.load_state_dict(model)
    run.optimizer.load_state_dict(optimizer)
    run.scheduler.last_epoch = last_epoch
    run.generator.set_state(generator)
""": "save a copy of it too",
        },
    ),
    "Q5": Variants(
        right=[
            """
def pick_rate(rates, losses):                         # medians of 15, a factor of five
    losses = torch.nan_to_num(losses, nan=1e3, posinf=1e3)
    middle = torch.stack([losses[max(0, i - 7):i + 8].median() for i in range(len(losses))])
    return rates[middle.argmin()] / 5
""",
            """
def pick_rate(rates, losses):                         # an exponential average, shifted back, a factor of three
    average, best, chosen = None, math.inf, None
    for i, loss in enumerate(losses.tolist()):
        loss = loss if math.isfinite(loss) and loss < 5 else 5.0
        average = loss if average is None else 0.85 * average + 0.15 * loss
        if i >= 10 and average < best:
            best, chosen = average, i
    return float(rates[max(chosen - 6, 0)]) / 3
""",
        ],
        wrong={
            """
def pick_rate(rates, losses):
    return rates[losses.argmin()].item() / 4
""": "one lucky batch is not the bottom",
            """
def pick_rate(rates, losses):
    return 0.05
""": "one of the range tests the rate",
            edit(".item() / 4", ".item() * 2"): "beyond the bottom the loss rises again",
            edit(".item() / 4", ".item() / 40"): "wastes most of the budget",
            edit("losses = torch.where(losses.isfinite(), losses, 10.0).clamp(max=10.0)", "pass"): "NaN is no minimum",
            edit(".item() / 4", ".item()"): "In one of the range tests the rate lies beyond the bottom",
        },
    ),
    "Q6": Variants(
        right=[
            """
def rate(step, steps):
    return 0.025 * 0.5 * (1 + math.cos(math.pi * step / steps))
""",
            """
def rate(step, steps):                                # constant, then a linear end
    return 0.02 * min(1.0, (steps - step) / (0.5 * steps))
""",
            """
def rate(step, steps):                                # two drops
    return 0.02 if step < 0.6 * steps else 0.004 if step < 0.85 * steps else 0.0005
""",
        ],
        wrong={
            """
def rate(step, steps):
    return 0.01
""": "at the end the rate is still high",
            """
def rate(step, steps):
    return 0.02 * (step + 1) / steps
""": "at the end the rate is still high",
            """
def rate(step, steps):
    return 0.5 * (1 - step / steps)
""": "the rate is far too large, or far too small",
            """
def rate(step, steps):
    return 0.007 * (1 - step / steps)
""": "look for its base rate",
            """
def rate(step, steps):                                # planned for twice the budget, and cut at half its height
    return 0.03 * 0.5 * (1 + math.cos(math.pi * step / (2 * steps)))
""": "at the end the rate is still high",
        },
    ),
}
