"""Answers to `mlp/linear-models`."""

from tests.grading.variants import HIDDEN, Variants, edit

ASSIGNMENT = "mlp/linear-models"
VARIANTS = {
    "Q1": Variants(
        right=[
            """
def cross_entropy(z, label):                      # in double precision, one row at a time
    losses = []
    for row, y in zip(z.double(), label):
        top = row.max()
        losses.append(top + torch.log(torch.exp(row - top).sum()) - row[y])
    return torch.stack(losses).mean()
""",
            """
def cross_entropy(z, label):                      # differences to the true class
    lead = z - z.gather(1, label[:, None])
    top = lead.amax(dim=1, keepdim=True)
    return (top[:, 0] + (lead - top).exp().sum(dim=1).log()).mean()
""",
        ],
        wrong={
            edit("    z = z - z.max(dim=1, keepdim=True).values\n", ""): "huge logits: subtract the row's largest one",
            edit(".mean()", ".sum()"): "the loss is log C, per row",
            """
def cross_entropy(z, label):
    p = (z - z.max(dim=1, keepdim=True).values).exp()
    p = p / p.sum(dim=1, keepdim=True)
    return -p[torch.arange(len(z)), label].log().mean()
""": "take no log of 0",
            edit("z = z - z.max(dim=1, keepdim=True).values", "z = z - z.max()"): HIDDEN,
        },
    ),
    "Q2": Variants(
        right=[
            """
def gradients(x, label, weight, bias):            # by loops
    for_weight, for_bias = torch.zeros_like(weight), torch.zeros_like(bias)
    for row, y in zip(x, label):
        error = torch.softmax(weight @ row + bias, dim=0)
        error[y] -= 1
        for_weight += torch.outer(error, row) / len(x)
        for_bias += error / len(x)
    return for_weight, for_bias
""",
            """
def gradients(x, label, weight, bias):
    onehot = torch.eye(len(bias), dtype=x.dtype)[label]
    error = (torch.softmax(x @ weight.T + bias, dim=1) - onehot) / len(x)
    return torch.einsum("nc,nd->cd", error, x), error.sum(0)
""",
        ],
        wrong={
            edit("error.T @ x", "x.T @ error"): "the shape of the weight: (C, D)",
            edit("    error = error / len(x)\n", ""): "the mean, not the sum",
            edit(
                "return error.T @ x, error.sum(dim=0)", "return -error.T @ x, -error.sum(dim=0)"
            ): "prediction minus truth",
            edit("x @ weight.T + bias", "x @ weight.T"): HIDDEN,
        },
    ),
    "Q3": Variants(
        right=[
            """
def train(x, y, lr, l2, steps):
    w = torch.zeros(x.shape[1], dtype=x.dtype)
    spared = torch.ones_like(w)
    spared[-1] = 0
    for _ in range(steps):
        w = w - lr * ((torch.sigmoid(x @ w) - y) @ x / len(y) + l2 * spared * w)
    return w
""",
            """
def train(x, y, lr, l2, steps):                   # let autograd do it
    w = torch.zeros(x.shape[1], dtype=x.dtype, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=lr)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(x @ w, y) + l2 / 2 * (w[:-1] ** 2).sum()
        loss.backward()
        optimizer.step()
    return w.detach()
""",
        ],
        wrong={
            edit("x.T @ error / len(y)", "x.T @ error"): "the loss is a mean",
            edit("l2 * w[:-1]", "l2 / 2 * w[:-1]"): "the derivative of l2 / 2 * w**2 is l2 * w",
            edit("gradient[:-1] += l2 * w[:-1]", "gradient += l2 * w"): "the penalty spares the bias",
            edit("w = w - lr", "w = w + lr"): "toward class 1",
        },
    ),
    "Q4": Variants(
        right=[
            """
def report(said, truth):
    said, truth = torch.tensor(said), torch.tensor(truth)
    tp, alarms, positives = (said & truth).sum(), said.sum(), truth.sum()
    f1 = 2 * tp / (alarms + positives)                      # tensors: 0/0 is nan
    return [(said == truth).float().mean(), tp / alarms, tp / positives, f1]
""",
            """
def report(said, truth):
    cells = {(s, t): 0 for s in (False, True) for t in (False, True)}
    for pair in zip(said, truth):
        cells[pair] += 1
    tp, fp, fn, tn = cells[True, True], cells[True, False], cells[False, True], cells[False, False]
    precision = tp / (tp + fp) if tp + fp else math.nan
    recall = tp / (tp + fn) if tp + fn else math.nan
    if not tp + fp + fn:
        f1 = math.nan
    elif not tp:
        f1 = 0.0
    else:
        f1 = 2 * precision * recall / (precision + recall)
    return [(tp + tn) / len(said), precision, recall, f1]
""",
        ],
        wrong={
            edit("share(tp, tp + fp), share(tp, tp + fn)", "share(tp, tp + fn), share(tp, tp + fp)"): (
                "of the alarms, how many are real?"
            ),
            edit("else math.nan", "else 0.0"): "no alarm: precision is 0/0",
            """
def report(said, truth):
    tp = sum(s and t for s, t in zip(said, truth))
    p = tp / sum(said) if sum(said) else math.nan
    r = tp / sum(truth) if sum(truth) else math.nan
    f1 = 2 * p * r / (p + r) if p + r else math.nan
    return [sum(s == t for s, t in zip(said, truth)) / len(said), p, r, f1]
""": "F1 is 0, although precision is nan",
            edit("right = sum(s == t for s, t in zip(said, truth))", "right = tp"): "right verdicts of both kinds",
        },
    ),
    "Q5": Variants(
        right=[
            """
def best_threshold(scores, truth, recall):
    def rates(threshold):
        said = [s >= threshold for s in scores]
        tp = sum(a and b for a, b in zip(said, truth))
        return tp / sum(said), tp / sum(truth)
    allowed = [t for t in set(scores) if rates(t)[1] >= recall - 1e-9]
    return min(allowed, key=lambda t: (-rates(t)[0], t))
""",
            """
def best_threshold(scores, truth, recall):        # one pass from the top
    order = sorted(zip(scores, truth), reverse=True)
    found, best, where = 0, -1.0, None
    for i, (score, real) in enumerate(order, start=1):
        found += real
        last_of_its_kind = i == len(order) or order[i][0] < score
        if last_of_its_kind and found >= recall * sum(truth) - 1e-9 and found / i >= best:
            best, where = found / i, score
    return where
""",
        ],
        wrong={
            """
def best_threshold(scores, truth, recall):
    for threshold in sorted(set(scores), reverse=True):
        if sum(t for s, t in zip(scores, truth) if s >= threshold) >= recall * sum(truth):
            return threshold
""": "precision is not monotone",
            edit("> best:", ">= best:"): "the lower threshold finds more",
            edit("if s >= threshold]", "if s > threshold] or [False]"): "the lowest positive must be found",
            edit("if enough and", "if"): "recall 1: the lowest positive must be found",
        },
    ),
    "Q6": Variants(
        right=[
            """
def fit(x, y):                                    # Newton's method, in any units
    x = torch.cat([x, torch.ones(len(x), 1, dtype=x.dtype)], dim=1)
    w = torch.zeros(3, dtype=x.dtype)
    for _ in range(25):
        p = torch.sigmoid(x @ w)
        w = w - torch.linalg.solve((x * (p * (1 - p))[:, None]).T @ x, x.T @ (p - y))
    return torch.sigmoid(x @ w)
""",
            """
def fit(x, y):
    model = torch.nn.Linear(2, 1).double()
    x = (x - x.mean(0)) / x.std(0)
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=300, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(model(x)[:, 0], y)
        loss.backward()
        return loss

    optimizer.step(closure)
    return torch.sigmoid(model(x)[:, 0]).detach()
""",
        ],
        wrong={
            edit("(x - x.mean(0)) / x.std(0)", "x"): "the mean probability is the share of positives",
            edit("/ len(y)", "/ len(y) - 0.1 * w * torch.tensor([1.0, 1.0, 0.0])"): "not at the minimum",
            edit("(torch.sigmoid(x @ w) - y)", "(torch.sigmoid(x @ w) - y + 0.01 * w[0])"): (
                "the mean probability is the share of positives"
            ),
            """
def fit(x, y):
    x = torch.cat([(x - x.mean(0)) / x.std(0), torch.ones(len(x), 1, dtype=x.dtype)], dim=1)
    return x @ torch.linalg.lstsq(x, y[:, None]).solution[:, 0]
""": "these are no probabilities",
        },
    ),
}
