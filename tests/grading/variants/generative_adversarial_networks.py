"""Answers to `generative/adversarial-networks`."""

from tests.grading.variants import HIDDEN, Variants, edit

ASSIGNMENT = "generative/adversarial-networks"
VARIANTS = {
    "Q1": Variants(
        right=[
            """
def worth(p, q):                                  # outcome by outcome, with plain numbers
    def part(a, m):
        return a * math.log(a / m) if a else 0.0
    d = [a / (a + b) if a + b else 0.5 for a, b in zip(p.tolist(), q.tolist())]
    js = sum(part(a, (a + b) / 2) + part(b, (a + b) / 2) for a, b in zip(p.tolist(), q.tolist())) / 2
    return [torch.tensor(d), 2 * js - 2 * math.log(2), js]
""",
            """
def worth(p, q):
    d = torch.nan_to_num(p / (p + q), nan=0.5)
    log_m = ((p + q) / 2).clamp(min=1e-300).log()
    js = (F.kl_div(log_m, p, reduction="sum") + F.kl_div(log_m, q, reduction="sum")) / 2
    return (d, 2 * js - math.log(4), js)
""",
        ],
        wrong={
            edit("p / total.clamp(min=1e-300)", "q / total.clamp(min=1e-300)"): "D* is p / (p + q)",
            edit("torch.xlogy(p, d).sum() + torch.xlogy(q, 1 - d).sum()", "(p * d.log() + q * (1 - d).log()).sum()"): (
                "0 log 0 is 0, not nan"
            ),
            edit("(value + 2 * math.log(2)) / 2", "value + 2 * math.log(2)"): "the value is 2 JS - 2 log 2",
            edit("total.clamp(min=1e-300), 0.5)", "total.clamp(min=1e-300), 0.0)"): "an outcome of nobody: 0.5",
            """
def worth(p, q):
    p += 1e-12
    q += 1e-12
    d = p / (p + q)
    d = torch.where(p + q < 1e-11, 0.5, d).round(decimals=9)
    value = torch.xlogy(p, d).sum() + torch.xlogy(q, 1 - d).sum()
    return [d, value, (value + 2 * math.log(2)) / 2]
""": "0 log 0 is 0",
        },
    ),
    "Q2": Variants(
        right=[
            """
def losses(real, fake):                           # log(1 + e^s) by hand
    def up(s):
        return torch.clamp(s, min=0) + torch.log1p(torch.exp(-s.abs()))
    m = fake.numel()
    j_d = (up(-real).sum() / real.numel() + up(fake).sum() / m) / 2
    return [j_d, -up(fake).mean(), up(-fake).mean(), (torch.sigmoid(-fake) - 1) / m, -torch.sigmoid(-fake) / m]
""",
            """
def losses(real, fake):
    real, s = real.double(), fake.double().requires_grad_()
    j_d = -(F.logsigmoid(real).mean() + F.logsigmoid(-s).mean()) / 2
    saturating, other = F.logsigmoid(-s).mean(), -F.logsigmoid(s).mean()
    slopes = [torch.autograd.grad(loss, s)[0] for loss in (saturating, other)]
    return [j_d.item(), saturating.item(), other.item(), *slopes]
""",
        ],
        wrong={
            edit("saturating, other = -F.softplus(fake).mean()", "saturating, other = F.softplus(fake).mean()"): (
                "log 2, -log 2, log 2"
            ),
            edit("-torch.sigmoid(-fake) / len(fake)]", "-torch.sigmoid(-fake)]"): "each over M",
            edit(
                "discriminator = F.softplus(-real).mean() / 2 + F.softplus(fake).mean() / 2",
                "discriminator = F.softplus(torch.cat([-real, fake])).mean()",
            ): "half the mean over the real ones",
            """
def losses(real, fake):
    d_real, d_fake = torch.sigmoid(real), torch.sigmoid(fake)
    j_d = -(d_real.log().mean() + (1 - d_fake).log().mean()) / 2
    return [j_d, (1 - d_fake).log().mean(), -d_fake.log().mean(), -d_fake / len(fake), -(1 - d_fake) / len(fake)]
""": "take softplus",
        },
    ),
    "Q3": Variants(
        right=[
            """
def logit(phi, x):
    return phi[0] * x + phi[1] * x**2 + phi[2]


def one_round(theta, phi, x, z, lr):              # every gradient by hand
    fake = theta[0] * z + theta[1]
    real_pull, fake_pull = torch.sigmoid(-logit(phi, x)), torch.sigmoid(logit(phi, fake))
    up = torch.stack([(real_pull * f(x)).mean() - (fake_pull * f(fake)).mean()
                      for f in (lambda v: v, lambda v: v * v, torch.ones_like)])
    new_phi = phi + lr * up
    along = -torch.sigmoid(-logit(new_phi, fake)) * (new_phi[0] + 2 * new_phi[1] * fake)
    new_theta = theta - lr * torch.stack([(along * z).mean(), along.mean()])
    return [new_theta, new_phi]
""",
            """
def logit(phi, x):
    return phi @ torch.stack([x, x * x, torch.ones_like(x)])


def one_round(theta, phi, x, z, lr):              # with optimizers
    theta, phi = nn.Parameter(theta.clone()), nn.Parameter(phi.clone())
    for_d, for_g = torch.optim.SGD([phi], lr=lr), torch.optim.SGD([theta], lr=lr)
    fake = theta[0] * z + theta[1]
    for_d.zero_grad()
    (F.softplus(-logit(phi, x)).mean() + F.softplus(logit(phi, fake.detach())).mean()).backward()
    for_d.step()
    for_g.zero_grad()
    F.softplus(-logit(phi, fake)).mean().backward()
    for_g.step()
    return [theta.detach(), phi.detach()]
""",
        ],
        wrong={
            edit("new_phi = (phi + lr", "new_phi = (phi - lr"): "the discriminator learns that D rises with x",
            edit("logit(new_phi, theta[0]", "logit(phi, theta[0]"): "the generator plays against the new D",
            edit("loss = -F.logsigmoid(logit(", "loss = F.logsigmoid(-logit("): "the slope of -log D at the logit -1",
            edit("new_theta = (theta - lr", "new_theta = (theta + lr"): "toward the data",
            """
def logit(phi, x):
    return phi[0] * x + phi[1] * x**2 + phi[2]


def one_round(theta, phi, x, z, lr):
    fake = theta[0] * z + theta[1]
    up = torch.func.grad(lambda phi: F.logsigmoid(logit(phi, x)).mean() + F.logsigmoid(-logit(phi, fake)).mean())(phi)
    phi += lr * up
    theta -= lr * torch.func.grad(lambda theta: F.softplus(-logit(phi, theta[0] * z + theta[1])).mean())(theta)
    return [theta, phi]
""": "the inputs stay as they are",
        },
    ),
    "Q4": Variants(
        right=[
            """
def follow(kind, a, b, alpha, steps, x, y):       # as matrices
    first = torch.tensor([[1 - alpha * b, -alpha * a], [0.0, 1.0]], dtype=torch.float64)
    second = torch.tensor([[1.0, 0.0], [alpha * a, 1.0]], dtype=torch.float64)
    both = torch.tensor([[1 - alpha * b, -alpha * a], [alpha * a, 1.0]], dtype=torch.float64)
    step = second @ first if kind == "alternating" else both
    points = [torch.tensor([x, y], dtype=torch.float64)]
    for _ in range(steps):
        points.append(step @ points[-1])
    return [*points[-1], *torch.stack(points[1:]).mean(dim=0)]
""",
            """
def follow(kind, a, b, alpha, steps, x, y):
    path = []
    while len(path) < steps:
        down, up = a * y + b * x, a * x
        x -= alpha * down
        if kind == "alternating":
            up = a * x
        y += alpha * up
        path.append((x, y))
    xs, ys = zip(*path)
    return [x, y, math.fsum(xs) / steps, math.fsum(ys) / steps]
""",
        ],
        wrong={
            edit("y = y + alpha", "y = y - alpha"): "y goes up on xy",
            edit('(new_x if kind == "alternating" else x)', "new_x"): "y does not see the new x",
            edit('(new_x if kind == "alternating" else x)', "x"): "y sees the new x",
            edit("(a * y + b * x)", "(a * y + b / 2 * x)"): "the derivative of b/2 x**2 is b x",
            edit("sum_x / steps, sum_y / steps", "sum_x / (steps + 1), sum_y / (steps + 1)"): "after each step",
        },
    ),
    "Q5": Variants(
        right=[
            """
def report(points, centers, radius, least):       # as tensors
    distance, mode = torch.cdist(points, centers, compute_mode="donot_use_mm_for_euclid_dist").min(dim=1)
    hits = torch.bincount(mode[distance <= radius], minlength=len(centers)).double()
    if hits.sum() == 0:
        return [0, 0.0, math.log(len(centers))]
    h = hits / hits.sum()
    return [(hits >= least * len(points) - 1e-9).sum(), hits.sum() / len(points), torch.xlogy(h, h * len(h)).sum()]
""",
            """
def report(points, centers, radius, least):       # log M minus the entropy
    owners = []
    for point in points:
        squared = ((centers - point) ** 2).sum(dim=1).tolist()
        nearest = min(range(len(squared)), key=squared.__getitem__)
        if squared[nearest] <= radius**2:
            owners.append(nearest)
    counts = [owners.count(i) for i in range(len(centers))]
    entropy = -sum(c / len(owners) * math.log(c / len(owners)) for c in counts if c)
    covered = sum(c / len(points) >= least for c in counts)
    return [covered, len(owners) / len(points), math.log(len(centers)) - entropy]
""",
        ],
        wrong={
            edit("far[nearest] <= radius", "far[nearest] < radius"): "the border belongs to the radius",
            edit("least * len(points)", "least * total"): "the share is of all points",
            edit("h / total * math.log(h / total * m)", "h / total * math.log(h / total)"): "the shares among the hits",
            edit("hits[nearest] += far[nearest] <= radius", "hits[nearest] += 1"): "three of four points hit",
            edit("return [0, 0.0, math.log(m)]", "return [0, 0.0, 0.0]"): "nothing hits: log M",
            """
def report(points, centers, radius, least):
    near = torch.cdist(points, centers) <= radius
    hits = near.sum(dim=0).tolist()
    total, m = sum(hits), len(hits)
    if not total:
        return [0, 0.0, math.log(m)]
    uneven = sum(h / total * math.log(h / total * m) for h in hits if h)
    return [sum(h >= least * len(points) - 1e-9 for h in hits), total / len(points), uneven]
""": "it belongs to one mode",
        },
    ),
    "Q6": Variants(
        right=[
            """
def discriminate(real, fake, x):                  # the same features, PyTorch's L-BFGS
    def features(v):
        return torch.stack([v, v * v / 4], dim=1)
    model = nn.Linear(2, 1).double()
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=200, line_search_fn="strong_wolfe")
    def closure():
        optimizer.zero_grad()
        loss = F.softplus(-model(features(real))).mean() + F.softplus(model(features(fake))).mean()
        loss.backward()
        return loss
    optimizer.step(closure)
    return torch.sigmoid(model(features(x)))[:, 0].detach()
""",
            """
def discriminate(real, fake, x):                  # fit both densities
    p, q = (torch.distributions.Normal(v.mean(), v.std()).log_prob(x) for v in (real, fake))
    return torch.sigmoid(p - q)
""",
            """
def discriminate(real, fake, x):                  # as many draws of each: repeat the rarer ones
    n = max(len(real), len(fake))
    data = torch.cat([v.repeat(-(-n // len(v)))[:n] for v in (real, fake)])
    y = (torch.arange(2 * n) < n).double()
    inputs = torch.stack([torch.ones_like(data), data, data**2 / 8], dim=1)
    w = torch.zeros(3, dtype=torch.float64)
    for _ in range(800):
        w = w - 0.8 * inputs.T @ (torch.sigmoid(inputs @ w) - y) / len(y)
    return torch.sigmoid(w[0] + w[1] * x + w[2] * x**2 / 8)
""",
        ],
        wrong={
            edit("torch.sigmoid(features(x) @ w).round(decimals=4)", "features(x) @ w"): "these are no probabilities",
            edit("[torch.ones_like(v), v, v**2]", "[torch.ones_like(v), v, v**3]"): "a logit that is linear in x",
            edit(
                "weight = torch.cat([torch.full_like(real, 0.5 / len(real)), torch.full_like(fake, 0.5 / len(fake))])",
                "weight = torch.full_like(y, 1 / len(y))",
            ): "each side counts half",
            edit("[torch.ones_like(v), v, v**2]", "[torch.ones_like(v), v.abs(), v**2]"): HIDDEN,
        },
    ),
}
