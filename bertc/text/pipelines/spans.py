"""Start and end logits of question answering to spans of tokens, by the contract of transformers 4."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bertc.text.pipelines.scores import best, softmax

OUTSIDE = np.float32(-10000)  # the logit of a token that no answer may begin or end with


class Spans(NamedTuple):
    """The most probable answers of one window, descending."""

    first: np.ndarray  # [k], tokens
    last: np.ndarray  # [k], tokens, inclusive
    scores: np.ndarray  # float32 [k]
    null: float  # the probability that there is no answer: that of the first token as both start and end


def best_spans(start: np.ndarray, end: np.ndarray, allowed: np.ndarray, count: int, max_length: int) -> Spans:
    """At most ``count`` spans of ``allowed`` tokens (bool [n]), at most ``max_length`` tokens long.

    A span's score is the product of its tokens' probabilities as start and as end, each a softmax over the window.
    """
    start, end = softmax(np.where(allowed, start, OUTSIDE)), softmax(np.where(allowed, end, OUTSIDE))
    null = float(start[0] * end[0])
    start[0] = end[0] = 0
    width = min(max_length, len(end))
    shifted = np.lib.stride_tricks.sliding_window_view(np.append(end, np.zeros(width - 1, np.float32)), width)
    scores = (start[:, None] * shifted).ravel()  # [token, length - 1]
    places = best(scores, count)
    first, length = np.divmod(places, width)
    last = first + length
    kept = last < len(end)
    kept[kept] = allowed[first[kept]] & allowed[last[kept]] & (first[kept] > 0)
    return Spans(first[kept], last[kept], scores[places[kept]], null)
