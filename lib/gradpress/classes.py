"""The four classes of compressors, the arrows between them, and what a sample says of an operator.

At a vector x ≠ 0 an operator C is a point of the plane of the two *moments* ::

    m₁ = ⟨E C(x), x⟩ / ‖x‖²        m₂ = E ‖C(x)‖² / ‖x‖²

and each class is a region of that plane (chapter `classes`). The constants may be Python numbers, SymPy numbers or
SymPy symbols; with symbols, the conversions return the formulas of Theorems 6 and 7 of Beznosikov et al. 2023.
"""

from dataclasses import dataclass, fields
from typing import NamedTuple

import sympy as sp
import torch

from . import formulas
from .formulas import exact


def _positive(value, name: str = "scale") -> sp.Expr:
    """The exact number, or the symbol; refused unless it can be positive and finite."""
    if isinstance(value, float) and not 0 < value < float("inf"):
        raise ValueError(f"{name} must be positive and finite, got {value}")
    value = exact(value)
    if value.is_number and not bool(0 < value < sp.oo):
        raise ValueError(f"{name} must be positive and finite, got {value}")
    return value


@dataclass(frozen=True)
class _Class:
    """Constants made exact on the way in; refused where no operator could have them."""

    def __post_init__(self):
        for field in fields(self):
            object.__setattr__(self, field.name, _positive(getattr(self, field.name), field.name))

    def _require(self, condition, sentence: str):
        if condition == sp.false:
            raise ValueError(f"{sentence}, got {self}")

    def contains(self, m1, m2, tolerance: float = 0.0):
        """Whether the point (m₁, m₂) lies in the class, up to `tolerance` in each inequality; arrays give arrays."""
        return self.excess(m1, m2) <= tolerance


class Converted(NamedTuple):
    """A class and the scaling under which the operator belongs to it: `scale`·C ∈ `member`."""

    member: _Class
    scale: sp.Expr


def _largest(first, *others):
    """The entrywise maximum of floats, NumPy arrays or tensors."""
    result = first
    for other in others:
        result = result + (other - result) * (other > result)
    return result


@dataclass(frozen=True)
class Unbiased(_Class):
    """U(ζ): E C(x) = x and E‖C(x)‖² ≤ ζ‖x‖² (Beznosikov et al. 2023, Definition 1; chapter `classes`, def-unbiased).

    Examples
    --------
    >>> Unbiased(5).to_b3(scale=formulas.exact(1) / 5)
    Converted(member=B3(delta=5), scale=1/5)
    """

    zeta: sp.Expr

    def __post_init__(self):
        super().__post_init__()
        self._require(self.zeta >= 1, "zeta must be at least 1")

    @property
    def omega(self) -> sp.Expr:
        """The variance constant ω = ζ − 1: E‖C(x) − x‖² ≤ ω‖x‖²."""
        return self.zeta - 1

    def excess(self, m1, m2):
        """By how much the worst inequality fails (≤ 0 inside). Of E C(x) = x only its trace m₁ = 1 is seen."""
        return _largest(m2 - float(self.zeta), m1 - 1, 1 - m1)

    def to_b1(self, scale=1) -> Converted:
        """λC ∈ B¹(λ², λζ) for every λ > 0 (Theorem 7(i))."""
        scale = _positive(scale)
        return Converted(B1(scale**2, scale * self.zeta), scale)

    def to_b2(self, scale=1) -> Converted:
        """λC ∈ B²(λ, λζ) for every λ > 0 (Theorem 7(ii))."""
        scale = _positive(scale)
        return Converted(B2(scale, scale * self.zeta), scale)

    def to_b3(self, scale=None) -> Converted:
        """λC ∈ B³(1/(λ(2 − ζλ))) for ζλ < 2 (Theorem 7(iii)); by default λ = 1/ζ, where δ = ζ is smallest."""
        scale = 1 / self.zeta if scale is None else _positive(scale)
        self._require(scale * self.zeta < 2, f"a scale of {scale} is too large: zeta times scale must stay below 2")
        return Converted(B3(formulas.unbiased_to_b3_delta(lam=scale, zeta=self.zeta)), scale)


