"""The operators of the book, each a small frozen dataclass: see `Compressor` for what they share."""

from .base import Compressor
from .compose import Composition, Induced, Scaled
from .dithering import ExponentialDithering, NaturalDithering, StandardDithering, Ternary
from .lowrank import PowerSGD
from .rounding import BiasedRounding, NaturalCompression, UnbiasedRounding
from .sign import ScaledSign, Sign
from .sparsify import AdaptiveSparsification, Identity, RandK, RandomSparsification, TopK

__all__ = [
    "AdaptiveSparsification",
    "BiasedRounding",
    "Composition",
    "Compressor",
    "ExponentialDithering",
    "Identity",
    "Induced",
    "NaturalCompression",
    "NaturalDithering",
    "PowerSGD",
    "RandK",
    "RandomSparsification",
    "Scaled",
    "ScaledSign",
    "Sign",
    "StandardDithering",
    "Ternary",
    "TopK",
    "UnbiasedRounding",
]
