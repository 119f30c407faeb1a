"""Objectives f = (f₁ + … + f_N)/N that know their constants: L, μ, the minimiser, and how far the agents disagree."""

from abc import ABC, abstractmethod
from copy import copy
from functools import cached_property
from itertools import combinations
from math import inf
from typing import ClassVar

import sympy as sp
import torch
from torch import Tensor

from . import formulas

NEGLIGIBLE = 1e-12  # an eigenvalue below this share of the largest one counts as zero


class Problem(ABC):
    """What every objective offers; x has the shape (…, d), and each leading entry is a point of its own.

    Attributes
    ----------
    agents, d : int
        N, the number of the fᵢ, and the dimension.
    smoothness : float
        L, the least Lipschitz constant of ∇f.
    convexity : float
        μ, the largest constant of the Polyak–Łojasiewicz inequality ‖∇f‖² ≥ 2μ(f − f*); for a quadratic it is also that
        of strong convexity.
    agent_smoothness, agent_smoothness_rms : float
        The largest of the Lipschitz constants Lᵢ of the ∇fᵢ, and the root of the mean of their squares.
    agent_convexity : float
        The least curvature of an fᵢ, which may be negative.
    minimiser : Tensor, shape (d,)
        A point x* at which f is least; the only one if f is strongly convex.
    minimum : float
        f(x*).
    """

    agents: int
    d: int
    smoothness: float
    convexity: float
    agent_smoothness: float
    agent_smoothness_rms: float
    agent_convexity: float
    minimiser: Tensor

    @abstractmethod
    def loss(self, x: Tensor) -> Tensor:
        """f(x), shape (…)."""

    @abstractmethod
    def gradients(self, x: Tensor) -> Tensor:
        """∇f₁(x), …, ∇f_N(x), shape (…, N, d)."""

    def gradient(self, x: Tensor) -> Tensor:
        """∇f(x), shape (…, d)."""
        return self.gradients(x).mean(-2)

    def hessian_product(self, x: Tensor, v: Tensor) -> Tensor:
        """∇²f(x) v, shape (…, d), for v of the shape of x."""
        return torch.func.vjp(self.gradient, x)[1](v)[0]  # ∇²f is symmetric

    def to(self, dtype: torch.dtype | None = None, device=None) -> "Problem":
        """The same problem with all its tensors in another dtype or on another device; its constants stay as they are.

        In float32 a gap below about 10⁻⁷ of the values of the loss has no digits left, unless the problem computes it
        without a difference (as a quadratic does), and steps below 6·10⁻⁸ |x| are lost.
        """
        other, _ = copy(self), (self.minimiser, self.minimum)  # both are known before the digits are gone
        moved = {name: value.to(device=device, dtype=dtype) for name, value in vars(self).items()
                 if isinstance(value, Tensor)}
        vars(other).update(moved)
        return other

    @cached_property
    def minimum(self) -> float:
        """f(x*)."""
        return float(self.loss(self.minimiser))

    def gap(self, x: Tensor) -> Tensor:
        """f(x) − f(x*), shape (…)."""
        return self.loss(x) - self.minimum

    def _know_agents(self, smoothness: Tensor) -> None:
        """Set what follows from the Lᵢ, shape (N,)."""
        self.agent_smoothness = float(smoothness.max())
        self.agent_smoothness_rms = float(smoothness.square().mean().sqrt())

    @cached_property
    def disagreement(self) -> float:
        """D = (1/N) Σ ‖∇fᵢ(x*)‖²: zero if x* is a stationary point of every agent (def-disagreement)."""
        return float(self.gradients(self.minimiser).square().sum(-1).mean())


def _finite(name: str, values, shape: tuple) -> Tensor:
    """`values` as float64 of the given shape (None: any length), or a `ValueError` of one sentence."""
    values = torch.as_tensor(values, dtype=torch.float64)
    fits = values.ndim == len(shape) and all(map(lambda want, have: want in (None, have), shape, values.shape))
    if not fits or values.numel() == 0 or not bool(values.isfinite().all()):
        wanted = ", ".join("·" if want is None else str(want) for want in shape)
        raise ValueError(f"{name} must be finite numbers of shape ({wanted}), got shape {tuple(values.shape)}")
    return values


