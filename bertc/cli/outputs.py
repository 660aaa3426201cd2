"""What the commands write: JSON lines, a table, or the .npy file of a matrix that grows."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import IO, Any

import numpy as np

from bertc._core import InputError

_WIDEST = 60  # characters of a table's cell
_HEADER = 128  # bytes of a .npy header, with room for the number of rows


def format_of(given: str | None, path: str | None) -> str:
    """ "npy", "table" or "jsonl": as given, by the file's name, else the last. InputError for npy without a file."""
    name = given or ("npy" if path and path.endswith(".npy") else "jsonl")
    if name == "npy" and path is None:
        raise InputError("the format npy needs a file to write to: --output vectors.npy")
    return name


def write_records(records: Iterable[dict[str, Any]], kind: str, path: str | None) -> None:
    """Writes each record as it comes; tables when all are there. To stdout without a path."""
    with _open(path) as file:
        if kind == "table":
            file.write(_table([row for record in records for row in _rows(record)]))
            return
        for record in records:
            file.write(json.dumps(record, ensure_ascii=False, default=_as_json) + "\n")
            file.flush()


def write_matrix(vectors: Iterable[np.ndarray], path: str) -> None:
    """Writes vectors of one length and dtype as the rows of a .npy file, holding one at a time."""
    shape, dtype = (0, 0), np.dtype(np.float32)
    with Path(path).open("wb") as file:
        file.write(bytes(_HEADER))
        for vector in vectors:
            file.write(np.ascontiguousarray(vector).tobytes())
            shape, dtype = (shape[0] + 1, len(vector)), vector.dtype
        file.seek(0)
        text = f"{{'descr': {dtype.str!r}, 'fortran_order': False, 'shape': {shape}, }}"
        start = b"\x93NUMPY\x01\x00" + (_HEADER - 10).to_bytes(2, "little")
        file.write(start + text.ljust(_HEADER - 11).encode() + b"\n")


@contextmanager
def _open(path: str | None) -> Iterator[IO[str]]:
    if path is None:
        sys.stdout.reconfigure(encoding="utf-8")
        yield sys.stdout
    else:
        with Path(path).open("w", encoding="utf-8") as file:
            yield file


def _as_json(value: Any) -> Any:
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else str(value)


def _rows(record: dict[str, Any]) -> list[dict[str, str]]:
    """A row for each dict in the record's lists, beside what the record says itself."""
    own = {key: _cell(value) for key, value in record.items() if not isinstance(value, list)}
    items = chain.from_iterable(_dicts(value) for value in record.values() if isinstance(value, list))
    return [{**{key: _cell(value) for key, value in item.items()}, **own} for item in items] or [own]


def _dicts(values: list[Any]) -> Iterator[dict[str, Any]]:
    for value in values:
        if isinstance(value, dict):
            yield value
        else:
            yield from _dicts(value)


def _cell(value: Any) -> str:
    if isinstance(value, (float, np.floating)):
        return f"{value:.4f}"
    if isinstance(value, np.ndarray):
        shown = " ".join(f"{number:.4g}" for number in value[:4])
        return f"{shown} ... ({len(value)})" if len(value) > 4 else shown
    text = " ".join(str(value).split())
    return text if len(text) <= _WIDEST else text[: _WIDEST - 3] + "..."


def _table(rows: list[dict[str, str]]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [names, *([row.get(name, "") for name in names] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells)]
    return "".join("  ".join(map(str.ljust, line, widths)).rstrip() + "\n" for line in cells if names)
