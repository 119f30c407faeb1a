"""``{notation}``: the table of ``book/notation.yml``, with what the sources write for the same things."""

from pathlib import Path

import sources
import yaml
from docutils import nodes
from gather import table, text
from sphinx.util.docutils import SphinxDirective


def groups(root):
    """The groups of ``book/notation.yml``: dictionaries with ``group`` and ``symbols``."""
    return yaml.safe_load(Path(root, "book", "notation.yml").read_text("utf-8"))


class Notation(SphinxDirective):
    def run(self):
        self.known = {block.label for block in sources.blocks(self.env.srcdir)}
        rows, headings = [], []
        for group in groups(self.env.srcdir):
            headings.append((len(rows), group["group"]))
            rows += [self.row(entry) for entry in group["symbols"]]
        whole = table(("Symbol", "Meaning", "Values", "Defined in"), rows, ["notation"], [2, 6, 3, 3])
        body = next(whole.findall(nodes.tbody))
        for index, name in reversed(headings):
            entry = nodes.entry("", nodes.paragraph(text=name), morecols=3, classes=["notation-group"])
            body.insert(index, nodes.row("", entry))
        return [whole]

    def row(self, entry):
        meaning = self.parse_text_to_nodes(entry["meaning"])
        notes = [f"{source}: {note}" for source, note in entry.get("clashes", {}).items()]
        for note in notes:
            parsed = self.parse_text_to_nodes(note)
            parsed[0]["classes"].append("notation-clash")
            meaning += parsed
        where = entry["where"]
        place = self.parse_text_to_nodes(f"{{prf:ref}}`{where}`") if where in self.known else text(where)
        symbol = self.parse_text_to_nodes(", ".join(f"${symbol}$" for symbol in entry["symbol"].split(", ")))
        return [symbol, meaning, self.parse_text_to_nodes(str(entry.get("range", ""))), place]


def setup(app):
    app.add_directive("notation", Notation)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
