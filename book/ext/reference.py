"""``{reference} package``: the API reference of a package, from its docstrings, every public module in turn.

A package that lists its names in ``__all__`` is described under these names; its modules are then its own affair. The
labels of statements that a docstring names become links to the chapters.
"""

import importlib
import pkgutil
import re

import sources
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

BARS_OUTSIDE_CODE = re.compile(r"(``.*?``|`.*?`)|\|")
BARE_TICKS = re.compile(r"(?<![`:\w])`([^`]+)`(?![`_])")
LABEL_OR_CODE = re.compile(f"`*({sources.LABEL.pattern})`*")


def modules(package):
    """The names of the public modules of `package` in alphabetical order, the package itself first."""
    found = [package.__name__]
    if hasattr(package, "__all__"):
        return found
    for info in sorted(pkgutil.iter_modules(package.__path__, package.__name__ + "."), key=lambda info: info.name):
        if not info.name.rpartition(".")[2].startswith("_"):
            module = importlib.import_module(info.name)
            found += modules(module) if info.ispkg else [info.name]
    return found


class Reference(SphinxDirective):
    required_arguments = 1

    def run(self):
        return [self.section(name) for name in modules(importlib.import_module(self.arguments[0]))]

    def section(self, name):
        section = nodes.section(ids=[nodes.make_id(name)], names=[name])
        section += nodes.title("", "", nodes.literal("", name))
        options = "   :members:\n   :member-order: bysource"
        section += self.parse_text_to_nodes(f"```{{eval-rst}}\n.. automodule:: {name}\n{options}\n```")
        return section


def guard_colon(app, what, name, obj, options, lines):
    """Napoleon takes what precedes a colon in an attribute's first line for a type; not after an empty comment."""
    if what in ("attribute", "data", "property"):
        lines[:0] = ["..", ""]


def guard_text(app, what, name, obj, options, lines):
    """Outside examples `name` is code and |x| an absolute value; the parser sees emphasis and a substitution."""
    in_example = False
    for index, line in enumerate(lines):
        in_example = line.strip().startswith(">>>") or (in_example and bool(line.strip()))
        if not in_example:
            lines[index] = BARE_TICKS.sub(r"``\1``", BARS_OUTSIDE_CODE.sub(lambda match: match[1] or r"\|", line))


def leave_out(app, what, name, obj, skip, options):
    """The fields of a named tuple bring a text of Python's own, which says nothing."""
    return True if (getattr(obj, "__doc__", None) or "").startswith("Alias for field number") else None


def link_labels(app, what, name, obj, options, lines):
    """Replace every label of a statement that the book has by a reference to it."""
    lines[:] = [LABEL_OR_CODE.sub(lambda match: reference(app, match), line) for line in lines]


def reference(app, match):
    label = match[1]
    kind = app.book_labels.get(label)
    if kind is None:
        return match[0]
    return f":ref:`{label}`" if kind == "erratum" else f":prf:ref:`{label}`"


def read_labels(app):
    app.book_labels = {block.label: block.kind for block in sources.blocks(app.srcdir) if block.label}


def setup(app):
    app.setup_extension("sphinx.ext.autodoc")
    app.setup_extension("sphinx.ext.napoleon")
    app.connect("builder-inited", read_labels)
    app.connect("autodoc-process-docstring", guard_colon, priority=100)  # before napoleon, which comes at 500
    app.connect("autodoc-process-docstring", guard_text, priority=900)
    app.connect("autodoc-process-docstring", link_labels, priority=901)
    app.connect("autodoc-skip-member", leave_out)
    app.connect("config-inited", configure)
    app.add_directive("reference", Reference)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def configure(app, config):
    """Types and shapes stand in the docstrings, as prose: nothing there refers to another project's pages."""
    config.autodoc_typehints = "none"
    config.autodoc_inherit_docstrings = False
    config.autodoc_preserve_defaults = True
    config.napoleon_google_docstring = False
    config.napoleon_use_param = False
    config.napoleon_use_rtype = False
    config.napoleon_custom_sections = [("Attributes", "params_style")]
    config.add_module_names = False
