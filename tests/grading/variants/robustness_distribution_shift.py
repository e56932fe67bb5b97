"""Answers to `robustness/distribution-shift`."""

from tests.grading.variants import HIDDEN, Variants, edit

ASSIGNMENT = "robustness/distribution-shift"
VARIANTS = {
    "Q1": Variants(
        right=[
            """
def cutmix(x1, x2, y1, y2, top, left, height, width):      # a mask from two comparisons
    i, j = torch.arange(x1.shape[0])[:, None], torch.arange(x1.shape[1])
    mask = (i >= top) & (i < top + height) & (j >= left) & (j < left + width)
    lam = 1 - mask.double().mean().item()
    return torch.where(mask, x2, x1), y2 + lam * (y1 - y2)
""",
            """
def cutmix(x1, x2, y1, y2, top, left, height, width):      # pixel by pixel
    image, pasted = x1.clone(), 0
    for i in range(top, top + height):
        for j in range(left, left + width):
            if 0 <= i < x1.shape[0] and 0 <= j < x1.shape[1]:
                image[i, j] = x2[i, j]
                pasted += 1
    share = pasted / x1.numel()
    return image, y1 + share * (y2 - y1)
""",
        ],
        wrong={
            edit("image = x1.clone()", "image = x1"): "x1 has changed: paste into a copy",
            edit(
                "pasted = image[rows, columns].numel() / image.numel()", "pasted = height * width / image.numel()"
            ): "sticks out: count the pixels that were pasted",
            edit("(1 - pasted) * y1 + pasted * y2", "pasted * y1 + (1 - pasted) * y2"): "its label has the weight 4/16",
            edit(
                "slice(max(top, 0), max(top + height, 0))", "slice(top, top + height)"
            ): "a negative corner: clip it at 0",
            edit("max(left + width, 0))", "max(left + width, 0) + 1)"): "a 2x2 rectangle with its corner at (1, 1)",
        },
    ),
    "Q2": Variants(
        right=[
            """
def mean_corruption_error(errors, reference):
    errors, reference = torch.tensor(errors).double(), torch.tensor(reference).double()
    return (errors.mean(1) / reference.mean(1)).mean()
""",
            """
def mean_corruption_error(errors, reference):
    total = 0.0
    for row, ref in zip(errors, reference):
        top, bottom = 0.0, 0.0
        for a, b in zip(row, ref):
            top, bottom = top + a, bottom + b
        total += top / bottom
    return total / len(errors)
""",
        ],
        wrong={
            """
def mean_corruption_error(errors, reference):
    return sum(map(sum, errors)) / sum(map(sum, reference))
""": "divide within a corruption, then average",
            """
def mean_corruption_error(errors, reference):
    return sum(sum(row) / len(row) for row in errors) / len(errors)
""": "the reference against itself scores 1",
            """
def mean_corruption_error(errors, reference):
    each = [a / b if b else 0.0 for row, ref in zip(errors, reference) for a, b in zip(row, ref)]
    return sum(each) / len(each)
""": "sum over severities before you divide",
            edit("sum(row) / sum(ref)", "sum(ref) / sum(row)"): "the mean of 1 and 1/2",
        },
    ),
    "Q3": Variants(
        right=[
            """
def jensen_shannon(z):                            # entropy of the mean minus mean of the entropies
    def entropy(p):
        return -torch.xlogy(p, p).sum(-1)
    p = z.double().softmax(-1)
    return (entropy(p.mean(0)) - entropy(p).mean(0)).mean()
""",
            """
def jensen_shannon(z):
    p = torch.softmax(z.double(), 2)
    mean = p.mean(0).clamp(min=1e-300).log()
    total = sum(torch.nn.functional.kl_div(mean, q, reduction="batchmean") for q in p)
    return total / len(z)
""",
        ],
        wrong={
            edit("softmax(dim=-1)", "softmax(dim=0)"): "softmax runs over the classes",
            edit(
                "torch.xlogy(p, mean)", "p * p.clamp(min=1e-30).log().mean(dim=0)"
            ): "the log is that of the mean probability",
            edit("return kl.mean()", "return kl.sum(dim=0).mean()"): "K views are averaged",
            edit("torch.xlogy(p, p) - torch.xlogy(p, mean)", "p * (p.log() - mean.log())"): "0 log 0 is 0",
            edit("return kl.mean()", "return kl.mean(dim=0).sum()"): "a mean over images",
        },
    ),
    "Q4": Variants(
        right=[
            """
def dro_step(p, losses, groups, eta):             # group by group, in logarithms
    means = torch.stack([losses[groups == d].mean() if (groups == d).any() else torch.zeros((), dtype=p.dtype)
                         for d in range(len(p))])
    new = torch.softmax(p.log() + eta * means, dim=0)
    return new, (new * means).sum()
""",
            """
def dro_step(p, losses, groups, eta):
    onehot = torch.nn.functional.one_hot(groups, len(p)).to(p.dtype)
    means = (onehot.T @ losses) / onehot.sum(0).clamp(min=1)
    raised = [w * math.exp(eta * m) for w, m in zip(p.tolist(), means.tolist())]
    new = torch.tensor(raised, dtype=p.dtype) / sum(raised)
    return new, new @ means
""",
        ],
        wrong={
            edit("torch.exp(eta * means)", "torch.exp(-eta * means)"): "the adversary raises the weight",
            edit("    p = p / p.sum()\n", ""): "3 to 1, normalized",
            edit(".clamp(min=1)", ""): "its loss counts as 0, not as 0/0",
            edit(
                "    p = p * torch.exp(eta * means)\n    p = p / p.sum()\n    return p, p @ means",
                "    new = p * torch.exp(eta * means)\n    return new / new.sum(), p @ means",
            ): "the robust loss uses the new weights",
            edit(
                "p = p * torch.exp(eta * means)\n    p = p / p.sum()", "p *= torch.exp(eta * means)\n    p /= p.sum()"
            ): ("p has changed"),
            edit(" / counts", ""): "for the mean loss 1 of group 0",
        },
    ),
    "Q5": Variants(
        right=[
            """
def adapt(h, mean, var, gamma, beta, size):       # PyTorch's own
    done = []
    for start in range(0, len(h), size):
        batch = h[start:start + size]
        if len(batch) == 1:
            done.append(torch.nn.functional.batch_norm(batch, mean, var, gamma, beta, training=False))
        else:
            done.append(torch.nn.functional.batch_norm(batch, None, None, gamma, beta, training=True))
    return torch.cat(done)
""",
            """
def adapt(h, mean, var, gamma, beta, size):
    out = torch.empty_like(h)
    for i in range(len(h)):
        first = i // size * size
        batch = h[first:first + size]
        m, v = (mean, var) if len(batch) < 2 else (batch.mean(0), (batch**2).mean(0) - batch.mean(0) ** 2)
        out[i] = beta + gamma * (h[i] - m) * torch.rsqrt(v + 1e-5)
    return out
""",
        ],
        wrong={
            edit("batch.var(dim=0, unbiased=False)", "batch.var(dim=0)"): "divided by N: plus and minus 1",
            edit("for batch in h.split(size):", "for batch in [h]:"): "each batch by its own mean",
            edit("alone = len(batch) == 1", "alone = False"): "a single row: the training statistics",
            edit("h.split(size)", "h[: len(h) // size * size].split(size)"): "the rest of the stream too",
            edit("alone = len(batch) == 1", "alone = len(batch) < size"): HIDDEN,
        },
    ),
    "Q6": Variants(
        right=[
            """
def fit(x, y, group, x_new):                      # L-BFGS on the mean of the group means
    w = torch.zeros(65, dtype=x.dtype, requires_grad=True)
    optimizer = torch.optim.LBFGS([w], max_iter=500, tolerance_grad=1e-9, tolerance_change=1e-14,
                                  line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        each = torch.nn.functional.binary_cross_entropy_with_logits(x @ w[1:] + w[0], y, reduction="none")
        loss = sum(each[group == d].mean() for d in range(4)) / 4 + 0.005 * (w[1:] ** 2).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return torch.sigmoid(x_new @ w[1:] + w[0]).detach()
""",
            """
def fit(x, y, group, x_new):                      # plain gradient descent, with momentum
    share = 1 / (4 * torch.bincount(group)[group].double())
    w, b = torch.zeros(64, dtype=x.dtype), torch.zeros((), dtype=x.dtype)
    v, u = torch.zeros_like(w), torch.zeros_like(b)
    for _ in range(6000):
        error = share * (torch.sigmoid(x @ w + b) - y)
        v, u = 0.95 * v + x.T @ error + 0.01 * w, 0.95 * u + error.sum()
        w, b = w - 0.05 * v, b - 0.05 * u
    return torch.sigmoid(x_new @ w + b)
""",
        ],
        wrong={
            edit(
                "1 / (4 * torch.bincount(group, minlength=4)[group].double())", "torch.full_like(y, 1 / len(y))"
            ): "not at the minimum of the balanced loss",
            edit("    penalty[-1] = 0\n", ""): "not at the minimum of the balanced loss",
            edit("torch.full((65,), 0.01", "torch.full((65,), 0.005"): "penalty included",
            edit("return torch.sigmoid(x_new @ w[:-1] + w[-1])", "return x_new @ w[:-1] + w[-1]"): (
                "is the sigmoid missing?"
            ),
            edit("range(15)", "range(1)"): "not at the minimum",
        },
    ),
}
