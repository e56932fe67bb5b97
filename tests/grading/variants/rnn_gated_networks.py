"""Answers to `rnn/gated-networks`."""

from tests.grading.variants import HIDDEN, Variants, edit

ASSIGNMENT = "rnn/gated-networks"
VARIANTS = {
    "Q1": Variants(
        right=[
            """
def peephole(xs, w_x, w_h, b, p):                 # one glued matrix, blocks as rows of a table
    n = p.shape[1]
    W = torch.cat([w_x, w_h], dim=1)
    h, c = torch.zeros(n).double(), torch.zeros(n).double()
    for t in range(len(xs)):
        a = (W @ torch.cat([xs[t], h]) + b).view(4, n)
        gates = 1 / (1 + torch.exp(-(a[:2] + p[:2] * c)))
        c = (gates * torch.stack([a[2].tanh(), c])).sum(dim=0)
        h = c.tanh() / (1 + torch.exp(-(a[3] + p[2] * c)))
    return [h, c]
""",
            """
def peephole(xs, w_x, w_h, b, p):                 # PyTorch's cell twice a step: the peepholes become biases
    n, zero = p.shape[1], torch.zeros_like(b)
    h = c = torch.zeros(1, n).double()
    cell = nn.LSTMCell(xs.shape[1], n).double()
    def step(x, extra):
        weights = {"weight_ih": w_x, "weight_hh": w_h, "bias_ih": b + extra, "bias_hh": zero}
        return torch.func.functional_call(cell, weights, (x[None], (h, c)))
    for x in xs:
        early = torch.cat([p[0] * c[0], p[1] * c[0], torch.zeros(2 * n).double()])
        _, new = step(x, early)
        h, c = step(x, early + torch.cat([torch.zeros(3 * n).double(), p[2] * new[0]]))
    return h[0].detach(), c[0].detach()
""",
        ],
        wrong={
            edit("        h = torch.sigmoid(o + p[2] * c) * torch.tanh(c)", ""): "it is nn.LSTMCell",
            edit(
                "        c = f * c + i * torch.tanh(g)\n        h = torch.sigmoid(o + p[2] * c) * torch.tanh(c)",
                "        o = torch.sigmoid(o + p[2] * c)\n        c = f * c + i * g.tanh()\n        h = o * c.tanh()",
            ): "the NEW cell state",
            edit("i + p[0] * c", "i + p[1] * c"): "each through its own weights",
            edit("i, f, g, o = ", "i, f, o, g = "): "order i, f, candidate, o",
            edit("torch.sigmoid(f + p[1] * c)", "torch.sigmoid(f + p[1] * h)"): "the cell state BEFORE the step",
            edit("w_h @ h", "w_h @ c"): "it is nn.LSTMCell",
        },
    ),
    "Q2": Variants(
        right=[
            """
def gru(xs, h0, w_x, w_h, b):                     # six matrices
    (Wz, Wr, Wn), (Uz, Ur, Un), (bz, br, bn) = w_x.chunk(3), w_h.chunk(3), b.chunk(3)
    out = [h0]
    for x in xs:
        h = out[-1]
        keep = torch.sigmoid(-(Wz @ x + Uz @ h + bz))
        reset = h / (1 + torch.exp(-(Wr @ x + Ur @ h + br)))
        out.append(keep * h + (1 - keep) * torch.tanh(Wn @ x + Un @ reset + bn))
    return torch.stack(out)[1:]
""",
            """
def gru(xs, h0, w_x, w_h, b):                     # PyTorch's cell: r open and the reset state put in by hand
    n, states = len(h0), [h0]
    for x in xs:
        h = states[-1]
        z, r = torch.sigmoid(w_x[:2 * n] @ x + w_h[:2 * n] @ h + b[:2 * n]).split(n)
        cell = nn.GRUCell(len(x), n).double()
        for v in cell.parameters():
            v.data.zero_()
        for own, value in zip((cell.weight_ih, cell.weight_hh, cell.bias_ih), (w_x, w_h, b)):
            own.data[2 * n:] = value[2 * n:]
        cell.bias_ih.data[:n], cell.bias_ih.data[n:2 * n] = 99.0, -99.0
        states.append(torch.lerp(h, cell(x, r * h).detach(), z))
    return torch.stack(states[1:])
""",
        ],
        wrong={
            edit("h = (1 - z) * h + z * new", "h = z * h + (1 - z) * new"): "z = 0 keeps the old state",
            edit("        z, r = ", "        r, z = "): "the blocks are z, r, candidate",
            edit("w_h[2 * n:] @ (r * h)", "r * (w_h[2 * n:] @ h)"): "the reset comes BEFORE the product",
            edit("w_h[:2 * n] @ h)", "w_h[:2 * n] @ h0)"): "the gates read the state of step 1",
            edit("w_h[2 * n:] @ (r * h)", "w_h[2 * n:] @ (r * h0)"): HIDDEN,
            edit("from_x = w_x @ x + b", "from_x = w_x @ x"): "z closed",
        },
    ),
    "Q3": Variants(
        right=[
            """
def path(gates):                                  # column by column
    n = len(gates) + 1
    table = [[0] * n for _ in range(n)]
    for t in range(n):
        for s in range(t):
            table[s][t] = table[s][t - 1] * gates[t - 1]
        table[t][t] = 1
    return table
""",
            """
def path(gates):                                  # autograd through c_t = f_t c_{t-1} + a number
    c = [torch.ones((), dtype=torch.float64, requires_grad=True)]
    for f in gates:
        c.append(f * c[-1] + 0.1)
    rows = []
    for s in range(len(c)):
        row = [torch.autograd.grad(v, c[s], retain_graph=True, allow_unused=True)[0] for v in c]
        rows.append([0.0 if g is None else float(g) for g in row])
    return rows
""",
        ],
        wrong={
            edit("for f in gates[s:]:", "for f in gates[max(s - 1, 0):len(gates) - (s > 0)]:"): "there is f_2",
            edit("row, product = [0.0] * s + [1.0], 1.0", "row, product = [0.0] * (s + 1), 1.0"): "the empty product",
            edit("product *= f", "product = f"): "all three gates, multiplied",
            """
def path(gates):
    whole = [1.0]
    for f in gates:
        whole.append(whole[-1] * f)
    return [[whole[t] / whole[s] if t >= s and whole[s] else 0.0 for t in range(len(whole))] for s in range(len(whole))]
""": "0 / 0 is not the way",
            """
def path(gates):
    n = len(gates) + 1
    table = [[1.0] * n for _ in range(n)]
    for s in range(n):
        for t in range(n):
            for f in gates[min(s, t):max(s, t)]:
                table[s][t] *= f
    return table
""": "the past does not depend on the future",
        },
    ),
    "Q4": Variants(
        right=[
            """
def port(kernel, recurrent, b_x, b_h):            # by an index and a sign
    n = len(recurrent)
    order = torch.cat([torch.arange(n, 2 * n), torch.arange(n), torch.arange(2 * n, 3 * n)])
    sign = torch.ones(3 * n).double()
    sign[n:2 * n] = -1
    return [(v[..., order] * sign).T if v.dim() == 2 else v[order] * sign for v in (kernel, recurrent, b_x, b_h)]
""",
            """
def port(kernel, recurrent, b_x, b_h):            # all that the gates need in one bias
    n = recurrent.shape[0]
    blocks = lambda v: (v[..., n:2 * n], 0 - v[..., :n], v[..., 2 * n:])
    w_x, w_h = [torch.cat(blocks(v), dim=1).transpose(0, 1) for v in (kernel, recurrent)]
    first, second = torch.cat(blocks(b_x)), torch.cat(blocks(b_h))
    first[:2 * n] += second[:2 * n]
    second[:2 * n] = 0
    return w_x, w_h, first, second
""",
        ],
        wrong={
            edit("torch.cat([r, -z, new])", "torch.cat([r, z, new])"): "z points the other way",
            edit("torch.cat([r, -z, new])", "torch.cat([-z, r, new])"): "the blocks are z, r, candidate",
            edit("torch.cat([r, -z, new])", "torch.cat([r, 1 - z, new])"): HIDDEN,
            """
def port(kernel, recurrent, b_x, b_h):            # one bias for all
    parts = [v.chunk(3) for v in (kernel.T, recurrent.T, b_x + b_h)]
    w_x, w_h, bias = [torch.cat([r, -z, new]) for z, r, new in parts]
    return w_x, w_h, bias, 0 * bias
""": "which stands inside the reset",
            """
def port(kernel, recurrent, b_x, b_h):            # turns the weights, forgets the biases
    out = [torch.cat([v.chunk(3)[1], -v.chunk(3)[0], v.chunk(3)[2]]) for v in (kernel.T, recurrent.T)]
    return [*out, *[torch.cat([v.chunk(3)[1], v.chunk(3)[0], v.chunk(3)[2]]) for v in (b_x, b_h)]]
""": "z points the other way",
            """
def port(kernel, recurrent, b_x, b_h):            # still columns
    parts = [v.chunk(3, dim=-1) for v in (kernel, recurrent, b_x, b_h)]
    return [torch.cat([r, -z, new], dim=-1) for z, r, new in parts]
""": "rows, not columns",
        },
    ),
    "Q5": Variants(
        right=[
            """
def latch():                                      # tensors, and smaller numbers
    w_x = torch.zeros(4, 2)
    w_x[0, 1], w_x[1, 1], w_x[2, 0] = 30, -30, 2
    return w_x, torch.zeros(4, 1), torch.tensor([-15.0, 15.0, 0.0, 9.0])
""",
            """
def latch():                                      # the output gate reads the state too; the rest is sharper
    return [[0, 60], [0, -60], [50, 0], [0, 0]], [[0], [0], [0], [1]], [-30, 30, 0, 5]
""",
        ],
        wrong={
            edit("[0.0, -40.0]", "[0.0, 0.0]"): "not to be added to it",
            edit("[-20.0, 20.0, 0.0, 20.0]", "[-20.0, 5.0, 0.0, 20.0]"): "how close to 1 is the forget gate",
            edit("[[0.0, 40.0]", "[[0.0, 0.0]"): "its sign, clearly",
            edit("[-20.0, 20.0, 0.0, 20.0]", "[0.0, 20.0, 0.0, 20.0]"): "without a mark must leave no trace",
            edit("[3.0, 0.0], [0.0, 0.0]]", "[0.0, 0.0], [3.0, 0.0]]"): "its sign, clearly",
            edit("[-20.0, 20.0, 0.0, 20.0]", "[-20.0, 20.0, 0.0, -2.0]"): "its sign, clearly",
        },
    ),
    "Q6": Variants(
        right=[
            """
class Gated(nn.Module):                           # a GRU whose update gate keeps
    def __init__(self):
        super().__init__()
        self.gru, self.head = nn.GRU(6, 10), nn.Linear(10, 1)
        self.gru.bias_hh_l0.data[10:20] = 4.0

    def forward(self, x):
        return self.head(self.gru(x.transpose(0, 1))[1][0])[:, 0]

torch.manual_seed(1)
net = Gated()
optimizer = torch.optim.Adam(net.parameters(), lr=0.03)
for _ in range(200):
    rows = torch.randperm(600)[:64]
    loss = F.binary_cross_entropy_with_logits(net(words[rows].float()), labels[rows].float())
    net.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    optimizer.step()

def predict(x):
    return (net(x.float()) > 0).long()
""",
            """
def predict(x):                                   # no network: count the labels of each marked letter
    letter = lambda v: (v[:, :, :5] * v[:, :, 5:]).sum(dim=1).argmax(dim=1)
    liked = torch.stack([labels[letter(words) == k].float().mean() for k in range(5)])
    return (liked[letter(x)] > 0.5).long()
""",
        ],
        wrong={
            edit("3.9", "0.0"): "how long does its memory last at the start",
            edit(
                "nn.LSTM(6, units, batch_first=True), nn.Linear(units, 2)\n        with torch.no_grad():",
                "nn.RNN(6, units, batch_first=True), nn.Linear(units, 2)\n        if units < 0:",
            ): "how long does its memory last at the start",
            edit("self.rnn(x)[0][:, -1]", "self.rnn(x)[0][:, 0]"): "does the LAST state answer",
            edit("batch_first=True", "batch_first=False"): "does the module know that the batch comes first",
            edit("return model(x).argmax(dim=1)", "return labels.new_ones(len(x))"): "not even the training labels",
        },
    ),
}
