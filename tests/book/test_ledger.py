"""Statements, errata, tests, docstrings and symbols fit together: read from the sources, without a build."""

import re
from collections import Counter
from pathlib import Path

import pytest
import sources
from notation import groups

ROOT = Path(__file__).resolve().parents[2]
BLOCKS = sources.blocks(ROOT)
MARKS = sources.marks(ROOT)
KNOWN = {block.label for block in BLOCKS}
SYMBOLS = [entry for group in groups(ROOT) for entry in group["symbols"]]


def test_pages_state_something():
    assert len(BLOCKS) > 10


def test_every_statement_has_a_label():
    assert [block.place for block in BLOCKS if not block.label] == []


def test_no_label_stands_twice():
    assert [label for label, number in Counter(block.label for block in BLOCKS).items() if number > 1] == []


def test_every_statement_names_its_source():
    claims = [block for block in BLOCKS if block.kind != "erratum"]
    assert [block.place for block in claims if not block.source] == []


def test_every_statement_and_every_erratum_has_a_test():
    assert [f"{block.place} {block.label}" for block in BLOCKS if block.label not in MARKS.tests] == []


def test_marks_name_labels_that_the_book_has():
    assert sorted(set(MARKS.tests) - KNOWN) == []


def test_every_mark_can_be_read_and_reaches_a_test():
    assert MARKS.faults == []


def test_docstrings_name_labels_that_the_book_has():
    named = sources.library(ROOT)
    assert {label: [str(place) for place in places] for label, places in named.items() if label not in KNOWN} == {}


# ------------------------------------------------------------------------------------------------------ the collector


def collected(folder, **files):
    for name, text in files.items():
        path = folder / "tests" / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text("import pytest\n" + text)
    return sources.marks(folder)


def names(marks, label):
    return [place.name for place in marks.tests.get(label, [])]


ON_EVERY_LEVEL = """
pytestmark = [pytest.mark.refutes("thm-module")]

@pytest.mark.refutes("lem-one", "lem-two")
def test_function(): ...

@pytest.mark.refutes("lem-class")
class TestGroup:
    pytestmark = pytest.mark.refutes("lem-inside")
    def test_method(self): ...
    def helper(self): ...

@pytest.mark.parametrize("c", [1, pytest.param(2, marks=pytest.mark.refutes("lem-case"))])
def test_cases(c): ...
"""


def test_marks_are_found_on_every_level(tmp_path):
    marks = collected(tmp_path, test_a=ON_EVERY_LEVEL)
    assert marks.faults == []
    assert names(marks, "thm-module") == ["test_function", "TestGroup::test_method", "test_cases"]
    assert names(marks, "lem-one") == names(marks, "lem-two") == ["test_function"]
    assert names(marks, "lem-class") == names(marks, "lem-inside") == ["TestGroup::test_method"]
    assert names(marks, "lem-case") == ["test_cases"]


def test_marks_reach_tests_through_lists_functions_fixtures_and_imports(tmp_path):
    marks = collected(
        tmp_path,
        conftest='@pytest.fixture(params=[pytest.param(1, marks=pytest.mark.refutes("lem-fixture"))])\ndef op(): ...\n',
        cases='def build():\n    yield pytest.param(1, marks=pytest.mark.refutes("lem-made"))\nCASES = list(build())\n',
        test_a='from cases import CASES as ALL\n@pytest.mark.parametrize("c", ALL)\ndef test_listed(c): ...\n',
        test_b='every = pytest.mark.refutes("lem-alias")\n@every\ndef test_aliased(op): ...\n',
    )
    assert marks.faults == []
    assert names(marks, "lem-made") == ["test_listed"]
    assert names(marks, "lem-alias") == names(marks, "lem-fixture") == ["test_aliased"]


@pytest.mark.parametrize("mark", ["skip", "skipif(True, reason='')", "xfail"])
def test_a_test_that_is_left_out_refutes_nothing(tmp_path, mark):
    marks = collected(tmp_path, test_a=f'@pytest.mark.{mark}\n@pytest.mark.refutes("lem-one")\ndef test_it(): ...\n')
    assert names(marks, "lem-one") == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('LABEL = "lem-one"\n@pytest.mark.refutes(LABEL)\ndef test_it(): ...\n', "test_a.py:3: refutes() takes labels"),
        ("@pytest.mark.refutes()\ndef test_it(): ...\n", "test_a.py:2: refutes() takes labels"),
        ('CASES = [pytest.mark.refutes("lem-one")]\ndef test_it(): ...\n', "test_a.py:2: this refutes() mark reaches"),
    ],
)
def test_marks_that_say_nothing_are_faults(tmp_path, text, fault):
    [found] = collected(tmp_path, test_a=text).faults
    assert fault in found


def test_statements_are_found_in_pages_and_notebooks(tmp_path):
    folder = tmp_path / "chapters"
    folder.mkdir()
    page = ["# Page", "", "```{prf:lemma} Top-$k$; Someone 2023, Lemma 1", ":label: lem-one", "", "Text.", "```"]
    page += [":::{prf:proof}", "Why.", ":::", "```{erratum}", ":source: x", ":label: err-one", "```"]
    (folder / "page.md").write_text("\n".join(page))
    cell = '{"cells": [{"cell_type": "markdown", "source": ["````{prf:remark}\\n", "x\\n", "````"]}]}'
    (folder / "lab.ipynb").write_text(cell)
    found = {block.kind: block for block in sources.blocks(tmp_path)}
    assert set(found) == {"lemma", "erratum", "remark"}
    assert (found["lemma"].label, found["lemma"].source) == ("lem-one", "Someone 2023, Lemma 1")
    assert found["lemma"].place == "chapters/page.md:3"
    assert found["erratum"].label == "err-one"
    assert (found["remark"].label, found["remark"].source) == ("", "")


# ----------------------------------------------------------------------------------------------------------- notation


def same(symbol):
    """A symbol without what does not change its look: spaces, and braces around one letter or command."""
    return re.sub(r"\{(\\?\w+)\}", r"\1", symbol.replace(" ", ""))


def test_every_symbol_has_one_meaning():
    counted = Counter(same(symbol) for entry in SYMBOLS for symbol in entry["symbol"].split(", "))
    assert [symbol for symbol, number in counted.items() if number > 1] == []


def test_symbols_are_defined_where_the_notation_page_says():
    labels = [entry["where"] for entry in SYMBOLS if sources.LABEL.fullmatch(entry["where"])]
    assert labels
    assert sorted(set(labels) - KNOWN) == []


def test_symbols_say_what_they_are():
    keys = {"symbol", "meaning", "range", "where", "clashes"}
    assert [entry for entry in SYMBOLS if not {"symbol", "meaning", "where"} <= set(entry) <= keys] == []


@pytest.mark.parametrize(
    ("symbol", "source", "there"),
    [
        (r"\delta", "poster", "batch size"),
        (r"\beta", "poster", "multiplier of $\\omega$"),
        ("B", "Beznosikov", "affine"),
        ("N", "Beznosikov", "$n$"),
        ("k", "Beznosikov", "step"),
    ],
)
def test_the_clashes_of_the_sources_are_listed(symbol, source, there):
    [entry] = [entry for entry in SYMBOLS if entry["symbol"] == symbol]
    assert any(source in name and there in note for name, note in entry["clashes"].items())
