"""``{status}``: how the book at hand was built: versions, device, run times, statements and tests, measurements.

Measurements are made in a browser after a build and kept beside it, in ``_build/measured/*.json``; each file holds one
table: ``title``, ``made`` (when), ``machine`` (where), ``columns`` and ``rows``. A recorded run in ``results/browser``
stands in where none was made here.
"""

import json
import os
import platform
from collections import Counter
from importlib.metadata import version
from pathlib import Path

import sources
from docutils import nodes
from gather import Listing, link, paragraph, reading_order, table, text
from myst_nb.sphinx_ import NbMetadataCollector
from sphinx.transforms.post_transforms import SphinxPostTransform

PACKAGES = ("gradpress", "torch", "numpy", "sympy", "matplotlib", "ipywidgets", "jupyter-book", "Sphinx")


class status_listing(nodes.General, nodes.Element):
    """Where one table will stand. Attribute ``part``: a key of `FillStatus.PARTS`."""


class Status(Listing):
    node_class = status_listing
    required_arguments = 1

    def run(self):
        if self.arguments[0] not in FillStatus.PARTS:
            raise self.error(f"status shows {', '.join(FillStatus.PARTS)}; got {self.arguments[0]}")
        [node] = super().run()
        node["part"] = self.arguments[0]
        return [node]


class FillStatus(SphinxPostTransform):
    default_priority = 8

    def run(self, **kwargs):
        for place in list(self.document.findall(status_listing)):
            place.replace_self(self.PARTS[place["part"]](self))

    def versions(self):
        return pairs(environment())

    def counts(self):
        return pairs(counts(Path(self.app.srcdir), self.app.book_marks))

    def measurements(self):
        """What the browser tests measured here; where they have not run since the book was built, the recorded run."""
        recorded = {file.name: file for file in Path(self.app.srcdir).glob("results/browser/*.json")}
        here = {file.name: file for file in Path(self.app.outdir).parent.glob("measured/*.json")}
        files = sorted((recorded | here).items())
        return [part for _, file in files for part in measurement(json.loads(file.read_text("utf-8")))]

    def notebooks(self):
        """One row a page that was executed, and the sum."""
        here, executed = self.env.docname, NbMetadataCollector.get_doc_data(self.env)
        rows, total = [], 0.0
        for docname in reading_order(self.env):
            data = executed.get(docname, {}).get("exec_data")
            if data:
                total += data["runtime"] or 0.0
                title = nodes.Text(self.env.titles[docname].astext())
                page = paragraph(link(self.app.builder, here, docname, "", title))
                rows.append([page, text(docname), text(seconds(data["runtime"])), text(result(data))])
        if not rows:
            return text("No page was executed in this build.")
        rows.append([text("Total"), text(""), text(seconds(total)), text("")])
        return table(("Page", "File", "Run time", "Result"), rows, ["status"])

    # A table that never changes; its entries are the methods above.
    PARTS = {"versions": versions, "notebooks": notebooks, "counts": counts, "measurements": measurements}  # noqa: RUF012


def seconds(value):
    return "not recorded" if value is None else f"{value:.1f} s"


def result(data):
    return "ran without an error" if data["succeeded"] else "failed"


def environment():
    """What ran the notebooks: name → version or description."""
    import torch

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "none; everything ran on the processor"
    machine = f"{platform.system()} on {platform.machine()}, {os.cpu_count()} processor cores"
    return {
        "Python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
        "Machine": machine,
        "Accelerator": device,
        "Scale": os.environ.get("GRADPRESS_SCALE", "quick"),
    }


def counts(root, marks):
    """How much the book claims and how much stands against it."""
    kinds = Counter(block.kind for block in sources.blocks(root))
    errata = kinds.pop("erratum", 0)
    listed = ", ".join(f"{number} {plural(kind, number)}" for kind, number in kinds.most_common())
    against = len({place for places in marks.tests.values() for place in places})
    return {
        "Statements": f"{kinds.total()} ({listed})" if kinds else "0",
        "Errata with a box": errata,
        "Tests in all": sources.count_tests(root),
        "Tests that would refute a statement or show an erratum": against,
    }


def plural(word, number):
    if number == 1:
        return word
    return word[:-1] + "ies" if word.endswith("y") else word + "s"


def measurement(record):
    """A recorded table, under its title and where it comes from."""
    title = nodes.strong("", record["title"])
    origin = paragraph(title, nodes.Text(f". Made {record['made']} on {record['machine']}."))
    rows = [[text(cell) for cell in row] for row in record["rows"]]
    return [*origin, table(record["columns"], rows, ["status"])]


def pairs(entries):
    rows = [[text(name), text(value)] for name, value in entries.items()]
    return table(("What", "Value"), rows, ["status"])


def setup(app):
    app.setup_extension("ledger")
    app.add_node(status_listing)
    app.add_directive("status", Status)
    app.add_post_transform(FillStatus)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
