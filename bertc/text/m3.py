"""M3Encoder: dense, sparse and multi-vector embeddings of one pass through the model, as BAAI's bge-m3 gives them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from tokenizers import Encoding

from bertc._core import FormatError, InputError, UnsupportedError
from bertc.state import load_state_dict
from bertc.text import sparse_similarity
from bertc.text.base import TextModel, first_output
from bertc.text.inputs import as_texts
from bertc.text.maxsim import maxsim
from bertc.text.modules import Module, Normalize, load_modules, normalize
from bertc.text.pooling import Pooling
from bertc.text.sparse import decode
from bertc.text.sparse_array import SparseArray
from bertc.text.truncation import Truncation

UNWEIGHTED = ("cls_token", "eos_token", "sep_token", "pad_token", "unk_token")


class M3Embeddings(NamedTuple):
    """Embeddings of n texts, those that were asked for. Of one text each is without the first dimension."""

    dense: Any = None  # float32[n, d], of length one
    sparse: Any = None  # SparseArray of shape (n, V): a weight for each token of the vocabulary that is in the text
    multi_vector: Any = None  # n arrays of float32[tokens, d], of length one


class M3Encoder(TextModel):
    """A model with three heads: directories, or ids of the hub, with sparse_linear.pt and colbert_linear.pt.

    ``model`` and the further arguments are those of SentenceEncoder. Threads may share it.
    """

    base = True

    def __init__(self, model: Any, **options: Any) -> None:
        super().__init__(model, **options)
        default: list[Module] = [Pooling(["cls"]), Normalize()]
        self._pooling = load_modules(self.directory) if self.modules else default
        self._sparse = self._read_layer("sparse_linear.pt")
        self._colbert = self._read_layer("colbert_linear.pt")
        names = [getattr(self.tokenizer, f"{name}_id") for name in UNWEIGHTED]
        self._unweighted = np.array([number for number in names if number is not None])

    def encode(
        self,
        inputs: Any,
        *,
        dense: bool = True,
        sparse: bool = True,
        multi_vector: bool = True,
        batch_size: int | None = None,
        show_progress_bar: bool | None = None,
        truncation: Truncation = "warn",
    ) -> Any:
        """The M3Embeddings of a text or of a list of them; of an iterator a generator of those of each text.

        Embeddings that are not wanted are None. The multi-vector embedding has a vector for each token but the first.
        ``truncation`` says what happens to texts longer than ``max_seq_length``: "warn", "error", "ignore", or
        "window", for the mean of the dense vectors of all parts, the greatest weight of each token, and the vectors of
        all tokens.
        """
        makers: list[Callable[[list[Encoding], list[np.ndarray]], Any] | None] = [
            self._dense_of if dense else None,
            self._sparse_of if sparse else None,
            self._multi_vector_of if multi_vector else None,
        ]

        def finish(windows: list[Encoding], results: list[Any]) -> M3Embeddings:
            hidden = [first_output(result) for result in results]
            return M3Embeddings(*(maker and maker(windows, hidden) for maker in makers))

        values = self.stream(
            as_texts(inputs),
            finish,
            max_length=self.max_seq_length,
            truncation=truncation,
            batch_size=batch_size,
            progress=show_progress_bar,
        )
        if isinstance(inputs, Iterator):
            return values
        rows = list(values)
        if isinstance(inputs, str):
            return rows[0]
        columns = list(zip(*rows)) or [(), (), ()]
        return M3Embeddings(
            np.array(columns[0], np.float32) if dense else None,
            SparseArray.stack(columns[1], self.tokenizer.vocab_size) if sparse else None,
            list(columns[2]) if multi_vector else None,
        )

    def similarity(
        self, first: M3Embeddings, second: M3Embeddings, weights: Sequence[float] = (1.0, 1.0, 1.0)
    ) -> np.ndarray:
        """float32[n, m] of the embeddings of n queries and m documents: the weighted mean of their three similarities.

        These are the products of the dense and of the sparse vectors, and MaxSim by the number of the query's tokens. A
        weight of 0 leaves one out; InputError when one that is needed was not made.
        """
        functions = (_dot, partial(sparse_similarity.similarity, "dot"), partial(maxsim, mean=True))
        if len(weights) != 3 or not sum(weights) > 0:
            raise InputError(f"expected three weights that are not all 0, not {weights!r}")
        total: Any = 0
        for name, weight, a, b, function in zip(M3Embeddings._fields, weights, first, second, functions):
            if weight:
                if a is None or b is None:
                    raise InputError(f"there is no {name} embedding, which has the weight {weight}")
                total = total + np.float32(weight / sum(weights)) * function(a, b)
        return total

    def decode(self, embeddings: Any, top_k: int | None = None) -> Any:
        """[(token, weight), ...] of a sparse vector, the greatest first, ``top_k`` of them; of several a list."""
        return decode(self.tokenizer, embeddings, top_k)

    def _dense_of(self, windows: list[Encoding], hidden: list[np.ndarray]) -> np.ndarray:
        vectors = []
        for tokens in hidden:
            features: dict[str, Any] = {"token_embeddings": tokens}
            for module in self._pooling:
                module(features)
            vectors.append(features["sentence_embedding"])
        return vectors[0] if len(vectors) == 1 else normalize(np.mean(vectors, axis=0))

    def _sparse_of(self, windows: list[Encoding], hidden: list[np.ndarray]) -> SparseArray:
        ids = np.concatenate([window.ids for window in windows])
        weights = np.concatenate([_linear(tokens, self._sparse)[:, 0] for tokens in hidden])
        known, places = np.unique(ids, return_inverse=True)
        best = np.zeros(len(known), np.float32)
        np.maximum.at(best, places, weights)
        kept = (best > 0) & ~np.isin(known, self._unweighted)
        count = int(kept.sum())
        return SparseArray(known[kept], best[kept], np.array([0, count]), (self.tokenizer.vocab_size,))

    def _multi_vector_of(self, windows: list[Encoding], hidden: list[np.ndarray]) -> np.ndarray:
        return normalize(np.concatenate([_linear(tokens[1:], self._colbert) for tokens in hidden]))

    def _read_layer(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        if not self.directory.has(name):
            raise UnsupportedError(f"{self.directory.path or 'the model'}: it has no {name}, which M3Encoder needs")
        path = self.directory.file(name)
        state = load_state_dict(path)
        weight, bias = (np.array(state.get(part, ()), np.float32) for part in ("weight", "bias"))
        if weight.ndim != 2 or bias.shape != weight.shape[:1]:
            raise FormatError(f"{path}: expected a matrix weight and as long a bias, found {', '.join(state)}")
        return weight, bias


def _linear(vectors: np.ndarray, layer: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    weight, bias = layer
    return vectors @ weight.T + bias


def _dot(a: Any, b: Any) -> np.ndarray:
    return np.atleast_2d(a) @ np.atleast_2d(b).T
