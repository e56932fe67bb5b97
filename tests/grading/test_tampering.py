"""Which code makes the grader run the other questions alone. A miss costs the honest questions of one notebook."""

from __future__ import annotations

import pytest

from torchbook.grading.tampering import tampers

SETUP = ["import torch\nimport torch.nn.functional as F\nimport numpy as np\nfrom torchbook.exercises import answer"]


@pytest.mark.parametrize(
    "source",
    [
        "torch.relu = lambda x: x",
        "torch.Tensor.sum = None",
        "F.__dict__.update(relu=None)",
        "np.random.seed = print",
        "del torch.softmax",
        "torch.set_default_dtype(torch.float64)",
        "setattr(torch, 'relu', None)",
        "import builtins",
        "from torchbook import exercises",
        "import torch as t\nt.exp = t.log",
        "sum = 0",
        "def answer(value):\n    pass",
        "class list(tuple):\n    pass",
        "for len in range(3):\n    pass",
        "%matplotlib inline",
        "get_ipython().ast_transformers.append(1)",
        "this is no Python",
        "x = " + "(" * 5000,
    ],
)
def test_code_that_reaches_into_others_is_suspected(source):
    assert tampers([source], SETUP)


@pytest.mark.parametrize(
    "source",
    [
        "def f(x):\n    return torch.relu(x) + F.softplus(x)",
        "total = 0\nfor value in range(10):\n    total += value",
        "model = torch.nn.Linear(2, 1)\nmodel.weight.data = torch.zeros(1, 2)\nmodel.bias.requires_grad = False",
        "cache = {}\ncache['sum'] = 1",
        "state = {'lr': 1}\nstate.update(lr=2)",
        "class Cell:\n    def __init__(self):\n        self.sum = 0",
        "import math\nfrom collections import Counter",
        "",
    ],
)
def test_ordinary_answers_are_not(source):
    assert not tampers([source], SETUP)
