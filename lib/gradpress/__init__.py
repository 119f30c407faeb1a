"""Gradient compressors, their classes and their wire formats.

The library of the book *Compression and Noise in Distributed Learning*. Start with `gradpress.compressors`.
"""

__version__ = "0.1.0"
