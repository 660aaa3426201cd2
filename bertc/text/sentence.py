"""SentenceEncoder: texts to vectors, as sentence-transformers makes them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain
from typing import Any, ClassVar

import numpy as np

from bertc._core import InputError, UnsupportedError
from bertc.text import similarity as similarities
from bertc.text.batcher import Batcher
from bertc.text.call import Call
from bertc.text.inputs import as_texts, check_device, check_unknown, shows_progress
from bertc.text.loading import load_text_model
from bertc.text.modules import Module, Normalize, load_modules
from bertc.text.pooling import Pooling
from bertc.text.prompts import DOCUMENT_PROMPTS, Prompts
from bertc.text.runner import CALL_TOKENS, Runner
from bertc.text.truncation import POLICIES, Truncation
from bertc.text.windows import check_spans, finish_tokens, finish_windows, pool_spans

_Job = tuple[list[Any], Callable[[list[Any], list[Any]], Any]]  # encodings, and what makes a value of their results


class SentenceEncoder:
    """Texts to vectors. Takes the place of sentence_transformers.SentenceTransformer; results are NumPy arrays.

    ``source`` is a directory of sentence-transformers or of a bare Hugging Face model (then the mean of the tokens is
    taken), an id of the hub, or, with ``tokenizer`` (a directory or a tokenizer.json), a traced archive or a
    bertc.Model. ``pooling``, one of "cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean" and "lasttoken" or a
    list of them, and ``normalize`` take the place of what the directory says. ``inputs`` says what arguments of an
    archive with unusual names are: {"argument_1": "input_ids"}. No code of a directory is ever run.

    Any number of threads may use an encoder at once. A text's vector has the same bits whatever is encoded beside it.
    Texts that are too long are cut, with a TruncationWarning, unless ``truncation`` says otherwise: "error", "ignore",
    or "window", the mean of the vectors of their windows by number of tokens.

    Raises FormatError, UnsupportedError (a module that bertc does not have), InputError, FileNotFoundError.
    """

    device: ClassVar[str] = "cpu"

    def __init__(
        self,
        source: Any,
        *,
        tokenizer: Any = None,
        prompts: Mapping[str, str] | None = None,
        default_prompt_name: str | None = None,
        similarity_fn_name: similarities.Name | None = None,
        truncate_dim: int | None = None,
        max_seq_length: int | None = None,
        pooling: str | Sequence[str] | None = None,
        normalize: bool = False,
        truncation: Truncation = "warn",
        inputs: Mapping[str, str] | None = None,
        threads: int | None = None,
        device: Any = None,
        revision: str | None = None,
        token: str | bool | None = None,
        local_files_only: bool = False,
        trust_remote_code: bool = False,
    ) -> None:
        check_device(device)
        if truncation not in POLICIES:
            raise InputError(f"truncation must be one of {', '.join(POLICIES)}, not {truncation!r}")
        hub = {"revision": revision, "token": token, "local_files_only": local_files_only}
        root, directory, self.model, self.tokenizer = load_text_model(
            source, tokenizer=tokenizer, base=True, threads=threads, **hub
        )
        _check_transformer(root.name, directory.sentence_config)
        config = root.json("config_sentence_transformers.json")
        self.modules = _choose_modules(load_modules(root), pooling, normalize)
        self.prompts = Prompts(prompts, default_prompt_name, config)
        self.truncation = truncation
        self.truncate_dim: int | None = truncate_dim if truncate_dim is not None else config.get("truncate_dim")
        self.max_seq_length = self.tokenizer.max_length if max_seq_length is None else max_seq_length
        saved = config.get("similarity_fn_name")
        self.similarity_fn_name = similarity_fn_name or (saved if saved in similarities.NAMES else "cosine")
        self._runner = Runner(self.model, inputs, directory.config)
        self._batcher: Batcher[_Job, Any] = Batcher(self._run_jobs, CALL_TOKENS)

    # ---- encoding ----

    def encode(
        self,
        inputs: Any = None,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int | None = None,
        show_progress_bar: bool | None = None,
        output_value: str | None = "sentence_embedding",
        precision: str | None = "float32",
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        device: Any = None,
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
        pool: Any = None,
        chunk_size: int | None = None,
        *,
        truncation: Truncation | None = None,
        stride: int = 0,
        **kwargs: Any,
    ) -> Any:
        """The vectors of texts, float32: [d] of one str, [n, d] of a list, np.array([]) of an empty one.

        Of an iterator, a generator of [d] vectors in the same order, which holds no more than a few batches of texts at
        a time. A text may be a pair of them. ``prompt``, or the one called ``prompt_name``, or the default one, is put
        before each text. ``batch_size=None`` makes batches by number of tokens; a number is that of texts in one call
        of the model. Neither changes the result. ``show_progress_bar=None`` shows one when the logger "bertc" is at
        INFO or DEBUG.

        ``output_value="token_embeddings"`` gives an array [s, d] for each text, None a dict of all there is.
        Vectors are cut to ``truncate_dim``, then scaled to length one with ``normalize_embeddings``, then given in
        ``precision``: see quantize_embeddings. ``convert_to_numpy=False`` gives a list of them. ``truncation`` is the
        encoder's unless given; windows overlap by ``stride`` tokens. ``device``, ``pool`` and ``chunk_size`` have no
        effect.

        Raises InputError, a ValueError, for anything that does not fit, unknown keywords included.
        """
        inputs = kwargs.pop("sentences", inputs)
        kwargs.pop("task", None)
        check_unknown(kwargs, "encode")
        if convert_to_tensor and output_value == "sentence_embedding":
            raise InputError("bertc makes NumPy arrays; for a tensor, torch.from_numpy(encoder.encode(...))")
        check_device(device)
        call = self._call(
            prompt_name,
            prompt,
            truncation,
            truncate_dim,
            stride=stride,
            output_value=output_value,
            precision=precision,
            normalize_embeddings=normalize_embeddings,
        )
        texts = as_texts(inputs)
        values = self._stream(call, texts, batch_size, shows_progress(show_progress_bar))
        if isinstance(texts, Iterator):
            return _quantize_each(call, values)
        if output_value != "sentence_embedding":
            result = list(values)
        else:
            result = call.quantize(_collect(values, len(texts)))
            result = result if convert_to_numpy else list(result)
        return result[0] if isinstance(inputs, str) else result

    def encode_query(self, inputs: Any = None, prompt_name: str | None = None, *args: Any, **kwargs: Any) -> Any:
        """encode() with the prompt "query", if there is one and the call names none."""
        return self._encode_as(("query",), inputs, prompt_name, args, kwargs)

    def encode_document(self, inputs: Any = None, prompt_name: str | None = None, *args: Any, **kwargs: Any) -> Any:
        """encode() with the first of the prompts "document", "passage" and "corpus", if the call names none."""
        return self._encode_as(DOCUMENT_PROMPTS, inputs, prompt_name, args, kwargs)

    async def aencode(
        self,
        inputs: Any,
        *,
        prompt_name: str | None = None,
        prompt: str | None = None,
        output_value: str | None = "sentence_embedding",
        precision: str | None = "float32",
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
        truncation: Truncation | None = None,
        stride: int = 0,
    ) -> Any:
        """encode() for coroutines: what several of them ask for at the same time is run together.

        Takes a str or a list. A cancelled call's texts are not run unless they are being run already.
        """
        call = self._call(
            prompt_name,
            prompt,
            truncation,
            truncate_dim,
            stride=stride,
            output_value=output_value,
            precision=precision,
            normalize_embeddings=normalize_embeddings,
        )
        texts = as_texts(inputs)
        if isinstance(texts, Iterator):
            raise InputError("aencode() takes a text or a list of them, no iterator")
        groups = await asyncio.to_thread(call.prepare, texts, 0)
        futures = [self._batcher.submit((group, call.finish), sum(map(len, group))) for group in groups]
        result: Any = await asyncio.gather(*map(asyncio.wrap_future, futures))
        call.overflow.report()
        if output_value == "sentence_embedding":
            result = call.quantize(_collect(iter(result), len(result)))
        return result[0] if isinstance(inputs, str) else result

    # ---- long texts ----

    def encode_windows(
        self,
        inputs: Any,
        *,
        stride: int = 0,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int | None = None,
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
    ) -> Any:
        """The vectors of a text's windows and where they are in it: Windows(vectors [w, d], spans), or a list of them.

        Windows overlap by ``stride`` tokens. An iterator gives a generator.
        """
        call = self._call(
            prompt_name,
            prompt,
            "window",
            truncate_dim,
            stride=stride,
            normalize_embeddings=normalize_embeddings,
            offsets=True,
        )

        texts = as_texts(inputs)
        values = self._runner.stream(texts, call.prepare, partial(finish_windows, call), batch_size=batch_size)
        if isinstance(texts, Iterator):
            return values
        return next(values) if isinstance(inputs, str) else list(values)

    def encode_spans(
        self,
        inputs: Any,
        spans: Any,
        *,
        stride: int = 0,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int | None = None,
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
    ) -> Any:
        """[spans, d]: late chunking. The whole text is embedded once, then the tokens of each span are pooled.

        ``spans`` are (begin, end) in characters of the text; of a list of texts, a list of them for each, which gives a
        list of arrays. The pooling is the model's own, or the mean where that is of the first or last token only. A
        text that is longer than the model takes is embedded in windows; ``stride`` tokens of each are seen again, as
        context, by the next one.
        """
        single = isinstance(inputs, str)
        texts, all_spans = ([inputs], [spans]) if single else (list(inputs), list(spans))
        if len(texts) != len(all_spans):
            raise InputError(f"there are spans for {len(all_spans)} texts, but {len(texts)} texts")
        checked = [check_spans(text, own) for text, own in zip(texts, all_spans)]
        call = self._call(
            prompt_name,
            prompt,
            "window",
            truncate_dim,
            stride=stride,
            normalize_embeddings=normalize_embeddings,
            offsets=True,
        )
        tokens = self._runner.stream(texts, call.prepare, partial(finish_tokens, call), batch_size=batch_size)
        result = [pool_spans(call, own, spans) for own, spans in zip(tokens, checked)]
        return result[0] if single else result

    # ---- comparing ----

    def similarity(self, embeddings1: Any, embeddings2: Any) -> np.ndarray:
        """[n, m]: how alike each vector of [n, d] is to each of [m, d], by ``similarity_fn_name``."""
        return similarities.similarity(self.similarity_fn_name, embeddings1, embeddings2)

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> np.ndarray:
        """[n]: how alike the vectors of [n, d] are to those at the same places of another [n, d]."""
        return similarities.similarity_pairwise(self.similarity_fn_name, embeddings1, embeddings2)

    def rank(
        self,
        query: str | np.ndarray,
        documents: Any,
        top_k: int | None = None,
        return_documents: bool = False,
        **options: Any,
    ) -> list[dict[str, Any]]:
        """The documents by their similarity to the query: [{"corpus_id", "score"}], the best first.

        Both are texts, or float vectors that were encoded before; ``options`` are those of encode(). ``top_k`` limits
        the list; ``return_documents`` adds "text". Documents of the same score stay in order.
        """
        vectors = [
            value if isinstance(value, np.ndarray) and value.dtype.kind == "f" else encode(value, **options)
            for value, encode in ((query, self.encode_query), (documents, self.encode_document))
        ]
        if not len(vectors[1]):
            return []
        scores = self.similarity(*vectors)[0]
        best = np.argsort(-scores, kind="stable")[:top_k]
        ranked: list[dict[str, Any]] = [{"corpus_id": int(i), "score": float(scores[i])} for i in best]
        if return_documents:
            for entry in ranked:
                entry["text"] = documents[entry["corpus_id"]]
        return ranked

    @property
    def similarity_fn_name(self) -> similarities.Name:
        """ "cosine", "dot", "euclidean" or "manhattan"; the last two are negative distances."""
        return self._similarity_fn_name

    @similarity_fn_name.setter
    def similarity_fn_name(self, name: similarities.Name) -> None:
        similarities.check_name(name)
        self._similarity_fn_name = name

    # ---- what it is ----

    def get_embedding_dimension(self) -> int:
        """The number of values of a vector."""
        call = self._call(None, "", "ignore", None)
        dimension = len(next(self._stream(call, ["a"], None, False)))
        return dimension if self.truncate_dim is None else min(dimension, self.truncate_dim)

    get_sentence_embedding_dimension = get_embedding_dimension

    @property
    def default_prompt_name(self) -> str | None:
        return self.prompts.default

    @default_prompt_name.setter
    def default_prompt_name(self, name: str | None) -> None:
        self.prompts.default = name

    @contextmanager
    def truncate_embeddings(self, truncate_dim: int | None) -> Iterator[None]:
        """Within this context, vectors are cut to ``truncate_dim`` values, in all threads."""
        before = self.truncate_dim
        self.truncate_dim = truncate_dim
        try:
            yield
        finally:
            self.truncate_dim = before

    def start_multi_process_pool(self, target_devices: Any = None) -> dict[str, Any]:
        """For scripts of sentence-transformers: encode(pool=...) ignores it, as threads share one encoder."""
        return {"input": None, "output": None, "processes": []}

    @staticmethod
    def stop_multi_process_pool(pool: dict[str, Any]) -> None:
        """Does nothing."""

    def eval(self) -> SentenceEncoder:
        """Returns the encoder."""
        return self

    def to(self, device: Any) -> SentenceEncoder:
        """Returns the encoder for "cpu", the only device."""
        check_device(device)
        return self

    def __repr__(self) -> str:
        parts = [self.model.architecture or "traced archive", *map(repr, self.modules)]
        limit = "" if self.max_seq_length is None else f", at most {self.max_seq_length} tokens a text"
        return f"<bertc.SentenceEncoder {self.model._name!r}: {' > '.join(parts)}{limit}>"

    # ---- inside ----

    def _call(
        self,
        prompt_name: str | None,
        prompt: str | None,
        truncation: Truncation | None,
        truncate_dim: int | None,
        **options: Any,
    ) -> Call:
        return Call(
            self.tokenizer,
            self.modules,
            self.max_seq_length,
            prompt=self.prompts.choose(prompt_name, prompt),
            truncation=truncation or self.truncation,
            truncate_dim=self.truncate_dim if truncate_dim is None else truncate_dim,
            **options,
        )

    def _stream(self, call: Call, texts: Iterable[Any], batch_size: int | None, progress: bool) -> Iterator[Any]:
        stream = self._runner.stream(texts, call.prepare, call.finish, batch_size=batch_size, progress=progress)
        return _report_after(stream, call)

    def _encode_as(
        self, names: Sequence[str], inputs: Any, prompt_name: str | None, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if prompt_name is None and kwargs.get("prompt") is None and (not args or args[0] is None):
            prompt_name = self.prompts.first(names)
        return self.encode(inputs, prompt_name, *args, **kwargs)

    def _run_jobs(self, jobs: list[_Job]) -> list[Any]:
        results = self._runner.run_each(list(chain.from_iterable(encodings for encodings, _ in jobs)))
        return [finish(encodings, [next(results) for _ in encodings]) for encodings, finish in jobs]


def _choose_modules(modules: list[Module], pooling: str | Sequence[str] | None, normalize: bool) -> list[Module]:
    if pooling is not None:
        own = Pooling([pooling] if isinstance(pooling, str) else list(pooling))
        modules = [own, *(module for module in modules if not isinstance(module, Pooling))]
    if normalize and not any(isinstance(module, Normalize) for module in modules):
        modules = [*modules, Normalize()]
    return modules


def _check_transformer(name: str, config: Mapping[str, Any]) -> None:
    """Refuses what sentence-transformers 6 may save of a transformer, and bertc does not do."""
    modalities = config.get("modality_config")
    text = modalities.get("text") if isinstance(modalities, dict) else None
    for key, value, known in [
        ("transformer_task", config.get("transformer_task"), (None, "feature-extraction")),
        ("module_output_name", config.get("module_output_name"), (None, "token_embeddings")),
        (
            "method_output_name",
            text.get("method_output_name") if isinstance(text, dict) else None,
            (None, "last_hidden_state"),
        ),
        ("processing_kwargs", config.get("processing_kwargs"), (None, {})),
    ]:
        if value not in known:
            raise UnsupportedError(f"{name}: a SentenceEncoder cannot have {key} {value!r}, only {known[1]!r}")


def _collect(values: Iterator[np.ndarray], count: int) -> np.ndarray:
    """The vectors as one array, made once the first one's length is known; that of sentence-transformers for none."""
    first = next(values, None)
    if first is None:
        return np.array([])
    result = np.empty((count, len(first)), first.dtype)
    result[0] = first
    for i, value in enumerate(values, 1):
        result[i] = value
    return result


def _report_after(values: Iterator[Any], call: Call) -> Iterator[Any]:
    yield from values
    call.overflow.report()


def _quantize_each(call: Call, values: Iterator[Any]) -> Iterator[Any]:
    if call.precision in ("int8", "uint8"):
        raise InputError(
            f"{call.precision} needs the ranges of all vectors, which an iterator does not know beforehand"
        )
    return map(call.quantize, values) if call.precision != "float32" else values
