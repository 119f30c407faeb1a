"""No stale pages: whatever the pages depend on besides themselves is part of the build's state.

Jupyter Book re-executes a notebook when its cells change, Sphinx re-reads a page when its text changes. Neither looks
at the library that the notebooks import. Here a fingerprint of the library and of the pinned requirements names the
cache of executed notebooks, and a fingerprint of those and of everything below ``book/`` is a configuration value on
which every page depends. If nothing changed, both stay and the build has nothing to do.

Notebooks that are not in the cache are executed before Sphinx reads the pages, one on each processor.
"""

import hashlib
import logging
import os
import re
import shutil
import sys
from pathlib import Path

from jupyter_cache import get_cache
from jupyter_cache.executors import load_executor

RUNS = ("lib/**/*", "requirements.txt")
MADE = re.compile(r"__pycache__|\.egg-info")
PAGES = (*RUNS, "book/**/*", "_config.yml", "_toc.yml", "references.bib", "tests/**/*.py")
PAGES += ("results/**/*", "_build/measured/*.json")


def fingerprint(root, patterns):
    """A short hash of the files below `root` that match `patterns`, names and contents, and of the Python version."""
    digest = hashlib.sha256(sys.version.encode())
    files = {path for pattern in patterns for path in root.glob(pattern) if path.is_file()}
    for path in sorted(path for path in files if not MADE.search(str(path.relative_to(root)))):
        digest.update(f"{path.relative_to(root)}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def name_cache(app, config):
    root = Path(app.srcdir)
    caches = Path(app.outdir).parent / "executed"
    current = caches / fingerprint(root, RUNS)
    if caches.is_dir():
        for old in caches.iterdir():
            if old != current:
                shutil.rmtree(old)
    config.nb_execution_cache_path = str(current)
    config.book_fingerprint = fingerprint(root, PAGES)


def fill_cache(app, env, docnames):
    """Execute what is not in the cache side by side; a notebook that fails is left to the page that reports it."""
    labs = [path for path in map(env.doc2path, docnames) if Path(path).suffix == ".ipynb"]
    if len(labs) < 2:
        return
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # kernels that share the processors stall each other with more
    cache = get_cache(app.config.nb_execution_cache_path)
    for lab in labs:
        cache.add_nb_to_project(str(lab))
    executor = load_executor("local-parallel", cache, logger=logging.getLogger("notebooks"))
    executor.logger.setLevel(logging.INFO)  # a line when one begins and when it ends
    executor.run_and_cache(timeout=app.config.nb_execution_timeout)


def setup(app):
    app.add_config_value("book_fingerprint", "", "env")
    app.connect("config-inited", name_cache)
    app.connect("env-before-read-docs", fill_cache)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
