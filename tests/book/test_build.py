"""The build itself, on a small book with this book's configuration: nothing stale, nothing wrong passed over."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
OWN = ("freshness", "accessible")  # of the project's own extensions, those that do not ask for the book's chapters


def cell(source):
    return {"cell_type": "code", "id": "c0", "execution_count": None, "metadata": {}, "outputs": [], "source": source}


class SmallBook:
    def __init__(self, folder):
        self.folder = folder
        config = yaml.safe_load((ROOT / "_config.yml").read_text())
        local = config["sphinx"]["local_extensions"]
        config["sphinx"]["config"]["extensions"] = [
            name for name in config["sphinx"]["config"]["extensions"] if name not in local or name in OWN
        ]
        config["sphinx"]["local_extensions"] = {name: str(ROOT / "book" / "ext") for name in OWN}
        config["sphinx"]["config"] |= {"templates_path": [str(ROOT / "book" / "templates")], "html_static_path": []}
        config["sphinx"]["config"]["html_css_files"] = []
        config["html"]["favicon"] = ""
        self.write("_config.yml", yaml.safe_dump(config | {"logo": ""}))
        self.write("_toc.yml", "format: jb-book\nroot: intro\nchapters:\n  - file: lab\n")
        self.write("references.bib", "@misc{none, title = {None}, author = {Nobody}}")
        self.write("requirements.txt", "")
        self.write("intro.md", "# Start\n\nSee {doc}`lab`.\n")
        self.write_lab("import toy\nprint('the library says', toy.answer())")
        self.write("lib/toy.py", "def answer():\n    return 'forty-one'\n")

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def write_lab(self, source):
        title = {"cell_type": "markdown", "id": "m0", "metadata": {}, "source": "# Lab"}
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        metadata = {"kernelspec": kernel}
        notebook = {"cells": [title, cell(source)], "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
        self.write("lab.ipynb", json.dumps(notebook))

    def build(self):
        """Run the command of the Makefile on the small book."""
        command = [Path(sys.executable).with_name("jupyter-book"), "build", "-W", "-n", "--keep-going", self.folder]
        environment = os.environ | {"PYTHONPATH": str(self.folder / "lib")}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    @property
    def lab(self):
        return (self.folder / "_build" / "html" / "lab.html").read_text()


@pytest.fixture
def book(tmp_path):
    return SmallBook(tmp_path)


def test_change_in_the_library_reaches_the_page(book):
    first = book.build()
    assert first.returncode == 0, first.stdout + first.stderr
    assert "the library says forty-one" in book.lab
    again = book.build()
    assert again.returncode == 0
    assert "Executing notebook" not in again.stderr + again.stdout, "nothing changed, and yet the notebook ran again"
    book.write("lib/toy.py", "def answer():\n    return 'forty-two'\n")
    assert book.build().returncode == 0
    assert "the library says forty-two" in book.lab
    assert "forty-one" not in book.lab
    assert len(list((book.folder / "_build" / "executed").iterdir())) == 1, "old caches are removed"


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("intro.md", "# Start\n\nSee {ref}`nowhere`.\n", "nowhere"),
        ("intro.md", "# Start\n\n```{nosuch}\n```\n", "nosuch"),
        ("lib/toy.py", "def answer():\n    raise RuntimeError('broken on purpose')\n", "CellExecutionError"),
        ("lib/toy.py", "import warnings\n\n\ndef answer():\n    warnings.warn('careless')\n", "stderr"),
    ],
    ids=["reference", "directive", "failing cell", "warning in a cell"],
)
def test_faults_fail_the_build(book, name, text, complaint):
    book.write(name, text)
    result = book.build()
    assert result.returncode != 0
    assert complaint in result.stdout + result.stderr
