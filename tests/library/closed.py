"""What the tests of several chapters need: closed forms as numbers, and random numbers from a seed."""

from functools import cache

import torch

from gradpress import formulas


def value(formula, **known) -> float:
    """The formula at those of the values that it takes."""
    return float(compiled(formula.name)(*(known[symbol.name] for symbol in formula.symbols)))


@cache
def compiled(name: str):
    """The NumPy function of a formula, made once."""
    return formulas.ALL[name].function()


def generator(seed: int) -> torch.Generator:
    """Random numbers that no other test draws from."""
    return torch.Generator().manual_seed(seed)
