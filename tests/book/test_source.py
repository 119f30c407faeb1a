"""The book against its sources: nothing that Beznosikov et al. (2023) or the poster state or tabulate is left out."""

import re
from pathlib import Path

CHAPTERS = Path(__file__).resolve().parents[2] / "chapters"
TITLES = "\n".join(
    title
    for page in sorted(CHAPTERS.glob("*/derivation.md"))
    for title in re.findall(r"^`{3,}\{prf:\w+\} (.*)$", page.read_text(), re.MULTILINE)
)
# The source numbers definitions, lemmas, theorems and its one remark in one sequence, from 1 to 31.
KINDS = {
    "Definition": (1, 2, 4, 5, 26),
    "Lemma": (3, *range(8, 14), 15, 16, 20, *range(22, 26), *range(27, 32)),
    "Theorem": (6, 7, 17, 18, 19, 21),
    "Remark": (14,),
}


def test_the_numbers_are_one_sequence():
    assert sorted(number for numbers in KINDS.values() for number in numbers) == list(range(1, 32))


def test_every_statement_has_its_place():
    wanted = {f"{kind} {number}" for kind, numbers in KINDS.items() for number in numbers}
    wanted |= {f"Example {number}" for number in (1, 2, 3)} | {"Assumption 1", "Algorithm 1"}
    stated = set(re.findall(r"Beznosikov et al\. 2023, ((?:\w+) \d+)\b", TITLES))
    assert wanted - stated == set()


def test_every_table_and_figure_has_its_row():
    page = (CHAPTERS / "appendix" / "reproduction.md").read_text().partition("\n## The poster")[0]
    headings = re.findall(r"^### (.*)$", page, re.MULTILINE)
    numbers = {kind: set() for kind in ("Table", "Figure")}
    for heading in headings:
        kind, rest = re.match(r"(Table|Figure)s? ([\d, and]+)", heading).groups()
        numbers[kind] |= {int(number) for number in re.findall(r"\d+", rest)}
    assert numbers == {"Table": set(range(1, 6)), "Figure": set(range(1, 10))}


# ------------------------------------------------------------------------------------------------------- the poster

# The statements of the poster of Compagnoni et al. (2025), and what our copy of it prints that needs a note.
POSTER_ERRATA = {
    "err-dcsgd-trace", "err-dsign-bound", "err-dsign-batch", "err-dsign-shared", "err-scaling-row-3",
    "err-scaling-row-4",
}  # fmt: skip


def test_every_theorem_of_the_poster_has_its_place():
    stated = set(re.findall(r"Compagnoni et al\. 2025, (Theorem \d)\b", TITLES))
    assert stated == {f"Theorem {number}" for number in range(1, 5)}
    assert {f"Compagnoni et al. 2025, {part}" for part in ("(1)", "(2)")} <= set(
        re.findall(r"Compagnoni et al\. 2025, \(\d\)", TITLES)
    )


def test_every_slip_of_the_poster_has_its_box():
    pages = "\n".join(page.read_text() for page in CHAPTERS.glob("*/derivation.md"))
    boxes = set(re.findall(r"^`{3,}\{erratum\}\n:label: (\S+)\n:source: Compagnoni et al\. 2025", pages, re.MULTILINE))
    assert boxes >= POSTER_ERRATA


def test_every_picture_and_every_rule_of_the_poster_has_its_row():
    page = (CHAPTERS / "appendix" / "reproduction.md").read_text().partition("\n## The poster")[2]
    assert {"SDEs do track the optimizers", "Noise resilience"} <= set(
        re.findall(r"SDEs do track the optimizers|Noise resilience", page)
    )
    rows = set(re.findall(r"^\| (\d)(?:, corrected)? \|", page, re.MULTILINE))
    assert rows == set("123456")


# ------------------------------------------------------------------------------------- what is known at second hand


def test_what_is_reported_says_so_in_its_title():
    title = r"^Reported of Compagnoni et al\. 2026, (Theorem \d\.\d) .*second-hand"
    reported = set(re.findall(title, TITLES, re.MULTILINE))
    assert reported == {"Theorem 4.2", "Theorem 4.3"}
