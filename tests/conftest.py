"""Shared set-up of all tests: one thread, so that small operations do not stall on a shared machine, and groups."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent / "library"))
torch.set_num_threads(1)


def pytest_itemcollected(item):
    """Each page and each explorer stays on one worker (``--dist loadgroup``), and so does what fills one table."""
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    subject = "" if "measured" in item.fixturenames else parameters.get("name", parameters.get("path", ""))
    item.add_marker(pytest.mark.xdist_group(f"{item.path.stem} {subject}"))
