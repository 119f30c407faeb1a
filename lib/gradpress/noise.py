"""Stochastic gradients: what is added to the agents' gradients, from an explicit generator."""

from dataclasses import dataclass

import torch
from torch import Tensor

from . import randomness


@dataclass(frozen=True)
class AffineGaussian:
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
        for name, value in vars(self).items():
            if not 0 <= value < float("inf"):
                raise ValueError(f"{name} must be finite and not negative, got {value!r}")

    def __call__(self, gradients: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """The stochastic gradients ∇fᵢ + ξᵢ, shape (…, N, d), from the true ones."""
        second = self.b_aff * gradients.square().sum(-1, keepdim=True) + self.c_aff
        scale = (second / gradients.shape[-1]).sqrt()
        return gradients + scale * randomness.normal(gradients.shape, gradients, generator)
