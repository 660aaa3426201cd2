"""Long texts: the vectors of their windows, and of spans that see the text around them."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bertc._core import InputError
from bertc.text.call import model_features

if TYPE_CHECKING:
    from tokenizers import Encoding

    from bertc.text.call import Call


class Windows(NamedTuple):
    """A text's windows, in order."""

    vectors: np.ndarray  # [windows, d]
    spans: list[tuple[int, int]]  # where each begins and ends in the text, in characters


def finish_windows(call: Call, encodings: list[Encoding], results: list[Any]) -> Windows:
    """The Windows of a text, of its encodings with offsets."""
    prompt = len(call.prompt)
    spans = []
    for encoding in encodings:
        offsets = [o for o, special in zip(encoding.offsets, encoding.special_tokens_mask) if not special]
        spans.append((max(offsets[0][0] - prompt, 0), max(offsets[-1][1] - prompt, 0)) if offsets else (0, 0))
    return Windows(call.finish_windows(encodings, results), spans)


class Tokens(NamedTuple):
    """A text's tokens, special ones aside."""

    starts: np.ndarray  # [s], where each begins in the text, in characters
    ends: np.ndarray
    vectors: np.ndarray  # [s, d]


def finish_tokens(call: Call, encodings: list[Encoding], results: list[Any]) -> Tokens:
    """The Tokens of a text, of its windows with offsets; a token in two of them is taken from the first."""
    parts = []
    for number, (encoding, result) in enumerate(zip(encodings, results)):
        array = model_features(result).get("token_embeddings")
        if array is None:
            raise InputError("the model gives a vector for each text only, none for its tokens")
        real = np.flatnonzero(np.array(encoding.special_tokens_mask) == 0)[call.stride if number else 0 :]
        offsets = np.array(encoding.offsets, np.int64).reshape(-1, 2)[real] - len(call.prompt)
        parts.append(Tokens(offsets[:, 0], offsets[:, 1], array[real]))
    return Tokens(*map(np.concatenate, zip(*parts)))


def pool_spans(call: Call, tokens: Tokens, spans: Sequence[tuple[int, int]]) -> np.ndarray:
    """[spans, d]: late chunking. The pooled tokens of each span, embedded with the text around it."""
    pooled = []
    for start, end in spans:
        inside = (tokens.starts < end) & (tokens.ends > start)
        if not inside.any():
            raise InputError(f"span ({start}, {end}): there are no tokens in it")
        pooled.append(call.pool_tokens(tokens.vectors[inside]))
    return np.stack(pooled)


def check_spans(text: Any, spans: Any) -> list[tuple[int, int]]:
    """InputError for what is no span of the text."""
    if not isinstance(text, str):
        raise InputError(f"spans are of a text, a str, not of a {type(text).__name__}")
    checked = []
    for span in spans:
        try:
            start, end = map(operator.index, span)
        except (TypeError, ValueError):
            raise InputError(f"a span is (begin, end) in characters, not {span!r}") from None
        if not 0 <= start < end <= len(text):
            raise InputError(f"span ({start}, {end}): not within a text of {len(text)} characters")
        checked.append((start, end))
    if not checked:
        raise InputError("no spans are given")
    return checked
