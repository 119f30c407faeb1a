"""Compressors made of compressors: composition, scaling, and the induced unbiased operator."""

from dataclasses import dataclass, replace

from torch import Tensor

from .. import formulas, wire
from ..classes import B1, B2, B3, Unbiased
from ..formulas import exact
from .base import Compressor, require, unbiased_classes, vectors, with_b3


def member(compressor: Compressor, d: int, kind: type):
    """The first membership of the given kind, or None."""
    return next((found for found in compressor.membership(d) if isinstance(found, kind)), None)


def _prefixed(name: str, parts: dict) -> dict:
    return {f"{name}.{key}": value for key, value in parts.items()}


def _stripped(name: str, parts: dict) -> dict:
    return {key.removeprefix(f"{name}."): value for key, value in parts.items() if key.startswith(f"{name}.")}


@dataclass(frozen=True)
class Composition(Compressor):
    """x ↦ outer(inner(x)). Where `inner` sends positions and values, `outer` compresses the values alone.

    What is known of the classes is proved in chapter `compressors`, lem-composition and lem-top-k-dithering
    (Beznosikov et al. 2023, (16) and Lemma 16, corrected).

    Examples
    --------
    >>> from gradpress.compressors import NaturalDithering, TopK
    >>> c = Composition(outer=NaturalDithering(s=8, p=2), inner=TopK(5))
    >>> float(c.membership(100)[0].beta) < 9 / 8 + 0.001
    True
    """

    outer: Compressor
    inner: Compressor

    @property
    def unbiased(self) -> bool:
        return self.outer.unbiased and self.inner.unbiased

    @property
    def deterministic(self) -> bool:
        return self.outer.deterministic and self.inner.deterministic

    @property
    def keeps_support(self) -> bool:
        return self.outer.keeps_support and self.inner.keeps_support

    @property
    def selects(self) -> bool:
        return self.outer.selects and self.inner.selects

    def _on_values(self, d: int) -> bool:
        """Whether the outer operator may see the inner one's k values alone: zeros must not matter to it."""
        return self.inner.support(d) < d and self.outer.keeps_support

    def send(self, x, generator=None):
        if not self._on_values(x.shape[-1]):
            return _prefixed("outer", self.outer.send(self.inner(x, generator), generator))
        parts = self.inner.send(x, generator)
        values = parts.pop(self._values(parts))
        return _prefixed("inner", parts) | _prefixed("outer", self.outer.send(values, generator))

    def receive(self, parts, d, dtype):
        outer = _stripped("outer", parts)
        if not self._on_values(d):
            return self.outer.receive(outer, d, dtype)
        inner = _stripped("inner", parts)
        key = self._values(self.inner.fields(d, dtype))
        values = self.outer.receive(outer, self.inner.support(d), dtype)
        return self.inner.receive(inner | {key: values}, d, dtype)

    @staticmethod
    def _values(parts: dict) -> str:
        return next(key for key in ("values", "value") if key in parts)

    def shared(self, d, device, generator):
        return _prefixed("inner", self.inner.shared(d, device, generator)) if self._on_values(d) else {}

    def fields(self, d, dtype):
        if not self._on_values(d):
            zeros = d - self.inner.support(d)
            fields = self.outer.fields(d, dtype)
            fields |= {key: replace(f, zeros=zeros) for key, f in fields.items() if isinstance(f, wire.Signs)}
            return _prefixed("outer", fields)
        inner = dict(self.inner.fields(d, dtype))
        del inner[self._values(inner)]
        return _prefixed("inner", inner) | _prefixed("outer", self.outer.fields(self.inner.support(d), dtype))

    def moments(self, x):
        return self.outer.moments(self.inner(x)) if self.inner.deterministic else super().moments(x)

    def support(self, d):
        return min(self.inner.support(d), self.outer.support(d)) if self.outer.keeps_support else self.outer.support(d)

    def membership(self, d):
        support = self.inner.support(d)
        inside = support if self.outer.keeps_support else d
        outer, inner = (lambda kind: member(self.outer, inside, kind)), (lambda kind: member(self.inner, d, kind))
        if self.unbiased:
            return unbiased_classes(outer(Unbiased).zeta * inner(Unbiased).zeta)
        if self.outer.unbiased and inner(B2):
            zeta = outer(Unbiased).zeta
            first = B1(inner(B1).alpha, zeta * inner(B1).beta)
            return with_b3(B2(inner(B2).gamma, zeta * inner(B2).beta), first)
        if self.inner.selects and self.outer.keeps_support and outer(B2):
            second = B2(inner(B2).gamma * outer(B2).gamma, outer(B2).beta)
            first = B1(inner(B1).alpha * outer(B1).alpha, outer(B1).beta)
            return with_b3(second, first, B3(inner(B3).delta * outer(B3).delta) if outer(B3) else None)
        return ()


