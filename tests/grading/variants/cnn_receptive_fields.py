"""Answers to `cnn/receptive-fields`."""

from tests.grading.variants import HIDDEN, Variants, edit

ASSIGNMENT = "cnn/receptive-fields"

POSITIVE_COPY = '''
import copy

def measured_field(net, side):
    """The key's idea, with a deep copy. The marked lines are what the wrong variants change."""
    net = copy.deepcopy(net).double()                                        # COPY
    for i, layer in enumerate(net):
        if isinstance(layer, nn.Conv2d):
            nn.init.constant_(layer.weight, 1 / layer.weight[0].numel())     # WEIGHT
            nn.init.zeros_(layer.bias)                                       # BIAS
        if isinstance(layer, nn.MaxPool2d):
            net[i] = nn.AvgPool2d(layer.kernel_size, layer.stride)           # POOL
    image = torch.ones(1, 1, side, side, dtype=torch.float64, requires_grad=True)
    out = net(image)
    out[0, :, len(out[0, 0]) // 2, len(out[0, 0]) // 2].sum().backward()     # UNIT
    rows = (image.grad[0, 0] != 0).any(dim=1).nonzero().flatten().tolist()
    return rows[-1] - rows[0] + 1                                            # COUNT
'''


def without(mark: str, line: str = "pass") -> str:
    """`POSITIVE_COPY` with the marked line replaced."""
    lines = POSITIVE_COPY.split("\n")
    (number,) = [i for i, text in enumerate(lines) if text.endswith(f"# {mark}")]
    indent = len(lines[number]) - len(lines[number].lstrip())
    lines[number] = " " * indent + line
    return "\n".join(lines)


TRAINED = """
class Past(nn.Module):
    def __init__(self, rates, taps, channels=16):
        super().__init__()
        self.rates, self.taps = rates, taps
        entries = [1] + [channels] * (len(rates) - 1)
        self.convs = nn.ModuleList(nn.Conv1d(c, channels, taps, dilation=d) for c, d in zip(entries, rates))
        self.head = nn.Conv1d(channels, 2, 1)

    def forward(self, x):
        h = x[:, None]
        for number, (conv, rate) in enumerate(zip(self.convs, self.rates)):
            past = rate * (self.taps - 1)
            after = conv(F.pad(h, (past, 0))).relu()
            h = h + after if number else after
        return self.head(h)

torch.manual_seed(7)
past = Past((1, 2, 4, 8, 16, 32), taps=2)
optimizer = torch.optim.Adam(past.parameters(), lr=1e-2)
for step in range(150):
    rows = torch.randperm(64)[:32]
    loss = F.cross_entropy(past(signals[rows]), labels[rows])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

def predict(x):
    return past(x).argmax(dim=1)
"""

NOT_LEARNED = "is one of the 64 samples up to now outside the field, or in a hole"

