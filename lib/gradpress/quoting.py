"""The numbers of a notebook that the book's pages quote."""

from collections.abc import Mapping


def quote(numbers: Mapping) -> None:
    """Hand numbers to the pages of the book that is being built; in any other place there is nothing to do.

    Parameters
    ----------
    numbers : mapping of str to number
        By the names under which the pages quote them; also scalars of NumPy, torch and SymPy.

    Examples
    --------
    >>> quote({"half": 0.5})
    """
    try:
        from IPython import get_ipython
        from myst_nb import glue
    except ImportError:
        return
    if get_ipython() is None:
        return
    for name, number in numbers.items():
        glue(name, plain(number), display=False)


def plain(number) -> int | float:
    """A scalar of any library as one of Python's, whole numbers as such.

    Examples
    --------
    >>> import torch
    >>> plain(torch.tensor(3)), plain(torch.tensor(0.5))
    (3, 0.5)
    """
    number = number.item() if hasattr(number, "item") else number
    return number if isinstance(number, int) else float(number)
