"""Stochastic differential equations that stand for methods, and the Euler–Maruyama ensemble that solves them.

Time is t = nη after n steps of size η. An equation dX = b(X) dt + √(η/N) Σ̃(X)^{1/2} dW is built from a problem, the
step size and the number of agents, a compressor and a noise, as the method is, so that both can be run side by side:

>>> from gradpress.noise import Gaussian
>>> from gradpress.problems import bowl
>>> equation = DCSGD(bowl([1.0, 2.0]), 0.1, noise=Gaussian(1.0))
>>> paths = euler_maruyama(equation, torch.ones(2), steps=100, runs=1000, generator=torch.Generator().manual_seed(0))
>>> round(float(paths.time[-1]), 6), paths.gap.shape
(10.0, torch.Size([101, 1000]))
"""

import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from math import inf
from typing import ClassVar

import torch
from torch import Tensor
from tqdm.auto import tqdm

from . import randomness
from .compressors import Compressor, Identity, RandK
from .noise import AffineGaussian, Noise, Scaled
from .problems import Problem


@dataclass(frozen=True)
class Equation(ABC):
    """dX = b(X) dt + √(η/N) Σ̃(X)^{1/2} dW for N agents that share one function.

    Attributes
    ----------
    problem : Problem
        Only its mean function f is used.
    step_size : float
        η of the method that the equation stands for.
    agents : int
        N.
    noise : Noise, optional
        The law of the agents' gradient noise; none means none.
    order : int
        The weak order in η to which the equation follows the method: their expectations at a fixed time differ by
        O(η^order), under the conditions of thm-weak-first and thm-weak-second.
    """

    problem: Problem
    step_size: float
    agents: int = 1
    noise: Noise | None = None
    order: ClassVar[int] = 1

    def __post_init__(self):
        if not 0 < self.step_size < inf:
            raise ValueError(f"step_size must be positive and finite, got {self.step_size!r}")
        if not isinstance(self.agents, int) or self.agents < 1:
            raise ValueError(f"agents must be a positive integer, got {self.agents!r}")

    def field(self, x: Tensor) -> Tensor:
        """What drift and kick are both computed from, shape (…, d): here ∇f(x)."""
        return self.problem.gradient(x)

    @abstractmethod
    def drift(self, x: Tensor, field: Tensor) -> Tensor:
        """b(x), shape (…, d)."""

    @abstractmethod
    def kick(self, field: Tensor, normal: Tensor, generator: torch.Generator) -> Tensor:
        """One draw with mean 0 and covariance Σ̃(x), shape (…, d), from standard normal numbers.

        It may overwrite the normal numbers, and draws more from the generator if it needs more.
        """

    def to(self, dtype: torch.dtype | None = None, device=None) -> "Equation":
        """The same equation for another dtype or device."""
        return replace(self, problem=self.problem.to(dtype, device))


@dataclass(frozen=True)
class DCSGD(Equation):
    """b = −∇f, Σ̃ = the covariance of a compressed stochastic gradient (thm-dcsgd-sde); without compressor, SGD's.

    The kicks are Gaussian, with exactly this covariance, for `Identity`, `RandK` and whatever scales each coordinate up
    or drops it independently. For other operators with closed moments the noise Z and then, given ∇f + Z, the error of
    the compressor are drawn, coordinates independent: mean and covariance are exact, the law is not Gaussian, and the
    weak order is the same.

    Attributes
    ----------
    compressor : Compressor
        An unbiased one.

    Raises
    ------
    ValueError
        If the compressor is biased or the noise has no finite variance: then there is no such equation.
    """

    compressor: Compressor = field(default_factory=Identity)

    def __post_init__(self):
        super().__post_init__()
        if not any(hasattr(member, "omega") for member in self.compressor.membership(self.problem.d)):
            raise ValueError(f"compressor must be unbiased, got {self.compressor!r}")
        if isinstance(self.noise, Scaled) and self.noise.variance() == inf:
            raise ValueError(f"noise must have a finite variance, got {self.noise!r}")

    def drift(self, x, field):
        """−∇f(x)."""
        return -field

    def kick(self, field, normal, generator):
        """One draw with the covariance of C(∇f + Z), shape (…, d)."""
        variance = 0.0 if self.noise is None else self.noise.variance(field)
        if isinstance(self.compressor, Identity):
            return normal.mul_(variance**0.5)
        if isinstance(self.compressor, RandK):
            return self._rand_k(field, variance, normal)
        seen = field if self.noise is None else field + self.noise.draw(field, generator)
        mean, second = self.compressor.moments(seen)
        return normal.mul_((second - mean.square()).clamp_min(0).sqrt()).add_(seen - field)

    def _rand_k(self, gradient: Tensor, variance, normal: Tensor) -> Tensor:
        """One draw with the covariance A − c ∇f∇fᵀ, A diagonal, of prop-rand-k-covariance.

        It is A^{1/2}(I − β uuᵀ)W with u = A^{−1/2}∇f and the β for which (I − β uuᵀ)² = I − c uuᵀ.
        """
        d, k = gradient.shape[-1], self.compressor.k
        if k == d:
            return normal.mul_(variance**0.5)
        c = (d - k) / (k * (d - 1))
        root = gradient.square().mul_(c * d).add_(d / k * variance).sqrt_()
        u = gradient / root.clamp_min(torch.finfo(root.dtype).tiny)
        beta = c / (1 + (1 - c * u.square().sum(-1, keepdim=True)).clamp_min_(0).sqrt_())
        along = (u * normal).sum(-1, keepdim=True).mul_(beta)
        return normal.mul_(root).sub_(along * gradient)


