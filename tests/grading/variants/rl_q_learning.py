"""Answers to `rl/q-learning`."""

from tests.grading.variants import HIDDEN, Variants, edit

ASSIGNMENT = "rl/q-learning"
VARIANTS = {
    "Q1": Variants(
        right=[
            """
def best_values(p, r, ends, gamma):               # policy iteration
    go = p * (~ends)[:, None, None]
    earned = (go * r).sum(dim=2)
    actions = torch.zeros(len(p), dtype=torch.int64)
    rows = torch.arange(len(p))
    for _ in range(100):
        v = torch.linalg.solve(torch.eye(len(p), dtype=p.dtype) - gamma * go[rows, actions], earned[rows, actions])
        q = earned + gamma * torch.einsum("ijk,k->ij", go, v)
        better = q.max(dim=1).values > q[rows, actions] + 1e-10
        actions = torch.where(better, q.argmax(dim=1), actions)
    return q
""",
            """
def best_values(p, r, ends, gamma):               # in place, state by state
    states, actions, _ = p.shape
    expected = (p * r).sum(2).tolist()
    p, over = p.tolist(), ends.tolist()
    q = [[0.0] * actions for _ in range(states)]
    v = [0.0] * states
    for _ in range(700):
        for s in range(states):
            if not over[s]:
                q[s] = [e + gamma * sum(x * y for x, y in zip(row, v)) for e, row in zip(expected[s], p[s])]
                v[s] = max(q[s])
    return torch.tensor(q)
""",
        ],
        wrong={
            edit("range(1500)", "range(30)"): "run until nothing moves",
            edit("        q[ends] = 0.0\n", ""): "the last move pays its reward, and nothing follows",
            edit(
                "v = q.max(dim=1).values\n        q = (p * (r + gamma * v)).sum(dim=2)",
                "q = (p * r).sum(dim=2) + gamma * torch.einsum('ijk,kl->ijl', p, q).max(dim=2).values",
            ): "take the maximum first, then the expectation",
            edit("q[ends] = 0.0\n    return q", "q[ends] = 0.0\n    return (p * (r + gamma * v)).sum(dim=2)"): (
                "the values of an end are 0"
            ),
        },
    ),
    "Q2": Variants(
        right=[
            """
def learn(log, states, actions, alpha, gamma):
    q = [[0.0] * actions for _ in range(states)]
    for s, a, reward, s_next, terminated, _ in log:
        future = (1 - terminated) * max(q[s_next])
        q[s][a] = (1 - alpha) * q[s][a] + alpha * (reward + gamma * future)
    return torch.tensor(q)
""",
            """
def learn(log, states, actions, alpha, gamma):    # as a dictionary
    q = {}
    for s, a, reward, s_next, terminated, truncated in log:
        future = 0.0 if terminated else max(q.get((s_next, b), 0.0) for b in range(actions))
        old = q.get((s, a), 0.0)
        q[s, a] = old + alpha * (reward + gamma * future - old)
    return [[q.get((s, a), 0.0) for a in range(actions)] for s in range(states)]
""".replace("return [[", "return torch.tensor([[").replace("(states)]\n", "(states)])\n"),
        ],
        wrong={
            edit("q[s, a] += alpha * (target - q[s, a])", "q[s] += alpha * (target - q[s])"): (
                "one transition changes one entry of Q"
            ),
            edit("q[s_next].max()", "q[s_next, a]"): "the best action in s_next, not the same action",
            edit("if terminated else", "if terminated or truncated else"): "a truncated episode has a future",
            edit("if terminated else", "if terminated and not truncated else"): "a terminated episode has none",
            edit("(target - q[s, a])", "target"): HIDDEN,
            edit("q[s_next].max()", "q[s_next].abs().max()"): HIDDEN,
        },
    ),
    "Q3": Variants(
        right=[
            """
def targets(reward, terminated, online_next, target_next, gamma):
    y = reward.clone()
    go = ~terminated
    best = online_next[go].argmax(dim=1)
    y[go] += gamma * target_next.detach()[go, best]
    return y
""",
            """
def targets(reward, terminated, online_next, target_next, gamma):      # row by row
    labels = []
    columns = [tensor.tolist() for tensor in (reward, terminated, online_next, target_next)]
    for r, over, chooses, judges in zip(*columns):
        labels.append(r if over else r + gamma * judges[chooses.index(max(chooses))])
    return torch.tensor(labels)
""",
        ],
        wrong={
            edit("chosen = online_next.argmax", "chosen = target_next.argmax"): "the online network chooses the action",
            edit("future = target_next.gather", "future = online_next.gather"): "the target network says its value",
            edit(
                "torch.where(terminated, reward, reward + gamma * future)", "reward + gamma * future * (~terminated)"
            ): ("at an end the label is the reward"),
            edit("with torch.no_grad():", "if True:"): "labels are constants",
            edit("(1, chosen)[:, 0]", "(1, chosen)"): "one label per transition",
        },
    ),
    "Q4": Variants(
        right=[
            """
def sweeps(gamma, largest, error):                # in closed form
    if largest <= error * (1 - gamma):
        return 0
    if gamma == 0:
        return 1
    return math.ceil(math.log(error * (1 - gamma) / largest) / math.log(gamma))
""",
            """
def sweeps(gamma, largest, error):
    return next(n for n in range(100_000) if gamma ** n * largest <= error * (1 - gamma))
""",
        ],
        wrong={
            edit("largest / (1 - gamma)", "largest"): "at the start the error can be R / (1 - gamma)",
            edit("    return n", "    return max(n - 1, 0)"): "at the start the error can be",
            """
def sweeps(gamma, largest, error):
    if gamma == 0:
        return 1
    return math.ceil(math.log(error * (1 - gamma) / largest) / math.log(gamma))
""": "0 is already good enough",
            """
def sweeps(gamma, largest, error):
    bound = largest / (1 - gamma)
    if bound <= error or gamma == 0:
        return 0
    return math.ceil(math.log(error / bound) / math.log(gamma))
""": "gamma 0: one sweep",
            """
def sweeps(gamma, largest, error):
    bound = largest / (1 - gamma)
    if bound <= error or gamma == 0:
        return int(bound > error)
    return round(math.log(error / bound) / math.log(gamma))
""": "round up",
        },
    ),
    "Q5": Variants(
        right=[
            """
def rest(x, r, x_next, gamma):                    # least squares, and sums over transitions
    matrix = sum(torch.outer(now, now - gamma * later) for now, later in zip(x, x_next))
    semi = torch.linalg.inv(matrix) @ sum(now * pay for now, pay in zip(x, r))
    return torch.stack([semi, torch.linalg.lstsq(x - gamma * x_next, r[:, None]).solution[:, 0]])
""",
            """
def rest(x, r, x_next, gamma):                    # by going there
    semi = torch.zeros(x.shape[1], dtype=x.dtype)
    for _ in range(400):                          # labels from the old weights, then a whole regression
        semi = torch.linalg.lstsq(x, (r + gamma * x_next @ semi)[:, None]).solution[:, 0]
    slope = x - gamma * x_next
    return torch.stack([semi, torch.linalg.pinv(slope) @ r])
""",
        ],
        wrong={
            edit("torch.stack([semi, residual])", "torch.stack([residual, semi])"): "A's value is the mean",
            edit("solve(x.T @ a, x.T @ r)", "solve(a.T @ x, a.T @ r)"): "semi-gradient",
            edit("solve(a.T @ a, a.T @ r)", "solve(x.T @ a, x.T @ r)"): "B and C are pulled together",
            edit("x - gamma * x_next", "x - x_next"): "the next value counts gamma times",
            edit("torch.stack([semi, residual])", "torch.cat([semi, residual])"): "two weight vectors, stacked",
        },
    ),
    "Q6": Variants(
        right=[
            """
def policy(transitions, gamma):                   # count, and sweep
    counts, pay = torch.zeros(25, 4, 25), torch.zeros(25, 4)
    over = torch.zeros(25, dtype=torch.bool)
    for s, a, reward, s_next, terminated in transitions:
        counts[s, a, s_next] += 1
        pay[s, a] += reward
        over[s_next] |= terminated
    tries = counts.sum(dim=2).clamp(min=1)
    q = torch.zeros(25, 4)
    for _ in range(200):
        v = torch.where(over, 0.0, q.max(dim=1).values)
        q = pay / tries + gamma * (counts / tries[:, :, None]) @ v
    return q.argmax(dim=1).tolist()
""",
            """
def policy(transitions, gamma):                   # whole batches: the mean label of each pair, again and again
    s, a, s_next = (torch.tensor([t[i] for t in transitions]) for i in (0, 1, 3))
    reward = torch.tensor([t[2] for t in transitions])
    go = 1 - torch.tensor([t[4] for t in transitions]).float()
    q, pair = torch.zeros(100), 4 * s + a
    number = torch.bincount(pair, minlength=100).clamp(min=1)
    for _ in range(150):
        y = reward + gamma * go * q.view(25, 4).amax(dim=1)[s_next]
        q = torch.zeros(100).index_add_(0, pair, y) / number
    return [int(i) for i in q.view(25, 4).argmax(dim=1)]
""",
        ],
        wrong={
            edit("reward + gamma * max(q[s_next])", "reward"): "look further than one step",
            edit("row.index(max(row))", "row.index(min(row))"): "look further than one step",
            edit("gamma * max(q[s_next])", "max(q[s_next])"): "less than 95 % of the best ones",
            edit("max(q[s_next])", "max(q[s])"): "look further than one step",
            edit("for row in q]", "for row in q if any(row)]"): "one action per cell",
        },
    ),
}
