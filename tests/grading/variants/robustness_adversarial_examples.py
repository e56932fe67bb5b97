"""Answers to `robustness/adversarial-examples`."""

from tests.grading.variants import HIDDEN, Variants, edit

ASSIGNMENT = "robustness/adversarial-examples"
VARIANTS = {
    "Q1": Variants(
        right=[
            """
def worst_score(w, x, eps, p):                    # build the worst change itself
    if p == math.inf:
        delta = -eps * w.sign()
    elif p == 2:
        delta = -eps * w / w.norm()
    else:
        delta = torch.zeros_like(w)
        i = w.abs().argmax()
        delta[i] = -eps * w[i].sign()
    return (x + delta) @ w
""",
            """
def worst_score(w, x, eps, p):
    dual = w.abs().max() if p == 1 else w.abs().sum() if math.isinf(p) else (w * w).sum() ** 0.5
    return torch.stack([(row * w).sum() - eps * dual for row in x])
""",
        ],
        wrong={
            edit("ord=dual", "ord=p"): "p = infinity: every coordinate takes its full budget",
            edit("ord=dual", "ord=1"): "p = 1: one coordinate takes the whole budget",
            edit("2: 2, math.inf", "2: 1, math.inf"): "the change goes along w",
            edit("x @ w - eps", "x @ w + eps"): "p = infinity: every coordinate takes its full budget",
            edit("x @ w - eps", "0 * (x @ w) - eps"): "the score without the change",
        },
    ),
    "Q2": Variants(
        right=[
            """
def attack(x, noise, grad, eps, size, steps):     # the two bounds as one box
    low, high = torch.clamp(x - eps, min=0), torch.clamp(x + eps, max=1)
    point = torch.minimum(torch.maximum(x + noise, low), high)
    for _ in range(steps):
        point = torch.minimum(torch.maximum(point + size * torch.sign(grad(point)), low), high)
    return point
""",
            """
def attack(x, noise, grad, eps, size, steps):     # keep the change, not the point
    delta = (x + noise).clamp(0, 1) - x
    for _ in range(steps):
        delta = (delta + size * grad(x + delta).sign()).clamp(-eps, eps)
        delta = (x + delta).clamp(0, 1) - x
    return x + delta
""",
        ],
        wrong={
            edit("point + size", "point - size"): "the attack raises the loss",
            edit("point + size * grad(point).sign() - x", "size * grad(point).sign()"): HIDDEN,
            """
def attack(x, noise, grad, eps, size, steps):     # clips the steps and forgets the start
    start = (x + noise).clamp(0, 1)
    delta = torch.zeros_like(x)
    for _ in range(steps):
        delta = (delta + size * grad((start + delta).clamp(0, 1)).sign()).clamp(-eps, eps)
    return (start + delta).clamp(0, 1)
""": "the start included",
            edit(
                "        point = (x + delta).clamp(0, 1)\n", "        point = x + delta\n"
            ): "an image stays in [0, 1]",
            edit("point = (x + noise).clamp(0, 1)\n", "point = noise.add_(x).clamp(0, 1)\n"): "must not change",
            edit("grad(point).sign()", "grad(point)"): HIDDEN,
        },
    ),
    "Q3": Variants(
        right=[
            """
def certify(weight, bias, x, y):                  # by loops
    out = []
    for row, own in zip(x, y.tolist()):
        radius = math.inf
        for j in range(len(bias)):
            if j == own:
                continue
            lead = (weight[own] - weight[j]) @ row + bias[own] - bias[j]
            slope = (weight[own] - weight[j]).abs().sum()
            if lead <= 0:
                radius = 0.0
            elif slope > 0:
                radius = min(radius, (lead / slope).item())
        out.append(radius)
    return torch.tensor(out, dtype=x.dtype)
""",
            """
def certify(weight, bias, x, y):                  # 0/0 and lead/0 sorted out by nan_to_num
    z = x @ weight.T + bias
    lead = z[torch.arange(len(y)), y][:, None] - z
    slope = torch.cdist(weight, weight, p=1)[y]
    own = torch.nn.functional.one_hot(y, len(bias)).bool()
    radius = (lead / slope).nan_to_num(nan=math.inf, posinf=math.inf, neginf=0.0)
    return radius.masked_fill(own, math.inf).amin(1).clamp(min=0)
""",
        ],
        wrong={
            edit(".abs().sum(dim=2)", ".norm(dim=2)"): "every other class counts",
            edit(".abs().sum(dim=2)", ".abs().amax(dim=2)"): "every other class counts",
            edit("return radius.amin(dim=1)", "return (lead / slope).sort(dim=1).values[:, 1]"): "every other class",
            edit("lead.clamp(min=0)", "lead"): "wrong before any attack",
            edit("torch.where(lead < 0, 0.0, math.inf)", "0.0 * lead"): "equal weights: the lead never changes",
            edit("torch.where(lead < 0, 0.0, math.inf)", "math.inf"): "equal weights and behind",
        },
    ),
    "Q4": Variants(
        right=[
            """
def through(weight, bias, x, y, levels):          # by hand: prediction minus truth, times the weights
    r = (levels * x).round() / levels
    error = torch.softmax(r @ weight.T + bias, dim=1)
    error[torch.arange(len(y)), y] -= 1
    return error @ weight
""",
            """
def through(weight, bias, x, y, levels):          # the gradient by the rounded input is the answer
    rows = []
    for row, label in zip(x, y):
        r = ((levels * row).round() / levels).requires_grad_()
        loss = torch.logsumexp(weight @ r + bias, 0) - (weight @ r + bias)[label]
        loss.backward()
        rows.append(r.grad)
    return torch.stack(rows)
""",
        ],
        wrong={
            edit("x + ((levels * x).round() / levels - x).detach()", "(levels * x).round() / levels"): "no slope",
            edit("x + ((levels * x).round() / levels - x).detach()", "x"): "on the way forward the input is rounded",
            edit('y, reduction="sum"', "y"): "each row has its own loss",
            edit("(levels * x).round()", "(levels * x).floor()"): "on the way forward the input is rounded",
            edit("weight.T + bias", "weight.T"): HIDDEN,
        },
    ),
    "Q5": Variants(
        right=[
            """
def robust_accuracy(x, y, clean, eps, tries, said):        # row by row
    good = 0
    for i in range(len(y)):
        ok = clean[i] == y[i]
        for moved, label in zip(tries[:, i], said[:, i]):
            valid = (moved - x[i]).abs().max() <= eps + 1e-9 and moved.min() >= 0 and moved.max() <= 1
            ok = ok and not (valid and label != y[i])
        good += bool(ok)
    return good / len(y)
""",
            """
def robust_accuracy(x, y, clean, eps, tries, said):        # an invalid try says what the clean image said
    low, high = (x - eps - 1e-9).clamp(min=0), (x + eps + 1e-9).clamp(max=1)
    valid = ((low <= tries) & (tries <= high)).all(dim=2)
    said = torch.cat([torch.where(valid, said, clean), clean[None]])
    return (said == y).all(dim=0).double().mean()
""",
        ],
        wrong={
            """
def robust_accuracy(x, y, clean, eps, tries, said):
    near = ((tries - x).abs() <= eps + 1e-9).all(dim=2) & ((tries >= 0) & (tries <= 1)).all(dim=2)
    return min(((clean == y) & ~(n & (s != y))).double().mean().item() for n, s in zip(near, said))
""": "the worst one differs from row to row",
            edit("(clean == y) & ~broken", "~broken"): "wrong when clean",
            edit("near & inside", "inside"): "beyond the budget",
            edit("near & inside", "near"): "outside [0, 1]",
            edit("broken.any(dim=0)", "broken.all(dim=0)"): "a row must survive every attack",
        },
    ),
    "Q6": Variants(
        right=[
            """
def fit(x, y):                                    # adversarial training with FGSM, which is exact here
    torch.manual_seed(0)
    model = torch.nn.Linear(64, 1, dtype=x.dtype)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    for step in range(400):
        optimizer.param_groups[0]["lr"] = 0.05 * (1 - step / 400)
        moved = x - EPS * y[:, None] * model.weight.detach().sign()
        loss = torch.nn.functional.softplus(-y * model(moved)[:, 0]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.weight.detach()[0], model.bias.detach()[0]
""",
            """
def fit(x, y):                                    # a hinge loss, by plain subgradient descent in numpy-like steps
    w, b = torch.zeros(64, dtype=x.dtype), 0.0
    for step in range(3000):
        lr = 0.3 / (1 + step / 50)
        active = (y * (x @ w + b) - EPS * w.abs().sum() < 1).to(x.dtype)
        w = w + lr * ((active * y) @ x / len(y) - active.mean() * EPS * w.sign())
        b = b + lr * (active * y).mean().item()
    return w, b
""",
        ],
        wrong={
            edit(" - EPS * w.abs().sum()", ""): "under the worst change too few are right",
            edit("y * (x @ w + b) - EPS", "-y * (x @ w + b) - EPS"): "look at the sign of y",
            edit("- EPS * w.abs().sum()", "- EPS * w.norm()"): "under the worst change too few are right",
            edit("- EPS * w.abs().sum()", "+ EPS * w.abs().sum()"): "under the worst change too few are right",
        },
    ),
}
