"""``{ledger}``: every statement of the book beside the tests that would fail if it were false.

The statements come from the pages as built, the tests from their marks (see `sources`). A statement that names no
source or has no test is a warning, and warnings fail the book's build. Test files that are named are pages of the book.
"""

from itertools import groupby
from pathlib import Path

import sources
from docutils import nodes
from gather import Listing, gathering_pages, link, load_maths, paragraph, reading_order, table, text
from sphinx import addnodes
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging

logger = logging.getLogger(__name__)


class ledger_listing(nodes.General, nodes.Element):
    """Where the ledger will stand."""


class Ledger(Listing):
    node_class = ledger_listing


class FillLedger(SphinxPostTransform):
    default_priority = 4  # before references are resolved: the titles carry theirs along

    def run(self, **kwargs):
        for place in list(self.document.findall(ledger_listing)):
            load_maths(self.env)
            rows = list(self.rows())
            whole = table(("Statement", "Refuted, if it is false, by"), rows, ["ledger"], [2, 3])
            place.replace_self(whole if rows else text("No page of the book states anything yet."))

    def rows(self):
        here, builder, tests = self.env.docname, self.app.builder, self.app.book_marks.tests
        named = sources.library(self.app.srcdir)
        for docname in reading_order(self.env):
            for node in self.env.get_doctree(docname).findall(is_claim):
                label = node["label"]
                title, source = split_title(node[0])
                for reference in node[0].findall(addnodes.pending_xref):
                    reference["refdoc"] = here
                if fault := fault_of(node, source, tests):
                    logger.warning(fault, location=node, type="ledger", subtype="untested")
                kind = nodes.Text(f"{node['realtype'].title()} {self.number(docname, node)}")
                name = paragraph(link(builder, here, docname, label, kind), nodes.Text(" "), *title)
                origin = nodes.paragraph("", "", *source, classes=["ledger-source"])
                objects = self.objects(named.get(label, []))
                yield [[*name, origin, *objects], [test_list(builder, here, tests.get(label, []))]]

    def number(self, docname, node):
        numbers = self.env.toc_fignumbers.get(docname, {}).get(node["countertype"], {})
        return ".".join(map(str, numbers.get(node["ids"][0], ())))

    def objects(self, places):
        """One line with the library's objects, each linked to its place in the API reference where it has one."""
        known = self.env.get_domain("py").objects
        line = nodes.paragraph("", "In the library: ", classes=["ledger-source"])
        for place in places:
            package, _, path = place.name.partition(".")
            ending = object_name(path)
            target = next((full for full in known if full.startswith(package) and full.endswith(f".{ending}")), None)
            shown = nodes.literal("", ending)
            if target:
                entry = known[target]
                shown = link(self.app.builder, self.env.docname, entry.docname, entry.node_id, shown)
            line += [*([nodes.Text(", ")] if len(line) > 1 else []), shown]
        return [line] if places else []


def object_name(path):
    """``Class.method`` or ``function`` at the end of a path of modules; a class is what begins with a capital."""
    parts = path.split(".")
    first = next((index for index, part in enumerate(parts) if part[0].isupper()), len(parts) - 1)
    return ".".join(parts[first:])


def is_claim(node):
    return isinstance(node, nodes.Element) and node.get("realtype") in sources.CLAIMS


def fault_of(node, source, tests):
    """What the ledger cannot accept about a statement, in one sentence."""
    label, kind = node["label"], node["realtype"]
    if label.startswith(f"{kind}-"):
        return f"this {kind} has no label"
    if not source:
        return f"the title of {label} names no source; write it as 'name; source'"
    if label not in tests:
        return f"{kind} {label} has no test marked refutes({label!r})"
    return None


def split_title(title):
    """The title's name and source: the nodes before and after its last semicolon, the parentheses taken off."""
    children = [child.deepcopy() for child in title.children]
    if children and isinstance(children[0], nodes.Text):
        children[0] = nodes.Text(children[0].lstrip(" ("))
    if children and isinstance(children[-1], nodes.Text):
        children[-1] = nodes.Text(children[-1].removesuffix(")"))
    for index in reversed(range(len(children))):
        if isinstance(children[index], nodes.Text) and ";" in children[index]:
            before, _, after = children[index].rpartition(";")
            return [*children[:index], nodes.Text(before)], [nodes.Text(after.strip()), *children[index + 1 :]]
    return children, []


def test_list(builder, here, places):
    """The tests at `places`, file by file, each linked to its line on the page that shows its file."""
    if not places:
        return nodes.paragraph("", "no test", classes=["ledger-untested"])
    entries = nodes.bullet_list(classes=["ledger-tests"])
    for path, tests in groupby(sorted(set(places)), key=lambda place: place.path):
        line = nodes.paragraph("", "", nodes.inline("", path, classes=["ledger-place"]))
        for place in tests:
            name = nodes.Text(place.name.rpartition("::")[2].removeprefix("test_").replace("_", " "))
            if builder.format == "html":
                name = link(builder, here, path.removesuffix(".py"), f"line-{place.line}", name)
            line += [nodes.Text("; " if len(line) > 1 else " "), name]
        entries += nodes.list_item("", line)
    return entries


def read_marks(app):
    app.book_marks = sources.marks(app.srcdir)
    for fault in app.book_marks.faults:
        logger.warning(fault, type="ledger", subtype="mark")


def test_pages(app):
    """One page a test file that the ledger names, its lines numbered and linked."""
    paths = {place.path for places in app.book_marks.tests.values() for place in places}
    for path in sorted(paths):
        code = Path(app.srcdir, path).read_text("utf-8")
        body = app.builder.highlighter.highlight_block(code, "python", linenos="inline", lineanchors="line")
        context = {"title": path, "body": f'<h1>{path}</h1>\n<div class="test-source">{body}</div>', "parents": []}
        yield path.removesuffix(".py"), context, "page.html"


def setup(app):
    app.add_node(ledger_listing)
    app.add_directive("ledger", Ledger)
    app.add_post_transform(FillLedger)
    app.connect("builder-inited", read_marks)
    app.connect("env-updated", gathering_pages)
    app.connect("html-collect-pages", test_pages)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
