"""Writing safetensors (format: https://github.com/huggingface/safetensors#format)."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

TYPES = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "int64": "I64",
    "int32": "I32",
    "int16": "I16",
    "int8": "I8",
    "uint8": "U8",
    "bool": "BOOL",
}


def write(path: Path, tensors: Mapping[str, tuple[np.ndarray, str]]) -> None:
    """Writes {name: (array, dtype)} to `path`, all or nothing.

    The dtype is NumPy's name for the array's, or "bfloat16" for an array of its bits as uint16. A dtype that the format
    lacks is a ValueError.
    """
    pieces = _pieces(tensors)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(temporary, "xb") as file:
            file.writelines(pieces)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def to_bytes(tensors: Mapping[str, tuple[np.ndarray, str]]) -> bytes:
    """What write() writes."""
    return b"".join(_pieces(tensors))


def _pieces(tensors: Mapping[str, tuple[np.ndarray, str]]) -> Iterator[bytes | memoryview]:
    """The header, and then each array's bytes."""
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    order = sorted(tensors, key=lambda name: -tensors[name][0].itemsize)  # so each is aligned to its items
    end = 0
    for name in order:
        array, dtype = tensors[name]
        if dtype not in TYPES:
            raise ValueError(f"{name}: safetensors files hold no {dtype}")
        start, end = end, end + array.nbytes
        entries[name] = {"dtype": TYPES[dtype], "shape": list(array.shape), "data_offsets": [start, end]}
    header = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    header += b" " * (-len(header) % 8)
    yield len(header).to_bytes(8, "little") + header
    for name in order:
        array = tensors[name][0]
        little = array.astype(array.dtype.newbyteorder("<"), order="C", copy=False)
        yield little.reshape(-1).view(np.uint8).data
