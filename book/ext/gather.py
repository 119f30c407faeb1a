"""What the pages that list other pages' contents share (errata, ledger, status) and the parts every instrument uses."""

from docutils import nodes
from sphinx.util.docutils import SphinxDirective


class Listing(SphinxDirective):
    """A directive whose place is filled when every page has been read; `node_class` stands there until then."""

    node_class = nodes.General

    def run(self):
        self.env.metadata[self.env.docname]["gathers"] = True
        node = self.node_class()
        self.set_source_info(node)
        return [node]


def load_maths(env):
    """Have the page that is being written load the maths script: it looked for maths before other pages' came in."""
    env.get_domain("math").data["has_equations"][env.docname] = True


def gathering_pages(app, env):
    """These pages are written anew in every build: what they list may have changed on another page."""
    return [docname for docname, data in env.metadata.items() if "gathers" in data]


def reading_order(env):
    """The pages' names in the order of the table of contents."""
    order, queue = [], [env.config.root_doc]
    while queue:
        docname = queue.pop(0)
        if docname not in order and docname in env.found_docs:
            order.append(docname)
            queue = [*env.toctree_includes.get(docname, []), *queue]
    return order


def link(builder, here, docname, anchor, *children, classes=()):
    """A link from page `here` to `anchor` on page `docname`, around `children`."""
    if docname == here:
        return nodes.reference("", "", *children, internal=True, refid=anchor, classes=list(classes))
    address = builder.get_relative_uri(here, docname) + (f"#{anchor}" if anchor else "")
    return nodes.reference("", "", *children, internal=True, refuri=address, classes=list(classes))


def table(headings, rows, classes=(), widths=None):
    """A table of `rows` whose cells are lists of nodes."""
    group = nodes.tgroup(cols=len(headings))
    group += [nodes.colspec(colwidth=width) for width in widths or [1] * len(headings)]
    group += nodes.thead("", table_row([[nodes.paragraph(text=heading)] for heading in headings]))
    group += nodes.tbody("", *[table_row(row) for row in rows])
    return nodes.table("", group, classes=["instrument-table", *classes])


def table_row(cells):
    return nodes.row("", *[nodes.entry("", *cell) for cell in cells])


def paragraph(*children):
    return [nodes.paragraph("", "", *children)]


def text(*words):
    return paragraph(nodes.Text(" ".join(map(str, words))))


def pass_through(translator, node):
    """For builders other than HTML: an instrument's contents stand plainly on the page."""


def add_node(app, node_class, visit, depart):
    plain = (pass_through, pass_through)
    app.add_node(node_class, html=(visit, depart), latex=plain, text=plain)


def script_only_where_used(node_class, filename):
    """An event handler for ``html-page-context`` that links a script on the pages that hold such a node."""

    def handler(app, pagename, templatename, context, doctree):
        if doctree is not None and any(doctree.findall(node_class)):
            app.add_js_file(filename, loading_method="defer")

    return handler
