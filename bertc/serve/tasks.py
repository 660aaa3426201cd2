"""Tasks: what the scheduler needs to know of each kind of model, to merge the calls of many users."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bertc._core import InputError
from bertc.serve.errors import TOKENIZER, VALIDATION, ServeError
from bertc.serve.scheduler import Job
from bertc.text.base import first_output
from bertc.text.modules import normalize
from bertc.text.prompts import prepend
from bertc.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from bertc.model import Model
    from bertc.text.cross_encoder import CrossEncoder
    from bertc.text.m3 import M3Encoder
    from bertc.text.pipelines.base import Pipeline
    from bertc.text.sentence import SentenceEncoder
    from bertc.text.sparse import SparseEncoder


class Prepared(NamedTuple):
    """The jobs of one call, one an item, and what makes its result of their values."""

    jobs: list[Job]
    join: Callable[[list[Any]], Any]
    truncated: int  # items that did not fit


class Ids:
    """Token ids that a client sends, in the place of an Encoding: special tokens are theirs to add."""

    def __init__(self, ids: Sequence[int]) -> None:
        self.ids = ids
        self.type_ids = self.special_tokens_mask = [0] * len(ids)
        self.overflowing: list[Any] = []

    def __len__(self) -> int:
        return len(self.ids)


class Texts:
    """Encodes the items of a call: texts, pairs of texts, and lists of ids."""

    def __init__(self, tokenizer: Tokenizer, max_length: int | None) -> None:
        self.tokenizer = tokenizer
        self.max_length = max_length
        self._left = copy.copy(tokenizer)
        self._left.truncation_side = "left"

    def encode(self, items: Sequence[Any], truncate: bool = True, left: bool = False) -> tuple[list[Any], int]:
        """An Encoding or Ids for each item, and how many of them were cut.

        Cut at the end, or with ``left`` at the beginning; without ``truncate`` ServeError says which is too long.
        """
        tokenizer = self._left if left else self.tokenizer
        texts = iter(
            tokenizer.encode_batch([i for i in items if not is_ids(i)], max_length=self.max_length, offsets=False)
        )
        encodings = [Ids(item) if is_ids(item) else next(texts) for item in items]
        cut = 0
        for encoding in encodings:
            excess = self._excess(encoding)
            if excess and not truncate:
                limit = self.max_length
                raise ServeError(
                    VALIDATION, f"`inputs` must have less than {limit} tokens. Given: {len(encoding) + excess}"
                )
            cut += bool(excess)
        return [self._cut(encoding, left) if isinstance(encoding, Ids) else encoding for encoding in encodings], cut

    def _cut(self, encoding: Ids, left: bool) -> Ids:
        excess = self._excess(encoding)
        return Ids(encoding.ids[excess:] if left else encoding.ids[: len(encoding) - excess])

    def _excess(self, encoding: Any) -> int:
        """By how many tokens it does, or did, not fit."""
        if isinstance(encoding, Ids):
            size = self.tokenizer.vocab_size
            wrong = next((i for i in encoding.ids if not 0 <= i < size), None)
            if wrong is not None:
                raise ServeError(TOKENIZER, f"there is no token {wrong}: ids are from 0 to {size - 1}")
            return max(0, len(encoding) - self.max_length) if self.max_length else 0
        windows = encoding.overflowing
        return sum(len(window) - sum(window.special_tokens_mask) for window in windows) if windows else 0


def is_ids(item: Any) -> bool:
    return isinstance(item, list) and bool(item) and isinstance(item[0], int)


def _jobs(encodings: list[Any], finish: Callable[[list[Any], list[Any]], Any]) -> list[Job]:
    return [Job([encoding], finish, len(encoding)) for encoding in encodings]


class EmbedTask:
    """Vectors of a SentenceEncoder: float32[n, d]; or of its tokens, a list of float32[tokens, d]."""

    def __init__(self, encoder: SentenceEncoder) -> None:
        self.encoder = encoder
        self.runner = encoder._runner
        self.texts = Texts(encoder.tokenizer, encoder.max_seq_length)

    def prepare(
        self,
        items: Sequence[Any],
        *,
        truncate: bool = True,
        left: bool = False,
        prompt_name: str | None = None,
        prompt: str | None = None,
        **options: Any,
    ) -> Prepared:
        """``options`` are normalize_embeddings, truncate_dim, output_value and precision, as encode() takes them."""
        truncate_dim = options.pop("truncate_dim", None)
        call = self.encoder._call(prompt_name, prompt, "ignore", truncate_dim, **options)
        items = [item if is_ids(item) else prepend(call.prompt, item) for item in items]
        encodings, cut = self.texts.encode(items, truncate, left)
        whole = call.output_value == "sentence_embedding"
        return Prepared(_jobs(encodings, call.finish), lambda v: call.quantize(np.array(v)) if whole else v, cut)


class ScoreTask:
    """Logits of a CrossEncoder, a classifier of texts or pairs: float32[n, labels]."""

    def __init__(self, encoder: CrossEncoder) -> None:
        self.encoder = encoder
        self.runner = encoder.runner
        self.texts = Texts(encoder.tokenizer, encoder.max_seq_length)

    def prepare(self, items: Sequence[Any], *, truncate: bool = True, left: bool = False) -> Prepared:
        encodings, cut = self.texts.encode(items, truncate, left)
        return Prepared(_jobs(encodings, self.encoder._logits), np.array, cut)


class SparseTask:
    """Vectors of a SparseEncoder or an M3Encoder: (token ids, weights) of what is not zero, of each text."""

    def __init__(self, encoder: SparseEncoder | M3Encoder) -> None:
        self.encoder = encoder
        self.runner = encoder.runner
        self.texts = Texts(encoder.tokenizer, encoder.max_seq_length)

    def prepare(
        self, items: Sequence[Any], *, truncate: bool = True, left: bool = False, prompt_name: str | None = None
    ) -> Prepared:
        prompt = self.encoder.prompts.choose(prompt_name, None)
        items = [item if is_ids(item) else prepend(prompt, item) for item in items]
        encodings, cut = self.texts.encode(items, truncate, left)
        return Prepared(_jobs(encodings, self._finish), list, cut)

    def _finish(self, encodings: list[Any], results: list[Any]) -> tuple[np.ndarray, np.ndarray]:
        row = self.encoder.sparse_of(encodings, [first_output(result) for result in results])
        return row.indices, row.values


class DenseTask:
    """Dense vectors of an M3Encoder: float32[n, d], of length one."""

    def __init__(self, encoder: M3Encoder) -> None:
        self.encoder = encoder
        self.runner = encoder.runner
        self.texts = Texts(encoder.tokenizer, encoder.max_seq_length)

    def prepare(
        self,
        items: Sequence[Any],
        *,
        truncate: bool = True,
        left: bool = False,
        prompt_name: str | None = None,
        truncate_dim: int | None = None,
        normalize_embeddings: bool = True,
    ) -> Prepared:
        prompt = self.encoder.prompts.choose(prompt_name, None)
        items = [item if is_ids(item) else prepend(prompt, item) for item in items]
        encodings, cut = self.texts.encode(items, truncate, left)

        def finish(windows: list[Any], results: list[Any]) -> np.ndarray:
            vector = self.encoder.dense_of(windows, [first_output(result) for result in results])[:truncate_dim]
            return normalize(vector) if normalize_embeddings and truncate_dim is not None else vector  # else it is

        return Prepared(_jobs(encodings, finish), np.array, cut)


class PipelineTask:
    """Results of a pipeline, one an item, for the options of its call."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.runner = pipeline.runner

    def prepare(self, items: Sequence[Any], **options: Any) -> Prepared:
        pipeline = self.pipeline
        resolved = pipeline._resolve(pipeline._merge(pipeline.options, options))
        limit = pipeline._limit(resolved)
        groups = pipeline._encode(list(items), range(len(items)), limit, resolved)

        def job(item: Any, encodings: list[Any]) -> Job:
            tokens = sum(map(len, encodings))
            return Job(encodings, lambda e, r: pipeline._finish(item, e, r, resolved), tokens)

        jobs = [job(item, group) for item, group in zip(items, groups)]
        return Prepared(jobs, list, len(limit.overflow.indices))


