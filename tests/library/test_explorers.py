"""The explorers' Python side: the widget, its script, its state, and the catalogue of operators."""

import re

import numpy as np
import pytest

from gradpress import compressors, formulas
from gradpress.explorers import DEFAULTS, TITLES, Explorer, catalogue, checked, esm, explorer, parsed

# Not in the menus: matrices and combinators have no picture on a vector of ten coordinates; natural dithering is
# exponential dithering with b = 2, which the menus have.
ELSEWHERE = {"Compressor", "PowerSGD", "Composition", "Scaled", "Induced", "NaturalDithering"}


def settings(operator, seed=0, count=8):
    """Some settings of an operator's parameters out of the grid that the controls offer."""
    random = np.random.default_rng(seed)
    grids = {name: catalogue.GRID[name] for name in operator.parameters}
    return [{name: grid[random.integers(len(grid))] for name, grid in grids.items()} for _ in range(count)]


def test_every_operator_of_the_library_is_in_the_menus():
    shown = {type(operator.make(**settings(operator)[0])).__name__ for operator in catalogue.OPERATORS.values()}
    assert set(compressors.__all__) - ELSEWHERE == shown - {"Composition"}


@pytest.mark.parametrize("name", catalogue.OPERATORS)
def test_lengths_are_those_of_the_library(name):
    """For every parameter that a reader can set, also for those that are left out of the table's keys."""
    operator = catalogue.OPERATORS[name]
    table = catalogue.bits_table(operator, 10)
    for setting in settings(operator):
        key = ",".join(f"{setting[parameter]:g}" for parameter in operator.bits_by)
        assert table[key] == operator.make(**setting).bits(10)


@pytest.mark.parametrize("name", DEFAULTS)
def test_script_is_one_module_that_imports_nothing(name):
    text = esm(name)
    assert not re.search(r"^\s*import\b|\bimport\s*\(|^\s*export .* from ", text, re.MULTILINE)
    assert text.count("export default") == 1
    assert "http" not in re.sub(r"http://www\.w3\.org/\d+/(svg|xhtml|xlink|xml|namespace|xmlns)\S*", "", text)
    assert len(text) < 150_000


@pytest.mark.parametrize("name", DEFAULTS)
def test_formulas_in_the_script_are_the_library_s(name):
    """Every formula that the script asks for exists, and stands in it as SymPy prints it."""
    text = esm(name)
    for used in set(re.findall(r"\bformulas\.(\w+)\(", text)):
        assert formulas.ALL[used].javascript() in text


@pytest.mark.parametrize("name", DEFAULTS)
def test_widget(name):
    widget = explorer(name)
    assert isinstance(widget, Explorer)
    assert (widget.name, widget.state, widget._esm) == (name, {}, esm(name))
    assert repr(widget) == f"explorer({name!r})"
    assert TITLES[name]


def test_widget_takes_a_state():
    assert explorer("compressors", c1="sign", x=[0.5] * 10).state == {"c1": "sign", "x": [0.5] * 10}


@pytest.mark.parametrize(
    ("name", "state"),
    [("compressor", {}), ("compressors", {"k": 3}), ("classes", {"lambda": "1"}), ("compressors", {"x": 3}),
     ("compressors", {"x": [1.0, 2.0]}), ("classes", {"d": True})],
)
def test_nonsense_is_refused_in_one_sentence(name, state):
    with pytest.raises(ValueError, match=r"^[^.\n]*(, got )[^\n]*$"):
        checked(name, state)


@pytest.mark.parametrize(("key", "text"), [("k1", "many"), ("x", "1, two")])
def test_text_that_is_no_value_is_refused(key, text):
    with pytest.raises(ValueError, match="must be a"):
        parsed("compressors", key, text)
