"""TextModel: what the encoders have in common - a model, its tokenizer, its prompts, and how many tokens it takes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, TypeVar

import numpy as np
from tokenizers import Encoding

from bertc._core import FormatError, InputError
from bertc.text.directory import Directory
from bertc.text.loading import Loaded, load_text_model
from bertc.text.prompts import Prompts, prepend
from bertc.text.runner import CALL_TOKENS, Runner
from bertc.text.tokenizer import Strategy
from bertc.text.truncation import Overflow, Truncation

Value = TypeVar("Value")

DOCUMENT_PROMPTS = ("document", "passage", "corpus")


class TextModel:
    """A model that texts go into. Threads may share it."""

    call_tokens = CALL_TOKENS

    def __init__(
        self,
        model: Any,
        *,
        tokenizer: Any = None,
        prompts: Mapping[str, str] | None = None,
        default_prompt_name: str | None = None,
        inputs: Mapping[str, str] | None = None,
        **options: Any,
    ) -> None:
        self.directory, self.transformer, self.model, self.tokenizer = self._load(model, tokenizer, options)
        self.modules = _modules(self.directory)
        self.config: dict[str, Any] = self.directory.json("config_sentence_transformers.json")
        self.runner = Runner(self.model, inputs, self.transformer.config, self.call_tokens)
        self.prompts = Prompts(prompts, default_prompt_name, {**self.config, "prompts": self._saved_prompts()})
        self.max_seq_length: int | None = self.tokenizer.max_length

    def _load(self, model: Any, tokenizer: Any, options: Mapping[str, Any]) -> Loaded:
        """``options`` are those of load_text_model: threads, revision, token, local_files_only."""
        return load_text_model(model, tokenizer=tokenizer, **options)

    def _saved_prompts(self) -> Any:
        """The prompts that the directory has, by name."""
        return self.config.get("prompts")

    def document_prompt(self) -> str | None:
        """The name of the prompt for documents."""
        return next((name for name in DOCUMENT_PROMPTS if name in self.prompts), None)

    def stream(
        self,
        texts: Iterable[Any],
        finish: Callable[[list[Encoding], list[Any]], Value],
        *,
        max_length: int | None,
        prompt: str = "",
        truncation: Truncation = "warn",
        strategy: Strategy = "longest_first",
        batch_size: int | None = None,
        progress: bool | None = None,
        expand: Callable[[Encoding], None] | None = None,
        runner: Runner | None = None,
    ) -> Iterator[Value]:
        """A value for each text, or pair of texts, that ``finish`` makes of its windows and their results.

        ``expand`` changes each window in place before ``runner``, if not the model's own, gets it.
        """
        overflow = Overflow(truncation, max_length)

        def prepare(chunk: list[Any], index: int) -> list[list[Encoding]]:
            chunk = [prepend(prompt, text) for text in chunk]
            encodings = self.tokenizer.encode_batch(
                chunk, max_length=max_length, strategy=strategy, offsets=False, first_index=index
            )
            groups = overflow.windows(encodings, index)
            for window in chain.from_iterable(groups) if expand else ():
                expand(window)
            return groups

        shown = shows_progress(progress)
        yield from (runner or self.runner).stream(texts, prepare, finish, batch_size=batch_size, progress=shown)
        overflow.report()


def as_texts(inputs: Any) -> Iterable[Any]:
    """The texts of a call: one text, a list or an array of them, or an iterator, which is read as it is needed."""
    if isinstance(inputs, np.ndarray):
        inputs = inputs.tolist()
    if isinstance(inputs, str):
        return [inputs]
    if isinstance(inputs, (bytes, Mapping)) or not isinstance(inputs, Iterable):
        raise InputError(f"expected a str, a list of them, or an iterator, not a {type(inputs).__name__}")
    return inputs


def shows_progress(shown: bool | None) -> bool:
    """Whether to show a bar: what the caller says, else whether the logger "bertc" shows information."""
    return logging.getLogger("bertc").getEffectiveLevel() <= logging.INFO if shown is None else shown


def refuse(unknown: Mapping[str, Any], function: str) -> None:
    """InputError for arguments that nothing is known of."""
    if unknown:
        raise InputError(f"{function}() has no arguments {', '.join(map(repr, unknown))}")


def first_output(result: Any) -> np.ndarray:
    """The first of a model's outputs for one text, whatever structure it returns."""
    while not isinstance(result, np.ndarray):
        result = next(iter(result.values())) if isinstance(result, Mapping) else result[0]
    return result


def _modules(directory: Directory) -> list[tuple[str, Directory]]:
    """The class and the folder of each part that modules.json lists after the transformer."""
    modules = []
    for entry in directory.json("modules.json", list)[1:]:
        path, kind = (entry.get(key) if isinstance(entry, dict) else None for key in ("path", "type"))
        if not isinstance(path, str) or not isinstance(kind, str):
            raise FormatError(f"{directory.file('modules.json')}: expected a path and a type in each entry")
        modules.append((kind.rpartition(".")[2], directory.folder(path)))
    return modules