@dataclass(frozen=True)
class B1(_Class):
    """B¹(α, β): α‖x‖² ≤ E‖C(x)‖² ≤ β⟨E C(x), x⟩ (Beznosikov et al. 2023, Definition 2; chapter `classes`, def-b1).

    Examples
    --------
    >>> B1(formulas.exact(1) / 4, 1).to_b3()
    Converted(member=B3(delta=4), scale=1)
    """

    alpha: sp.Expr
    beta: sp.Expr

    def __post_init__(self):
        super().__post_init__()
        self._require(self.beta**2 >= self.alpha, "beta squared must be at least alpha (Theorem 6, 1(i))")

    def excess(self, m1, m2):
        """By how much the worst inequality fails (≤ 0 inside)."""
        return _largest(float(self.alpha) - m2, m2 - float(self.beta) * m1)

    def scaled(self, scale) -> "B1":
        """λC ∈ B¹(λ²α, λβ) (Theorem 6, 1(i))."""
        return B1(_positive(scale) ** 2 * self.alpha, _positive(scale) * self.beta)

    def to_b2(self) -> Converted:
        """C ∈ B²(α/β, β) (Theorem 6, 1(ii))."""
        return Converted(B2(formulas.b1_to_b2_gamma(alpha=self.alpha, beta=self.beta), self.beta), sp.Integer(1))

    def to_b3(self) -> Converted:
        """C/β ∈ B³(β²/α) (Theorem 6, 1(ii))."""
        return Converted(B3(formulas.b1_to_b3_delta(alpha=self.alpha, beta=self.beta)), 1 / self.beta)

    @property
    def iterations(self) -> sp.Expr:
        """β²/α: iterations of compressed gradient descent in units of (L/μ) log(1/ε) (Table 1)."""
        return formulas.b1_iterations(alpha=self.alpha, beta=self.beta)


@dataclass(frozen=True)
class B2(_Class):
    """B²(γ, β): max(γ‖x‖², E‖C(x)‖²/β) ≤ ⟨E C(x), x⟩ (Beznosikov et al. 2023, Definition 4; `classes`, def-b2).

    Examples
    --------
    >>> B2(formulas.exact(1) / 4, formulas.exact(1) / 2).to_b3(scale=1)
    Converted(member=B3(delta=8/3), scale=1)
    """

    gamma: sp.Expr
    beta: sp.Expr

    def __post_init__(self):
        super().__post_init__()
        self._require(self.beta >= self.gamma, "beta must be at least gamma (Theorem 6, 2(i))")

    def excess(self, m1, m2):
        """By how much the worst inequality fails (≤ 0 inside)."""
        return _largest(float(self.gamma) - m1, m2 / float(self.beta) - m1)

    def scaled(self, scale) -> "B2":
        """λC ∈ B²(λγ, λβ) (Theorem 6, 2(i))."""
        return B2(_positive(scale) * self.gamma, _positive(scale) * self.beta)

    def to_b1(self) -> Converted:
        """C ∈ B¹(γ², β) (Theorem 6, 2(ii))."""
        return Converted(B1(formulas.b2_to_b1_alpha(gamma=self.gamma), self.beta), sp.Integer(1))

    def to_b3(self, scale=None) -> Converted:
        """λC ∈ B³(1/(λγ(2 − λβ))) for λβ < 2; by default λ = 1/β, where δ = β/γ is smallest (Theorem 6, 2(ii)).

        The statement for a general λ is this book's (chapter `classes`, thm-b2-to-b3); with γ = 1 it is Theorem 7(iii).
        """
        scale = 1 / self.beta if scale is None else _positive(scale)
        self._require(scale * self.beta < 2, f"a scale of {scale} is too large: beta times scale must stay below 2")
        delta = formulas.b2_to_b3_delta(beta=self.beta, gamma=self.gamma, lam=scale)
        return Converted(B3(delta), scale)

    @property
    def iterations(self) -> sp.Expr:
        """β/γ: iterations of compressed gradient descent in units of (L/μ) log(1/ε) (Table 1)."""
        return formulas.b2_iterations(beta=self.beta, gamma=self.gamma)


@dataclass(frozen=True)
class B3(_Class):
    """B³(δ): E‖C(x) − x‖² ≤ (1 − 1/δ)‖x‖² (Beznosikov et al. 2023, Definition 5; chapter `classes`, def-b3).

    Examples
    --------
    >>> B3(4).to_b1()
    Converted(member=B1(alpha=1/64, beta=2), scale=1)
    """

    delta: sp.Expr

    def __post_init__(self):
        super().__post_init__()
        self._require(self.delta >= 1, "delta must be at least 1 (Theorem 6, 3(i))")

    def excess(self, m1, m2):
        """By how much the inequality fails (≤ 0 inside): E‖C(x) − x‖²/‖x‖² = m₂ − 2m₁ + 1."""
        return m2 - 2 * m1 + 1 / float(self.delta)

    def to_b2(self) -> Converted:
        """C ∈ B²(1/(2δ), 2) (Theorem 6, 3(ii))."""
        return Converted(B2(formulas.b3_to_b2_gamma(delta=self.delta), 2), sp.Integer(1))

    def to_b2_sharp(self) -> Converted:
        """C ∈ B²(m₋, m₊) with m± = 1 ± √(1 − 1/δ): the best constants that δ alone allows.

        This book's (chapter `classes`, prop-b3-sharp); `to_b2` is what the source states.

        Examples
        --------
        >>> B3(formulas.exact(9) / 8).to_b2_sharp().member
        B2(gamma=2/3, beta=4/3)
        """
        low, high = formulas.b3_low_corner(delta=self.delta), formulas.b3_high_corner(delta=self.delta)
        return Converted(B2(low, high), sp.Integer(1))

    def to_b1(self) -> Converted:
        """C ∈ B¹(1/(4δ²), 2) (Theorem 6, 3(ii))."""
        return self.to_b2().member.to_b1()

    @property
    def iterations(self) -> sp.Expr:
        """δ: iterations of compressed gradient descent in units of (L/μ) log(1/ε) (Table 1)."""
        return formulas.b3_iterations(delta=self.delta)


