"""Shared set-up of all tests: one thread, so that small operations do not stall on a shared machine."""

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent / "library"))
torch.set_num_threads(1)
