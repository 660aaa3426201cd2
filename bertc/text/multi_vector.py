"""MultiVectorEncoder: a vector for each token of a text (ColBERT), with the calls of sentence-transformers."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from tokenizers import AddedToken, Encoding

from bertc import state
from bertc._core import FormatError, InputError, UnsupportedError
from bertc.model import Model
from bertc.text.asymmetric import Asymmetric
from bertc.text.base import first_output, open_directory
from bertc.text.inputs import as_texts, check_device, check_unknown
from bertc.text.loading import Loaded
from bertc.text.masked_runner import MaskedRunner
from bertc.text.maxsim import maxsim, maxsim_pairwise
from bertc.text.modules import Dense, Module, Normalize, normalize
from bertc.text.multi_vector_files import Expansion, Settings, is_stanford, read_settings
from bertc.text.tokenizer import Tokenizer
from bertc.text.truncation import Truncation

SIMILARITIES = {"maxsim": False, "meanmaxsim": True}  # whether the mean is taken over the query's tokens
TOKENS = {"module_input_name": "token_embeddings"}


class MultiVectorEncoder(Asymmetric):
    """A model of late interaction: texts become one vector a token, and are compared by MaxSim.

    ``model`` is a directory as sentence-transformers 6, PyLate or Stanford's ColBERT saves it, or an id of the Hugging
    Face hub. Queries are filled up with mask tokens where the model was trained so, and tokens of documents that the
    model leaves out, such as punctuation, get no vector. ``prompts`` are put before texts. ``similarity_fn_name`` is
    "maxsim", the default, or "meanmaxsim".

    Threads may share it.
    """

    base = True

    def __init__(self, model: Any, *, similarity_fn_name: str | None = None, **options: Any) -> None:
        super().__init__(model, **options)
        saved = self.config.get("similarity_fn_name")
        self.similarity_fn_name = similarity_fn_name or (saved if saved in list(SIMILARITIES) else "maxsim")
        self._layers = self._read_layers()
        self._register_markers()
        self._skipped = np.array(self._known_tokens(self.settings.skipped), np.int64)
        self.query_runner = self.runner
        if self.settings.expansion:
            self._fill = self._fill_token(self.settings.expansion)
            if not self.settings.expansion.attend:
                self.query_runner = MaskedRunner(self.model, options.get("inputs"), self.transformer.config)

    @functools.cached_property
    def settings(self) -> Settings:
        """How queries and documents are treated."""
        mask = next((folder for kind, folder in self.modules if kind == "MultiVectorMask"), None)
        return read_settings(self.directory, self.transformer, mask)

    def encode(
        self,
        inputs: Any,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int | None = None,
        show_progress_bar: bool | None = None,
        output_value: str | None = "token_embeddings",
        convert_to_numpy: bool = True,
        device: Any = None,
        normalize_embeddings: bool = False,
        pool: Any = None,
        chunk_size: int | None = None,
        task: str | None = None,
        truncation: Truncation = "warn",
        **unknown: Any,
    ) -> Any:
        """The vectors of texts: a list of float32[tokens, dimensions], one a text; of one text such an array.

        ``inputs`` is a text or a list of them. Of an iterator the result is a generator of arrays in the same order,
        which holds few texts at a time. ``task`` is "query" or "document" where the model tells them apart, as
        encode_query() and encode_document() say it. ``normalize_embeddings`` scales each vector to length one, for
        models that do not. ``truncation`` says what happens to texts longer than the model takes: "warn", "error",
        "ignore", or "window", which gives the vectors of all parts. The other arguments are those of
        sentence-transformers and have no effect: results are always NumPy's.
        """
        check_unknown(unknown, "encode")
        check_device(device)
        if output_value != "token_embeddings":
            raise InputError(f'output_value can only be "token_embeddings", not {output_value!r}')
        query = task == "query"

        def finish(windows: list[Encoding], results: list[Any]) -> np.ndarray:
            vectors = np.concatenate([self._vectors(*pair, task) for pair in zip(windows, results)])
            return normalize(vectors) if normalize_embeddings else vectors

        vectors = self.stream(
            as_texts(inputs),
            finish,
            max_length=self._max_length(task),
            prompt=self.prompts.choose(prompt_name, prompt),
            truncation=truncation,
            batch_size=batch_size,
            progress=show_progress_bar,
            expand=self._expand if query and self.settings.expansion else None,
            runner=self.query_runner if query else None,
        )
        if isinstance(inputs, Iterator):
            return vectors
        arrays = list(vectors)
        return arrays[0] if isinstance(inputs, str) else arrays

    @property
    def similarity_fn_name(self) -> str:
        """What similarity() computes: "maxsim", or "meanmaxsim", which is that by the number of the query's tokens."""
        return self._similarity_fn_name

    @similarity_fn_name.setter
    def similarity_fn_name(self, name: str) -> None:
        if name not in SIMILARITIES:
            raise InputError(f"similarity_fn_name must be one of {', '.join(SIMILARITIES)}, not {name!r}")
        self._similarity_fn_name = name

    def similarity(self, embeddings1: Any, embeddings2: Any) -> np.ndarray:
        """float32[n, m], the scores of n queries with m documents; see bertc.text.maxsim."""
        return maxsim(embeddings1, embeddings2, SIMILARITIES[self.similarity_fn_name])

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> np.ndarray:
        """float32[n], the scores of queries each with its own document."""
        return maxsim_pairwise(embeddings1, embeddings2, SIMILARITIES[self.similarity_fn_name])

    def _read_layers(self) -> list[Module]:
        """What is done to the tokens' vectors after the model."""
        if is_stanford(self.directory):
            return [self._project, Normalize(None, TOKENS)]
        if not self.modules and self.directory.path is not None:
            raise UnsupportedError(
                f"{self.directory.path}: no multi-vector model: it has neither modules.json nor a projection"
            )
        kinds = {"Dense": Dense, "Normalize": Normalize}
        layers: list[Module] = []
        for kind, folder in self.modules:
            if kind in kinds:
                layers.append(kinds[kind](folder, {**TOKENS, **folder.json("config.json")}))
            elif kind != "MultiVectorMask":
                raise UnsupportedError(f"{folder.path}: bertc has no module {kind} for multi-vector models")
        pylate = self.config.get("model_type") == "ColBERT"  # which normalises in its code
        return [*layers, Normalize(None, TOKENS)] if pylate else layers

    def get_embedding_dimension(self) -> int:
        """The dimensions of each vector."""
        return self.encode("").shape[1]

    def _vectors(self, window: Encoding, result: Any, task: str | None) -> np.ndarray:
        """float32[tokens, dimensions] of the tokens that count."""
        vectors = first_output(result)
        ids = np.array(window.ids)
        counts = np.ones(len(ids), bool)
        if (task or "document") in self.settings.skip_tasks and len(self._skipped):
            counts &= ~np.isin(ids, self._skipped)
        if task != "query" and self.settings.kept:
            counts &= np.isin(ids, self.settings.kept)
        vectors = vectors[counts]
        features = {"token_embeddings": vectors}
        for layer in self._layers:
            layer(features)
        return features["token_embeddings"]

    def _project(self, features: dict[str, Any]) -> None:
        features["token_embeddings"] = features["token_embeddings"] @ self._projection.T

    def _max_length(self, task: str | None) -> int | None:
        settings = self.settings
        lengths = {"query": settings.query_length, "document": settings.document_length}
        length = lengths.get(task or "")
        expansion = settings.expansion if task == "query" else None
        if expansion and expansion.fixed:
            return expansion.length
        if expansion and length is not None:
            return max(length, expansion.length)
        return self.max_seq_length if length is None else length

    def _expand(self, window: Encoding) -> None:
        expansion = self.settings.expansion
        if expansion and len(window) < expansion.length:
            window.pad(expansion.length, pad_id=self._fill, pad_type_id=0)

    def _fill_token(self, expansion: Expansion) -> int:
        if expansion.token is not None:
            number = self.tokenizer.token_to_id(expansion.token)
        else:
            mask = self.tokenizer.mask_token_id
            number = self.tokenizer.eos_token_id if mask is None else mask
        if number is None:
            raise UnsupportedError(f"{self.directory.path}: its tokenizer has no token to fill queries up with")
        return number

    def _register_markers(self) -> None:
        """Makes markers that are in the vocabulary single tokens of texts, as their ids were put in for training."""
        backend = self.tokenizer.backend
        for marker in self.settings.markers:
            names = [name for name in (marker, *marker.split()[:1]) if name and backend.token_to_id(name) is not None]
            if names and backend.encode(names[0], add_special_tokens=False).tokens != names[:1]:
                backend.add_special_tokens([AddedToken(names[0], normalized=False)])

    def _known_tokens(self, tokens: list[str]) -> list[int]:
        """The ids of tokens, without those that the vocabulary lacks."""
        ids = {token: self.tokenizer.token_to_id(token) for token in tokens}
        return [number for number in ids.values() if number is not None]

    def _saved_prompts(self) -> Any:
        return self.settings.prompts

    def _load(self, model: Any, tokenizer: Any, options: Mapping[str, Any]) -> Loaded:
        if isinstance(model, Model):
            return super()._load(model, tokenizer, options)
        directory, threads = open_directory(model, options), options.get("threads")
        if not is_stanford(directory):
            return super()._load(directory.path, tokenizer, {"threads": threads})
        weights = state.load_state_dict(directory.path)
        projection = weights.pop("linear.weight", None)
        if projection is None or projection.ndim != 2:
            raise FormatError(f"{directory.path}: expected a matrix linear.weight among the weights")
        self._projection = np.ascontiguousarray(projection, np.float32)
        config = {name: value for name, value in directory.config.items() if name != "architectures"}
        loaded = state.build(config, weights, threads=threads)
        return Loaded(directory, directory, loaded, Tokenizer.of(directory if tokenizer is None else tokenizer))
