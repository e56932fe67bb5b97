"""Answers to `optimization/regularization`."""

from tests.grading.variants import HIDDEN, Variants, edit

ASSIGNMENT = "optimization/regularization"
VARIANTS = {
    "Q1": Variants(
        right=[
            """
def ridge(X, y, lam):                             # a column of ones, and a penalty that leaves it out
    A = torch.cat([X, torch.ones(len(X), 1, dtype=X.dtype)], dim=1)
    penalty = lam * torch.eye(A.shape[1], dtype=X.dtype)
    penalty[-1, -1] = 0
    solution = torch.linalg.solve(A.T @ A + penalty, A.T @ y)
    return solution[:-1], solution[-1]
""",
            """
def ridge(X, y, lam):                             # in the space of the rows
    A, t = X - X.mean(0), y - y.mean()
    w = A.T @ torch.linalg.solve(A @ A.T + lam * torch.eye(len(X), dtype=X.dtype), t)
    return w, float(y.mean() - X.mean(0) @ w)
""",
            """
def ridge(X, y, lam):
    from sklearn.linear_model import Ridge
    model = Ridge(alpha=lam).fit(X.numpy(), y.numpy())
    return torch.tensor(model.coef_), model.intercept_
""",
        ],
        wrong={
            """
def ridge(X, y, lam):                             # the bias pays too
    A = torch.cat([X, torch.ones(len(X), 1, dtype=X.dtype)], dim=1)
    solution = torch.linalg.solve(A.T @ A + lam * torch.eye(A.shape[1], dtype=X.dtype), A.T @ y)
    return solution[:-1], solution[-1]
""": "a huge penalty leaves the bias",
            edit("A.T @ A + lam", "A.T @ A + 2 * lam"): "halve both terms",
            edit("A.T @ A + lam", "A.T @ A + len(X) * lam"): "do not divide by N",
            edit("level - center @ w", "level"): "with its bias",
            edit("A = X - center", "A = X"): "almost no penalty: the line y = 2 x + 1",
        },
    ),
    "Q2": Variants(
        right=[
            """
def lasso(X, y, lam):                             # one coordinate at a time
    w, square = torch.zeros(X.shape[1], dtype=X.dtype), (X**2).sum(0)
    for _ in range(300):
        for j in range(len(w)):
            w[j] = 0
            pull = X[:, j] @ (y - X @ w)
            w[j] = torch.sign(pull) * torch.relu(pull.abs() - lam) / square[j]
    return w
""",
            """
def lasso(X, y, lam):                             # with momentum, and the trace as a safe bound of the curvature
    rate = 1 / (X**2).sum()
    w = v = torch.zeros(X.shape[1], dtype=X.dtype)
    for k in range(4000):
        new = v - rate * X.T @ (X @ v - y)
        new = torch.where(new.abs() > rate * lam, new - rate * lam * new.sign(), 0.0)
        v, w = new + k / (k + 3) * (new - w), new
    return w
""",
        ],
        wrong={
            edit(
                "w = w.sign() * (w.abs() - rate * lam).clamp(min=0)", "w = w - rate * lam * w.sign()"
            ): "the third weight is exactly 0",
            edit("(w.abs() - rate * lam)", "(w.abs() - lam)"): "the threshold shrinks with the rate",
            edit("(w.abs() - rate * lam)", "(w.abs() - lam / len(X))"): "soft threshold of its label",
            edit("(w.abs() - rate * lam).clamp(min=0)", "(w.abs() - rate * lam)"): "the third weight is exactly 0",
            """
def lasso(X, y, lam):                             # thresholds the least-squares weights once
    w = torch.linalg.lstsq(X, y[:, None]).solution[:, 0]
    threshold = lam / (X**2).sum(0)
    return w.sign() * (w.abs() - threshold).clamp(min=0)
""": HIDDEN,
        },
    ),
    "Q3": Variants(
        right=[
            """
def dropout(h, u, p, training):
    out = h.clone()
    if training:
        out[u < p] = 0
        if p < 1:
            out = out / (1 - p)
    return out
""",
            """
def dropout(h, u, p, training):                   # one number at a time
    if not training:
        p = 0.0
    rows = [[a / (1 - p) if b >= p and p < 1 else 0.0 for a, b in zip(*pair)] for pair in zip(h.tolist(), u.tolist())]
    return torch.tensor(rows, dtype=h.dtype)
""",
        ],
        wrong={
            edit("h / (1 - p)", "h / p"): "divided by the probability of keeping",
            edit("return h.clone()", "return h * (1 - p)"): "nothing is scaled",
            edit("keep = u >= p", "keep = u < p"): "only the unit with u = 0.1 is dropped",
            edit("keep = u >= p", "keep = u >= p\n    h *= keep"): "the input must stay as it was",
            edit("keep = u >= p", "keep = u > p"): HIDDEN,
            edit(
                "torch.where(keep, h / (1 - p), 0.0) if p < 1 else torch.zeros_like(h)", "h * keep / (1 - p)"
            ): "zeros, no nan",
        },
    ),
    "Q4": Variants(
        right=[
            """
def early_stop(losses, patience, min_delta):      # first mark the improvements, then look for the gap
    better, reference = [], float("inf")
    for epoch, loss in enumerate(losses):
        if not math.isnan(loss) and reference - loss > min_delta:
            better.append(epoch)
            reference = loss
    edges = [-1] + better + [10**9]
    for k, (this, following) in enumerate(zip(edges, edges[1:])):
        if following > this + patience and this + patience < len(losses):
            return [max(this, 0), this + patience]
    return [better[-1] if better else 0, len(losses) - 1]
""",
            """
def early_stop(losses, patience, min_delta):
    last_good, reference, epoch = -1, None, 0
    while True:
        if losses[epoch] == losses[epoch] and (reference is None or losses[epoch] < reference - min_delta):
            last_good, reference = epoch, losses[epoch]
        if epoch - last_good == patience or epoch == len(losses) - 1:
            return max(last_good, 0), epoch
        epoch += 1
""",
        ],
        wrong={
            edit("waited >= patience", "waited > patience"): "the 3.0 is never seen",
            edit("loss < lowest - min_delta", "loss <= lowest - min_delta"): "a tie is no improvement",
            edit("loss < lowest - min_delta", "loss < lowest"): "lower than 3.0 by more than 0.2",
            edit(
                "        if loss < lowest - min_delta:",
                "        if loss < (losses[epoch - 1] if epoch else math.inf) - min_delta:",
            ): "the 3.0 is never seen",
            edit("if loss < lowest - min_delta:", "if not loss >= lowest - min_delta:"): "nan never improves",
            edit("return [best, epoch]", "return [best, epoch + 1]"): "the 3.0 is never seen",
        },
    ),
    "Q5": Variants(
        right=[
            """
def decompose(predictions, truth, sigma):         # bias² from pairs of different models
    M, miss = len(predictions), predictions - truth
    total = miss.sum(dim=0)
    bias2 = ((total**2 - (miss**2).sum(dim=0)) / (M * (M - 1))).mean()
    variance = (miss**2).mean() - bias2
    return [float(bias2), float(variance), float((miss**2).mean() + sigma**2)]
""",
            """
def decompose(predictions, truth, sigma):         # by loops, in plain Python
    M, N = predictions.shape
    bias2 = variance = 0.0
    for j in range(N):
        column = predictions[:, j].tolist()
        middle = sum(column) / M
        spread = sum((value - middle) ** 2 for value in column) / (M - 1)
        variance += spread / N
        bias2 += ((middle - float(truth[j])) ** 2 - spread / M) / N
    return bias2, variance, bias2 + variance + sigma * sigma
""",
        ],
        wrong={
            edit("predictions.var(dim=0)", "predictions.var(dim=0, correction=0)"): "M - 1 = 1 in the denominator",
            edit(" - variance / len(predictions)", ""): "of that, variance / M = 1 is scatter",
            edit("sigma**2]", "sigma]"): "bias² + variance + noise variance",
            edit(
                "(predictions.mean(dim=0) - truth).square().mean()", "(predictions.mean() - truth.mean()) ** 2"
            ): "mean squared miss of the mean fit",
            edit("predictions.var(dim=0)", "predictions.var(dim=1)"): "the sample variance at each place",
        },
    ),
    "Q6": Variants(
        right=[
            """
def predict(x):                                   # a smoother kernel for each pair of places
    def similar(a, b):
        return torch.exp(-((a[:, None] - b) ** 2) / (2 * 0.3**2))
    weights = torch.linalg.solve(similar(x_train, x_train) + 0.1 * torch.eye(40, dtype=torch.float64), y_train)
    return similar(x, x_train) @ weights
""",
            """
def predict(x):                                   # few enough weights
    A, B = (torch.stack([places**k for k in range(6)], dim=1) for places in (x_train, x))
    return B @ torch.linalg.lstsq(A, y_train[:, None]).solution[:, 0]
""",
            """
def predict(x):                                   # an average of polynomials on bootstrap samples
    g, total = torch.Generator().manual_seed(0), 0
    A, B = (torch.stack([places**k for k in range(6)], dim=1) for places in (x_train, x))
    for _ in range(50):
        rows = torch.randint(40, (40,), generator=g)
        gram = A[rows].T @ A[rows] + 1e-3 * torch.eye(6, dtype=torch.float64)
        total = total + B @ torch.linalg.solve(gram, A[rows].T @ y_train[rows]) / 50
    return total
""",
        ],
        wrong={
            """
def predict(x):
    import numpy as np
    fit = np.polynomial.legendre.legfit(x_train.numpy(), y_train.numpy(), 20)
    return torch.tensor(np.polynomial.legendre.legval(x.numpy(), fit))
""": "the fit follows the noise",
            """
def predict(x):
    return y_train[(x[:, None] - x_train).abs().argmin(dim=1)]
""": "the fit follows the noise",
            """
def predict(x):
    A, B = (torch.stack([places**k for k in range(4)], dim=1) for places in (x_train, x))
    return B @ torch.linalg.lstsq(A, y_train[:, None]).solution[:, 0]
""": "too stiff",
            """
def predict(x):
    weight = torch.exp(-((x[:, None] - x_train) ** 2) / (2 * 0.2**2))
    return weight @ y_train / weight.sum(dim=1)
""": "too stiff",
        },
    ),
}
