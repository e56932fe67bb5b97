"""Answers to `mlp/activations`."""

from tests.grading.variants import HIDDEN, Variants, edit

ASSIGNMENT = "mlp/activations"
VARIANTS = {
    "Q1": Variants(
        right=[
            """
def log_sigmoid(z):                                # two cases, each safe on its own side
    left = z - torch.log1p(torch.exp(z.clamp(max=0)))
    right = -torch.log1p(torch.exp(-z.clamp(min=0)))
    return torch.where(z < 0, left, right)
""",
            """
def log_sigmoid(z):                                # log-sum-exp of (0, -z), with the small part by log1p
    pair = torch.stack([torch.zeros_like(z), -z])
    top, low = pair.amax(dim=0), pair.amin(dim=0)
    return -(top + torch.log1p((low - top).exp()))
""",
        ],
        wrong={
            "def log_sigmoid(z):\n    return torch.log(1 / (1 + torch.exp(-z)))": "take no logarithm of 0",
            "def log_sigmoid(z):\n    return -torch.log1p(torch.exp(-z))": "let no power overflow",
            edit("torch.log1p(torch.exp(-z.abs()))", "torch.log(1 + torch.exp(-z.abs()))"): "log1p does not",
            edit("z.clamp(max=0) - ", "-"): "far to the left it is z itself",
            """
def log_sigmoid(z):                                # double precision moves the cliff
    return (z.double().clamp(max=0) - torch.log(1 + torch.exp(-z.double().abs()))).float()
""": HIDDEN,
        },
    ),
    "Q2": Variants(
        right=[
            """
def swish(z, beta):                                # in terms of the value
    value = z * torch.sigmoid(beta * z)
    return value, beta * value + torch.sigmoid(beta * z) * (1 - beta * value)
""",
            """
def swish(z, beta):                                # sigma(u) (1 - sigma(u)) = sigma(u) sigma(-u)
    up, down = torch.sigmoid(beta * z), torch.sigmoid(-beta * z)
    return z * up, up * (1 + beta * z * down)
""",
        ],
        wrong={
            edit("gate + beta * z * gate", "gate + z * gate"): "which brings a beta",
            edit("gate + beta * z * gate * (1 - gate)", "gate"): "two terms",
            edit("torch.sigmoid(beta * z)", "torch.sigmoid(z)"): "the value is z sigma(beta z)",
            edit("torch.sigmoid(beta * z)", "torch.exp(beta * z) / (1 + torch.exp(beta * z))"): HIDDEN,
            edit("torch.sigmoid(beta * z)", "1 - torch.exp(-beta * z) / (1 + torch.exp(-beta * z))"): (
                "far to the left both are 0, not NaN"
            ),
        },
    ),
    "Q3": Variants(
        right=[
            """
def elu(z, alpha):                                 # the two arms as a sum
    return torch.relu(z) + alpha * torch.expm1(-torch.relu(-z))
""",
            """
def elu(z, alpha):                                 # a second where keeps the exponential harmless
    safe = torch.where(z > 0, torch.zeros_like(z), z)
    return torch.where(z > 0, z, alpha * torch.expm1(safe))
""",
            """
def elu(z, alpha):                                 # by indices
    out = z.clone()
    left = z <= 0
    out[left] = alpha * torch.expm1(z[left])
    return out
""",
        ],
        wrong={
            "def elu(z, alpha):\n    return torch.where(z > 0, z, alpha * z.clamp(max=0).exp() - 1)": (
                "alpha multiplies both terms"
            ),
            "def elu(z, alpha):\n    return torch.where(z > 0, z, alpha * torch.expm1(z))": "NaN at 1000",
            "def elu(z, alpha):\n    return torch.where(z > 0, z, alpha * (z.clamp(max=0).exp() - 1))": (
                "the digits are gone"
            ),
            "def elu(z, alpha):\n    return torch.where(z > 0, z, alpha * (z - 1))": "alpha multiplies both terms",
            "def elu(z, alpha):\n    return torch.where(z > 0, z, alpha * torch.expm1(z.clamp(max=0)).detach())": (
                "the slope is alpha * e^z on the left"
            ),
        },
    ),
    "Q4": Variants(
        right=[
            """
def census(weight, bias, x):                       # by loops
    lift, straight = [], 0
    for row, b in zip(weight, bias):
        z = [float(row @ example + b) for example in x]
        lift.append(max(0.0, -max(z)))
        straight += min(z) > 0
    return torch.tensor(lift, dtype=torch.float64), straight
""",
            """
def census(weight, bias, x):
    z = torch.nn.functional.linear(x, weight, bias)
    dead = ~(z > 0).any(dim=0)
    return torch.where(dead, -z.max(dim=0).values, 0.0), (z > 0).all(dim=0).sum().item()
""",
        ],
        wrong={
            edit("z.amax(dim=0)", "z.amax(dim=1)"): "one number per unit",
            edit("(-z.amax(dim=0)).clamp(min=0)", "(-z.amin(dim=0)).clamp(min=0)"): "alive: its number is 0",
            edit("(-z.amax(dim=0)).clamp(min=0)", "-z.amax(dim=0)"): "alive: its number is 0",
            edit("(-z.amax(dim=0)).clamp(min=0)", "torch.where(z.amax(dim=0) > 0, 0.0, -z.mean(dim=0))"): (
                "not the smallest or the mean"
            ),
            edit("+ bias ", ""): "unit 1",
            edit("(z.amin(dim=0) > 0)", "(z.amax(dim=0) > 0)"): "only unit 2 is positive for all",
        },
    ),
    "Q5": Variants(
        right=[
            """
def gradient_norms(weights, biases, x, top):       # let autograd do it
    hidden = [x.clone().requires_grad_()]
    for weight, bias in zip(weights, biases):
        hidden.append(torch.sigmoid(weight @ hidden[-1] + bias))
    return [g.norm().item() for g in torch.autograd.grad(hidden[-1], hidden, top)]
""",
            """
def gradient_norms(weights, biases, x, top):       # forward, with Jacobians
    jacobians = []                                 # of each layer by the one below
    for weight, bias in zip(weights, biases):
        z = weight @ x + bias
        x = torch.sigmoid(z)
        jacobians.append(torch.diag(x * torch.sigmoid(-z)) @ weight)
    norms = []
    for l in range(len(weights) + 1):
        whole = torch.eye(len(top), dtype=top.dtype)
        for jacobian in reversed(jacobians[l:]):
            whole = whole @ jacobian
        norms.append((top @ whole).norm())
    return norms
""",
        ],
        wrong={
            edit("norms = [float(top.norm())]", "norms = []"): "one norm per h",
            edit("output * (1 - output) * top", "top"): "the slope is taken at z",
            edit("output * (1 - output)", "torch.sigmoid(output) * (1 - torch.sigmoid(output))"): (
                "the slope is taken at z"
            ),
            edit("norms.insert(0, float(top.norm()))", "norms.append(float(top.norm()))"): "the last norm is that",
            edit("torch.sigmoid(weight @ x + bias)", "torch.sigmoid(weight @ x)"): "the slope is taken at z",
        },
    ),
    "Q6": Variants(
        right=[
            """
def recipe(s):                                     # a tanh network in other units
    return [2.0, -1.0, 2 / s, 0.1]
""",
            """
def recipe(s):                                     # from the top: c may be negative
    c = -4.4 / s
    return [c, -c / 2, 1, 0.08]
""",
        ],
        wrong={
            edit("4 / s, -2 / s", "1.0, -0.5"): "the gradient vanishes",
            edit("-2 / s", "0.0"): "The outputs are not centered",
            edit("4 / s, -2 / s", "4.0, -2.0"): "the units saturate",
            edit("0.1]", "1e-4]"): "try another learning rate",
            edit("1.0, 0.1]", "-1.0, 0.1]"): "gain and rate are positive",
        },
    ),
}
