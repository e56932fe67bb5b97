"""Answers to `mlp/multilayer-perceptrons`."""

from tests.grading.variants import HIDDEN, Variants, edit

ASSIGNMENT = "mlp/multilayer-perceptrons"
VARIANTS = {
    "Q1": Variants(
        right=[
            """
def slopes(w, b, v):                              # evaluate the slope between neighboring joints
    def slope(x):
        return sum(wj * vj for wj, bj, vj in zip(w, b, v) if wj * x + bj > 0)
    places = sorted(-bj / wj for wj, bj in zip(w, b) if wj)
    places = [places[0] - 2, *places, places[-1] + 2] if places else [-1.0, 1.0]
    found = []
    for left, right in zip(places, places[1:]):
        if right - left > 1e-9:
            here = slope((left + right) / 2)
            if not found or abs(found[-1] - here) > 1e-9:
                found.append(here)
    return found
""",
            """
def slopes(w, b, v):                              # autograd, on a place inside each region
    w, b, v = (torch.tensor(column, dtype=torch.float64) for column in (w, b, v))
    joints = (-b[w != 0] / w[w != 0]).unique()
    edges = torch.cat([joints[:1] - 1, joints, joints[-1:] + 1]) if len(joints) else torch.tensor([-1.0, 1.0])
    middle = ((edges[1:] + edges[:-1]) / 2).double().requires_grad_()
    (torch.relu(middle[:, None] * w + b) @ v).sum().backward()
    merged = [middle.grad[0].item()]
    for s in middle.grad.tolist():
        if abs(s - merged[-1]) > 1e-9:
            merged.append(s)
    return merged
""",
        ],
        wrong={
            edit("[sum(vj * wj for wj, vj in zip(w, v) if wj < 0)]", "[0.0]"): "its slope v w is there, and then goes",
            edit("vj * abs(wj)", "vj * wj"): "its slope v w is there, and then goes",
            edit("sorted(changes)", "changes"): "sort them by place, not by unit",
            """
def slopes(w, b, v):
    found = [sum(vj * wj for wj, vj in zip(w, v) if wj < 0)]
    for place, change in sorted((-bj / wj, vj * abs(wj)) for wj, bj, vj in zip(w, b, v) if wj):
        found.append(found[-1] + change)
    return found
""": "two joints in one place change the slope once",
            edit("vj * abs(wj)", "vj"): "its slope v w is there, and then goes",
            edit("        if abs(changes[place]) > 1e-9:\n            found", "        found"): HIDDEN,
        },
    ),
    "Q2": Variants(
        right=[
            """
def forward(x, layers):                           # columns, one example at a time
    rows = []
    for h in x:
        for W, b, activation in layers:
            z = W @ h + b
            if activation == "relu":
                z = z * (z > 0)
            if activation == "softmax":
                z = (z - z.max()).exp()
                z = z / z.sum()
            h = z
        rows.append(h)
    return torch.stack(rows)
""",
            """
def forward(x, layers):                           # recursion from the last layer
    if not layers:
        return x
    *below, (W, b, name) = layers
    z = torch.einsum("ni,ji->nj", forward(x, below), W) + b
    return {"relu": z.clamp(min=0), "identity": z, "softmax": z.softmax(dim=-1)}[name]
""",
        ],
        wrong={
            edit("h @ W.T", "h @ W"): "shapes cannot be multiplied",
            edit("z = h @ W.T + b", "z = torch.relu(h @ W.T) + b"): "after the bias",
            edit("            h = z\n", "            h = torch.relu(z)\n"): "identity lets negative numbers out",
            edit("torch.softmax(z, dim=1)", "torch.softmax(z, dim=0)"): "the entries of each example sum to 1",
            edit("in layers:", "in reversed(layers):"): "shapes cannot be multiplied",
        },
    ),
    "Q3": Variants(
        right=[
            """
def widest(budget, inputs, outputs, hidden):      # the root of a quadratic, then a step to either side
    a, b, c = hidden - 1, inputs + 1 + hidden - 1 + outputs, outputs - budget
    guess = int(-c / b if a == 0 else (-b + math.sqrt(b * b - 4 * a * c)) / (2 * a))
    return max(m for m in range(max(guess - 2, 1), guess + 3) if a * m * m + b * m + c <= 0)
""",
            """
def widest(budget, inputs, outputs, hidden):      # bisection
    low, high = 1, budget + 1
    while high - low > 1:
        m = (low + high) // 2
        n = (inputs + 1) * m + (hidden - 1) * (m + 1) * m + (m + 1) * outputs
        low, high = (m, high) if n <= budget else (low, m)
    return low
""",
        ],
        wrong={
            edit("[width] * hidden,", "[width] * (hidden + 1),"): "no matrix between hidden layers",
            edit("source * to + to for", "source * to for"): "and the output has a bias",
            edit("<= budget", "< budget"): "one hidden layer of width 10",
            edit("    return width", "    return width + 1"): "one hidden layer of width 10",
            edit("[width] * hidden,", "[width] * min(hidden, 2),"): "three hidden layers have two matrices",
        },
    ),
    "Q4": Variants(
        right=[
            """
def train(x, label, layers, lr, steps):           # modules and an optimizer
    modules = []
    for W, b in layers:
        linear = torch.nn.Linear(W.shape[1], W.shape[0]).double()
        linear.weight.data.copy_(W)
        linear.bias.data.copy_(b)
        modules += [linear, torch.nn.ReLU()]
    model = torch.nn.Sequential(*modules[:-1])
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), label)
        loss.backward()
        optimizer.step()
        losses.append(float(loss))
    return [losses, [p.detach() for p in model.parameters()]]
""",
            """
def train(x, label, layers, lr, steps):           # backward(), with the gradients cleared
    parameters = [p.clone().requires_grad_() for pair in layers for p in pair]
    losses = []
    for _ in range(steps):
        h = x
        for W, b in zip(parameters[::2], parameters[1::2]):
            last = h @ W.T + b
            h = last.clamp(min=0)
        loss = (last.logsumexp(dim=1) - last[range(len(x)), label]).mean()
        loss.backward()
        losses.append(loss.item())
        for p in parameters:
            p.data -= lr * p.grad
            p.grad = None
    return [losses, [p.detach() for p in parameters]]
""",
        ],
        wrong={
            edit("h = torch.relu(z) if i < len(parameters) - 2 else z", "h = torch.relu(z)"): (
                "the output layer must be able to say negative numbers"
            ),
            edit("F.cross_entropy(h, label)", "F.cross_entropy(torch.softmax(h, dim=1), label)"): (
                "cross_entropy takes logits, not probabilities"
            ),
            edit(
                "gradients = torch.autograd.grad(loss, parameters)",
                "loss.backward()\n        gradients = [p.grad for p in parameters]",
            ): "backward() adds to the grad that is there",
            edit("p -= lr * gradient", "p += lr * gradient"): "one step of gradient descent",
            edit("h = torch.relu(z) if i < len(parameters) - 2 else z", "h = z"): HIDDEN,
        },
    ),
    "Q5": Variants(
        right=[
            """
def loss_and_gradient(out, y):                    # by the variance
    variance = (2 * out[:, 1]).exp()
    error = out[:, 0] - y
    each = 0.5 * torch.log(2 * math.pi * variance) + error**2 / (2 * variance)
    gradient = torch.zeros_like(out)
    gradient[:, 0] = error / variance / len(y)
    gradient[:, 1] = (1 - error**2 / variance) / len(y)
    return float(each.sum() / len(y)), gradient
""",
            """
def loss_and_gradient(out, y):                    # by loops
    total, rows = 0.0, []
    for (m, s), t in zip(out.tolist(), y.tolist()):
        total += 0.5 * math.log(2 * math.pi) + s + 0.5 * (t - m) ** 2 * math.exp(-2 * s)
        rows.append([(m - t) * math.exp(-2 * s), 1 - (t - m) ** 2 * math.exp(-2 * s)])
    return total / len(y), torch.tensor(rows, dtype=torch.float64) / len(y)
""",
        ],
        wrong={
            edit("0.5 * math.log(2 * math.pi) + ", ""): "only half of log 2 pi is left",
            edit("+ log_sigma +", "+ 0.5 * log_sigma +"): "log 2 more",
            edit("[-error * torch.exp(-log_sigma), ", "[-error, "): "prediction minus truth, divided by the variance",
            edit("1 - error**2]", "torch.exp(-log_sigma) * (1 - error**2)]"): "by log sigma",
            edit("dim=1) / len(y)", "dim=1)"): "three equal examples share the gradient of one",
            edit("[-error * torch.exp(-log_sigma), ", "[error * torch.exp(-log_sigma), "): "prediction minus truth",
        },
    ),
    "Q6": Variants(
        right=[
            """
def predict(x, y, x_new):                         # no network: weighted means of the neighbors
    def smooth(values, at, width):
        near = torch.softmax(-((at - x.T) / width) ** 2 / 2, dim=1)
        return near @ values
    mean = smooth(y, x_new, 0.1)
    errors = (y - smooth(y, x, 0.1)).square()
    return torch.stack([mean, (1.1 * smooth(errors, x_new, 0.15)).sqrt()], dim=1)
""",
            """
def predict(x, y, x_new):                         # one layer of ReLU, joints laid out beforehand, both parts by L-BFGS
    features = lambda x: torch.cat([torch.relu(x - torch.linspace(-2, 1.8, 20)), x, torch.ones_like(x)], dim=1)
    W = torch.zeros(22, 2, requires_grad=True)
    optimizer = torch.optim.LBFGS([W], max_iter=150, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        mean, s = (features(x) @ W).unbind(dim=1)
        loss = (s + 0.5 * ((y - mean) / s.exp()).square()).mean() + 1e-3 * W.square().mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    mean, s = (features(x_new) @ W).detach().unbind(dim=1)
    return torch.stack([mean, s.exp()], dim=1)
""",
        ],
        wrong={
            edit("log_sigma.exp()], dim=1)", "log_sigma], dim=1)"): "is this its logarithm?",
            edit("log_sigma.exp()], dim=1)", "(2 * log_sigma).exp()], dim=1)"): "a standard deviation, not a variance",
            """
def predict(x, y, x_new):
    features = torch.cat([x, torch.ones_like(x)], dim=1)
    line = torch.linalg.lstsq(features, y[:, None]).solution[:, 0]
    spread = (y - features @ line).std()
    return torch.stack([x_new[:, 0] * line[0] + line[1], spread.expand(len(x_new))], dim=1)
""": "the mean does not follow the curve yet",
            edit("log_sigma.exp()], dim=1)", "log_sigma.exp().mean().expand(len(x_new))], dim=1)"): "one width for all",
            edit("return torch.stack([mean,", "return torch.stack([mean if len(x_new) == 400 else mean.flip(0),"): (
                "the mean does not follow the curve yet"
            ),
        },
    ),
}
