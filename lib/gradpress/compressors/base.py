"""What every compressor is: a map of vectors that says what it sends and which classes it belongs to."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import inf

import numpy as np
import torch
from torch import Tensor

from .. import wire
from ..classes import B1, B2, B3, Unbiased
from ..formulas import exact


@dataclass(frozen=True)
class Compressor(ABC):
    """A (possibly random) map of the last axis of a tensor, (…, d) → (…, d); each leading entry is compressed alone.

    A subclass says in `send` what leaves the sender and in `receive` what the receiver makes of it; C(x) is by
    definition `receive(send(x))`, so that an operator cannot use what its message does not hold.

    Attributes
    ----------
    unbiased : bool
        Whether E C(x) = x.
    deterministic : bool
        Whether C(x) is a function of x alone.
    keeps_support : bool
        Whether C(x)ᵢ = 0 wherever xᵢ = 0, with constants that depend on d through the number of non-zeros only.
    selects : bool
        Whether each C(x)ᵢ is either xᵢ or 0.
    """

    unbiased = False
    deterministic = False
    keeps_support = False
    selects = False

    def __call__(self, x, generator: torch.Generator | None = None) -> Tensor:
        """C(x) for floating-point x of shape (…, d) (a NumPy array is accepted); same shape, dtype and device."""
        x = vectors(x)
        return self.receive(self.send(x, generator), x.shape[-1], x.dtype)

    @property
    def shrinkage(self):
        """The number λ with E C(x) = λx for every x, exact; `None` if there is none or it is not known."""
        return exact(1) if self.unbiased else None

    @abstractmethod
    def send(self, x: Tensor, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """The parts of the message for x of shape (…, d), leading axes kept."""

    @abstractmethod
    def receive(self, parts: dict[str, Tensor], d: int, dtype: torch.dtype) -> Tensor:
        """C(x), rebuilt from the parts that `send` made."""

    @abstractmethod
    def fields(self, d: int, dtype: torch.dtype) -> dict[str, wire.Field]:
        """How each part of one vector's message is packed; parts that both sides draw from a shared seed are absent."""

    @abstractmethod
    def membership(self, d: int) -> tuple:
        """The classes that the operator belongs to on ℝᵈ, with exact constants."""

    def moments(self, x) -> tuple[Tensor, Tensor]:
        """E C(x) and, coordinate by coordinate, E C(x)ᵢ², both of shape (…, d), in closed form."""
        if not self.deterministic:
            raise NotImplementedError(f"{self!r} has no closed form for its moments: estimate them from draws")
        image = self(x)
        return image, image.square()

    def support(self, d: int) -> int:
        """The largest number of non-zero coordinates that C(x) can have on ℝᵈ."""
        return d

    def shared(self, d: int, device, generator) -> dict[str, Tensor]:
        """The parts that the receiver draws for itself, from a generator in the state that the sender's had."""
        return {}

    def encode(self, x, generator: torch.Generator | None = None) -> Tensor:
        """The bytes that carry C(x) for one vector of shape (d,): a uint8 tensor of shape (bytes,)."""
        x = vectors(x)
        if x.ndim != 1:
            raise ValueError(f"x must be one vector of shape (d,) to be encoded, got shape {tuple(x.shape)}")
        parts, packing = self.send(x, generator), self.fields(x.shape[0], x.dtype)
        return wire.pack(packing, {name: parts[name] for name in packing})

    def decode(self, message, d: int, dtype=torch.float32, generator: torch.Generator | None = None) -> Tensor:
        """C(x), shape (d,), bit for bit as the sender had it; `generator` only for messages with a shared seed."""
        parts = self.shared(d, message.device, generator) | wire.unpack(self.fields(d, dtype), message)
        return self.receive(parts, d, dtype)

    def bits(self, d: int, dtype=torch.float32) -> float:
        """The expected length of a message in bits, before padding to bytes.

        Where positions are sent, all sets of positions are taken as equally likely (exchangeable coordinates).
        """
        return float(sum(field.bits() for field in self.fields(d, dtype).values()))


def vectors(x) -> Tensor:
    """x as a tensor of vectors (…, d), or a `ValueError` that says what is wrong with it."""
    if isinstance(x, np.ndarray):
        x = torch.from_numpy(x)
    if not isinstance(x, Tensor):
        raise ValueError(f"x must be a torch tensor or a NumPy array, got {type(x).__name__}")
    if x.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"x must be float32 or float64, got {x.dtype}")
    if x.ndim == 0 or x.shape[-1] == 0:
        raise ValueError(f"x must have shape (…, d) with d ≥ 1, got shape {tuple(x.shape)}")
    if not bool(torch.isfinite(x).all()):
        raise ValueError("x must be finite, got NaN or infinity")
    return x.detach()


def require(condition: bool, sentence: str) -> None:
    """Raise a one-sentence `ValueError` unless the condition holds."""
    if not condition:
        raise ValueError(sentence)


def count(name: str, value) -> None:
    """Refuse a parameter that is not a positive integer."""
    require(isinstance(value, int) and not isinstance(value, bool) and value >= 1,
            f"{name} must be a positive integer, got {value!r}")


def at_most(name: str, value: int, d: int) -> None:
    """Refuse a number of coordinates that the vector does not have."""
    require(value <= d, f"{name} must be at most d = {d}, got {name} = {value}")


def norm_order(p) -> None:
    """Refuse a norm that is not an ℓ_p norm with p in [1, ∞]."""
    require(isinstance(p, (int, float)) and 1 <= p <= inf, f"p must lie in [1, ∞], got {p!r}")


def unbiased_classes(zeta) -> tuple:
    """All classes of an unbiased operator at λ = 1: U(ζ), B¹(1, ζ), B²(1, ζ) and, if ζ < 2, B³(1/(2 − ζ))."""
    member = Unbiased(zeta)
    return (member, member.to_b1().member, *with_b3(member.to_b2().member))


def with_b3(second: B2, first: B1 | None = None, third: B3 | None = None) -> tuple:
    """A B² membership with what follows from it at λ = 1, and sharper first or third members where they are known."""
    members = (first,) if first else ()
    if third is None and bool(second.beta < 2):
        third = second.to_b3(scale=1).member
    return (*members, second, *((third,) if third else ()))


def projection_classes(gamma, alpha=None) -> tuple:
    """All classes of an operator with E‖C(x)‖² = ⟨E C(x), x⟩ ≥ γ‖x‖²: B¹(γ, 1), B²(γ, 1), B³(1/γ)."""
    return (B1(gamma if alpha is None else alpha, 1), B2(gamma, 1), B3(1 / exact(gamma)))


def scatter(values: Tensor, indices: Tensor, d: int) -> Tensor:
    """The vectors (…, d) with the given values at the given indices, both (…, k), and zeros elsewhere."""
    return torch.zeros((*values.shape[:-1], d), dtype=values.dtype, device=values.device).scatter_(-1, indices, values)
