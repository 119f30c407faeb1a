"""Gradient compressors, their classes and their wire formats.

The library of the book *Compression and Noise in Distributed Learning*. Start with `gradpress.compressors`.
"""

from importlib.metadata import version

__version__ = version("gradpress")
