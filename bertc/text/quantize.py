"""Embeddings in fewer bits, as sentence-transformers quantises them."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from bertc._core import InputError
from bertc.text.warn import warn

Precision = Literal["float32", "int8", "uint8", "binary", "ubinary"]
PRECISIONS = ("float32", "int8", "uint8", "binary", "ubinary")
FEW = 100  # embeddings, from which ranges are a guess


def quantize_embeddings(
    embeddings: Any, precision: Precision, ranges: Any = None, calibration_embeddings: Any = None
) -> np.ndarray:
    """Float embeddings [n, d] in another precision.

    "int8" and "uint8" [n, d] are 256 steps between each dimension's smallest and largest value: rows 0 and 1 of
    ``ranges`` [2, d], else those of ``calibration_embeddings`` [m, d], else those of the embeddings themselves, with a
    warning when these are few. "ubinary", uint8 [n, d / 8], has a bit for each positive value, the first one highest;
    "binary" is the same minus 128, as int8. Raises InputError for ranges of a single embedding, and for integers.
    """
    check_precision(precision)
    embeddings = np.asarray(embeddings)
    if embeddings.dtype.kind != "f":
        raise InputError(f"embeddings to quantize must be floats, not {embeddings.dtype}")
    if precision == "float32":
        return embeddings.astype(np.float32)
    if precision == "ubinary":
        return np.packbits(embeddings > 0, axis=-1)
    if precision == "binary":
        return (np.packbits(embeddings > 0, axis=-1) ^ 128).view(np.int8)
    levels = _levels(embeddings, _ranges(embeddings, precision, ranges, calibration_embeddings))
    return levels if precision == "uint8" else (levels ^ 128).view(np.int8)


def check_precision(precision: str | None) -> None:
    if precision is not None and precision not in PRECISIONS:
        raise InputError(f"precision must be one of {', '.join(PRECISIONS)}, not {precision!r}")


def _ranges(embeddings: np.ndarray, precision: str, ranges: Any, calibration: Any) -> np.ndarray:
    if ranges is None:
        if calibration is None:
            _check_count(embeddings, precision)
            calibration = embeddings
        calibration = np.asarray(calibration)
        if embeddings.size == 0:
            return np.zeros((2, embeddings.shape[-1]), np.float32)
        ranges = np.vstack([calibration.min(0), calibration.max(0)])
    ranges = np.asarray(ranges, np.float32)
    if ranges.shape != (2, embeddings.shape[-1]):
        raise InputError(f"ranges must have the shape (2, {embeddings.shape[-1]}), not {ranges.shape}")
    return ranges


def _check_count(embeddings: np.ndarray, precision: str) -> None:
    if embeddings.ndim == 1 or len(embeddings) == 1:
        raise InputError(
            f"{precision} needs the range of each dimension, which a single embedding lacks: encode in float32, "
            f"then give quantize_embeddings ranges= or calibration_embeddings="
        )
    if 0 < len(embeddings) < FEW:
        warn(
            f"the ranges for {precision} are of {len(embeddings)} embeddings only; give quantize_embeddings ranges= or "
            f"calibration_embeddings= of {FEW} or more"
        )


def _levels(embeddings: np.ndarray, ranges: np.ndarray) -> np.ndarray:
    steps = (ranges[1] - ranges[0]) / 255
    steps = np.where(steps == 0, 1, steps)
    return np.clip(np.floor((embeddings - ranges[0]) / steps), 0, 255).astype(np.uint8)
