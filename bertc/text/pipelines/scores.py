"""Logits to probabilities, and the best of them."""

from __future__ import annotations

import numpy as np


def softmax(logits: np.ndarray) -> np.ndarray:
    """float32, of the shape of ``logits``, over the last axis."""
    logits = np.asarray(logits, np.float32)
    scores = np.exp(logits - logits.max(-1, keepdims=True))
    scores /= scores.sum(-1, keepdims=True)
    return scores


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """float32, of the shape of ``logits``."""
    with np.errstate(over="ignore"):  # exp(-x) is infinite where the result is 0
        return np.float32(1) / (np.float32(1) + np.exp(-np.asarray(logits, np.float32)))


def best(scores: np.ndarray, count: int) -> np.ndarray:
    """The places of the ``count`` highest scores along the last axis, descending, the first of equals first."""
    count = min(count, scores.shape[-1])
    if 4 * count < scores.shape[-1]:
        places = np.sort(np.argpartition(-scores, count - 1, axis=-1)[..., :count], axis=-1)
        order = np.argsort(-np.take_along_axis(scores, places, -1), axis=-1, kind="stable")
        return np.take_along_axis(places, order, -1)
    return np.argsort(-scores, axis=-1, kind="stable")[..., :count]
