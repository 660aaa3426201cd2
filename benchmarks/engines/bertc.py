"""bertc, on the traced archive."""

import bertc

FILE = "traced.pt"
VERSION = bertc.__version__


def load(path, threads):
    return bertc.load(path, threads=threads)
