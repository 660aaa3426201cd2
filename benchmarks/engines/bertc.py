"""bertc, on the traced archive; padding is skipped, as CTranslate2 skips it: only the ragged shape has any."""

import bertc

FILE = "traced.pt"
VERSION = bertc.__version__


def load(path, threads):
    return bertc.load(path, threads=threads, padding="skip")