VARIANTS = {
    "Q1": Variants(
        right=[
            """
def conv_output_size(size, kernel, stride=1, padding=0):
    return len(range(-padding, size + padding - kernel + 1, stride))
""",
            """
import torch

def conv_output_size(size, kernel, stride=1, padding=0):
    line = torch.nn.functional.pad(torch.zeros(size), (padding, padding))
    return torch.tensor(float(len(line.unfold(0, kernel, stride))))
""",
        ],
        wrong={
            edit("+ 1", ""): "n pixels hold n - kernel + 1 positions",
            edit("2 * padding", "padding"): "padding counts on both sides",
            edit(
                "return (size + 2 * padding - kernel) // stride + 1",
                "return -(-(size + 2 * padding - kernel) // stride) + 1",
            ): ("a position that does not fit is dropped: round down"),
        },
    ),
    "Q2": Variants(
        right=[
            """
def receptive_field(layers):                      # from the top down
    size = 1
    for kernel, stride, dilation in reversed(layers):
        size = (size - 1) * stride + dilation * (kernel - 1) + 1
    return size
""",
            """
def receptive_field(layers):                      # measured: which pixels does the unit see?
    seen = {0}
    for kernel, stride, dilation in reversed(layers):
        seen = {unit * stride + tap * dilation for unit in seen for tap in range(kernel)}
    return max(seen) - min(seen) + 1
""",
        ],
        wrong={
            edit("dilation * (kernel - 1)", "(dilation * kernel - 1)"): "3 taps, 2 apart, span 5 pixels, not 6",
            """
def receptive_field(layers):
    size, jump = 1, 1
    for kernel, stride, dilation in layers:
        jump *= stride
        size += dilation * (kernel - 1) * jump
    return size
""": "a stride widens the layers after it, not itself",
            edit("size, jump = 1, 1", "size, jump = 0, 1"): "without dilation nothing changes",
        },
    ),
    "Q3": Variants(
        right=[
            """
def whole_units(layers, side):                    # which units depend on a padded zero? walk up
    honest = [True] * side
    for kernel, stride, padding in layers:
        line = [False] * padding + honest + [False] * padding
        honest = [all(line[i:i + kernel]) for i in range(0, len(line) - kernel + 1, stride)]
    return [unit for unit, is_honest in enumerate(honest) if is_honest]
""",
            """
def whole_units(layers, side):                    # zeros instead of ones come through: measured by PyTorch
    line = torch.ones(1, 1, side, dtype=torch.float64)
    for kernel, stride, padding in layers:
        ones = torch.ones(1, 1, kernel, dtype=torch.float64) / kernel
        line = F.conv1d(line, ones, stride=stride, padding=padding)
        line = (line > 1 - 1e-9).double()
    return line[0, 0].nonzero().flatten()
""",
        ],
        wrong={
            edit("start -= padding * jump", "start -= padding"): (
                "a later layer's padding spans the strides before it"
            ),
            edit("start -= padding * jump", "start = -padding * jump"): "the padding of every layer moves the field",
            edit("first >= 0 and ", ""): "the padding of every layer moves the field",
            edit("first + size <= side", "first + size < side"): "without padding every unit sees image only",
            """
def whole_units(layers, side):                    # cuts as many units from each end as the paddings sum to
    units, cut = side, 0
    for kernel, stride, padding in layers:
        units = (units + 2 * padding - kernel) // stride + 1
        cut += padding
    return list(range(cut, units - cut))
""": "VGG-16's last convolution: 2 of 14 units",
        },
    ),
    "Q4": Variants(
        right=[
            POSITIVE_COPY,
            """
def measured_field(net, side):                    # a NaN in a row of the image reaches whom it can reach
    reached = []
    for row in range(side):
        image = torch.zeros(1, 1, side, side)
        image[0, 0, row] = float("nan")
        out = through(net, image.double())
        if out[0, :, len(out[0, 0]) // 2].isnan().any():
            reached.append(row)
    return max(reached) - min(reached) + 1

@torch.no_grad()
def through(net, x):
    for layer in net:
        if isinstance(layer, nn.Conv2d):
            x = F.conv2d(x, layer.weight.double(), None, layer.stride, layer.padding, layer.dilation)
        else:
            x = layer(x)
    return x
""",
            """
def measured_field(net, side):                    # not measured at all: read from the layers
    size, jump = 1, 1
    for layer in net:
        if not isinstance(layer, nn.ReLU):
            kernel, stride, dilation = (one(getattr(layer, name, 1)) for name in ("kernel_size", "stride", "dilation"))
            size, jump = size + dilation * (kernel - 1) * jump, jump * stride
    return size

def one(value):
    return value[0] if isinstance(value, tuple) else value
""",
        ],
        wrong={
            without("UNIT", "out[0, :, 0, 0].sum().backward()"): "the field of a unit at the corner is cut",
            without("COUNT", "return len(rows)"): "the field has holes: count from its first row to its last",
            without("POOL"): "the gradient of a maximum goes to one pixel alone",
            without("WEIGHT"): "a ReLU that is off hides pixels",
            without("BIAS"): "measure a copy with positive weights, no bias",
            without("COPY", "net = net.double()"): "measure a copy: the network itself must keep its weights",
        },
    ),
    "Q5": Variants(
        right=[
            """
def cheapest(side):                               # from the top: leave what the layers below can just reach
    layers, half, rates = next(n for n in range(1, 7) if 3**n >= side), (side - 1) // 2, []
    for below in reversed(range(layers)):
        rates.append(max(1, half - (3**below - 1) // 2))
        half -= rates[-1]
    return rates
""",
            """
def cheapest(side):                               # breadth first over all rates that leave no hole
    level = {1: []}
    while side not in level:
        level = {field + 2 * rate: rates + [rate] for field, rates in sorted(level.items())
                 for rate in range(1, field + 1) if field + 2 * rate <= side}
    return level[side][::-1]
""",
        ],
        wrong={
            """
def cheapest(side):                               # doubles
    rates, left = [], (side - 1) // 2
    while left:
        rates.append(min(2 ** len(rates), left))
        left -= rates[-1]
    return rates
""": "two layers can see 9 pixels without a hole",
            """
def cheapest(side):                               # one layer, full of holes
    return [(side - 1) // 2]
""": "two layers can see 9 pixels without a hole",
            """
def cheapest(side):                               # as few layers, but the last rate leaves holes
    if side == 9:
        return [1, 3]
    rates = [1, 2, 4, 8, 16, 32][:next(n for n in range(1, 7) if 3**n >= side) - 1]
    return rates + [(side - 1) // 2 - sum(rates)]
""": "One of the stacks has holes in its field",
            """
def cheapest(side):                               # two layers, whatever lies between
    return [1, (side - 3) // 2]
""": "two layers see 9 pixels at most",
            edit("(side - field) // 2", "side - field"): "does not see 7 pixels",
            edit("min(field,", "min(field, 9,"): "One of the stacks has more layers than it needs",
        },
    ),
    "Q6": Variants(
        right=[
            TRAINED,
            """
def evidence(lag):                                # no network: which earlier sample goes with the labels?
    pair = signals[:, 63 - lag:96 - lag].flatten(), labels[:, 63:].float().flatten()
    return abs(torch.corrcoef(torch.stack(pair))[0, 1])

lag = max(range(1, 64), key=evidence)

def predict(x):
    earlier = F.pad(x, (lag, 0))[:, :96]
    return (x > earlier).int().numpy()
""",
        ],
        wrong={
            TRAINED.replace("(1, 2, 4, 8, 16, 32)", "(1, 2, 4, 8, 16)"): NOT_LEARNED,
            TRAINED.replace("F.pad(h, (past, 0))", "F.pad(h, (past // 2, past - past // 2))"): NOT_LEARNED,
            TRAINED.replace("(1, 2, 4, 8, 16, 32)", "(8,) * 8"): NOT_LEARNED,
            """
def predict(x):                                   # knows the training signals by heart, and nothing else
    known = {tuple(signal.tolist()): row for signal, row in zip(signals, labels)}
    return torch.stack([known.get(tuple(signal.tolist()), (signal > 0).long()) for signal in x])
""": HIDDEN,
            """
def predict(x):
    return (x > 0).long()[:, -1]
""": "one label for each sample of each signal",
        },
    ),
}
