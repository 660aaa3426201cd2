"""Plots of what happens in a model, with matplotlib."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from bertc._core import InputError

try:
    from matplotlib.figure import Figure
except ImportError as error:
    raise ImportError(f"plots need matplotlib: pip install bertc[notebook] ({error})") from error

COLUMNS = 4


class Plot(Figure):
    """A figure of matplotlib that a notebook shows when it is a cell's result. ``savefig(path)`` writes a file."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue()


def plot_attention(attentions: Sequence[Any], tokens: Sequence[str], layer: int = -1, head: int | None = None) -> Plot:
    """Where the tokens of a text look: in one head of a layer, or in all its heads.

    ``attentions`` is what a model gives with ``output_attentions=True``, one float32[b, heads, s, s] a layer, of which
    the first sequence is shown. ``tokens`` are that sequence's s tokens as text.
    """
    if not -len(attentions) <= layer < len(attentions):
        raise InputError(f"there is no layer {layer} of {len(attentions)}")
    maps = np.asarray(attentions[layer])[0]
    if maps.shape[1:] != (len(tokens), len(tokens)):
        raise InputError(f"{len(tokens)} tokens do not fit attention of shape {maps.shape}")
    if head is not None and not -len(maps) <= head < len(maps):
        raise InputError(f"there is no head {head} of {len(maps)}")
    heads = range(len(maps)) if head is None else [head % len(maps)]
    columns = min(len(heads), COLUMNS)
    lines = -(-len(heads) // columns)
    side = 1.2 + 0.22 * len(tokens)  # inches
    plot = Plot(figsize=(side * columns, side * lines), layout="constrained")
    for place, number in enumerate(heads):
        axes = plot.add_subplot(lines, columns, place + 1)
        axes.imshow(maps[number], cmap="Blues", vmin=0, vmax=1)
        axes.set_title(f"layer {layer % len(attentions)}, head {number}", fontsize="small")
        axes.set_xticks(range(len(tokens)), tokens, rotation=90, fontsize="x-small")
        axes.set_yticks(range(len(tokens)), tokens if place % columns == 0 else [""] * len(tokens), fontsize="x-small")
    return plot
