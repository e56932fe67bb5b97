"""Answers to `optimization/gradient-descent`."""

from tests.grading.variants import Variants, edit

ASSIGNMENT = "optimization/gradient-descent"
VARIANTS = {
    "Q1": Variants(
        right=[
            """
def stable_limit(H):
    return 2 / torch.linalg.norm(H, ord=2)
""",
            """
def stable_limit(H):                              # power iteration
    v = torch.ones(len(H)) + 0.1 * torch.arange(len(H))
    for _ in range(2000):
        v = H @ v
        v = v / v.norm()
    return 2 / float(v @ H @ v)
""",
        ],
        wrong={
            edit("2 / torch", "1 / torch"): "the factor 1 - lr * h must stay above -1",
            edit("[-1]", "[0]"): "the steepest direction decides",
            edit("torch.linalg.eigvalsh(H)[-1]", "H.diag().max()"): "the diagonal alone does not tell",
            edit("torch.linalg.eigvalsh(H)[-1]", "torch.trace(H)"): "the steepest direction decides",
        },
    ),
    "Q2": Variants(
        right=[
            """
def sgd_epoch(w, X, y, lr, order, batch_size):
    w = torch.nn.Parameter(w.clone())
    optimizer = torch.optim.SGD([w], lr=lr)
    for rows in order.split(batch_size):
        optimizer.zero_grad()
        F.mse_loss(X[rows] @ w, y[rows]).backward()
        optimizer.step()
    return w.detach()
""",
            """
def sgd_epoch(w, X, y, lr, order, batch_size):
    w = w.tolist()
    for start in range(0, len(order), batch_size):
        rows = order[start:start + batch_size].tolist()
        slope = [0.0] * len(w)
        for i in rows:
            error = sum(a * b for a, b in zip(X[i].tolist(), w)) - float(y[i])
            slope = [s + 2 * error * a / len(rows) for s, a in zip(slope, X[i].tolist())]
        w = [v - lr * s for v, s in zip(w, slope)]
    return torch.tensor(w)
""",
        ],
        wrong={
            edit(" / len(rows)", ""): "the gradient of the MEAN",
            edit(" / len(rows)", " / batch_size"): "divided by its own size",
            edit("order.split", "torch.arange(len(order)).split"): "take the rows in the order given",
            edit("w = w - lr * 2", "w -= lr * 2"): "leave the w that was given as it is",
        },
    ),
    "Q3": Variants(
        right=[
            """
def nesterov(grad, theta, lr, mu, steps):         # with the velocity v = -lr * g
    v = torch.zeros_like(theta)
    for _ in range(steps):
        v = mu * v - lr * grad(theta + mu * v)
        theta = theta + v
    return theta
""",
            """
def nesterov(grad, theta, lr, mu, steps):         # PyTorch stores the point ahead: shift it back
    p = torch.nn.Parameter(theta.clone())
    optimizer = torch.optim.SGD([p], lr=lr, momentum=mu, nesterov=True)
    for _ in range(steps):
        p.grad = grad(p.detach())
        optimizer.step()
    return p.detach() + lr * mu * optimizer.state[p]["momentum_buffer"]
""",
        ],
        wrong={
            edit("lr * mu * g)", "lr * g)"): "look ahead by lr * mu * g",
            edit("g = grad(theta - lr * mu * g)", "g = (1 - mu) * grad(theta - lr * mu * g)"): "g is a sum",
            edit("grad(theta - lr * mu * g)", "grad(theta)"): "no less and no more",
        },
    ),
    "Q4": Variants(
        right=[
            """
def smallest_batch(grads, tolerance):             # solved for B
    N, full = len(grads), grads.mean(dim=0)
    allowed = float(tolerance * full.square().sum())
    spread = float(grads.var(dim=0, correction=0).sum())
    return max(1, math.ceil(spread * N / (allowed * (N - 1) + spread))) if spread else 1
""",
            """
def smallest_batch(grads, tolerance):             # the other form: 1/B - 1/N times the unbiased variance
    N = len(grads)
    noise = grads.var(dim=0).sum()
    B = 1
    while noise * (1 / B - 1 / N) > tolerance * grads.mean(dim=0).square().sum():
        B += 1
    return B
""",
        ],
        wrong={
            edit(" * (N - B) / (N - 1)", ""): "without replacement the error has the factor",
            edit("full.square().sum()", "full.norm()"): "compare squares with squares",
            edit("/ (N - 1)", "/ N"): "without replacement the error has the factor",
        },
    ),
    "Q5": Variants(
        right=[
            """
def tune(low, high):
    return 2.5 / high, 0.7
""",
            """
def tune(low, high):                              # by trial
    def worst(lr, mu):
        left = []
        for i in range(9):
            w, g, h = 1.0, 0.0, low * (high / low) ** (i / 8)
            for _ in range(60):
                g = h * w + mu * g
                w -= lr * g
            left.append(abs(w))
        return max(left)
    tried = [(c / high, m) for c in (1.0, 2.0, 3.0) for m in (0.5, 0.6, 0.7, 0.8)]
    return min(tried, key=lambda pair: worst(*pair))
""",
        ],
        wrong={
            """
def tune(low, high):
    return 2 / (low + high), 0.0
""": "the flattest direction is too slow",
            """
def tune(low, high):
    return 4.0 / high, 0.7
""": "the steepest direction does not settle",
            """
def tune(low, high):                              # good for 100, not for 120
    return 2.9 / high, 0.58
""": "In one of the valleys",
            """
def tune(low, high):
    return 0.033, 0.67
""": "the rate must follow the scale",
        },
    ),
    "Q6": Variants(
        right=[
            """
def minimize(X, y):
    theta = torch.nn.Parameter(torch.zeros(6))
    solver = torch.optim.LBFGS([theta], max_iter=500, line_search_fn="strong_wolfe",
                               tolerance_grad=1e-10, tolerance_change=1e-14)
    def closure():
        solver.zero_grad()
        loss = logistic_loss(theta, X, y)
        loss.backward()
        return loss
    solver.step(closure)
    return theta.detach()
""",
            """
def minimize(X, y):                               # plain descent with a rate per feature
    N = len(y)
    rate = 1 / (6 * (X.square().mean(dim=0) / 4 + 1 / N))
    theta = torch.zeros(6)
    for _ in range(8000):
        theta = theta - rate * (X.T @ (torch.sigmoid(X @ theta) - y) + theta) / N
    return theta
""",
        ],
        wrong={
            edit(
                "mu = torch.zeros(X.shape[1]), torch.zeros(X.shape[1]), 0.99",
                "mu = torch.zeros(6), torch.zeros(6), 0.0",
            ): "the flat directions still move",
            edit("    return theta", "    return theta / 20"): "the flat directions still move",
            """
def minimize(X, y):
    theta = torch.zeros(6)
    for _ in range(300):
        theta = theta - 0.5 * (X.T @ (torch.sigmoid(X @ theta) - y) + theta) / len(y)
    return theta
""": "it diverged",
            """
def minimize(X, y):                               # solves another problem: the penalty is on the rescaled weights
    scale = X.std(dim=0)
    Z, N = X / scale, len(y)
    theta = torch.zeros(6)
    for _ in range(3000):
        theta = theta - 0.5 * (Z.T @ (torch.sigmoid(Z @ theta) - y) + theta) / N
    return theta / scale
""": "or minimized another loss",
            """
def minimize(X, y):                               # takes the first feature for the largest
    N = len(y)
    lr = 1 / (1.5 * X[:, 0].square().mean() / 4 + 1 / N)
    theta, g = torch.zeros(6), torch.zeros(6)
    for _ in range(4000):
        g = X.T @ (torch.sigmoid(X @ theta) - y) / N + theta / N + 0.99 * g
        theta = theta - lr * g
    return theta
""": "within 1e-4 of the minimum",
        },
    ),
}
