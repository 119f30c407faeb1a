"""The book's instruments in one: erratum boxes, quizzes, flashcards, the ledger, the notation, API and status pages."""

from pathlib import Path

PARTS = ("ledger", "erratum", "quiz", "flashcards", "notation", "reference", "status")


def setup(app):
    scripts = Path(__file__).parents[1] / "scripts"
    app.connect("config-inited", lambda app, config: config.html_static_path.append(str(scripts)))
    for part in PARTS:
        app.setup_extension(part)
    app.add_css_file("instruments.css")
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
