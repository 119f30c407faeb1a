"""Sign operators. sign(0) = 0 throughout; the wire format pays for exact zeros only where they occur."""

from dataclasses import dataclass

from .. import formulas, wire
from ..classes import B1, B2, B3
from .base import Compressor


@dataclass(frozen=True)
class Sign(Compressor):
    """C(x) = sign(x), one bit a coordinate. It belongs to none of the classes: C(λx) = C(x), so m₁ → 0 as λ → ∞.

    Bernstein et al. 2018; chapter `compressors`, lem-sign.

    Examples
    --------
    >>> import torch
    >>> Sign()(torch.tensor([2.0, 0.0, -0.1]))
    tensor([ 1.,  0., -1.])
    >>> Sign().membership(3)
    ()
    """

    deterministic = keeps_support = True

    def send(self, x, generator=None):
        return {"signs": x.sign().char()}

    def receive(self, parts, d, dtype):
        return parts["signs"].to(dtype)

    def fields(self, d, dtype):
        return {"signs": wire.Signs(d)}

    def membership(self, d):
        return ()


@dataclass(frozen=True)
class ScaledSign(Compressor):
    """C(x) = (‖x‖₁/d) sign(x): the sign with the scale that makes it a contraction.

    C ∈ B¹(1/d², 1), B²(1/d, 1), B³(d); α would be 1/d if sign(0) were ±1. Karimireddy et al. 2019; chapter
    `compressors`, lem-sign.

    Examples
    --------
    >>> import torch
    >>> ScaledSign()(torch.tensor([3.0, -1.0]))
    tensor([ 2., -2.])
    """

    deterministic = True

    def send(self, x, generator=None):
        return {"scale": x.abs().mean(-1, keepdim=True), "signs": x.sign().char()}

    def receive(self, parts, d, dtype):
        return parts["scale"] * parts["signs"].to(dtype)

    def fields(self, d, dtype):
        return {"scale": wire.Floats((1,), dtype), "signs": wire.Signs(d)}

    def membership(self, d):
        alpha, gamma = formulas.scaled_sign_alpha(d=d), formulas.scaled_sign_gamma(d=d)
        return (B1(alpha, 1), B2(gamma, 1), B3(1 / gamma))
