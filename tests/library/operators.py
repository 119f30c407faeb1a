"""Instances of every compressor of the library, made from the names of their parameters: a new one joins by itself."""

import itertools
from dataclasses import fields
from math import inf

import numpy as np
import torch

import gradpress.compressors as library
from gradpress.compressors import Compressor, NaturalCompression, NaturalDithering, RandK, RandomSparsification, TopK

D = 12

SAMPLES = {
    "k": (1, 5),
    "shared_seed": (False, True),
    "p": (0.3, 1, 2, 3.5, inf, tuple(0.1 + 0.07 * i for i in range(D))),
    "levels": (2.0, 3.5, (1.0, 1.25, 1.5, 1.75, 2.0)),
    "base": (2.0, 1.5),
    "s": (1, 2, 4),
    "rank": (1, 2),
    "rows": (None, 2),
    "compressor": (TopK(3), RandK(3)),
    "correction": (RandK(2), NaturalCompression()),
    "factor": (0.25, 1),
    "outer": (NaturalDithering(s=2), NaturalCompression(), RandK(2), library.BiasedRounding(3.0)),
    "inner": (TopK(3), RandK(3), RandomSparsification(0.5), library.AdaptiveSparsification()),
}


def instances(kind: type) -> list[Compressor]:
    """All instances of an operator that the samples allow; combinations that its constructor refuses are left out."""
    made = []
    names = [field.name for field in fields(kind) if field.init]
    unknown = [name for name in names if name not in SAMPLES]
    assert not unknown, f"tests/library/operators.py holds no samples for {unknown} of {kind.__name__}"
    for values in itertools.product(*(SAMPLES[name] for name in names)):
        try:
            compressor = kind(**dict(zip(names, values, strict=True)))
            compressor.membership(D)
        except ValueError:
            continue
        made.append(compressor)
    assert made, f"no sample makes an instance of {kind.__name__}"
    return made


KINDS = [getattr(library, name) for name in library.__all__ if name != "Compressor"]
ALL = [compressor for kind in KINDS for compressor in instances(kind)]


def closed_forms(compressor: Compressor) -> bool:
    """Whether the operator's moments are known in closed form."""
    try:
        compressor.moments(torch.ones(D, dtype=torch.float64))
    except NotImplementedError:
        return False
    return True


CLOSED = [compressor for compressor in ALL if closed_forms(compressor)]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def families(d: int, seed: int = 0) -> torch.Tensor:
    """Random, sparse, heavy-tailed and extreme vectors of dimension d, float64, shape (n, d), none of them zero."""
    rng = np.random.default_rng(seed)
    normal = rng.standard_normal((8, d))
    heavy = rng.standard_t(1.1, (8, d))
    sparse = normal * (rng.random((8, d)) < 0.25)
    sparse[:, 0] += 1.0
    log_uniform = np.exp(rng.uniform(-20, 20, (8, d))) * rng.choice([-1, 1], (8, d))
    rows = [normal, heavy, sparse, log_uniform, worst(d)]
    return torch.from_numpy(np.concatenate(rows))


def worst(d: int) -> np.ndarray:
    """Vectors at which the lemmas' bounds are attained: equal entries, one large entry, worst points of a cell."""
    rows = [np.ones(d), np.eye(d)[0], np.r_[1.0, np.zeros(d - 1)] + 1e-9]
    for size in range(1, d + 1):
        rows.append(np.r_[np.ones(size), np.zeros(d - size)])
    for t in np.r_[np.geomspace(1e-3, 1, 400), 2 / 3, 4 / 3, 1.75, 2.75, 3.5 * 2 / 4.5, 4.5 / 2]:
        rows.append(np.r_[1.0, np.full(d - 1, t)])
        rows.append(np.full(d, t))
        for size in (2, 3, 4):
            rows.append(np.r_[1.0, np.full(min(size, d) - 1, t), np.zeros(d - min(size, d))])
    return np.array(rows)
