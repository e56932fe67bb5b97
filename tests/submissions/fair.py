"""What honest students hand in: every one of these earns all points."""

from __future__ import annotations

import json
from collections.abc import Iterator

from tests.submissions import HONEST, SETUP, Submission, answer_cell, as_file, cells_of, check, code, markdown, notebook

# question -> other right ways to say the same
OTHER = {
    "float32-where-the-key-has-float64": {"Q2": "def softmax(x):\n    return torch.softmax(x.float(), 0)"},
    "float-where-the-key-has-int": {"Q1": "def affine(x):\n    return 7.0 * x + 3.0"},
    "lists-for-tensors": {
        "Q2": "def softmax(x):\n    return torch.softmax(x, 0).tolist()",
        "Q4": HONEST["Q4"].replace(".long()", ".long().tolist()"),
    },
    "numpy": {
        "Q1": "import numpy as np\ndef affine(x):\n    return np.int64(7) * x + 3",
        "Q2": "import numpy as np\ndef softmax(x):\n    e = np.exp(np.asarray(x))\n    return e / e.sum()",
        "Q3": "def divisors(n):\n    d = np.arange(1, n + 1)\n    return d[n % d == 0]",
        "Q5": "def three(n):\n    return np.array([1, 1, n - 2])",
    },
    "zero-dimensional-tensors": {"Q1": "def affine(x):\n    return torch.tensor(x) * 7 + 3"},
    "tuples-and-ranges": {
        "Q2": "def softmax(x):\n    return tuple(torch.softmax(x, 0))",
        "Q3": "def divisors(n):\n    return tuple(d for d in range(1, n + 1) if n % d == 0)",
        "Q5": "def three(n):\n    return range(n // 3 - 1, n // 3 + 2) if n % 3 == 0 else [1, 2, n - 3]",
    },
    "a-set": {"Q3": "def divisors(n):\n    return {d for d in range(1, n + 1) if n % d == 0}"},
    "another-order": {"Q3": "def divisors(n):\n    return [d for d in range(n, 0, -1) if n % d == 0]"},
    "pairs-of-divisors": {
        "Q3": "def divisors(n):\n    small = [d for d in range(1, int(n**0.5) + 1) if n % d == 0]\n"
        "    return sorted({*small, *(n // d for d in small)})"
    },
    "booleans-for-labels": {"Q4": HONEST["Q4"].replace(".long()", "")},
    "float-labels": {"Q4": HONEST["Q4"].replace(".long()", ".double()")},
    "by-hand": {"Q2": "def softmax(x):\n    e = (x - x.max()).exp()\n    return e / e.sum()"},
    "log-softmax": {"Q2": "def softmax(x):\n    return torch.log_softmax(x, -1).exp()"},
    "a-tensor-with-a-graph": {"Q2": "def softmax(x):\n    return torch.softmax(x.clone().requires_grad_(), 0)"},
    "addition-only": {"Q1": "def affine(x):\n    y = 3\n    for _ in range(7):\n        y += x\n    return y"},
    "a-class-and-a-lambda": {
        "Q1": "class Affine:\n    def __call__(self, x):\n        return 7 * x + 3\naffine = Affine()",
        "Q5": "three = lambda n: [n // 3, n // 3, n - 2 * (n // 3)]",
    },
    "trained-with-sgd": {
        "Q4": """
torch.manual_seed(0)
model = torch.nn.Linear(2, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
for epoch in range(200):
    loss = torch.nn.functional.binary_cross_entropy_with_logits(model(TRAIN[:, :2])[:, 0], TRAIN[:, 2])
    optimizer.zero_grad(); loss.backward(); optimizer.step()
@torch.no_grad()
def classify(x):
    return (model(x)[:, 0] > 0).int()"""
    },
    "trained-with-a-loader": {
        "Q4": """
from torch.utils.data import DataLoader, TensorDataset
model = torch.nn.Sequential(torch.nn.Linear(2, 2))
optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
for epoch in range(40):
    for x, y in DataLoader(TensorDataset(TRAIN[:, :2], TRAIN[:, 2].long()), batch_size=20, shuffle=True):
        loss = torch.nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad(); loss.backward(); optimizer.step()
def classify(x):
    return model(x).argmax(1)"""
    },
    "nearest-neighbors": {
        "Q4": "def classify(x):\n"
        "    near = torch.cdist(x, TRAIN[:, :2]).topk(1, largest=False).indices\n"
        "    return (TRAIN[:, 2][near].mean(1) > 0.5).long()"
    },
    "magic-in-the-answer": {"Q1": f"%matplotlib inline\n{HONEST['Q1']}\n%timeit -n1 -r1 affine(1)"},
    "shell-in-the-answer": {"Q1": f"!echo hello\n{HONEST['Q1']}\nfiles = !ls"},
    "awaits": {"Q1": f"import asyncio\nawait asyncio.sleep(0.01)\n{HONEST['Q1']}"},
    "decorated-and-cached": {"Q1": f"import functools\n@functools.lru_cache(None)\n{HONEST['Q1']}"},
    "imports-in-the-answer": {"Q2": "from torch import softmax as s\nfrom math import *\nsoftmax = lambda x: s(x, 0)"},
    "names-of-our-own": {
        "Q1": f"answer = 42\ncases = [1, 2]\n{HONEST['Q1']}",
        "Q2": f"answer = softmax = None\n{HONEST['Q2']}",
        "Q3": f"def draws(n):\n    return n\n{HONEST['Q3']}",
    },
    "builtins-as-names": {
        "Q1": f"list = max = 0\nsum = input = 1\n{HONEST['Q1']}",
        "Q3": f"len = 5\ndel len\n{HONEST['Q3']}",
    },
    "another-default-type": {"Q2": f"torch.set_default_dtype(torch.float64)\n{HONEST['Q2']}"},
    "letters-of-the-world": {"Q1": "def affine(ξ):\n    größe = 7 * ξ  # 七\n    return größe + 3"},
    "type-hints-and-docstring": {"Q1": 'def affine(x: int) -> int:\n    """Line."""\n    return 7 * x + 3'},
}

