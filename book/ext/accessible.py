"""Repairs of what the theme and its parts write: names and roles that a screen reader needs."""

from functools import wraps

REPAIRS = (
    # A deprecated role: an entry of the list is an item of it.
    ('role="doc-biblioentry"', 'role="listitem"'),
    # The folded cell already says "Show code cell content"; the label would hide those words.
    (' aria-label="Toggle hidden content"', ""),
)


def name_folds(generate):
    """The sidebar's folds have a chevron and no words: call each by the chapter that it opens."""

    @wraps(generate)
    def named(*args, **kwargs):
        tree = generate(*args, **kwargs)
        for summary in getattr(tree, "select", lambda _: ())("details > summary"):
            link = summary.find_parent("li").find("a")
            summary["aria-label"] = f"Pages of {link.get_text(strip=True)}"
        return tree

    return named


def repair(app, pagename, templatename, context, doctree):
    if "generate_toctree_html" in context:
        context["generate_toctree_html"] = name_folds(context["generate_toctree_html"])
    if context.get("body"):
        for fault, remedy in REPAIRS:
            context["body"] = context["body"].replace(fault, remedy)


def setup(app):
    app.connect("html-page-context", repair, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
