"""The operators as the explorers know them: a name, a label, the parameters that a reader sets, and the compressor."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from math import inf

from .. import compressors as c

# What the sliders and menus offer; p is a norm, q a probability. JSON has no infinity, so that ∞ travels as "inf".
GRID = {
    "k": tuple(range(1, 11)),
    "q": tuple(round(0.05 * i, 2) for i in range(1, 21)),
    "b": tuple(round(1.25 + 0.25 * i, 2) for i in range(28)),
    "s": tuple(range(1, 9)),
    "p": (1, 2, inf),
}


@dataclass(frozen=True)
class Operator:
    """One entry of the menus.

    Attributes
    ----------
    label : str
        What the menu says.
    parameters : tuple of str
        The keys of `GRID` that the reader sets.
    make : callable
        The compressor, from those parameters by keyword.
    bits_by : tuple of str
        The parameters that the length of a message depends on.
    """

    label: str
    parameters: tuple[str, ...]
    make: Callable[..., c.Compressor]
    bits_by: tuple[str, ...] = ()


def _top_k_dithering(k, b, s, p):
    return c.Composition(outer=c.ExponentialDithering(b, s, p), inner=c.TopK(k))


OPERATORS = {
    "identity": Operator("identity", (), c.Identity),
    "rand-k": Operator("Rand-k", ("k",), lambda k: c.RandK(k), ("k",)),
    "random-sparsification": Operator(
        "random sparsification", ("q",), lambda q: c.RandomSparsification(q), ("q",)
    ),
    "adaptive-sparsification": Operator("adaptive sparsification", (), c.AdaptiveSparsification),
    "top-k": Operator("Top-k", ("k",), lambda k: c.TopK(k), ("k",)),
    "unbiased-rounding": Operator("unbiased rounding", ("b",), lambda b: c.UnbiasedRounding(b), ("b",)),
    "biased-rounding": Operator("biased rounding", ("b",), lambda b: c.BiasedRounding(b), ("b",)),
    "natural-compression": Operator("natural compression", (), c.NaturalCompression),
    "exponential-dithering": Operator(
        "exponential dithering", ("b", "s", "p"), lambda b, s, p: c.ExponentialDithering(b, s, p), ("s",)
    ),
    "standard-dithering": Operator(
        "standard dithering", ("s", "p"), lambda s, p: c.StandardDithering(s, p), ("s",)
    ),
    "ternary": Operator("ternary quantisation", ("p",), lambda p: c.Ternary(p=p)),
    "sign": Operator("sign", (), c.Sign),
    "scaled-sign": Operator("scaled sign", (), c.ScaledSign),
    "top-k-dithering": Operator(
        "Top-k, then exponential dithering", ("k", "b", "s", "p"), _top_k_dithering, ("k", "s")
    ),
}


def bits_table(operator: Operator, d: int) -> dict[str, float]:
    """Bits of a message for one vector of d coordinates, as the library packs it, for every setting that changes them.

    The keys are the values of `bits_by`, joined by commas; the other parameters are taken from the middle of their
    range, since they do not change the length (a test checks this).
    """
    others = {name: 2 for name in operator.parameters if name not in operator.bits_by}
    lengths = {}
    for values in product(*(GRID[name] for name in operator.bits_by)):
        setting = dict(zip(operator.bits_by, values, strict=True))
        lengths[",".join(f"{value:g}" for value in values)] = operator.make(**others, **setting).bits(d)
    return lengths


def menu(d: int) -> dict:
    """The catalogue as the script reads it, with the lengths of messages for vectors of d coordinates."""
    return {name: _entry(operator, d) for name, operator in OPERATORS.items()}


def _entry(operator: Operator, d: int) -> dict:
    example = operator.make(**{name: GRID[name][1] for name in operator.parameters})
    return {
        "label": operator.label,
        "parameters": operator.parameters,
        "unbiased": example.unbiased,
        "deterministic": example.deterministic,
        "bits_by": operator.bits_by,
        "bits": bits_table(operator, d),
    }
