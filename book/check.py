"""Every check of the project, one after the other; the last line counts what passed and what failed.

A step that fails does not keep the later ones from running. The book is built first, because the browser tests read it.
"""

import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYTEST = (sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadscope")
STEPS = {
    "style": (sys.executable, "-m", "ruff", "check", "."),
    "book": (str(Path(sys.executable).with_name("jupyter-book")), "build", "-W", "-n", "--keep-going", "."),
    "library": (*PYTEST, "--dist", "worksteal", "--doctest-modules", "tests/library", "lib"),
    "notebooks": (*PYTEST, "--nbval-lax", "tests/notebooks", "chapters"),
    "book as built": (*PYTEST, "-n", "3", "--dist", "loadgroup", "tests/book", "tests/browser"),
}


def count(report):
    """(passed, failed, skipped) of one pytest run, from its report."""
    suites = list(ElementTree.parse(report).getroot().iter("testsuite"))
    tests, failures, errors, skipped = (
        sum(int(suite.get(name)) for suite in suites) for name in ("tests", "failures", "errors", "skipped")
    )
    return tests - failures - errors - skipped, failures + errors, skipped


def run(name, command, report):
    """Run one step and count; a step that is not a pytest run counts as one check."""
    print(f"\n=== {name}: {' '.join(command)}", flush=True)
    report.unlink(missing_ok=True)
    extra = (f"--junitxml={report}",) if "pytest" in command else ()
    alone = os.environ | {"OMP_NUM_THREADS": "1"}  # workers that share two cores stall each other with more
    status = subprocess.run([*command, *extra], cwd=ROOT, env=alone, check=False).returncode
    passed, failed, skipped = count(report) if report.exists() else (int(status == 0), 0, 0)
    return passed, failed or int(status != 0), skipped


def main():
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, command in STEPS.items():
            start = time.perf_counter()
            results[name] = (*run(name, command, Path(folder, "report.xml")), time.perf_counter() - start)
    print()
    for name, (passed, failed, skipped, seconds) in results.items():
        print(f"{name:14} {passed:6} passed {failed:4} failed {skipped:4} skipped {seconds:7.1f} s")
    passed, failed, skipped = (sum(counts[i] for counts in results.values()) for i in range(3))
    seconds = sum(row[-1] for row in results.values())
    print(f"{passed} passed, {failed} failed, {skipped} skipped in {seconds:.0f} s")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
