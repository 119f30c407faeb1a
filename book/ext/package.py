"""The built book serves the package that its notebooks import: ``lib/gradpress-<version>-py3-none-any.whl``."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from freshness import fingerprint

SOURCES = ("lib/**/*", "pyproject.toml", "README.md", "LICENSE")


def build_wheel(root, folder):
    """Put the wheel of the package at `root` into `folder`; build from a copy, so that nothing is left in the tree."""
    with tempfile.TemporaryDirectory() as scratch:
        ignore = shutil.ignore_patterns("*.egg-info", "__pycache__")
        shutil.copytree(root / "lib", Path(scratch, "lib"), ignore=ignore)
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(root / name, scratch)
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
        subprocess.run([*command, "--wheel-dir", str(folder), scratch], check=True)


def serve_package(app, exception):
    if exception or app.builder.format != "html":
        return
    root, folder = Path(app.srcdir), Path(app.outdir, "lib")
    stamp = Path(app.outdir).parent / "wheel-fingerprint"
    current = fingerprint(root, SOURCES)
    if stamp.exists() and stamp.read_text() == current and list(folder.glob("*.whl")):
        return
    shutil.rmtree(folder, ignore_errors=True)
    build_wheel(root, folder)
    stamp.write_text(current)


def setup(app):
    app.connect("build-finished", serve_package)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
