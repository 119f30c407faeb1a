"""Exact laws of signs and of sign descent on f(x) = ½ H x²: by quadrature, and by the chain's transition matrix.

Everything is in units of the noise: u = H x / σ_B, and θ = η H / (N σ_B) is the one number that the stationary law of
the equation depends on. The chain also knows its number of agents: a step moves u by N θ times the mean of N signs.
"""

from math import inf, sqrt

import numpy as np
import torch
from scipy.integrate import cumulative_simpson, quad, simpson
from scipy.special import erf, gammaln
from scipy.stats import binom

from .noise import Gaussian, Noise, StudentT, slope


def unit_noise(nu: float) -> Noise:
    """The noise of scale 1: Student-t with ν degrees of freedom, Gaussian for ν = ∞.

    Examples
    --------
    >>> unit_noise(inf), unit_noise(1)
    (Gaussian(scale=1.0), StudentT(scale=1.0, nu=1, shared=False))
    """
    return Gaussian(1.0) if nu == inf else StudentT(1.0, nu)


def expected_sign(nu: float, u) -> np.ndarray:
    """2 Ξ_ν(u), for an array of u.

    Examples
    --------
    >>> expected_sign(1, [0.0, 1.0])
    array([0. , 0.5])
    """
    return unit_noise(nu).sign_mean(torch.as_tensor(u, dtype=torch.float64)).numpy()


def shared_covariance(nu: float, u: float, w: float) -> float:
    """The covariance of sign(u + T₁) and sign(w + T₂) for t_ν numbers that share one χ; prop-sign-shared.

    Examples
    --------
    >>> round(shared_covariance(3, 1.0, 1.0), 4), abs(shared_covariance(3, 0.0, 1.0)) < 1e-12
    (0.0365, True)
    """

    def mean(value) -> float:  # over the law of χ = √(χ²_ν/ν)
        log = np.log(2) + nu / 2 * np.log(nu / 2) - gammaln(nu / 2)

        def weighted(c) -> float:
            return value(c) * np.exp(log + (nu - 1) * np.log(c) - nu * c * c / 2)

        top = 1 + 12 / sqrt(nu)
        return quad(weighted, 0, top, epsabs=1e-13, epsrel=1e-12, limit=400)[0]

    first, second = lambda c: erf(u * c / sqrt(2)), lambda c: erf(w * c / sqrt(2))
    return mean(lambda c: first(c) * second(c)) - mean(first) * mean(second)


def sde_second_moment(nu: float, theta: float, points: int = 4001) -> float:
    """E u² under the stationary density of the equation, ∝ exp(−(2/θ) ∫₀^u m/(1 − m²))/(1 − m²); prop-dsign-exceeds.

    Examples
    --------
    >>> round(sde_second_moment(1, 0.1) / 2, 5)  # the gap for H = σ_B = 1 and N = 1
    0.04085
    """
    reach = 14 * sqrt(theta / (2 * slope(nu)))
    u = np.linspace(0, reach, points)
    mean = expected_sign(nu, u)
    within = 1 - mean**2 > 1e-12  # beyond, nothing is left of the density
    u, mean, spread = u[within], mean[within], 1 - mean[within] ** 2
    height = cumulative_simpson(mean / spread, x=u, initial=0)
    density = np.exp(-2 / theta * height) / spread
    return float(simpson(u**2 * density, x=u) / simpson(density, x=u))


def chain_second_moment(nu: float, theta: float, agents: int = 1, offset: float = 0.0) -> float:
    """E u² under the stationary law of DSignSGD itself, on the lattice that it lives on; prop-dsign-exceeds.

    Parameters
    ----------
    nu, theta : float
    agents : int
        N.
    offset : float
        Where the lattice is hung, in units of its spacing.

    Examples
    --------
    >>> round(chain_second_moment(1, 0.1) / 2, 5)
    0.04223
    """
    odd = agents % 2
    spacing = theta if odd else 2 * theta
    most = int(14 * sqrt(theta / (2 * slope(nu))) / spacing) + 3 * agents
    place = np.arange(-most, most + 1)
    u = spacing * (place + offset)
    up = (1 - expected_sign(nu, u)) / 2  # the chance that a message is −1, which raises u
    rises = np.arange(agents + 1)
    jumps = 2 * rises - agents if odd else rises - agents // 2
    chance = binom.pmf(rises, agents, up[:, None])
    matrix = np.zeros((len(u), len(u)))
    for jump, column in zip(jumps, chance.T, strict=True):
        np.add.at(matrix, (place + most, np.clip(place + jump, -most, most) + most), column)
    system = np.vstack([(matrix.T - np.eye(len(u)))[:-1], np.ones(len(u))])
    law = np.linalg.solve(system, np.eye(len(u))[-1])
    return float(law @ u**2)
