"""Call arguments as people pass them, to the plain values and arrays that the core takes."""

from __future__ import annotations

import functools
import operator
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from bertc._core import InputError

MAX_RANK = 8
NOT_GIVEN = ...  # the core's mark for "use the default"


class Parameter(NamedTuple):
    name: str
    type: str  # in TorchScript's notation: "Tensor", "Dict[str, Tensor]"
    required: bool


class Type(NamedTuple):
    name: str
    items: tuple[Type, ...] = ()


# ---- binding ----


def signature(params: Sequence[Parameter]) -> str:
    """The parameters as a person would write them: "(input_ids: Tensor, mask: Optional[Tensor] = ...)"."""
    return "(" + ", ".join(f"{p.name}: {p.type}" + ("" if p.required else " = ...") for p in params) + ")"


def bind(params: Sequence[Parameter], args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    """One converted value per parameter, found by position or keyword as in a Python call."""
    if len(args) > len(params):
        raise InputError(
            f"forward() got {len(args)} positional arguments, the model takes {len(params)}: {signature(params)}"
        )
    values = dict(zip((p.name for p in params), args))
    names = {p.name for p in params}
    for name, value in kwargs.items():
        if name not in names:
            raise InputError(f"forward() got an unexpected argument {name!r}, the model takes {signature(params)}")
        if name in values:
            raise InputError(f"forward() got {name!r} both by position and by keyword")
        values[name] = value
    missing = [p.name for p in params if p.required and p.name not in values]
    for p in params:
        if missing and parse_type(p.type).name == "Tensor" and isinstance(values.get(p.name), Mapping):
            raise _not_a_tensor(values[p.name], p.name)
    if missing:
        raise InputError(f"forward() is missing {', '.join(map(repr, missing))}, the model takes {signature(params)}")
    return tuple(convert(values[p.name], parse_type(p.type), p.name) if p.name in values else NOT_GIVEN for p in params)


def describe(params: Sequence[Parameter], values: tuple[Any, ...]) -> str:
    """What was passed, for messages: "input_ids: int64[1, 14], attention_mask: int64[2, 14]"."""
    return ", ".join(f"{p.name}: {_summary(v)}" for p, v in zip(params, values) if v is not NOT_GIVEN)


def _summary(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{list(value.shape)}"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {_summary(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "(" + ", ".join(map(_summary, value)) + ")"
    return repr(value)


# ---- types ----


@functools.lru_cache(maxsize=256)
def parse_type(text: str) -> Type:
    """ "Dict[str, Tensor]" as Type("Dict", (Type("str"), Type("Tensor")))."""
    parsed, rest = _parse_type(text)
    return parsed if not rest.strip() else Type("Any")


def _parse_type(text: str) -> tuple[Type, str]:
    end = next((i for i, c in enumerate(text) if c in "[],"), len(text))
    name, rest = text[:end].strip(), text[end:]
    items = []
    if rest.startswith("["):
        while rest and not rest.startswith("]"):
            item, rest = _parse_type(rest[1:])
            items.append(item)
        rest = rest[1:].lstrip()
    return Type(name, tuple(items)), rest


def convert(value: Any, type: Type, where: str) -> Any:
    """`value` as its parameter's type asks; `where` names it in messages: "past[0][1]"."""
    converter = _CONVERTERS.get(type.name)
    return converter(value, type, where) if converter else _convert_any(value, where)


def _convert_tensor(value: Any, type: Type, where: str) -> np.ndarray:
    return as_tensor(value, where)


def _convert_optional(value: Any, type: Type, where: str) -> Any:
    return None if value is None else convert(value, type.items[0], where)


def _convert_none(value: Any, type: Type, where: str) -> None:
    if value is not None:
        raise _wrong(value, where, "None")


def _convert_list(value: Any, type: Type, where: str) -> list[Any]:
    if isinstance(value, np.ndarray):
        value = list(value)
    if not isinstance(value, (list, tuple)):
        raise _wrong(value, where, f"a list of {type.items[0].name}")
    return [convert(item, type.items[0], f"{where}[{i}]") for i, item in enumerate(value)]


def _convert_tuple(value: Any, type: Type, where: str) -> tuple[Any, ...]:
    if not isinstance(value, (list, tuple)) or len(value) != len(type.items):
        raise _wrong(value, where, f"a tuple of {len(type.items)}")
    return tuple(convert(item, t, f"{where}[{i}]") for i, (item, t) in enumerate(zip(value, type.items)))


def _convert_dict(value: Any, type: Type, where: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise _wrong(value, where, "a dict")
    for key in value:
        if not isinstance(key, str):
            raise InputError(f"{where}: expected names as keys, got {key!r}")
    return {key: convert(item, type.items[1], f"{where}[{key!r}]") for key, item in value.items()}


def _convert_bool(value: Any, type: Type, where: str) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise _wrong(value, where, "True or False")
    return bool(value)


def _convert_int(value: Any, type: Type, where: str) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise _wrong(value, where, "an integer") from None
    if not -(2**63) <= number < 2**63:
        raise InputError(f"{where}: {number} does not fit into 64 bits")
    return number


def _convert_float(value: Any, type: Type, where: str) -> float:
    if isinstance(value, (str, bytes)):
        raise _wrong(value, where, "a number")
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise _wrong(value, where, "a number") from None


def _convert_number(value: Any, type: Type, where: str) -> bool | int | float:
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    return _convert_int(value, type, where) if hasattr(value, "__index__") else _convert_float(value, type, where)


def _convert_str(value: Any, type: Type, where: str) -> str:
    if not isinstance(value, str):
        raise _wrong(value, where, "a text")
    return value


_CONVERTERS = {
    "Tensor": _convert_tensor,
    "Optional": _convert_optional,
    "NoneType": _convert_none,
    "List": _convert_list,
    "Tuple": _convert_tuple,
    "Dict": _convert_dict,
    "bool": _convert_bool,
    "int": _convert_int,
    "float": _convert_float,
    "number": _convert_number,
    "Scalar": _convert_number,
    "str": _convert_str,
}


def _convert_any(value: Any, where: str) -> Any:
    """For a type that has no rule above: containers as they are, numbers as numbers, all else a tensor."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return _convert_int(value, Type("int"), where)
    if isinstance(value, float):
        return value
    if isinstance(value, Mapping):
        return _convert_dict(value, Type("Dict", (Type("str"), Type("Any"))), where)
    if isinstance(value, (list, tuple)):
        return tuple(_convert_any(item, f"{where}[{i}]") for i, item in enumerate(value))
    return as_tensor(value, where)


# ---- tensors ----


def as_tensor(value: Any, where: str) -> np.ndarray:
    """A C-contiguous array of int64, bool or float32 with the values of any array-like; `value` is not modified.

    Integers are always copied: the core checks ids once, and nobody must be able to change them after that.
    """
    array = _as_array(value, where)
    kind = array.dtype.kind
    if array.ndim > MAX_RANK:
        raise InputError(f"{where}: {array.ndim} dimensions, at most {MAX_RANK} are possible")
    if array.size == 0 and isinstance(value, (list, tuple)):
        return np.zeros(array.shape, np.int64)
    if kind in "iu":
        # of either byte order: `array.dtype == np.uint64` is true of the native one only
        if kind == "u" and array.itemsize == 8 and array.size and array.max() > np.iinfo(np.int64).max:
            raise InputError(f"{where}: {array.max()} does not fit into int64")
        return np.array(array, dtype=np.int64, order="C", copy=True)
    if kind == "b":
        return np.array(array, dtype=np.bool_, order="C", copy=True)
    if kind == "f":
        with np.errstate(over="ignore"):  # a mask may hold float64's smallest number
            return np.require(array, np.float32, ["C", "A"])
    raise InputError(f"{where}: expected integers, bools or floats, got an array of {array.dtype}")


def _as_array(value: Any, where: str) -> np.ndarray:
    if type(value) is np.ndarray:
        return value
    if value is None or isinstance(value, (Mapping, set, frozenset, str, bytes)):
        raise _not_a_tensor(value, where)
    try:
        if hasattr(value, "detach"):  # a torch tensor, perhaps with gradient or on another device
            value = value.detach().cpu()
        if hasattr(value, "__dlpack__") and not hasattr(value, "__array__"):
            return np.from_dlpack(value)
        return np.asarray(value)
    except ValueError as error:
        if isinstance(value, (list, tuple)):
            raise InputError(f"{where}: its rows have different lengths; pad them to one length") from error
        raise InputError(f"{where}: {_kind(value)} cannot become an array: {error}") from error
    except OverflowError as error:
        raise InputError(f"{where}: holds a number that does not fit into int64") from error
    except (TypeError, RuntimeError, BufferError) as error:
        raise InputError(f"{where}: {_kind(value)} cannot become an array: {error}") from error


def _not_a_tensor(value: Any, where: str) -> InputError:
    hint = ""
    if isinstance(value, Mapping):
        hint = "; pass its items as keywords: model(**inputs)"
    elif isinstance(value, str):
        hint = "; the model takes token ids, so tokenise the text first"
    return _wrong(value, where, "a tensor", hint)


def _wrong(value: Any, where: str, expected: str, hint: str = "") -> InputError:
    return InputError(f"{where}: expected {expected}, got {_kind(value)}{hint}")


def _kind(value: Any) -> str:
    if value is None:
        return "None"
    if isinstance(value, (list, tuple)):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a {type(value).__name__}"
