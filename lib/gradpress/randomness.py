"""Random draws that touch no global state, and no more of them than the law needs."""

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
