"""Operators that round each coordinate to a level (Beznosikov et al. 2023, §2.2 (e)–(g))."""

from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from math import ceil, floor, log

import torch
from torch import Tensor

from .. import formulas, wire
from ..classes import B1, B2, B3
from ..formulas import exact
from ..randomness import integers, uniform
from .base import Compressor, require, unbiased_classes, vectors, with_b3

Levels = float | tuple[float, ...]


def check_levels(levels: Levels) -> None:
    """Refuse a base ≤ 1, or a period that is not a strictly increasing tuple of positive numbers."""
    if isinstance(levels, tuple):
        increasing = len(levels) >= 2 and levels[0] > 0 and all(a < b for a, b in pairwise(levels))
        require(increasing, f"levels must be at least two strictly increasing positive numbers, got {levels}")
    else:
        require(isinstance(levels, (int, float)) and levels > 1, f"levels must be a base b > 1, got {levels!r}")


def worst_ratio(levels: Levels):
    """The largest ratio of neighbouring levels, exact."""
    if not isinstance(levels, tuple):
        return exact(levels)
    return formulas.largest(*(exact(b) / exact(a) for a, b in pairwise(levels)))


@cache
def level_table(levels: Levels, dtype: torch.dtype) -> Tensor:
    """All levels that are normal numbers of `dtype`, increasing, with 0 before them.

    A base b stands for …, b⁻¹, 1, b, …; a tuple (a₀, …, aₘ) for one period of a sequence that repeats with the factor
    aₘ/a₀, as the significands of a floating-point format do: (1, 1.25, 1.5, 1.75, 2) are those of a two-bit mantissa.
    """
    period = levels if isinstance(levels, tuple) else (1.0, float(levels))
    factor, limits = period[-1] / period[0], torch.finfo(dtype)
    low = floor((log(limits.tiny) - log(period[0])) / log(factor)) - 1
    high = ceil((log(limits.max) - log(period[0])) / log(factor)) + 1
    powers = torch.tensor(factor, dtype=torch.float64) ** torch.arange(low, high + 1, dtype=torch.float64)
    table = (powers[:, None] * torch.tensor(period[:-1], dtype=torch.float64)).flatten()
    table = table[(table >= limits.tiny) & (table <= limits.max)].to(dtype)
    require(bool((table[1:] > table[:-1]).all()), f"levels {levels} are too close together for {dtype}")
    return torch.cat([torch.zeros(1, dtype=dtype), table])


