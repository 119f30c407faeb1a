# Fetch what is missing here, gradpress from the book itself; torch and numpy stay as they are.
import importlib
import os
import subprocess
import sys
from importlib.metadata import version
from importlib.util import find_spec

book = os.environ.get("GRADPRESS_BOOK", "")
pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
needed = {"sympy": "sympy", "anywidget": "anywidget", "tqdm": "tqdm", "sklearn": "scikit-learn"}
missing = [package for module, package in needed.items() if not find_spec(module)]
if missing:
    subprocess.run([*pip, *missing, *(f"{name}=={version(name)}" for name in ("torch", "numpy"))], check=True)
if not find_spec("gradpress"):
    if not book:
        raise RuntimeError("Set the environment variable GRADPRESS_BOOK to the book's address, then run this again.")
    subprocess.run([*pip, "--no-deps", f"{book.rstrip('/')}/lib/gradpress-0.1.0-py3-none-any.whl"], check=True)
importlib.invalidate_caches()
