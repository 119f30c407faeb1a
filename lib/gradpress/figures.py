"""The book's one plotting style, and the colours that name its objects on pages, in notebooks and in explorers."""

from contextlib import contextmanager

# One colour for one object, through the whole book. Each has a relative luminance between 0.12 and 0.30, that is a
# contrast of at least 3:1 on white and on a dark page (#121212); tell objects apart by dash or marker as well.
COLOURS = {
    "x": "#7d7f86",  # the vector itself, nothing compressed
    "theory": "#6b6f78",
    "measured": "#8a7a1f",
    "unbiased": "#2b7bba",
    "biased": "#c2620e",
    "alarm": "#d0343f",  # a statement that fails
    "u": "#2b7bba",
    "b1": "#2a8a57",
    "b2": "#8b62c9",
    "b3": "#c0508c",
    "compute": "#6a7fb0",  # the three parts of a step's time
    "latency": "#a8742a",
    "transmission": "#0f8b8d",
}

SETTINGS = {
    "figure.figsize": (6.4, 3.7),
    "figure.dpi": 150,
    "figure.facecolor": "white",
    "figure.constrained_layout.use": True,
    "axes.facecolor": "white",
    "axes.labelsize": 12,
    "xtick.labelsize": 11,
    "ytick.labelsize": 11,
    "legend.fontsize": 10.5,
    "legend.frameon": False,
    "lines.linewidth": 2,
}


@contextmanager
def style():
    """Draw in the book's style inside a `with` block, and leave the reader's own settings as they were.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> with style():
    ...     plt.rcParams["lines.linewidth"]
    2.0
    """
    from matplotlib import rc_context  # here, because the explorers want the colours alone

    with rc_context(SETTINGS):
        yield
