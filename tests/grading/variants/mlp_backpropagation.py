"""Answers to `mlp/backpropagation`."""

from tests.grading.variants import HIDDEN, Variants, edit

ASSIGNMENT = "mlp/backpropagation"
VARIANTS = {
    "Q1": Variants(
        right=[
            """
def wrong_entries(f, claim, x):                   # all steps at once, and a finer formula
    steps = 1e-3 * torch.eye(len(x), dtype=x.dtype)
    at = lambda k: torch.stack([f(x + k * step) for step in steps])
    slopes = (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / 12e-3
    return torch.nonzero((slopes - claim).abs() > 0.005)[:, 0].tolist()
""",
            """
def wrong_entries(f, claim, x):                   # in plain floats
    def quotient(i, eps=2e-6):
        up, down = x.clone(), x.clone()
        up[i] += eps
        down[i] -= eps
        return (float(f(up)) - float(f(down))) / (2 * eps)
    return [i for i, said in enumerate(claim.tolist()) if abs(quotient(i) - said) >= 0.004]
""",
        ],
        wrong={
            edit("eps, wrong = 1e-5", "eps, wrong = 1e-14"): "balance the two errors by the step",
            edit("eps, wrong = 1e-5", "eps, wrong = 1e-2"): "balance the two errors by the step",
            edit("> 0.003", "!= 0"): "so leave room",
            edit("abs(slope - claim[i]) > 0.003", "claim[i] - slope > 0.003"): "downward too",
            edit("> 0.003", "> 0.03"): "off by 0.01 is wrong",
        },
    ),
    "Q2": Variants(
        right=[
            """
def gradient(program, inputs):                    # ask each value for its adjoint, and remember
    values, n = run(program, inputs), len(inputs)
    known = {len(values) - 1: 1.0}
    def adjoint(place):
        if place not in known:
            total = 0.0
            for k, (op, *places) in enumerate(program):
                local = slopes(op, *[values[p] for p in places])
                total += sum(adjoint(n + k) * s for p, s in zip(places, local) if p == place)
            known[place] = total
        return known[place]
    return [adjoint(i) for i in range(n)]
""",
            """
def gradient(program, inputs):                    # let autograd do it
    values = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in inputs]
    leaves = list(values)
    for op, *places in program:
        values.append(getattr(torch, op)(*[values[p] for p in places]))
    found = torch.autograd.grad(values[-1], leaves, allow_unused=True)
    return [0.0 if g is None else g.item() for g in found]
""",
        ],
        wrong={
            edit(
                "reversed(range(len(program)))", "range(len(program))"
            ): "only when all lines that read it have spoken",
            edit("adjoints[len(inputs) + k]", "adjoints[k]"): "at the place after the inputs",
            edit("+= here", "= here"): "adds up what it hears",
            edit("here * slope", "slope"): "a line hands on its own adjoint times the slope",
            """
def gradient(program, inputs):                    # marks each place as done when first heard
    values = run(program, inputs)
    adjoints, n = [0.0] * len(values), len(inputs)
    adjoints[-1] = 1.0
    todo, done = [len(values) - 1], set()
    while todo:
        here = todo.pop(0)
        if here < n or here in done:
            continue
        done.add(here)
        op, *places = program[here - n]
        for p, s in zip(places, slopes(op, *[values[q] for q in places])):
            adjoints[p] += adjoints[here] * s
            todo.append(p)
    return adjoints[:n]
""": HIDDEN,
        },
    ),
    "Q3": Variants(
        right=[
            """
def softmax_back(z, u):                           # row by row, with two inner products
    rows = []
    for logits, adjoint in zip(z, u):
        e = torch.exp(logits - logits.max())
        rows.append(e / e.sum() * adjoint - e / e.sum() * (e @ adjoint) / e.sum())
    return torch.stack(rows)
""",
            """
def softmax_back(z, u):                           # forward mode: the Jacobian is symmetric
    p = torch.softmax(z, dim=-1)
    mean = torch.einsum("nc,nc->n", p, u)
    return torch.addcmul(-mean[:, None] * p, p, u)
""",
        ],
        wrong={
            edit("(u - (p * u).sum(dim=1, keepdim=True))", "u"): "a loss that asks only for the sum",
            edit("(u - (p * u).sum(dim=1, keepdim=True))", "(1 - p) * u"): "a loss that asks only for the sum",
            edit("(p * u).sum(dim=1, keepdim=True)", "u.mean(dim=1, keepdim=True)"): "prediction minus truth comes out",
            edit("torch.softmax(z, dim=1)", "z.exp() / z.exp().sum(dim=1, keepdim=True)"): "logits near 800 overflow",
            edit("torch.softmax(z, dim=1)", "torch.softmax(z, dim=0)"): "a loss that asks only for the sum",
        },
    ),
    "Q4": Variants(
        right=[
            """
def push(program, inputs, v):                     # dual numbers, by hand
    pairs = list(zip(inputs, v))
    for op, *places in program:
        (a, s), (b, t) = pairs[places[0]], pairs[places[-1]]
        pairs.append({
            "add": (a + b, s + t), "sub": (a - b, s - t), "mul": (a * b, s * b + a * t),
            "sin": (math.sin(a), math.cos(a) * s), "tanh": (math.tanh(a), s / math.cosh(a) ** 2)}[op])
    return pairs[-1][1]
""",
            """
def push(program, inputs, v):                     # by torch's forward mode
    def last(x):
        values = list(x)
        for op, *places in program:
            values.append(getattr(torch, op)(*[values[p] for p in places]))
        return values[-1]
    x, v = (torch.tensor(numbers, dtype=torch.float64) for numbers in (inputs, v))
    return torch.func.jvp(last, (x,), (v,))[1]
""",
        ],
        wrong={
            edit("list(v)", "[1.0] * len(v)"): "along the first input",
            edit("slope * moves[p] for", "slope for"): "along the first input",
            edit("sum(slope * moves[p] for slope, p in zip(local, places))", "local[0] * moves[places[0]]"): (
                "both inputs move"
            ),
            edit("*[values[p] for p in places]", "*[moves[p] for p in places]"): "along the first input",
        },
    ),
    "Q5": Variants(
        right=[
            """
def costs(widths):                                # recursion, and the two ends by folding
    import functools
    @functools.cache
    def best(i, k):
        if k - i < 2:
            return 0
        return min(best(i, j) + best(j, k) + widths[i] * widths[j] * widths[k] for j in range(i + 1, k))
    def fold(w):
        return sum(w[0] * a * b for a, b in zip(w[1:], w[2:]))
    return [fold(widths), fold(widths[::-1]), best(0, len(widths) - 1)]
""",
            """
def costs(widths):                                # drop one inner width at a time, in any order
    def drop(w, places):
        total = 0
        for i in places(w):
            total += w[i - 1] * w[i] * w[i + 1]
            w = w[:i] + w[i + 1:]
        return total
    def least(w, seen={}):
        w = tuple(w)
        if len(w) < 3:
            return 0
        if w not in seen:
            seen[w] = min(w[i - 1] * w[i] * w[i + 1] + least(w[:i] + w[i + 1:]) for i in range(1, len(w) - 1))
        return seen[w]
    forward = drop(widths, lambda w: [1] * (len(w) - 2))
    reverse = drop(widths, lambda w: range(len(w) - 2, 0, -1))
    return [forward, reverse, least(widths)]
""",
        ],
        wrong={
            edit("return [forward, reverse,", "return [reverse, forward,"): "forward: 10 * 10 * 1000",
            edit("return [forward, reverse, best[0, last]]", "return [forward, reverse, min(forward, reverse)]"): (
                "the best begins in the middle"
            ),
            edit("for k in range(2, last + 1))\n", "for k in range(1, last + 1))\n"): "two matrices: one product",
            edit(
                "min(best[i, j] + best[j, k] + widths[i] * widths[j] * widths[k] for j in range(i + 1, k))",
                (
                    "min(min(best[i, k - 1] + widths[i] * widths[k - 1] * widths[k],"
                    " best[i + 1, k] + widths[i] * widths[i + 1] * widths[k]) for _ in [0])"
                ),
            ): "two products that do not touch",
        },
    ),
    "Q6": Variants(
        right=[
            """
def train(x, y, layers, lr, steps):               # back by recursion: each layer asks the ones above it
    def walk(h, rest):
        if not rest:
            return 2 * (h - y) / len(x), []
        (w, b), *above = rest
        t = torch.tanh(torch.nn.functional.linear(h, w, b))
        g, trained = walk(h + t, above)
        inner = g * (1 - t**2)
        return g + inner @ w, [(w - lr * torch.einsum("no,ni->oi", inner, h), b - lr * inner.sum(0)), *trained]
    for _ in range(steps):
        _, layers = walk(x, layers)
    return layers
""",
            """
def train(x, y, layers, lr, steps):               # one example at a time, in columns
    layers = [[w.clone(), b.clone()] for w, b in layers]
    for _ in range(steps):
        sums = [[torch.zeros_like(w), torch.zeros_like(b)] for w, b in layers]
        for one, goal in zip(x, y):
            h, seen = one, []
            for w, b in layers:
                t = torch.tanh(w @ h + b)
                seen.append((h, t))
                h = h + t
            g = 2 * (h - goal)
            for (w, _), (h, t), total in reversed(list(zip(layers, seen, sums))):
                gz = g - g * t * t
                total[0] += torch.outer(gz, h)
                total[1] += gz
                g = g + w.T @ gz
        for pair, total in zip(layers, sums):
            for i in (0, 1):
                pair[i] = pair[i] - lr / len(x) * total[i]
    return layers
""",
        ],
        wrong={
            edit("g = g + gz @ w", "g = gz @ w"): "comes past the second one",
            edit("gz @ w\n", "gz @ w.T * 0\n"): "through the layer by (1 - tanh squared) and W",
            edit("g * (1 - t * t)", "g"): "through the layer by (1 - tanh squared) and W",
            edit("/ len(x)", ""): "four equal examples step like one",
            edit("gz @ w\n", "gz @ w.T\n"): HIDDEN,
            """
def train(x, y, layers, lr, steps):
    layers = [(w.clone().requires_grad_(), b.clone().requires_grad_()) for w, b in layers]
    for _ in range(steps):
        h = x
        for w, b in layers:
            h = h + torch.tanh(h @ w.T + b)
        ((h - y) ** 2).sum(1).mean().backward()
        layers = [tuple((p - lr * p.grad).detach().requires_grad_() for p in pair) for pair in layers]
    return layers
""": "does not require grad",
        },
    ),
}
