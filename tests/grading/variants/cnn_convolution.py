"""Answers to `cnn/convolution`."""

from tests.grading.variants import HIDDEN, Variants, edit

ASSIGNMENT = "cnn/convolution"
VARIANTS = {
    "Q1": Variants(
        right=[
            """
def input_sizes(out, kernel, stride, padding, dilation):          # by search
    fitting = []
    for size in range(1, 400):
        room = size + 2 * padding - dilation * (kernel - 1) - 1
        if room >= 0 and room // stride + 1 == out:
            fitting.append(size)
    return [fitting[0], fitting[-1]]
""",
            """
def input_sizes(out, kernel, stride, padding, dilation):          # from the formula with the ceiling
    span = dilation * (kernel - 1) - 2 * padding
    return [max(1, stride * (out - 1) + 1 + span), stride * out + span]
""",
        ],
        wrong={
            edit("- 2 * padding", "- padding"): "padding counts on both sides",
            edit("smallest + stride - 1", "smallest"): "up to stride - 1 rows at the end are never reached",
            edit("dilation * (kernel - 1) + 1", "(dilation + 1) * (kernel - 1) + 1 - (kernel - 1) * (dilation == 1)"): (
                "3 taps, 3 apart, span 7 rows"
            ),
            edit("max(smallest, 1)", "smallest"): "an image has at least one row",
            edit("smallest + stride - 1]", "max(smallest, 1) + stride - 1]"): "an image has at least one row",
            edit("(out - 1) * stride", "out * stride"): "the output is K - 1 smaller",
        },
    ),
    "Q2": Variants(
        right=[
            """
def conv_channels_last(image, weight, bias, stride):              # permute, and let PyTorch do it
    z = F.conv2d(image.permute(2, 0, 1)[None], weight.permute(3, 2, 0, 1), bias, stride=stride)
    return z[0].permute(1, 2, 0)
""",
            """
def conv_channels_last(image, weight, bias, stride):              # one matrix product over all windows
    windows = image.unfold(0, weight.shape[0], stride[0]).unfold(1, weight.shape[1], stride[1])
    return torch.einsum("hwcab,abco->hwo", windows, weight) + bias
""",
        ],
        wrong={
            edit("@ weight[k1, k2]", "@ weight[K1 - 1 - k1, K2 - 1 - k2]"): "cross-correlation: tap [0, 2] reads",
            edit("(s1, s2) = weight.shape, stride", "(s2, s1) = weight.shape, stride"): "the first stride is vertical",
            edit("z = bias.repeat(H, W, 1)", "z = torch.zeros(H, W, C_out, dtype=image.dtype)"): (
                "one bias per output channel, added once"
            ),
            edit("@ weight[k1, k2]", "@ weight[k1, k2] + bias"): "one bias per output channel, added once",
            edit("(image.shape[1] - K2) // s2 + 1", "(image.shape[1] - K2) // s2"): "the shape is (H - K1 + 1",
        },
    ),
    "Q3": Variants(
        right=[
            """
def backward(x, weight, g):                                       # as two convolutions
    K = weight.shape[-1]
    grad_x = F.conv2d(F.pad(g, [K - 1] * 4)[None], weight.transpose(0, 1).flip(2, 3))[0]
    grad_weight = F.conv2d(x[:, None], g[:, None]).transpose(0, 1)
    return grad_x, grad_weight, g.sum((1, 2))
""",
            """
def backward(x, weight, g):                                       # by autograd
    x, weight = x.clone().requires_grad_(), weight.clone().requires_grad_()
    bias = torch.zeros(len(weight), dtype=x.dtype, requires_grad=True)
    return torch.autograd.grad(F.conv2d(x[None], weight, bias)[0], [x, weight, bias], g)
""",
        ],
        wrong={
            edit("grad_x[:, rows, columns] +=", "grad_x[:, rows, columns] ="): "their gradients add up",
            edit('"oc,ohw->chw", weight[:, :, k1, k2]', '"oc,ohw->chw", weight[:, :, k1, k2].T'): (
                "input 1 hears from it: W transposed"
            ),
            edit("g.sum(dim=(1, 2))", "g.mean(dim=(1, 2))"): "the bias entered every output place",
            edit("grad_weight[:, :, k1, k2] = torch.einsum(", "grad_weight[:, :, k1, k2] = 0.25 * torch.einsum("): (
                "each weight was used at every output place"
            ),
            edit("weight[:, :, k1, k2], g)", "weight[:, :, K - 1 - k1, K - 1 - k2], g)"): HIDDEN,
        },
    ),
    "Q4": Variants(
        right=[
            """
def merge(w1, b1, w2, b2):                                        # a full convolution of the kernels
    K2 = w2.shape[-1]
    weight = F.conv2d(w1.transpose(0, 1), w2.flip(2, 3), padding=K2 - 1).transpose(0, 1)
    return weight, b2 + torch.einsum("omij,m->o", w2, b1)
""",
            """
def merge(w1, b1, w2, b2):                                        # ask both layers what they do to single pixels
    C, K = w1.shape[1], w1.shape[-1] + w2.shape[-1] - 1
    both = lambda x: F.conv2d(F.conv2d(x, w1, b1), w2, b2)[:, :, 0, 0]
    bias = both(torch.zeros(1, C, K, K, dtype=w1.dtype))[0]
    pixels = torch.eye(C * K * K, dtype=w1.dtype).view(-1, C, K, K)
    return (both(pixels) - bias).T.reshape(-1, C, K, K), bias
""",
        ],
        wrong={
            edit("w2[:, :, r, c], w1)", "w2[:, :, K2 - 1 - r, K2 - 1 - c], w1)"): "offsets add, nothing is reflected",
            edit("b2 + w2.sum(dim=(2, 3)) @ b1", "b2 + w2.mean(dim=(2, 3)) @ b1"): (
                "reaches the output through every tap"
            ),
            edit("b2 + w2.sum(dim=(2, 3)) @ b1", "w2.sum(dim=(2, 3)) @ (b1 + b2.mean())"): (
                "the second bias stays as it is"
            ),
            edit("] += torch.einsum", "] = torch.einsum"): HIDDEN,
            """
def merge(w1, b1, w2, b2):                                        # cross-correlates the kernels
    weight = F.conv2d(w1.transpose(0, 1), w2, padding=w2.shape[-1] - 1).transpose(0, 1)
    return weight, b2 + w2.sum(dim=(2, 3)) @ b1
""": "offsets add, nothing is reflected",
        },
    ),
    "Q5": Variants(
        right=[
            """
def separate(kernel):                                             # by the singular values
    U, sizes, V = torch.linalg.svd(torch.tensor(kernel, dtype=torch.float64), full_matrices=False)
    if sizes[0] < 1e-9 or sizes[1] > 1e-9 * sizes[0]:
        return None
    row = V[0]
    scale = row[int((row.abs() > 1e-9).nonzero()[0])]
    return [(sizes[0] * scale * U[:, 0]).tolist(), (row / scale).tolist()]
""",
            """
def separate(kernel):                                             # every 2 x 2 minor must vanish
    rows, columns = range(len(kernel)), range(len(kernel[0]))
    for i, k in itertools.combinations(rows, 2):
        for j, l in itertools.combinations(columns, 2):
            if abs(kernel[i][j] * kernel[k][l] - kernel[i][l] * kernel[k][j]) > 1e-9:
                return None
    for j in columns:
        for i in rows:
            if abs(kernel[i][j]) > 1e-9:
                return [[line[j] for line in kernel], [v / kernel[i][j] for v in kernel[i]]]
    return None
""",
        ],
        wrong={
            """
def separate(kernel):
    kernel = torch.tensor(kernel, dtype=torch.float64)
    if len(kernel) == kernel.shape[1] and abs(torch.linalg.det(kernel)) > 1e-9 or not kernel.any():
        return None
    j = int((kernel.abs() > 1e-9).any(dim=0).nonzero()[0])
    i = int(kernel[:, j].abs().argmax())
    return [kernel[:, j].tolist(), (kernel[i] / kernel[i, j]).tolist()]
""": "the Laplacian has determinant 0 and rank 2",
            edit(
                "row = kernel[i] / kernel[i, j]", "row = kernel[i] / kernel[i].sum()"
            ): "Sobel is a column times a row",
            edit("        return None\n", "        return [[0.0] * len(kernel), [1.0] * kernel.shape[1]]\n"): (
                "a kernel of zeros has rank 0"
            ),
            edit(
                "row = kernel[i] / kernel[i, j]", "row = kernel[i] / kernel[i, j].abs()"
            ): "the sign goes to the column",
            edit("j = int(filled.any(dim=0).nonzero()[0])", "j = 0"): "an empty first row or column does no harm",
        },
    ),
    "Q6": Variants(
        right=[
            """
def identify(x, z):                                               # the normal equations, on a padded image by hand
    best = None
    for d in (1, 2, 3):
        padded = F.pad(x, [d] * 4)
        taps = [padded[d * a:d * a + 40, d * b:d * b + 48].flatten() for a in range(3) for b in range(3)]
        A = torch.stack([*taps, torch.ones(40 * 48, dtype=x.dtype)], dim=1)
        w = torch.linalg.solve(A.T @ A, A.T @ z.flatten())
        error = (A @ w - z.flatten()).square().sum().item()
        if best is None or error < best[0]:
            best = error, d, w
    return [best[1], best[2][:9].view(3, 3), best[2][9].item()]
""",
            """
def identify(x, z):                                               # training, with a method of second order
    fits = []
    for d in (1, 2, 3):
        conv = torch.nn.Conv2d(1, 1, 3, padding=d, dilation=d).double()
        torch.nn.init.zeros_(conv.weight)
        optimizer = torch.optim.LBFGS(conv.parameters(), max_iter=200, tolerance_grad=1e-9, tolerance_change=1e-14,
                                      line_search_fn="strong_wolfe")

        def closure():
            optimizer.zero_grad()
            loss = (conv(x[None, None])[0, 0] - z).square().mean()
            loss.backward()
            return loss

        optimizer.step(closure)
        fits.append((closure().item(), d, conv))
    _, d, conv = min(fits, key=lambda fit: fit[0])
    return [d, conv.weight[0, 0].detach(), conv.bias.item()]
""",
        ],
        wrong={
            edit("for d in (1, 2, 3):", "for d in (1,):"): "this layer has dilation 2",
            edit("solution[:9].view(3, 3)", "solution[:9].flip(0).view(3, 3)"): "flipped: F.conv2d cross-correlates",
            edit("torch.ones(len(columns), 1, dtype=x.dtype)", "torch.zeros(len(columns), 1, dtype=x.dtype)"): (
                "the bias is one more unknown"
            ),
            edit(
                "F.unfold(x[None, None], 3, padding=d, dilation=d)",
                'F.unfold(F.pad(x[None, None], [d] * 4, mode="replicate"), 3, dilation=d)',
            ): "zeros stand around the image",
        },
    ),
}
