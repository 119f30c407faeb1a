"""PowerSGD: one step of subspace iteration as a compressor (Vogels et al. 2019)."""

from dataclasses import dataclass
from math import isqrt

import torch
from torch import Tensor

from .. import formulas, wire
from ..randomness import normal
from .base import Compressor, count, projection_classes, require, vectors


@dataclass(frozen=True)
class PowerSGD(Compressor):
    """Rank-r approximation: x is a matrix M (rows × columns), and C(x) = P Pᵀ M with P an orthonormal basis of M Q.

    Called as `c(x, generator)` it starts from a fresh Gaussian Q (columns × r). Then C ∈ B¹(r/m, 1), B²(r/m, 1),
    B³(m/r) with m = min(rows, columns) (this book's; chapter `compressors`, lem-powersgd). The warm start of Vogels et
    al. is `update(x, state)`, which takes Q from the last message and returns the next one: no constant is guaranteed
    for it, since a stale Q may be orthogonal to x. The message holds P and the new Q = MᵀP.

    Parameters
    ----------
    rank : int
        r ≥ 1; where it exceeds m, C is the identity up to rounding.
    rows : int, optional
        Rows of M; by default the largest divisor of d that is at most √d.

    Examples
    --------
    >>> x = torch.outer(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0, 5.0])).flatten()
    >>> torch.allclose(PowerSGD(rank=1, rows=2)(x, torch.Generator().manual_seed(0)), x)
    True
    """

    rank: int
    rows: int | None = None

    def __post_init__(self):
        count("rank", self.rank)
        if self.rows is not None:
            count("rows", self.rows)

    def shape(self, d: int) -> tuple[int, int, int]:
        """Rows, columns and the rank that is used, for vectors of dimension d."""
        rows = self.rows or next(rows for rows in range(isqrt(d), 0, -1) if d % rows == 0)
        require(d % rows == 0, f"rows must divide d = {d}, got rows = {rows}")
        return rows, d // rows, min(self.rank, rows, d // rows)

    def start(self, x: Tensor, generator=None) -> Tensor:
        """A fresh Gaussian Q for x of shape (…, d): the state that `update` takes, shape (…, columns, r)."""
        x = vectors(x)
        _, columns, rank = self.shape(x.shape[-1])
        return normal((*x.shape[:-1], columns, rank), x, generator)

    def update(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """C(x) from the given Q, and the Q to start from next time."""
        x = vectors(x)
        parts = self._parts(x, state)
        return self.receive(parts, x.shape[-1], x.dtype), parts["right"]

    def _parts(self, x: Tensor, start: Tensor) -> dict[str, Tensor]:
        rows, columns, rank = self.shape(x.shape[-1])
        require(start.shape == (*x.shape[:-1], columns, rank),
                f"state must have shape {(*x.shape[:-1], columns, rank)}, got {tuple(start.shape)}")
        matrix = x.reshape(*x.shape[:-1], rows, columns)
        scale = matrix.abs().amax((-2, -1), keepdim=True)  # a tiny or huge M must not vanish or overflow in M Q
        left = torch.linalg.qr(matrix / torch.where(scale > 0, scale, 1.0) @ start).Q
        return {"left": left, "right": matrix.mT @ left}

    def send(self, x, generator=None):
        return self._parts(x, self.start(x, generator))

    def receive(self, parts, d, dtype):
        return (parts["left"] @ parts["right"].mT).flatten(-2)

    def fields(self, d, dtype):
        rows, columns, rank = self.shape(d)
        return {"left": wire.Floats((rows, rank), dtype), "right": wire.Floats((columns, rank), dtype)}

    def membership(self, d):
        rows, columns, rank = self.shape(d)
        return projection_classes(formulas.power_sgd_gamma(m=min(rows, columns), r=rank))
