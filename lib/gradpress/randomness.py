"""Random draws that touch no global state, and no more of them than the law needs."""

from math import pi

import torch
from torch import Tensor


def uniform(shape, like: Tensor, generator=None) -> Tensor:
    """Independent uniform numbers in [0, 1), of the dtype and device of `like`."""
    return torch.rand(shape, dtype=like.dtype, device=like.device, generator=generator or private(like.device))


def integers(high: int, shape, device, generator=None) -> Tensor:
    """Independent uniform integers in [0, high), int64."""
    return torch.randint(high, shape, device=device, generator=generator or private(device))


def normal(shape, like: Tensor, generator=None) -> Tensor:
    """Independent standard normal numbers, of the dtype and device of `like`."""
    return torch.randn(shape, dtype=like.dtype, device=like.device, generator=generator or private(like.device))


def student(nu: float, shape, like: Tensor, generator=None) -> Tensor:
    """Independent numbers of Student's t-law with ν degrees of freedom, of the dtype and device of `like`.

    By the polar method: √(ν(U^{−2/ν} − 1)) cos 2πV with uniform U in (0, 1] and V (Bailey 1994).

    Examples
    --------
    >>> student(3.0, (4,), torch.empty(0), torch.Generator().manual_seed(0)).shape
    torch.Size([4])
    """
    generator = generator or private(like.device)
    radius = uniform(shape, like, generator).neg_().add_(1).log_().mul_(-2 / nu).expm1_().mul_(nu).sqrt_()
    return radius.mul_(uniform(shape, like, generator).mul_(2 * pi).cos_())


def private(device) -> torch.Generator:
    """A generator seeded by the operating system: what is used when the caller passes none."""
    generator = torch.Generator(device=device)
    generator.seed()
    return generator


def subset(d: int, k: int, rows: tuple[int, ...], device, generator=None) -> Tensor:
    """Uniform k-subsets of {0, …, d − 1}, one for each row: sorted int64 indices of shape ``(*rows, k)``.

    Draws k integers, then fresh ones for the repeated entries alone until none repeats. Every step treats all labels
    alike and it stops with exactly k distinct ones, so each k-subset is equally likely. For k > d/2 the complement is
    drawn instead: about min(k, d − k) numbers a row.

    Examples
    --------
    >>> subset(10, 3, (2,), "cpu", torch.Generator().manual_seed(0)).shape
    torch.Size([2, 3])
    """
    if 2 * k > d:
        return _complement(d, subset(d, d - k, rows, device, generator))
    generator = generator or private(device)
    chosen = integers(d, (*rows, k), device, generator).sort(-1).values
    while k > 1 and bool((repeated := chosen[..., 1:] == chosen[..., :-1]).any()):
        fresh = integers(d, (int(repeated.sum()),), device, generator)
        chosen[..., 1:][repeated] = fresh
        chosen = chosen.sort(-1).values
    return chosen


def _complement(d: int, indices: Tensor) -> Tensor:
    """The sorted indices of {0, …, d − 1} that are not in each row of `indices`."""
    rest = torch.ones((*indices.shape[:-1], d), dtype=torch.bool, device=indices.device)
    rest.scatter_(-1, indices, False)
    return positions(rest, d - indices.shape[-1])


def positions(mask: Tensor, count: int) -> Tensor:
    """The sorted indices of the True entries of each row, every row holding exactly `count` of them."""
    return mask.nonzero()[:, -1].view(*mask.shape[:-1], count)


_MARKS = 2**20  # bytes: a table that a processor's cache can hold


def subset_counts(d: int, k: int, agents: int, runs: int, device, generator=None) -> Tensor:
    """How many of `agents` independent uniform k-subsets of {0, …, d − 1} hold each number: int64, shape (runs, d).

    Every subset is filled as in `subset`, by uniform draws until it has k distinct numbers, but nothing is sorted.

    Examples
    --------
    >>> subset_counts(5, 2, 10, 3, "cpu", torch.Generator().manual_seed(0)).sum(1)
    tensor([20, 20, 20])
    """
    if 2 * k > d:
        return agents - subset_counts(d, d - k, agents, runs, device, generator)
    generator = generator or private(device)
    most = max(1, _MARKS // (d * agents))  # runs at a time
    parts = [_marks(d, k, agents, min(most, runs - first), device, generator).sum(1, dtype=_narrow(agents))
             for first in range(0, runs, most)]
    return torch.cat(parts, 1).T.contiguous().long()


def _narrow(most: int) -> torch.dtype:
    """The narrowest type that holds a count of at most `most`: narrow sums are many times faster on a CPU."""
    return torch.uint8 if most < 2**8 else torch.int16 if most < 2**15 else torch.int32


def _marks(d: int, k: int, agents: int, runs: int, device, generator) -> Tensor:
    """One where the number is in the agent's subset: uint8, shape (d, agents, runs)."""
    rows = agents * runs
    marks = torch.zeros(d * rows, dtype=torch.uint8, device=device)
    row = torch.arange(rows, device=device)
    marks[integers(d, (k, rows), device, generator).mul_(rows).add_(row).view(-1)] = 1
    lacking = k - marks.view(d, rows).sum(0, dtype=_narrow(k)).int()
    row = lacking.nonzero().squeeze(1)
    while len(row):
        at = integers(d, (len(row),), device, generator) * rows + row
        lacking[row] -= 1 - marks[at].int()
        marks[at] = 1
        row = row[lacking[row] > 0]
    return marks.view(d, agents, runs)
