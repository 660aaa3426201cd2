"""embed, rerank, classify, ner, qa and fill-mask: the records that each makes of texts."""

from __future__ import annotations

import argparse
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import bertc
from bertc.cli.inputs import read_items, read_wholes

Options = argparse.Namespace
Record = dict[str, Any]


def embed(options: Options) -> Iterator[Record]:
    encoder = bertc.SentenceEncoder(options.model, **_loading(options), truncate_dim=options.dimensions)
    settings = {
        "prompt_name": options.prompt_name,
        "normalize_embeddings": options.normalize,
        "precision": options.precision,
        "truncation": options.truncation,
        "batch_size": options.batch_size,
    }
    for text, vector in _beside(_items(options), lambda texts: encoder.encode(texts, **settings)):
        yield {"text": text, "embedding": vector}


def rerank(options: Options) -> Iterator[Record]:
    encoder = bertc.CrossEncoder(options.model, **_loading(options))
    documents = list(_items(options))
    for answer in encoder.rank(options.query, documents, options.top_k, truncation=options.truncation):
        yield {"score": answer["score"], "index": answer["corpus_id"], "text": documents[answer["corpus_id"]]}


def classify(options: Options) -> Iterator[Record]:
    top = {} if options.top_k is None else {"top_k": options.top_k}
    for item, answer in _answers("text-classification", options, top):
        yield {**_as_record(item), **({"labels": answer} if isinstance(answer, list) else answer)}


def zero_shot(options: Options) -> Iterator[Record]:
    settings = {"candidate_labels": options.labels, "multi_label": options.multi_label}
    for item, answer in _answers("zero-shot-classification", options, settings):
        pairs = list(zip(answer["labels"], answer["scores"]))[: options.top_k]
        yield {"text": item, "labels": [{"label": label, "score": score} for label, score in pairs]}


def ner(options: Options) -> Iterator[Record]:
    settings = {"aggregation_strategy": options.strategy, "stride": options.stride}
    for item, entities in _answers("token-classification", options, settings):
        yield {"text": item, "entities": entities}


def fill_mask(options: Options) -> Iterator[Record]:
    settings = {"top_k": options.top_k, "targets": options.targets and options.targets.split(",")}
    for item, tokens in _answers("fill-mask", options, settings):
        yield {"text": item, "tokens": tokens}


def qa(options: Options) -> Iterator[Record]:
    pipe = bertc.pipeline("question-answering", options.model, **_loading(options), top_k=options.top_k)
    if options.question:
        contexts = read_wholes(options.texts, options.input)
        items: Iterable[Any] = [{"question": q, "context": c} for c in contexts for q in options.question]
    else:
        items = read_items([], options.input, json_lines=True)
    for item, answer in _beside(items, lambda items: pipe(items, batch_size=options.batch_size)):
        for one in answer if isinstance(answer, list) else [answer]:
            yield {"question": item["question"], **one}


def _answers(task: str, options: Options, settings: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
    """Each item with a pipeline's answer."""
    pipe = bertc.pipeline(task, options.model, **_loading(options), **settings)
    call = {"truncation": options.truncation, "batch_size": options.batch_size}
    return _beside(_items(options), lambda items: pipe(items, **call))


def _beside(items: Iterable[Any], function: Callable[[Iterator[Any]], Iterable[Any]]) -> Iterator[tuple[Any, Any]]:
    """Each item with its result of ``function``, which may read ahead; with a progress bar in terminals."""
    waiting: deque[Any] = deque()

    def read() -> Iterator[Any]:
        for item in items:
            waiting.append(item)
            yield item

    results = function(read())
    if sys.stderr.isatty():
        from tqdm.auto import tqdm

        results = tqdm(results, unit=" texts", file=sys.stderr)
    for result in results:
        yield waiting.popleft(), result


def _items(options: Options) -> Iterator[Any]:
    return read_items(options.texts, options.input, options.json_lines)


def _loading(options: Options) -> dict[str, Any]:
    names = ("tokenizer", "threads", "revision", "local_files_only")
    return {name: getattr(options, name) for name in names}


def _as_record(item: Any) -> Record:
    return dict(item) if isinstance(item, dict) else {"text": item}
