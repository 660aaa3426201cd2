"""Sentence similarity: how alike the meaning of a sentence is to that of others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bertc._core import InputError
from bertc.text.sentence import SentenceEncoder
from bertc.text.similarity import similarity


class SentenceSimilarityPipeline:
    """A source sentence and others to the cosines of their embeddings, as the hub's inference API has it.

    Threads may share it.
    """

    task = "sentence-similarity"

    def __init__(self, encoder: SentenceEncoder) -> None:
        self.encoder = encoder

    def __call__(self, inputs: Any = None, sentences: Any = None, *, source_sentence: Any = None) -> Any:
        """A list of floats, one a sentence; a list of such lists for a list of inputs.

        Takes {"source_sentence": str, "sentences": [str]}, a list or an iterable (then the results come lazily) of
        those, or the source sentence and the sentences as arguments.
        """
        if sentences is not None:
            inputs = {"source_sentence": source_sentence if inputs is None else inputs, "sentences": sentences}
        if isinstance(inputs, (list, tuple)):
            return [self._compare(item) for item in inputs]
        if isinstance(inputs, Iterable) and not isinstance(inputs, (str, Mapping)):
            return map(self._compare, inputs)
        return self._compare(inputs)

    def _compare(self, item: Any) -> list[float]:
        keys = {"source_sentence", "sentences"}
        if not isinstance(item, Mapping) or set(item) != keys or not isinstance(item["source_sentence"], str):
            raise InputError(f"{self.task} takes a source_sentence and sentences, got {item!r:.80}")
        sentences = item["sentences"]
        sentences = [sentences] if isinstance(sentences, str) else list(sentences)
        vectors = self.encoder.encode([item["source_sentence"], *sentences])
        return similarity("cosine", vectors[0], vectors[1:])[0].tolist() if sentences else []

    def __repr__(self) -> str:
        return f"<bertc.pipeline {self.task!r}: {self.encoder!r}>"
