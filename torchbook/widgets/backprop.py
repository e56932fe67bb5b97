"""Backprop: a small graph, walked forward and back one node at a time."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from numbers import Integral

import traitlets

from torchbook.widgets.base import Widget
from torchbook.widgets.checks import trait_number

# backprop.js holds the same presets, names and limits.
PRESETS = {
    "shared input": ("y = sin(x); z = x * y; w = cos(z)", {"x": 1.3}),
    "neuron and its loss": ("z = w * x + b; -log(sigmoid(z))", {"w": 0.5, "x": 2.0, "b": -1.5}),
    "two layers": ("h = tanh(w * x + b); e = v * h - t; e^2", {"w": 0.8, "x": 1.5, "b": -0.4, "v": -1.2, "t": 0.5}),
    "closed gate": ("r = relu(w * x + b); r * v", {"w": 0.6, "x": -1.5, "b": 0.4, "v": 2.0}),
    "many paths": ("a = x + x; b = a + a; c = b + b; c + c", {"x": 0.5}),
    "quotient": ("p = exp(x); q = exp(y); p / (p + q)", {"x": 1.0, "y": 0.2}),
}
FUNCTIONS = ("sin", "cos", "exp", "log", "sqrt", "tanh", "sigmoid", "relu")
EDGE = 4.0  # inputs lie in [-4, 4]
MOST_NODES = 24
MOST_INPUTS = 6
MOST_LETTERS = 160
_OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Pow)
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]{0,2}$")


def inputs_of(expression: str) -> list[str]:
    """The inputs of the last statement, in the order in which they occur: names that no statement defines.

    Raises TraitError that says what is wrong and what to write instead.
    """
    if not isinstance(expression, str) or not expression.strip():
        raise traitlets.TraitError(f"expression must be text such as 'y = sin(x); x * y', got {expression!r}")
    if len(expression) > MOST_LETTERS:
        raise traitlets.TraitError(f"expression has {len(expression)} letters; at most {MOST_LETTERS} fit")
    pieces = [piece for piece in expression.split(";") if piece.strip()]
    if not pieces:
        raise traitlets.TraitError("expression has no statement; write for example 'x * y'")
    met: list[str] = []  # inputs, in the order in which they occur
    needs: dict[str, set[str]] = {}  # the inputs behind each name that a statement defines
    operations, behind, computed = 0, set(), False
    for piece in pieces:
        name, text = _split(piece)
        tree = _parse(text)
        operations += _walk(tree, needs, met)
        names = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id not in FUNCTIONS]
        behind = set().union(*(needs.get(other, {other}) for other in names))
        computed = not isinstance(tree, ast.Name) or tree.id in needs
        if name is not None:
            if name in needs or name in met:
                raise traitlets.TraitError(f"{name} is used or defined already; choose another name")
            if not computed:
                raise traitlets.TraitError(f"{name} is a second name for an input; use the input itself")
            needs[name] = behind
    inputs = [name for name in met if name in behind]
    if not inputs or not computed or operations == 0:
        raise traitlets.TraitError("the last statement must compute something from an input, such as x * y")
    if len(inputs) > MOST_INPUTS:
        raise traitlets.TraitError(f"expression has {len(inputs)} inputs; use at most {MOST_INPUTS}")
    if operations + len(inputs) > MOST_NODES:
        raise traitlets.TraitError(f"expression has more than {MOST_NODES} nodes; use a smaller one")
    return inputs


def _split(piece: str) -> tuple[str | None, str]:
    """`name = expression`, or an expression alone."""
    if "=" not in piece:
        return None, piece
    name, text = (part.strip() for part in piece.split("=", 1))
    if not _NAME.match(name) or name in FUNCTIONS:
        raise traitlets.TraitError(f"{name!r} cannot be a name; use one to three letters and digits, such as z or h1")
    return name, text


def _parse(text: str) -> ast.expr:
    try:
        return ast.parse(text.strip().replace("^", "**"), mode="eval").body
    except SyntaxError:
        raise traitlets.TraitError(f"cannot read {text.strip()!r}; write for example x * y + sin(x)") from None


def _walk(node: ast.expr, defined: Mapping[str, object], inputs: list[str]) -> int:
    """Check one expression, note its inputs, and count its operations."""
    match node:
        case ast.Constant(value=value) if isinstance(value, (int, float)) and not isinstance(value, bool):
            return 0
        case ast.Name(id=name):
            if not _NAME.match(name) or name in FUNCTIONS:
                raise traitlets.TraitError(f"{name!r} cannot be a name; use one to three letters and digits")
            if name not in defined and name not in inputs:
                inputs.append(name)
            return 0
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return 1 + _walk(operand, defined, inputs)
        case ast.BinOp(left=base, op=ast.Pow(), right=exponent):
            if isinstance(exponent, ast.UnaryOp) and isinstance(exponent.op, ast.USub):
                exponent = exponent.operand
            if not isinstance(exponent, ast.Constant) or not isinstance(exponent.value, (int, float)):
                raise traitlets.TraitError("an exponent must be a number, such as x^2")
            return 1 + _walk(base, defined, inputs)
        case ast.BinOp(left=left, op=op, right=right) if isinstance(op, _OPERATORS):
            return 1 + _walk(left, defined, inputs) + _walk(right, defined, inputs)
        case ast.Call(func=ast.Name(id=name), args=[argument], keywords=[]) if name in FUNCTIONS:
            return 1 + _walk(argument, defined, inputs)
        case ast.Call(func=ast.Name(id=name)):
            raise traitlets.TraitError(f"no function {name} of one number; there are {', '.join(FUNCTIONS)}")
    raise traitlets.TraitError("use names, numbers, + - * / ^ and functions of one number only")


class Backprop(Widget):
    """The graph of a program, its values, its local derivatives, and the derivatives that travel along it.

    In reverse mode the values are computed first, node by node; then each node hands its adjoint to its parents,
    once per arrow. In forward mode the derivative by one input travels along with the values.

    Args:
        expression: statements with `;` between them, each `name = ...` or, as the last one, an expression: names,
            numbers, + - * / ^ with a number as the exponent, and `FUNCTIONS`. Without it, that of `preset`.
        preset: one of `PRESETS`.
        inputs: a number in [-4, 4] for each input; 1 where none is given.
        direction: "reverse", or "forward" with the derivative by the input `by`.
        by: an input; without it, the first.
        accumulate: whether a node adds up what its children send. False is a bug, to look at.
        step: how many steps are done at first.

    All but `preset` are traits that follow the reader's hand. Raises TraitError for what cannot be drawn.
    """

    expression = traitlets.Unicode().tag(sync=True)
    inputs = traitlets.Dict(key_trait=traitlets.Unicode(), value_trait=traitlets.Float()).tag(sync=True)
    direction = traitlets.Unicode("reverse").tag(sync=True)
    by = traitlets.Unicode().tag(sync=True)
    accumulate = traitlets.Bool(True).tag(sync=True)
    step = traitlets.Int(0).tag(sync=True)

    def __init__(
        self,
        expression: str | None = None,
        *,
        preset: str = "shared input",
        inputs: Mapping[str, float] | None = None,
        direction: str = "reverse",
        by: str | None = None,
        accumulate: bool = True,
        step: int = 0,
    ) -> None:
        if preset not in PRESETS:
            raise traitlets.TraitError(f"no preset named {preset!r}: there are {', '.join(PRESETS)}")
        own: dict[str, float] = {}
        if expression is None:
            expression, own = PRESETS[preset]
        names = inputs_of(expression)
        given = dict(inputs or {})
        unknown = sorted(set(given) - set(names))
        if unknown:
            raise traitlets.TraitError(f"no input named {unknown[0]!r}: the inputs are {', '.join(names)}")
        start = {name: given.get(name, own.get(name, 1.0)) for name in names}
        values = {name: trait_number(value, f"input {name}", -EDGE, EDGE) for name, value in start.items()}
        if by is not None and by not in names:
            raise traitlets.TraitError(f"by must be an input ({', '.join(names)}), got {by!r}")
        super().__init__(
            expression=expression,
            inputs=values,
            direction=direction,
            by=by or names[0],
            accumulate=accumulate,
            step=step,
        )

    @traitlets.validate("expression")
    def _check_expression(self, proposal: dict) -> str:
        inputs_of(proposal["value"])
        return proposal["value"]

    @traitlets.validate("inputs")
    def _check_inputs(self, proposal: dict) -> dict[str, float]:
        return {name: trait_number(value, f"input {name}", -EDGE, EDGE) for name, value in proposal["value"].items()}

    @traitlets.validate("direction")
    def _check_direction(self, proposal: dict) -> str:
        if proposal["value"] not in ("reverse", "forward"):
            raise traitlets.TraitError(f"direction must be reverse or forward, got {proposal['value']!r}")
        return proposal["value"]

    @traitlets.validate("step")
    def _check_step(self, proposal: dict) -> int:
        value = proposal["value"]
        if not isinstance(value, Integral) or isinstance(value, bool) or value < 0:
            raise traitlets.TraitError(f"step must be a whole number of 0 or more, got {value!r}")
        return int(value)