@dataclass(frozen=True)
class SecondOrder(DCSGD):
    """b = −∇f − (η/2) ∇²f ∇f = −∇(f + (η/4)‖∇f‖²), the second-order modified equation of SGD; thm-weak-second."""

    order: ClassVar[int] = 2

    def drift(self, x, field):
        """−∇f(x) − (η/2) ∇²f(x) ∇f(x)."""
        return self.problem.hessian_product(x, field).mul_(-self.step_size / 2).sub_(field)


@dataclass(frozen=True)
class Faithful(DCSGD):
    """b = −∇f + (η/2) ∇²f ∇f: the first-order equation whose loss changes as in one step of DCSGD; def-faithful.

    On quadratics whose axes are those of the compressor it has the method's largest step and stationary variances
    exactly (thm-faithful-quadratic); along a path it has about twice the error of the equation without correction.
    """

    def drift(self, x, field):
        """−∇f(x) + (η/2) ∇²f(x) ∇f(x)."""
        return self.problem.hessian_product(x, field).mul_(self.step_size / 2).sub_(field)


@dataclass(frozen=True)
class DSignSGD(Equation):
    """b = −m, Σ̃ = I − diag(m²) with m = E sign(∇f + Z) = 2Ξ_ν(∇f/σ_B), for independent coordinates; thm-dsign-sde."""

    def __post_init__(self):
        super().__post_init__()
        if self.noise is None:
            raise ValueError("noise must be given: without it the sign is deterministic, and nothing diffuses")

    def field(self, x):
        """m = E sign(∇f(x) + Z), shape (…, d)."""
        return self.noise.sign_mean(self.problem.gradient(x))

    def drift(self, x, field):
        """−m."""
        return -field

    def kick(self, field, normal, generator):
        """One draw with the covariance of sign(∇f + Z), shape (…, d)."""
        one = torch.ones((), dtype=field.dtype, device=field.device)
        return torch.addcmul(one, field, field, value=-1).clamp_min_(0).sqrt_().mul_(normal)


@dataclass(frozen=True)
class FaithfulDSignSGD(DSignSGD):
    """b = −m + (η/2) D ∇²f m with D = diag(mⱼ/∂ⱼf): the same correction for signs; def-faithful.

    The noise needs a scale that does not depend on the gradient: D at ∂ⱼf = 0 is the slope of the expected sign.
    """

    def __post_init__(self):
        super().__post_init__()
        if isinstance(self.noise, AffineGaussian) or getattr(self.noise, "scale", 1) == 0:
            raise ValueError(f"noise must have a positive scale that is the same everywhere, got {self.noise!r}")

    def drift(self, x, field):
        """−m + (η/2) D ∇²f(x) m, where mⱼ/∂ⱼf is the slope of the expected sign if ∂ⱼf = 0."""
        gradient = self.problem.gradient(x)
        ratio = (field / gradient).where(gradient != 0, self.noise.sign_slope)
        return ratio.mul_(self.problem.hessian_product(x, field)).mul_(self.step_size / 2).sub_(field)


