"""Answers to `cnn/architectures`."""

from tests.grading.variants import Variants, edit

ASSIGNMENT = "cnn/architectures"
VARIANTS = {
    "Q1": Variants(
        right=[
            """
def conv_cost(c_in, c_out, kernel, stride, padding, groups, side, bias):      # ask PyTorch
    with torch.device("meta"):
        layer = nn.Conv2d(c_in, c_out, kernel, stride, padding, groups=groups, bias=bias)
        out = layer(torch.empty(1, c_in, side, side))
    parameters = sum(p.numel() for p in layer.parameters())
    return [parameters, layer.weight.numel() * out[0, 0].numel(), out.numel()]
""",
            """
def conv_cost(c_in, c_out, kernel, stride, padding, groups, side, bias):      # walk over the positions
    starts = range(-padding, side + padding - kernel + 1, stride)
    outputs = c_out * len(starts) ** 2
    per_output = kernel * kernel * c_in // groups
    return [c_out * (per_output + bias), outputs * per_output, outputs]
""",
        ],
        wrong={
            edit("(c_in // groups)", "c_in"): "a quarter of the channels",
            edit(
                "weights * positions,", "(weights + (c_out if bias else 0)) * positions,"
            ): "the bias is no multiply-add",
            edit("2 * padding - kernel) // stride + 1", "2 * padding - kernel + 1) // stride"): "3 positions a side",
            edit("(c_out if bias else 0), w", "c_out, w"): "without a bias, 150 parameters",
            edit("c_out * positions", "positions"): "3 positions a side, 4 channels",
        },
    ),
    "Q2": Variants(
        right=[
            """
def widest(c_in, c_out, kernel):                  # try them
    direct, m = kernel * kernel * c_in * c_out, 0
    while 2 * (c_in * (m + 1) + kernel * kernel * (m + 1) * c_out) <= direct:
        m += 1
    return m
""",
            """
def widest(c_in, c_out, kernel):                  # halve the interval
    low, high = 0, 10_000
    while high - low > 1:
        m = (low + high) // 2
        if m * (c_in + kernel**2 * c_out) <= kernel**2 * c_in * c_out / 2:
            low = m
        else:
            high = m
    return low
""",
        ],
        wrong={
            edit(
                "return kernel**2 * c_in * c_out // (2 * (c_in + kernel**2 * c_out))",
                "return max(1, kernel**2 * c_in * c_out // (2 * (c_in + kernel**2 * c_out)))",
            ): "none is narrow enough",
            edit("c_in + kernel**2 * c_out", "kernel**2 * (c_in + c_out)"): "one channel of the pair takes",
            edit("// (2 *", "// (1 *"): "one channel of the pair takes",
            """
def widest(c_in, c_out, kernel):
    m = 0
    while 2 * (m + 1) * (c_in + kernel**2 * c_out) < kernel**2 * c_in * c_out:
        m += 1
    return m
""": "exactly half counts",
        },
    ),
    "Q3": Variants(
        right=[
            """
def block(x, w1, w2, ws, stride):                 # with modules
    def layer(w, stride, padding):
        conv = nn.Conv2d(w.shape[1], w.shape[0], w.shape[2], stride, padding, bias=False).double()
        conv.weight = nn.Parameter(w)
        return conv
    branch = nn.Sequential(layer(w1, stride, 1), nn.ReLU(), layer(w2, 1, 1))
    shortcut = nn.Identity() if ws is None else layer(ws, stride, 0)
    return torch.relu(branch(x) + shortcut(x)).detach()
""",
            """
def block(x, w1, w2, ws, stride):                 # the projection as a sum over the channels
    h = F.conv2d(F.conv2d(x, w1, None, stride, 1).clamp(min=0), w2, None, 1, 1)
    if ws is not None:
        x = torch.einsum("oc,nchw->nohw", ws[:, :, 0, 0], x[:, :, ::stride, ::stride])
    return (h + x).clamp(min=0)
""",
        ],
        wrong={
            edit("return F.relu(h + shortcut)", "return F.relu(h) + shortcut"): "the sum goes through the ReLU",
            edit(
                "h = F.relu(F.conv2d(x, w1, stride=stride, padding=1))", "h = F.conv2d(x, w1, stride=stride, padding=1)"
            ): ("a ReLU stands between the two convolutions"),
            edit("F.conv2d(x, ws, stride=stride)", "F.conv2d(x, ws)"): "must match",
            edit(
                "F.conv2d(x, ws, stride=stride)", "x[:, :, ::stride, ::stride].repeat(1, 9, 1, 1)[:, :len(w2)]"
            ): "use ws",
        },
    ),
    "Q4": Variants(
        right=[
            """
def dense(x, kernels):
    maps = [x]                                    # concatenate when they are read
    for kernel in kernels:
        maps.append(F.conv2d(torch.cat(maps, dim=1).clamp(min=0), kernel, padding=1))
    return torch.cat(maps, dim=1)
""",
            """
def dense(x, kernels):
    if not kernels:
        return x
    *before, last = kernels                       # recursion: all but the last layer, then the last
    x = dense(x, before)
    return torch.cat([x, F.conv2d(torch.relu(x), last, padding="same")], 1)
""",
        ],
        wrong={
            edit("[x, F.conv2d(F.relu(x), kernel, padding=1)]", "[F.conv2d(F.relu(x), kernel, padding=1), x]"): (
                "the first C channels are x itself"
            ),
            edit("F.relu(x)", "x"): "a ReLU before its convolution",
            """
def dense(x, kernels):
    for kernel in kernels:
        x = F.relu(x)
        x = torch.cat([x, F.conv2d(x, kernel, padding=1)], dim=1)
    return x
""": "the ReLU is for the convolution alone",
            """
def dense(x, kernels):
    for kernel in kernels:
        x = torch.cat([x, F.conv2d(torch.relu_(x), kernel, padding=1)], dim=1)
    return x
""": "the ReLU is for the convolution alone",
            """
def dense(x, kernels):
    for kernel in kernels:
        x = torch.cat([x, F.relu(F.conv2d(F.relu(x), kernel, padding=1))], dim=1)
    return x
""": "a ReLU before its convolution",
        },
    ),
    "Q5": Variants(
        right=[
            """
def ensemble_loss(z, label):                      # take the largest logarithm out, then average
    log_p = z.log_softmax(-1).gather(2, label.expand(len(z), -1)[..., None])[..., 0]
    top = log_p.amax(0)
    return -(top + (log_p - top).exp().mean(0).log()).mean(), -log_p.mean(1).mean(0)
""",
            """
def ensemble_loss(z, label):                      # one loss per network and image
    losses = torch.stack([F.cross_entropy(each, label, reduction="none") for each in z])
    together = -torch.logsumexp(-losses, 0) + torch.tensor(len(z)).log()
    return together.mean(), losses.mean()
""",
        ],
        wrong={
            """
def ensemble_loss(z, label):
    return F.cross_entropy(z.mean(0), label), torch.stack([F.cross_entropy(each, label) for each in z]).mean()
""": "average the probabilities, not the logits",
            """
def ensemble_loss(z, label):
    p = z.softmax(-1).mean(0)
    return F.nll_loss(p.log(), label), torch.stack([F.cross_entropy(each, label) for each in z]).mean()
""": "take no log of 0",
            edit(" - torch.log(torch.tensor(float(len(z)), dtype=z.dtype))", ""): "average the probabilities",
            edit("-log_p.mean()", "-log_p.mean(1).sum()"): "the mean of the networks' own losses",
        },
    ),
    "Q6": Variants(
        right=[
            """
def design():
    return [["conv", 6, 3, 1], ["pool"], ["conv", 8, 3, 1], ["pool"]]
""",
            """
def design():
    return [["conv", 8, 3, 2], ["conv", 8, 3, 2]]
""",
        ],
        wrong={
            """
def design():
    return [["conv", 8, 3, 1], ["pool"], ["conv", 16, 3, 1], ["pool"]]
""": "too many parameters",
            """
def design():
    return [["conv", 8, 3, 1], ["pool"], ["conv", 8, 3, 1], ["pool"]]
""": "too many multiply-adds",
            """
def design():
    return [["conv", 8, 3, 1], ["average"]]
""": "too few of the new digits",
            """
def design():
    return [["conv", 2, 3, 1], ["pool"], ["conv", 2, 3, 1], ["pool"]]
""": "too few of the new digits",
        },
    ),
}
