"""Answers to `rnn/recurrent-networks`."""

from tests.grading.variants import HIDDEN, Variants, edit

ASSIGNMENT = "rnn/recurrent-networks"
VARIANTS = {
    "Q1": Variants(
        right=[
            """
def last_states(x, lengths, w_x, w_h, b):         # PyTorch's module, with packing
    module = torch.nn.RNN(x.shape[2], len(b), batch_first=True).double()
    with torch.no_grad():
        for name, value in [("weight_ih_l0", w_x), ("weight_hh_l0", w_h), ("bias_ih_l0", b), ("bias_hh_l0", 0 * b)]:
            getattr(module, name).copy_(value)
        packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        return module(packed)[1][0]
""",
            """
def last_states(x, lengths, w_x, w_h, b):         # one sequence at a time
    ends = []
    for row, n in zip(x, lengths.tolist()):
        h = torch.zeros_like(b)
        for v in row[:n]:
            h = torch.tanh(w_x @ v + w_h @ h + b)
        ends.append(h)
    return torch.stack(ends)
""",
        ],
        wrong={
            edit("h = torch.where((t < lengths)[:, None], new, h)", "h = new"): "whatever the padding says",
            edit("t < lengths", "t <= lengths"): "length 1: the state after the first step",
            edit("h @ w_h.T", "h @ w_h"): "row i of W_h feeds unit i",
            edit(" + b)", ")"): HIDDEN,
        },
    ),
    "Q2": Variants(
        right=[
            """
def gradients(x, h0, w_x, w_h, b, own):           # autograd
    p, q = w_x.clone().requires_grad_(), w_h.clone().requires_grad_()
    h, loss = h0, 0.0
    for row, g in zip(x, own):
        h = torch.tanh(p @ row + q @ h + b)
        loss = loss + h @ g
    return torch.autograd.grad(loss, [p, q])
""",
            """
def gradients(x, h0, w_x, w_h, b, own):           # all deltas first, then two matrix products
    h = [h0]
    for row in x:
        h.append(torch.tanh(w_x @ row + w_h @ h[-1] + b))
    deltas, g = [], 0 * h0
    for t in range(len(x) - 1, -1, -1):
        deltas.insert(0, (own[t] + g) * (1 - h[t + 1].square()))
        g = deltas[0] @ w_h
    deltas = torch.stack(deltas)
    return deltas.T @ x, deltas.T @ torch.stack(h[:-1])
""",
        ],
        wrong={
            edit(
                "(own[t] + from_future) * (1 - states[t + 1] ** 2)", "own[t] * (1 - states[t + 1] ** 2) + from_future"
            ): ("meets the slope of the earlier step too"),
            edit("torch.outer(delta, states[t])", "torch.outer(delta, states[t + 1])"): "the state BEFORE the step",
            edit("w_h.T @ delta", "w_h @ delta"): "through W_h transposed",
            edit("for_h += ", "for_h = "): "adds up what all steps say",
            edit("from_future = w_h.T @ delta", "from_future = from_future + w_h.T @ delta"): HIDDEN,
        },
    ),
    "Q3": Variants(
        right=[
            """
def truncated(w, xs, k):                          # autograd, with a detached state
    p, h = torch.tensor(w, dtype=torch.float64, requires_grad=True), torch.zeros((), dtype=torch.float64)
    for t, x in enumerate(xs):
        h = torch.tanh(p * (h.detach() if t == len(xs) - k else h) + x)
    return torch.autograd.grad(h, p)[0].item()
""",
            """
def truncated(w, xs, k):                          # forward: the derivative runs along, and starts late
    h, d = 0.0, 0.0
    for t, x in enumerate(xs):
        if t <= len(xs) - k:
            d = 0.0
        new = math.tanh(w * h + x)
        d = (1 - new * new) * (h + w * d)
        h = new
    return d
""",
        ],
        wrong={
            edit(
                "        total += product * slope * h[t - 1]\n        product *= slope * w",
                ("        product *= slope * w\n        total += product * h[t - 1]"),
            ): "k = 1: the immediate term",
            edit("max(len(xs) - k, 0)", "max(len(xs) - k - 1, 0)"): "k = 1: the immediate term",
            edit("product *= slope * w", "product *= w"): "k = 2: the term of step T - 1 passes one Jacobian",
            edit("slope * h[t - 1]", "slope * h[t]"): "w has multiplied a zero",
            edit("1 - h[t] ** 2", "1 - h[t - 1] ** 2"): "k = 1: the immediate term",
        },
    ),
    "Q4": Variants(
        right=[
            """
def clip(grads, c):
    norm = torch.cat([g.flatten() for g in grads]).norm()
    return [g * torch.clamp(c / (norm + 1e-30), max=1.0) for g in grads]
""",
            """
def clip(grads, c):
    square = sum(v * v for g in grads for v in g.flatten().tolist())
    return [g.clone() if square <= c * c else c * g / math.sqrt(square) for g in grads]
""",
        ],
        wrong={
            """
def clip(grads, c):
    return [g * (c / g.norm()) if g.norm() > c else g for g in grads]
""": "over all tensors together",
            edit(
                "c / norm if norm > c else 1.0", "c / norm if norm > 0 else 1.0"
            ): "a short gradient is not lengthened",
            edit(
                "    return [g * factor for g in grads]", "    for g in grads:\n        g *= factor\n    return grads"
            ): ("must stay as they are"),
            """
def clip(grads, c):
    return [g.clamp(-c, c) for g in grads]
""": "the direction stays",
            edit("c / norm if norm > c else 1.0", "torch.minimum(c / norm, norm / norm)"): "stays zero, not nan",
        },
    ),
    "Q5": Variants(
        right=[
            """
def bits(train, test, size, k):
    pairs = list(zip(train, train[1:]))
    p = lambda a, b: (pairs.count((a, b)) + k) / (sum(u == a for u, _ in pairs) + k * size)
    return -math.log2(math.prod(p(a, b) for a, b in zip(test, test[1:]))) / (len(test) - 1)
""",
            """
def bits(train, test, size, k):                   # a table of logarithms
    table = torch.full((size, size), float(k), dtype=torch.float64)
    one = torch.ones(len(train) - 1, dtype=torch.float64)
    table.index_put_((torch.tensor(train[:-1]), torch.tensor(train[1:])), one, accumulate=True)
    logs = (table / table.sum(dim=1, keepdim=True)).log2()
    return -logs[test[:-1], test[1:]].mean()
""",
        ],
        wrong={
            edit("math.log2", "math.log"): "equally likely, 2 bits",
            """
def bits(train, test, size, k):
    pairs = list(zip(train, train[1:]))
    p = [(pairs.count((a, b)) + k) / (train.count(a) + k * size) for a, b in zip(test, test[1:])]
    return -sum(map(math.log2, p)) / (len(test) - 1)
""": "the last 0 begins none",
            edit("/ (len(test) - 1)", "/ len(test)"): "equally likely, 2 bits",
            edit("counts[a][b] += 1", "counts[b][a] += 1"): "-log2 of 1/4 and of 2/3",
            edit("counts[a][b] / sum(counts[a])", "counts[a][b] / (sum(counts[a]) - k * size + k)"): (
                "equally likely, 2 bits"
            ),
        },
    ),
    "Q6": Variants(
        right=[
            """
def train(x, y, params, k, lr, c):                # PyTorch's optimizer and its clipping
    params = [torch.nn.Parameter(p.clone()) for p in params]
    w_x, w_h, b, w_y = params
    optimizer = torch.optim.SGD(params, lr=lr)
    h = torch.zeros_like(b)
    for xs, ys in zip(x.split(k), y.split(k)):
        h, loss = h.detach(), 0.0
        for v, target in zip(xs, ys):
            h = torch.tanh(w_x @ v + w_h @ h + b)
            loss = loss - torch.log_softmax(w_y @ h, dim=0)[target] / k
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(params, c)
        optimizer.step()
    return [p.detach() for p in params]
""",
            """
def train(x, y, params, k, lr, c):                # by hand, without autograd
    w_x, w_h, b, w_y = [p.clone() for p in params]
    h = [torch.zeros_like(b)]
    for first in range(0, len(x), k):
        h = [h[-1]]
        for v in x[first:first + k]:
            h.append(torch.tanh(w_x @ v + w_h @ h[-1] + b))
        gx, gh, gb, gy, back = 0, 0, 0, 0, 0
        for t in range(k, 0, -1):
            error = torch.softmax(w_y @ h[t], dim=0)
            error[y[first + t - 1]] -= 1
            error = error / k
            delta = (w_y.T @ error + back) * (1 - h[t] ** 2)
            gx, gh = gx + torch.outer(delta, x[first + t - 1]), gh + torch.outer(delta, h[t - 1])
            gb, gy, back = gb + delta, gy + torch.outer(error, h[t]), w_h.T @ delta
        norm = math.sqrt(sum((g**2).sum().item() for g in (gx, gh, gb, gy)))
        step = lr * min(1.0, c / norm)
        w_x, w_h, b, w_y = w_x - step * gx, w_h - step * gh, b - step * gb, w_y - step * gy
    return [w_x, w_h, b, w_y]
""",
        ],
        wrong={
            edit("h, logits = h.detach(), []", "h, logits = torch.zeros_like(h), []"): (
                "the second piece starts from the state of the first"
            ),
            edit("y[first:first + k])", "y[first:first + k], reduction='sum')"): "the mean over its steps",
            edit("factor = c / norm if norm > c else 1.0", "factor = 1.0"): "the step over all four parameters",
            edit("p - lr * factor * g for", "p - lr * g * min(1.0, c / (g.norm().item() + 1e-30)) for"): (
                "the step over all four parameters"
            ),
            edit("p - lr * factor", "p + lr * factor"): "downhill",
            """
def train(x, y, params, k, lr, c):
    h = torch.zeros(len(params[1]), dtype=x.dtype)
    for p in params:
        p.requires_grad_()
    w_x, w_h, b, w_y = params
    for first in range(0, len(x), k):
        h, loss = h.detach(), 0.0
        for t in range(first, first + k):
            h = torch.tanh(w_x @ x[t] + w_h @ h + b)
            loss = loss - torch.log_softmax(w_y @ h, dim=0)[y[t]] / k
        grads = torch.autograd.grad(loss, params)
        norm = torch.sqrt(sum((g**2).sum() for g in grads))
        with torch.no_grad():
            for p, g in zip(params, grads):
                p -= lr * min(1.0, c / norm.item()) * g
    return [p.detach() for p in params]
""": "the given tensors must stay as they are",
        },
    ),
}
