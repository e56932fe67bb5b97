"""Answers to `rl/policy-gradients`."""

from tests.grading.variants import HIDDEN, Variants, edit

ASSIGNMENT = "rl/policy-gradients"
VARIANTS = {
    "Q1": Variants(
        right=[
            """
def exact(theta, mu, b):                          # arm by arm, with autograd's scores
    theta = theta.clone().requires_grad_()
    rows = []
    for k in range(len(mu)):
        log_p = torch.distributions.Categorical(logits=theta).log_prob(torch.tensor(k))
        rows.append((mu[k] - b) * torch.autograd.grad(log_p, theta)[0])
    pi, rows = theta.detach().softmax(0), torch.stack(rows)
    mean = (pi[:, None] * rows).sum(0)
    return mean, float((pi[:, None] * (rows - mean) ** 2).sum())
""",
            """
def exact(theta, mu, b):                          # the closed form of the gradient
    pi = torch.exp(theta) / torch.exp(theta).sum()
    mean = pi * (mu - pi @ mu)
    length = 1 - 2 * pi + (pi**2).sum()           # squared length of each score
    return mean, ((mu - b) ** 2 * length) @ pi - mean @ mean
""",
        ],
        wrong={
            edit(" - (mean**2).sum()", ""): "minus the square of the mean",
            edit("return mean,", "return pi * (mu - b),"): "the gradient of J: positive for the better arm",
            edit(
                "pi @ (estimates**2).sum(dim=1) - (mean**2).sum()", "(estimates - mean).square().sum() / len(pi)"
            ): HIDDEN,
            edit("(mu - b)[:, None]", "mu[:, None]"): "both outcomes are the same",
        },
    ),
    "Q2": Variants(
        right=[
            """
def best_baseline(theta, mu):                     # a parabola through three points
    pi = theta.softmax(0)
    scores = torch.eye(len(pi), dtype=pi.dtype) - pi

    def second(b):
        return float(pi @ (((mu - b)[:, None] * scores) ** 2).sum(1))

    low, middle, high = second(-1), second(0), second(1)
    return (low - high) / (2 * (low + high - 2 * middle))
""",
            """
def best_baseline(theta, mu):
    pi = theta.softmax(0)
    length = (1 - pi) ** 2 + (pi**2).sum() - pi**2
    return float((pi * length) @ mu) / float(pi @ length)
""",
        ],
        wrong={
            edit("weight = pi * (scores**2).sum(dim=1)", "weight = pi"): "a rare arm has a long score",
            edit(
                "weight = pi * (scores**2).sum(dim=1)", "weight = (scores**2).sum(dim=1)"
            ): "how often is each arm drawn?",
            edit("(weight * mu).sum() / weight.sum()", "mu.mean()"): "a rare arm has a long score",
            edit("(scores**2).sum(dim=1)", "(1 - pi) ** 2"): "a rare arm has a long score",
        },
    ),
    "Q3": Variants(
        right=[
            """
def gradient(theta, s, a, r, b):                  # step by step
    pi, total = theta.softmax(1), torch.zeros_like(theta)
    for i in range(len(s)):
        for t in range(s.shape[1]):
            weight = r[i, t:].sum() - b[s[i, t]]
            total[s[i, t]] -= weight * pi[s[i, t]]
            total[s[i, t], a[i, t]] += weight
    return total / len(s)
""",
            """
def gradient(theta, s, a, r, b):                  # a loss, and autograd
    theta = theta.clone().requires_grad_()
    to_go = r.sum(1, keepdim=True) - r.cumsum(1) + r
    log_pi = torch.log_softmax(theta, 1)[s, a]
    loss = ((to_go - b[s]) * log_pi).sum(1).mean()
    return torch.autograd.grad(loss, theta)[0]
""",
        ],
        wrong={
            edit("r.flip(1).cumsum(dim=1).flip(1)", "r.cumsum(dim=1)"): "the first step gets 12",
            edit("- pi[s]", "- 1 / theta.shape[1]"): "minus the policy's own probabilities",
            edit("total / len(s)", "total / s.numel()"): "the mean over the episodes",
            edit(" - b[s]", " + b[s]"): "the baseline of the state is subtracted",
            edit("total / len(s)", "total"): HIDDEN,
        },
    ),
    "Q4": Variants(
        right=[
            """
def targets(rewards, terminated, truncated, next_values, gamma):      # forward, each step on its own
    n = len(rewards)

    def target(t):
        if terminated[t]:
            return rewards[t]
        if truncated[t] or t == n - 1:
            return rewards[t] + gamma * next_values[t]
        return rewards[t] + gamma * target(t + 1)

    return [target(t) for t in range(n)]
""",
            """
def targets(rewards, terminated, truncated, next_values, gamma):
    n = len(rewards)
    out = [0.0] * (n + 1)
    for t in range(n - 1, -1, -1):
        goes_on = t < n - 1 and not truncated[t]
        out[t] = rewards[t] + gamma * (1 - int(terminated[t])) * (out[t + 1] if goes_on else next_values[t])
    return torch.tensor(out[:n], dtype=torch.float64)
""",
        ],
        wrong={
            edit("if terminated[t]:", "if terminated[t] or truncated[t]:"): "the critic says what would have followed",
            edit("[], next_values[-1]", "[], 0.0"): "stops in the middle of an episode",
            edit("        if truncated[t]:\n            following = next_values[t]\n", ""): "what would have followed",
            """
def targets(rewards, terminated, truncated, next_values, gamma):      # one step only
    return [r + gamma * v * (not end) for r, v, end in zip(rewards, next_values, terminated)]
""": "the later rewards count",
            """
def targets(rewards, terminated, truncated, next_values, gamma):
    out, following = [], next_values[-1]
    for t in reversed(range(len(rewards))):
        if terminated[t]:
            following = 0.0
        if truncated[t]:
            following = next_values[t]
        following = rewards[t] + gamma * following
        out.append(following)
    return out[::-1]
""": "both flags: the episode terminated",
        },
    ),
    "Q5": Variants(
        right=[
            """
def best_in_fog(P, R, start, seen, T):            # backward, and each policy as a number
    values = []
    for code in range(2 ** len(set(seen))):
        action = [code >> o & 1 for o in seen]
        V = torch.zeros_like(start)
        for _ in range(T):
            V = torch.stack([R[s, a] + P[s, a] @ V for s, a in enumerate(action)])
        values.append(start @ V)
    return max(values)
""",
            """
def best_in_fog(P, R, start, seen, T):            # with one-hot tables
    def J(plan):
        pi = F.one_hot(torch.tensor([plan[o] for o in seen]), 2).to(P.dtype)
        reward, chain = (pi * R).sum(1), torch.einsum("sa,sax->sx", pi, P)
        return float(sum(start @ torch.linalg.matrix_power(chain, t) @ reward for t in range(T)))

    return max(J(plan) for plan in itertools.product([1, 0], repeat=1 + max(seen)))
""",
        ],
        wrong={
            """
def best_in_fog(P, R, start, seen, T):            # sees the states
    V = torch.zeros_like(start)
    for _ in range(T):
        V = (R + P @ V).max(dim=1).values
    return float(start @ V)
""": "with the same policy in all steps",
            edit("range(T)", "range(T - 1)"): "the best reward there is 1",
            edit("            p = p @ P[states, action]\n", ""): "summed over all T",
            edit("p, total = start, 0.0", "p, total = torch.ones_like(start) / len(start), 0.0"): "from state 0",
        },
    ),
    "Q6": Variants(
        right=[
            """
def learn(world):                                 # play at random, count, and plan
    S, A = world.states, world.actions
    s, a, r = world.play(torch.full((S, A), 1 / A), 15_000)
    before = s[:, :-1].flatten() * A + a[:, :-1].flatten()
    counts = torch.zeros(S * A, S, dtype=torch.float64)
    counts.index_put_((before, s[:, 1:].flatten()), torch.ones(len(before), dtype=torch.float64), accumulate=True)
    P = (counts / counts.sum(1, keepdim=True)).view(S, A, S)
    pairs = (s * A + a).flatten()
    R = torch.bincount(pairs, weights=r.flatten(), minlength=S * A) / torch.bincount(pairs, minlength=S * A)
    R, start = R.view(S, A), torch.bincount(s[:, 0], minlength=S) / len(s)

    def J(plan):
        V = torch.zeros(S, dtype=torch.float64)
        for _ in range(world.steps):
            V = torch.stack([R[i, k] + P[i, k] @ V for i, k in enumerate(plan)])
        return float(start.double() @ V)

    return list(max(itertools.product(range(A), repeat=S), key=J))
""",
            """
def learn(world):                                 # try all 81 plans
    def worth(plan):
        return world.play(F.one_hot(torch.tensor(plan), 3), 240)[2].sum(1).mean()

    return list(max(itertools.product(range(3), repeat=4), key=worth))
""",
        ],
        wrong={
            edit("theta = theta + 0.4", "theta = theta - 0.4"): "does the step go uphill?",
            edit(
                "to_go - to_go.mean(dim=0)", "r.sum(dim=1, keepdim=True).expand_as(r)"
            ): "15 per step drown a gradient",
            edit("to_go - to_go.mean(dim=0)", "r - r.mean(dim=0)"): "an action may pay later",
            """
def learn(world):                                 # the action that pays most at once
    s, a, r = world.play(torch.full((4, 3), 1 / 3), 15_000)
    paid = [[float(r[(s == i) & (a == k)].mean()) for k in range(3)] for i in range(4)]
    return [row.index(max(row)) for row in paid]
""": "an action may pay later",
        },
    ),
}
