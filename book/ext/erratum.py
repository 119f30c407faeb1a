"""``{erratum}``: a note that stands where a source prints something wrong; ``{errata}`` lists them all on one page."""

from docutils import nodes
from docutils.parsers.rst import directives
from gather import Listing, add_node, link, load_maths, paragraph, reading_order
from ledger import test_list
from sphinx import addnodes
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

PARTS = ("printed", "holds", "why")
WEIGHTS = {"A": "false as printed", "B": "incomplete as printed"}
LEAD = {"printed": "As printed in our copy of the text", "holds": "What holds", "why": "Why"}
logger = logging.getLogger(__name__)


class erratum(nodes.General, nodes.Element):
    """The box. Children: a heading paragraph and a definition list of the three parts."""


class errata_listing(nodes.General, nodes.Element):
    """Where the list of all boxes will stand."""


def weight(argument):
    if argument not in WEIGHTS:
        raise ValueError(f"the weight of an erratum is one of {', '.join(WEIGHTS)}, not {argument!r}")
    return argument


class Erratum(SphinxDirective):
    has_content = True
    option_spec = {  # noqa: RUF012 (docutils reads it from the class)
        "label": directives.unchanged_required,
        "source": directives.unchanged_required,
        "place": directives.unchanged_required,
        "weight": weight,
    }

    def run(self):
        if missing := sorted(set(self.option_spec) - set(self.options)):
            raise self.error(f"erratum needs the option :{missing[0]}:")
        label, place = self.options["label"], self.options["place"]
        standard = self.env.get_domain("std")
        standard.note_hyperlink_target(label, self.env.docname, label, f"Erratum to {place}")
        box = erratum(ids=[label], label=label, weight=self.options["weight"])
        self.set_source_info(box)
        source = nodes.inline("", self.options["source"] + ", ", classes=["erratum-source"])
        where = nodes.inline("", "", *self.parse_inline(place)[0], classes=["erratum-place"])
        weight = nodes.inline("", WEIGHTS[box["weight"]], classes=["erratum-weight"])
        name = nodes.inline("", "Erratum", classes=["erratum-name"])
        gap = nodes.Text(" ")
        box += nodes.paragraph("", "", name, gap, source, where, nodes.Text(" "), weight, classes=["erratum-head"])
        box += self.parts()
        return [box]

    def parts(self):
        """The body's definition list, its terms replaced by what the reader is told."""
        body = self.parse_content_to_nodes()
        items = body[0].children if len(body) == 1 and isinstance(body[0], nodes.definition_list) else []
        if tuple(item[0].astext() for item in items) != PARTS:
            raise self.error("the body of erratum is one definition list of printed, holds and why, in this order")
        if any(reference.get("refdomain") == "cite" for reference in body[0].findall(addnodes.pending_xref)):
            raise self.error("no citation inside erratum: the box is shown again on the errata page")
        for part, item in zip(PARTS, items, strict=True):
            item["classes"] = [f"erratum-{part}"]
            item[0].children = []
            item[0] += nodes.Text(LEAD[part])
        return body[0]


class Errata(Listing):
    node_class = errata_listing


class FillErrata(SphinxPostTransform):
    """Put the boxes of all pages, without their reasons, in the place of ``{errata}``."""

    default_priority = 4  # before numbers are glued and references resolved: the copies carry theirs along

    def run(self, **kwargs):
        for place in list(self.document.findall(errata_listing)):
            load_maths(self.env)
            place.replace_self(list(self.entries()) or paragraph(nodes.Text("No page of the book has one yet.")))

    def entries(self):
        here, builder, tests = self.env.docname, self.app.builder, self.app.book_marks.tests
        for docname in reading_order(self.env):
            for box in self.env.get_doctree(docname).findall(erratum):
                entry = nodes.container("", *box.children, classes=["erratum", "erratum-entry"])
                for reference in entry.findall(addnodes.pending_xref):
                    reference["refdoc"] = here
                head, parts = entry.children
                place = next(node for node in head.findall(nodes.inline) if "erratum-place" in node["classes"])
                title = nodes.inline("", "", *place.children)
                place.children = []
                place += link(builder, here, docname, box["label"], title)
                parts.pop()  # the reason stands with the box
                term, definition = nodes.term("", "Tests that show both sides"), nodes.definition()
                definition += test_list(builder, here, tests.get(box["label"], []))
                parts += nodes.definition_list_item("", term, definition, classes=["erratum-tests"])
                if box["label"] not in tests:
                    message = f"erratum {box['label']} has no test marked refutes({box['label']!r})"
                    logger.warning(message, location=box, type="ledger", subtype="untested")
                yield entry


def visit_erratum(translator, node):
    label = node["label"]
    translator.body.append(f'<div class="erratum" id="{label}" role="note" aria-labelledby="{label}-head">')
    node[0]["ids"] = [f"{label}-head"]


def depart_erratum(translator, node):
    translator.body.append("</div>\n")


def setup(app):
    app.setup_extension("ledger")
    add_node(app, erratum, visit_erratum, depart_erratum)
    app.add_node(errata_listing)
    app.add_directive("erratum", Erratum)
    app.add_directive("errata", Errata)
    app.add_post_transform(FillErrata)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
