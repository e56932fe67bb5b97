"""What runs inside a student's kernel: seeded inputs, and the way in which answers leave.

    from torchbook.exercises import answer, cases, draws

    @draws("Q1")
    def sizes(rng):                        # rng: random.Random, seeded per question
        return [(rng.randint(8, 64), rng.choice([1, 3, 5])) for _ in range(10)]

    answer([conv_output_size(*case) for case in cases("Q1")])

Inputs come from the seed in the environment variable TORCHBOOK_SEED, or from the public seed 0. Expected
values are never here: the grader computes them from its own key, in another process, and compares there. So
nothing in this module has to be protected from the code that it serves.
"""

from __future__ import annotations

import math
import os
import random
import sys
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from numbers import Integral, Real
from typing import Any

from torchbook.exercise_asserts import explain_asserts, short

ANSWER_MIME = "application/vnd.torchbook.answer+json"
PUBLIC_SEED = 0
MAX_DEPTH = 32
MAX_VALUES = 200_000

_generators: dict[str, Callable[[random.Random], Any]] = {}


# ---------------------------------------------------------------- inputs


def draws(name: str) -> Callable[[Callable[[random.Random], Any]], Callable[[random.Random], Any]]:
    """Declare the generator of a question's inputs; a decorator for the setup cell of a notebook.

    The function takes a `random.Random` and returns the cases, usually a list. It must draw everything from
    that generator. For arrays and tensors, `numpy.random.default_rng(rng.getrandbits(64))` and
    `torch.Generator().manual_seed(rng.getrandbits(63))` follow the same seed.
    """
    if not isinstance(name, str):
        raise TypeError(f'draws() needs the name of a question: @draws("Q1"), not @draws({name!r})')

    def declare(generator: Callable[[random.Random], Any]) -> Callable[[random.Random], Any]:
        _generators[name] = generator
        return generator

    explain_asserts()  # here, not at import: the module may be imported before the shell exists
    return declare


def cases(name: str) -> Any:
    """The inputs of a question, drawn anew on each call: the same seed always gives the same cases.

    Raises LookupError where no generator was declared, which mostly means that the setup cell has not run.
    """
    if name not in _generators:
        known = ", ".join(sorted(_generators)) or "none yet"
        raise LookupError(f"No cases are declared for {name!r} (declared: {known}). Run the setup cell.")
    return _generators[name](random.Random(f"{seed()}/{name}"))


def seed() -> int:
    """The seed of all cases: TORCHBOOK_SEED, or 0, the public seed."""
    text = os.environ.get("TORCHBOOK_SEED", str(PUBLIC_SEED))
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"TORCHBOOK_SEED must be a whole number, not {text!r}") from None


# ---------------------------------------------------------------- answers


def answer(value: Any) -> None:
    """Send `value` to the grader, and show it in short. Call it once, at the end of a check cell.

    Takes None, numbers, strings, tensors, arrays, and lists, tuples, sets and dicts of them.
    """
    payload = {"value": encode(value)}
    text = f"answer: {short(value)}"
    try:
        from IPython import get_ipython
        from IPython.display import display
    except ImportError:
        print(text)
        return
    if get_ipython() is None:
        print(text)
        return
    display({ANSWER_MIME: payload, "text/plain": text}, raw=True)


def encode(value: Any) -> Any:
    """Turn `value` into strict JSON: what JSON cannot say becomes an object with one key that starts with $.

    `{"$float": "nan" | "inf" | "-inf"}`, `{"$complex": [re, im]}`, `{"$dict": [[key, value], ...]}`,
    `{"$set": [...]}`, and `{"$array": {"shape", "dtype", "data"}}` with the elements in row-major order.
    Tuples become lists.
    Raises TypeError for what has no such form, and ValueError for a value that is too deep or too large.
    """
    return _Encoder().encode(value, 0)


class _Encoder:
    def __init__(self) -> None:
        self.count = 0

    def encode(self, value: Any, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise ValueError(f"answer() takes at most {MAX_DEPTH} levels of lists in lists")
        self._grow(1)
        if value is None or isinstance(value, (bool, str)):
            return _text(value) if isinstance(value, str) else value
        if isinstance(value, (Real, complex)):
            return _number(value)
        if _is_tensor(value):
            return self._array(_tensor_to_numpy(value))
        if hasattr(value, "__array__") and hasattr(value, "dtype"):
            return self._array(value)
        return self._container(value, depth + 1)

    def _container(self, value: Any, depth: int) -> Any:
        if isinstance(value, Mapping):
            return {"$dict": [[self.encode(k, depth), self.encode(v, depth)] for k, v in value.items()]}
        if isinstance(value, AbstractSet):
            # Sorted, so that the same set gives the same bytes whatever the hash seed.
            return {"$set": sorted((self.encode(item, depth) for item in value), key=repr)}
        if isinstance(value, (list, tuple, range)):
            return [self.encode(item, depth) for item in value]
        raise TypeError(
            f"answer() cannot send a {type(value).__name__}: "
            "use numbers, strings, tensors, arrays, or lists, tuples, sets and dicts of them"
        )

    def _array(self, value: Any) -> Any:
        import numpy as np

        array = np.asarray(value)
        if array.dtype.kind not in "biufcU":
            raise TypeError(f"answer() cannot send an array of {array.dtype}, only of numbers, booleans, text")
        self._grow(array.size)
        scalars = array.ravel().tolist()
        if array.ndim == 0:
            return self.encode(scalars[0], 0)
        data = [item if isinstance(item, (bool, str)) else _number(item) for item in scalars]
        return {"$array": {"shape": list(array.shape), "dtype": str(array.dtype), "data": data}}

    def _grow(self, count: int) -> None:
        self.count += count
        if self.count > MAX_VALUES:
            raise ValueError(f"answer() takes at most {MAX_VALUES:,} values; send fewer")


def _is_tensor(value: Any) -> bool:
    torch = sys.modules.get("torch")  # a tensor can exist only where torch was imported
    return torch is not None and isinstance(value, torch.Tensor)


def _tensor_to_numpy(tensor: Any) -> Any:
    tensor = tensor.detach().cpu()
    if tensor.layout is not sys.modules["torch"].strided:
        tensor = tensor.to_dense()
    if str(tensor.dtype) in {"torch.bfloat16", "torch.float16"}:
        tensor = tensor.float()
    return tensor.resolve_conj().resolve_neg().numpy()


def _number(value: Any) -> Any:
    if isinstance(value, Integral):
        number = int(value)
        if number.bit_length() > 1024:
            raise ValueError("answer() takes integers of at most 1,024 bits")
        return number
    if isinstance(value, Real):
        number = float(value)
        return number if math.isfinite(number) else {"$float": str(number)}
    return {"$complex": [_number(value.real), _number(value.imag)]}


def _text(value: str) -> str:
    # A lone surrogate has no UTF-8 form, and the message that carries the answer is UTF-8.
    return value.encode("utf-8", "replace").decode("utf-8")
