"""SparseEncoder: texts to weights of a vocabulary's tokens (SPLADE), with the calls of sentence-transformers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from tokenizers import Encoding

from bertc._core import FormatError, InputError, UnsupportedError
from bertc.model import Model
from bertc.text import sparse_similarity
from bertc.text.asymmetric import Asymmetric
from bertc.text.base import first_output, open_directory
from bertc.text.directory import Directory
from bertc.text.inputs import as_texts, check_device, check_unknown
from bertc.text.loading import Loaded
from bertc.text.sparse_array import SparseArray
from bertc.text.sparse_similarity import MEASURES, as_sparse
from bertc.text.static_sparse import Route, read_routes, read_static
from bertc.text.tokenizer import Tokenizer
from bertc.text.truncation import Truncation

CALL_TOKENS = 1024  # of one call of the model: each token's result is as wide as the vocabulary


class SparseEncoder(Asymmetric):
    """A masked-language model whose logits, pooled over a text's tokens, say which words the text is about.

    ``model`` is a directory as transformers or sentence-transformers saves it, an id of the Hugging Face hub, or a
    bertc.Model with ``tokenizer``, the path of one; ``inputs`` says what a traced model's unusual arguments are.
    ``max_active_dims`` keeps only that many values of each text, the greatest. ``similarity_fn_name`` is one of dot,
    cosine, euclidean and manhattan. ``prompts`` are put before texts. Where a directory has weights of tokens for
    queries, as models of OpenSearch, encode_query() reads those and does without the model.

    Threads may share it.
    """

    call_tokens = CALL_TOKENS

    def __init__(
        self, model: Any, *, similarity_fn_name: str | None = None, max_active_dims: int | None = None, **options: Any
    ) -> None:
        super().__init__(model, **options)
        self._read_pooling()
        self.max_active_dims = _check_limit(
            self.config.get("max_active_dims") if max_active_dims is None else max_active_dims
        )
        saved = self.config.get("similarity_fn_name")
        self.similarity_fn_name = similarity_fn_name or (saved if saved in list(MEASURES) else "dot")
        self.size = len(self._pool(self.runner.run([self.tokenizer.encode("")])[0]))
        self._static = read_static(self._routes["query"], self.tokenizer, self.size) if self._routes else None

    def encode(
        self,
        inputs: Any,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int | None = None,
        show_progress_bar: bool | None = None,
        convert_to_tensor: bool = True,
        convert_to_sparse_tensor: bool = True,
        save_to_cpu: bool = False,
        device: Any = None,
        max_active_dims: int | None = None,
        pool: Any = None,
        chunk_size: int | None = None,
        task: str | None = None,
        truncation: Truncation = "warn",
        **unknown: Any,
    ) -> Any:
        """The vectors of texts: a SparseArray of shape (n, V), V the vocabulary's size; of one text of shape (V,).

        ``inputs`` is a text or a list of them. Of an iterator the result is a generator of vectors in the same order,
        which holds few texts at a time. With ``convert_to_sparse_tensor=False`` vectors are dense float32 arrays, with
        ``convert_to_tensor=False`` the result is a list of them. ``batch_size`` is how many texts are tokenized at a
        time; by default it follows from their lengths. ``truncation`` says what happens to texts longer than
        ``max_seq_length``: "warn", "error", "ignore", or "window" to pool over all their parts. ``task`` is "query" or
        "document" where the model tells them apart. The other arguments are those of sentence-transformers and have no
        effect.
        """
        check_unknown(unknown, "encode")
        check_device(device)
        limit = _check_limit(self.max_active_dims if max_active_dims is None else max_active_dims)

        static = self._static if (task or self._default_route) == "query" else None

        def finish(windows: list[Encoding], results: list[Any]) -> SparseArray:
            vectors = results if static else [self._pool(result) for result in results]
            return _keep(self._join(vectors, axis=0), limit)

        rows: Iterator[Any] = self.stream(
            as_texts(inputs),
            finish,
            max_length=self._max_length(static is not None),
            prompt=self.prompts.choose(prompt_name, prompt),
            truncation=truncation,
            batch_size=batch_size,
            progress=show_progress_bar,
            runner=static,
        )
        if not convert_to_sparse_tensor:
            rows = map(SparseArray.dense, rows)
        if isinstance(inputs, Iterator):
            return rows
        vectors = list(rows)
        if isinstance(inputs, str):
            return vectors[0]
        if not convert_to_tensor:
            return vectors
        if convert_to_sparse_tensor:
            return SparseArray.stack(vectors, self.size)
        return np.array(vectors, np.float32).reshape(-1, self.size)

    @property
    def similarity_fn_name(self) -> str:
        """What similarity() computes: dot, cosine, euclidean or manhattan; of distances the negative."""
        return self._similarity_fn_name

    @similarity_fn_name.setter
    def similarity_fn_name(self, name: str) -> None:
        if name not in MEASURES:
            raise InputError(f"similarity_fn_name must be one of {', '.join(MEASURES)}, not {name!r}")
        self._similarity_fn_name = name

    def similarity(self, embeddings1: Any, embeddings2: Any) -> np.ndarray:
        """float32[n, m] of n and m vectors: SparseArrays, lists of them, or dense arrays."""
        return sparse_similarity.similarity(self.similarity_fn_name, embeddings1, embeddings2)

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> np.ndarray:
        """float32[n] of n vectors and as many others, each with its own."""
        return sparse_similarity.similarity_pairwise(self.similarity_fn_name, embeddings1, embeddings2)

    def get_embedding_dimension(self) -> int:
        """V, the size of the vocabulary."""
        return self.size

    def decode(self, embeddings: Any, top_k: int | None = None) -> Any:
        """[(token, weight), ...] of a vector, the greatest first, ``top_k`` of them; of several vectors a list."""
        return decode(self.tokenizer, embeddings, top_k)

    @staticmethod
    def intersection(embeddings_1: Any, embeddings_2: Any) -> SparseArray:
        """The products of a vector's values with those of one or several others where they are above zero."""
        return sparse_similarity.intersection(embeddings_1, embeddings_2)

    @staticmethod
    def sparsity(embeddings: Any) -> dict[str, float]:
        """{"active_dims": mean number of values that are not zero, "sparsity_ratio": the share that are}."""
        rows = as_sparse(embeddings)
        active = rows.nnz / len(rows) if len(rows) else 0.0
        return {"active_dims": active, "sparsity_ratio": 1 - active / rows.shape[1] if rows.shape[1] else 1.0}

    def sparse_of(self, windows: list[Encoding], results: list[Any]) -> SparseArray:
        """The vector (V,) of a text, of what the model gave for each of its windows."""
        return _keep(self._join([self._pool(result) for result in results], axis=0), self.max_active_dims)

    def _max_length(self, static: bool) -> int | None:
        """With special tokens, which do not count where there is no model."""
        length = self.max_seq_length
        return length + self.tokenizer.special_count() if static and length is not None else length

    def _load(self, model: Any, tokenizer: Any, options: Mapping[str, Any]) -> Loaded:
        self._routes: dict[str, Route] = {}
        self._default_route = ""
        if isinstance(model, Model):
            return super()._load(model, tokenizer, options)
        directory, threads = open_directory(model, options), options.get("threads")
        self._routes, self._default_route = read_routes(directory)
        if not self._routes:
            return super()._load(directory.path, tokenizer, {"threads": threads})
        document = self._routes["document"][0][1]
        loaded = super()._load(document.path, tokenizer, {"threads": threads})
        return loaded._replace(root=directory)

    def _read_modules(self) -> list[tuple[str, Directory]]:
        return self._routes["document"][1:] if self._routes else super()._read_modules()

    def _read_pooling(self) -> None:
        config: dict[str, Any] = {}
        for kind, folder in self.modules:
            if kind != "SpladePooling":
                raise UnsupportedError(f"{folder.path}: sparse encoders with a module of type {kind} are not supported")
            config = folder.json("config.json")
        strategy = config.get("pooling_strategy", "max")
        activation = config.get("activation_function", "relu")
        if strategy not in ("max", "sum") or activation not in ("relu", "log1p_relu"):
            raise FormatError(f"{self.directory.path}: unknown SpladePooling {strategy!r} of {activation!r}")
        self._join = np.max if strategy == "max" else np.sum
        self._logarithms = 2 if activation == "log1p_relu" else 1

    def _pool(self, result: Any) -> np.ndarray:
        """float32[V] of the logits of a text's tokens, float32[s, V]."""
        logits = first_output(result)
        if logits.ndim != 2 or (isinstance(result, Mapping) and "logits" not in result):
            raise UnsupportedError("a sparse encoder needs a masked-language model, which gives logits for each token")
        if self._join is np.max:
            logits = logits.max(axis=0, keepdims=True)  # what follows keeps the order
        weights = np.maximum(logits, 0)
        for _ in range(self._logarithms):
            np.log1p(weights, out=weights)
        return weights.sum(axis=0)


def decode(tokenizer: Tokenizer, embeddings: Any, top_k: int | None = None) -> Any:
    """[(token, weight), ...] of a sparse vector, the greatest first, ``top_k`` of them; of several a list of those."""
    if top_k is not None and top_k < 1:
        raise InputError(f"top_k must be at least 1, or None, not {top_k}")
    lists = []
    for row in as_sparse(embeddings):
        order = np.argsort(-row.values, kind="stable")[:top_k]
        tokens = [tokenizer.id_to_token(i) for i in row.indices[order].tolist()]
        lists.append(list(zip(tokens, row.values[order].tolist())))
    return lists[0] if np.ndim(embeddings) == 1 else lists


def _check_limit(limit: Any) -> int | None:
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise InputError(f"max_active_dims must be at least 1, or None, not {limit!r}")
    return limit


def _keep(vector: np.ndarray, limit: int | None) -> SparseArray:
    """The greatest values of a vector that is nowhere negative."""
    indices = np.flatnonzero(vector)
    if limit is not None and len(indices) > limit:
        indices = np.sort(indices[np.argpartition(-vector[indices], limit - 1)[:limit]])
    return SparseArray(indices, vector[indices], np.array([0, len(indices)]), vector.shape)
