"""Answers to `attention/fine-tuning`."""

from tests.grading.variants import HIDDEN, Variants, edit

ASSIGNMENT = "attention/fine-tuning"
VARIANTS = {
    "Q1": Variants(
        right=[
            """
def lora(x, weight, bias, down, up, c):           # merge first, then one layer
    rank = up.shape[0]
    merged = weight.clone()
    for k in range(rank):
        merged += c / rank * torch.outer(up[k], down[:, k])
    return torch.nn.functional.linear(x, merged, bias), merged
""",
            """
def lora(x, weight, bias, down, up, c):
    delta = torch.einsum("ir,ro->oi", down, up) * c / len(up)
    return torch.einsum("ni,oi->no", x, weight + delta) + bias[None], delta + weight
""",
        ],
        wrong={
            edit("scale = c / down.shape[1]", "scale = 1.0"): "the factor is c divided by the rank",
            edit("c / down.shape[1]", "c / down.shape[0]"): "the factor is c divided by the rank",
            edit("x @ weight.T + bias + scale", "x @ weight.T + scale"): "the layer is the frozen one, bias included",
            """
def lora(x, weight, bias, down, up, c):
    weight += c / down.shape[1] * (down @ up).T
    return x @ weight.T + bias, weight.clone()
""": "the frozen weight has changed",
            """
def lora(x, weight, bias, down, up, c):
    scale = c / down.shape[1]
    delta = scale * down @ up
    y = x @ weight.T + bias + x @ delta
    return y, weight + (delta if len(weight) == len(delta) else delta.T)
""": HIDDEN,
        },
    ),
    "Q2": Variants(
        right=[
            """
def bills(shapes, rank):
    totals = torch.zeros(3, dtype=torch.float64)
    nf4_bytes = 0.5 + 1 / 64 + 4 / 64 / 256
    for out, inp in shapes:
        n, a = out * inp, rank * out + inp * rank
        worth_it = a < n
        totals += 16 * n * torch.ones(3, dtype=torch.float64)
        if worth_it:
            totals[1] += 2 * n + 16 * a - 16 * n
            totals[2] += nf4_bytes * n + 16 * a - 16 * n
    return totals.tolist()
""",
            """
def bills(shapes, rank):
    def cost(bits):
        return sum(min((16 * o * i, 1), (bits / 8 * o * i + 16 * rank * (o + i), 0),
                       key=lambda plan: (rank * (o + i) < o * i) == plan[1])[0] for o, i in shapes)
    return [sum(16 * o * i for o, i in shapes), cost(16), cost(4.126953125)]
""",
        ],
        wrong={
            edit("full += 16 * numbers", "full += 12 * numbers"): "4 bytes each",
            edit("rank * (rows + columns)", "rank * rows * columns"): "rank * (out + in) of them",
            edit("(4 + 8 / 64 + 32 / (64 * 256)) / 8", "(4 + 32 / 64) / 8"): "4.127 bits per frozen weight",
            edit("thin >= numbers", "thin > numbers"): "train it in full, in every plan",
            edit("            qlora += 16 * numbers\n", "            qlora += 4.126953125 / 8 * numbers\n"): (
                "train it in full, in every plan"
            ),
        },
    ),
    "Q3": Variants(
        right=[
            """
def accumulated(weight, batches):                 # by hand, without autograd
    total, rows = torch.zeros_like(weight), 0
    for x, y in batches:
        x, y = x[y >= 0], y[y >= 0]
        error = torch.softmax(x @ weight.T, dim=1) - torch.eye(len(weight), dtype=x.dtype)[y]
        total += error.T @ x
        rows += len(y)
    return total / rows
""",
            """
def accumulated(weight, batches):                 # divide at the end
    w = weight.detach().clone().requires_grad_(True)
    rows = 0
    for x, y in batches:
        kept = y != -100
        if kept.any():
            (F.cross_entropy(x[kept] @ w.T, y[kept]) * kept.sum()).backward()
        rows += int(kept.sum())
    return w.grad / rows
""",
        ],
        wrong={
            edit(
                "    for x, y in batches:\n        loss",
                "    for x, y in batches:\n        weight.grad = None\n        loss",
            ): ("they add up"),
            edit("y, ignore_index=-100, reduction", "y.clamp(min=0), reduction"): "a row without label has no loss",
            edit('reduction="sum")\n        (loss / labeled)', 'reduction="mean")\n        (loss / len(batches))'): (
                "every row counts the same"
            ),
            edit("int((y >= 0).sum())", "len(y)"): "and is not counted",
        },
    ),
    "Q4": Variants(
        right=[
            """
def nf4(w, block):                                # thresholds half-way between the levels
    p = torch.tensor(929 / 960, dtype=torch.float64)
    q = lambda u: float(torch.special.ndtri(torch.tensor(u, dtype=torch.float64)) / torch.special.ndtri(p))
    levels = [-q(0.5 + (float(p) - 0.5) * j / 7) for j in range(7, 0, -1)] + [0.0]
    levels += [q(0.5 + (float(p) - 0.5) * j / 8) for j in range(1, 9)]
    codes, values = [], []
    for start in range(0, len(w), block):
        part = w[start : start + block].tolist()
        scale = max(map(abs, part)) or 1.0
        for value in part:
            code = sum(value / scale > (a + b) / 2 for a, b in zip(levels, levels[1:]))
            codes.append(code)
            values.append(levels[code] * scale)
    return codes, torch.tensor(values, dtype=torch.float64)
""",
            """
def nf4(w, block):
    p = 1 - (1 / 32 + 1 / 30) / 2
    below, above = (torch.linspace(*ends, dtype=torch.float64) for ends in ((1 - p, 0.5, 8), (0.5, p, 9)))
    grid = torch.cat([below, above[1:]])
    levels = torch.special.ndtri(grid)
    levels = levels / levels.max()
    padded = torch.nn.functional.pad(w, (0, -len(w) % block)).view(-1, block)
    scale = padded.abs().amax(dim=1, keepdim=True)
    codes = torch.bucketize(padded / scale.clamp(min=1e-300), (levels[1:] + levels[:-1]) / 2)
    return codes.flatten()[: len(w)], (levels[codes] * scale).flatten()[: len(w)]
""",
        ],
        wrong={
            edit("for k in (7, 8)", "for k in (8, 7)"): "zero has a level of its own, code 7",
            edit("scale = part.abs().max()", "scale = w.abs().max()"): "each block has its own scale",
            edit("scale = part.abs().max()", "scale = part.max()"): HIDDEN,
            edit("part / scale if scale > 0 else part", "part / scale"): "do not divide by its absmax",
            edit(
                "(torch.special.ndtri(0.5 + (p - 0.5) * torch.arange(1, k + 1, dtype=w.dtype) / k) for k in (7, 8))",
                "(torch.arange(1, k + 1, dtype=w.dtype) / k for k in (7, 8))",
            ): "take the nearest of the 8 positive quantiles",
        },
    ),
    "Q5": Variants(
        right=[
            """
def best_cut(sizes):
    best = None
    for m in range(len(sizes), 0, -1):
        kept = sum(sizes[::m])
        work = max(sum(sizes[i : i + m]) for i in range(0, len(sizes), m))
        if best is None or kept + work < best[1]:
            best = [m, kept + work]
    return best
""",
            """
def best_cut(sizes):                              # tensors, padded
    n, peaks = len(sizes), []
    for m in range(1, n + 1):
        rows = torch.nn.functional.pad(torch.tensor(sizes), (0, -n % m)).view(-1, m)
        peaks.append(int(rows[:, 0].sum() + rows.sum(dim=1).max()))
    lowest = min(peaks)
    return [n - peaks[::-1].index(lowest), lowest]
""",
        ],
        wrong={
            edit("(peak(m), -m)", "(peak(m), m)"): "take the longer segments",
            edit("max(sum(segment) for segment in segments)", "sum(segments[-1])"): "sixteen equal layers: four",
            edit("max(sum(segment) for segment in segments)", "m * max(sizes)"): "one segment at a time",
            edit("range(0, len(sizes), m)]", "range(0, len(sizes) - m + 1, m)]"): "sixteen equal layers: four",
            """
def best_cut(sizes):
    m = round(math.sqrt(len(sizes)))
    segments = [sizes[i : i + m] for i in range(0, len(sizes), m)]
    return [m, sum(segment[0] for segment in segments) + max(sum(segment) for segment in segments)]
""": "take the longer segments",
        },
    ),
    "Q6": Variants(
        right=[
            """
def adapt(weight, x, y):                          # SGD with momentum, both factors scaled
    torch.manual_seed(1)
    down, up = torch.randn(64, 5, dtype=x.dtype) / 8, torch.zeros(5, 10, dtype=x.dtype)
    down.requires_grad_()
    up.requires_grad_()
    optimizer = torch.optim.SGD([down, up], lr=0.3, momentum=0.9)
    for _ in range(600):
        optimizer.zero_grad()
        F.cross_entropy(F.linear(x, weight) + x @ (down @ up), y).backward()
        optimizer.step()
    return down.detach(), up.detach()
""",
            """
def adapt(weight, x, y):                          # the other factor starts at zero; L-BFGS
    down = torch.zeros(64, 5, dtype=x.dtype, requires_grad=True)
    up = torch.randn(5, 10, generator=torch.Generator().manual_seed(3), dtype=x.dtype).requires_grad_()
    optimizer = torch.optim.LBFGS([down, up], max_iter=150, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = F.cross_entropy(x @ weight.T + x @ down @ up, y) + 1e-4 * (down @ up).square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return down, up
""",
        ],
        wrong={
            edit(
                "torch.randn(64, RANK, generator=torch.Generator().manual_seed(0), dtype=x.dtype) / 8",
                "torch.zeros(64, RANK, dtype=x.dtype)",
            ): ("from zero in both matrices no gradient leads away"),
            edit("x @ weight.T + x @ down @ up, y", "x @ down @ up, y"): "together with the frozen weight",
            """
def adapt(weight, x, y):
    change = fit(weight, x, y) - weight
    return change.T, torch.eye(10, dtype=x.dtype)
""": "two thin matrices",
            """
def adapt(weight, x, y):
    U, s, V = torch.linalg.svd((fit(weight, x, y) - weight).T, full_matrices=False)
    return U[:, :RANK] * s[:RANK], V[:RANK]
""": "train the thin matrices on the loss itself",
            edit("range(300)", "range(8)"): "of the new images are right",
        },
    ),
}