class Quadratic(Problem):
    """fᵢ(x) = ½ xᵀAᵢx − bᵢᵀx. The mean of the Aᵢ must be positive semidefinite and f bounded below; an fᵢ need not be.

    Parameters
    ----------
    matrices : Tensor, shape (N, d, d), symmetric
    vectors : Tensor, shape (N, d)

    Raises
    ------
    ValueError
        If the shapes do not fit, a matrix is not symmetric, or f has no minimum.

    Examples
    --------
    >>> f = Quadratic(torch.diag(torch.tensor([1.0, 4.0]))[None], torch.ones(1, 2))
    >>> f.smoothness, f.convexity, f.minimiser.tolist(), f.minimum
    (4.0, 1.0, [1.0, 0.25], -0.625)
    """

    def __init__(self, matrices, vectors):
        self.matrices = _finite("matrices", matrices, (None, None, None))
        self.agents, self.d = self.matrices.shape[:2]
        self.vectors = _finite("vectors", vectors, (self.agents, self.d)).to(self.matrices.device)
        if self.matrices.shape[2] != self.d or not torch.allclose(self.matrices, self.matrices.mT):
            raise ValueError("matrices must be symmetric, shape (N, d, d)")
        self._mean = self.matrices.mean(0)
        curvatures, axes = torch.linalg.eigh(self._mean)
        self._settle(curvatures, axes, torch.linalg.eigvalsh(self.matrices))

    def _settle(self, curvatures: Tensor, axes: Tensor | None, each: Tensor) -> None:
        """The constants and the minimiser, from eigenvalues and axes of the mean and the eigenvalues of each agent."""
        self.smoothness = float(curvatures.max())
        zero = curvatures.abs() <= NEGLIGIBLE * self.smoothness
        self._vector = self.vectors.mean(0)
        self._centred = not bool(self._vector.any())
        slope = self._vector if axes is None else axes.mT @ self._vector
        flat = slope[zero].abs() > NEGLIGIBLE * max(1.0, float(slope.abs().max()))
        if self.smoothness <= 0 or bool((curvatures[~zero] < 0).any()) or bool(flat.any()):
            raise ValueError(f"f must be bounded below and not linear, got mean curvatures from {curvatures.min():.3g} "
                             f"to {curvatures.max():.3g}")
        self.convexity = float(curvatures[~zero].min())
        self._know_agents(each.abs().amax(-1))
        self.agent_convexity = float(each.min())
        self.curvatures = curvatures.where(~zero, 0)
        at = (slope / curvatures).where(~zero, 0)
        self.minimiser = at if axes is None else axes @ at

    def gradients(self, x: Tensor) -> Tensor:
        """Aᵢx − bᵢ for every agent, shape (…, N, d)."""
        return torch.einsum("nij,...j->...ni", self.matrices, x) - self.vectors

    def gradient(self, x: Tensor) -> Tensor:
        """∇f(x), shape (…, d), without the agents' own."""
        return x @ self._mean - self._vector

    def hessian_product(self, x: Tensor, v: Tensor) -> Tensor:
        """∇²f v, shape (…, d), the same at every x."""
        return v @ self._mean

    def loss(self, x: Tensor) -> Tensor:
        """f(x), shape (…)."""
        return ((x @ self._mean) * x).sum(-1) / 2 - x @ self._vector

    def gap(self, x: Tensor) -> Tensor:
        """f(x) − f(x*) = ½(x − x*)ᵀA(x − x*), which keeps its digits near x*."""
        away = x - self.minimiser
        return ((away @ self._mean) * away).sum(-1) / 2

    @staticmethod
    def diagonal(curvatures, vectors) -> "DiagonalQuadratic":
        """The quadratic whose matrices are diagonal: curvatures (N, d) and vectors (N, d)."""
        return DiagonalQuadratic(curvatures, vectors)


