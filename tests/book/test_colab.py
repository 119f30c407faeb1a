"""A lab, downloaded as one file, runs where torch, numpy, matplotlib and ipywidgets are, and nothing of ours."""

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


@pytest.mark.parametrize("lab", LABS, ids=lambda path: path.parent.name)
def test_lab_runs_alone(bare, elsewhere, lab):
    before = ask(bare, VERSIONS)
    # The file that the page's download button gives, not the one in the source.
    copy = shutil.copy(SITE / "_sources" / lab.relative_to(ROOT), elsewhere / "downloaded.ipynb")
    with served(SITE) as address:
        result = execute(bare, copy, address)
    assert result.returncode == 0, result.stderr[-3000:]
    assert ask(bare, VERSIONS) == before, "the first cell touched torch or numpy"
