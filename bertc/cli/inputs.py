"""Where the commands' texts come from: arguments, files and stdin, as lines or JSON lines."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bertc._core import InputError

STDIN = "-"


def read_items(texts: list[str], paths: list[str], json_lines: bool) -> Iterator[Any]:
    """The arguments, then each line of the files; of stdin when there is neither.

    Lines of ``.jsonl`` files, or of all with ``json_lines``, are JSON values. Raises InputError, which names the line,
    and OSError.
    """
    yield from texts
    for path in paths or ([] if texts else [STDIN]):
        as_json = json_lines or path.endswith(".jsonl")
        name = "stdin" if path == STDIN else path
        for number, line in enumerate(_lines(path), 1):
            yield _parse(line, f"{name}, line {number}") if as_json else line


def read_wholes(texts: list[str], paths: list[str]) -> list[str]:
    """The arguments, then each file as one text; stdin when there is neither."""
    files = paths or ([] if texts else [STDIN])
    return [*texts, *("\n".join(_lines(path)) for path in files)]


def _lines(path: str) -> Iterator[str]:
    try:
        if path == STDIN:
            sys.stdin.reconfigure(encoding="utf-8")
            yield from (line.rstrip("\r\n") for line in sys.stdin)
        else:
            with Path(path).open(encoding="utf-8") as file:
                yield from (line.rstrip("\r\n") for line in file)
    except UnicodeDecodeError as error:
        raise InputError(f"{'stdin' if path == STDIN else path} is not UTF-8: {error}") from None


def _parse(line: str, where: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: no proper JSON: {error}") from None
