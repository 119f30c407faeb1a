"""Pictures that a notebook drew get a palette: a chart has few colours, and its page a fraction of the weight."""

from pathlib import Path

from PIL import Image

COLOURS = 256


def is_chart(picture):
    """Whether nothing shows through the picture and it has no palette yet."""
    return picture.mode == "RGB" or (picture.mode == "RGBA" and picture.getextrema()[3] == (255, 255))


def lighten(app, exception):
    if exception or app.builder.format != "html":
        return
    for path in (Path(app.outdir) / "_images").glob("*.png"):
        with Image.open(path) as picture:
            if not is_chart(picture):
                continue
            small = picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
        small.save(path, optimize=True)


def setup(app):
    app.connect("build-finished", lighten)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
