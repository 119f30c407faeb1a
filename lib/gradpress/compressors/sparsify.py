"""Operators that keep some coordinates and drop the rest (Beznosikov et al. 2023, §2.2 (a)–(d))."""

from dataclasses import dataclass

import torch
from torch import Tensor

from .. import formulas, wire
from ..formulas import exact
from ..randomness import positions, subset, uniform
from .base import Compressor, at_most, count, projection_classes, require, scatter, unbiased_classes, vectors


@dataclass(frozen=True)
class Identity(Compressor):
    """C(x) = x: no compression, and a member of every class with all constants 1.

    Examples
    --------
    >>> Identity().membership(5)[0]
    Unbiased(zeta=1)
    >>> Identity().bits(10)
    320.0
    """

    unbiased = deterministic = keeps_support = selects = True

    def send(self, x, generator=None):
        return {"values": x.clone()}

    def receive(self, parts, d, dtype):
        return parts["values"].clone()

    def fields(self, d, dtype):
        return {"values": wire.Floats((d,), dtype)}

    def membership(self, d):
        return unbiased_classes(1)


@dataclass(frozen=True)
class RandK(Compressor):
    """Rand-k: k coordinates chosen uniformly at random, scaled by d/k; C ∈ U(d/k).

    Beznosikov et al. 2023, (8) and Lemma 8; chapter `compressors`, lem-rand-k.

    Parameters
    ----------
    k : int
        Coordinates kept, 1 ≤ k ≤ d.
    shared_seed : bool
        Both sides draw the positions from generators in the same state, so that the message holds the k values alone.

    Examples
    --------
    >>> RandK(2)(torch.ones(4), torch.Generator().manual_seed(1)).sum()
    tensor(4.)
    >>> RandK(2, shared_seed=True).bits(1000)
    64.0
    """

    k: int
    shared_seed: bool = False
    unbiased = True

    def __post_init__(self):
        count("k", self.k)

    def send(self, x, generator=None):
        d = x.shape[-1]
        at_most("k", self.k, d)
        indices = subset(d, self.k, x.shape[:-1], x.device, generator)
        return {"indices": indices, "values": x.gather(-1, indices) * (d / self.k)}

    def receive(self, parts, d, dtype):
        return scatter(parts["values"], parts["indices"], d)

    def shared(self, d, device, generator):
        return {"indices": subset(d, self.k, (), device, generator)} if self.shared_seed else {}

    def fields(self, d, dtype):
        at_most("k", self.k, d)
        values = {"values": wire.Floats((self.k,), dtype)}
        return values if self.shared_seed else {"indices": wire.Subset(d, self.k), **values}

    def moments(self, x):
        x = vectors(x)
        at_most("k", self.k, x.shape[-1])
        return x.clone(), x.square() * (x.shape[-1] / self.k)

    def membership(self, d):
        at_most("k", self.k, d)
        return unbiased_classes(formulas.rand_k_zeta(d=d, k=self.k))

    def support(self, d):
        at_most("k", self.k, d)
        return self.k


@dataclass(frozen=True)
class RandomSparsification(Compressor):
    """Biased random sparsification: coordinate i is kept, unscaled, with probability pᵢ, independently of the others.

    C ∈ B¹(q, 1), B²(q, 1), B³(1/q) with q = min pᵢ. Beznosikov et al. 2023, (9) and Lemma 9 (which needs the pᵢ alone,
    not independence); chapter `compressors`, lem-random-sparsification.

    Parameters
    ----------
    p : float or tuple of floats
        One probability for all coordinates, or one for each of the d coordinates; each in (0, 1].

    Examples
    --------
    >>> RandomSparsification(0.25).membership(8)
    (B1(alpha=1/4, beta=1), B2(gamma=1/4, beta=1), B3(delta=4))
    """

    p: float | tuple[float, ...]
    keeps_support = selects = True

    def __post_init__(self):
        for value in self.p if isinstance(self.p, tuple) else (self.p,):
            require(isinstance(value, (int, float)) and 0 < value <= 1, f"p must lie in (0, 1], got {value!r}")

    @property
    def shrinkage(self):
        """p, if it is one number for all coordinates."""
        return None if isinstance(self.p, tuple) else exact(self.p)

    def probabilities(self, d: int, like: Tensor) -> Tensor:
        """The inclusion probabilities, shape (d,)."""
        if isinstance(self.p, tuple):
            require(len(self.p) == d, f"p must have one entry per coordinate, got {len(self.p)} for d = {d}")
        return torch.as_tensor(self.p, dtype=like.dtype, device=like.device).expand(d)

    def send(self, x, generator=None):
        keep = uniform(x.shape, x, generator) < self.probabilities(x.shape[-1], x)
        return {"kept": torch.where(keep, x, 0.0)}

    def receive(self, parts, d, dtype):
        return parts["kept"].clone()

    def fields(self, d, dtype):
        self.probabilities(d, torch.empty(0))
        return {"kept": wire.SparseFloats(d, self.p, dtype)}

    def moments(self, x):
        x = vectors(x)
        p = self.probabilities(x.shape[-1], x)
        return p * x, p * x.square()

    def membership(self, d):
        self.probabilities(d, torch.empty(0))
        q = min(self.p) if isinstance(self.p, tuple) else self.p
        return projection_classes(formulas.sparsification_gamma(q=q))


