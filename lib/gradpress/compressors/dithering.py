"""Operators that send a norm, and a level in units of it for each coordinate (Beznosikov et al. 2023, §2.2 (h)–(j))."""

from dataclasses import dataclass, field
from math import inf

import sympy as sp
import torch
from torch import Tensor

from .. import formulas, wire
from ..formulas import exact, largest
from ..randomness import uniform
from .base import Compressor, count, norm_order, require, unbiased_classes, vectors


@dataclass(frozen=True)
class Dithering(Compressor):
    """Unbiased rounding of |xᵢ|/‖x‖_p to levels 0 = l₀ < l₁ < … < l_s = 1; C(x)ᵢ = ‖x‖_p sign(xᵢ) l.

    Subclasses give the levels and their constants. The message is the norm and one of 2s + 1 symbols a coordinate.
    """

    unbiased = keeps_support = True

    def table(self, dtype: torch.dtype) -> Tensor:
        """The levels l₀, …, l_s, shape (s + 1,)."""
        raise NotImplementedError

    def norm(self, x: Tensor) -> Tensor:
        """‖x‖_p of each vector, shape (…, 1), computed from x/max|xᵢ| so that no power under- or overflows."""
        top = x.abs().amax(-1, keepdim=True)
        if self.p == inf:
            return top
        unit = x / torch.where(top > 0, top, 1.0)
        norm = top * torch.linalg.vector_norm(unit, self.p, dim=-1, keepdim=True)
        require(bool(torch.isfinite(norm).all()), f"x must have a {self.p}-norm that {x.dtype} can hold, got infinity")
        return norm

    def cell(self, x: Tensor, norm: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """t = |xᵢ|/‖x‖_p, the number of the level below it, that level, and the one above."""
        table = self.table(x.dtype).to(x.device)
        t = (x / torch.where(norm > 0, norm, 1.0)).abs().clamp_max(1.0)
        below = (torch.bucketize(t, table, right=True) - 1).clamp_max(len(table) - 2)
        return t, below, table[below], table[below + 1]

    def send(self, x, generator=None):
        norm = self.norm(x)
        t, number, low, high = self.cell(x, norm)
        number = number + (uniform(x.shape, x, generator) < (t - low) / (high - low))
        return {"norm": norm, "symbols": number * x.sign().long() + len(self.table(x.dtype)) - 1}

    def receive(self, parts, d, dtype):
        table = self.table(dtype).to(parts["symbols"].device)
        signed = parts["symbols"] - len(table) + 1
        return parts["norm"] * table[signed.abs()] * signed.sign()

    def fields(self, d, dtype):
        return {"norm": wire.Floats((1,), dtype), "symbols": wire.Symbols(d, 2 * len(self.table(dtype)) - 1)}

    def moments(self, x):
        x = vectors(x)
        norm = self.norm(x)
        t, _, low, high = self.cell(x, norm)
        return x.clone(), x.square() + norm.square() * ((t - low) * (high - t))

    def membership(self, d):
        return unbiased_classes(self.zeta(d))

    def zeta(self, d: int):
        """The constant of U(ζ) on ℝᵈ: the exact supremum for p = ∞, and for p ≤ 2 once τ ≥ 2z."""
        if d == 1:  # |x|/‖x‖_p = 1 is a level
            return sp.Integer(1)
        if self.p == inf:
            return self.zeta_max_norm(d)
        return formulas.dithering_zeta(tau=self.tau(d), z=self.ratio_constant())

    def tau(self, d: int):
        """τ = d^(1/min(p, 2)) u₀, with u₀ = l₁ the lowest positive level."""
        return formulas.dithering_tau(d=d, p=self.p, u_0=self.lowest())

    def lowest(self):
        """u₀ = l₁, exact."""
        raise NotImplementedError

    def ratio_constant(self):
        """z: what rounding between the positive levels costs at most, E ξ² ≤ z t² for t ≥ u₀."""
        raise NotImplementedError

    def zeta_max_norm(self, d: int):
        """The exact supremum for p = ∞ (prop-dithering-max-norm)."""
        return formulas.dithering_zeta_max_bottom(d=d, u_0=self.lowest())


@dataclass(frozen=True)
class ExponentialDithering(Dithering):
    """General exponential dithering: levels 0, b^(1−s), …, b⁻¹, 1 in units of ‖x‖_p.

    Beznosikov et al. 2023, (14) and Lemma 15, with the bottom cell [0, b^(1−s)] that its proof uses, and with this
    book's smaller constant (prop-dithering-sharp; exact for p = ∞, prop-dithering-max-norm).

    Parameters
    ----------
    base : float
        b > 1.
    s : int
        Number of positive levels.
    p : float
        Order of the norm, in [1, ∞].

    Examples
    --------
    >>> ExponentialDithering(base=2.0, s=1, p=2).membership(9)[0]
    Unbiased(zeta=3)
    >>> ExponentialDithering(base=2.0, s=2, p=float("inf")).membership(5)[0]
    Unbiased(zeta=1/2 + sqrt(2)/2)
    """

    base: float
    s: int
    p: float = inf

    def __post_init__(self):
        require(isinstance(self.base, (int, float)) and 1 < self.base < inf, f"base must exceed 1, got {self.base!r}")
        count("s", self.s)
        norm_order(self.p)
        lowest = float(self.base) ** (1 - self.s)
        require(lowest >= torch.finfo(torch.float32).tiny, f"s must leave the lowest level representable, got {self.s}")

    def table(self, dtype):
        powers = torch.arange(1 - self.s, 1, dtype=torch.float64)
        return torch.cat([torch.zeros(1, dtype=torch.float64), float(self.base) ** powers]).to(dtype)

    def lowest(self):
        return formulas.exponential_u0(b=self.base, s=self.s)

    def ratio_constant(self):
        return formulas.unbiased_rounding_zeta(rho=exact(self.base))

    def zeta(self, d):
        if self.s == 1 and self.p != inf and d > 1:  # one cell alone: E‖C(x)‖² = ‖x‖_p ‖x‖₁
            return self.tau(d)
        return super().zeta(d)

    def zeta_max_norm(self, d):
        bottom = super().zeta_max_norm(d)
        if self.s == 1:
            return bottom
        return largest(bottom, formulas.dithering_zeta_max_top(b=self.base, d=d, z=self.ratio_constant()))


@dataclass(frozen=True)
class NaturalDithering(ExponentialDithering):
    """Natural dithering: exponential dithering with base 2 (Horváth et al. 2022; Beznosikov et al. 2023, §2.2 (i)).

    Examples
    --------
    >>> NaturalDithering(s=8, p=2)(torch.tensor([3.0, 0.0])).tolist()
    [3.0, 0.0]
    """

    base: float = field(default=2.0, init=False, repr=False)
    s: int = 4


@dataclass(frozen=True)
class Ternary(ExponentialDithering):
    """Ternary quantisation: one positive level, C(x)ᵢ ∈ {−‖x‖_p, 0, ‖x‖_p} (Wen et al. 2017, with p = ∞).

    ζ = (1 + √d)/2 for p = ∞ and √d for p = 2, both attained; the base plays no part. Chapter `compressors`.

    Examples
    --------
    >>> Ternary().membership(9)[0], Ternary(p=2).membership(9)[0]
    (Unbiased(zeta=2), Unbiased(zeta=3))
    """

    base: float = field(default=2.0, init=False, repr=False)
    s: int = field(default=1, init=False, repr=False)


@dataclass(frozen=True)
class StandardDithering(Dithering):
    """Standard (random) dithering, the quantiser of QSGD: levels 0, 1/s, …, 1 in units of ‖x‖_p.

    Alistarh et al. 2017; the constant is this book's (prop-dithering-sharp with z = 1), smaller than theirs.

    Parameters
    ----------
    s : int
        Number of positive levels.
    p : float
        Order of the norm, in [1, ∞].

    Examples
    --------
    >>> StandardDithering(s=2).membership(64)[0]
    Unbiased(zeta=4)
    """

    s: int
    p: float = 2

    def __post_init__(self):
        count("s", self.s)
        norm_order(self.p)

    def table(self, dtype):
        return (torch.arange(self.s + 1, dtype=torch.float64) / self.s).to(dtype)

    def lowest(self):
        return formulas.standard_u0(s=self.s)

    def ratio_constant(self):
        return sp.Integer(1)
