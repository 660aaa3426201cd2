"""Similarities of sparse vectors, without making them dense: each row of one side meets the other's kept values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from bertc._core import InputError
from bertc.text.sparse_array import SparseArray

BLOCK = 1 << 22  # values at a time
TINY = 1e-12


class Measure(NamedTuple):
    """A similarity as a sum over the values that the second vector keeps, and the two vectors' norms."""

    term: Callable[[np.ndarray, np.ndarray], np.ndarray]  # of the first's value, maybe 0, and the second's
    norm: Callable[[np.ndarray], np.ndarray]  # summed over each vector's values
    combine: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]  # the sum and both norms, to the similarity


def _product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a * b


def _cosine(total: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return total / (np.maximum(np.sqrt(a), TINY) * np.maximum(np.sqrt(b), TINY))


MEASURES = {
    "dot": Measure(_product, np.square, lambda total, a, b: total),
    "cosine": Measure(_product, np.square, _cosine),
    "euclidean": Measure(_product, np.square, lambda total, a, b: -np.sqrt(np.maximum(a + b - 2 * total, 0))),
    "manhattan": Measure(lambda a, b: np.abs(a) + np.abs(b) - np.abs(a - b), np.abs, lambda total, a, b: total - a - b),
}


def as_sparse(value: Any) -> SparseArray:
    """Rows of a SparseArray, a list of SparseArrays, or a dense array."""
    if isinstance(value, (list, tuple)) and value and all(isinstance(row, SparseArray) for row in value):
        return SparseArray.stack(value)
    return (value if isinstance(value, SparseArray) else SparseArray.from_dense(value)).rows()


def similarity(name: str, first: Any, second: Any) -> np.ndarray:
    """float32[n, m] of n and m vectors: "dot", "cosine", or the negative "euclidean" or "manhattan" distance."""
    a, b = _check(first, second)
    measure = MEASURES[name]
    totals = np.zeros((len(a), len(b)), np.float64)
    for i in range(0, len(a), _block(a)):
        dense = a[i : i + _block(a)].dense()
        for j in range(0, len(b), _block(b)):
            totals[i : i + len(dense), j : j + _block(b)] = _totals(measure, dense, b[j : j + _block(b)])
    return measure.combine(totals, _norms(measure, a)[:, None], _norms(measure, b)).astype(np.float32)


def similarity_pairwise(name: str, first: Any, second: Any) -> np.ndarray:
    """float32[n] of n vectors and as many others, each with its own; names as similarity() has them."""
    a, b = _check(first, second)
    if len(a) != len(b):
        raise InputError(f"pairs need as many vectors on both sides, not {len(a)} and {len(b)}")
    measure = MEASURES[name]
    keys = [array.row_numbers() * array.shape[1] + array.indices for array in (a, b)]
    _, left, right = np.intersect1d(*keys, assume_unique=True, return_indices=True)
    terms = measure.term(a.values[left], b.values[right])
    totals = np.bincount(b.row_numbers()[right], terms, len(b))
    return measure.combine(totals, _norms(measure, a), _norms(measure, b)).astype(np.float32)


def intersection(first: Any, second: Any) -> SparseArray:
    """The products of a vector's values with those of one or several others where they are above zero."""
    a, b = _check(first, second)
    if len(a) != 1:
        raise InputError(f"the first argument must be one vector, not {len(a)}")
    values = a[0].dense()[b.indices] * b.values
    kept = values > 0
    offsets = np.concatenate([[0], np.cumsum(kept)])[b.offsets]
    shape = b.shape if np.ndim(second) == 2 else b.shape[1:]
    return SparseArray(b.indices[kept], values[kept], offsets, shape)


def _check(first: Any, second: Any) -> tuple[SparseArray, SparseArray]:
    a, b = as_sparse(first), as_sparse(second)
    if a.shape[1] != b.shape[1]:
        raise InputError(f"vectors of {a.shape[1]} and of {b.shape[1]} dimensions cannot be compared")
    return a, b


def _block(array: SparseArray) -> int:
    """How many rows of it to take at a time."""
    return max(1, BLOCK // max(1, array.shape[1]))


def _totals(measure: Measure, dense: np.ndarray, b: SparseArray) -> np.ndarray:
    terms = measure.term(dense[:, b.indices], b.values)
    totals = np.zeros((len(dense), len(b)))
    filled = np.flatnonzero(np.diff(b.offsets))  # reduceat knows no empty parts
    if len(filled):
        totals[:, filled] = np.add.reduceat(terms, b.offsets[filled], axis=1, dtype=np.float64)
    return totals


def _norms(measure: Measure, array: SparseArray) -> np.ndarray:
    return np.bincount(array.row_numbers(), measure.norm(array.values), len(array))
