"""Run the lab notebooks anew and store them as they are kept: first cell in place, printed text, no pictures.

    python book/labs.py [LAB ...]     all of chapters/**/lab.ipynb unless some are named
"""

import subprocess
import sys
from pathlib import Path

import nbclient
import nbformat

ROOT = Path(__file__).resolve().parents[1]
FIRST_CELL = (ROOT / "book" / "first_cell.py").read_text().rstrip("\n")
STRIP = [sys.executable, "-m", "nbstripout", "--keep-output-type", "stream", "--keep-count", "--keep-id"]


def put_first_cell(notebook):
    """Make the first code cell the one that lets the notebook run anywhere; add it if it is not there."""
    place, cell = next((i, cell) for i, cell in enumerate(notebook.cells) if cell.cell_type == "code")
    if "GRADPRESS_BOOK" not in cell.source:
        cell = nbformat.v4.new_code_cell()
        notebook.cells.insert(place, cell)
    cell.source = FIRST_CELL
    cell.metadata["tags"] = ["hide-cell"]


def main(labs):
    for path in labs:
        print(path, flush=True)
        notebook = nbformat.read(path, as_version=4)
        put_first_cell(notebook)
        nbclient.execute(notebook, cwd=str(path.parent), timeout=300, coalesce_streams=True)
        nbformat.write(notebook, path)
        subprocess.run([*STRIP, str(path)], check=True)


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]] or sorted((ROOT / "chapters").glob("**/lab.ipynb")))
