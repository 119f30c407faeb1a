"""The book against its first source: nothing that Beznosikov et al. (2023) state, tabulate or draw is left out."""

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
    page = (CHAPTERS / "appendix" / "reproduction.md").read_text()
    headings = re.findall(r"^### (.*)$", page, re.MULTILINE)
    numbers = {kind: set() for kind in ("Table", "Figure")}
    for heading in headings:
        kind, rest = re.match(r"(Table|Figure)s? ([\d, and]+)", heading).groups()
        numbers[kind] |= {int(number) for number in re.findall(r"\d+", rest)}
    assert numbers == {"Table": set(range(1, 6)), "Figure": set(range(1, 10))}
