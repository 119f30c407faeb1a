"""Stochastic gradients: what is added to the agents' gradients, from an explicit generator."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from math import gamma, inf, isinf, pi, sqrt

import numpy as np
import sympy as sp
import torch
from torch import Tensor

from . import formulas, randomness


class Noise(ABC):
    """A law of gradient noise Z, symmetric about 0 in every coordinate and independent over agents, runs and steps."""

    def __call__(self, gradients: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """The stochastic gradients ∇fᵢ + Zᵢ, shape (…, N, d), from the true ones."""
        return gradients + self.draw(gradients, generator)

    @abstractmethod
    def draw(self, gradients: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Z at the given gradients, of their shape (…, d), dtype and device."""

    @abstractmethod
    def variance(self, gradients: Tensor) -> Tensor | float:
        """The variance of one coordinate of Z, the same for all: a float, or shape (…, 1); ∞ if there is none."""

    @abstractmethod
    def sign_mean(self, gradients: Tensor) -> Tensor:
        """E sign(∇f + Z), coordinate by coordinate: the shape (…, d) of the gradients."""


def _check(**values) -> None:
    for name, value in values.items():
        if not 0 <= value < inf:
            raise ValueError(f"{name} must be finite and not negative, got {value!r}")


@dataclass(frozen=True)
class AffineGaussian(Noise):
    """Adds ξᵢ with E ξᵢ = 0 and E‖ξᵢ‖² = B_aff ‖∇fᵢ‖² + C_aff exactly, independent over agents; def-affine-noise.

    The coordinates of ξᵢ are independent and Gaussian, all of the same variance.

    Attributes
    ----------
    b_aff, c_aff : float
        The constants B and C of Beznosikov et al. 2023, Assumption 1; not negative.

    Examples
    --------
    >>> noise = AffineGaussian(b_aff=0.0, c_aff=4.0)
    >>> noise(torch.zeros(10_000, 1, 3), torch.Generator().manual_seed(0)).square().sum(-1).mean().round()
    tensor(4.)
    """

    b_aff: float = 0.0
    c_aff: float = 0.0

    def __post_init__(self):
        _check(b_aff=self.b_aff, c_aff=self.c_aff)

    def draw(self, gradients, generator=None):
        """Z at the given gradients, shape (…, d)."""
        return self.variance(gradients).sqrt() * randomness.normal(gradients.shape, gradients, generator)

    def variance(self, gradients):
        """(B_aff ‖∇f‖² + C_aff)/d, shape (…, 1)."""
        return (self.b_aff * gradients.square().sum(-1, keepdim=True) + self.c_aff) / gradients.shape[-1]

    def sign_mean(self, gradients):
        """E sign(∇f + Z), shape (…, d)."""
        return _centred(inf)(gradients / self.variance(gradients).sqrt())


@dataclass(frozen=True)
class Scaled(Noise):
    """Z = scale · T with a law of T that does not depend on the gradient: what `Gaussian` and `StudentT` share."""

    scale: float

    def __post_init__(self):
        _check(scale=self.scale)

    @property
    @abstractmethod
    def tail(self) -> float:
        """ν, the degrees of freedom of one coordinate of T; ∞ if it is standard normal."""

    @property
    def sign_slope(self) -> float:
        """The slope of E sign(g + Z) at g = 0: ℓ_ν / scale."""
        return slope(self.tail) / self.scale

    def variance(self, gradients=None):
        """scale² ν/(ν − 2) for ν > 2, and ∞ below."""
        if self.tail <= 2:
            return inf
        return self.scale**2 * (1.0 if isinf(self.tail) else self.tail / (self.tail - 2))

    def sign_mean(self, gradients):
        """2 Ξ_ν(∇f/scale), shape (…, d); sign(∇f) if the scale is 0."""
        return gradients.sign() if self.scale == 0 else _centred(self.tail)(gradients / self.scale)


@dataclass(frozen=True)
class Gaussian(Scaled):
    """Z ~ N(0, scale² I); def-noise.

    Examples
    --------
    >>> Gaussian(2.0).variance(), round(Gaussian(2.0).sign_slope, 6)
    (4.0, 0.398942)
    """

    tail = inf

    def draw(self, gradients, generator=None):
        """Z, shape (…, d)."""
        return self.scale * randomness.normal(gradients.shape, gradients, generator)


@dataclass(frozen=True)
class StudentT(Scaled):
    """Z = scale · T with Student-t coordinates of ν degrees of freedom: independent, or with one χ² shared; def-noise.

    The independent ones are drawn by Bailey's polar method, two uniform numbers each (Bailey 1994). In float32 a
    uniform number has 24 bits, so that no |T| beyond the quantile of about 2⁻²⁵ is ever drawn: for ν = 1 that is 5·10⁶.

    Attributes
    ----------
    scale : float
        Not the standard deviation, which is infinite for ν ≤ 2.
    nu : float
        ν > 0; ν = 1 is the Cauchy law.
    shared : bool
        Whether all coordinates of one Z are divided by the same χ, as in the multivariate t-law t_ν(0, scale² I).

    Examples
    --------
    >>> StudentT(1.0, nu=4).variance(), StudentT(1.0, nu=1).variance()
    (2.0, inf)
    >>> StudentT(2.0, nu=1).sign_mean(torch.tensor([2.0, -2.0, 0.0]))
    tensor([ 0.5000, -0.5000,  0.0000])
    """

    nu: float
    shared: bool = False

    def __post_init__(self):
        super().__post_init__()
        if not 0 < self.nu < inf:
            raise ValueError(f"nu must be positive and finite, got {self.nu!r}: for nu = ∞ use Gaussian")

    @property
    def tail(self):
        """ν."""
        return self.nu

    def draw(self, gradients, generator=None):
        """Z, shape (…, d)."""
        generator = generator or randomness.private(gradients.device)
        if not self.shared:
            return randomness.student(self.nu, gradients.shape, gradients, generator).mul_(self.scale)
        half = torch.full_like(gradients[..., :1], self.nu / 2)
        chi = (torch._standard_gamma(half, generator=generator) / half).sqrt_()
        return randomness.normal(gradients.shape, gradients, generator).mul_(self.scale).div_(chi)


