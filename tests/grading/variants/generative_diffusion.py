"""Answers to `generative/diffusion`."""

from tests.grading.variants import HIDDEN, Variants, edit

ASSIGNMENT = "generative/diffusion"
VARIANTS = {
    "Q1": Variants(
        right=[
            """
def chain(shrink, noise):                         # every noise with the factors that come after it
    steps = range(1, len(shrink) + 1)
    m = [math.prod(shrink[:t]) for t in steps]
    v = [sum(noise[s] ** 2 * math.prod(shrink[s + 1:t]) ** 2 for s in range(t)) for t in steps]
    return m, v, [a * a / b for a, b in zip(m, v)]
""",
            """
def chain(shrink, noise):
    m = torch.tensor(shrink, dtype=torch.float64).cumprod(0)
    v = m**2 * ((torch.tensor(noise, dtype=torch.float64) / m) ** 2).cumsum(0)
    return m.tolist(), v.tolist(), (m**2 / v).tolist()
""",
        ],
        wrong={
            edit("a**2 * v + b**2", "v + b**2"): "a step shrinks the old noise too",
            edit("a**2 * v + b**2", "a**2 * v + b"): "noise holds standard deviations",
            edit("m**2 / v", "m / v**0.5"): "signal to noise compares variances",
            edit("m, v = a * m, a**2 * v + b**2", "m, v = a, a**2 * v + b**2"): "the mean shrinks by every factor",
            edit(
                "m, v = a * m, a**2 * v + b**2", "m = a * m\n        v = 1 - m**2"
            ): "a step shrinks the old noise too",
            """
def chain(shrink, noise):
    m, v, out, given = 1.0, 0.0, ([], [], []), list(zip(shrink, noise))
    while shrink:
        shrink.pop()
    for a, b in given:
        m, v = a * m, a**2 * v + b**2
        for one, value in zip(out, (m, v, m**2 / v)):
            one.append(value)
    return out
""": "leave the lists as they are",
        },
    ),
    "Q2": Variants(
        right=[
            """
def back(x0, x_t, abar_t, abar_s):                # precisions add
    kept = abar_t / abar_s
    if abar_s == 1:
        return x0.clone(), 0.0
    first, second = 1 / (1 - abar_s), kept / (1 - kept)
    mean = first * math.sqrt(abar_s) * x0 + second * x_t / math.sqrt(kept)
    return mean / (first + second), 1 / (first + second)
""",
            """
def back(x0, x_t, abar_t, abar_s):                # condition x_s on x_t in their joint Gaussian given x0
    cov = (abar_t / abar_s) ** 0.5 * (1 - abar_s)
    gain = cov / (1 - abar_t)
    mean = abar_s**0.5 * x0 + gain * (x_t - abar_t**0.5 * x0)
    return mean, (1 - abar_s) - gain * cov
""",
        ],
        wrong={
            edit("kept = abar_t / abar_s", "kept = abar_t"): "what survives from s to t is abar_t / abar_s",
            edit("math.sqrt(abar_s) * (1 - kept)", "math.sqrt(abar_t) * (1 - kept)"): "the weight of x0",
            edit("math.sqrt(kept) * (1 - abar_s)", "kept * (1 - abar_s)"): "the weight of x_t",
            edit("return mean, (1 - kept) * (1 - abar_s) / (1 - abar_t)", "return mean, 1 - kept"): "the variance",
            edit(
                "return mean, (1 - kept) * (1 - abar_s) / (1 - abar_t)",
                "return mean, math.sqrt((1 - kept) * (1 - abar_s) / (1 - abar_t))",
            ): "the variance",
        },
    ),
    "Q3": Variants(
        right=[
            """
def sample(guess, x, abar, z):                    # the form with the noise in it
    for t in reversed(range(1, len(abar))):
        a, b = abar[t], abar[t - 1]
        mean = (x - (1 - a / b) / (1 - a) ** 0.5 * guess(x, a)) / (a / b) ** 0.5
        x = mean + ((1 - a / b) * (1 - b) / (1 - a)) ** 0.5 * z[t - 1]
    return x
""",
            """
def sample(guess, x, abar, z):                    # the form of DDIM, with eta = 1
    for t in range(len(abar) - 1, 0, -1):
        a, b, noise = abar[t], abar[t - 1], guess(x, abar[t])
        var = (1 - b) / (1 - a) * (1 - a / b)
        x0 = (x - (1 - a).sqrt() * noise) / a.sqrt()
        x = b.sqrt() * x0 + (1 - b - var).clamp(min=0).sqrt() * noise + var.sqrt() * z[t - 1]
    return x
""",
        ],
        wrong={
            edit("guess(x, abar[t])", "guess(x, abar[t - 1])"): "the guess is for the level where x is now",
            edit(
                "(1 - alpha) * (1 - abar[t - 1]) / (1 - abar[t])\n        x = mean",
                "(1 - alpha) * (1 - abar[t]) / (1 - abar[t - 1])\n        x = mean",
            ): "the noise up to the new level over the noise up to the old one",
            edit("var.sqrt() * z[t - 1]", "var * z[t - 1]"): "noise is scaled by a standard deviation",
            edit(
                "var = (1 - alpha) * (1 - abar[t - 1]) / (1 - abar[t])", "var = 1 - alpha"
            ): "that of the last step is 0",
            edit("alpha.sqrt() * (1 - abar[t - 1]) * x", "alpha * (1 - abar[t - 1]) * x"): HIDDEN,
        },
    ),
    "Q4": Variants(
        right=[
            """
def elbo(x0, alpha, c, v):                        # by the joint form: every pair of neighbors has known moments
    T = len(alpha)
    bar = [math.prod(alpha[:t]) for t in range(T + 1)]
    mean, var = [math.sqrt(a) * x0 for a in bar], [1 - a for a in bar]
    total = -0.5 * (math.log(2 * math.pi) + mean[T] ** 2 + var[T])              # E log p(x_T)
    for t in range(1, T + 1):
        cov = math.sqrt(alpha[t - 1]) * var[t - 1]
        square = (mean[t - 1] - c[t - 1] * mean[t]) ** 2 + var[t - 1] - 2 * c[t - 1] * cov + c[t - 1] ** 2 * var[t]
        total -= 0.5 * (math.log(2 * math.pi * v[t - 1]) + square / v[t - 1])   # E log p(x_t-1 | x_t)
        total += 0.5 * (math.log(2 * math.pi * (1 - alpha[t - 1])) + 1)         # the entropy of q(x_t | x_t-1)
    return total
""",
            """
def elbo(x0, alpha, c, v):                        # quadrature over x_t with Gauss and Hermite's nodes
    import numpy as np
    nodes, weights = np.polynomial.hermite_e.hermegauss(20)
    weights = weights / weights.sum()
    bar = np.concatenate([[1.0], np.cumprod(alpha)])
    at = lambda t: np.sqrt(bar[t]) * x0 + np.sqrt(1 - bar[t]) * nodes
    total = weights @ (-0.5 * (np.log(2 * np.pi * v[0]) + (x0 - c[0] * at(1)) ** 2 / v[0]))
    total -= 0.5 * (bar[-1] * x0**2 - bar[-1] - np.log(1 - bar[-1]))
    for t in range(2, len(alpha) + 1):
        a = alpha[t - 1]
        mean = (np.sqrt(bar[t - 1]) * (1 - a) * x0 + np.sqrt(a) * (1 - bar[t - 1]) * at(t)) / (1 - bar[t])
        var = (1 - a) * (1 - bar[t - 1]) / (1 - bar[t])
        square = weights @ (mean - c[t - 1] * at(t)) ** 2
        total -= 0.5 * ((var + square) / v[t - 1] - 1 + np.log(v[t - 1] / var))
    return float(total)
""",
        ],
        wrong={
            """
def elbo(x0, alpha, c, v):                        # the consistency form: x_t and x_t+1 taken as independent
    T = len(alpha)
    bar = [math.prod(alpha[:t]) for t in range(T + 1)]
    mean, var = [math.sqrt(a) * x0 for a in bar], [1 - a for a in bar]
    total = -0.5 * (math.log(2 * math.pi) + mean[T] ** 2 + var[T])
    for t in range(1, T + 1):
        square = (mean[t - 1] - c[t - 1] * mean[t]) ** 2 + var[t - 1] + c[t - 1] ** 2 * var[t]
        total -= 0.5 * (math.log(2 * math.pi * v[t - 1]) + square / v[t - 1])
        total += 0.5 * (math.log(2 * math.pi * (1 - alpha[t - 1])) + 1)
    return total
""": "the perfect model of N(0, 1)",
            edit("(x0 - c[0] * m) ** 2 + c[0] ** 2 * s2", "(x0 - c[0] * m) ** 2"): "its variance counts too",
            edit("range(2, len(alpha) + 1)", "range(2, len(alpha))"): "the perfect model of N(0, 1)",
            edit("m**2 + s2 - 1 - math.log(s2)", "m**2 + s2 - 1 + math.log(s2)"): "minus the KL from q(x_T | x0)",
            edit("slope**2 * (1 - now)\n", "0\n"): "the perfect model of N(0, 1)",
            edit(
                "-1 + math.log(v[t - 1] / var))".replace("-1", "- 1"), "- 1 - math.log(v[t - 1] / var))"
            ): "the perfect model of N(0, 1)",
        },
    ),
    "Q5": Variants(
        right=[
            """
def steer(plain, labeled, x, abar, w, limit):     # weights 1 - w and w
    guesses = []
    for a, b in zip(abar.flip(0)[:-1], abar.flip(0)[1:]):
        noise = (1 - w) * plain(x, a) + w * labeled(x, a)
        x0 = torch.clip((x - torch.sqrt(1 - a) * noise) / torch.sqrt(a), min=-limit, max=limit)
        fits = (x - torch.sqrt(a) * x0) / torch.sqrt(1 - a)
        x = torch.sqrt(b) * x0 + torch.sqrt(1 - b) * fits
        guesses += [x0]
    return x, guesses
""",
            """
def steer(plain, labeled, x, abar, w, limit):     # as a line from x0 through x
    guesses, x = [], x.clone()
    for t in range(len(abar) - 1, 0, -1):
        noise = torch.lerp(plain(x, abar[t]), labeled(x, abar[t]), w)
        x0 = (x - (1 - abar[t]) ** 0.5 * noise) / abar[t] ** 0.5
        x0 = torch.maximum(torch.minimum(x0, torch.full_like(x0, limit)), torch.full_like(x0, -limit))
        ratio = ((1 - abar[t - 1]) / (1 - abar[t])) ** 0.5
        x = ratio * x + (abar[t - 1] ** 0.5 - ratio * abar[t] ** 0.5) * x0
        guesses.append(x0)
    return x, guesses
""",
        ],
        wrong={
            edit(
                "plain(x, a) + w * (labeled(x, a) - plain(x, a))", "labeled(x, a) + w * (labeled(x, a) - plain(x, a))"
            ): "w = 1 is the labeled guess alone",
            edit(
                "plain(x, a) + w * (labeled(x, a) - plain(x, a))", "labeled(x, a) + w * (plain(x, a) - labeled(x, a))"
            ): "w = 1 is the labeled guess alone",
            edit(".clamp(-limit, limit)", ""): "one guess per step, each clamped",
            edit("(x - a.sqrt() * x0) / (1 - a).sqrt()", "noise"): "must fit the clamped x0",
            edit("x = b.sqrt()", "x[:] = b.sqrt()"): "leave x as it is",
        },
    ),
    "Q6": Variants(
        right=[
            """
def denoise(data, x, a):                          # a small network that learns the noise
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(3, 96), torch.nn.SiLU(), torch.nn.Linear(96, 96), torch.nn.SiLU(),
                              torch.nn.Linear(96, 96), torch.nn.SiLU(), torch.nn.Linear(96, 2))

    def guess(x, a):
        return (1 - a).sqrt() * x + a.sqrt() * net(torch.cat([x, (a / (1 - a)).log() / 2], dim=1))

    optimizer, steps = torch.optim.Adam(net.parameters()), 1200
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=steps)
    for _ in range(steps):
        points, levels = data[torch.randint(len(data), (256,))], 0.02 + 0.93 * torch.rand(256, 1)
        noise = torch.randn(256, 2)
        loss = (guess(levels.sqrt() * points + (1 - levels).sqrt() * noise, levels) - noise).pow(2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        return guess(x, a)
""",
            """
def denoise(data, x, a):                          # the score of the points' own density, by autograd
    x = x.clone().requires_grad_()
    distance = ((x[:, None] - a[:, None].sqrt() * data) ** 2).sum(-1)
    var = 1 - a + 0.003 * a
    log_density = torch.logsumexp(-distance / (2 * var), dim=1)
    (score,) = torch.autograd.grad(log_density.sum(), x)
    return -(1 - a).sqrt() * score
""",
        ],
        wrong={
            """
def denoise(data, x, a):                          # the best linear guess
    total = a * data.var(0) + 1 - a
    return (1 - a).sqrt() * (x - a.sqrt() * data.mean(0)) / total
""": HIDDEN,
            """
def denoise(data, x, a):                          # the level is not used
    a = a.mean()
    offset = x[:, None] - a.sqrt() * data
    weight = torch.softmax(-(offset**2).sum(-1) / (2 * (1 - a)), dim=1)
    return (weight[..., None] * offset).sum(1) / (1 - a).sqrt()
""": HIDDEN,
            """
def denoise(data, x, a):                          # the nearest point, and not the mean over all that might have been
    offset = x[:, None] - a[:, None].sqrt() * data
    nearest = offset.pow(2).sum(-1).argmin(1)
    return offset[torch.arange(len(x)), nearest] / (1 - a).sqrt()
""": HIDDEN,
            """
def denoise(data, x, a):                          # the clean point, and not the noise
    offset = x[:, None] - a[:, None].sqrt() * data
    weight = torch.softmax(-(offset**2).sum(-1) / (2 * (1 - a)), dim=1)
    return weight @ data
""": "at the highest noise x is almost the noise itself",
            """
def denoise(data, x, a):
    return torch.zeros_like(x)
""": "at the highest noise x is almost the noise itself",
        },
    ),
}