@dataclass(frozen=True)
class AdaptiveSparsification(Compressor):
    """Adaptive random sparsification: one coordinate, unscaled, chosen with probability |xᵢ|/‖x‖₁.

    C ∈ B¹(1/d, 1), B²(1/d, 1), B³(d). Beznosikov et al. 2023, (10) and Lemma 10; `compressors`, lem-adaptive.

    Examples
    --------
    >>> AdaptiveSparsification()(torch.tensor([0.0, -2.0, 0.0]))
    tensor([ 0., -2.,  0.])
    """

    keeps_support = selects = True

    def send(self, x, generator=None):
        # In double precision and from magnitudes of at most 1, so that no cell of the cumulated law is lost.
        reach = x.double().abs() / x.double().abs().amax(-1, keepdim=True).clamp_min(torch.finfo(torch.float64).tiny)
        cumulated = reach.cumsum(-1)
        point = uniform((*x.shape[:-1], 1), reach, generator) * cumulated[..., -1:]
        last = (cumulated < cumulated[..., -1:]).sum(-1, keepdim=True)  # a point rounded up to the end stays inside
        index = torch.minimum(torch.searchsorted(cumulated, point, right=True), last.clamp_max(x.shape[-1] - 1))
        return {"index": index, "value": x.gather(-1, index)}

    def receive(self, parts, d, dtype):
        return scatter(parts["value"], parts["index"], d)

    def fields(self, d, dtype):
        return {"index": wire.Symbols(1, d), "value": wire.Floats((1,), dtype)}

    def moments(self, x):
        x = vectors(x)
        largest = x.abs().amax(-1, keepdim=True).clamp_min(torch.finfo(x.dtype).tiny)
        share = x.abs() / largest
        share = share / share.sum(-1, keepdim=True).clamp_min(torch.finfo(x.dtype).tiny)
        return share * x, share * x.square()

    def membership(self, d):
        return projection_classes(formulas.adaptive_gamma(d=d))

    def support(self, d):
        return 1


@dataclass(frozen=True)
class TopK(Compressor):
    """Top-k: the k coordinates of largest magnitude, unscaled; ties go to the lowest index on every machine.

    C ∈ B¹(k/d, 1), B²(k/d, 1), B³(d/k). Beznosikov et al. 2023, (11) and Lemma 11; `compressors`, lem-top-k.

    Parameters
    ----------
    k : int
        Coordinates kept, 1 ≤ k ≤ d.

    Examples
    --------
    >>> TopK(2)(torch.tensor([1.0, -3.0, 2.0, 2.0]))
    tensor([ 0., -3.,  2.,  0.])
    """

    k: int
    deterministic = keeps_support = selects = True

    def __post_init__(self):
        count("k", self.k)

    def send(self, x, generator=None):
        at_most("k", self.k, x.shape[-1])
        size = x.abs()
        threshold = size.topk(self.k, sorted=False).values.amin(-1, keepdim=True)
        above, tied = size > threshold, size == threshold
        keep = above | (tied & (tied.cumsum(-1) <= self.k - above.sum(-1, keepdim=True)))
        indices = positions(keep, self.k)
        return {"indices": indices, "values": x.gather(-1, indices)}

    def receive(self, parts, d, dtype):
        return scatter(parts["values"], parts["indices"], d)

    def fields(self, d, dtype):
        at_most("k", self.k, d)
        return {"indices": wire.Subset(d, self.k), "values": wire.Floats((self.k,), dtype)}

    def membership(self, d):
        at_most("k", self.k, d)
        return projection_classes(formulas.top_k_gamma(d=d, k=self.k))

    def support(self, d):
        at_most("k", self.k, d)
        return self.k
