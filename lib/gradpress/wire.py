"""What is really sent: the parts of a message as bits, and the bits packed into bytes.

A *field* says how one part of a message travels. `pack` joins the parts, in the order of the fields and without gaps,
into one uint8 tensor, and `unpack` takes them apart again, bit for bit. Inside this module a stream of bits is a 1-D
uint8 tensor with one entry, 0 or 1, a bit. Everything works on the device of the tensors it is given.

The receiver must know the fields, and only them: nothing that a message could be read without is sent.

Examples
--------
>>> fields = {"index": Subset(d=1000, k=3), "value": Floats((3,), torch.float32)}
>>> parts = {"index": torch.tensor([7, 400, 998]), "value": torch.tensor([1.5, -0.0, float("inf")])}
>>> message = pack(fields, parts)
>>> message.dtype, len(message)
(torch.uint8, 16)
>>> unpack(fields, message)
{'index': tensor([  7, 400, 998]), 'value': tensor([1.5000, -0.0000,    inf])}
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

__all__ = [
    "Bits",
    "Field",
    "Floats",
    "RandomSubset",
    "Signs",
    "SparseFloats",
    "Subset",
    "Symbols",
    "pack",
    "unpack",
]


class Field(Protocol):
    """How one part of a message is sent. Both sides must hold equal fields."""

    def pack(self, values: Tensor) -> Tensor:
        """The bits of the part: a 1-D uint8 tensor of zeros and ones. A part the field cannot hold: ValueError."""

    def unpack(self, bits: Tensor) -> tuple[Tensor, int]:
        """The part at the head of `bits`, and how many bits it took. A corrupt or too short stream: ValueError."""

    def bits(self) -> float:
        """The expected number of bits, before the whole message is padded to bytes."""


def pack(fields: Mapping[str, Field], parts: Mapping[str, Tensor]) -> Tensor:
    """The message: the bits of all parts in the order of `fields`, padded with zeros to whole bytes (1-D uint8).

    Raises ValueError when the names differ or when a part does not suit its field.

    >>> pack({"flag": Bits(3)}, {"flag": torch.tensor([True, False, True])})
    tensor([160], dtype=torch.uint8)
    """
    if set(fields) != set(parts):
        raise ValueError(f"parts must have the names {sorted(fields)}, got {sorted(parts)}")
    streams = [torch.empty(0, dtype=torch.uint8)] if not fields else []
    for name, field in fields.items():
        try:
            streams.append(field.pack(parts[name]))
        except ValueError as error:
            raise ValueError(f"part {name!r}: {error}") from None
    return _to_bytes(torch.cat(streams))


def unpack(fields: Mapping[str, Field], message: Tensor) -> dict[str, Tensor]:
    """The parts of a message that `pack` made with equal fields, in the order of `fields`, on the message's device.

    Raises ValueError when the message is no 1-D uint8 tensor, is too short or too long, or holds no valid part. There
    is no checksum: an altered message that still reads as valid parts is read as those.

    >>> unpack({"flag": Bits(3)}, torch.tensor([160], dtype=torch.uint8))
    {'flag': tensor([ True, False,  True])}
    """
    if not isinstance(message, Tensor) or message.dtype != torch.uint8 or message.ndim != 1:
        raise ValueError(f"message must be a 1-D uint8 tensor, got {_kind(message)}")
    bits, parts = _from_bytes(message), {}
    for name, field in fields.items():
        try:
            parts[name], used = field.unpack(bits)
        except ValueError as error:
            raise ValueError(f"message cannot be read at part {name!r}: {error}") from None
        bits = bits[used:]
    if len(bits) >= 8 or bits.any():
        raise ValueError(f"message must end with its last part and fewer than 8 zero bits, got {len(bits)} bits more")
    return parts


# ---------------------------------------------------------------------------------------------------- checks and bits


def _kind(values) -> str:
    return f"{values.dtype} of shape {tuple(values.shape)}" if isinstance(values, Tensor) else type(values).__name__


def _check_size(name: str, value: int, low: int, high: int = 2**48) -> None:
    if not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{name} must be an integer from {low} to {high}, got {value!r}")


def _check_shape(values: Tensor, shape: tuple[int, ...]) -> None:
    if not isinstance(values, Tensor) or tuple(values.shape) != tuple(shape):
        raise ValueError(f"values must be a tensor of shape {tuple(shape)}, got {_kind(values)}")


def _checked_integers(values: Tensor, limit: int) -> Tensor:
    if values.is_floating_point() or values.is_complex() or values.dtype == torch.bool:
        raise ValueError(f"values must be integers, got {_kind(values)}")
    values = values.to(torch.int64)
    if values.numel() and (values.min() < 0 or values.max() >= limit):
        raise ValueError(f"values must lie in [0, {limit}), got {values.min().item()} to {values.max().item()}")
    return values


def _checked_positions(values: Tensor, d: int) -> Tensor:
    if not isinstance(values, Tensor) or values.ndim != 1:
        raise ValueError(f"values must be a 1-D tensor of positions, got {_kind(values)}")
    values = _checked_integers(values, d)
    wrong = (values[1:] <= values[:-1]).nonzero()
    if len(wrong):
        pair = values[wrong[0, 0] : wrong[0, 0] + 2].tolist()
        raise ValueError(f"values must be sorted and distinct, got {pair[0]} before {pair[1]}")
    return values


def _take(bits: Tensor, count: int) -> Tensor:
    if len(bits) < count:
        raise ValueError(f"it needs {count} bits, got {len(bits)}")
    return bits[:count]


def _to_bytes(bits: Tensor) -> Tensor:
    columns = torch.nn.functional.pad(bits, (0, -len(bits) % 8)).reshape(-1, 8)
    return (columns << torch.arange(7, -1, -1, dtype=torch.uint8, device=bits.device)).sum(1, dtype=torch.uint8)


def _from_bytes(message: Tensor) -> Tensor:
    octets = torch.arange(256, dtype=torch.uint8, device=message.device)
    bits = octets[:, None] >> torch.arange(7, -1, -1, dtype=torch.uint8, device=message.device) & 1
    return bits.index_select(0, message.to(torch.int32)).flatten()  # a table: four times as fast as shifting each byte


def _planes(values: Tensor, width: int) -> Tensor:
    """Non-negative integers below 2^width as bits: first the most significant bit of each, last the least."""
    planes = torch.empty((width, len(values)), dtype=torch.uint8, device=values.device)
    for i in range(width):
        planes[i] = (values >> (width - 1 - i)) & 1
    return planes.flatten()


def _integers(bits: Tensor, width: int, count: int) -> Tensor:
    """The inverse of `_planes` on the first width * count bits."""
    planes = _take(bits, width * count).reshape(width, count)
    values = torch.zeros(count, dtype=torch.int64, device=bits.device)
    for plane in planes:
        values = 2 * values + plane
    return values


def _width(m: int) -> int:
    """⌈log₂ m⌉: the bits that tell m things apart."""
    return (m - 1).bit_length()


def _one(value: int, like: Tensor) -> Tensor:
    return torch.full((1,), value, dtype=torch.int64, device=like.device)


# ------------------------------------------------------------------------------------------------------ plain fields


@dataclass(frozen=True)
class Floats:
    """Floating-point numbers as their raw IEEE bits, in the machine's byte order: NaN payloads and −0 survive.

    >>> Floats((2,), torch.bfloat16).bits()
    32.0
    """

    shape: tuple[int, ...]
    dtype: torch.dtype

    def __post_init__(self):
        if not self.dtype.is_floating_point:
            raise ValueError(f"dtype must be a floating-point type, got {self.dtype}")
        for size in self.shape:
            _check_size("shape's entries", size, 0)

    def pack(self, values: Tensor) -> Tensor:
        _check_shape(values, self.shape)
        if values.dtype != self.dtype:
            raise ValueError(f"values must be {self.dtype}, got {_kind(values)}")
        return _from_bytes(values.detach().reshape(-1).contiguous().view(torch.uint8))

    def unpack(self, bits: Tensor) -> tuple[Tensor, int]:
        used = int(self.bits())
        return _to_bytes(_take(bits, used)).view(self.dtype).reshape(self.shape), used

    def bits(self) -> float:
        return float(torch.finfo(self.dtype).bits * math.prod(self.shape))


@dataclass(frozen=True)
class Bits:
    """n booleans at one bit each.

    >>> Bits(3).unpack(torch.tensor([1, 0, 1, 1], dtype=torch.uint8))
    (tensor([ True, False,  True]), 3)
    """

    n: int

    def __post_init__(self):
        _check_size("n", self.n, 0)

    def pack(self, values: Tensor) -> Tensor:
        _check_shape(values, (self.n,))
        if values.dtype != torch.bool:
            raise ValueError(f"values must be booleans, got {_kind(values)}")
        return values.to(torch.uint8)

    def unpack(self, bits: Tensor) -> tuple[Tensor, int]:
        return _take(bits, self.n).to(torch.bool), self.n

    def bits(self) -> float:
        return float(self.n)


@dataclass(frozen=True)
class Symbols:
    """n integers in [0, m), m ≤ 2³¹, comes back as int64: groups of g of them, each read as one number in base m.

    A group takes ⌈g log₂ m⌉ bits, where one symbol alone takes ⌈log₂ m⌉. The size g is the one that takes the fewest
    bits a symbol while mᵍ ≤ 2⁶³. The last group may be shorter and takes fewer bits. m = 1 takes none.

    >>> field = Symbols(n=1000, m=3)
    >>> field.bits() / 1000, round(math.log2(3), 3)
    (1.587, 1.585)
    """

    n: int
    m: int

    def __post_init__(self):
        _check_size("n", self.n, 0)
        _check_size("m", self.m, 1, 2**31)

    def pack(self, values: Tensor) -> Tensor:
        _check_shape(values, (self.n,))
        values, streams = _checked_integers(values, self.m), []
        for start, size, count in self._runs():
            group = torch.zeros(count, dtype=torch.int64, device=values.device)
            for digits in values[start : start + size * count].reshape(count, size).unbind(1):
                group = group * self.m + digits
            streams.append(_planes(group, _width(self.m**size)))
        return torch.cat(streams)

    def unpack(self, bits: Tensor) -> tuple[Tensor, int]:
        used = int(self.bits())
        bits, streams = _take(bits, used), []
        for _, size, count in self._runs():
            width = _width(self.m**size)
            group, bits = _integers(bits, width, count), bits[width * count :]
            if count and group.max() > self.m**size - 1:
                raise ValueError(f"groups of {size} symbols must be below {self.m}^{size}, got {group.max().item()}")
            digits = torch.empty((count, size), dtype=torch.int64, device=bits.device)
            for i in range(size - 1, -1, -1):
                rest = group // self.m
                digits[:, i] = group - rest * self.m
                group = rest
            streams.append(digits.flatten())
        return torch.cat(streams), used

    def bits(self) -> float:
        return float(sum(_width(self.m**size) * count for _, size, count in self._runs()))

    def _runs(self) -> list[tuple[int, int, int]]:
        """(first symbol, symbols in a group, groups): the full groups, then the shorter one."""
        sizes = [g for g in range(1, 64) if self.m**g <= 2**63]
        g = min(sizes, key=lambda g: _width(self.m**g) / g)
        count, rest = divmod(self.n, g)
        return [(0, g, count), (count * g, rest, 1 if rest else 0)]


# -------------------------------------------------------------------------------------------------- sets of positions


def _rice_parameter(d: int, k: float) -> int:
    """The number r of low bits of a gap that are sent as they are, for about k positions out of d.

    Take a gap as geometric, P(gap ≥ t) = qᵗ, with the mean (d−k)/(k+1) that a uniform k-subset gives it: so
    q = (d−k)/(d+1). With Q = q^(2^r) the quotient has the mean Q/(1−Q). One more low bit saves Q/(1−Q) − Q²/(1−Q²) =
    Q/(1−Q²) bits of it, and that is worth its bit as long as Q² + Q > 1. Both sides must find the same r on any
    machine, so only operations that IEEE 754 rounds exactly are used: no logarithm.
    """
    ratio, r = (d - k) / (d + 1), 0
    while ratio > (math.sqrt(5) - 1) / 2:
        ratio, r = ratio * ratio, r + 1
    return r


def _complement(positions: Tensor, d: int) -> Tensor:
    kept = torch.ones(d, dtype=torch.bool, device=positions.device)
    kept[positions] = False
    return kept.nonzero().squeeze(1)


def _pack_gaps(positions: Tensor, d: int, typical: float) -> Tensor:
    """Sorted positions as Golomb–Rice gaps: all the low bits, then all the quotients in unary.

    `typical` is the size to expect, known to both sides: it sets the Rice parameter, and above d/2 the positions that
    are missing are sent instead.
    """
    if 2 * typical > d:
        positions, typical = _complement(positions, d), d - typical
    r = _rice_parameter(d, typical)
    gaps = torch.diff(positions, prepend=_one(-1, positions)) - 1
    ends = torch.cumsum((gaps >> r) + 1, 0) - 1  # a quotient q is q zeros, then a one
    unary = torch.zeros(int(ends[-1]) + 1 if len(ends) else 0, dtype=torch.uint8, device=positions.device)
    unary[ends] = 1
    return torch.cat([_planes(gaps & ((1 << r) - 1), r), unary])


def _unpack_gaps(bits: Tensor, d: int, typical: float, size: int) -> tuple[Tensor, int]:
    """The inverse of `_pack_gaps` for a set of `size` positions, and the number of bits it took."""
    inverted = 2 * typical > d
    k, typical = (d - size, d - typical) if inverted else (size, typical)
    r = _rice_parameter(d, typical)
    _take(bits, k * (r + 1))  # no message is shorter: this bounds what a false size can make us allocate
    low = _integers(bits, r, k)
    unary = bits[k * r :][: k + ((d - k) >> r)]  # as long as it can be: a longer one could overflow below
    ends = unary.nonzero().squeeze(1)[:k]
    if len(ends) < k:
        raise ValueError(f"{k} gaps must end within {len(unary)} bits, got {len(ends)} ends")
    quotients = torch.diff(ends, prepend=_one(-1, ends)) - 1
    positions = torch.cumsum((quotients << r) + low + 1, 0) - 1
    if k and positions[-1] >= d:
        raise ValueError(f"positions must be below {d}, got {positions[-1].item()}")
    used = k * r + (int(ends[-1]) + 1 if k else 0)
    return _complement(positions, d) if inverted else positions, used


@dataclass(frozen=True)
class Subset:
    """k distinct positions in [0, d), sorted, as int64: Golomb–Rice codes of the gaps between them.

    For k > d/2 the d − k missing positions are sent instead; k = 0 and k = d take no bits. `bits` is the mean over all
    k-subsets: a gap is at least t in C(d−t, k) of the C(d, k) subsets, so the mean quotient is Σⱼ C(d−j2ʳ, k)/C(d, k).

    Sources: Golomb 1966, Run-length encodings; Rice 1979, JPL Publication 79-22; Sattler et al. 2019, Sparse binary
    compression, for the positions of a sparse gradient.

    >>> field = Subset(d=10**6, k=1000)
    >>> floor = (math.lgamma(1e6 + 1) - math.lgamma(1e3 + 1) - math.lgamma(999e3 + 1)) / math.log(2)
    >>> round(field.bits() / floor, 3)
    1.008
    """

    d: int
    k: int

    def __post_init__(self):
        _check_size("d", self.d, 0)
        _check_size("k", self.k, 0, self.d)

    def pack(self, values: Tensor) -> Tensor:
        _check_shape(values, (self.k,))
        return _pack_gaps(_checked_positions(values, self.d), self.d, self.k)

    def unpack(self, bits: Tensor) -> tuple[Tensor, int]:
        return _unpack_gaps(bits, self.d, self.k, self.k)

    def bits(self) -> float:
        k = min(self.k, self.d - self.k)
        r = _rice_parameter(self.d, k)
        # P(gap ≥ t) ≤ exp(−kt/d): what is cut off is below e⁻⁶⁰ a term
        longest = min(self.d - k, 60 * self.d // max(k, 1))
        t = torch.arange(2**r, longest + 1, 2**r, dtype=torch.float64) if 2**r <= longest else torch.zeros(0)
        log_subsets = torch.lgamma(self.d - t + 1) - torch.lgamma(self.d - t - k + 1)
        log_all = math.lgamma(self.d + 1) - math.lgamma(self.d - k + 1)
        return k * (r + 1 + float(torch.exp(log_subsets - log_all).sum()))


@dataclass(frozen=True)
class RandomSubset:
    """A random set of positions in [0, d), sorted, as int64: its size in ⌈log₂(d+1)⌉ bits, then gaps as in `Subset`.

    Position i is in the set with probability p (or p[i], for a tuple of d numbers), independently. The Rice parameter
    is that of the expected size, which both sides know; any set at all can be sent, an unlikely one at more bits.
    `bits` is the exact mean under those probabilities.

    >>> field = RandomSubset(d=1000, p=0.01)
    >>> bits = field.pack(torch.tensor([3, 500]))
    >>> len(bits), round(field.bits(), 2), field.unpack(bits)
    (31, 89.58, (tensor([  3, 500]), 31))
    """

    d: int
    p: float | tuple[float, ...]

    def __post_init__(self):
        _check_size("d", self.d, 0)
        each = self.p if isinstance(self.p, tuple) else (self.p,)
        if isinstance(self.p, tuple) and len(each) != self.d:
            raise ValueError(f"p must be one number or {self.d} numbers, got {len(each)}")
        if not all(0 <= p <= 1 for p in each):
            raise ValueError(f"p must lie in [0, 1], got {next(p for p in each if not 0 <= p <= 1)}")

    def pack(self, values: Tensor) -> Tensor:
        values = _checked_positions(values, self.d)
        size = _planes(_one(len(values), values), _width(self.d + 1))
        return torch.cat([size, _pack_gaps(values, self.d, self._mean())])

    def unpack(self, bits: Tensor) -> tuple[Tensor, int]:
        head = _width(self.d + 1)
        size = int(_integers(bits, head, 1))
        if size > self.d:
            raise ValueError(f"the size of the set must be at most {self.d}, got {size}")
        positions, used = _unpack_gaps(bits[head:], self.d, self._mean(), size)
        return positions, head + used

    def bits(self) -> float:
        mean = self._mean()
        inverted = 2 * mean > self.d
        mean = self.d - mean if inverted else mean
        r = _rice_parameter(self.d, mean)
        if isinstance(self.p, tuple):
            p = torch.tensor(self.p, dtype=torch.float64)
            quotients = _mean_quotients(1 - p if inverted else p, r)
        else:
            quotients = _mean_quotients_of_equal(self.d, 1 - self.p if inverted else self.p, r)
        return _width(self.d + 1) + mean * (r + 1) + quotients

    def _mean(self) -> float:
        # both are the same double on every machine: fsum rounds once
        return math.fsum(self.p) if isinstance(self.p, tuple) else self.d * self.p


def _mean_quotients_of_equal(d: int, p: float, r: int) -> float:
    """Σ over t = 2ʳ, 2·2ʳ, … of the expected number of gaps ≥ t, (d−t) p (1−p)ᵗ; terms below e⁻⁶⁰ d p are left out."""
    longest = math.ceil(min(d, 60 / p)) if p else 0
    t = torch.arange(2**r, longest, 2**r, dtype=torch.float64) if 2**r < longest else torch.zeros(0)
    return float(((d - t) * p * torch.exp(t * math.log1p(-p))).sum()) if p < 1 else 0.0


def _mean_quotients(p: Tensor, r: int) -> float:
    """The same for unequal probabilities: a gap ≥ t before position i means that the t positions before i are out."""
    d, step, total = len(p), 2**r, 0.0
    out = 1 - p  # out[i]: the chance that the run of `length` positions from i on is out
    for length in (2**i for i in range(r) if step < d):
        out = out[:-length] * out[length:]
    run = out
    for t in range(step, d, step):
        expected = float((run[: d - t] * p[t:]).sum())
        total += expected
        if expected < 1e-15:  # it only falls with t
            break
        run = run[: d - t - step] * out[t : d - step] if t + step < d else run
    return total


@dataclass(frozen=True)
class SparseFloats:
    """A vector that is zero except where a random subset keeps it: the subset of non-zeros, then their IEEE bits.

    A −0 is sent as if it were no zero, so that it survives.

    Parameters
    ----------
    d : int
    p : float or tuple of floats
        Inclusion probabilities, as for `RandomSubset`: `bits` is exact for vectors without zeros of their own.
    dtype : torch.dtype

    Examples
    --------
    >>> field = SparseFloats(4, 0.5, torch.float32)
    >>> field.unpack(field.pack(torch.tensor([0.0, 1.5, 0.0, 0.0])))[0]
    tensor([0.0000, 1.5000, 0.0000, 0.0000])
    """

    d: int
    p: float | tuple[float, ...]
    dtype: torch.dtype

    def __post_init__(self):
        RandomSubset(self.d, self.p), Floats((self.d,), self.dtype)  # they check what they are given

    def pack(self, values: Tensor) -> Tensor:
        _check_shape(values, (self.d,))
        kept = ((values != 0) | values.signbit()).nonzero()[:, 0]
        floats = Floats((len(kept),), self.dtype)
        return torch.cat([RandomSubset(self.d, self.p).pack(kept), floats.pack(values[kept])])

    def unpack(self, bits: Tensor) -> tuple[Tensor, int]:
        kept, used = RandomSubset(self.d, self.p).unpack(bits)
        values, more = Floats((len(kept),), self.dtype).unpack(bits[used:])
        dense = torch.zeros(self.d, dtype=self.dtype, device=bits.device)
        dense[kept] = values  # scatter would rewrite a bfloat16 NaN
        return dense, used + more

    def bits(self) -> float:
        subset = RandomSubset(self.d, self.p)
        return subset.bits() + subset._mean() * torch.finfo(self.dtype).bits


# ------------------------------------------------------------------------------------------------------------- signs


@dataclass(frozen=True)
class Signs:
    """n signs out of {−1, 0, +1}, integers or floats (−0.0 is a zero); they come back as int8.

    One flag bit 0 says that no sign is zero; then each takes one bit. Otherwise the flag is 1, a second bit names the
    shorter way to say where the zeros are (0: a bitmap; 1: their number and their `Subset`), and each of the other
    signs takes one bit. `bits` is the cost with as many zeros as are to be expected: none, as in a gradient, if nothing
    else is said. With zeros it takes all places as equally likely, and the way that is shorter in the mean.

    >>> bits = Signs(4).pack(torch.tensor([1.0, -0.0, -3.0, 2.0]).sign())
    >>> Signs(4).unpack(bits), Signs(4).bits()
    ((tensor([ 1,  0, -1,  1], dtype=torch.int8), 9), 5.0)
    """

    n: int
    zeros: int = 0

    def __post_init__(self):
        _check_size("n", self.n, 0)
        _check_size("zeros", self.zeros, 0, self.n)

    def pack(self, values: Tensor) -> Tensor:
        _check_shape(values, (self.n,))
        if values.is_complex() or not values.dtype.is_signed:
            raise ValueError(f"values must be signed numbers, got {_kind(values)}")
        zero = values == 0
        wrong = values[~zero & (values != 1) & (values != -1)]
        if len(wrong):
            raise ValueError(f"values must be -1, 0 or 1, got {wrong[0].item()}")
        negative = (values[~zero] < 0).to(torch.uint8)
        flag = _one(0, values).to(torch.uint8)
        if len(negative) == self.n:
            return torch.cat([flag, negative])
        places = zero.nonzero().squeeze(1)
        count = _planes(_one(len(places), places), _width(self.n + 1))
        listing = torch.cat([flag + 1, count, Subset(self.n, len(places)).pack(places)])
        bitmap = torch.cat([flag, zero.to(torch.uint8)])
        return torch.cat([flag + 1, min(bitmap, listing, key=len), negative])

    def unpack(self, bits: Tensor) -> tuple[Tensor, int]:
        zeros, head = self._unpack_zeros(bits)
        used = head + self.n - len(zeros)
        negative = _take(bits, used)[head:].to(torch.int8)
        signs = torch.zeros(self.n, dtype=torch.int8, device=bits.device)
        signs[_complement(zeros, self.n)] = 1 - 2 * negative
        return signs, used

    def _unpack_zeros(self, bits: Tensor) -> tuple[Tensor, int]:
        """The positions of the zeros, and the bits before the first sign."""
        if not _take(bits, 1)[0]:
            return torch.empty(0, dtype=torch.int64, device=bits.device), 1
        if not _take(bits, 2)[1]:
            return _take(bits, 2 + self.n)[2:].nonzero().squeeze(1), 2 + self.n
        head = 2 + _width(self.n + 1)
        count = int(_integers(bits[2:], head - 2, 1))
        if count > self.n:
            raise ValueError(f"the number of zeros must be at most {self.n}, got {count}")
        zeros, used = Subset(self.n, count).unpack(bits[head:])
        return zeros, head + used

    def bits(self) -> float:
        if not self.zeros:
            return float(self.n + 1)
        listing = _width(self.n + 1) + Subset(self.n, self.zeros).bits()
        return 2 + min(self.n, listing) + self.n - self.zeros