@dataclass(frozen=True)
class LinearisedDSignSGD(DSignSGD):
    """b = −Δ∇f with Δ = ℓ_ν/σ_B, Σ̃ = I: the equation that the poster's Theorem 4 is about; def-dsign-linear."""

    def field(self, x):
        """Δ ∇f(x), shape (…, d)."""
        return self.noise.sign_slope * self.problem.gradient(x)

    def kick(self, field, normal, generator):
        """The standard normal vector itself."""
        return normal


@dataclass(frozen=True)
class Paths:
    """What `euler_maruyama` saw. T is the number of recorded times.

    Attributes
    ----------
    step, time : Tensor, shape (T,)
        n, and t = nη.
    gap : Tensor, shape (T, runs)
        f(X_t) − f(x*).
    final : Tensor, shape (runs, d)
    """

    step: Tensor
    time: Tensor
    gap: Tensor
    final: Tensor


def euler_maruyama(equation: Equation, start, steps: int, *, runs: int = 1, substeps: int = 1,
                   generator: torch.Generator | None = None, every: int = 1, dtype: torch.dtype = torch.float32,
                   progress: bool | None = None) -> Paths:
    """Solve an equation up to the time of `steps` steps of the method, by Euler–Maruyama in steps of η/substeps.

    The scheme has strong order ½ (1 if Σ̃ is constant) and weak order 1 in η/substeps: with one substep its own error
    is as large as the distance between equation and method. For additive Gaussian noise and the first-order equation
    of SGD it then *is* SGD.

    Parameters
    ----------
    equation : Equation
    start : Tensor, shape (d,) or (runs, d)
    steps : int
        The final time in steps of η.
    runs : int
        Independent paths.
    substeps : int
        Euler steps for each step of the method.
    generator : torch.Generator, optional
    every : int
        Record every so many steps of the method, and always the first and the last.
    dtype : torch.dtype
        float32 is safe while the steps η‖b‖/substeps stay far above 10⁻⁷‖x‖ and no gap below 10⁻¹² of the first one
        matters; otherwise take float64.
    progress : bool, optional
        Whether to show a bar for work of more than two seconds; by default in a terminal only.

    Returns
    -------
    Paths

    Examples
    --------
    >>> from gradpress.noise import StudentT
    >>> from gradpress.problems import bowl
    >>> equation = DSignSGD(bowl([1.0]), 0.01, noise=StudentT(0.01, nu=1))
    >>> float(euler_maruyama(equation, [10.0], 100, dtype=torch.float64).gap[-1, 0]) > 40
    True
    """
    for name, value, least in (("steps", steps, 0), ("substeps", substeps, 1), ("every", every, 1), ("runs", runs, 1)):
        if not isinstance(value, int) or value < least:
            raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}")
    equation = equation.to(dtype)
    x = torch.as_tensor(start, dtype=dtype, device=equation.problem.minimiser.device)
    d = equation.problem.d
    if x.shape not in ((d,), (runs, d)) or not bool(x.isfinite().all()):
        raise ValueError(f"start must be finite and of shape ({d},) or ({runs}, {d}), got {tuple(x.shape)}")
    x = x.expand(runs, d).mT.clone(memory_format=torch.contiguous_format).mT  # one coordinate of all runs lies together
    generator = generator or randomness.private(x.device)
    dt, normal = equation.step_size / substeps, torch.empty_like(x.mT)
    noise = (equation.step_size / equation.agents * dt) ** 0.5
    record = [(0, equation.problem.gap(x))]
    shown = sys.stderr.isatty() if progress is None else progress
    for n in tqdm(range(1, steps + 1), delay=2, disable=not shown, leave=False):
        for _ in range(substeps):
            field = equation.field(x)
            kick = equation.kick(field, normal.normal_(generator=generator).mT, generator)
            x = x.add_(equation.drift(x, field), alpha=dt).add_(kick, alpha=noise)
        if n % every == 0 or n == steps:
            record.append((n, equation.problem.gap(x)))
    step, gap = zip(*record, strict=True)
    step = torch.tensor(step)
    return Paths(step, step * equation.step_size, torch.stack(gap), x.contiguous())
