"""CrossEncoder: scores for pairs of texts that the model reads together, with the calls of sentence-transformers."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from tokenizers import Encoding

from bertc._core import InputError, UnsupportedError
from bertc.text.base import TextModel, first_output
from bertc.text.inputs import check_device, check_unknown
from bertc.text.modules import ACTIVATIONS, load_modules
from bertc.text.truncation import Truncation
from bertc.text.warn import warn

Activation = Callable[[np.ndarray], np.ndarray]


class CrossEncoder(TextModel):
    """A model that reads two texts at once and gives scores: a reranker, or a classifier of pairs.

    ``model`` is a directory as transformers or sentence-transformers saves it, an id of the Hugging Face hub, or a
    bertc.Model with ``tokenizer``, the path of one; ``inputs`` says what a traced model's unusual arguments are.
    ``max_length`` is the most tokens of a pair. ``activation_fn`` makes scores of logits: a function of an array of
    shape (n, labels), a name, or an instance of a class of torch.nn; else it is what the model's configuration names,
    else the sigmoid for one label and nothing for several. ``prompts`` are put before the first text of each pair.

    Threads may share it.
    """

    def __init__(
        self,
        model: Any,
        *,
        num_labels: int | None = None,
        max_length: int | None = None,
        activation_fn: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(model, **options)
        self._layers = load_modules(self.directory) if self.modules else []
        if max_length is not None:
            self.max_seq_length = max_length
        if num_labels not in (None, self.num_labels):
            raise InputError(f"num_labels is {num_labels}, but the model has {self.num_labels}")
        self.activation_fn = self._default_activation() if activation_fn is None else find_activation(activation_fn)

    @functools.cached_property
    def num_labels(self) -> int:
        """How many scores the model gives a pair."""
        return len(self._logits([], self.runner.run([self.tokenizer.encode(("", ""))])))

    def predict(
        self,
        inputs: Any,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int | None = None,
        show_progress_bar: bool | None = None,
        activation_fn: Any = None,
        apply_softmax: bool | None = False,
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        device: Any = None,
        pool: Any = None,
        chunk_size: int | None = None,
        truncation: Truncation = "warn",
        **unknown: Any,
    ) -> Any:
        """The scores of pairs of texts: float32[n] of a model with one label, else float32[n, labels].

        ``inputs`` is one pair, whose score comes without the first dimension, or any iterable of pairs.
        ``apply_softmax`` makes the scores of several labels sum to one. ``batch_size`` is how many pairs are tokenized
        at a time; by default it follows from their lengths. ``truncation`` says what happens to pairs longer than
        ``max_seq_length``: "warn", "error", "ignore", or "window" for the best score of any part of the second text,
        of models with one label. The other arguments are those of sentence-transformers: ``convert_to_numpy=False``
        gives a list of scores, ``pool`` and ``chunk_size`` have no effect.
        """
        check_unknown(unknown, "predict")
        check_device(device)
        if convert_to_tensor:
            raise InputError("bertc makes NumPy arrays; for a tensor, torch.from_numpy(encoder.predict(...))")
        activate = self.activation_fn if activation_fn is None else find_activation(activation_fn)
        inputs = inputs.tolist() if isinstance(inputs, np.ndarray) else inputs
        single = is_one_pair(inputs)
        if truncation == "window" and self.num_labels != 1:
            raise InputError('truncation="window" takes the best score, which needs a model with one label')
        logits = list(
            self.stream(
                [inputs] if single else inputs,
                self._logits,
                max_length=self.max_seq_length,
                prompt=self.prompts.choose(prompt_name, prompt),
                truncation=truncation,
                strategy="only_second" if truncation == "window" else "longest_first",
                batch_size=batch_size,
                progress=show_progress_bar,
            )
        )
        if not logits:
            return np.array([]) if convert_to_numpy else []
        scores = activate(np.stack(logits))
        if self.num_labels == 1 and scores.ndim > 1:
            scores = scores[:, 0]
        if apply_softmax and scores.ndim > 1:
            scores = softmax(scores)
        if single:
            return scores[0]
        return scores if convert_to_numpy else list(scores)

    def rank(
        self,
        query: str,
        documents: Sequence[str],
        top_k: int | None = None,
        return_documents: bool = False,
        **options: Any,
    ) -> list[dict[str, Any]]:
        """The documents from the best to the worst for a query, ``top_k`` of them.

        Each is {"corpus_id": its index, "score": a float}, with "text" when ``return_documents``. ``options`` are those
        of predict(). InputError, a ValueError, when the model has several labels.
        """
        if self.num_labels != 1:
            raise InputError("rank() needs a model with num_labels=1; predict() gives the scores of all labels")
        documents = list(documents)
        scores = self.predict([(query, document) for document in documents], **options).tolist()
        order = sorted(range(len(scores)), key=lambda i: -scores[i])[:top_k]
        texts = [{"text": documents[i]} if return_documents else {} for i in order]
        return [{"corpus_id": i, "score": scores[i], **text} for i, text in zip(order, texts)]

    def _logits(self, windows: list[Encoding], results: list[Any]) -> np.ndarray:
        """float32[labels] of a pair, the greatest of its windows."""
        return np.max([self._score(first_output(result)) for result in results], axis=0)

    def _score(self, output: np.ndarray) -> np.ndarray:
        if not self._layers:
            if output.ndim > 1:
                raise UnsupportedError("the model gives no scores for a pair of texts, but vectors of tokens")
            return np.atleast_1d(output)
        features: dict[str, Any] = {"token_embeddings": output}
        for layer in self._layers:
            layer(features)
        if "scores" not in features:
            raise UnsupportedError(f"{self.directory.path}: none of its modules makes scores")
        return features["scores"]

    def _default_activation(self) -> Activation:
        settings = self.transformer.config
        saved = settings.get("sentence_transformers")
        name = (saved if isinstance(saved, dict) else {}).get("activation_fn")
        name = self.config.get("activation_fn") or name or settings.get("sbert_ce_default_activation_function")
        if isinstance(name, str):
            if name.startswith("torch."):
                return find_activation(name)
            warn(f"{self.directory.name}: its activation {name!r} is unknown and not used")
        return find_activation("Sigmoid" if self.num_labels == 1 else "Identity")


def softmax(x: np.ndarray) -> np.ndarray:
    """Over the last axis."""
    exponents = np.exp(x - x.max(axis=-1, keepdims=True))
    return exponents / exponents.sum(axis=-1, keepdims=True)


def find_activation(activation: Any) -> Activation:
    """The function of a name, "torch.nn.Sigmoid", or of an instance of such a class; a function of arrays itself."""
    name = activation
    if not isinstance(name, str):
        kind = type(activation)
        if not kind.__module__.startswith("torch."):
            if not callable(activation):
                raise InputError(f"activation_fn must be a name or a function of an array, not a {kind.__name__}")
            return activation
        name = kind.__name__
    known = {**ACTIVATIONS, "Softmax": softmax}
    function = known.get(name.rpartition(".")[2])
    if function is None:
        raise InputError(f"activation_fn {name!r} is not of {', '.join(known)}, nor a function of an array")
    return function


def is_one_pair(inputs: Any) -> bool:
    """Whether it is one pair of texts, or one text, and not a number of them."""
    return isinstance(inputs, str) or (
        isinstance(inputs, (list, tuple)) and bool(inputs) and isinstance(inputs[0], str)
    )
