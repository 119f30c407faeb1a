"""``{flashcards}``: a deck to turn over; without a script a list. Every deck can be saved as CSV, for Anki."""

import csv
from pathlib import Path

from docutils import nodes
from gather import add_node, script_only_where_used
from quiz import yaml_list
from sphinx.util.docutils import SphinxDirective
from sphinx.util.osutil import relative_uri

FOLDER = "flashcards"


class flashcards(nodes.General, nodes.Element):
    """One deck. Attributes ``deck`` (its name), ``slug`` (its id and file name)."""


class flashcard(nodes.General, nodes.Element):
    """One card: a `flashcard_front` and a `flashcard_back`. Attribute ``key``: by which a browser remembers it."""


class flashcard_front(nodes.General, nodes.Element):
    pass


class flashcard_back(nodes.General, nodes.Element):
    pass


class Flashcards(SphinxDirective):
    has_content = True
    required_arguments = 1
    final_argument_whitespace = True

    def run(self):
        slug = nodes.make_id(self.arguments[0])
        taken = [name for name, data in self.env.metadata.items() if slug in data.get("decks", ())]
        if taken:
            raise self.error(f"the deck {self.arguments[0]!r} exists already, on page {taken[0]}")
        self.env.metadata[self.env.docname].setdefault("decks", []).append(slug)
        deck = flashcards(ids=[f"cards-{slug}"], deck=self.arguments[0], slug=slug)
        self.set_source_info(deck)
        for entry in yaml_list(self, ("front", "back")):
            front = flashcard_front("", *self.parse_text_to_nodes(str(entry["front"])))
            back = flashcard_back("", *self.parse_text_to_nodes(str(entry["back"])))
            deck += flashcard("", front, back, key=nodes.make_id(str(entry["front"]))[:60])
        return [deck]


def plain(node):
    r"""The text of `node`, its maths between \\( \\) or \\[ \\], as Anki wants it; a line for each paragraph."""
    if isinstance(node, nodes.math):
        return rf"\({node.astext()}\)"
    if isinstance(node, nodes.math_block):
        return rf"\[{node.astext()}\]"
    if isinstance(node, nodes.Text):
        return node.astext().replace("\n", " ")
    between = "" if isinstance(node, nodes.TextElement) else "\n"
    return between.join(plain(child) for child in node.children)


def write_tables(app, exception):
    """The decks of all pages as ``flashcards/<slug>.csv``: two columns without a heading, as Anki reads them."""
    if exception or app.builder.format != "html":
        return
    folder = Path(app.outdir, FOLDER)
    for docname in [name for name, data in app.env.metadata.items() if "decks" in data]:
        for deck in app.env.get_doctree(docname).findall(flashcards):
            folder.mkdir(exist_ok=True)
            with Path(folder, f"{deck['slug']}.csv").open("w", encoding="utf-8", newline="") as file:
                csv.writer(file).writerows([plain(card[0]), plain(card[1])] for card in deck.children)


def visit_deck(translator, node):
    name = translator.attval(node["deck"])
    translator.body.append(
        f'<div class="flashcards" id="{node["ids"][0]}" role="group" aria-label="Flashcards: {name}"><dl>\n'
    )


def depart_deck(translator, node):
    here = translator.builder.get_target_uri(translator.builder.current_docname)
    address = relative_uri(here, f"{FOLDER}/{node['slug']}.csv")
    translator.body.append(
        f'</dl><p class="flashcards-export"><a href="{address}" download>Save these {len(node)} cards</a> '
        "as a CSV file, which Anki imports with its maths.</p></div>\n"
    )


def visit_card(translator, node):
    translator.body.append(f'<div class="flashcard" data-key="{node["key"]}">')


def tag(text):
    return lambda translator, node: translator.body.append(text)


def setup(app):
    add_node(app, flashcards, visit_deck, depart_deck)
    add_node(app, flashcard, visit_card, tag("</div>\n"))
    add_node(app, flashcard_front, tag('<dt class="flashcard-front">'), tag("</dt>\n"))
    add_node(app, flashcard_back, tag('<dd class="flashcard-back">'), tag("</dd>\n"))
    app.add_directive("flashcards", Flashcards)
    app.connect("html-page-context", script_only_where_used(flashcards, "flashcards.js"))
    app.connect("build-finished", write_tables)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
