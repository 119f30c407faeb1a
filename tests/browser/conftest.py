"""A real Chromium, found or fetched, and the built book served to it while every other host is out of reach."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Error, sync_playwright
from visits import MODES, Visit

from serve import served

ROOT = Path(__file__).resolve().parents[2]
# The headless shell is the same browser without windows of its own, and opens a page in a third of the time.
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
)


def on_path():
    return next(filter(None, map(shutil.which, NAMES)), None)


def from_playwright(playwright):
    """Playwright's own browser, downloaded now if it is not there yet."""
    own = Path(playwright.chromium.executable_path)
    if not own.exists():
        command = [sys.executable, "-m", "playwright", "install", "chromium"]
        subprocess.run(command, check=False, timeout=300, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return str(own) if own.exists() else None


def from_debian():
    """Debian's browser, installed now if this process may do that."""
    if os.geteuid() == 0 and shutil.which("apt-get"):
        quiet = {"check": False, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        quiet["env"] = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "update"], **quiet)
        for name in NAMES[:2]:
            if not on_path():
                subprocess.run(["apt-get", "-o", "DPkg::Lock::Timeout=300", "install", "-y", name], **quiet)
    return on_path()


@pytest.fixture(scope="session")
def browser():
    with sync_playwright() as playwright:
        for find in (on_path, lambda: from_playwright(playwright), from_debian):
            path = find()
            if path is None:
                continue
            try:
                chromium = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
            except Error:  # a browser that lacks a library of the system: try the next one
                continue
            yield chromium
            chromium.close()
            return
        pytest.fail("The browser tests need Chromium; none was found and none could be fetched: install chromium.")


@pytest.fixture(scope="session")
def site():
    """The address of the built book."""
    folder = ROOT / "_build" / "html"
    if not (folder / "index.html").exists():
        pytest.fail("There is no built book to look at: run `make book` first.")
    with served(folder) as address:
        yield address


@pytest.fixture
def contexts(browser):
    """``contexts(options)`` is a browser of a reader who was never here before; all are closed after the test."""
    made = []

    def new(**options):
        made.append(browser.new_context(**options))
        return made[-1]

    yield new
    for context in made:
        context.close()


@pytest.fixture
def visit(contexts, site):
    """``visit(path, mode)`` opens a page of the book, and returns the Visit."""
    return lambda path, mode="light": Visit(contexts(**MODES[mode]), site).open(path)


@pytest.fixture
def unset(contexts, site):
    """As ``visit``, but formulas stay as they are written: for what a page does beside them, and much quicker.

    ``only`` names an explorer: of the article there is that explorer alone.
    """

    def open_page(path, mode="light", only=None, **options):
        context = contexts(**(MODES[mode] | options))
        context.route("**/mathjax/**", lambda route: route.fulfill(body="", content_type="text/javascript"))
        if only:
            page = path.partition("#")[0]
            context.route(f"{site}/{page}*", lambda route: route.fulfill(body=pruned(page, only), content_type=HTML))
        return Visit(context, site).open(path, whole=False)

    return open_page


HTML = "text/html; charset=utf-8"


def pruned(path, name):
    """A page of the book with one explorer in the place of its article."""
    text = (ROOT / "_build" / "html" / path).read_text("utf-8")
    place = rf'<div class="gradpress-place" data-explorer="{name}".*?</div>(?:<script[^>]*></script>)+'
    found = re.search(place, text, re.DOTALL)[0]
    start, end = re.search(r"<article[^>]*>", text).end(), text.index("</article>")
    return text[:start] + found + text[end:]
