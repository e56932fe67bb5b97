"""Answers to `attention/transformers`."""

from tests.grading.variants import HIDDEN, Variants, edit

ASSIGNMENT = "attention/transformers"

POINTER = """
class Pointer(nn.Module):
    def __init__(self):
        super().__init__()
        self.token, self.place = nn.Embedding(7, 32), nn.Embedding(8, 32)
        self.block = nn.TransformerEncoderLayer(32, 2, 64, dropout=0.0, batch_first=True, norm_first=True)
        self.head = nn.Linear(32, 7)
    def forward(self, x):
        return self.head(self.block({inside})[:, -1])

def fit(x, y, x_new):
    torch.manual_seed(1)
    net = Pointer()
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
    for step in range({steps}):
        rows = torch.randint(len(x), (128,))
        loss = F.cross_entropy(net(x[rows]), {target})
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return net(x_new).argmax(dim=1)
"""


def pointer(inside: str = "self.token(x) + self.place.weight", steps: int = 300, target: str = "y[rows]") -> str:
    return POINTER.format(inside=inside, steps=steps, target=target)


VARIANTS = {
    "Q1": Variants(
        right=[
            """
def sinusoids(t, d, base):                        # entry by entry
    rows = []
    for position in t.tolist():
        row = []
        for i in range(d // 2):
            angle = position / base ** (2 * i / d)
            row += [math.sin(angle), math.cos(angle)]
        rows.append(row)
    return torch.tensor(rows)
""",
            """
def sinusoids(t, d, base):                        # the two halves, written into alternating columns
    out = torch.empty(len(t), d, dtype=torch.float64)
    for i in range(d // 2):
        turn = t * base ** (-2 * i / d)
        out[:, 2 * i], out[:, 2 * i + 1] = torch.sin(turn), torch.cos(turn)
    return out
""",
        ],
        wrong={
            edit(
                "torch.stack([angle.sin(), angle.cos()], dim=2).flatten(1)", "torch.cat([angle.sin(), angle.cos()], 1)"
            ): ("and they alternate"),
            edit("[angle.sin(), angle.cos()]", "[angle.cos(), angle.sin()]"): "every sine is 0 and every cosine 1",
            edit(
                "torch.arange(0, d, 2, dtype=torch.float64)", "torch.arange(d // 2, dtype=torch.float64)"
            ): "clock 1 turns",
            edit(
                "t[:, None] * omega", "torch.arange(len(t))[:, None] * omega"
            ): "clock 0 turns one radian per position",
            edit("base **", "10_000 **"): "clock 1 turns",
        },
    ),
    "Q2": Variants(
        right=[
            """
def block(x, p, heads, pre):                      # one head after another
    d = x.shape[1]
    w = d // heads
    def mix(y):
        q, k, v = y @ p["q"].T, y @ p["k"].T, y @ p["v"].T
        out = []
        for j in range(heads):
            own = slice(j * w, (j + 1) * w)
            out.append(torch.softmax(q[:, own] @ k[:, own].T / w ** 0.5, dim=1) @ v[:, own])
        return torch.cat(out, dim=1) @ p["o"].T
    ffn = lambda y: (y @ p["up"].T).clamp(min=0) @ p["down"].T
    norm = lambda y: F.layer_norm(y, (d,))
    if pre:
        x = x + mix(norm(x))
        return x + ffn(norm(x))
    x = norm(x + mix(x))
    return norm(x + ffn(x))
""",
            """
def block(x, p, heads, pre):                      # PyTorch's own layer
    d, hidden = x.shape[1], len(p["up"])
    layer = nn.TransformerEncoderLayer(d, heads, hidden, dropout=0.0, batch_first=True, norm_first=pre).double()
    with torch.no_grad():
        for weight in layer.parameters():
            if weight.dim() == 1:
                weight.zero_()
        layer.norm1.weight.fill_(1)
        layer.norm2.weight.fill_(1)
        layer.self_attn.in_proj_weight.copy_(torch.cat([p["q"], p["k"], p["v"]]))
        layer.self_attn.out_proj.weight.copy_(p["o"])
        layer.linear1.weight.copy_(p["up"])
        layer.linear2.weight.copy_(p["down"])
    return layer(x[None])[0].detach()
""",
        ],
        wrong={
            edit(
                "x = x + sublayer(F.layer_norm(x, (d,)))", "x = F.layer_norm(x, (d,)) + sublayer(F.layer_norm(x, (d,)))"
            ): ("the skip carries x itself"),
            edit("x = F.layer_norm(x + sublayer(x), (d,))", "x = x + F.layer_norm(sublayer(x), (d,))"): (
                "post-norm normalizes the sum"
            ),
            edit("math.sqrt(d // heads)", "math.sqrt(d)"): "the root is that of d / heads",
            edit("torch.relu(y @", "F.gelu(y @"): "up, ReLU, down",
            edit(".transpose(0, 1).reshape(T, d) @", ".reshape(T, d) @"): "each token gets the mean",
            edit('for name in "qkv"', 'for name in "kqv"'): HIDDEN,
        },
    ),
    "Q3": Variants(
        right=[
            """
def next_token_loss(z, tokens, pad):              # ignore_index does the counting
    return F.cross_entropy(z[:, :-1].transpose(1, 2), tokens[:, 1:], ignore_index=pad)
""",
            """
def next_token_loss(z, tokens, pad):              # by loops
    losses = []
    for row in range(len(tokens)):
        for t in range(tokens.shape[1] - 1):
            target = tokens[row, t + 1]
            if target != pad:
                losses.append(torch.logsumexp(z[row, t], dim=0) - z[row, t, target])
    return sum(losses) / len(losses)
""",
        ],
        wrong={
            edit("z[:, :-1], tokens[:, 1:]", "z[:, 1:], tokens[:, :-1]"): "the logits at t predict the token at t + 1",
            edit("counts = target.flatten() != pad", "counts = target.flatten() == target.flatten()"): (
                "predicting a pad costs nothing"
            ),
            edit("/ counts.sum()", "/ (tokens != pad).sum()"): "the mean over what counts",
            """
def next_token_loss(z, tokens, pad):
    means = []
    for row, own in zip(tokens, z):
        counts = row[1:] != pad
        if counts.any():
            means.append(F.cross_entropy(own[:-1][counts], row[1:][counts]))
    return torch.stack(means).mean()
""": HIDDEN,
        },
    ),
    "Q4": Variants(
        right=[
            """
def extend(cache, q, k, v):                       # token by token
    K, V = cache if cache is not None else (k[:0], v[:0])
    out = []
    for s in range(len(q)):
        K, V = torch.cat([K, k[s:s + 1]]), torch.cat([V, v[s:s + 1]])
        out.append(torch.softmax(K @ q[s] / math.sqrt(len(q[s])), dim=0) @ V)
    return torch.stack(out), (K, V)
""",
            """
def extend(cache, q, k, v):                       # PyTorch's kernel, with a mask of the right corner
    past = 0 if cache is None else len(cache[0])
    K = k if cache is None else torch.cat([cache[0], k])
    V = v if cache is None else torch.cat([cache[1], v])
    allowed = torch.arange(len(K))[None] <= past + torch.arange(len(q))[:, None]
    return F.scaled_dot_product_attention(q[None], K[None], V[None], attn_mask=allowed)[0], (K, V)
""",
        ],
        wrong={
            """
def extend(cache, q, k, v):
    if cache is not None:
        k, v = torch.cat([cache[0], k]), torch.cat([cache[1], v])
    return F.scaled_dot_product_attention(q[None], k[None], v[None], is_causal=True)[0], (k, v)
""": "one new token sees all before and itself",
            """
def extend(cache, q, k, v):
    first = cache is None
    if not first:
        k, v = torch.cat([cache[0], k]), torch.cat([cache[1], v])
    return F.scaled_dot_product_attention(q[None], k[None], v[None], is_causal=first)[0], (k, v)
""": "the first must not see the second",
            edit("scores = scores.masked_fill(torch.ones(S, T).triu(T - S + 1).bool(), -math.inf)\n", "\n"): (
                "the first piece: causal attention"
            ),
            edit("math.sqrt(q.shape[1])", "math.sqrt(v.shape[1])"): "scale 1 / sqrt(d)",
            edit("[cache[0], k]), torch.cat([cache[1], v])", "[k, cache[0]]), torch.cat([v, cache[1]])"): (
                "the first must not see the second"
            ),
        },
    ),
    "Q5": Variants(
        right=[
            """
def costs(d, depth, C, T):                        # layer by layer
    attention = [(d, d)] * 4
    ffn = [(d, 4 * d), (4 * d, d)]
    matrices = depth * (attention + ffn) + [(d, C)]
    biases = depth * (4 * d + 4 * d + d)
    norms = (2 * depth + 1) * 2 * d
    weights = sum(a * b for a, b in matrices)
    one = 2 * weights + depth * (2 * T * d + 2 * T * d)
    return [weights + biases + norms + C * d, T * one, one, 2 * depth * T * d]
""",
            """
def costs(d, depth, C, T):                        # let PyTorch count the parameters
    layer = nn.TransformerEncoderLayer(d, 1, 4 * d, device="meta")
    block = sum(p.numel() for p in layer.parameters())
    in_matrices = sum(p.numel() for p in layer.parameters() if p.dim() == 2)
    n = depth * in_matrices + C * d
    scores = [depth * 4 * d * T * T, depth * 4 * d * T]
    return [depth * block + 2 * d + 2 * C * d, 2 * n * T + scores[0], 2 * n + scores[1], 2 * T * d * depth]
""",
        ],
        wrong={
            edit("(12 * d * d + 13 * d) + 2 * d", "12 * d * d"): "a block has 12 d^2 + 13 d",
            edit(
                "matrices = depth * 12 * d * d + d * C", "matrices = depth * 12 * d * d + 2 * d * C"
            ): "the embedding is looked up",
            edit("T * (2 * matrices + depth * 4 * T * d)", "T * 2 * matrices"): "4 T d for the scores",
            edit(
                "2 * matrices + depth * 4 * T * d, depth *", "2 * matrices + depth * 4 * d, depth *"
            ): "and 3 keys and values",
            edit("depth * 2 * T * d]", "depth * T * d]"): "a key and a value of d numbers",
            edit(
                "C * d + depth * (12 * d * d + 13 * d) + 2 * d + d * C", "depth * (12 * d * d + 13 * d) + 2 * d + C * d"
            ): ("the embedding and the head C d each"),
        },
    ),
    "Q6": Variants(
        right=[
            pointer(steps=400),
            """
def fit(x, y, x_new):                             # no network: count which place agrees with the label
    places = [int(max(range(7), key=lambda p: (x[x[:, -1] == s][:, p] == y[x[:, -1] == s]).sum())) for s in range(7)]
    return torch.stack([row[places[int(row[-1])]] for row in x_new])
""",
        ],
        wrong={
            pointer("self.token(x)"): "does the network know where a symbol stands",
            pointer(steps=5): "Does it train long enough",
            pointer(target="y[torch.randint(len(y), (128,))]"): "not even the training labels are learned",
            """
def fit(x, y, x_new):                             # learns the texts by heart
    torch.manual_seed(0)
    flat = lambda x: F.one_hot(x, 7).float().flatten(1)
    net = nn.Sequential(nn.Linear(56, 256), nn.ReLU(), nn.Linear(256, 7))
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    for step in range(150):
        loss = F.cross_entropy(net(flat(x)), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return net(flat(x_new)).argmax(dim=1)
""": "knows the training texts by heart",
        },
    ),
}