class DiagonalQuadratic(Quadratic):
    """fᵢ(x) = Σⱼ (½ hᵢⱼxⱼ² − bᵢⱼxⱼ): a `Quadratic` that multiplies by its diagonals alone.

    Parameters
    ----------
    curvatures : Tensor, shape (N, d)
        The hᵢⱼ; their mean over the agents must not be negative.
    vectors : Tensor, shape (N, d)

    Examples
    --------
    >>> f = Quadratic.diagonal([[1.0, 4.0], [3.0, 0.0]], [[1.0, 0.0], [-1.0, 0.0]])
    >>> f.smoothness, f.agent_smoothness, f.disagreement
    (2.0, 4.0, 1.0)
    """

    def __init__(self, curvatures, vectors):
        self.diagonals = _finite("curvatures", curvatures, (None, None))
        self.agents, self.d = self.diagonals.shape
        self.vectors = _finite("vectors", vectors, (self.agents, self.d)).to(self.diagonals.device)
        self._settle(self.diagonals.mean(0), None, self.diagonals)

    def gradients(self, x: Tensor) -> Tensor:
        """hᵢⱼxⱼ − bᵢⱼ for every agent, shape (…, N, d)."""
        return x[..., None, :] * self.diagonals - self.vectors

    def gradient(self, x: Tensor) -> Tensor:
        """∇f(x), shape (…, d), without the agents' own."""
        return x * self.curvatures if self._centred else x * self.curvatures - self._vector

    def hessian_product(self, x: Tensor, v: Tensor) -> Tensor:
        """∇²f v, shape (…, d), the same at every x."""
        return v * self.curvatures

    def loss(self, x: Tensor) -> Tensor:
        """f(x), shape (…)."""
        return (self.curvatures * x.square()).sum(-1) / 2 - x @ self._vector

    def gap(self, x: Tensor) -> Tensor:
        """f(x) − f(x*), which keeps its digits near x*."""
        return (self.curvatures * (x - self.minimiser).square()).sum(-1) / 2


def bowl(curvatures, agents: int = 1) -> DiagonalQuadratic:
    """f(x) = ½ Σⱼ hⱼxⱼ², the same for every agent: the problem on which the laws of Part III are exact.

    With `gradpress.homogeneous` one agent in the problem is enough.

    Examples
    --------
    >>> bowl([1.0, 4.0]).gap(torch.tensor([2.0, 1.0], dtype=torch.float64))
    tensor(4., dtype=torch.float64)
    """
    curvatures = _finite("curvatures", curvatures, (None,)).expand(agents, -1)
    return DiagonalQuadratic(curvatures, torch.zeros_like(curvatures))


class Separable(Problem):
    """f(x) = Σⱼ φ(xⱼ) on one node, with a φ of `formulas.LANDSCAPES`; its minimum is 0, at 0.

    The extremal function is computed as a difference: below about 10⁻¹⁶ L₀/L₁² its gap has no digits and may be
    slightly negative.

    Parameters
    ----------
    name : str
        "quadratic" (½Hx²), "quartic" (¼x⁴), "cosh" (cosh x − 1) or "extremal" ((L₀/L₁²)(e^{L₁|x|} − 1 − L₁|x|)).
    d : int
    constants : float
        What the formula asks for: H, or L_0 and L_1; none for the other two.

    Attributes
    ----------
    bounds : tuple of float, or None
        (L₀, L₁) with ‖∇²f‖ ≤ L₀ + L₁‖∇f‖ (def-l0l1); none for the quartic, which has a pair for every L₁ > 0:
        (4/L₁², L₁).

    Examples
    --------
    >>> f = Separable("cosh", 2)
    >>> f.bounds, f.smoothness, f.convexity
    ((1.0, 1.0), inf, 1.0)
    >>> f.gradient(torch.tensor([0.0, 1.0])), f.hessian_product(torch.zeros(2), torch.ones(2))
    (tensor([0.0000, 1.1752]), tensor([1., 1.]))
    """

    agents = 1
    _TORCH: ClassVar = {"Abs": torch.abs, "sign": torch.sign, "exp": torch.exp, "sinh": torch.sinh, "cosh": torch.cosh}

    def __init__(self, name: str, d: int = 1, **constants: float):
        if name not in formulas.LANDSCAPES:
            raise ValueError(f"name must be one of {', '.join(formulas.LANDSCAPES)}, got {name!r}")
        if not isinstance(d, int) or d < 1:
            raise ValueError(f"d must be a positive integer, got {d!r}")
        wanted = {symbol.name for symbol in formulas.LANDSCAPES[name][0].symbols} - {"x"}
        if set(constants) != wanted or not all(0 < value < inf for value in constants.values()):
            raise ValueError(f"{name} takes positive numbers {sorted(wanted)}, got {constants}")
        self.d, self.minimiser = d, torch.zeros(d, dtype=torch.float64)
        self._value, self._slope, self._curvature = (self._on_tensors(part, constants)
                                                     for part in formulas.LANDSCAPES[name])
        top, l0, l1 = (constants.get(letter, default) for letter, default in (("H", inf), ("L_0", None), ("L_1", None)))
        least, self.bounds = {"quadratic": (top, (top, 0.0)), "quartic": (0.0, None), "cosh": (1.0, (1.0, 1.0)),
                              "extremal": (l0, (l0, l1))}[name]
        self.smoothness = self.agent_smoothness = self.agent_smoothness_rms = top
        self.convexity = self.agent_convexity = least

    def _on_tensors(self, formula, constants):
        values = {symbol: float(constants[symbol.name]) for symbol in formula.symbols if symbol.name != "x"}
        elementwise = formula.expression.subs(values).replace(sp.sign, sp.Function("sign"))  # not an if on a tensor
        written = sp.lambdify(formulas.x, elementwise, modules=[self._TORCH])
        return lambda x: written(x) + torch.zeros_like(x)  # a constant is one number for each coordinate, too

    def loss(self, x: Tensor) -> Tensor:
        """f(x), shape (…)."""
        return self._value(x).sum(-1)

    def gradients(self, x: Tensor) -> Tensor:
        """∇f(x) as that of the one agent, shape (…, 1, d)."""
        return self._slope(x)[..., None, :]

    def gradient(self, x: Tensor) -> Tensor:
        """∇f(x), shape (…, d)."""
        return self._slope(x)

    def hessian_product(self, x: Tensor, v: Tensor) -> Tensor:
        """∇²f(x) v, shape (…, d)."""
        return self._curvature(x) * v


