"""The labs as they are stored: what nbval compares must be there to be compared with."""

from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
LABS = sorted((ROOT / "chapters").glob("**/lab.ipynb"))
FIRST_CELL = (ROOT / "book" / "first_cell.py").read_text().rstrip("\n")


@pytest.fixture(params=LABS, ids=lambda path: path.parent.name)
def code(request):
    """The code cells of one lab."""
    notebook = nbformat.read(request.param, as_version=4)
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_every_topic_has_a_lab():
    topics = [folder for folder in (ROOT / "chapters").iterdir() if folder.is_dir() and folder.name != "appendix"]
    assert topics
    assert [folder.name for folder in topics if folder / "lab.ipynb" not in LABS] == []


def test_first_cell_makes_it_run_anywhere(code):
    assert code[0].source == FIRST_CELL
    assert "hide-cell" in code[0].metadata.tags


def test_was_run_from_top_to_bottom(code):
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1)), "run `make labs`"


def test_checked_cells_have_something_to_check(code):
    checked = [cell for cell in code if "nbval-check-output" in cell.metadata.get("tags", [])]
    assert checked, "no cell of this lab is tagged nbval-check-output"
    assert [cell.source for cell in checked if not cell.outputs] == []


def test_only_printed_text_is_stored(code):
    """Pictures are made anew by the build; a warning or an error does not belong in a lab."""
    kinds = {(output.output_type, output.get("name")) for cell in code for output in cell.outputs}
    assert kinds <= {("stream", "stdout")}, "run `make labs`"


def test_no_folder_of_a_machine_is_stored(code):
    printed = "".join(output.text for cell in code for output in cell.outputs)
    assert str(Path.home()) not in printed, "run `make labs` with the mushrooms in the cache"
