"""A lab, downloaded as one file, runs where torch, numpy, matplotlib and ipywidgets are, and nothing of ours."""

import ast
import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from serve import served

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / "_build" / "html"
LABS = sorted((ROOT / "chapters").glob("**/lab.ipynb"))
GIVEN = ("torch", "numpy", "matplotlib", "ipywidgets", "ipykernel", "nbclient")
LIST = "import importlib.metadata as m; print(sorted(d.name for d in m.distributions()))"
VERSIONS = "from importlib.metadata import version as v; print(v('torch'), v('numpy'))"


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """The Python of a fresh environment as a notebook service has it."""
    folder = tmp_path_factory.mktemp("bare")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    pins = [f"{name}=={version(name).split('+')[0]}" for name in GIVEN]
    python = folder / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-compile", *pins], check=True)
    return python


def ask(python, code):
    return subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Nothing of this checkout is within reach of what runs in the bare environment."""
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def execute(python, notebook, address):
    environment = {key: value for key, value in os.environ.items() if key != "GRADPRESS_BOOK"}
    if address:
        environment["GRADPRESS_BOOK"] = address
    command = [python.with_name("jupyter-execute"), "--inplace", "--timeout=300", str(notebook)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_without_an_address_the_first_cell_says_what_to_do(bare, elsewhere):
    assert "gradpress" not in ask(bare, LIST)
    lab = shutil.copy(LABS[0], elsewhere / "alone.ipynb")
    result = execute(bare, lab, "")
    assert result.returncode != 0
    assert "Set the environment variable GRADPRESS_BOOK" in result.stderr


def test_labs_find_alone_what_they_import(bare, elsewhere):
    """The first cell, which is the same in all labs, and every import; the rest they compute in other tests."""
    labs = [json.loads((SITE / "_sources" / lab.relative_to(ROOT)).read_text("utf-8")) for lab in LABS]
    cells = [[cell for cell in lab["cells"] if cell["cell_type"] == "code"] for lab in labs]
    assert len({"".join(first["source"]) for first, *_ in cells}) == 1
    others = [cell | {"source": imports("".join(cell["source"]))} for _, *rest in cells for cell in rest]
    assert sum(bool(cell["source"]) for cell in others) >= len(labs)
    copy = elsewhere / "imports.ipynb"
    copy.write_text(json.dumps(labs[0] | {"cells": [cells[0][0], *others]}), "utf-8")
    check(bare, copy)


def imports(source):
    """The import statements of a cell, and what it tries to import."""
    kinds = ast.Import | ast.ImportFrom
    found = [node for node in ast.parse(source).body if isinstance(getattr(node, "body", [node])[0], kinds)]
    return "\n".join(map(ast.unparse, found))


def test_a_whole_lab_runs_alone(bare, elsewhere):
    check(bare, shutil.copy(SITE / "_sources/chapters/descent/lab.ipynb", elsewhere / "downloaded.ipynb"))


def check(python, notebook):
    before = ask(python, VERSIONS)
    with served(SITE) as address:
        result = execute(python, notebook, address)
    assert result.returncode == 0, result.stderr[-3000:]
    assert ask(python, VERSIONS) == before, "the first cell touched torch or numpy"
