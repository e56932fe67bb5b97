"""Answers to `optimization/adaptive-methods`."""

from tests.grading.variants import HIDDEN, Variants, edit

ASSIGNMENT = "optimization/adaptive-methods"
VARIANTS = {
    "Q1": Variants(
        right=[
            """
def effective_rates(grads, lr, beta, eps):        # all at once: weights of the squares
    T = len(grads)
    weights = torch.ones(T) if beta is None else (1 - beta) * beta ** torch.arange(T - 1, -1, -1)
    return lr / (torch.sqrt(weights @ grads.square()) + eps)
""",
            """
def effective_rates(grads, lr, beta, eps):        # PyTorch's own state
    w = torch.nn.Parameter(torch.zeros(grads.shape[1]))
    optimizer = torch.optim.Adagrad([w]) if beta is None else torch.optim.RMSprop([w], alpha=beta)
    for g in grads:
        w.grad = g
        optimizer.step()
    s = optimizer.state[w]["sum" if beta is None else "square_avg"]
    return lr / (s.sqrt() + eps)
""",
        ],
        wrong={
            edit("s.sqrt() + eps", "(s + eps).sqrt()"): "eps stands outside the root",
            edit("s + g**2 if", "s / 2 + g**2 / 2 if"): "the root of the SUM of squares",
            edit("(1 - beta) * g**2", "g**2"): "weighs the new square with 1 - beta",
            edit("for g in grads:", "for g in grads[:-1]:"): "the root of the SUM of squares",
            edit("beta * s", "beta**2 * s"): HIDDEN,
        },
    ),
    "Q2": Variants(
        right=[
            """
def adam(grad, theta, lr, betas, eps, steps):
    p = torch.nn.Parameter(theta.clone())
    optimizer = torch.optim.Adam([p], lr=lr, betas=betas, eps=eps)
    for _ in range(steps):
        p.grad = grad(p.detach())
        optimizer.step()
    return p.detach()
""",
            """
def adam(grad, theta, lr, betas, eps, steps):     # sums with weights that add up to 1, no correction needed
    gradients = []
    for t in range(steps):
        gradients.append(grad(theta))
        g, age = torch.stack(gradients), torch.arange(t, -1, -1)
        first, second = betas[0] ** age, betas[1] ** age
        theta = theta - lr * (first @ g / first.sum()) / ((second @ g**2 / second.sum()).sqrt() + eps)
    return theta
""",
        ],
        wrong={
            edit("t = step + 1", "t = step + 2"): "t counts from 1",
            edit("v / (1 - b2**t)", "v / (1 - b1**t)"): "v has its own beta",
            edit("(v_hat.sqrt() + eps)", "(v_hat + eps).sqrt()"): "eps stands outside the root",
            edit("m / (1 - b1**t), v / (1 - b2**t)", "m, v / (1 - b2**t)"): "every step is lr long",
            edit(
                "lr * m_hat / (v_hat.sqrt() + eps)", "lr * (1 - b2**t) ** 0.5 * m_hat / (v.sqrt() + eps)"
            ): "a gradient as large as eps moves by half of lr",
        },
    ),
    "Q3": Variants(
        right=[
            """
def longest_step(beta1, beta2):                   # by running the recursion
    m = v = longest = 0.0
    for _ in range(10_000):
        m, v = beta1 * m + (1 - beta1), beta2 * v + (1 - beta2)
        longest = max(longest, m / math.sqrt(v))
    return longest
""",
            """
def longest_step(beta1, beta2):                   # stop where it begins to fall; any gradient will do
    g, t, best = 7.0, 1, 0.0
    while True:
        length = (1 - beta1**t) * g / math.sqrt((1 - beta2**t) * g * g)
        if length < best:
            return best
        best, t = length, t + 1
""",
        ],
        wrong={
            """
def longest_step(beta1, beta2):
    return (1 - beta1) / math.sqrt(1 - beta2)
""": "the first step is not the longest",
            """
def longest_step(beta1, beta2):
    return 1 / math.sqrt(1 - beta2)
""": "m starts at zero, too",
            edit(".sqrt()", ""): "without beta1 the first step is the longest",
            edit("10_001)", "11)"): HIDDEN,
        },
    ),
    "Q4": Variants(
        right=[
            """
def adamw(grads, theta, rates, decay, decayed):   # PyTorch's, with two groups
    parts = [torch.nn.Parameter(theta[decayed].clone()), torch.nn.Parameter(theta[~decayed].clone())]
    optimizer = torch.optim.AdamW([{"params": parts[:1], "weight_decay": decay},
                                   {"params": parts[1:], "weight_decay": 0.0}])
    for g, lr in zip(grads, rates):
        for group in optimizer.param_groups:
            group["lr"] = float(lr)
        parts[0].grad, parts[1].grad = g[decayed], g[~decayed]
        optimizer.step()
    out = theta.clone()
    out[decayed], out[~decayed] = parts[0].detach(), parts[1].detach()
    return out
""",
            """
def adamw(grads, theta, rates, decay, decayed):   # number by number
    out = []
    for k, w in enumerate(theta.tolist()):
        m = v = 0.0
        for t, g in enumerate(grads[:, k].tolist(), 1):
            lr = float(rates[t - 1])
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
            step = m / (1 - 0.9**t) / (math.sqrt(v / (1 - 0.999**t)) + 1e-8)
            w = w - lr * step - lr * decay * w * bool(decayed[k])
        out.append(w)
    return torch.tensor(out)
""",
        ],
        wrong={
            edit("torch.where(decayed, theta * (1 - lr * decay), theta)", "theta * (1 - lr * decay)"): (
                "no decay where decayed is false"
            ),
            edit(
                "theta = torch.where(decayed, theta * (1 - lr * decay), theta)",
                "g = torch.where(decayed, g + decay * theta, g)",
            ): "the decay does not pass through m and v",
            edit("(1 - lr * decay)", "(1 - decay)"): "the share of a step is the rate of that step times decay",
            edit("(1 - lr * decay)", "(1 - rates[0] * decay)"): "the share of a step is the rate of that step",
            edit("0.1 * g", "g"): "the first step is one rate long",
        },
    ),
    "Q5": Variants(
        right=[
            """
def drift(period, big, beta2):                    # v right after the big gradient, in closed form
    rest = (1 - beta2 ** (period - 1)) if beta2 else 1.0
    v = ((1 - beta2) * big**2 + beta2 * rest) / (1 - beta2**period)
    moved = -big / math.sqrt(v)
    for _ in range(period - 1):
        v = beta2 * v + (1 - beta2)
        moved += 1 / math.sqrt(v)
    return moved
""",
            """
def drift(period, big, beta2):                    # PyTorch's Adam, long after the start
    w = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.Adam([w], lr=1.0, betas=(0.0, beta2), eps=0.0)
    for step in range(period * 30 + 500 // period * period):
        if step % period == 0:
            before = w.item()
        w.grad = torch.tensor([big if step % period == 0 else -1.0])
        optimizer.step()
    return w.item() - before
""",
        ],
        wrong={
            """
def drift(period, big, beta2):
    return period - 1 - big
""": "with no memory every step is 1 long",
            """
def drift(period, big, beta2):
    return float(period - 2)
""": "on a constant gradient every step is 1 long",
            edit("range(400 + math.ceil(40 / (1 - beta2)))", "range(1)"): "long after the start",
            edit("(1 - beta2) * g**2", "(1 - beta2) * abs(g)"): "with no memory every step is 1 long",
            edit("moved -= g", "moved += g"): "with no memory every step is 1 long",
        },
    ),
    "Q6": Variants(
        right=[
            """
def minimize(gradient, calls):                    # bisection of every entry: only signs count
    low, high = torch.full((20,), -3.1), torch.full((20,), 3.1)
    for _ in range(20):
        middle = (low + high) / 2
        up = gradient(middle) > 0
        low, high = torch.where(up, low, middle), torch.where(up, middle, high)
    return (low + high) / 2
""",
            """
def minimize(gradient, calls):                    # Adam, its rate going down to zero
    theta = torch.nn.Parameter(torch.zeros(20))
    optimizer = torch.optim.Adam([theta], betas=(0.8, 0.9), eps=1e-20)
    for step in range(calls):
        optimizer.param_groups[0]["lr"] = 0.3 * (1 - step / calls) ** 2
        theta.grad = gradient(theta.detach())
        optimizer.step()
    return theta.detach()
""",
        ],
        wrong={
            edit("2.0 * g / (s.sqrt() + 1e-30)", "1e-6 * g"): "an entry with a large slope is not at its minimum",
            edit("1e-30", "1e-2"): "an entry with a small slope has not arrived",
            edit("2.0 * g", "0.02 * g"): "an entry with a large slope is not at its minimum",
            edit("range(calls)", "range(calls + 1)"): "the oracle answers 200 calls",
            """
def minimize(gradient, calls):                    # knows the public case
    return 3 * torch.sin(torch.arange(20.0))
""": "farther than 0.05",
        },
    ),
}
