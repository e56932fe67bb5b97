"""Answers to `attention/attention`."""

from tests.grading.variants import HIDDEN, Variants, edit

ASSIGNMENT = "attention/attention"
VARIANTS = {
    "Q1": Variants(
        right=[
            """
def masked_attention(Q, K, V, seen):                              # PyTorch's own: its boolean masks mean "may see"
    return torch.nn.functional.scaled_dot_product_attention(Q, K, V, attn_mask=seen)
""",
            """
def masked_attention(Q, K, V, seen):                              # query by query, over the visible keys alone
    out = torch.zeros(len(Q), V.shape[1], dtype=V.dtype)
    for i, q in enumerate(Q):
        keys = seen[i].nonzero()[:, 0]
        if len(keys):
            scores = K[keys] @ q / math.sqrt(len(q))
            e = torch.exp(scores - scores.max())
            out[i] = (e / e.sum()) @ V[keys]
    return out
""",
            """
def masked_attention(Q, K, V, seen):                              # repair NaN afterward
    M = torch.zeros(len(Q), len(K), dtype=Q.dtype).masked_fill(~seen, -math.inf)
    return torch.softmax(Q @ K.T / Q.shape[1] ** 0.5 + M, dim=1).nan_to_num(nan=0.0) @ V
""",
        ],
        wrong={
            edit("scores.masked_fill(~seen, -math.inf)", "scores * seen"): "the weights of the visible keys sum to 1",
            edit("    A = A.masked_fill(~seen, 0.0)\n", ""): "a query that sees nothing gets zeros",
            edit("    scores = scores.masked_fill(~seen, -math.inf)\n", ""): "the weights of the visible keys sum to 1",
            edit("math.sqrt(Q.shape[1])", "math.sqrt(V.shape[1])"): "the width of queries and keys",
            edit("/ math.sqrt(Q.shape[1])", "/ Q.shape[1]"): "the width of queries and keys",
            edit(
                "    A = torch.softmax(scores, dim=1)\n    A = A.masked_fill(~seen, 0.0)\n",
                "    A = torch.exp(scores) / torch.exp(scores).sum(dim=1, keepdim=True).clamp(min=1e-300)\n",
            ): "e to such a power overflows",
            edit(
                "-math.inf)\n    A = torch.softmax(scores, dim=1)\n    A = A.masked_fill(~seen, 0.0)",
                "-1e9)\n    A = torch.softmax(scores, dim=1)",
            ): "a query that sees nothing gets zeros",
        },
    ),
    "Q2": Variants(
        right=[
            """
def multi_head(X, C, W_q, W_k, W_v, W_o, h):                      # head by head: a sum over blocks of columns of W_o
    out = 0
    for q, k, v, o in zip(W_q.chunk(h), W_k.chunk(h), W_v.chunk(h), W_o.chunk(h, dim=1)):
        A = torch.softmax((X @ q.T) @ (C @ k.T).T / math.sqrt(len(q)), dim=1)
        out = out + A @ (C @ v.T) @ o.T
    return out
""",
            """
def multi_head(X, C, W_q, W_k, W_v, W_o, h):                      # with names for the axes
    q, k, v = (torch.einsum("nd,hcd->hnc", x, w.unflatten(0, (h, -1))) for x, w in [(X, W_q), (C, W_k), (C, W_v)])
    A = torch.softmax(torch.einsum("hnc,hmc->hnm", q, k) / q.shape[-1] ** 0.5, dim=-1)
    return torch.einsum("hnm,hmc,ohc->no", A, v, W_o.unflatten(1, (h, -1)))
""",
        ],
        wrong={
            edit(
                "heads.transpose(0, 1).reshape(n, -1)", "heads.reshape(n, -1)"
            ): "put the heads of one token side by side",
            edit(".view(m, h, -1).transpose(0, 1)", ".view(h, m, -1)"): "view must split the features of a token",
            edit(".view(n, h, -1).transpose(0, 1)", ".view(h, n, -1)"): "each query asks for itself",
            edit("math.sqrt(Q.shape[2])", "math.sqrt(W_q.shape[0])"): "the root of the head's width",
            edit("math.sqrt(Q.shape[2])", "math.sqrt(V.shape[2])"): HIDDEN,
            edit("dim=2)", "dim=1)"): "with one key, every query gets its value back",
        },
    ),
    "Q3": Variants(
        right=[
            """
def plan(budget, h, D):                                           # step by step
    n = 0
    while h * (n + 1) ** 2 + 5 * (n + 1) * D <= budget:
        n += 1
    return [n, n * D * (2 * n + 4 * D)]
""",
            """
def plan(budget, h, D):                                           # by bisection
    low, high = 0, budget + 1
    while high - low > 1:
        middle = (low + high) // 2
        kept = h * middle * middle + 3 * middle * D + middle * D + middle * D
        low, high = (middle, high) if kept <= budget else (low, middle)
    d = D // h
    return [low, h * low * low * (d + d) + h * 3 * low * D * d + low * D * D]
""",
        ],
        wrong={
            edit(
                "4 * h * budget) - 5 * D) // (2 * h)", "4 * budget) - 5 * D) // 2"
            ): "each of 8 heads keeps 10 x 10 weights",
            edit(
                "(math.isqrt(25 * D * D + 4 * h * budget) - 5 * D) // (2 * h)",
                "(math.isqrt(16 * D * D + 4 * h * budget) - 4 * D) // (2 * h)",
            ): "one number too many does not fit",
            edit("// (2 * h)\n", "// (2 * h) + 1\n"): "an exact fit fits",
            edit("4 * h * budget)", "4 * h * (budget - 1))"): "an exact fit fits",
            edit("2 * n * n * D", "2 * h * n * n * D"): "scores and mixtures for each pair of tokens",
            edit("4 * n * D * D", "3 * n * D * D"): "four projections for each token",
        },
    ),
    "Q4": Variants(
        right=[
            """
def look_back(n, shift):                                          # half a circle, and short keys
    angle = [math.pi * (i + 0.5) / n for i in range(n)]
    K = torch.tensor([[math.cos(a), math.sin(a)] for a in angle], dtype=torch.float64)
    return 4000 * K[[max(i - shift, 0) for i in range(n)]], K
""",
            """
def look_back(n, shift):                                          # a parabola: the nearest of numbers on a line
    place = torch.arange(n, dtype=torch.float64)
    wanted = (place - shift).clamp(min=0)
    return 40 * torch.stack([2 * wanted, -torch.ones_like(place)], dim=1), torch.stack([place, place**2], dim=1)
""",
        ],
        wrong={
            edit("(places - shift).clamp(min=0)", "places - shift"): "not around the corner",
            edit("(places - shift).clamp(min=0)", "(places + shift).clamp(max=n - 1)"): "place 5 looks two places back",
            edit("30 * circle(", "3 * circle("): "sharp: more than 0.999",
            edit("30 * circle(", "15 * circle("): "sharp enough for 24 places",
            """
def look_back(n, shift):
    eye = 100 * torch.eye(n, dtype=torch.float64)
    return eye[[max(i - shift, 0) for i in range(n)]], eye
""": "two numbers per place",
        },
    ),
    "Q5": Variants(
        right=[
            """
def leaks(layer, X):                                              # change one token, and see who notices
    found, before = [], layer(X)
    for s in range(len(X)):
        changed = X.clone()
        changed[s] = changed[s] + 0.7
        after = layer(changed)
        found += [[t, s] for t in range(s) if (after[t] - before[t]).abs().max() > 1e-12]
    return sorted(found)
""",
            """
def leaks(layer, X):                                              # one gradient per output number
    found = []
    for t in range(len(X)):
        copy = X.clone().requires_grad_()
        seen = torch.zeros(len(X), dtype=X.dtype)
        for number in layer(copy)[t]:
            (g,) = torch.autograd.grad(number, copy, retain_graph=True)
            seen = seen + g.abs().sum(dim=1)
        found += [[t, s] for s in range(t + 1, len(X)) if seen[s] > 1e-12]
    return found
""",
        ],
        wrong={
            edit("range(t + 1, len(X))", "range(t, len(X))"): "a token may see itself",
            edit(
                "for s in range(t + 1, len(X)) if", "for s in range(t + 1, min(t + 2, len(X))) if"
            ): "three places ahead",
            edit("[[t, s] for t", "[[s, t] for t"): "t comes first",
            edit(
                "J.abs().amax(dim=(1, 3)) > 1e-12", "J.abs().amax(dim=(1, 3)) > 0.5"
            ): "every output sees all later values",
            """
def leaks(layer, X):
    before = layer(X)
    found = []
    for s in range(len(X)):
        old = X[s].clone()
        X[s] = X[s] + 1.0
        after = layer(X)
        found += [[t, s] for t in range(s) if (after[t] - before[t]).abs().max() > 1e-12]
    return sorted(found)
""": "leave X as it was",
            """
def leaks(layer, X):
    found = []
    for t in range(len(X) - 1):
        changed = X.clone()
        changed[t + 1:] = 0.0
        if (layer(changed)[t] - layer(X)[t]).abs().max() > 1e-12:
            found += [[t, s] for s in range(t + 1, len(X))]
    return found
""": "output 0 sees token 3",
        },
    ),
    "Q6": Variants(
        right=[
            """
def learn(S, K, target, penalty):                                 # Newton's method on the flattened W
    features = torch.einsum("nmk,nd->nmkd", K, S).flatten(2) / 2
    chosen = features[torch.arange(len(S)), target]
    w = torch.zeros(12, dtype=torch.float64)
    for _ in range(30):
        A = torch.softmax(features @ w, dim=1)
        mean = torch.einsum("nm,nmf->nf", A, features)
        g = (mean - chosen).mean(dim=0) + 2 * penalty * w
        H = torch.einsum("nm,nmf,nmg->fg", A, features, features) - mean.T @ mean
        w = w - torch.linalg.solve(H / len(S) + 2 * penalty * torch.eye(12, dtype=torch.float64), g)
    return w.view(4, 3)
""",
            """
def learn(S, K, target, penalty):                                 # plain gradient descent, with the gradient by hand
    W = torch.zeros(4, 3, dtype=torch.float64)
    hit = torch.nn.functional.one_hot(target, K.shape[1]).double()
    for _ in range(2000):
        A = torch.softmax((K @ (S @ W.T)[:, :, None])[..., 0] / 2, dim=1)
        mixed = ((A - hit)[:, :, None] * K).sum(dim=1)
        W = W - 0.5 * (mixed.T @ S / (2 * len(S)) + 2 * penalty * W)
    return W
""",
        ],
        wrong={
            edit(" / math.sqrt(4)", ""): "not at the minimum yet",
            edit("penalty * W.square().sum()", "penalty / 2 * W.square().sum()"): "at the minimum the data pull",
            edit("penalty * W.square().sum()", "penalty * W.square().mean()"): "at the minimum the data pull",
            edit("max_iter=200", "max_iter=2"): "at the minimum the data pull",
            edit(
                "cross_entropy(scores, target)", "cross_entropy(scores, target, reduction='sum')"
            ): "at the minimum the data pull",
            edit("math.sqrt(4)", "math.sqrt(3)"): "not at the minimum yet",
            edit("cross_entropy(scores, target)", "cross_entropy(-scores, target)"): "hardly better than chance",
        },
    ),
}
