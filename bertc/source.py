"""What models and weights are read from: paths, memory, binary files."""

from __future__ import annotations

import os
from typing import Any


def is_path(source: Any) -> bool:
    return isinstance(source, (str, os.PathLike))


def name_of_path(path: Any) -> str:
    return os.path.basename(os.path.abspath(os.fsdecode(os.fspath(path))))


def as_memory(source: Any, function: str) -> tuple[memoryview, str]:
    """The bytes of a buffer, or of a binary file from its position, and a name for messages."""
    name = f"<{type(source).__name__}>"
    if hasattr(source, "read") and not _is_buffer(source):
        name = str(getattr(source, "name", name))
        source = source.read()
        if isinstance(source, str):
            raise TypeError(f"{name} is open as text; open it in binary mode: open(path, 'rb')")
    try:
        return memoryview(source), name
    except TypeError:
        raise TypeError(f"{function}() takes a path, bytes or a binary file, not {type(source).__name__}") from None


def _is_buffer(source: Any) -> bool:
    try:
        memoryview(source).release()
    except TypeError:
        return False
    return True
