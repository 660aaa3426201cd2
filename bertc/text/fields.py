"""What JSON files of models say, checked to be of the type that it should be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bertc._core import FormatError

_NAMES = {str: "a text", int: "a whole number", dict: "an object", list: "a list"}


def field(settings: Mapping[str, Any], name: str, kind: type, where: Any) -> Any:
    """The value of a field, None where there is none; ``where`` names the file or the folder in the error."""
    value = settings.get(name)
    if value is not None and not _is(value, kind):
        raise FormatError(f"{where}: {name} must be {_NAMES[kind]}, not {value!r:.60}")
    return value


def list_field(settings: Mapping[str, Any], name: str, kind: type, where: Any) -> list[Any]:
    """The items of a list, [] where there is none."""
    items = field(settings, name, list, where) or []
    for item in items:
        if not _is(item, kind):
            raise FormatError(f"{where}: each of {name} must be {_NAMES[kind]}, not {item!r:.60}")
    return items


def length_field(settings: Mapping[str, Any], name: str, where: Any) -> int | None:
    """A number of tokens or dimensions."""
    value = field(settings, name, int, where)
    if value is not None and value < 1:
        raise FormatError(f"{where}: {name} must be at least 1, not {value}")
    return value


def _is(value: Any, kind: type) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)
