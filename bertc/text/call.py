"""One call of a SentenceEncoder: its options, checked, and what they make of texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bertc._core import InputError
from bertc.text.modules import Module, Normalize, normalize
from bertc.text.pooling import Pooling
from bertc.text.prompts import prepend
from bertc.text.quantize import check_precision, quantize_embeddings
from bertc.text.truncation import Overflow, Truncation

if TYPE_CHECKING:
    from tokenizers import Encoding

    from bertc.text.tokenizer import Tokenizer

OUTPUTS = ("sentence_embedding", "token_embeddings", None)


class Call:
    """Made for each call, and used by it alone, but maybe in two threads: prepare in one, finish in another."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        modules: Sequence[Module],
        max_length: int | None,
        *,
        prompt: str = "",
        truncation: Truncation = "warn",
        stride: int = 0,
        output_value: str | None = "sentence_embedding",
        precision: str | None = "float32",
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
        offsets: bool = False,
    ) -> None:
        if output_value not in OUTPUTS:
            raise InputError(f"output_value must be one of {', '.join(map(repr, OUTPUTS))}, not {output_value!r}")
        if truncate_dim is not None and truncate_dim < 1:
            raise InputError(f"truncate_dim must be at least 1, or None, not {truncate_dim}")
        if truncation == "window" and output_value != "sentence_embedding":
            raise InputError("truncation='window' pools vectors of texts; it has no other output_value")
        check_precision(precision)
        self.tokenizer = tokenizer
        self.modules = modules
        self.max_length = max_length
        self.overflow = Overflow(truncation, max_length)
        self.prompt = prompt
        self.prompt_length = _prompt_length(tokenizer, prompt)
        self.stride = stride
        self.output_value = output_value
        self.precision = precision or "float32"
        self.normalize = normalize_embeddings
        last = modules[-1] if modules else None
        self.ends_normalized = isinstance(last, Normalize) and last.source == last.target == "sentence_embedding"
        self.truncate_dim = truncate_dim
        self.offsets = offsets

    def prepare(self, texts: Sequence[Any], first_index: int) -> list[list[Encoding]]:
        """The encodings of each text: one, or its windows."""
        encodings = self.tokenizer.encode_batch(
            [prepend(self.prompt, text) for text in texts],
            max_length=self.max_length,
            stride=self.stride,
            offsets=self.offsets,
            first_index=first_index,
        )
        return self.overflow.windows(encodings, first_index)

    def finish(self, encodings: list[Encoding], results: list[Any]) -> Any:
        """What the caller gets for a text; its own memory."""
        if len(encodings) > 1:
            return self._output(self.pool_windows(encodings, results))
        features = self._features(encodings[0], results[0])
        if self.output_value == "token_embeddings":
            return features["token_embeddings"].copy()
        self._run_modules(features)
        if self.output_value == "sentence_embedding":
            return self._output(features["sentence_embedding"])
        features["sentence_embedding"] = features["sentence_embedding"][: self.truncate_dim]
        return {name: np.array(value) if isinstance(value, np.ndarray) else value for name, value in features.items()}

    def finish_windows(self, encodings: list[Encoding], results: list[Any]) -> np.ndarray:
        """[windows, d]: the vector of each window of a text."""
        return np.stack([self._output(vector) for vector in self._vectors(encodings, results)])

    def pool_windows(self, encodings: list[Encoding], results: list[Any]) -> np.ndarray:
        """The mean of the windows' vectors by their numbers of tokens; of length one where the model's own are."""
        weights = [len(e) - sum(e.special_tokens_mask) for e in encodings]
        vector = np.average(self._vectors(encodings, results), axis=0, weights=weights).astype(np.float32)
        return normalize(vector) if self.ends_normalized else vector

    def pool_tokens(self, tokens: np.ndarray) -> np.ndarray:
        """The vector of a span of a text, of its tokens' embeddings [n, d]."""
        features: dict[str, Any] = {"token_embeddings": tokens}
        for module in self.modules:
            (module.of_spans() if isinstance(module, Pooling) else module)(features)
        return self._output(features["sentence_embedding"])

    def quantize(self, vectors: Any) -> np.ndarray:
        """In the precision that the call asks for; nothing stays as it is."""
        return quantize_embeddings(vectors, self.precision) if self.precision != "float32" and len(vectors) else vectors

    def _vectors(self, encodings: list[Encoding], results: list[Any]) -> list[np.ndarray]:
        vectors = []
        for encoding, result in zip(encodings, results):
            features = self._features(encoding, result)
            if vectors:
                features.pop("prompt_length", None)  # the prompt is in the first window
            self._run_modules(features)
            vectors.append(features["sentence_embedding"])
        return vectors

    def _output(self, vector: np.ndarray) -> np.ndarray:
        shorter = vector[: self.truncate_dim]
        is_unit = self.ends_normalized and len(shorter) == len(vector)
        return normalize(shorter) if self.normalize and not is_unit else shorter

    def _features(self, encoding: Encoding, result: Any) -> dict[str, Any]:
        features: dict[str, Any] = {}
        if self.output_value is None:
            features["input_ids"] = np.array(encoding.ids, np.int64)
            features["attention_mask"] = np.ones(len(encoding), np.int64)
            features["token_type_ids"] = np.array(encoding.type_ids, np.int64)
        if self.prompt:
            features["prompt_length"] = self.prompt_length
        return features | model_features(result)

    def _run_modules(self, features: dict[str, Any]) -> None:
        for module in self.modules:
            if "token_embeddings" in features or not isinstance(module, Pooling):
                module(features)


def model_features(result: Any) -> dict[str, np.ndarray]:
    """{"token_embeddings": [s, d]} of what a model gave for a text.

    {"sentence_embedding": [d]} of a traced archive that gives nothing but a vector for each text.
    """
    if isinstance(result, Mapping):
        if "token_embeddings" in result or "last_hidden_state" in result:
            return {"token_embeddings": result.get("token_embeddings", result.get("last_hidden_state"))}
        result = list(result.values())
    arrays = result if isinstance(result, (tuple, list)) else [result]
    for rank, name in ((2, "token_embeddings"), (1, "sentence_embedding")):
        for array in arrays:
            if isinstance(array, np.ndarray) and array.ndim == rank and array.dtype == np.float32:
                return {name: array if rank == 2 else array.copy()}
    raise InputError("the model gives neither vectors of tokens nor a vector of the text")


def _prompt_length(tokenizer: Tokenizer, prompt: str) -> int:
    """The tokens that a prompt takes at the beginning of a text, as sentence-transformers counts them."""
    if not prompt:
        return 0
    encoding = tokenizer.encode(prompt)
    return len(encoding) - bool(encoding.special_tokens_mask and encoding.special_tokens_mask[-1])
