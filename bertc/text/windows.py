"""Long texts: the vectors of their windows, and of spans that see the text around them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bertc._core import InputError

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


def finish_spans(
    call: Call, encodings: list[Encoding], tokens: list[np.ndarray], spans: Sequence[tuple[int, int]]
) -> np.ndarray:
    """[spans, d]: late chunking. The pooled tokens of each span, embedded with the text around it.

    ``tokens`` are the token embeddings [s, d] of each window; a token in two of them counts as in the first.
    """
    starts, ends, vectors = _join(call, encodings, tokens)
    pooled = []
    for start, end in spans:
        inside = (starts < end) & (ends > start)
        if not inside.any():
            raise InputError(f"span ({start}, {end}): there are no tokens in it")
        pooled.append(call.pool_tokens(vectors[inside]))
    return np.stack(pooled)


def _join(call: Call, encodings: list[Encoding], tokens: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where each token of the text begins and ends in it, and its vector."""
    starts, ends, vectors = [], [], []
    for number, (encoding, array) in enumerate(zip(encodings, tokens)):
        real = np.flatnonzero(np.array(encoding.special_tokens_mask) == 0)[call.stride if number else 0 :]
        offsets = np.array(encoding.offsets, np.int64).reshape(-1, 2)[real] - len(call.prompt)
        starts.append(offsets[:, 0])
        ends.append(offsets[:, 1])
        vectors.append(array[real])
    return np.concatenate(starts), np.concatenate(ends), np.concatenate(vectors)


def check_spans(text: str, spans: Any) -> list[tuple[int, int]]:
    """InputError for what is no span of the text."""
    checked = []
    for span in spans:
        start, end = (int(x) for x in span)
        if not 0 <= start < end <= len(text):
            raise InputError(f"span ({start}, {end}): not within a text of {len(text)} characters")
        checked.append((start, end))
    if not checked:
        raise InputError("no spans are given")
    return checked
