"""The book's interactive pictures: one widget class, one script each, the same in a static page and in Jupyter.

    >>> from gradpress.explorers import explorer
    >>> explorer("compressors", c1="rand-k", k1=2)  # doctest: +SKIP

An explorer computes and draws in the browser: Python never has to answer, and a saved notebook stays alive.
"""

import json
from functools import cache
from importlib.resources import files

from ..figures import COLOURS
from ..formulas import ALL
from .catalogue import menu

# What a picture shows at first; the keys are those of its address (#compressors:k1=3) and of `explorer(...)`.
DEFAULTS = {
}


def esm(name: str) -> str:
