"""Every page of the built book as a reader meets it, on a laptop by day and by night and on a phone, offline."""

import collections
import functools
from pathlib import Path

import pytest
import yaml
from visits import MODES, Visit

ROOT = Path(__file__).resolve().parents[2]
AXE = Path(__file__).parent / "vendor" / "axe.min.js"
STANDARDS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
BUDGET = 600_000  # bytes that a page may transfer beyond what the pages share


def files(entries):
    for entry in entries:
        yield entry["file"]
        yield from files(entry.get("sections", []))


def built_pages():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    names = [toc["root"], *(name for part in toc["parts"] for name in files(part["chapters"]))]
    return [f"{name}.html" for name in [*names, "search", "genindex"]]


PAGES = built_pages()
# By day everything is checked; at night the colours alone are different, and on a phone they are not.
AXE_OPTIONS = {
    "light": {"runOnly": STANDARDS},
    "dark": {"runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}},
    "phone": {"runOnly": STANDARDS, "rules": {"color-contrast": {"enabled": False}}},
}
AXE_FINDS = """options => axe.run(document, options)
  .then(found => found.violations.map(v => v.id + ': ' + v.nodes.map(n => n.target)))"""
# What MathJax draws is hidden from a screen reader, which gets MathML. Going through both takes axe most of its time:
# it sees the text of the MathML alone.
FLATTEN_FORMULAS = """() => document.querySelectorAll('mjx-container').forEach(
  formula => formula.replaceChildren(formula.querySelector('mjx-assistive-mml').textContent))"""
LOOK = """() => ({
  overflow: document.documentElement.scrollWidth - innerWidth,
  withoutAlt: [...document.querySelectorAll('main img')]
    .filter(i => !(i.getAttribute('alt') || '').trim()).map(i => i.src),
  unset: [...document.querySelectorAll('main .math')]
    .filter(m => !m.querySelector('mjx-container')).map(m => m.textContent),
  wrong: [...document.querySelectorAll('mjx-merror, mjx-container [data-mjx-error]')].map(m => m.textContent),
  seeThrough: [...document.querySelectorAll('main article img')]
    .filter(i => /^rgba\\(.*, 0\\)$/.test(getComputedStyle(i).backgroundColor)).map(i => i.src),
})"""


@pytest.fixture(scope="module")
def look(browser, site):
    """``look(path)`` says what is to be seen on a page, mode by mode, and what it asked for.

    Setting the formulas takes most of the time, so each page is opened once, as on a phone, and then becomes a laptop's
    by day and by night: the theme follows the system's colours, and the layout the width, without loading anew.
    """
    context = browser.new_context(**MODES["phone"])

    @functools.cache
    def look_at(path):
        visit = Visit(context, site).open(path)
        page, seen = visit.page, {"sizes": visit.sizes()}
        for mode in ("phone", "light", "dark"):
            become(page, mode)
            seen[mode] = page.evaluate(LOOK)
        page.evaluate(FLATTEN_FORMULAS)
        page.add_script_tag(path=AXE)
        for mode in MODES:
            become(page, mode)
            seen[mode]["axe"] = page.evaluate(AXE_FINDS, AXE_OPTIONS[mode])
        page.close()
        return seen | {"foreign": visit.foreign, "failed": visit.failed, "errors": visit.errors}

    yield look_at
    context.close()


def become(page, mode):
    """Change the screen and the system's colours, and wait until the page has followed."""
    scheme = MODES[mode]["color_scheme"]
    page.set_viewport_size(MODES[mode]["viewport"])
    page.emulate_media(color_scheme=scheme)
    page.wait_for_function("scheme => document.documentElement.dataset.theme === scheme", arg=scheme)
    page.wait_for_timeout(250)  # fades of the theme, and explorers that draw themselves anew


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("mode", MODES)
def test_page(look, path, mode):
    seen = look(path) | look(path)[mode]
    assert seen["foreign"] == [], "asks other hosts"
    assert seen["failed"] == [], "requests fail"
    assert seen["errors"] == [], "errors in the console"
    assert seen["overflow"] <= 0, "wider than the screen"
    assert seen["withoutAlt"] == [], "pictures without a text"
    assert seen["unset"] == [], "formulas not set"
    assert seen["wrong"] == [], "formulas with a fault"
    if mode == "dark":
        assert seen["seeThrough"] == [], "pictures without a ground of their own in the dark"
    assert seen["axe"] == [], "faults that axe finds"


@pytest.fixture(scope="module")
def shared(look):
    """The addresses that the opening page or at least half of all pages ask for: a reader pays for them once."""
    sizes = [look(path)["sizes"] for path in PAGES]
    asked = collections.Counter(address for page in sizes for address in page)
    often = {address for address, pages in asked.items() if pages >= len(PAGES) / 2}
    return often | look("intro.html")["sizes"].keys() - {"/intro.html"}


@pytest.mark.parametrize("path", PAGES)
def test_weight(look, shared, path):
    own = {address: size for address, size in look(path)["sizes"].items() if address not in shared}
    assert own[f"/{path}"] > 0, "the page itself was not weighed"
    assert sum(own.values()) <= BUDGET, own


def test_search_answers_without_a_network(visit):
    seen = visit("search.html?q=compression")
    seen.page.wait_for_selector("#search-results li a", timeout=5_000)
    assert seen.foreign == []
    assert seen.errors == []


def test_theme_button_turns_the_page_dark(visit):
    """The button cycles through system, light and dark; in a light room one of the presses makes the page dark."""
    page = visit("intro.html", "light").page
    grounds = set()
    for _ in range(3):
        page.click(".theme-switch-button >> visible=true")
        grounds.add(page.evaluate("document.documentElement.dataset.theme"))
    assert grounds == {"light", "dark"}


@pytest.mark.parametrize("path", ["index.html", "chapters/compressors/derivation.html"])
def test_book_opens_from_the_disk(browser, path):
    """No server: a page opened as a file sets its formulas, keeps its look and complains of nothing."""
    context = browser.new_context(**MODES["light"])
    seen = Visit(context, (ROOT / "_build" / "html").as_uri()).open(path)
    look = seen.page.evaluate(LOOK)
    font = seen.page.evaluate("document.fonts.check('16px \\'Source Serif 4\\'')")
    context.close()
    assert (seen.foreign, seen.failed, seen.errors) == ([], [], [])
    assert (look["unset"], look["wrong"]) == ([], [])
    assert font, "the book's own type was not loaded"
