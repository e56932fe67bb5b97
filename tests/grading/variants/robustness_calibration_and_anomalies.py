"""Answers to `robustness/calibration-and-anomalies`."""

from tests.grading.variants import Variants, edit

ASSIGNMENT = "robustness/calibration-and-anomalies"
VARIANTS = {
    "Q1": Variants(
        right=[
            """
def errors(p, right, M):
    index = torch.bucketize(p, torch.arange(1, M) / M)                  # right=False: (lower, upper]
    count = torch.bincount(index, minlength=M)
    hits = torch.bincount(index, weights=right.double(), minlength=M)
    total = torch.bincount(index, weights=p, minlength=M)
    gap = (hits - total).abs()                                          # count times the gap
    return [(gap.sum() / len(p)).item(), (gap / count.clamp(min=1)).max().item()]
""",
            """
def errors(p, right, M):
    cells = {}
    for value, hit in zip(p.tolist(), right.tolist()):
        cells.setdefault(math.ceil(value * M), []).append(hit - value)
    ece = sum(abs(sum(cell)) for cell in cells.values()) / len(p)
    return [ece, max(abs(sum(cell)) / len(cell) for cell in cells.values())]
""",
        ],
        wrong={
            edit("(p > m / M) & (p <= (m + 1) / M)", "(p >= m / M) & (p < (m + 1) / M)"): "belongs to the lower bin",
            edit("        if inside.any():\n            gaps", "        if True:\n            gaps"): (
                "an empty bin has no accuracy"
            ),
            edit(".abs().item()", ".item()"): "take absolute values",
            edit("sum(w * g for w, g in zip(weights, gaps))", "sum(gaps) / len(gaps)"): "its share of the answers",
            """
def errors(p, right, M):
    index = (p * M).long().clamp(max=M - 1)
    ece, mce = 0.0, 0.0
    for m in index.unique():
        inside = index == m
        gap = (right[inside].double().mean() - p[inside].mean()).abs().item()
        ece, mce = ece + inside.double().mean().item() * gap, max(mce, gap)
    return [ece, mce]
""": "belongs to the lower bin",
        },
    ),
    "Q2": Variants(
        right=[
            """
def fit_temperature(z, y):                        # PyTorch's solver, on log T
    log_T = torch.zeros((), dtype=z.dtype, requires_grad=True)
    solver = torch.optim.LBFGS([log_T], max_iter=100, line_search_fn="strong_wolfe")

    def closure():
        solver.zero_grad()
        loss = torch.nn.functional.cross_entropy(z / log_T.exp(), y)
        loss.backward()
        return loss

    solver.step(closure)
    return log_T.exp()
""",
            """
def fit_temperature(z, y):                        # a grid that is refined
    low, high = math.log(0.05), math.log(20)
    for _ in range(8):
        grid = torch.linspace(low, high, 31, dtype=z.dtype)
        losses = [torch.nn.functional.cross_entropy(z / t.exp(), y).item() for t in grid]
        best = min(range(31), key=losses.__getitem__)
        low, high = grid[max(best - 1, 0)].item(), grid[min(best + 1, 30)].item()
    return math.exp((low + high) / 2)
""",
        ],
        wrong={
            edit("return 1 / beta", "return beta"): "T is above 1",
            edit("    z_true = z", "    z = z.softmax(dim=1)\n        z_true = z"): "divides the logits",
            edit("range(50)", "range(5)"): "T is above 1",
            edit("low, high = 1 / 20, 1 / 0.05", "low, high = 1 / 20, 1"): "under-confident logits: T is below 1",
            edit("(beta * z).softmax(dim=1)", "(beta * z).exp() / (beta * z).exp().sum(dim=1, keepdim=True)"): (
                "no exponential may overflow"
            ),
        },
    ),
    "Q3": Variants(
        right=[
            """
def ensemble(z, y, T):                            # powers instead of logarithms
    p = sum(torch.softmax(member, dim=1) for member in z) / len(z)
    p = p ** (1 / T)
    p = p / p.sum(dim=1, keepdim=True)
    confidence, guess = torch.max(p, dim=1)
    return confidence, guess == y
""",
            """
def ensemble(z, y, T):                            # all in logarithms
    log_p = torch.logsumexp(z.log_softmax(dim=-1), dim=0) - math.log(len(z))
    log_p = torch.log_softmax(log_p / T, dim=-1)
    return log_p.amax(dim=-1).exp(), log_p.argmax(dim=-1).eq(y)
""",
        ],
        wrong={
            edit("z.softmax(dim=-1).mean(dim=0)", "z.mean(dim=0).softmax(dim=-1)"): "average probabilities, not logits",
            edit("p.log() / T", "p / T"): "a softmax of probabilities flattens it",
            edit("p.max(dim=-1).values", "p.gather(1, y[:, None])[:, 0]"): "it does not know the label",
            edit("(p.log() / T).softmax(dim=-1)", "(z / T).softmax(dim=-1).mean(dim=0)"): "after averaging",
            edit("z.softmax(dim=-1)", "z.softmax(dim=1)"): "a softmax of probabilities flattens it",
        },
    ),
    "Q4": Variants(
        right=[
            """
def floor(q, n):                                  # the distribution, one answer after the other
    share = [1.0]
    for _ in range(n):
        wrong, right = [v * (1 - q) for v in share] + [0.0], [0.0] + [v * q for v in share]
        share = [a + b for a, b in zip(wrong, right)]
    return sum(p * abs(k / n - q) for k, p in enumerate(share))
""",
            """
def floor(q, n):                                  # de Moivre's closed form of the mean absolute deviation
    k = math.floor(n * q) + 1
    return 2 * k * math.comb(n, k) * q**k * (1 - q) ** (n - k + 1) / n if k <= n else 0.0
""",
        ],
        wrong={
            """
def floor(q, n):
    return math.sqrt(2 / math.pi * q * (1 - q) / n)
""": "one answer: the gap is 0.2 with probability 0.8",
            edit("math.comb(n, k) * ", ""): "there are three ways",
            edit("abs(k / n - q)", "(k / n - q)"): "one answer: the gap is 0.2",
            edit("range(n + 1)", "range(n)"): "one answer: the gap is 0.2",
        },
    ),
    "Q5": Variants(
        right=[
            """
def rate(s_in, s_out):                            # tensors
    a, b = torch.tensor(s_in, dtype=torch.float64), torch.tensor(s_out, dtype=torch.float64)
    steps = torch.cat([a, b]).unique().flip(0)
    tp, fp = (b >= steps[:, None]).sum(1).double(), (a >= steps[:, None]).sum(1).double()
    recall, fpr = tp / len(b), fp / len(a)
    zero = torch.zeros(1, dtype=torch.float64)
    auroc = torch.trapezoid(torch.cat([zero, recall]), torch.cat([zero, fpr]))
    aupr = (torch.cat([zero, recall]).diff() * tp / (tp + fp)).sum()
    return [auroc, aupr, fpr[recall >= 0.95].min()]
""",
            """
def rate(s_in, s_out):                            # by ranks; ties get the mean rank
    both = sorted(s_in + s_out)
    rank = {v: both.index(v) + (both.count(v) + 1) / 2 for v in set(both)}
    n, m = len(s_in), len(s_out)
    auroc = (sum(rank[v] for v in s_out) - m * (m + 1) / 2) / (n * m)
    aupr = 0.0
    for v in s_out:                               # each anomaly adds 1/m times the precision at its own score
        tp, fp = sum(b >= v for b in s_out), sum(a >= v for a in s_in)
        aupr += tp / (tp + fp) / m
    threshold = max(v for v in s_out if 20 * sum(b >= v for b in s_out) >= 19 * m)
    return [auroc, aupr, sum(a >= threshold for a in s_in) / n]
""",
        ],
        wrong={
            edit("(b > a) + (b == a) / 2", "(b > a)"): "a tie, which counts half",
            edit("(b > a) + (b == a) / 2", "(b < a) + (b == a) / 2"): "2 are right and 1 is a tie",
            edit("recall >= 0.95", "recall > 0.95"): "19 of 20 found is enough",
            """
def rate(s_in, s_out):                            # an alarm only above the threshold
    wins = sum((b > a) + (b == a) / 2 for a in s_in for b in s_out)
    aupr, last, fpr95 = 0.0, 0.0, None
    for threshold in sorted({*s_in, *s_out}, reverse=True):
        tp, fp = sum(b > threshold for b in s_out), sum(a > threshold for a in s_in)
        recall = tp / len(s_out)
        aupr += (recall - last) * tp / max(tp + fp, 1)
        last = recall
        if fpr95 is None and recall >= 0.95:
            fpr95 = fp / len(s_in)
    return [wins / len(s_in) / len(s_out), aupr, fpr95]
""": "one threshold, which alarms for everything",
            """
def rate(s_in, s_out):                            # one step per score: ties are put in some order
    order = sorted([(s, 1) for s in s_out] + [(s, 0) for s in s_in], key=lambda pair: -pair[0])
    tp, fp, aupr, fpr95 = 0, 0, 0.0, None
    for _, anomaly in order:
        tp, fp = tp + anomaly, fp + 1 - anomaly
        if anomaly:
            aupr += tp / (tp + fp) / len(s_out)
        if fpr95 is None and tp / len(s_out) >= 0.95:
            fpr95 = fp / len(s_in)
    wins = sum((b > a) + (b == a) / 2 for a in s_in for b in s_out)
    return [wins / len(s_in) / len(s_out), aupr, fpr95]
""": "equal scores raise their alarms together",
        },
    ),
    "Q6": Variants(
        right=[
            """
def recalibrate(z, y, z_new):                     # Newton's method, on all parameters at once
    n, c = z.shape
    features = torch.cat([z[:, :, None], torch.eye(c, dtype=z.dtype)[:, 1:].expand(n, c, c - 1)], dim=2)     # (N, C, c)
    theta = torch.zeros(c, dtype=z.dtype)
    for _ in range(30):
        p = (features @ theta).softmax(dim=1)
        mean = torch.einsum("nc,nck->nk", p, features)
        gradient = (mean - features[torch.arange(n), y]).mean(dim=0)
        second = torch.einsum("nc,nck,ncl->kl", p, features, features) / n - mean.T @ mean / n
        step = torch.linalg.solve(second, gradient)
        theta = theta - step * min(1.0, 2.0 / step.norm().item())
    return (theta[0] * z_new + torch.cat([torch.zeros(1, dtype=z.dtype), theta[1:]])).softmax(dim=1)
""",
            """
def recalibrate(z, y, z_new):                     # Adam, with the bias inside: a (z + b)
    a = torch.ones((), dtype=z.dtype, requires_grad=True)
    b = torch.zeros(z.shape[1], dtype=z.dtype, requires_grad=True)
    optimizer = torch.optim.Adam([{"params": [a], "lr": 0.02}, {"params": [b], "lr": 0.1}])
    for step in range(1200):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(a * (z + b), y).backward()
        optimizer.step()
    return (a * (z_new + b)).softmax(dim=1).detach()
""",
        ],
        wrong={
            edit("LBFGS([a, b]", "LBFGS([a]"): "the biases are not fitted",
            edit("LBFGS([a, b]", "LBFGS([b]"): "the scale is not fitted",
            edit("cross_entropy(a * z + b, y)", "cross_entropy(a * z + b, y) + 0.1 * (b ** 2).sum()"): "biases are not",
            edit("max_iter=200", "max_iter=2"): "at the minimum",
            edit(
                "return (a * z_new + b).softmax(dim=1)", "return (a * z_new + b).softmax(dim=0)"
            ): "one row of probabilities",
        },
    ),
}