def random_quadratic(d: int, top: float, generator: torch.Generator) -> Quadratic:
    """f(x) = xᵀAx − yᵀx with A = QᵀDQ, Q a random rotation, D uniform on (1, top) and y on (0, 1), on one node.

    These are the problems of Figure 7 of Beznosikov et al. 2023. The Hessian is 2A, so that κ is at most `top`.

    Examples
    --------
    >>> f = random_quadratic(100, 10.0, torch.Generator().manual_seed(0))
    >>> f.agents, f.d, 8 < f.smoothness / f.convexity < 10
    (1, 100, True)
    """
    if not top > 1:
        raise ValueError(f"top must be above 1, got {top!r}")
    options = {"generator": generator, "dtype": torch.float64, "device": generator.device}
    rotation = torch.linalg.qr(torch.randn(d, d, **options)).Q
    spectrum = 1 + (top - 1) * torch.rand(d, **options)
    matrix = rotation.mT @ (spectrum[:, None] * rotation)
    return Quadratic((matrix + matrix.mT)[None], torch.rand(1, d, **options))


def _shares(features, targets, agents: int) -> tuple[Tensor, Tensor, Tensor]:
    """The rows dealt out in order: features (N, m, d), targets (N, m), and weights (N, m) that sum to 1 for each agent.

    Where the rows do not divide evenly, the later agents have one row fewer, and a row of weight 0 in its place.
    """
    features = _finite("features", features, (None, None))
    targets = _finite("targets", targets, (len(features),)).to(features.device)
    if not 1 <= agents <= len(features):
        raise ValueError(f"agents must be from 1 to the number of rows, {len(features)}, got {agents}")
    most = -(-len(features) // agents)
    parts = torch.tensor_split(torch.arange(len(features), device=features.device), agents)
    index = torch.stack([torch.nn.functional.pad(part, (0, most - len(part))) for part in parts])
    weights = torch.zeros(agents, most, dtype=torch.float64, device=features.device)
    for share, part in zip(weights, parts, strict=True):
        share[: len(part)] = 1 / len(part)
    return features[index], targets[index], weights


def least_squares(features, targets, agents: int = 1) -> Quadratic:
    """fᵢ(x) = the mean over agent i's rows of ½(⟨a, x⟩ − y)², up to a constant that `gap` does not see.

    Parameters
    ----------
    features : Tensor or array, shape (rows, d)
    targets : Tensor or array, shape (rows,)
    agents : int
        The rows are dealt out in order, as evenly as they go.

    Examples
    --------
    >>> f = least_squares([[1.0, 0.0], [0.0, 2.0]], [3.0, 4.0])
    >>> f.minimiser.tolist(), f.smoothness
    ([3.0, 2.0], 2.0)
    """
    rows, y, weights = _shares(features, targets, agents)
    weighted = weights[..., None] * rows
    return Quadratic(weighted.mT @ rows, (weighted.mT @ y[..., None])[..., 0])


class Logistic(Problem):
    """fᵢ(x) = the mean over agent i's rows of log(1 + exp(−y⟨a, x⟩)), plus (λ/2)‖x‖² with λ = `regularisation`.

    L = ‖mean of aaᵀ‖/4 + λ is attained at x = 0; μ = λ is the infimum of the curvature of f if some direction has a
    component along every row. The minimiser comes from Newton's method, to the last digits; for λ = 0 there need not be
    one.

    Parameters
    ----------
    features : Tensor or array, shape (rows, d)
    labels : Tensor or array, shape (rows,), of +1 and −1
    regularisation : float, at least 0
    agents : int
        The rows are dealt out in order, as evenly as they go.

    Examples
    --------
    >>> f = Logistic([[1.0, 0.0], [0.0, 2.0]], [1.0, -1.0], regularisation=0.1)
    >>> f.smoothness, f.convexity, bool(f.gradient(f.minimiser).norm() < 1e-14)
    (0.6, 0.1, True)
    """

    def __init__(self, features, labels, regularisation: float, agents: int = 1):
        self.rows, self.labels, self.weights = _shares(features, labels, agents)
        if not bool((self.labels.abs() == 1).all()):
            raise ValueError(f"labels must be +1 or −1, got {self.labels}")
        if not 0 <= regularisation < float("inf"):
            raise ValueError(f"regularisation must be at least 0, got {regularisation!r}")
        self.agents, self.d, self.regularisation = agents, self.rows.shape[-1], float(regularisation)
        second = (self.weights[..., None] * self.rows).mT @ self.rows
        self.smoothness = float(torch.linalg.matrix_norm(second.mean(0), 2)) / 4 + self.regularisation
        self._know_agents(torch.linalg.matrix_norm(second, 2) / 4 + self.regularisation)
        self.convexity = self.agent_convexity = self.regularisation

    def _margins(self, x: Tensor) -> Tensor:
        return self.labels * torch.einsum("nmd,...d->...nm", self.rows, x)

    def loss(self, x: Tensor) -> Tensor:
        """f(x), shape (…)."""
        data = (self.weights * torch.nn.functional.softplus(-self._margins(x))).sum(-1).mean(-1)
        return data + self.regularisation / 2 * x.square().sum(-1)

    def gradients(self, x: Tensor) -> Tensor:
        """∇fᵢ(x) for every agent, shape (…, N, d)."""
        pull = self.weights * self.labels * torch.sigmoid(-self._margins(x))
        return self.regularisation * x[..., None, :] - torch.einsum("...nm,nmd->...nd", pull, self.rows)

    @cached_property
    def minimiser(self) -> Tensor:
        """The minimiser of f, shape (d,): damped Newton steps until they no longer lower the gradient."""
        x = torch.zeros(self.d, dtype=torch.float64, device=self.rows.device)
        gradient = self.gradient(x)
        for _ in range(100):
            step = torch.linalg.solve(self._hessian(x), gradient)
            scale = 1.0
            while scale > 1e-6 and not self.gradient(x - scale * step).norm() < gradient.norm():
                scale /= 2
            if scale <= 1e-6:
                break
            x = x - scale * step
            gradient = self.gradient(x)
        return x

    def _hessian(self, x: Tensor) -> Tensor:
        sure = torch.sigmoid(self._margins(x))
        curved = (self.weights * sure * (1 - sure))[..., None] * self.rows
        return (curved.mT @ self.rows).mean(0) + self.regularisation * torch.eye(self.d, dtype=x.dtype, device=x.device)


class SineValley(Problem):
    """f(x) = x² + 3 sin²x on the line, one agent: not convex, but with ‖∇f‖² ≥ 2μ(f − f*) everywhere (def-pl).

    Examples
    --------
    >>> f = SineValley()
    >>> f.smoothness, round(f.convexity, 4), f.gap(torch.tensor([[3.0]], dtype=torch.float64)).shape
    (8.0, 0.1755, torch.Size([1]))
    """

    agents = d = 1
    smoothness = agent_smoothness = agent_smoothness_rms = 8.0  # sup |f″| = sup |2 + 6 cos 2x|, at x = 0
    agent_convexity = -4.0  # inf f″, at x = π/2

    def __init__(self):
        self.minimiser = torch.zeros(1, dtype=torch.float64)

    @cached_property
    def convexity(self) -> float:
        """μ, the least of f′²/(2f): found on a grid, refined twice; beyond |x| = 20 the quotient is above 1."""
        low, high = 0.1, 20.0
        for _ in range(3):
            x = torch.linspace(low, high, 200_001, dtype=torch.float64)
            quotient = (2 * x + 3 * torch.sin(2 * x)).square() / (2 * x.square() + 6 * torch.sin(x).square())
            best, cell = float(x[quotient.argmin()]), (high - low) / 200_000
            low, high = best - 2 * cell, best + 2 * cell
        return float(quotient.min())

    def loss(self, x: Tensor) -> Tensor:
        """f(x), shape (…)."""
        return (x.square() + 3 * torch.sin(x).square())[..., 0]

    def gradients(self, x: Tensor) -> Tensor:
        """f′(x), shape (…, 1, 1)."""
        return (2 * x + 3 * torch.sin(2 * x))[..., None, :]


def top_1_failure() -> Quadratic:
    """Three agents in three dimensions on which DCGD with Top-1 runs away from (t, t, t); ex-three-agents.

    fᵢ(x) = ⟨aᵢ, x⟩² + ¼‖x‖², where a₁ = (−3, 2, 2) and a₂, a₃ are its rotations (Beznosikov et al. 2023, Example 1).

    Examples
    --------
    >>> top_1_failure().gradients(2 * torch.ones(3, dtype=torch.float64))[0].tolist()
    [-11.0, 9.0, 9.0]
    """
    a = 2 - 5 * torch.eye(3, dtype=torch.float64)
    return _rank_one_plus(a, 0.5)


def top_k_failure(d: int, d1: int, b: float | None = None, c: float | None = None) -> Quadratic:
    """C(d, d₁) agents on which DCGD with Top-d₁ runs away from (t, …, t); ex-many-agents.

    fⱼ(x) = ⟨aⱼ, x⟩² + ½‖x‖², where aⱼ is −b on the j-th d₁-subset of the coordinates and c elsewhere, with
    −b d₁ + c d₂ = 1 and b > c + 1, d₂ = d − d₁ (Beznosikov et al. 2023, Example 2). Without b the paper's choice
    b = d₂ + d₂/d₁ is taken, and without c the one that b forces.

    Examples
    --------
    >>> top_k_failure(5, 2, b=4.5).agents
    10
    """
    d2 = d - d1
    if not 1 <= d1 < d2:
        raise ValueError(f"d1 must be from 1 to below d/2, got d1 = {d1} and d = {d}")
    b = d2 + d2 / d1 if b is None else b
    c = (1 + b * d1) / d2 if c is None else c
    if abs(c * d2 - b * d1 - 1) > 1e-9 * b * d or not b > c + 1:
        raise ValueError(f"b and c must satisfy −b d₁ + c d₂ = 1 and b > c + 1, got b = {b} and c = {c}")
    subsets = torch.tensor(list(combinations(range(d), d1)))
    a = torch.full((len(subsets), d), float(c), dtype=torch.float64).scatter_(1, subsets, -float(b))
    return _rank_one_plus(a, 1.0)


def _rank_one_plus(a: Tensor, curvature: float) -> Quadratic:
    """The agents fᵢ(x) = ⟨aᵢ, x⟩² + ½·curvature·‖x‖²."""
    matrices = 2 * a[:, :, None] * a[:, None, :] + curvature * torch.eye(a.shape[1], dtype=a.dtype)
    return Quadratic(matrices, torch.zeros_like(a))


def stuck(vectors) -> DiagonalQuadratic:
    """fᵢ(x) = ⟨vᵢ, x⟩ + ½‖x‖²: DCGD from 0 never moves if the messages of the vᵢ add up to 0; ex-stuck.

    Parameters
    ----------
    vectors : Tensor, shape (N, d)

    Examples
    --------
    >>> stuck([[1.0, 4.0], [-1.0, -2.0], [1.0, -2.0]]).minimiser.tolist()
    [-0.3333333333333333, 0.0]
    """
    v = _finite("vectors", vectors, (None, None))
    return DiagonalQuadratic(torch.ones_like(v), -v)