@dataclass(frozen=True)
class _Rounding(Compressor):
    """Rounding of |xᵢ| to a neighbouring level; the sign is kept. What is sent is the level's number and the sign.

    Floating-point numbers have a smallest level a_min, so the last cell is [0, a_min]: there, and only there, the
    constants of the lemmas do not hold.
    """

    levels: Levels = 2.0
    keeps_support = True

    def __post_init__(self):
        check_levels(self.levels)

    def cell(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The number of the level below each |xᵢ|, that level, and the one above."""
        table = level_table(self.levels, x.dtype).to(x.device)
        size = x.abs()
        require(bool((size <= table[-1]).all()), f"x must not exceed the largest level {float(table[-1]):.6g} "
                                                 f"of {x.dtype}, got {float(size.max()):.6g}")
        below = (torch.bucketize(size, table, right=True) - 1).clamp_max(len(table) - 2)
        return below, table[below], table[below + 1]

    def receive(self, parts, d, dtype):
        symbols = parts["symbols"]
        table = level_table(self.levels, dtype).to(symbols.device)
        middle = len(table) - 1
        return table[(symbols - middle).abs()] * (symbols - middle).sign()

    def symbols(self, x: Tensor, number: Tensor) -> dict[str, Tensor]:
        """The message: level numbers with a sign, shifted to start at zero."""
        return {"symbols": number * x.sign().long() + len(level_table(self.levels, x.dtype)) - 1}

    def fields(self, d, dtype):
        return {"symbols": wire.Symbols(d, 2 * len(level_table(self.levels, dtype)) - 1)}


@dataclass(frozen=True)
class UnbiasedRounding(_Rounding):
    """General unbiased rounding: up or down to a neighbouring level, at random so that the mean is kept.

    C ∈ U((ρ + 1)²/(4ρ)) with ρ the largest ratio of neighbouring levels. Beznosikov et al. 2023, (12) and Lemma 12;
    chapter `compressors`, lem-unbiased-rounding.

    Parameters
    ----------
    levels : float or tuple of floats
        A base b > 1 for the levels bᵏ, or one period of levels (see `level_table`).

    Examples
    --------
    >>> UnbiasedRounding(2.0).membership(3)[0]
    Unbiased(zeta=9/8)
    >>> UnbiasedRounding((1.0, 1.25, 1.5, 1.75, 2.0)).membership(3)[0]
    Unbiased(zeta=81/80)
    """

    unbiased = True

    def send(self, x, generator=None):
        number, low, high = self.cell(x)
        up = uniform(x.shape, x, generator) < (x.abs() - low) / (high - low)
        return self.symbols(x, number + up)

    def moments(self, x):
        x = vectors(x)
        _, low, high = self.cell(x)
        size = x.abs()
        return x.clone(), x.square() + (size - low) * (high - size)

    def membership(self, d):
        return unbiased_classes(formulas.unbiased_rounding_zeta(rho=worst_ratio(self.levels)))


@dataclass(frozen=True)
class BiasedRounding(_Rounding):
    """General biased rounding: to the nearest level, the lower one of two equally near.

    C ∈ B¹(γ², β), B²(γ, β), B³(δ) with β = 2ρ/(ρ + 1), γ = 2/(ρ + 1), δ = (ρ + 1)²/(4ρ), ρ the largest ratio of
    neighbouring levels. Beznosikov et al. 2023, (13) and Lemma 13; chapter `compressors`, lem-biased-rounding.

    Parameters
    ----------
    levels : float or tuple of floats
        A base b > 1 for the levels bᵏ, or one period of levels (see `level_table`).

    Examples
    --------
    >>> BiasedRounding(2.0)(torch.tensor([1.4, -1.6, 3.0]))
    tensor([ 1., -2.,  2.])
    """

    deterministic = True

    def send(self, x, generator=None):
        number, low, high = self.cell(x)
        return self.symbols(x, number + (high - x.abs() < x.abs() - low))

    def membership(self, d):
        ratio = worst_ratio(self.levels)
        beta, gamma = formulas.biased_rounding_beta(rho=ratio), formulas.biased_rounding_gamma(rho=ratio)
        first = B1(formulas.biased_rounding_alpha(rho=ratio), beta)
        return with_b3(B2(gamma, beta), first, B3(formulas.biased_rounding_delta(rho=ratio)))


@dataclass(frozen=True)
class NaturalCompression(Compressor):
    """Natural compression: unbiased rounding to powers of two, by integer arithmetic on the bits of the numbers.

    A uniform integer of as many bits as the mantissa has (23 or 52) is added to the representation, and the mantissa is
    cleared: a carry moves the exponent up with exactly the right probability. C ∈ U(9/8). Horváth et al. 2022;
    Beznosikov et al. 2023, §2.2 (g); chapter `compressors`, lem-natural. Sends the sign and the exponent: 9 bits a
    coordinate for float32, 12 for float64. Subnormal numbers are rounded, still unbiased, to 0 or the smallest normal
    number: there ζ = 9/8 does not hold.

    Examples
    --------
    >>> NaturalCompression()(torch.tensor([0.5, -4.0, 0.0]))
    tensor([ 0.5000, -4.0000,  0.0000])
    >>> NaturalCompression().bits(1000)
    9000.0
    """

    unbiased = keeps_support = True

    @staticmethod
    def layout(dtype: torch.dtype) -> tuple[torch.dtype, int, int]:
        """The integer type of the same width, the mantissa's bits, and the bits above the mantissa."""
        return (torch.int32, 23, 9) if dtype == torch.float32 else (torch.int64, 52, 12)

    def send(self, x, generator=None):
        whole, mantissa, _ = self.layout(x.dtype)
        top = 2.0 ** (127 if x.dtype == torch.float32 else 1023)
        require(bool((x.abs() <= top).all()), f"x must not exceed {top:.6g}, the largest power of two of {x.dtype}, "
                                              f"got {float(x.abs().max()):.6g}")
        noise = integers(1 << mantissa, x.shape, x.device, generator).to(whole)
        return {"symbols": ((x.contiguous().view(whole) + noise) >> mantissa).long() & self.symbols_of(x.dtype) - 1}

    def receive(self, parts, d, dtype):
        whole, mantissa, above = self.layout(dtype)
        symbols = parts["symbols"]
        signed = torch.where(symbols >= 1 << (above - 1), symbols - (1 << above), symbols)  # the sign bit
        return (signed.to(whole) << mantissa).view(dtype)

    def symbols_of(self, dtype: torch.dtype) -> int:
        """How many different symbols a coordinate can send."""
        return 1 << self.layout(dtype)[2]

    def fields(self, d, dtype):
        return {"symbols": wire.Symbols(d, self.symbols_of(dtype))}

    def moments(self, x):
        return UnbiasedRounding(2.0).moments(x)

    def membership(self, d):
        return UnbiasedRounding(2.0).membership(d)
