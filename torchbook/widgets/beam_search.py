"""BeamSearch: a trained encoder-decoder writes in the browser, and the tree of its hypotheses is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import traitlets

from .base import Widget
from .checks import number, one_of, whole
from .packing import packed

# The browser's half holds the same names and limits.
RULES = ("power", "gnmt", "bonus")
WIDTHS = (1, 8)
STRENGTHS = (0.0, 2.0)
SPECIAL = 3  # ids 0, 1 and 2 are <pad>, <bos> and <eos>
LARGEST = 30_000.0  # half of what 16 bits hold: two biases are added
CELL = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")


def _tokens(name: str, tokens: Sequence[str]) -> list[str]:
    if isinstance(tokens, str) or len(tokens) <= SPECIAL or len(set(tokens)) < len(tokens):
        raise ValueError(f"{name} must be a list of different tokens that begins with <pad>, <bos> and <eos>")
    return [str(token) for token in tokens]


def _arrays(weights: Mapping[str, object], num_source: int, num_target: int) -> dict[str, np.ndarray]:
    """The arrays of `Seq2Seq.state_dict()`, with their shapes checked."""
    arrays = {}
    cells = [f"{part}.{each}" for part in ("encoder", "decoder") for each in CELL]
    for name in ("source.weight", "target.weight", "head.weight", "head.bias", *cells):
        if name not in weights:
            raise ValueError(f"weights must hold {name!r}: pass the state_dict() of the chapter's Seq2Seq")
        value = weights[name]
        arrays[name] = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value, dtype=np.float64)
    hidden = arrays["head.weight"].shape[-1]
    wanted = {"source.weight": (num_source, None), "target.weight": (num_target, None)}
    wanted |= {"head.weight": (num_target, hidden), "head.bias": (num_target,)}
    for part, vectors in (("encoder", "source.weight"), ("decoder", "target.weight")):
        shapes = ((4 * hidden, arrays[vectors].shape[-1]), (4 * hidden, hidden), (4 * hidden,), (4 * hidden,))
        wanted |= {f"{part}.{each}": shape for each, shape in zip(CELL, shapes, strict=True)}
    for name, shape in wanted.items():
        got = arrays[name].shape
        if len(got) != len(shape) or any(b is not None and a != b for a, b in zip(got, shape, strict=True)):
            need = " x ".join("any" if size is None else str(size) for size in shape)
            raise ValueError(f"{name} must have the shape {need} of an LSTM's Seq2Seq, got {tuple(got)}")
        if not (np.abs(arrays[name]) <= LARGEST).all():  # NaN is not, either
            raise ValueError(f"{name} holds values that are not finite, or too large for 16 bits")
    return arrays


def pack(weights: Mapping[str, np.ndarray]) -> dict[str, dict[str, object]]:
    """Each array as its shape and its 16-bit floats, little-endian, in base64; the two biases of a cell are one."""
    merged = {name: value for name, value in weights.items() if "bias_" not in name}
    for part in ("encoder", "decoder"):
        merged[f"{part}.bias"] = weights[f"{part}.bias_ih_l0"] + weights[f"{part}.bias_hh_l0"]
    return {name: {"shape": list(value.shape), "data": packed(value, "<f2")} for name, value in merged.items()}


class BeamSearch(Widget):
    """Beam search over a trained encoder-decoder, hypothesis by hypothesis, with what was pruned.

    The network runs in the browser: embeddings, an LSTM encoder, an LSTM decoder and a linear head, with weights of
    16 bits. At each step the `width` best continuations are kept; one that ends with <eos> is finished, and its place
    stays empty. The finished ones are ranked by S / m^a ("power"), by S / ((5 + m) / 6)^a ("gnmt", Wu et al. 2016)
    or by S + a m ("bonus"), with a = `strength` and m tokens, <eos> included. A best-first search finds the most
    probable output of all, for comparison.

    Args:
        weights: the state_dict() of a `Seq2Seq` with `source`, `target`, `encoder`, `decoder` and `head`.
        source_tokens: the source vocabulary, <pad>, <bos>, <eos> first, then single characters.
        target_tokens: the target vocabulary, with the same first three.
        text: the first source; the reader may type another one.
        width: hypotheses in the beam, 1 to 8.
        rule: one of `RULES`.
        strength: of the correction, 0 to 2.
        longest: the largest number of tokens in an output, 2 to 16.
        source_length: shorter sources are padded on the left to this length, 1 to 12.
        title: the line above the figure.

    Raises ValueError for arguments that do not fit.
    """

    weights = traitlets.Dict().tag(sync=True)
    source_tokens = traitlets.List(traitlets.Unicode()).tag(sync=True)
    target_tokens = traitlets.List(traitlets.Unicode()).tag(sync=True)
    text = traitlets.Unicode().tag(sync=True)
    width = traitlets.Int(2).tag(sync=True)
    rule = traitlets.Enum(RULES, "power").tag(sync=True)
    strength = traitlets.Float(0.0).tag(sync=True)
    step = traitlets.Int(16).tag(sync=True)
    longest = traitlets.Int(12).tag(sync=True)
    source_length = traitlets.Int(4).tag(sync=True)
    title = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        weights: Mapping[str, object],
        source_tokens: Sequence[str],
        target_tokens: Sequence[str],
        text: str,
        *,
        width: int = 2,
        rule: str = "power",
        strength: float = 0.0,
        longest: int = 12,
        source_length: int = 4,
        title: str = "Beam search, live",
    ) -> None:
        source, target = _tokens("source_tokens", source_tokens), _tokens("target_tokens", target_tokens)
        size = whole("source_length", source_length, 1, 12)
        signs = source[SPECIAL:]
        if not isinstance(text, str) or not 1 <= len(text) <= size or set(text) - set(signs):
            raise ValueError(f"text must be 1 to {size} of the characters {''.join(signs)}, got {text!r}")
        last = whole("longest", longest, 2, 16)
        super().__init__(
            weights=pack(_arrays(weights, len(source), len(target))),
            source_tokens=source,
            target_tokens=target,
            text=text,
            width=whole("width", width, *WIDTHS),
            rule=one_of("rule", rule, RULES),
            strength=number("strength", strength, *STRENGTHS),
            step=last,
            longest=last,
            source_length=size,
            title=title,
        )
