"""Sequences of different lengths as one call: what Model.run_packed does around the core."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bertc import _core, arguments
from bertc._core import InputError
from bertc.arguments import Parameter

CELLS = 1 << 20  # of a padded argument: more sequences than fit are several calls


def run(core: _core.Model, params: list[Parameter], args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
    """One result a sequence; see Model.run_packed."""
    columns = _columns(params, args, kwargs)
    lists = {name: value for name, value in columns.items() if isinstance(value, list)}
    if not lists:
        raise InputError("run_packed() takes lists of one-dimensional arrays, one a sequence; got none")
    lengths = _lengths(lists)
    masks = [param.name for param in params if "mask" in param.name and param.type in ("Tensor", "Optional[Tensor]")]
    for name in masks:
        columns.setdefault(name, [np.ones(length, np.int64) for length in lengths])

    results: list[Any] = [None] * len(lengths)
    order = np.argsort(lengths, kind="stable")[::-1]
    while order.size:
        chunk = order[: max(1, CELLS // int(lengths[order[0]]))]
        order = order[chunk.size :]
        for index, result in zip(chunk, _run_chunk(core, params, columns, lengths, chunk, bool(masks))):
            results[index] = result
    return results


def _columns(params: list[Parameter], args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments by name; those that have a sequence each as lists of arrays."""
    if len(args) > len(params):
        raise InputError(f"run_packed() takes {len(params)} arguments, got {len(args)}")
    columns = dict(zip((param.name for param in params), args))
    for name, value in kwargs.items():
        if name in columns:
            raise InputError(f"argument '{name}' is given twice")
        columns[name] = value
    for name, value in columns.items():
        if isinstance(value, (list, tuple)):
            columns[name] = [_sequence(item, f"{name}[{i}]") for i, item in enumerate(value)]
    return columns


def _sequence(value: Any, where: str) -> np.ndarray:
    array = arguments.as_tensor(value, where)
    if array.ndim < 1 or len(array) == 0:
        raise InputError(f"{where}: expected a sequence of at least one token, got an array of shape {array.shape}")
    return array


def _lengths(lists: dict[str, list[np.ndarray]]) -> np.ndarray:
    """The sequences' lengths, in which all arguments must agree."""
    first = next(iter(lists))
    lengths = np.array([len(item) for item in lists[first]], np.int64)
    for name, items in lists.items():
        if len(items) != len(lengths):
            raise InputError(f"{name}: {len(items)} sequences, but {first} has {len(lengths)}")
        for i, item in enumerate(items):
            if len(item) != lengths[i]:
                raise InputError(f"{name}[{i}]: {len(item)} tokens, but {first}[{i}] has {lengths[i]}")
    return lengths


def _run_chunk(
    core: _core.Model,
    params: list[Parameter],
    columns: dict[str, Any],
    lengths: np.ndarray,
    chunk: np.ndarray,
    masked: bool,
) -> list[Any]:
    # Only a mask tells the model where a sequence ends; without one, sequences of one length make a batch.
    if masked:
        own = np.ascontiguousarray(lengths[chunk])
        results = core.run_packed(_bind(params, columns, chunk, int(own[0])), own)
        if results is not None:
            return results
    results = []
    for length in dict.fromkeys(lengths[chunk].tolist()):
        group = chunk[lengths[chunk] == length]
        whole = core.run(_bind(params, columns, group, length))
        results += [_row(whole, i) for i in range(len(group))]
    return results


def _bind(params: list[Parameter], columns: dict[str, Any], chunk: Sequence[int], length: int) -> tuple[Any, ...]:
    """The core's arguments for some sequences, padded to a length."""
    padded = {}
    for name, value in columns.items():
        if isinstance(value, list):
            shape = (len(chunk), length, *value[chunk[0]].shape[1:])
            array = np.zeros(shape, value[chunk[0]].dtype)
            for row, index in zip(array, chunk):
                row[: len(value[index])] = value[index]
            value = array
        padded[name] = value
    return arguments.bind(params, (), padded)


def _row(result: Any, i: int) -> Any:
    """A batch's result for its item i."""
    if isinstance(result, dict):
        return {key: _row(value, i) for key, value in result.items()}
    if isinstance(result, (tuple, list)):
        return type(result)(_row(value, i) for value in result)
    return result[i] if isinstance(result, np.ndarray) else result