class ModelTask:
    """Calls of a bertc.Model: sequences as run_packed() takes them, or with named arrays the call itself.

    A sequence is an array of ids, or a tuple of arrays in the order of the model's arguments.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.runner = self

    def run_each(self, calls: Sequence[Any]) -> Iterator[Any]:
        """The results of some calls; sequences with as many arguments are run together."""
        results: list[Any] = [None] * len(calls)
        groups: dict[int, list[int]] = {}
        for i, call in enumerate(calls):
            if isinstance(call, Mapping):
                results[i] = self.model(**call)
            else:
                groups.setdefault(len(call), []).append(i)
        for places in groups.values():
            columns = map(list, zip(*(calls[i] for i in places)))
            for i, result in zip(places, self.model.run_packed(*columns)):
                results[i] = result
        return iter(results)

    def prepare(self, items: Sequence[Any]) -> Prepared:
        def finish(calls: list[Any], results: list[Any]) -> Any:
            return results[0]

        calls = [item if isinstance(item, (Mapping, tuple)) else (item,) for item in items]
        sizes = [np.size(next(iter(call.values() if isinstance(call, Mapping) else call), ())) for call in calls]
        return Prepared([Job([call], finish, int(size)) for call, size in zip(calls, sizes)], list, 0)


def task_of(model: Any) -> Any:
    """The task of a model, an encoder or a pipeline."""
    from bertc.model import Model
    from bertc.text.cross_encoder import CrossEncoder
    from bertc.text.m3 import M3Encoder
    from bertc.text.pipelines.base import Pipeline
    from bertc.text.sentence import SentenceEncoder
    from bertc.text.sparse import SparseEncoder

    kinds: list[tuple[Any, Any]] = [
        (SentenceEncoder, EmbedTask),
        (CrossEncoder, ScoreTask),
        ((SparseEncoder, M3Encoder), SparseTask),
        (Pipeline, PipelineTask),
        (Model, ModelTask),
    ]
    for kind, task in kinds:
        if isinstance(model, kind):
            return task(model)
    raise InputError(f"there is no task for a {type(model).__name__}: expected an encoder, a pipeline or a Model")
