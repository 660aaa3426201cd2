"""Token classification: the entities of texts."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Collection
from itertools import accumulate
from typing import Any

import numpy as np
from tokenizers import Encoding

from bertc._core import InputError
from bertc.text.pipelines import base, entities
from bertc.text.pipelines.base import check_count
from bertc.text.pipelines.entities import STRATEGIES, Labels, Tokens
from bertc.text.pipelines.limits import Limit
from bertc.text.pipelines.scores import softmax


@dataclasses.dataclass(frozen=True)
class Options(base.TextOptions):
    """``aggregation_strategy``: "none" gives tokens; "simple" joins neighbours of one tag; "first", "average" and "max"
    first make the tokens of a word agree, by its first token, their mean scores, or the surest token.

    ``ignore_labels``: labels to leave out. ``stride``: reads long texts in windows that share so many tokens, instead
    of cutting them; not with "none". ``is_split_into_words``: texts are lists of words, which offsets count as if they
    were joined by ``delimiter``.
    """

    aggregation_strategy: str = "none"
    ignore_labels: Collection[str] = ("O",)
    stride: int | None = None
    is_split_into_words: bool = False
    delimiter: str = " "

    def __post_init__(self) -> None:
        super().__post_init__()
        strategy = getattr(self.aggregation_strategy, "value", self.aggregation_strategy)  # of transformers' enum
        if not isinstance(strategy, str) or strategy.lower() not in STRATEGIES:
            raise InputError(f"aggregation_strategy must be one of {', '.join(STRATEGIES)}; got {strategy!r}")
        object.__setattr__(self, "aggregation_strategy", strategy.lower())
        if isinstance(self.ignore_labels, str):
            raise InputError(f"ignore_labels must be a list of labels, got the str {self.ignore_labels!r}")
        check_count("stride", self.stride, least=0)


class TokenClassificationPipeline(base.Pipeline):
    """Texts to lists of entities. Texts longer than the model takes are cut with a warning, or read with ``stride``."""

    task = "token-classification"
    heads = ("ForTokenClassification",)
    options_type = Options
    truncation = True

    def __call__(self, inputs: Any, **options: Any) -> Any:
        """A list of dicts for a str, a list of those for a list; with is_split_into_words a list of words is one text.

        Dicts are {"entity", "score", "index", "word", "start", "end"}, or when they are aggregated {"entity_group",
        "score", "word", "start", "end"}; score is a NumPy float32, start and end count characters. ``options_type``
        explains the options.
        """
        merged = self._resolve(self._merge(self.options, options))
        if merged.is_split_into_words and isinstance(inputs, (list, tuple)):
            one = not all(isinstance(item, list) for item in inputs)
            inputs = [list(inputs)] if one else inputs
        return self._run(inputs, merged)

    def _resolve(self, options: Options) -> Options:
        if options.stride is not None:
            limit = options.max_length or self.max_length
            if options.aggregation_strategy == "none":
                raise InputError(
                    "stride reads texts in windows, whose entities need an aggregation_strategy to be joined"
                )
            if limit is not None and options.stride >= limit - self.tokenizer.special_count():
                raise InputError(f"stride must be less than the tokens of a window, {limit} with special ones")
        return options

    def _encode(self, items: list[Any], places: range, limit: Limit, options: Options) -> list[list[Encoding]]:
        kind = list if options.is_split_into_words else str
        for item, place in zip(items, places):
            if not isinstance(item, kind) or not all(isinstance(word, str) for word in item):
                expected = "a list of words (is_split_into_words=True)" if kind is list else "a str"
                raise InputError(f"{self.task}: input {place}: expected {expected}, got {item!r:.80}")
        if options.stride is None:
            encodings = limit.encode(items, places, is_pretokenized=options.is_split_into_words)
            return [[encoding] for encoding in encodings]
        encodings = self.tokenizer.encode_batch(
            items,
            max_length=options.max_length or self.max_length,
            stride=options.stride,
            is_pretokenized=options.is_split_into_words,
        )
        return [[encoding, *encoding.overflowing] for encoding in encodings]

    def _finish(self, item: Any, encodings: list[Encoding], outputs: list[Any], options: Options) -> Any:
        text = options.delimiter.join(item) if options.is_split_into_words else item
        word_starts = None
        if options.is_split_into_words:
            word_starts = np.array([0, *accumulate(len(word) + len(options.delimiter) for word in item)])
        found: list[dict[str, Any]] = []
        for encoding, output in zip(encodings, outputs):
            scores = softmax(self._output(output, "logits", 2))
            labels = make_labels(self.label_names[scores.shape[1]])
            tokens = self._tokens(text, encoding, scores, word_starts)
            if options.aggregation_strategy == "none":
                found += entities.token_entities(tokens, labels, options.ignore_labels)
            else:
                strategy = options.aggregation_strategy
                found += entities.grouped_entities(tokens, labels, options.ignore_labels, strategy, self._join)
        return entities.merge_windows(found) if len(encodings) > 1 else found

    def _join(self, tokens: list[str]) -> str:
        decoder = self.tokenizer.backend.decoder
        return " ".join(tokens) if decoder is None else decoder.decode(tokens)

    def _tokens(self, text: str, encoding: Encoding, scores: np.ndarray, word_starts: np.ndarray | None) -> Tokens:
        index = np.flatnonzero(np.array(encoding.special_tokens_mask) == 0)
        spans = np.array(encoding.offsets, np.intp).reshape(-1, 2)[index]
        if word_starts is not None:
            words = encoding.word_ids
            spans += word_starts[[words[i] for i in index.tolist()]][:, None]
        starts, ends = spans.T
        tokens = encoding.tokens
        words = [tokens[i] for i in index.tolist()]
        prefix = getattr(self.tokenizer.backend.model, "continuing_subword_prefix", None)
        continues = entities.continues_word(text, starts, words, ends, bool(prefix))
        unknown = np.flatnonzero(np.array(encoding.ids)[index] == self.tokenizer.unk_token_id)
        continues[unknown] = False
        for i in unknown.tolist():
            words[i] = text[starts[i] : ends[i]]
        return Tokens(index, words, starts, ends, continues, scores[index])


@functools.lru_cache(maxsize=32)
def make_labels(names: tuple[str, ...]) -> Labels:
    return Labels(list(names))
