"""What is measured: the models' sizes, the shapes, their inputs, and how much arithmetic they need."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

FIRST_ID, LAST_ID = 999, 30000  # whole words of BERT's vocabulary


class Size(NamedTuple):
    layers: int
    hidden: int
    heads: int
    inner: int

    def flops(self, lengths):
        """A multiply-add is 2; the linear layers and attention, without padding."""
        linear = 8 * self.hidden**2 + 4 * self.hidden * self.inner
        return self.layers * sum(n * (linear + 4 * self.hidden * n) for n in lengths)


SIZES = {
    "minilm": Size(6, 384, 12, 1536),
    "bert-base": Size(12, 768, 12, 3072),
    "bert-large": Size(24, 1024, 16, 4096),
}


def shapes():
    """{model: its shapes}, as in shapes.txt."""
    lines = Path(__file__).with_name("shapes.txt").read_text().splitlines()
    rows = [line.split() for line in lines if line and not line.startswith("#")]
    return {model: names for model, *names in rows}


def lengths(shape):
    """How long each sequence of "8x128" or "ragged" is."""
    if shape == "ragged":
        return np.random.default_rng(1).lognormal(3.1, 0.6, 64).astype(int).clip(4, 128).tolist()
    batch, length = map(int, shape.split("x"))
    return [length] * batch


def request(shape):
    """Token ids, mask and segments, padded to the longest sequence."""
    sizes = np.array(lengths(shape))
    mask = (np.arange(sizes.max()) < sizes[:, None]).astype(np.int64)
    ids = np.random.default_rng(mask.shape).integers(FIRST_ID, LAST_ID, mask.shape) * mask
    return ids, mask, np.zeros_like(ids)