def moments(compressor, x) -> tuple[torch.Tensor, torch.Tensor]:
    """The exact moments (m₁, m₂) of an operator at each vector of x, shape (…, d), from its closed forms.

    Raises `NotImplementedError` for an operator without closed forms; `estimate` samples those.

    Examples
    --------
    >>> from gradpress.compressors import RandK
    >>> moments(RandK(1), torch.tensor([3.0, 4.0], dtype=torch.float64))
    (tensor(1., dtype=torch.float64), tensor(2., dtype=torch.float64))
    """
    x = torch.as_tensor(x)
    mean, second = compressor.moments(x)
    energy = _energy(x)
    return (mean * x).sum(-1) / energy, second.sum(-1) / energy


def _energy(x: torch.Tensor) -> torch.Tensor:
    energy = x.square().sum(-1)
    if not bool((energy > 0).all()):
        raise ValueError("x must not hold a zero vector: the moments divide by its energy")
    return energy


class Interval(NamedTuple):
    """An estimate with its confidence interval; tensors of one entry per vector."""

    value: torch.Tensor
    low: torch.Tensor
    high: torch.Tensor


class Estimate(NamedTuple):
    """What a sample says of an operator at given vectors: its moments and the constants that they force."""

    m1: Interval
    m2: Interval
    alpha: Interval
    beta: Interval
    gamma: Interval
    delta: Interval
    zeta: Interval


def estimate(compressor, x, draws: int = 1000, generator=None, confidence: float = 0.95) -> Estimate:
    """The empirical constants of an operator at each vector of x, each with a normal confidence interval.

    At one vector, α ≤ m₂, β ≥ m₂/m₁, γ ≤ m₁, δ ≥ 1/(2m₁ − m₂) and ζ ≥ m₂: the estimates are these extremes, so a
    declared constant that lies on the wrong side of an interval is refuted by that vector, as far as the interval can
    be trusted. β is ∞ where m₁ ≤ 0, and δ where 2m₁ ≤ m₂. The intervals are those of the central limit theorem: events
    rarer than about 1/draws are not seen, with few draws they are too narrow, and an interval of width 0 around a
    random operator proves nothing.

    Parameters
    ----------
    compressor : Compressor
    x : tensor or array, shape (d,) or (n, d)
    draws : int
        Independent draws of C for each vector, at least 2.
    generator : torch.Generator, optional
    confidence : float
        Probability that one interval covers its true value (large samples); correct it for the number of intervals.

    Examples
    --------
    >>> from gradpress.compressors import TopK
    >>> estimate(TopK(1), torch.tensor([3.0, 4.0]), draws=2).delta.value
    tensor(1.5625)
    """
    if draws < 2:
        raise ValueError(f"draws must be at least 2, got {draws}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie strictly between 0 and 1, got {confidence}")
    x = torch.as_tensor(x)
    samples = compressor(x.expand(draws, *x.shape), generator)
    energy = _energy(x)
    first, second = (samples * x).sum(-1) / energy, samples.square().sum(-1) / energy
    quantile = torch.special.ndtri(torch.tensor(0.5 + confidence / 2, dtype=torch.float64))
    width = float(quantile) / draws**0.5

    def around(value, spread) -> Interval:
        return Interval(value, value - width * spread, value + width * spread)

    m1, m2 = around(first.mean(0), first.std(0)), around(second.mean(0), second.std(0))
    quotient = m2.value / m1.value
    beta = around(quotient, (second - quotient * first).std(0) / m1.value.abs())  # delta method for a quotient of means
    seen, sure = m1.value > 0, m1.low > 0  # where m₁ may be negative, no β can be excluded from above
    beta = Interval(
        torch.where(seen, beta.value, torch.inf),
        torch.where(seen, beta.low, 0.0),
        torch.where(sure, beta.high, torch.inf),
    )
    kept = around((2 * first - second).mean(0), (2 * first - second).std(0))
    delta = Interval(*(torch.where(part > 0, 1 / part, torch.inf) for part in (kept.value, kept.high, kept.low)))
    return Estimate(m1, m2, alpha=m2, beta=beta, gamma=m1, delta=delta, zeta=m2)