@dataclass(frozen=True)
class Scaled(Compressor):
    """x ↦ λ·C(x), λ > 0: the scaling of Theorems 6 and 7 (Beznosikov et al. 2023; chapter `classes`).

    A scaled random sparsification may be unbiased: each coordinate is kept with probability p, independently of the
    others, and divided by p.

    Examples
    --------
    >>> from gradpress.compressors import RandK, RandomSparsification
    >>> Scaled(RandK(2), factor=0.2).membership(10)[-1]
    B3(delta=5)
    >>> Scaled(RandomSparsification(0.25), factor=4).membership(10)[0]
    Unbiased(zeta=4)
    """

    compressor: Compressor
    factor: float

    def __post_init__(self):
        require(isinstance(self.factor, (int, float)) and 0 < self.factor < float("inf"),
                f"factor must be positive and finite, got {self.factor!r}")

    @property
    def unbiased(self) -> bool:
        return self.shrinkage is not None and abs(self.shrinkage - 1) < 1e-12  # 1/p need not be exact

    @property
    def shrinkage(self):
        """The factor times the inner operator's."""
        inner = self.compressor.shrinkage
        return None if inner is None else exact(self.factor) * inner

    @property
    def deterministic(self) -> bool:
        return self.compressor.deterministic

    @property
    def keeps_support(self) -> bool:
        return self.compressor.keeps_support

    def send(self, x, generator=None):
        return self.compressor.send(x, generator)

    def receive(self, parts, d, dtype):
        return self.factor * self.compressor.receive(parts, d, dtype)

    def shared(self, d, device, generator):
        return self.compressor.shared(d, device, generator)

    def fields(self, d, dtype):
        return self.compressor.fields(d, dtype)

    def moments(self, x):
        mean, second = self.compressor.moments(x)
        return self.factor * mean, self.factor**2 * second

    def support(self, d):
        return self.compressor.support(d)

    def membership(self, d):
        if self.factor == 1:
            return self.compressor.membership(d)
        first, second = member(self.compressor, d, B1), member(self.compressor, d, B2)
        if self.unbiased and second:  # E‖λC(x)‖² ≤ λ²β⟨E C(x), x⟩ = λβ‖x‖²
            return unbiased_classes(exact(self.factor) * second.beta)
        return with_b3(second.scaled(self.factor), first.scaled(self.factor)) if second else ()


@dataclass(frozen=True)
class Induced(Compressor):
    """The induced compressor x ↦ C(x) + Q(x − C(x)): unbiased, whatever C ∈ B³(δ) is, if Q ∈ U(ζ) is.

    In U(1 + (ζ − 1)(1 − 1/δ)). Horváth and Richtárik 2021; chapter `compressors`, lem-induced.

    Parameters
    ----------
    compressor : Compressor
        C, a member of B³(δ).
    correction : Compressor
        Q, unbiased.

    Examples
    --------
    >>> from gradpress.compressors import RandK, TopK
    >>> Induced(TopK(5), RandK(5)).membership(10)[0]
    Unbiased(zeta=3/2)
    """

    compressor: Compressor
    correction: Compressor
    unbiased = True

    def __post_init__(self):
        require(self.correction.unbiased, f"correction must be unbiased, got {self.correction}")

    @property
    def deterministic(self) -> bool:
        return self.compressor.deterministic and self.correction.deterministic

    def send(self, x, generator=None):
        parts = self.compressor.send(x, generator)
        rest = x - self.compressor.receive(parts, x.shape[-1], x.dtype)
        return _prefixed("first", parts) | _prefixed("rest", self.correction.send(rest, generator))

    def receive(self, parts, d, dtype) -> Tensor:
        first = self.compressor.receive(_stripped("first", parts), d, dtype)
        return first + self.correction.receive(_stripped("rest", parts), d, dtype)

    def shared(self, d, device, generator):
        first = _prefixed("first", self.compressor.shared(d, device, generator))
        return first | _prefixed("rest", self.correction.shared(d, device, generator))

    def fields(self, d, dtype):
        first = _prefixed("first", self.compressor.fields(d, dtype))
        return first | _prefixed("rest", self.correction.fields(d, dtype))

    def moments(self, x):
        x = vectors(x)
        if not self.compressor.deterministic:
            return super().moments(x)
        first = self.compressor(x)
        rest = x - first
        return x.clone(), first.square() + 2 * first * rest + self.correction.moments(rest)[1]

    def membership(self, d):
        third = member(self.compressor, d, B3)
        delta = third.delta if third else None
        require(delta is not None, f"compressor must have a known B³ constant on ℝᵈ, got {self.compressor}")
        zeta = member(self.correction, d, Unbiased).zeta
        return unbiased_classes(formulas.induced_zeta(delta=exact(delta), zeta=zeta))
