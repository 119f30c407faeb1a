"""Quizzes and flashcards in a browser: by keyboard alone, with every wrong answer told why, and without a script."""

import csv
import io
import re
from pathlib import Path

import pytest
from visits import AXE, AXE_OPTIONS

ROOT = Path(__file__).resolve().parents[2]
AXE_ON = """([where, options]) => axe.run(where, options).then(
  r => r.violations.map(v => v.id + ': ' + v.nodes.map(n => n.target)))"""


def pages_with(directive):
    pages = sorted((ROOT / "chapters").rglob("*.md"))
    names = [page.relative_to(ROOT).with_suffix(".html").as_posix() for page in pages if directive in page.read_text()]
    assert names, f"no page has a {directive}"
    return names


QUIZZES = pages_with("{quiz}")
DECKS = pages_with("{flashcards}")


def tab_to(page, selector, key="Tab"):
    """Press `key` until an element that matches `selector` has the focus; fail where the keyboard cannot reach one."""
    for _ in range(600):
        page.keyboard.press(key)
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    pytest.fail(f"Tab never reaches {selector}")


# -------------------------------------------------------------------------------------------------------------- quizzes


def test_quiz_by_keyboard_alone(unset):
    """The first question with one right answer: a wrong choice is told why, then the right one is accepted."""
    page = unset(QUIZZES[0]).page
    tab_to(page, ".quiz-question input[type=radio]")
    page.evaluate("window.question = document.activeElement.closest('.quiz-question')")
    feedback = "window.question.querySelector('.quiz-feedback').innerText"
    for right, verdict in ((False, "Not right."), (True, "Right.")):
        page.keyboard.press("Space")
        for _ in range(page.evaluate("window.question.querySelectorAll('input').length")):
            if page.evaluate("document.activeElement.dataset.right === 'true'") == right:
                break
            page.keyboard.press("ArrowDown")
        tab_to(page, ".quiz-check")
        page.keyboard.press("Enter")
        told = page.evaluate(feedback)
        assert told.startswith(verdict)
        assert len(told) > len(verdict) + 20, "no reason is given"
        tab_to(page, ".quiz-question input[type=radio]:checked", "Shift+Tab")


TELL_ALL = """() => [...document.querySelectorAll('.quiz-question')].map(question => {
  const inputs = [...question.querySelectorAll('input')], button = question.querySelector('.quiz-check');
  const feedback = question.querySelector('.quiz-feedback');
  const visible = node => node.checkVisibility() && node.innerText.trim();
  return inputs.map(input => {
    for (const other of inputs) if (other.checked && other.type === 'checkbox') other.click();
    input.click();
    button.click();
    const letter = input.parentElement.querySelector('.quiz-letter').textContent;
    const label = input.parentElement.querySelector('label').textContent.slice(letter.length).trim();
    const items = [...feedback.querySelectorAll('li')].filter(visible);
    const own = items.find(item => item.querySelector('.quiz-again').textContent.trim() === label);
    return {label, right: input.dataset.right === 'true', several: input.type === 'checkbox',
            verdict: feedback.querySelector('.quiz-verdict').innerText, told: own ? own.innerText.trim() : '',
            others: items.length - Boolean(own), live: feedback.getAttribute('aria-live')};
  });
})"""


@pytest.mark.parametrize("path", QUIZZES)
def test_every_wrong_answer_is_told_why(unset, path):
    seen = unset(path)
    questions = seen.page.evaluate(TELL_ALL)
    assert questions
    for choices in questions:
        rights = sum(choice["right"] for choice in choices)
        for choice in choices:
            assert choice["live"] == "polite"
            if not choice["right"]:
                assert "Wrong:" in choice["told"], choice
                assert len(choice["told"]) > len(choice["label"]) + len("Wrong:") + 10, choice
                assert choice["verdict"].startswith("Not"), choice
                assert choice["others"] == (rights if choice["several"] else 0), choice
            elif not choice["several"]:
                assert choice["verdict"].startswith("Right."), choice
                assert "Right:" in choice["told"], choice
    assert seen.errors == []


@pytest.mark.parametrize("path", QUIZZES)
def test_questions_have_names_for_a_screen_reader(unset, path):
    """Each question is a group that is called by its legend, each choice a button that is called by its text."""
    page = unset(path).page
    questions = page.locator(".quiz-question")
    assert questions.count() > 0
    for question in questions.all():
        tree = question.aria_snapshot()
        legend = question.locator("legend").inner_text().strip()
        assert re.match("- '?group", tree)
        assert len(legend) > 5
        choices = question.locator("input").count()
        assert len(re.findall("- '?(?:radio|checkbox) \"", tree)) == choices, tree


