"""The directives on a small book: what they write, and what they refuse."""

import csv
import html
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONFIGURATION = """
project = "Small"
extensions = ["myst_parser", "sphinx_proof", "sphinxcontrib.bibtex", "instruments"]
myst_enable_extensions = ["dollarmath", "deflist"]
bibtex_bibfiles = ["some.bib"]
html_static_path = []
"""
ERRATUM = """
```{erratum}
:label: err-one
:source: Someone 2023
:place: Lemma 1, (7)
:weight: A

printed
: It is $\\alpha$.

holds
: It is $\\beta$, see {prf:ref}`lem-one`.

why
: The reason stands here.
```
"""
LEMMA = """
```{prf:lemma} Top-$k$; Someone 2023, Lemma 1
:label: lem-one

Text.
```
"""
QUIZ = """
```{quiz} Both kinds
- question: Is *it* $x<y$?
  choices:
    - text: No
      right: true
      why: Because of `x`.
    - text: 'Yes: **always**'
      why: See {prf:ref}`lem-one`.
- question: Which?
  choices:
    - {text: a, right: true, why: why a}
    - {text: b, right: true, why: why b}
    - {text: c, why: why c}
```
"""
CARDS = """
```{flashcards} The deck
- front: What is $\\alpha<1$, *really*?
  back: |
    A "number", $\\beta$, and

    $$\\gamma = 1$$
- front: second
  back: No
```
"""
TESTS = """
import pytest


@pytest.mark.refutes("lem-one", "err-one")
def test_top_k_keeps_its_share():
    assert True
"""


class Small:
    def __init__(self, folder, pages, tests):
        (folder / "tests").mkdir(parents=True)
        (folder / "tests" / "test_sample.py").write_text(tests)
        (folder / "conf.py").write_text(CONFIGURATION)
        (folder / "some.bib").write_text("@misc{someone, author={Some One}, title={Text}, year={2023}}\n")
        listing = "\n".join(["```{toctree}", *pages, "```"])
        (folder / "index.md").write_text(f"# Start\n\n{listing}\n")
        (folder / "chapters").mkdir()
        for name, text in pages.items():
            (folder / f"{name}.md").write_text(f"# {name.title()}\n\n{text}\n")
        self.folder, self.out = folder, folder / "out" / "html"
        command = [sys.executable, "-m", "sphinx", "-q", "-n", "-E", "-b", "html", folder, self.out]
        environment = os.environ | {"PYTHONPATH": str(ROOT / "book" / "ext")}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        self.warnings = re.sub(r"\x1b\[[\d;]*m", "", done.stderr)

    def page(self, name):
        return (self.out / f"{name}.html").read_text("utf-8")


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    pages = {
        "chapter": LEMMA + ERRATUM + "\nSee {ref}`err-one` and {prf:ref}`lem-one`.\n",
        "review": QUIZ + CARDS,
        "errata": "```{errata}\n```\n",
        "ledger": "```{ledger}\n```\n",
    }
    return Small(tmp_path_factory.mktemp("good"), pages, TESTS)


def test_a_good_book_has_no_warning(good):
    assert good.warnings == ""


def test_box_stands_where_it_is_written_and_can_be_referred_to(good):
    page = good.page("chapter")
    assert 'class="erratum" id="err-one" role="note"' in page
    assert 'href="#err-one"><span class="std std-ref">Erratum to Lemma 1, (7)</span>' in page
    for text in ("Someone 2023", "false as printed", "As printed in our copy of the text", "The reason stands here."):
        assert text in page


def test_errata_page_shows_the_box_with_its_tests_and_without_its_reason(good):
    page = good.page("errata")
    for text in ("As printed in our copy of the text", "What holds", r"\(\alpha\)", r"\(\beta\)", "mathjax"):
        assert text.lower() in page.lower()
    assert "The reason stands here." not in page
    assert 'href="chapter.html#err-one"' in page
    assert 'href="chapter.html#lem-one"' in page
    assert 'href="tests/test_sample.html#line-6"' in page


def test_ledger_shows_statement_source_and_tests(good):
    page = good.page("ledger")
    row = next(row for row in page.split("<tr") if "chapter.html#lem-one" in row)
    for words in ("Lemma", "Someone 2023, Lemma 1", "top k keeps its share", "tests/test_sample.html#line-6"):
        assert words in row
    assert "Top-" in row.split("Someone")[0]
    assert ";" not in re.sub("<[^>]*>", "", row.split("Someone")[0])


def test_the_tests_that_are_named_can_be_read_in_the_book(good):
    page = good.page("tests/test_sample")
    assert 'id="line-6"' in page
    assert "test_top_k_keeps_its_share" in html.unescape(re.sub("<[^>]*>", "", page))


