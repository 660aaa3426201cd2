"""What the commands that take a model file open: a model, or weights alone."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np

import bertc
from bertc import state


class Weight(NamedTuple):
    array: np.ndarray
    dtype: str  # the array's, or "bfloat16" for its bits as uint16
    is_parameter: bool


class Source(NamedTuple):
    """A file or directory as bertc reads it: a model, or weights alone."""

    model: bertc.Model | None
    description: str
    weights: dict[str, Weight]


def open_source(path: Path) -> Source:
    if path.is_dir() and not (path / "config.json").exists():
        return _open_weights(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they are shown
            model = bertc.load(path)
    except (bertc.UnsupportedError, bertc.FormatError) as error:
        if path.is_dir():
            raise
        try:
            return _open_weights(path)
        except bertc.Error as other:
            raise error if str(other) == str(error) else type(error)(f"{error}; as weights: {other}") from None
    core = model._core
    weights = {name: Weight(array, dtype, parameter) for name, array, dtype, parameter in core.weights()}
    return Source(model, ", ".join(filter(None, [core.format, core.architecture, core.producer])), weights)


def _open_weights(path: Path) -> Source:
    weights = state.read(path, "load_state_dict")
    named = {name: Weight(array, dtype, True) for name, array, dtype in weights.tensors()}
    return Source(None, f"{weights.format}, weights without a model", named)


def size_text(weights: list[Weight]) -> str:
    dtypes = sorted({weight.dtype for weight in weights})
    count, size = sum(w.array.size for w in weights), sum(w.array.nbytes for w in weights)
    return f"{count:,} in {len(weights)} tensors, {size:,} bytes" + (f" ({', '.join(dtypes)})" if dtypes else "")


def graph_text(model: bertc.Model) -> str:
    try:
        return str(model.graph)
    except bertc.InputError as error:
        return f"graph: {error}"