@dataclass(frozen=True)
class Averaged(Noise):
    """The mean of `batch` independent draws of another noise: what a mini-batch really does to it; prop-batching.

    For Gaussian noise that is `Gaussian(scale/√batch)`. For Student-t noise it is no t-law (except for ν = 1, where the
    mean has the law of a single draw); the sources model it as one of scale σ/√B, which flatters the sign.

    Examples
    --------
    >>> Averaged(Gaussian(3.0), 9).variance(torch.zeros(1))
    1.0
    """

    noise: Scaled
    batch: int

    def __post_init__(self):
        if not isinstance(self.batch, int) or self.batch < 1:
            raise ValueError(f"batch must be a positive integer, got {self.batch!r}")

    def draw(self, gradients, generator=None):
        """Z, shape (…, d): the mean of `batch` draws."""
        generator = generator or randomness.private(gradients.device)
        total = self.noise.draw(gradients, generator)
        for _ in range(self.batch - 1):
            total = total + self.noise.draw(gradients, generator)
        return total / self.batch

    def variance(self, gradients=None):
        """The variance of a single draw over the batch size."""
        return self.noise.variance(gradients) / self.batch

    def sign_mean(self, gradients):
        """In closed form for Gaussian and Cauchy noise; otherwise refused: estimate it from draws."""
        if isinf(self.noise.tail):
            return Gaussian(self.noise.scale / sqrt(self.batch)).sign_mean(gradients)
        if self.noise.tail == 1:
            return self.noise.sign_mean(gradients)
        raise NotImplementedError(f"the mean of {self.batch} draws of {self.noise!r} has no closed law: estimate it")

    @property
    def sign_slope(self) -> float:
        """The slope of E sign(g + Z) at g = 0."""
        return batch_slope(self.noise.tail, self.batch) / self.noise.scale


def slope(nu: float) -> float:
    """ℓ_ν = 2 Ξ_ν′(0), twice the density of a standard t_ν at 0.

    Examples
    --------
    >>> [round(slope(nu), 6) for nu in (1, 2, 4, inf)]
    [0.63662, 0.707107, 0.75, 0.797885]
    """
    return sqrt(2 / pi) if isinf(nu) else float(formulas.student_slope(nu=nu))


@cache
def batch_slope(nu: float, batch: int) -> float:
    """Twice the density at 0 of the mean of `batch` independent t_ν: (2/π) ∫₀^∞ φ_ν(u/B)ᴮ du, φ_ν their transform.

    Examples
    --------
    >>> round(batch_slope(1, 64), 6), round(batch_slope(3, 64) / (8 * slope(3)), 4)
    (0.63662, 0.6691)
    """
    from scipy.integrate import quad
    from scipy.special import kve

    if isinf(nu):
        return sqrt(batch) * slope(nu)
    if nu == 1:
        return slope(1)

    def power(u: float) -> float:  # φ_ν(u)ᴮ at u = v/√B: K_{ν/2}(y) (y/2)^{ν/2} · 2/Γ(ν/2), y = u√ν
        y = sqrt(nu / batch) * u
        log = np.log(kve(nu / 2, y)) - y + nu / 2 * np.log(y / 2) + np.log(2 / gamma(nu / 2))
        return float(np.exp(batch * log))

    pieces = [0.0, 0.1, 1.0, 4.0, 16.0, 64.0]
    ends = zip(pieces, [*pieces[1:], inf], strict=True)
    exactness = max(1e-11, 1e-14 * batch)  # of a power of a number that is known to sixteen digits
    area = sum(quad(power, low, high, epsabs=exactness / 100, epsrel=exactness, limit=200)[0] for low, high in ends)
    return 2 / pi * sqrt(batch) * area


@cache
def _centred(nu: float) -> Callable[[Tensor], Tensor]:
    """u ↦ 2 Ξ_ν(u) = 2 F_ν(u) − 1 on tensors: from its closed form where the book states one, or from SciPy."""
    closed = formulas.SIGN_MEANS.get(nu)
    if closed is not None:
        names = {"atan": torch.atan, "erf": torch.erf, "sqrt": lambda value: value**0.5}
        numbers = {power: power.evalf(17) for power in closed.expression.atoms(sp.Pow) if power.is_number}
        return sp.lambdify(closed.symbols, closed.expression.xreplace(numbers), modules=[names])
    from scipy.special import stdtr

    def centred(u: Tensor) -> Tensor:
        below = stdtr(nu, -u.abs().double().cpu().numpy())
        return (u.sign() * torch.from_numpy(np.asarray(1 - 2 * below)).to(u)).to(u.dtype)

    return centred
