"""Failed asserts that say what they saw.

`assert f(3) == 5, "count both sides"` fails with the hint alone; the student then has to print f(3) to go on.
`explain_asserts` installs an AST transformer in the IPython shell, for check cells only (those that end with
`answer(...)`), so that the same assert fails with

    AssertionError: count both sides
      f(3): expected 5, got 6
"""

from __future__ import annotations

import ast
import operator
import sys
from collections.abc import Callable
from typing import Any

_COMPARISONS: dict[type[ast.cmpop], tuple[str, Callable[[Any, Any], Any]]] = {
    ast.Eq: ("==", operator.eq),
    ast.NotEq: ("!=", operator.ne),
    ast.Lt: ("<", operator.lt),
    ast.LtE: ("<=", operator.le),
    ast.Gt: (">", operator.gt),
    ast.GtE: (">=", operator.ge),
}
_CLOSENESS = {"allclose", "isclose", "equal", "array_equal"}
_HOOK = "_torchbook_asserted"


class _Asserted:
    """Evaluates one assertion of a check cell, and remembers what it saw for the message."""

    seen = ""

    def compare(self, left: Any, sign: str, right: Any, text: str) -> Any:
        wanted = f"expected {short(right)}" if sign == "==" else f"expected {sign} {short(right)}"
        self.seen = f"{text}: {wanted}, got {short(left)}"
        return next(op for name, op in _COMPARISONS.values() if name == sign)(left, right)

    def call(self, function: Callable[..., Any], text: str, *args: Any, **kwargs: Any) -> Any:
        self.seen = f"{text}: expected {short(args[1])}, got {short(args[0])}"
        return function(*args, **kwargs)

    def message(self, hint: Any) -> str:
        return f"{hint}\n  {self.seen}" if hint else self.seen


def short(value: Any, width: int = 70) -> str:
    """One line that says what `value` is; small tensors and arrays show their numbers."""
    if hasattr(value, "shape") and hasattr(value, "tolist") and getattr(value, "ndim", 0) > 0:
        if value.shape[0] > 12 or value.ndim > 2 or value.shape[-1] > 12:
            dtype = str(value.dtype).removeprefix("torch.")
            return f"{type(value).__name__.lower()} of shape {tuple(value.shape)}, {dtype}"
        value = value.tolist()
    elif hasattr(value, "item") and hasattr(value, "dtype"):
        value = value.item()
    text = " ".join(repr(value).split())
    return text if len(text) <= width else text[: width - 4] + " ..."


class _AssertRewriter(ast.NodeTransformer):
    """Make `assert left == right, hint` report both sides. Only in cells that end with answer(...)."""

    def visit_Module(self, tree: ast.Module) -> ast.Module:
        last = tree.body[-1] if tree.body else None
        call = last.value if isinstance(last, ast.Expr) else None
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "answer":
            self.generic_visit(tree)
        return ast.fix_missing_locations(tree)

    def visit_Assert(self, node: ast.Assert) -> ast.Assert:
        test = _rewritten_test(node.test)
        if test is None:
            return node
        hint = node.msg or ast.Constant(None)
        new = ast.Assert(test=test, msg=_hook_call("message", [hint]))
        for child in ast.walk(new):
            if isinstance(child, (ast.expr, ast.stmt)) and not hasattr(child, "lineno"):
                ast.copy_location(child, node)
        return ast.copy_location(new, node)


def _rewritten_test(test: ast.expr) -> ast.expr | None:
    if isinstance(test, ast.Compare) and len(test.ops) == 1 and type(test.ops[0]) in _COMPARISONS:
        sign = _COMPARISONS[type(test.ops[0])][0]
        text = ast.Constant(_source(test.left))
        return _hook_call("compare", [test.left, ast.Constant(sign), test.comparators[0], text])
    if isinstance(test, ast.Call) and len(test.args) >= 2:
        name = test.func.attr if isinstance(test.func, ast.Attribute) else getattr(test.func, "id", "")
        if name in _CLOSENESS and not any(isinstance(arg, ast.Starred) for arg in test.args):
            text = ast.Constant(_source(test.args[0]))
            return _hook_call("call", [test.func, text, *test.args], test.keywords)
    return None


def _hook_call(method: str, args: list[ast.expr], keywords: list[ast.keyword] | None = None) -> ast.Call:
    hook = ast.Attribute(ast.Name(_HOOK, ast.Load()), method, ast.Load())
    return ast.Call(hook, args, keywords or [])


def _source(node: ast.expr, width: int = 70) -> str:
    text = ast.unparse(node)
    return text if len(text) <= width else text[: width - 4] + " ..."


def explain_asserts() -> None:
    """Install the rewriter in this IPython shell, once. Elsewhere, plain asserts do."""
    shell = None
    if "IPython" in sys.modules:
        shell = sys.modules["IPython"].get_ipython()
    if shell is None or any(isinstance(t, _AssertRewriter) for t in shell.ast_transformers):
        return
    shell.user_ns_hidden[_HOOK] = shell.user_ns[_HOOK] = _Asserted()
    shell.ast_transformers.append(_AssertRewriter())
