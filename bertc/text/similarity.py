"""Similarities of embeddings: the greater, the more alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from bertc._core import InputError
from bertc.text.modules import normalize

Name = Literal["cosine", "dot", "euclidean", "manhattan"]


def _rows(x: Any) -> np.ndarray:
    x = np.asarray(x)
    return x.astype(np.float64 if x.dtype == np.float64 else np.float32, copy=False)


def _distances(a: np.ndarray, b: np.ndarray, norm: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Row by row: a difference of large numbers, as the product of matrices would give it, loses what is near."""
    result = np.empty((len(a), len(b)), np.result_type(a, b))
    for row, x in zip(result, a):
        row[:] = -norm(x - b)
    return result


def _l2(x: np.ndarray) -> np.ndarray:
    return np.sqrt(np.square(x).sum(-1))


def _l1(x: np.ndarray) -> np.ndarray:
    return np.abs(x).sum(-1)


_MATRIX: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "cosine": lambda a, b: normalize(a) @ normalize(b).T,
    "dot": lambda a, b: a @ b.T,
    "euclidean": lambda a, b: _distances(a, b, _l2),
    "manhattan": lambda a, b: _distances(a, b, _l1),
}
_PAIRWISE: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "cosine": lambda a, b: (normalize(a) * normalize(b)).sum(-1),
    "dot": lambda a, b: (a * b).sum(-1),
    "euclidean": lambda a, b: -_l2(a - b),
    "manhattan": lambda a, b: -_l1(a - b),
}
NAMES = tuple(_MATRIX)


def check_name(name: str) -> None:
    if name not in NAMES:
        raise InputError(f"similarity_fn_name must be one of {', '.join(NAMES)}, not {name!r}")


def similarity(name: Name, a: Any, b: Any) -> np.ndarray:
    """[n, m] of each of the vectors [n, d] with each of [m, d]; a single vector [d] counts as one row.

    Distances are negative, so that more is more alike. float32, or float64 where the vectors are.
    """
    return _MATRIX[name](*(np.atleast_2d(_rows(x)) for x in (a, b)))


def similarity_pairwise(name: Name, a: Any, b: Any) -> np.ndarray:
    """[n] of each of the vectors [n, d] with the one at the same place of [n, d]."""
    return np.asarray(_PAIRWISE[name](_rows(a), _rows(b)))
