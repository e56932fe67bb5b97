"""Answers to `optimization/normalization`."""

from tests.grading.variants import HIDDEN, Variants, edit

ASSIGNMENT = "optimization/normalization"
VARIANTS = {
    "Q1": Variants(
        right=[
            """
def standardize(x_train, x_new, continuous):      # all columns at once, then choose
    still = (x_train == x_train[:1]).all(dim=0)
    mean = torch.where(still, x_train[0], x_train.mean(dim=0))
    std = torch.where(still, torch.ones_like(mean), x_train.std(dim=0, correction=0))
    chosen = torch.zeros(x_train.shape[1], dtype=torch.bool)
    chosen[continuous] = True
    return torch.where(chosen, (x_new - mean) / std, x_new)
""",
            """
def standardize(x_train, x_new, continuous):      # in plain Python
    columns = [list(column) for column in zip(*x_new.tolist())]
    for d in continuous:
        seen = x_train[:, d].tolist()
        center, scale = seen[0], 1.0
        if len(set(seen)) > 1:
            center = math.fsum(seen) / len(seen)
            scale = math.sqrt(math.fsum((v - center) ** 2 for v in seen) / len(seen))
        columns[d] = [(v - center) / scale for v in columns[d]]
    return torch.tensor(columns, dtype=torch.float64).T
""",
        ],
        wrong={
            edit("out = x_new.clone()", "out = x_new"): "you changed a table",
            edit("        column = x_train[:, d]\n", "        column = x_new[:, d]\n"): "mean 3, variance 8/3",
            edit("correction=0", "correction=1"): "mean 3, variance 8/3",
            edit("constant = column.min() == column.max()", "constant = column.std(correction=0) == 0"): (
                "even if rounding hides that it is constant"
            ),
            edit("for d in continuous:", "for d in range(x_train.shape[1]):"): "only the continuous columns",
        },
    ),
    "Q2": Variants(
        right=[
            """
def batch_norm(x, running_mean, running_var, training, eps, momentum):      # PyTorch's own, on copies
    mean, var = running_mean.clone(), running_var.clone()
    y = F.batch_norm(x, mean, var, training=training, eps=eps, momentum=momentum)
    return y, mean, var
""",
            """
def batch_norm(x, running_mean, running_var, training, eps, momentum):      # one long row per channel
    rows = x.transpose(0, 1).flatten(1)
    mean, var = running_mean, running_var
    if training:
        n = rows.shape[1]
        mean = rows.sum(dim=1) / n
        var = (rows - mean[:, None]).square().sum(dim=1) / n
        running_mean = torch.lerp(running_mean, mean, momentum)
        running_var = torch.lerp(running_var, var * n / (n - 1), momentum)
    y = (rows - mean[:, None]) * (var + eps).rsqrt()[:, None]
    return y.view(x.shape[1], x.shape[0], *x.shape[2:]).transpose(0, 1), running_mean, running_var
""",
        ],
        wrong={
            edit("(var.view(1, -1, 1, 1) + eps).sqrt()", "(var.view(1, -1, 1, 1).sqrt() + eps)"): (
                "epsilon inside the root"
            ),
            edit("correction=1", "correction=0"): "divides by the count minus one",
            edit(
                "(1 - momentum) * running_mean + momentum * mean", "momentum * running_mean + (1 - momentum) * mean"
            ): "momentum is the weight of the new value",
            edit("    if training:\n", "    if True:\n"): "eval mode remembers nothing new",
            edit(
                "mean, var = x.mean(dim=(0, 2, 3)), x.var(dim=(0, 2, 3), correction=0)",
                "mean, var = x.mean(dim=(1, 2, 3)), x.var(dim=(1, 2, 3), correction=0)",
            ): "which axes are pooled",
            edit(
                "running_mean = (1 - momentum) * running_mean + momentum * mean",
                "running_mean.mul_(1 - momentum).add_(momentum * mean)",
            ): HIDDEN,
        },
    ),
    "Q3": Variants(
        right=[
            """
def shares(norm, shape, groups, a, b):            # ask torch: whom does the mean of a's group depend on?
    x = torch.zeros(shape)
    x[b] = 1
    n, c, h, w = a
    size = shape[1] // groups
    first = c // size * size
    pools = {"batch": x[:, c], "layer": x[n], "channels": x[n, :, h, w], "instance": x[n, c],
             "group": x[n, first:first + size]}
    gammas = torch.zeros(shape)
    gammas[:, c] = 1
    if norm == "layer":
        gammas = torch.zeros(shape)
        gammas[:, c, h, w] = 1
    return [bool(pools[norm].sum() > 0), bool(gammas[b] > 0)]
""",
            """
def shares(norm, shape, groups, a, b):
    key = {
        "batch": lambda n, c, h, w: (c,),
        "layer": lambda n, c, h, w: (n,),
        "channels": lambda n, c, h, w: (n, h, w),
        "instance": lambda n, c, h, w: (n, c),
        "group": lambda n, c, h, w: (n, c * groups // shape[1]),
    }[norm]
    own = (lambda n, c, h, w: (c, h, w)) if norm == "layer" else (lambda n, c, h, w: c)
    return [key(*a) == key(*b), own(*a) == own(*b)]
""",
        ],
        wrong={
            edit('"channels": n == n2 and place == place2', '"channels": n == n2'): "each place has its own mean",
            edit('c == c2 and (norm != "layer" or place == place2)', "same_mean"): "a gamma for each channel and place",
            edit("c // size == c2 // size", "c % groups == c2 % groups"): "channels 2 and 3 are the second",
            edit('"instance": n == n2 and c == c2', '"instance": c == c2'): "each image on its own",
            edit("size = shape[1] // groups", "size = groups"): "two groups of six channels",
            edit('c == c2 and (norm != "layer" or place == place2)', "c == c2"): "a gamma for each channel and place",
        },
    ),
    "Q4": Variants(
        right=[
            """
def backward(g, x, gamma, eps):                   # by matrices: the Jacobian of each column
    n, d = x.shape
    by_x, by_gamma = torch.empty_like(x), torch.empty_like(gamma)
    for j in range(d):
        centered = x[:, j] - x[:, j].mean()
        std = (centered.square().mean() + eps).sqrt()
        hat = centered / std
        jacobian = (torch.eye(n, dtype=x.dtype) - 1 / n - torch.outer(hat, hat) / n) * gamma[j] / std
        by_x[:, j], by_gamma[j] = jacobian.T @ g[:, j], hat @ g[:, j]
    return by_x, by_gamma, g.sum(dim=0)
""",
            """
def backward(g, x, gamma, eps):                   # the chain, node by node
    n = len(x)
    centered = x - x.sum(dim=0) / n
    inverse = (centered.square().sum(dim=0) / n + eps) ** -0.5
    by_hat = g * gamma
    by_var = (by_hat * centered).sum(dim=0) * -0.5 * inverse**3
    by_centered = by_hat * inverse + by_var * 2 * centered / n
    return by_centered - by_centered.mean(dim=0), (g * centered * inverse).sum(dim=0), g.sum(dim=0)
""",
        ],
        wrong={
            edit("g - g.mean(dim=0) - x_hat * (g * x_hat).mean(dim=0)", "g"): "sum to 0",
            edit(" - x_hat * (g * x_hat).mean(dim=0)", ""): "the variance depends on x too",
            edit("(g * x_hat).mean(dim=0))", "(g * x_hat).sum(dim=0))"): "the variance depends on x too",
            edit("gamma / std", "1 / std"): "multiplies by gamma / sqrt",
            edit("(x.var(dim=0, correction=0) + eps).sqrt()", "x.std(dim=0, correction=0) + eps"): "inside the root",
            edit("x_hat).sum(dim=0), g.sum", "x_hat).sum(dim=0), g.mean"): "the sum over the rows",
        },
    ),
    "Q5": Variants(
        right=[
            """
def remeasure(model, rows):                       # by hand, layer after layer
    h = rows
    with torch.no_grad():
        for layer in model:
            if isinstance(layer, nn.BatchNorm1d):
                layer.running_mean.copy_(h.mean(dim=0))
                layer.running_var.copy_(h.var(dim=0))
                h = F.batch_norm(h, None, None, layer.weight, layer.bias, training=True, eps=layer.eps)
            else:
                h = layer(h)
""",
            """
def remeasure(model, rows):                       # momentum None averages all batches since the reset: one
    layers = [m for m in model if isinstance(m, nn.BatchNorm1d)]
    kept = {m: m.momentum for m in layers}
    for m in layers:
        m.reset_running_stats()
        m.momentum = None
        m.train()
    model(rows)
    for m in layers:
        m.momentum = kept[m]
        m.eval()
""",
        ],
        wrong={
            edit("        layer.momentum = 1.0\n", "        pass\n"): "nothing left of the old average",
            edit("    model.train()\n", ""): "nothing left of the old average",
            edit("    model.eval()\n", ""): "the model was in eval mode",
            edit("layer.momentum = momentum", "pass"): "momentum must be what it was",
            edit("        model(rows)\n", "        for part in rows.split(8):\n            model(part)\n"): (
                "nothing left of the old average"
            ),
            """
def remeasure(model, rows):                       # the biased variance
    h = rows
    with torch.no_grad():
        for layer in model:
            if isinstance(layer, nn.BatchNorm1d):
                layer.running_mean.copy_(h.mean(dim=0))
                layer.running_var.copy_(h.var(dim=0, correction=0))
                h = F.batch_norm(h, None, None, layer.weight, layer.bias, training=True, eps=layer.eps)
            else:
                h = layer(h)
""": "the unbiased one",
            """
def remeasure(model, rows):                       # the second layer hears the first one's old averages
    h = rows
    with torch.no_grad():
        for layer in model:
            out = layer(h)
            if isinstance(layer, nn.BatchNorm1d):
                layer.running_mean.copy_(h.mean(dim=0))
                layer.running_var.copy_(h.var(dim=0))
            h = out
""": "the second layer sees",
        },
    ),
    "Q6": Variants(
        right=[
            """
def plan(n):                                      # torch splits evenly
    return "batch", [len(part) for part in torch.tensor_split(torch.arange(n), n // 64 + 1)]
""",
            """
def plan(n):                                      # full batches, and two halves of the rest
    full, rest = divmod(n, 64)
    rest += 64
    return ["batch", [64] * (full - 1) + [rest // 2, rest - rest // 2]]
""",
        ],
        wrong={
            """
def plan(n):
    return "batch", [64] * (n // 64) + ([n % 64] if n % 64 else [])
""": "a step that is far too long",
            edit('"batch"', '"layer"'): "the network is lost with this norm",
            edit('"batch"', '"none"'): "the network is lost with this norm",
            """
def plan(n):
    return "batch", [64] * (n // 64)
""": "the sizes must sum to n",
            """
def plan(n):
    return "batch", [64] * (n // 64 - 1) + [64 + n % 64]
""": "a batch holds 1 to 64 images",
            """
def plan(n):
    return "batch", [8] * (n // 8) + ([n % 8] if n % 8 else [])
""": "a step that is far too long",
        },
    ),
}
