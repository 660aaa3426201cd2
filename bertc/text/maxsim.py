"""MaxSim, the similarity of late interaction: for each token of a query its best token of the document, summed."""

from __future__ import annotations

from typing import Any

import numpy as np

from bertc._core import InputError

EMPTY = -1e9  # of a document without tokens: below every real score
BLOCK = 1 << 22  # products of tokens at a time


def maxsim(queries: Any, documents: Any, mean: bool = False) -> np.ndarray:
    """float32[n, m]: the score of each of n queries with each of m documents.

    A side is a list of arrays of shape (tokens, dimensions), one such array, or an array of shape (n, tokens,
    dimensions) whose rows of zeros are padding. A score is the sum over the query's tokens of their greatest product
    with a token of the document; with ``mean`` that sum by the number of the query's tokens. A document without tokens
    scores -1e9.
    """
    query, query_counts = _pack(queries)
    document, document_counts = _pack(documents)
    if query.size and document.size and query.shape[1] != document.shape[1]:
        raise InputError(f"tokens of {query.shape[1]} and of {document.shape[1]} dimensions cannot be compared")
    scores = np.zeros((len(query_counts), len(document_counts)), np.float32)
    scores[:, document_counts == 0] = EMPTY
    starts = np.concatenate([[0], np.cumsum(document_counts)])
    for part in _parts(document_counts, max(1, BLOCK // max(1, len(query)))):
        filled = part[document_counts[part] > 0]
        if len(filled) and len(query):
            first = starts[filled[0]]
            products = document[first : starts[filled[-1] + 1]] @ query.T
            best = np.maximum.reduceat(products, starts[filled] - first, axis=0)
            scores[:, filled] = _sum_rows(best.T, query_counts)
    return scores / np.maximum(query_counts, 1).astype(np.float32)[:, None] if mean else scores


def maxsim_pairwise(queries: Any, documents: Any, mean: bool = False) -> np.ndarray:
    """float32[n]: the score of each query with its own document; arguments as those of maxsim."""
    left, right = _as_list(queries), _as_list(documents)
    if len(left) != len(right):
        raise InputError(f"pairs need as many queries as documents, not {len(left)} and {len(right)}")
    return np.array([maxsim(*pair, mean)[0, 0] for pair in zip(left, right)], np.float32)


def _as_list(side: Any) -> list[np.ndarray]:
    items = [np.asarray(item) for item in side] if isinstance(side, (list, tuple)) else _items(np.asarray(side))
    sizes = {item.shape[1:] for item in items}
    if any(item.ndim != 2 for item in items) or len(sizes) > 1:
        raise InputError("expected arrays of shape (tokens, dimensions), with the same dimensions")
    return items


def _items(array: np.ndarray) -> list[np.ndarray]:
    return [array] if array.ndim == 2 else [item[item.any(axis=1)] for item in array] if array.ndim == 3 else [array]


def _pack(side: Any) -> tuple[np.ndarray, np.ndarray]:
    """All tokens of a side, one below the other, and the number of tokens of each item."""
    items = _as_list(side)
    tokens = np.concatenate(items) if items else np.zeros((0, 0))
    return tokens.astype(np.float32, copy=False), np.array([len(item) for item in items], np.int64)


def _parts(counts: np.ndarray, limit: int) -> list[np.ndarray]:
    """Runs of items of about so many tokens each."""
    groups = np.cumsum(counts) // limit
    return np.split(np.arange(len(counts)), np.flatnonzero(np.diff(groups)) + 1)


def _sum_rows(rows: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The sums of runs of rows, so many each."""
    totals = np.zeros((len(counts), rows.shape[1]), np.float32)
    filled = np.flatnonzero(counts)
    if len(filled):
        totals[filled] = np.add.reduceat(rows, (np.cumsum(counts) - counts)[filled], axis=0)
    return totals
