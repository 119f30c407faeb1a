"""Every page of the built book as a reader meets it, on a laptop by day and by night and on a phone, offline."""

import functools
from pathlib import Path

import pytest
import yaml
from visits import AXE, AXE_OPTIONS, MODES, Visit

ROOT = Path(__file__).resolve().parents[2]
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
AXE_FINDS = """options => axe.run(document, options)
  .then(found => found.violations.map(v => v.id + ': ' + v.nodes.map(n => n.target)))"""
# What MathJax draws is hidden from a screen reader, which gets MathML. Going through both takes axe most of its time:
# it sees the text of the MathML alone.
FLATTEN_FORMULAS = """() => document.querySelectorAll('mjx-container').forEach(
  formula => formula.replaceChildren(formula.querySelector('mjx-assistive-mml').textContent))"""
# The colours of code come from the classes of a word and of what it stands in: axe sees the first visible word of each
# kind (it passes over what is folded).
FLATTEN_CODE = """() => {
  const seen = new Set(), place = '.cell_input, .cell_output, .admonition, .proof, .exercise, .solution, details';
  for (const word of document.querySelectorAll('.highlight pre span')) {
    const kind = [word, word.parentElement, word.closest('.highlight').parentElement, word.closest(place)]
      .map(part => part?.className ?? '').join(' in ');
    if (seen.has(kind)) word.replaceWith(...word.childNodes);
    else if (word.checkVisibility({visibilityProperty: true})) seen.add(kind);
  }
}"""
LOOK = """() => ({
  overflow: document.documentElement.scrollWidth - innerWidth,
  withoutAlt: [...document.querySelectorAll('main img')]
    .filter(i => !(i.getAttribute('alt') || '').trim()).map(i => i.src),
  unset: [...document.querySelectorAll('main .math')]
    .filter(m => !m.querySelector('mjx-container')).map(m => m.textContent),
  wrong: [...document.querySelectorAll('mjx-merror, mjx-container [data-mjx-error], mtext[mathcolor="red"]')]
    .map(m => m.textContent),  // what is red is a command that MathJax does not know
})"""
SEE_THROUGH = """() => [...document.querySelectorAll('main article img')]
  .filter(i => /^rgba\\(.*, 0\\)$/.test(getComputedStyle(i).backgroundColor)).map(i => i.src)"""


@pytest.fixture(scope="module")
def look(browser, site):
    """``look(path)`` says what is to be seen on a page, mode by mode, and what it asked for.

    Setting the formulas takes most of the time, so each page is opened once, as on a phone, and then becomes a laptop's
    by day and by night: the theme follows the system's colours, and the layout the width, without loading anew.
    Pictures do not move by themselves: while they do, the theme puts off its look at what can be scrolled.
    """
    context = browser.new_context(**MODES["phone"], reduced_motion="reduce")

    @functools.cache
    def look_at(path):
        visit = Visit(context, site).open(path)
        page, seen = visit.page, {"sizes": visit.sizes()}
        seen["phone"] = page.evaluate(LOOK)
        visit.become("light")
        seen["light"] = page.evaluate(LOOK)
        page.evaluate(FLATTEN_FORMULAS)
        page.evaluate(FLATTEN_CODE)
        page.add_script_tag(path=AXE)
        seen["light"]["axe"] = page.evaluate(AXE_FINDS, AXE_OPTIONS["light"])
        visit.become("dark")
        seen["dark"] = {"seeThrough": page.evaluate(SEE_THROUGH), "axe": page.evaluate(AXE_FINDS, AXE_OPTIONS["dark"])}
        visit.become("phone")
        seen["phone"]["axe"] = page.evaluate(AXE_FINDS, AXE_OPTIONS["phone"])
        page.close()
        return seen | {"foreign": visit.foreign, "failed": visit.failed, "errors": visit.errors}

    yield look_at
    context.close()


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("mode", MODES)
def test_page(look, path, mode):
    seen = look(path)[mode]
    if mode == "dark":  # the layout is that of the day
        assert seen["seeThrough"] == [], "pictures without a ground of their own in the dark"
    else:
        assert seen["overflow"] <= 0, "wider than the screen"
        assert seen["withoutAlt"] == [], "pictures without a text"
        assert seen["unset"] == [], "formulas not set"
        assert seen["wrong"] == [], "formulas with a fault"
    assert seen["axe"] == [], "faults that axe finds"


@pytest.mark.parametrize("path", PAGES)
def test_page_asks_for_nothing_that_is_not_there(look, path):
    seen = look(path)
    assert seen["foreign"] == [], "asks other hosts"
    assert seen["failed"] == [], "requests fail"
    assert seen["errors"] == [], "errors in the console"


@pytest.mark.parametrize("path", PAGES)
def test_weight(look, path):
    """Theme, type, what sets formulas and the index of the search a reader fetches once for all pages."""
    sizes = look(path)["sizes"]
    own = {name: size for name, size in sizes.items() if not name.startswith(("/_static/", "/searchindex.js"))}
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


@pytest.mark.parametrize("path", ["intro.html", "chapters/compressors/derivation.html"])
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


def test_the_folder_s_own_address_leads_to_the_opening_page(unset):
    unset("").page.wait_for_url("**/intro.html", timeout=5_000)
