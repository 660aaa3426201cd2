"""Question answering: the words of a context that answer a question, as transformers 4 found them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from tokenizers import Encoding

from bertc._core import InputError
from bertc.text.pipelines import base
from bertc.text.pipelines.base import check_count
from bertc.text.pipelines.limits import Limit
from bertc.text.pipelines.spans import best_spans

_LENGTH, _STRIDE = 384, 128  # of a window, unless the model takes less


@dataclasses.dataclass(frozen=True)
class Options(base.Options):
    """``top_k``: how many answers. ``max_answer_len``: tokens of an answer.

    ``handle_impossible_answer``: whether the answer may be "".

    Long contexts are read in windows: ``max_seq_len`` tokens with the question (at most 384), of which ``doc_stride``
    are those of the window before (at most 128). ``max_question_len``: cuts longer questions, with a warning; without
    it a question is never cut. ``align_to_words``: answers begin and end where words do.
    """

    top_k: int = 1
    doc_stride: int | None = None
    max_answer_len: int = 15
    max_seq_len: int | None = None
    max_question_len: int | None = None
    handle_impossible_answer: bool = False
    align_to_words: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("top_k", "max_answer_len", "max_seq_len", "max_question_len"):
            check_count(name, getattr(self, name))
        check_count("doc_stride", self.doc_stride, least=0)


class QuestionAnsweringPipeline(base.Pipeline):
    """Questions and contexts to the likeliest parts of the contexts. Long contexts are read in windows, never cut."""

    task = "question-answering"
    heads = ("ForQuestionAnswering", "ForQuestionAnsweringSimple")
    options_type = Options

    def __call__(self, *inputs: Any, question: Any = None, context: Any = None, **options: Any) -> Any:
        """{"score": float, "start": int, "end": int, "answer": str}, or a list of these when there are more or none.

        Takes ``question=`` and ``context=``, strs or lists (one context will do for several questions), or dicts with
        these keys, or an iterable of such dicts. start and end count the context's characters. Equal answers of
        several windows are one, their scores added. ``options_type`` explains the options.
        """
        items = _items(inputs, question, context)
        merged = self._resolve(self._merge(self.options, options))
        if isinstance(items, list) and len(items) == 1:
            items = items[0]
        return self._run(items, merged)

    def _resolve(self, options: Options) -> Options:
        length = options.max_seq_len or min(self.max_length or _LENGTH, _LENGTH)
        if options.doc_stride is not None and options.doc_stride > length:
            raise InputError(f"doc_stride {options.doc_stride} is larger than max_seq_len {length}")
        return dataclasses.replace(options, max_seq_len=length)

    def _encode(self, items: list[Any], places: range, limit: Limit, options: Options) -> list[list[Encoding]]:
        groups = []
        for item, place in zip(items, places):
            try:
                question, context = _pair(item)
                groups.append(self._windows(self._cut(question, place, limit), context, options))
            except InputError as error:
                raise InputError(f"{self.task}: input {place}: {error}") from None
        return groups

    def _windows(self, question: str, context: str, options: Options) -> list[Encoding]:
        length = options.max_seq_len or _LENGTH
        asked = len(self.tokenizer.encode(question)) - self.tokenizer.special_count()
        room = length - self.tokenizer.special_count(pair=True) - asked
        if room < 1:
            raise InputError(
                f"a question of {asked} tokens leaves no room in max_seq_len {length}; max_question_len cuts it"
            )
        stride = options.doc_stride
        if stride is None:
            stride = min(length // 2, _STRIDE)
            stride = stride if stride < room else room // 2
        encoding = self.tokenizer.encode((question, context), max_length=length, strategy="only_second", stride=stride)
        return [encoding, *encoding.overflowing]

    def _limit(self, options: Options) -> Limit:
        if options.max_question_len is None:
            return Limit(self.tokenizer, False, None, None)
        return Limit(self.tokenizer, "warn", options.max_question_len + self.tokenizer.special_count(), None)

    def _cut(self, question: str, place: int, limit: Limit) -> str:
        """The question's first tokens as text."""
        if not limit.cuts:
            return question
        (encoding,) = limit.encode([question], [place])
        return question[: max(end for _, end in encoding.offsets)] if encoding.overflowing else question

    def _finish(self, item: Any, encodings: list[Encoding], outputs: list[Any], options: Options) -> Any:
        _, context = _pair(item)
        count = options.top_k * 2 + 10 if options.align_to_words else options.top_k  # some may become the same words
        answers: dict[str, dict[str, Any]] = {}
        null = 1.0
        for encoding, output in zip(encodings, outputs):
            start, end = (self._output(output, f"{name}_logits", 1, i) for i, name in enumerate(("start", "end")))
            allowed = np.array([number == 1 for number in encoding.sequence_ids])
            if self.tokenizer.cls_token_id is not None:
                allowed |= np.array(encoding.ids) == self.tokenizer.cls_token_id
            spans = best_spans(start, end, allowed, count, options.max_answer_len)
            null = min(null, spans.null)
            for first, last, score in zip(spans.first.tolist(), spans.last.tolist(), spans.scores.tolist()):
                begin, stop = _characters(encoding, first, last, options.align_to_words)
                text = context[begin:stop]
                found = answers.setdefault(text.lower(), {"score": 0.0, "start": begin, "end": stop, "answer": text})
                found["score"] += score
        ranked = list(answers.values())
        if options.handle_impossible_answer:
            ranked.append({"score": null, "start": 0, "end": 0, "answer": ""})
        ranked = sorted(ranked, key=lambda answer: answer["score"], reverse=True)[: options.top_k]
        return ranked[0] if len(ranked) == 1 else ranked


def _characters(encoding: Encoding, first: int, last: int, align_to_words: bool) -> tuple[int, int]:
    """Where tokens lie in the context, or the words that they belong to where the tokenizer knows of words."""
    if align_to_words:
        words = encoding.token_to_word(first), encoding.token_to_word(last)
        if None not in words:
            spans = [encoding.word_to_chars(word, 1) for word in words]
            if None not in spans:
                return spans[0][0], spans[1][1]
    return encoding.offsets[first][0], encoding.offsets[last][1]


def _items(inputs: tuple[Any, ...], question: Any, context: Any) -> Any:
    """The call's arguments as a list of dicts, or as the iterable that they are."""
    if len(inputs) == 1 and question is None and context is None:
        return [inputs[0]] if isinstance(inputs[0], Mapping) else inputs[0]
    if len(inputs) == 2 and question is None and context is None:
        question, context = inputs
    elif inputs or question is None or context is None:
        raise InputError("question-answering takes question= and context=, or dicts with these keys")
    if isinstance(question, str) and isinstance(context, str):
        return [{"question": question, "context": context}]
    if isinstance(question, (list, tuple)):
        contexts = [context] * len(question) if isinstance(context, str) else context
        if isinstance(contexts, (list, tuple)) and len(contexts) == len(question):
            return [{"question": q, "context": c} for q, c in zip(question, contexts)]
    raise InputError(
        "question and context must be two texts, two lists of one length, or a list of questions and a text"
    )


def _pair(item: Any) -> tuple[str, str]:
    if not isinstance(item, Mapping) or not {"question", "context"} <= set(item):
        raise InputError(f"expected a dict with question and context, got {item!r:.80}")
    for name in ("question", "context"):
        if not isinstance(item[name], str) or not item[name]:
            raise InputError(f"{name} must be a text that is not empty, got {item[name]!r:.80}")
    return item["question"], item["context"]
