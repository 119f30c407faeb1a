"""The directive `{explorer}`: an interactive picture of `gradpress.explorers` in a page that has no kernel.

    ```{explorer} compressors
    :c1: natural-compression
    :k2: 5
    ```

The options are the picture's first state. A page loads the picture's script, the text that the widget has in Jupyter,
and a small shim that runs it; both are classic scripts, so that a page also works from a file. In notebook pages the
shim runs the scripts that the executed widgets left in the page.
"""

import json
from html import escape
from pathlib import Path

from docutils import nodes
from myst_nb.core.render import WIDGET_STATE_MIMETYPE
from sphinx.util.docutils import SphinxDirective
from sphinx.util.osutil import relative_uri

from gradpress import explorers

# Not below _static: whatever lies there is linked from every page.
FOLDER = "explorers"
SCRIPTS = {f"{name}.js": Path(__file__).with_name(f"explorer_{name}.js") for name in ("first", "shim")}
# Room that is kept until the picture is there, so that the text below does not jump.
HEIGHT = {
    "adversary": "42rem",
    "agents": "44rem",
    "agents-adversary": "42rem",
    "bottleneck": "46rem",
    "calculator": "44rem",
    "classes": "39rem",
    "compressors": "50rem",
    "dcsgd-adversary": "42rem",
    "descent": "44rem",
    "descent-adversary": "44rem",
    "diffusion": "40rem",
    "dsign": "42rem",
    "dsign-adversary": "42rem",
    "memory": "38rem",
    "memory-adversary": "42rem",
    "noise-floor": "45rem",
    "selection": "36rem",
    "smoothness-adversary": "42rem",
    "stability-map": "44rem",
    "subsets": "40rem",
}


class _AnyOption(dict):
    """Every option is let through as text: which ones exist is the explorer's business."""

    def __missing__(self, key):
        return str.strip


class explorer(nodes.General, nodes.Element):
    """The place of a picture: its name and first state."""


class ExplorerDirective(SphinxDirective):
    """`{explorer} name` with the picture's state as options."""

    required_arguments = 1
    has_content = False
    option_spec = _AnyOption(c1=str.strip)

    def run(self):
        name = self.arguments[0]
        try:
            options = {key: explorers.parsed(name, key, text) for key, text in self.options.items()}
            state = explorers.checked(name, options)
        except ValueError as error:
            raise self.error(str(error)) from error
        node = explorer(name=name, state=state, title=explorers.TITLES[name])
        self.set_source_info(node)
        return [node]


def script_tags(here, *names):
    """What loads the scripts of the explorers `names`, and the shim, into the page at the address `here`."""
    first, *scripts = (relative_uri(here, f"{FOLDER}/{name}.js") for name in ("first", *names, "shim"))
    return f'<script src="{first}"></script>' + "".join(f'<script defer src="{script}"></script>' for script in scripts)


def visit_html(self, node):
    """A container that the shim fills, and the scripts, each of which does its work once however often it is named."""
    here = self.builder.get_target_uri(self.builder.current_docname)
    name, title = node["name"], escape(node["title"])
    self.body.append(
        f'<div class="gradpress-place" data-explorer="{name}" data-state="{escape(json.dumps(node["state"]))}" '
        f'style="min-height: {HEIGHT[name]}">'
        f"<noscript><p>{title}: an interactive picture, which needs JavaScript. The text says what it shows.</p>"
        "</noscript>"
        "</div>"
    )
    self.body.append(script_tags(here, name))
    raise nodes.SkipNode


def visit_text(self, node):
    """Where nothing can move, the picture's name stands for it."""
    sentence = f"[{node['title']}: an interactive picture of the online book.]"
    if hasattr(self, "add_text"):
        self.add_text(sentence)
    else:
        self.body.append(self.encode(sentence) if hasattr(self, "encode") else sentence)
    raise nodes.SkipNode


def run_widgets_here(app, config):
    """Widgets in notebook pages are run by the shim (`share_modules`), and nothing is fetched from another host."""
    config.nb_ipywidgets_js = {}


def share_modules(app, pagename, templatename, context, doctree):
    """A widget that a notebook leaves in its page carries its whole module; the page shares the explorer's script."""
    for script in context.get("script_files", []):
        if getattr(script, "attributes", {}).get("type") != WIDGET_STATE_MIMETYPE:
            continue
        page = json.loads(script.attributes["body"])
        widgets = [model["state"] for model in page["state"].values() if "_esm" in model["state"]]
        for values in widgets:
            values["_esm"] = ""
        script.attributes["body"] = json.dumps(page).replace("</", "<\\/")
        names = {values["name"] for values in widgets}
        context["body"] += script_tags(app.builder.get_target_uri(pagename), *sorted(names))


def write_scripts(app, exception):
    """One script for each explorer, holding its module as text; what runs before MathJax; and the shim."""
    if exception or app.builder.format != "html":
        return
    folder = Path(app.outdir) / FOLDER
    folder.mkdir(exist_ok=True)
    for name in explorers.DEFAULTS:
        text = json.dumps(explorers.esm(name), ensure_ascii=False)
        script = f'(globalThis.gradpressExplorers ??= {{}})["{name}"] = {text};\n'
        (folder / f"{name}.js").write_text(script, encoding="utf-8")
    for name, source in SCRIPTS.items():
        (folder / name).write_text(source.read_text(encoding="utf-8"), encoding="utf-8")


def setup(app):
    """Register the directive with Sphinx."""
    app.add_node(explorer, html=(visit_html, None), latex=(visit_text, None), text=(visit_text, None))
    app.add_directive("explorer", ExplorerDirective)
    app.connect("config-inited", run_widgets_here)
    app.connect("html-page-context", share_modules, priority=900)
    app.connect("build-finished", write_scripts)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
