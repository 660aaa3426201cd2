"""What people pass to encoders, checked: texts, devices, keywords."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sized
from typing import Any

import numpy as np

from bertc._core import InputError, UnsupportedError

logger = logging.getLogger("bertc")


def as_texts(inputs: Any) -> list[Any] | Iterator[Any]:
    """The texts of a call as a list, or as an iterator when they are not all there yet."""
    if isinstance(inputs, np.ndarray):
        inputs = inputs.tolist()
    if isinstance(inputs, str):
        return [inputs]
    if isinstance(inputs, (bytes, Mapping)) or not isinstance(inputs, Iterable):
        raise InputError(f"expected a str, a list of them, or an iterator, got a {type(inputs).__name__}")
    return list(inputs) if isinstance(inputs, Sized) else iter(inputs)


def check_device(device: Any) -> None:
    """UnsupportedError unless it is None, "cpu" or a list of such."""
    for one in device if isinstance(device, (list, tuple)) else [device]:
        if one is not None and str(one).partition(":")[0] != "cpu":
            raise UnsupportedError(f"bertc runs on the CPU only, not on {one}")


def shows_progress(shown: bool | None) -> bool:
    """Whether to show a bar: what the caller says, else whether the logger "bertc" is at INFO or DEBUG."""
    return logger.getEffectiveLevel() in (logging.INFO, logging.DEBUG) if shown is None else shown


def check_unknown(unknown: Mapping[str, Any], function: str) -> None:
    """InputError for keywords that nothing is known of."""
    if unknown:
        raise InputError(f"{function}() got keywords that it does not know: {', '.join(sorted(unknown))}")