def test_quiz_renders_markdown_and_tells_every_reason(good):
    page = good.page("review")
    assert page.count('type="radio"') == 2
    assert page.count('type="checkbox"') == 3
    assert page.count('data-right="true"') == 3
    assert r"<em>it</em>" in page
    assert '<span class="quiz-letter">a</span> No</label>' in page
    assert "<strong>always</strong></label>" in page
    reasons = re.findall(r"<details.*?</details>", page, re.DOTALL)
    assert [reason.count("<li>") for reason in reasons] == [2, 3]
    assert "Because of" in reasons[0]
    assert "chapter.html#lem-one" in reasons[0]
    assert all(f"why {letter}" in reasons[1] for letter in "abc")


def test_every_choice_has_a_label(good):
    page = good.page("review")
    inputs = re.findall(r'<input type="\w+" name="[\w-]+" id="([\w-]+)"', page)
    assert len(inputs) == len(set(inputs)) == 5
    assert all(f'<label for="{identity}">' in page for identity in inputs)


def test_deck_is_a_list_without_a_script(good):
    page = good.page("review")
    assert page.count('<dt class="flashcard-front">') == page.count('<dd class="flashcard-back">') == 2
    assert 'href="flashcards/the-deck.csv" download' in page


def test_deck_is_saved_as_csv_with_maths_for_anki(good):
    with (good.out / "flashcards" / "the-deck.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [
        [r"What is \(\alpha<1\), really?", "A “number”, \\(\\beta\\), and\n\\[\\gamma = 1\\]"],
        ["second", "No"],
    ]


def test_scripts_are_linked_where_they_are_used(good):
    assert all(script in good.page("review") for script in ("quiz.js", "flashcards.js"))
    assert not any(script in good.page("chapter") for script in ("quiz.js", "flashcards.js"))
    assert (good.out / "_static" / "quiz.js").exists()


# ------------------------------------------------------------------------------------------------------------ refusals


def erratum(**changes):
    text = ERRATUM
    for old, new in changes.values():
        assert old in text
        text = text.replace(old, new)
    return text.replace("err-one", "err-other")


def quiz(old, new):
    assert old in QUIZ
    return QUIZ.replace(old, new)


REFUSED = {
    "no-weight": (erratum(a=(":weight: A\n", "")), "erratum needs the option :weight:"),
    "weight": (erratum(a=(":weight: A", ":weight: D")), "the weight of an erratum is one of A, B"),
    "order": (erratum(a=("why\n:", "reason\n:")), "one definition list of printed, holds and why"),
    "extra": (erratum(a=("why\n:", "A paragraph.\n\nwhy\n:")), "one definition list of printed, holds and why"),
    "citation": (erratum(a=("The reason", "{cite}`someone`. The reason")), "no citation inside erratum"),
    "quotes": (quiz("Which?", '"Which?"'), "no double quotes"),
    "no-right": (quiz("      right: true\n", ""), "at least one with `right: true`"),
    "no-why": (quiz(", why: why c", ""), "expected the keys text, why, right?"),
    "truth": (quiz("right: true\n", "right: yes\n"), "`right` is true or false, not 'yes'"),
    "not-yaml": (quiz("text: No", "text: {No"), "the body of quiz is not YAML"),
    "not-a-list": ("```{quiz}\nquestion: x\n```\n", "the body of quiz is a YAML list"),
    "deck": (CARDS, "the deck 'The deck' exists already"),
    "card": (CARDS.replace("The deck", "Other").replace("  back: No\n", ""), "expected the keys front, back"),
    "no-label": (LEMMA.replace(":label: lem-one\n", ""), "this lemma has no label"),
    "no-source": (LEMMA.replace("; Someone 2023, Lemma 1", "").replace("lem-one", "lem-two"), "lem-two names no sou"),
    "no-test": (LEMMA.replace("lem-one", "lem-three"), "lem-three has no test marked refutes('lem-three')"),
    "erratum-test": (erratum(), "err-other has no test marked refutes('err-other')"),
}


@pytest.fixture(scope="module")
def bad(tmp_path_factory):
    pages = {"a-deck": CARDS} | {name: text for name, (text, _) in REFUSED.items()}
    pages |= {"lists": LEMMA + "```{ledger}\n```\n\n```{errata}\n```\n"}
    tests = TESTS + '\n\nCASES = [pytest.mark.refutes("lem-one")]\n'
    return Small(tmp_path_factory.mktemp("bad"), pages, tests)


@pytest.mark.parametrize("name", REFUSED)
def test_a_fault_is_a_warning_where_it_stands(bad, name):
    fault = REFUSED[name][1]
    assert re.search(rf"{name}\.md:\d+:.*{re.escape(fault)}", bad.warnings), bad.warnings


def test_a_mark_that_reaches_no_test_is_a_warning(bad):
    assert "tests/test_sample.py:10: this refutes() mark reaches no test" in bad.warnings
