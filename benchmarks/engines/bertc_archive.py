"""bertc, on the traced archive."""

import bertc


def load(path, threads):
    return bertc.load(path, threads=threads)
