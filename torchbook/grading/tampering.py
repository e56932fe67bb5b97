"""A guess at whether code changes what other cells rely on.

No points depend on it: answers are compared outside. It only decides whether the other questions of a
notebook get a run of their own, so that `torch.relu = broken` in one answer does not spoil the next.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterable

_CALLS = {"setattr", "delattr", "exec", "eval", "__import__", "globals", "vars", "get_ipython"}
_MODULES = {
    *("gc", "ctypes", "sys", "builtins", "IPython", "importlib", "threading", "signal", "atexit"),
    *("os", "fcntl", "resource", "subprocess", "multiprocessing", "warnings"),
}
# `sum = 0` in one answer is a common slip, and breaks the `sum(...)` of every check that follows.
_NAMES = {"answer", "cases", "draws", "display", *dir(builtins)}


def tampers(students: Iterable[str], others: Iterable[str]) -> bool:
    """Whether a cell in `students` may spoil another. `others` are cells that import modules for them."""
    trees = [_parse(source) for source in students]
    if None in trees:
        return True  # magics, or no Python at all
    modules = {name for tree in [*trees, *map(_parse, others)] if tree is not None for name in _imported(tree)}
    return any(_suspicious(node, modules) for tree in trees if tree for node in ast.walk(tree))


def _parse(source: str) -> ast.Module | None:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _imported(tree: ast.Module) -> set[str]:
    imports = [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
    return {alias.asname or alias.name.split(".")[0] for node in imports for alias in node.names}


def _suspicious(node: ast.AST, modules: set[str]) -> bool:
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
        return any(name.split(".")[0] in _MODULES or "exercises" in name for name in names)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return node.func.id in _CALLS
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        # `torch.set_default_dtype(...)`, `torch.__dict__.update(...)`
        return node.func.attr.startswith(("set_", "update")) and _root(node.func) in modules
    if isinstance(node, (ast.Attribute, ast.Subscript)) and isinstance(node.ctx, (ast.Store, ast.Del)):
        return _root(node) in modules
    if isinstance(node, ast.Name) and isinstance(node.ctx, (ast.Store, ast.Del)):
        return node.id in _NAMES
    return isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name in _NAMES


def _root(node: ast.expr) -> str:
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""