@pytest.mark.parametrize("path", sorted({*QUIZZES, *DECKS}))
def test_instruments_in_use_are_accessible_and_fit(unset, path):
    seen = unset(path, "phone")
    page = seen.page
    page.evaluate(TELL_ALL)
    page.evaluate("document.querySelectorAll('.flashcards-turn').forEach(button => button.click())")
    page.add_script_tag(path=AXE)
    for mode in ("phone", "light", "dark"):
        seen.become(mode)
        for where in (".quiz", ".flashcards"):
            if page.locator(where).count():
                assert page.evaluate(AXE_ON, [where, AXE_OPTIONS[mode]]) == []
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


@pytest.mark.parametrize("path", QUIZZES)
def test_quiz_without_a_script(browser, site, path):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{site}/{path}")
    folds = page.locator(".quiz-reasons")
    assert folds.count() == page.locator(".quiz-question").count() > 0
    first = folds.first
    assert not first.locator("li").first.is_visible()
    first.locator("summary").click()
    assert first.locator("li").first.is_visible()
    assert first.locator("li").count() == page.locator(".quiz-question").first.locator("input").count()
    context.close()


# ----------------------------------------------------------------------------------------------------------- flashcards


def test_flashcards_by_keyboard_alone(unset):
    page = unset(DECKS[0]).page
    face = page.locator(".flashcards-face").first
    progress = page.locator(".flashcards-progress").first
    tab_to(page, ".flashcards-turn")
    front = face.inner_text()
    assert front.strip()
    page.keyboard.press("Enter")
    turned = face.inner_text()
    assert len(turned) > len(front)
    page.keyboard.press("Space")
    assert face.inner_text() == front
    tab_to(page, ".flashcards-next")
    page.keyboard.press("Enter")
    assert progress.inner_text().startswith("Card 2 of")
    assert face.inner_text() != front
    page.keyboard.press("ArrowLeft")
    assert progress.inner_text().startswith("Card 1 of")
    assert face.inner_text() == front
    tab_to(page, ".flashcards-known")
    page.keyboard.press("Space")
    assert progress.inner_text().startswith("Card 2 of")
    assert progress.inner_text().endswith("1 known")
    page.reload()
    assert progress.inner_text().endswith("1 known"), "forgotten when the page is opened again"
    assert ", known" in progress.inner_text()
    tab_to(page, ".flashcards-again")
    page.keyboard.press("Enter")
    assert progress.inner_text().endswith("0 known")


def test_shuffled_deck_has_the_same_cards(unset):
    page = unset(DECKS[0]).page
    read = """() => { const root = document.querySelector('.flashcards'), fronts = [];
      const cards = root.querySelectorAll('.flashcard-front').length;
      for (let i = 0; i < cards; i++) {
        fronts.push(root.querySelector('.flashcards-face .flashcard-front').textContent);
        root.querySelector('.flashcards-next').click();
      }
      return fronts; }"""
    before = page.evaluate(read)
    assert len(set(before)) == len(before) >= 2
    orders = set()
    for _ in range(20):
        page.locator(".flashcards-shuffle").first.click()
        after = page.evaluate(read)
        assert sorted(after) == sorted(before)
        orders.add(tuple(after))
    assert len(orders) > 1


def test_flashcards_where_storage_is_forbidden(unset):
    seen = unset(DECKS[0])
    refuse = "Object.defineProperty(window, 'localStorage', {get() { throw new DOMException('no', 'SecurityError'); }})"
    seen.page.add_init_script(f"addEventListener('DOMContentLoaded', () => 0); {refuse};")
    seen.errors.clear()
    seen.page.reload()
    page = seen.page
    assert page.evaluate("() => { try { localStorage; return false; } catch { return true; } }")
    page.locator(".flashcards-known").first.click()
    assert page.locator(".flashcards-progress").first.inner_text().endswith("1 known")
    assert [error for error in seen.errors if "flashcards" in error] == []


@pytest.mark.parametrize("path", DECKS)
def test_decks_can_be_saved_and_hold_every_card(unset, path):
    page = unset(path).page
    for deck in page.locator(".flashcards").all():
        cards = deck.locator(".flashcard-front").count()
        with page.expect_download() as download:
            deck.locator(".flashcards-export a").click()
        text = Path(download.value.path()).read_text("utf-8")
        rows = list(csv.reader(io.StringIO(text, newline="")))
        assert len(rows) == cards > 0
        assert all(len(row) == 2 and row[0].strip() and row[1].strip() for row in rows)
        assert "$" not in text
        assert text.count(r"\(") == text.count(r"\)") > 0


@pytest.mark.parametrize("path", DECKS)
def test_flashcards_without_a_script(browser, site, path):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{site}/{path}")
    assert page.locator(".flashcards dt").count() == page.locator(".flashcards dd").count() > 0
    assert all(card.is_visible() for card in page.locator(".flashcards dd").all())
    context.close()
