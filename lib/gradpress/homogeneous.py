"""Agents that share one function, simulated from the law of the mean of their messages instead of message by message.

`Homogeneous` is a method for `simulate` on a problem with a single agent: it stands for N agents of that function, each
with noise of its own, and draws no more random numbers than the law of the mean message needs. Signs are counted
binomially, and noise is drawn only on coordinates that some agent keeps. Where no shorter law is known it draws all
messages, so that it is always exact.
"""

from dataclasses import dataclass
from math import inf

import torch
from torch import Tensor

from . import formulas, randomness
from .compressors import Identity, RandK, Sign
from .methods import Method
from .noise import AffineGaussian, Gaussian, Noise, StudentT

_PRESCRIBED = formulas.prescribed_step_floor.function()  # of A, L₀, L₁, S, the norm of the gradient, and the share


@dataclass(frozen=True)
class Homogeneous(Method):
    """x ← x − η · mean of C(∇f + Zᵢ) over N agents with one f: DCSGD, or DSignSGD with `Sign()`; def-homogeneous.

    Attributes
    ----------
    compressor : Compressor
    agents : int
        N.
    noise : Noise, optional
        The law of the Zᵢ; none means Zᵢ = 0.

    Examples
    --------
    >>> from gradpress.problems import bowl
    >>> from gradpress.simulate import simulate
    >>> method = Homogeneous(Sign(), agents=100, noise=StudentT(1.0, nu=1))
    >>> record = simulate(bowl([1.0]), method, torch.ones(1), 500, 0.05, runs=1000,
    ...                   generator=torch.Generator().manual_seed(0))
    >>> bool(record.gap[-1].mean() < 0.001)
    True
    """

    agents: int = 1
    noise: Noise | None = None

    def __post_init__(self):
        super().__post_init__()
        if not isinstance(self.agents, int) or self.agents < 1:
            raise ValueError(f"agents must be a positive integer, got {self.agents!r}")

    def init(self, x: Tensor, agents: int) -> Tensor:
        """The state before the first step: nothing. The problem itself must have one agent."""
        if agents != 1:
            raise ValueError(f"the problem must have one agent, whose function all {self.agents} share, got {agents}")
        return x.new_zeros(0)

    def bits(self, d: int, agents: int) -> float:
        """The expected bits that all agents together send in one step."""
        return super().bits(d, self.agents)

    def update(self, gradients, state, step_size, generator=None):
        """The step, shape (…, d), from the one gradient (…, 1, d), and the empty state."""
        return step_size * self.mean_message(gradients[..., 0, :], generator), state

    def mean_message(self, gradient: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """One draw of the mean of the N messages at each gradient, shape (runs, d)."""
        generator = generator or randomness.private(gradient.device)
        independent = isinstance(self.noise, (Gaussian, AffineGaussian)) or (
            isinstance(self.noise, StudentT) and not self.noise.shared
        )
        if isinstance(self.compressor, Sign) and independent and _never_zero(self.noise):
            return _mean_sign(gradient, self.noise, self.agents, generator)
        if isinstance(self.compressor, RandK) and (independent or self.noise is None):
            return _mean_rand_k(gradient, self.compressor.k, self.noise, self.agents, generator)
        if isinstance(self.compressor, Identity) and isinstance(self.noise, (Gaussian, AffineGaussian)):
            return gradient + self.noise.draw(gradient, generator) / self.agents**0.5
        return self._plain(gradient, generator)

    def _plain(self, gradient: Tensor, generator) -> Tensor:
        """The same, from all the messages."""
        gradients = gradient[..., None, :].expand(*gradient.shape[:-1], self.agents, gradient.shape[-1])
        if self.noise is not None:
            gradients = self.noise(gradients, generator)
        return self.compressor(gradients, generator).mean(-2)


@dataclass(frozen=True)
class Prescribed(Homogeneous):
    """DCSGD whose step follows the gradient at the point: x ← x − η(x) · mean message; thm-normalised.

    η(x) = 2 s / (A (L₀ + L₁‖∇f(x)‖) + L₁ S), where s is the `step_size` given to `simulate`, a number in (0, 1) or a
    sequence of such. It needs the norm of the true gradient, which no agent knows: a device of the theory.

    Attributes
    ----------
    l0, l1 : float
        The constants of (L₀, L₁)-smoothness.
    growth, floor : float
        A and S with E‖mean message‖² ≤ A‖∇f‖² + S; with 1 and 0 it is plain normalisation.

    Examples
    --------
    >>> from gradpress.problems import Separable
    >>> from gradpress.simulate import simulate
    >>> method = Prescribed(Identity(), l0=1.0, l1=1.0)
    >>> bool(simulate(Separable("cosh"), method, torch.tensor([9.0]), 100, 0.5).gap[-1] < 1e-12)
    True
    """

    l0: float = 1.0
    l1: float = 0.0
    growth: float = 1.0
    floor: float = 0.0

    def __post_init__(self):
        super().__post_init__()
        for name, least in (("l0", 0), ("l1", 0), ("growth", 1), ("floor", 0)):
            value = getattr(self, name)
            if not least <= value < inf:
                raise ValueError(f"{name} must be finite and at least {least}, got {value!r}")
        if self.l0 == self.l1 == 0:
            raise ValueError("l0 or l1 must be positive: without both the step has no limit")

    def update(self, gradients, state, step_size, generator=None):
        """The step, shape (…, d), from the one gradient (…, 1, d), and the empty state."""
        norm = gradients[..., 0, :].norm(dim=-1, keepdim=True)
        size = _PRESCRIBED(self.growth, self.l0, self.l1, self.floor, norm, step_size)
        return super().update(gradients, state, size.nan_to_num(), generator)  # finite where the gradient is 0, too


def _never_zero(noise: Noise) -> bool:
    """Whether ∇f + Z is almost surely different from 0 in every coordinate."""
    return (noise.c_aff if isinstance(noise, AffineGaussian) else noise.scale) > 0


def _mean_sign(gradient: Tensor, noise: Noise, agents: int, generator) -> Tensor:
    """2K/N − 1, where K ~ Bin(N, ½ + Ξ(∇f/scale)) agents send +1, independently over the coordinates."""
    chance = noise.sign_mean(gradient).add(1).div(2).clamp(0, 1)
    positive = torch.binomial(torch.full_like(chance, agents), chance, generator=generator)
    return positive.mul_(2 / agents).sub_(1)


def _mean_rand_k(gradient: Tensor, k: int, noise: Noise | None, agents: int, generator) -> Tensor:
    """(d/(kN)) (c ∇f + the sum of c independent draws of Z), where c agents keep the coordinate."""
    runs, d = gradient.reshape(-1, gradient.shape[-1]).shape
    counts = randomness.subset_counts(d, k, agents, runs, gradient.device, generator).view(gradient.shape)
    total = counts * gradient
    if isinstance(noise, (Gaussian, AffineGaussian)):
        total = total + counts.to(gradient.dtype).sqrt_() * noise.draw(gradient, generator)
    elif noise is not None:
        owner = torch.arange(counts.numel(), device=gradient.device).repeat_interleave(counts.view(-1))
        drawn = noise.draw(gradient.new_zeros(len(owner)), generator)
        total = total.view(-1).index_add(0, owner, drawn).view(gradient.shape)
    return total * (d / (k * agents))
