"""The same five short questions with torch, in the format of each grader that is compared."""

from __future__ import annotations

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_raw_cell

BODIES = {
    "q1": "x.relu()",
    "q2": "(x - x.max()).exp() / (x - x.max()).exp().sum()",
    "q3": "(x - x.mean()) / x.std(unbiased=False)",
    "q4": "x.logsumexp(0)",
    "q5": "torch.outer(x, x)",
}
_SETUP = """# setup
import torch
from torchbook.exercises import answer, cases, draws

def vectors(rng):
    return [torch.randn(6, generator=torch.Generator().manual_seed(rng.getrandbits(63))) for _ in range(8)]

for name in ("Q1", "Q2", "Q3", "Q4", "Q5"):
    draws(name)(vectors)
"""
_TEST = """for seed in range(8):
    x = torch.randn(6, generator=torch.Generator().manual_seed(seed))
    assert torch.allclose({name}(x), {body}, atol=1e-6)"""


def _notebook(cells: list[NotebookNode]) -> NotebookNode:
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})


def torchbook_key() -> NotebookNode:
    """Our answer key, which is a right submission too."""
    cells = [new_markdown_cell("# Benchmark"), new_code_cell(_SETUP)]
    for name, body in BODIES.items():
        title = name.upper()
        check = f'# {title} check · 1 point\nassert {name}(torch.ones(3)) is not None, "return it"\n'
        cells += [
            new_markdown_cell(f"**{title} · Function** · 1 point"),
            new_code_cell(
                f"# {title} answer\ndef {name}(x):\n    ### BEGIN SOLUTION\n    return {body}\n    ### END SOLUTION"
            ),
            new_code_cell(f'{check}answer([{name}(x) for x in cases("{title}")])'),
        ]
    return _notebook(cells)


def nbgrader_source() -> NotebookNode:
    """An nbgrader source notebook, schema version 3, which is a right submission too."""
    cells = [new_code_cell("import torch")]
    for name, body in BODIES.items():
        solution = f"def {name}(x):\n    ### BEGIN SOLUTION\n    return {body}\n    ### END SOLUTION"
        own = {"grade_id": f"{name}-answer", "grade": False, "solution": True, "locked": False}
        test = {"grade_id": f"{name}-test", "grade": True, "solution": False, "locked": True, "points": 1}
        for source, meta in ((solution, own), (_TEST.format(name=name, body=body), test)):
            cells.append(new_code_cell(source, metadata={"nbgrader": meta | {"schema_version": 3, "task": False}}))
    return _notebook(cells)


def otter_master() -> NotebookNode:
    """A master notebook of `otter assign`; the tests are hidden ones."""
    config = "# ASSIGNMENT CONFIG\ninit_cell: true\nexport_cell: false\ncheck_all_cell: false\ngenerate: true"
    cells = [new_raw_cell(config), new_code_cell("import torch")]
    for name, body in BODIES.items():
        test = "\n    ".join(_TEST.format(name=name, body=body).splitlines())
        cells += [
            new_raw_cell(f"# BEGIN QUESTION\nname: {name}\npoints: 1"),
            new_markdown_cell(name),
            new_raw_cell("# BEGIN SOLUTION"),
            new_code_cell(f"def {name}(x):\n    return {body} # SOLUTION"),
            new_raw_cell("# END SOLUTION"),
            new_raw_cell("# BEGIN TESTS"),
            new_code_cell(f"# HIDDEN\ndef test({name}, torch):\n    {test}\ntest({name}, torch)"),
            new_raw_cell("# END TESTS"),
            new_raw_cell("# END QUESTION"),
        ]
    return _notebook(cells)
