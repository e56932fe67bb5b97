"""Answers to `generative/variational-autoencoders`."""

from tests.grading.variants import HIDDEN, Variants, edit

ASSIGNMENT = "generative/variational-autoencoders"
VARIANTS = {
    "Q1": Variants(
        right=[
            """
def gaussian_kl(mu, log_sigma, prior_mu, prior_log_sigma):         # cross-entropy minus entropy
    variance, prior_variance = log_sigma.exp() ** 2, prior_log_sigma.exp() ** 2
    cross = prior_log_sigma + (variance + (mu - prior_mu) ** 2) / (2 * prior_variance)
    return (cross - log_sigma - 0.5).sum(1)
""",
            """
def gaussian_kl(mu, log_sigma, prior_mu, prior_log_sigma):         # by loops
    rows = []
    for m, ls, m0, ls0 in zip(mu.tolist(), log_sigma.tolist(), prior_mu.tolist(), prior_log_sigma.tolist()):
        total = 0.0
        for a, b, c, d in zip(m, ls, m0, ls0):
            total += d - b + (math.exp(2 * b) + (a - c) ** 2) / (2 * math.exp(2 * d)) - 0.5
        rows.append(total)
    return torch.tensor(rows, dtype=mu.dtype)
""",
        ],
        wrong={
            edit("(mu - prior_mu) / prior_log_sigma.exp()", "(mu - prior_mu)"): "measured in the spreads of the prior",
            edit(".sum(dim=1)", ".mean(dim=1)"): "half the squared distance",
            edit(".sum(dim=1)", ".sum(dim=0)"): "one number per row",
            edit(
                "ratio = (2 * (log_sigma - prior_log_sigma)).exp()",
                "mu, log_sigma, prior_mu, prior_log_sigma = prior_mu, prior_log_sigma, mu, log_sigma\n"
                "    ratio = (2 * (log_sigma - prior_log_sigma)).exp()",
            ): "the order matters",
            edit("- 1 - 2 * (log", "- 2 * (log"): "equal Gaussians: zero",
        },
    ),
    "Q2": Variants(
        right=[
            """
def report(W, b, s, x, m, v):                                      # from the posterior, the other way round
    eye = torch.eye(len(m), dtype=W.dtype)
    M = W.T @ W + s**2 * eye
    mean, covariance = torch.linalg.solve(M, W.T @ (x - b)), s**2 * torch.linalg.inv(M)
    q = torch.distributions.MultivariateNormal(m, torch.diag(v))
    gap = torch.distributions.kl_divergence(q, torch.distributions.MultivariateNormal(mean, covariance))
    C = W @ W.T + s**2 * torch.eye(len(x), dtype=W.dtype)
    r = x - b
    evidence = -(r @ torch.linalg.solve(C, r) + torch.linalg.slogdet(2 * math.pi * C).logabsdet) / 2
    return [evidence - gap, evidence, gap]
""",
            """
def report(W, b, s, x, m, v):
    q, prior = (torch.distributions.Normal(a, c) for a, c in [(m, v.sqrt()), (0 * m, 0 * m + 1)])
    fit = torch.distributions.Normal(W @ m + b, s).log_prob(x).sum() - (W**2 @ v).sum() / (2 * s**2)
    bound = fit - torch.distributions.kl_divergence(q, prior).sum()
    cov = W @ W.T
    cov = cov + s**2 * torch.eye(*cov.shape, dtype=cov.dtype)
    evidence = torch.distributions.MultivariateNormal(b, cov).log_prob(x)
    return bound, evidence, evidence - bound
""",
        ],
        wrong={
            edit(" + (v * (W**2).sum(dim=0)).sum()", ""): "the bound is tight",
            edit("s**2 * torch.eye", "s * torch.eye"): HIDDEN,
            edit("(m**2 + v - v.log() - 1)", "(m**2 + v**2 - 2 * v.log() - 1)"): "v holds variances",
            edit("bound = fit - (m**2", "bound = fit + (m**2"): "the bound is tight",
            edit("evidence - bound]", "bound - evidence]"): "evidence minus bound",
        },
    ),
    "Q3": Variants(
        right=[
            """
def loss(x, image, mu, logvar, s):
    normal = torch.distributions.Normal
    likelihood = normal(image, s).log_prob(x).sum(1)
    q = normal(mu, (logvar / 2).exp())
    return (torch.distributions.kl_divergence(q, normal(0 * mu, 1 + 0 * mu)).sum(1) - likelihood).mean()
""",
            """
def loss(x, image, mu, logvar, s):                                 # one image after another
    total = 0
    for i in range(len(x)):
        error = ((x[i] - image[i]) ** 2).sum() / (2 * s**2)
        constant = len(x[i]) * (math.log(s) + 0.5 * math.log(2 * math.pi))
        total = total + error + constant + 0.5 * (mu[i] ** 2 + logvar[i].exp() - logvar[i] - 1).sum()
    return total / len(x)
""",
        ],
        wrong={
            edit("math.log(s) +", "s +"): "is log s in it?",
            edit("pixels.sum(dim=1)", "pixels.mean(dim=1)"): "sums over the pixels",
            edit(
                "(pixels.sum(dim=1) + divergence.sum(dim=1)).mean()", "pixels.sum(dim=1).mean() + divergence.sum()"
            ): "the divergence too",
            edit("logvar.exp() - logvar", "logvar.exp() - 2 * logvar"): "logvar is log sigma^2 already",
            edit("logvar.exp() - logvar", "(2 * logvar).exp() - 2 * logvar"): "logvar is log sigma^2 already",
        },
    ),
    "Q4": Variants(
        right=[
            """
def estimates(f, slope, mu, log_sigma, epsilon):                   # scores by autograd, at a fixed z
    sigma = log_sigma.exp()
    z = (mu + sigma * epsilon).detach()
    rows = []
    for row, value in zip(z, f(z)):
        m, ls = mu.clone().requires_grad_(), log_sigma.clone().requires_grad_()
        log_q = torch.distributions.Normal(m, ls.exp()).log_prob(row).sum()
        rows.append(value * torch.cat(torch.autograd.grad(log_q, [m, ls])))
        if len(rows) == 1000 and len(z) > 1000:                    # too slow for many: the formula
            e = epsilon
            return f(z)[:, None] * torch.cat([e / sigma, e * e - 1], 1), torch.cat([slope(z), slope(z) * (z - mu)], 1)
    return torch.stack(rows), torch.cat([slope(z), slope(z) * (z - mu)], dim=1)
""",
            """
def estimates(f, slope, mu, log_sigma, epsilon):
    sigma = torch.exp(log_sigma)
    z = mu + sigma * epsilon
    value, along = f(z).unsqueeze(1), slope(z)
    by_mu, by_sigma = (z - mu) / sigma**2, ((z - mu) ** 2 - sigma**2) / sigma**3
    return torch.hstack([value * by_mu, value * by_sigma * sigma]), torch.hstack([along, along * epsilon * sigma])
""",
        ],
        wrong={
            edit("along * sigma * epsilon", "along * epsilon"): "sigma times that by sigma",
            edit("epsilon / sigma, epsilon**2 - 1", "epsilon, epsilon**2 - 1"): "(z - mu) / sigma^2",
            edit("epsilon**2 - 1]", "epsilon**2]"): "epsilon^2 - 1",
            edit("z = mu + sigma * epsilon", "z = mu + sigma**2 * epsilon"): "the derivative by log sigma",
            """
def estimates(f, slope, mu, log_sigma, epsilon):
    z = mu + log_sigma.exp() * epsilon
    zero = torch.zeros(len(z), 2 * len(mu), dtype=z.dtype)          # "a draw has no gradient"
    return zero, zero
""": "the derivative by mu is 2 mu",
        },
    ),
    "Q5": Variants(
        right=[
            """
def predict(x, d, s):                                              # from the singular values of the data
    variances = torch.linalg.svdvals(x - x.mean(0)) ** 2 / (len(x) - 1)
    nats = [0.5 * math.log(v / s**2) for v in variances[:d].tolist()]
    return [sum(n > 0 for n in nats), sum(n for n in nats if n > 0)]
""",
            """
def predict(x, d, s):
    values = sorted(torch.linalg.eigvalsh(torch.cov(x.T) / s**2).tolist(), reverse=True)[:d]
    nats = (torch.tensor(values, dtype=x.dtype).log() / 2).clamp(min=0)
    return [(nats > 0).sum(), nats.sum()]
""",
        ],
        wrong={
            edit("largest > s**2", "largest > s"): "above s^2 = 0.01, although below s",
            edit(".sum() / 2", ".sum()"): "half the logarithm",
            edit("[:d]", ""): "at most one lives",
            edit(".flip(0)", ""): "that of the largest variance",
            """
def predict(x, d, s):
    largest = torch.linalg.eigvalsh(torch.cov(x.T)).flip(0)[:d]
    return [(largest > s**2).sum(), (largest / s**2).log().sum() / 2]
""": "half the logarithm",
        },
    ),
    "Q6": Variants(
        right=[
            """
def fit(x, y):                                                     # Adam, with a rate that falls
    torch.manual_seed(0)
    epsilon = torch.randn(1000, 2, dtype=torch.float64)
    epsilon = torch.cat([epsilon, -epsilon])
    m, log_sigma = (torch.zeros(2, dtype=torch.float64, requires_grad=True) for _ in range(2))
    optimizer = torch.optim.Adam([m, log_sigma], lr=0.1)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 400)
    for _ in range(400):
        z = m + log_sigma.exp() * epsilon
        logits = z @ x.T
        likelihood = torch.nn.functional.logsigmoid(torch.where(y == 1, logits, -logits)).sum(1).mean()
        q, prior = torch.distributions.Normal(m, log_sigma.exp()), torch.distributions.Normal(0.0, 2.0)
        loss = torch.distributions.kl_divergence(q, prior).sum() - likelihood
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return m.detach(), log_sigma.exp().detach()
""",
            """
def fit(x, y):                                                     # no draws at all: the logits are normal too
    nodes = torch.linspace(-6, 6, 201, dtype=torch.float64)
    mass = torch.softmax(-(nodes**2) / 2, 0)
    p = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([p], max_iter=200, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        m, s2 = p[:2], (2 * p[2:]).exp()
        logits = (x @ m)[:, None] + (x**2 @ s2 + 1e-12).sqrt()[:, None] * nodes
        likelihood = ((y[:, None] * logits - torch.nn.functional.softplus(logits)) * mass).sum()
        loss = (s2 / 4 + m**2 / 4 - (s2 / 4).log()).sum() / 2 - likelihood
        loss.backward()
        return loss

    optimizer.step(closure)
    return p[:2].detach(), p[2:].exp().detach()
""",
        ],
        wrong={
            """
def fit(x, y):                                                     # Laplace: the mode, and the curvature there
    z = torch.zeros(2, dtype=torch.float64)
    for _ in range(50):
        p = torch.sigmoid(x @ z)
        H = (x * (p * (1 - p))[:, None]).T @ x + torch.eye(2, dtype=x.dtype) / 4
        z = z + 0.5 * torch.linalg.solve(H, x.T @ (y - p) - z / 4)
    return z, H.diagonal().rsqrt()
""": "has a better bound",
            edit("(2 * log_sigma).exp() / 4", "(2 * log_sigma).exp()"): "that of the prior, 2",
            edit("(ratio + m**2 / 4 - 1 - ratio.log()).sum() / 2", "0 * ratio.sum()"): "data that say nothing",
            edit(
                "z = m + log_sigma.exp() * epsilon", "z = (m + log_sigma.exp() * epsilon).detach()"
            ): "has a better bound",
            edit("m**2 / 4", "m**2"): "another mean has a better bound",
        },
    ),
}
