"""What a notebook hands to the pages, and that it hands over nothing where nobody asks."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import sympy
import torch

from gradpress.quoting import plain, quote


@pytest.fixture
def glued(monkeypatch):
    """What arrives in a build of the book."""
    seen = {}

    def glue(name, value, display=True):
        assert not display
        seen[name] = value

    monkeypatch.setitem(sys.modules, "myst_nb", SimpleNamespace(glue=glue))
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: "a kernel"))
    return seen


@pytest.mark.parametrize("scalar", [0.25, np.float64(0.25), np.float32(0.25), torch.tensor(0.25), sympy.Rational(1, 4)])
def test_numbers_arrive_as_python_s_own(glued, scalar):
    quote({"quarter": scalar})
    assert glued == {"quarter": 0.25}
    assert type(glued["quarter"]) is float


@pytest.mark.parametrize("scalar", [7, np.int64(7), torch.tensor(7)])
def test_whole_numbers_stay_whole(glued, scalar):
    quote({"seven": scalar})
    assert type(glued["seven"]) is int
    assert plain(scalar) == 7


def test_outside_the_build_nothing_happens(glued, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))
    quote({"quarter": 0.25})
    monkeypatch.setitem(sys.modules, "myst_nb", None)
    quote({"quarter": 0.25})
    assert glued == {}
    assert capsys.readouterr().out == ""
