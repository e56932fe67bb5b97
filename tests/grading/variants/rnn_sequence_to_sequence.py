"""Answers to `rnn/sequence-to-sequence`."""

from tests.grading.variants import HIDDEN, Variants, edit

ASSIGNMENT = "rnn/sequence-to-sequence"
VARIANTS = {
    "Q1": Variants(
        right=[
            """
def scores(logits, y, eos):                       # row by row
    out = []
    for z, row in zip(logits, y.tolist()):
        length = row.index(eos) + 1 if eos in row else len(row)
        out.append(-torch.nn.functional.cross_entropy(z[:length], torch.tensor(row[:length]), reduction="sum"))
    return torch.stack(out)
""",
            """
def scores(logits, y, eos):                       # a product of probabilities, whose factors behind the end are 1
    p = torch.softmax(logits, dim=2).gather(2, y.unsqueeze(2)).squeeze(2)
    running = torch.cat([torch.ones(len(y), 1, dtype=torch.long), (y != eos).long()], dim=1).cumprod(dim=1)[:, :-1]
    return (p.log() * running).sum(dim=1)
""",
        ],
        wrong={
            edit("logits.log_softmax(dim=2)", "logits"): "logits need a log-softmax",
            edit("torch.where(before == 0, log_p, 0.0)", "log_p"): "the padding behind it does not",
            edit("before == 0", "(before == 0) & (y != eos)"): "the <eos> counts",
            edit("log_softmax(dim=2)", "log_softmax(dim=1)"): "three log-probabilities are added",
            """
def scores(logits, y, eos):                       # up to the last <eos>
    log_p = logits.log_softmax(dim=2).gather(2, y[:, :, None])[:, :, 0]
    out = []
    for row, p in zip(y.tolist(), log_p):
        end = max((i for i, token in enumerate(row) if token == eos), default=len(row) - 1)
        out.append(p[:end + 1].sum())
    return torch.stack(out)
""": "the first <eos> ends the output",
        },
    ),
    "Q2": Variants(
        right=[
            """
def beam(rows, k, T, eos):                        # negative scores, slots counted down
    live, done, slots = [(0.0, ())], [], k
    for _ in range(T):
        best = sorted((s - p, y + (i,)) for s, y in live for i, p in enumerate(rows[y]))[:slots]
        live = [c for c in best if c[1][-1] != eos]
        done.extend(c for c in best if c[1][-1] == eos)
        slots = k - len(done)
    return [(y, -s) for s, y in sorted(done + live)]
""",
            """
def beam(rows, k, T, eos):                        # one list; who has ended stays in it, with a place of its own
    live, ended = {(): 0.0}, {}
    while live and T:
        longer = {(*y, i): s + p for y, s in live.items() for i, p in enumerate(rows[y])}
        live = {}
        for y in sorted(longer, key=longer.get)[::-1][: k - len(ended)]:
            live[y] = longer[y]
        for y in [y for y in live if y[-1] == eos]:
            ended[y] = live.pop(y)
        T -= 1
    ended.update(live)
    return sorted(ended.items(), key=lambda item: -item[1])
""",
        ],
        wrong={
            edit(
                "for y, s in live for token, p in enumerate(rows[y])]",
                "for y, s in live for token, p in [max(enumerate(rows[y]), key=lambda c: c[1])]]",
            ): "two continuations of one hypothesis",
            edit("candidates[:k - len(finished)]", "candidates[:k]"): "its place stays empty",
            edit("s + p)", "p)"): "S is the sum of the log-probabilities",
            edit("sorted(finished + live,", "sorted(finished,"): "cut off by T",
            edit("s + p)", "(s + p) / (len(y) + 1))"): "S is the sum of the log-probabilities",
        },
    ),
    "Q3": Variants(
        right=[
            """
def tipping(s_short, m_short, s_long, m_long):    # bisection
    lp = lambda m, a: ((5 + m) / 6) ** a
    ahead = lambda a: s_long / lp(m_long, a) >= s_short / lp(m_short, a)
    low, high = 0.0, 1.0
    if ahead(0.0):
        return 0.0
    while not ahead(high):
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (low, middle) if ahead(middle) else (middle, high)
    return high
""",
            """
def tipping(s_short, m_short, s_long, m_long):
    gap = math.log(-s_long) - math.log(-s_short)
    return max(0.0, gap / (math.log(5 + m_long) - math.log(5 + m_short)))
""",
        ],
        wrong={
            edit("    if s_long >= s_short:\n        return 0.0\n", ""): "without any correction",
            edit("(5 + m_long) / (5 + m_short)", "m_long / m_short"): "lp(1) = 1 and lp(7) = 2",
            edit("math.log(s_long / s_short)", "math.log(s_short / s_long)"): "lp(1) = 1 and lp(7) = 2",
            edit("math.log(s_long / s_short) /", "(s_long / s_short) /"): "lp(1) = 1 and lp(7) = 2",
            """
def tipping(s_short, m_short, s_long, m_long):    # a grid that is too coarse and ends too early
    for i in range(201):
        a = i / 100
        if s_long / ((5 + m_long) / 6) ** a >= s_short / ((5 + m_short) / 6) ** a:
            return a
    return 2.0
""": "the two corrected scores must be equal",
        },
    ),
    "Q4": Variants(
        right=[
            """
def learn(counts, merges):                        # the text as one list of words
    text = [[*word] for word, n in counts.items() for _ in range(n)]
    rules = []
    while len(rules) < merges:
        pairs = sorted(pair for word in text for pair in zip(word, word[1:]))
        if not pairs:
            return rules
        best = max(sorted(set(pairs)), key=pairs.count)
        for word in text:
            i = 0
            while i + 1 < len(word):
                if (word[i], word[i + 1]) == best:
                    word[i:i + 2] = ["".join(best)]
                i += 1
        rules.append(best)
    return rules
""",
            """
def learn(counts, merges):                        # letters joined by a separator, merged by a regular expression
    import re
    from collections import Counter
    words, rules = {" ".join(word): n for word, n in counts.items()}, []
    for _ in range(merges):
        pairs = Counter()
        for word, n in words.items():
            parts = word.split()
            for pair in zip(parts, parts[1:]):
                pairs[pair] += n
        if len(pairs) == 0:
            break
        top = max(pairs.values())
        a, b = min(pair for pair, n in pairs.items() if n == top)
        rules.append((a, b))
        words = {re.sub(rf"(?<!\\S){a} {b}(?!\\S)", a + b, word): n for word, n in words.items()}
    return rules
""",
        ],
        wrong={
            edit("pairs.get(pair, 0) + counts[word]", "pairs.get(pair, 0) + 1"): "as often as its word occurs",
            edit(
                "min(pairs, key=lambda pair: (-pairs[pair], pair))", "max(pairs, key=lambda pair: (pairs[pair], pair))"
            ): ("the pair that comes first in the alphabet"),
            edit("            pieces[word] = merged\n", ""): "neighbors of its own",
            edit("        if not pairs:\n            break\n", "        if not pairs:\n            return []\n"): (
                "no pair is left"
            ),
            edit("i += step", "i += 1"): "after a merge",
        },
    ),
    "Q5": Variants(
        right=[
            """
def longest(M, eps):                              # count up
    if not eps:
        return float("inf")
    right, empty, m = math.log1p(-eps * (M - 1) / M), math.log(eps / M), 0
    while (m + 1) * right >= empty:
        m += 1
    return m
""",
            """
def longest(M, eps):                              # the smoothed target as a vector
    target = torch.full((M,), eps / M, dtype=torch.float64)
    target[0] += 1 - eps
    m = target[1].log() / target[0].log()
    return math.inf if eps == 0 else int(m)
""",
        ],
        wrong={
            edit("1 - eps + eps / M", "1 - eps"): "3/4 for the right token",
            edit("math.floor(", "math.ceil("): "0.75**4 > 0.25",
            edit(
                "    if eps == 0:\n        return math.inf\n", "    if eps == 0:\n        return 0\n"
            ): "without smoothing",
            edit("math.log(eps / M) /", "math.log(eps / (M - 1)) /"): "3/4 for the right token",
            edit(
                "math.floor(math.log(eps / M) / math.log(1 - eps + eps / M))",
                "min(144, math.floor(math.log(eps / M) / math.log(1 - eps + eps / M)))",
            ): HIDDEN,
        },
    ),
    "Q6": Variants(
        right=[
            """
def train(x, y, params, size, lr):                # one-hot inputs, torch.optim, and a sum of log-probabilities
    eye = lambda n: torch.eye(n, dtype=params[0].dtype)
    A, B, C, D, E = weights = [torch.nn.Parameter(p.clone()) for p in params]
    optimizer, losses = torch.optim.SGD(weights, lr=lr), []
    for xs, ys in zip(x.split(size), y.split(size)):
        h = (0 * B[:1]).detach()
        for t in range(xs.shape[1]):
            h = torch.tanh(eye(22)[xs[:, t]] @ A.T + h @ B.T)
        shifted = torch.cat([0 * ys[:, :1], ys[:, :-1]], dim=1)
        loss = 0
        for i in range(ys.shape[1]):
            h = torch.tanh(eye(11)[shifted[:, i]] @ C.T + h @ D.T)
            loss = loss - (h @ E.T).log_softmax(1).gather(1, ys[:, i:i + 1]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss))
    return losses
""",
            """
def train(x, y, params, size, lr):                # one pair at a time; PyTorch's cells do the steps
    H, losses = len(params[1]), []
    reader, writer = torch.nn.RNNCell(22, H, bias=False).double(), torch.nn.RNNCell(11, H, bias=False).double()
    head = torch.nn.Linear(H, 11, bias=False).double()
    weights = [reader.weight_ih, reader.weight_hh, writer.weight_ih, writer.weight_hh, head.weight]
    with torch.no_grad():
        for weight, value in zip(weights, params):
            weight.copy_(value)
    hot = lambda i, n: torch.nn.functional.one_hot(i, n).double()[None]
    for start in range(0, len(x), size):
        each = []
        for source, target in zip(x[start:start + size], y[start:start + size]):
            h = None
            for token in source:
                h = reader(hot(token, 22), h)
            before = torch.tensor(0)
            for token in target:
                h = writer(hot(before, 11), h)
                each.append(-torch.log_softmax(head(h)[0], dim=0)[token])
                before = token
        loss = sum(each) / len(x[start:start + size])
        for weight, g in zip(weights, torch.autograd.grad(loss, weights)):
            weight.data -= lr * g
        losses.append(loss.item())
    return losses
""",
        ],
        wrong={
            edit("loss = total / len(x[rows])", "loss = total / y[rows].numel()"): "add over tokens, average over rows",
            edit("            before = token\n", ""): "the true token before",
            edit(
                "before, total = torch.zeros_like(y[rows][:, 0]), 0.0",
                "before, total, h = torch.zeros_like(y[rows][:, 0]), 0.0, 0 * h",
            ): ("the decoder starts in the encoder's last state"),
            edit("p - lr * g", "p + lr * g"): "each step must lower its loss",
            edit(
                "            before = token\n", "            before = (h @ E.T).argmax(dim=1)\n"
            ): "the true token before",
            edit("A.T[token] + h @ B.T", "A.T[token] + h @ B"): HIDDEN,
        },
    ),
}
