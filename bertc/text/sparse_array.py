"""SparseArray: vectors as wide as a vocabulary of which only the few values that are not zero are kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from bertc._core import InputError


class SparseArray:
    """One sparse vector, of shape (V,), or several, of shape (n, V).

    ``indices`` (int64, ascending in each row) and ``values`` (float32) are those of all rows, one after the other; row
    i has ``offsets[i]:offsets[i + 1]`` of them. A row, ``array[i]``, is a SparseArray of shape (V,), and so is each
    item of a loop; a slice or an array of numbers gives some rows. ``np.asarray(array)`` is the dense array.
    """

    __slots__ = ("indices", "offsets", "shape", "values")

    def __init__(self, indices: np.ndarray, values: np.ndarray, offsets: np.ndarray, shape: tuple[int, ...]) -> None:
        self.indices = indices
        self.values = values
        self.offsets = offsets
        self.shape = shape

    @classmethod
    def from_dense(cls, array: Any) -> SparseArray:
        """Of an array of shape (V,) or (n, V)."""
        array = np.asarray(array, np.float32)
        if array.ndim not in (1, 2):
            raise InputError(f"expected an array of shape (V,) or (n, V), not {array.shape}")
        rows, indices = np.nonzero(np.atleast_2d(array))
        count = len(array) if array.ndim == 2 else 1
        offsets = np.searchsorted(rows, np.arange(count + 1))
        return cls(indices, np.atleast_2d(array)[rows, indices], offsets, array.shape)

    @classmethod
    def stack(cls, rows: Sequence[SparseArray], size: int = 0) -> SparseArray:
        """Vectors of shape (V,) as one array of shape (n, V); ``size`` is V when there are none."""
        sizes = {row.shape[-1] for row in rows} or {size}
        if len(sizes) > 1 or any(row.ndim != 1 for row in rows):
            raise InputError(f"sparse vectors of one size can be stacked, not of {sorted({row.shape for row in rows})}")
        offsets = np.cumsum([0] + [row.nnz for row in rows])
        indices = np.concatenate([row.indices for row in rows]) if rows else np.zeros(0, np.int64)
        values = np.concatenate([row.values for row in rows]) if rows else np.zeros(0, np.float32)
        return cls(indices, values, offsets, (len(rows), sizes.pop()))

    @property
    def ndim(self) -> int:
        """1 or 2."""
        return len(self.shape)

    @property
    def nnz(self) -> int:
        """How many values are kept."""
        return len(self.values)

    def dense(self) -> np.ndarray:
        """The float32 array of the same shape."""
        array = np.zeros((len(self.offsets) - 1, self.shape[-1]), np.float32)
        array[self.row_numbers(), self.indices] = self.values
        return array.reshape(self.shape)

    def as_dict(self) -> dict[int, float] | list[dict[int, float]]:
        """{index: value}; of several rows a list of them."""
        if self.ndim == 2:
            return [dict(zip(row.indices.tolist(), row.values.tolist())) for row in self]
        return dict(zip(self.indices.tolist(), self.values.tolist()))

    def as_object(self) -> dict[str, np.ndarray]:
        """{"indices": ..., "values": ...} of one vector, as vector databases take it."""
        if self.ndim == 2:
            raise InputError("as_object() is for one vector: array[i].as_object()")
        return {"indices": self.indices, "values": self.values}

    def row_numbers(self) -> np.ndarray:
        """The row of each kept value."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))

    def rows(self) -> SparseArray:
        """Itself with two dimensions."""
        return self if self.ndim == 2 else SparseArray(self.indices, self.values, self.offsets, (1, *self.shape))

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self))) if self.ndim == 2 else iter(self.dense())

    def __getitem__(self, key: Any) -> Any:
        if self.ndim == 1:
            return self.dense()[key]
        chosen = np.arange(len(self))[key]
        if np.ndim(chosen) == 0:
            part = slice(self.offsets[chosen], self.offsets[chosen + 1])
            values = self.values[part]
            return SparseArray(self.indices[part], values, np.array([0, len(values)]), self.shape[1:])
        counts = np.diff(self.offsets)[chosen]
        offsets = np.concatenate([[0], np.cumsum(counts)])
        source = np.arange(offsets[-1]) + np.repeat(self.offsets[:-1][chosen] - offsets[:-1], counts)
        return SparseArray(self.indices[source], self.values[source], offsets, (len(chosen), self.shape[1]))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self.dense() if dtype is None else self.dense().astype(dtype)

    def __repr__(self) -> str:
        return f"<SparseArray of shape {self.shape} with {self.nnz} values>"
