"""What is written in several places agrees, and what the pages tell a reader to type works."""

import doctest
import re
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

import gradpress

ROOT = Path(__file__).resolve().parents[2]
PINS = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if line and not line.startswith("#")]
WHEEL = f"gradpress-{gradpress.__version__}-py3-none-any.whl"


def test_one_version():
    assert version("gradpress") == gradpress.__version__
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == gradpress.__version__


def test_first_cell_names_this_version_and_this_address():
    cell = (ROOT / "book" / "first_cell.py").read_text()
    address = yaml.safe_load((ROOT / "_config.yml").read_text())["html"]["baseurl"]
    assert f"/lib/{WHEEL}" in cell
    assert re.findall(r'environ\.get\("GRADPRESS_BOOK", "(.*)"\)', cell) == [address]


@pytest.mark.parametrize("pin", PINS)
def test_pins_are_exact_and_installed(pin):
    name, number = re.fullmatch(r"([A-Za-z0-9_.-]+)==([\w.]+)", pin).groups()
    assert version(name).split("+")[0] == number


@pytest.mark.parametrize("page", ["README.md", "intro.md"])
def test_examples_in_prose_run(page):
    [session] = re.findall(r"```pycon\n(.*?)```", (ROOT / page).read_text(), flags=re.DOTALL)
    runner = doctest.DocTestRunner()
    runner.run(doctest.DocTestParser().get_doctest(session, {}, page, page, 0))
    assert runner.tries > 0
    assert runner.failures == 0


def test_make_targets_named_in_the_readme_exist():
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = set(re.findall(r"make (\w+)", (ROOT / "README.md").read_text()))
    assert named
    assert named <= targets


def test_every_toc_entry_exists():
    toc = (ROOT / "_toc.yml").read_text()
    files = re.findall(r"file: (\S+)", toc)
    assert files
    assert [name for name in files if not list(ROOT.glob(f"{name}.md")) + list(ROOT.glob(f"{name}.ipynb"))] == []


def test_built_book_serves_the_whole_package():
    with zipfile.ZipFile(ROOT / "_build" / "html" / "lib" / WHEEL) as wheel:
        packed = {name: wheel.read(name) for name in wheel.namelist() if name.startswith("gradpress/")}
    source = {
        str(path.relative_to(ROOT / "lib")): path.read_bytes()
        for path in (ROOT / "lib" / "gradpress").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert packed.keys() == source.keys()
    assert packed == source