# Extra code, in a cell before the answers, that must cost nothing
BESIDE = {
    "warnings": "import warnings\nwarnings.warn('old')\nwarnings.warn('older', DeprecationWarning)",
    "words-on-stderr": "import sys, logging\nprint('careful', file=sys.stderr)\nlogging.error('an error?')",
    "prints": "for i in range(3000):\n    print(i, 'loss', i / 7)",
    "plots": "import matplotlib.pyplot as plt\nplt.plot([1, 2, 3])\nplt.title('loss')\nplt.show()\n"
    "fig, ax = plt.subplots(); ax.imshow(torch.rand(9, 9))",
    "a-table-as-html": "from IPython.display import HTML, display\ndisplay(HTML('<table><tr><td>1</td></tr></table>'))",
    "a-cell-that-fails": "1 / 0",
    "a-cell-with-a-syntax-error": "def f(:\n",
    "a-cell-with-an-unknown-module": "import pandas_of_the_future",
    "a-progress-bar": "from tqdm.auto import tqdm\nfor _ in tqdm(range(100)):\n    pass",
    "a-file-of-its-own": "open('notes.txt', 'w').write('x')\nassert open('notes.txt').read() == 'x'",
    "pip-install": "%pip install --quiet nothing-in-particular",
    "seeds-and-types": "import random\nrandom.seed(1); torch.manual_seed(1); torch.set_num_threads(2)",
    "subprocesses": "import subprocess\nprint(subprocess.run(['echo', 'x'], capture_output=True).stdout)",
    "a-thread-that-ends": "import threading\nt = threading.Thread(target=print, args=('x',)); t.start(); t.join()",
    "a-public-check-copied": "def affine(x):\n    return 0\nanswer([affine(x) for x in cases('Q1')])",
    "half-a-second": "import time\ntime.sleep(0.5)",
}


def submissions() -> list[Submission]:
    made = [Submission("complete", as_file(cells_of()))]
    made += [Submission(name, as_file(cells_of(answers))) for name, answers in OTHER.items()]
    made += [Submission(f"beside-{name}", as_file(cells_of(before=[source]))) for name, source in BESIDE.items()]
    made += [Submission(f"saved-{name}", data) for name, data in _saved()]
    return made


def _saved() -> Iterator[tuple[str, bytes]]:
    """The same cells, in the forms that editors and services give a file, or in another order."""
    whole = as_file(cells_of())
    yield "with-a-byte-order-mark", b"\xef\xbb\xbf" + whole
    yield "as-utf-16", whole.decode().encode("utf-16")
    yield "with-crlf-around", json.dumps(json.loads(whole), indent=1).replace("\n", "\r\n").encode()
    yield "with-crlf-inside", as_file(cell.replace("\n", "\r\n") for cell in cells_of())
    yield "with-lists-of-lines", json.dumps(_with_lines(json.loads(whole))).encode()
    yield "by-colab", json.dumps(_by_colab(cells_of())).encode()
    run = [code(cell, execution_count=99 - i, outputs=_OUTPUTS) for i, cell in enumerate(cells_of())]
    yield "with-outputs-and-counts", as_file(run)
    yield "with-text-between", as_file(x for cell in cells_of() for x in (markdown("## Why"), cell))
    yield "questions-in-another-order", as_file([SETUP, *cells_of()[:0:-1]])
    uses = cells_of({"Q1": "seven = times(1)\ndef affine(x):\n    return seven * x + 3"})
    yield "helper-below-its-use", as_file([*uses, "def times(x):\n    return 7 * x"])
    yield "stub-left-above", as_file([_STUB, *cells_of()])
    yield "solved-in-a-cell-below", as_file(_solved_below())
    yield "first-lines-in-capitals", as_file(cell.replace(" answer\n", " ANSWER :\n") for cell in cells_of())


_STUB = answer_cell("Q1", 'def affine(x):\n    raise NotImplementedError("Q1 is not answered yet")')
_OUTPUTS = [{"output_type": "stream", "name": "stdout", "text": ["x\n"]}, {"output_type": "display_data"}]


def _with_lines(saved: dict) -> dict:
    for cell in saved["cells"]:
        cell["source"] = cell["source"].splitlines(keepends=True)
    return saved


def _by_colab(cells: list[str]) -> dict:
    saved = notebook([code(cell, metadata={"id": f"x{i}", "colab": {"base_uri": "x"}}) for i, cell in enumerate(cells)])
    saved["metadata"] = {"colab": {"provenance": []}, "kernelspec": {"name": "python3", "display_name": "Python 3"}}
    saved["nbformat_minor"] = 0
    return saved


def _solved_below() -> list[str]:
    """The stub stays where it was; the solution stands in a new cell below it, without a first line."""
    setup, _, *rest = cells_of()
    return [setup, _STUB, HONEST["Q1"], check("Q1"), *rest[1:]]
