"""TextModel: what the encoders have in common - a model, its tokenizer, its prompts, and how many tokens it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, TypeVar

import numpy as np
from tokenizers import Encoding

from bertc._core import FormatError
from bertc.text.directory import Directory
from bertc.text.inputs import check_device, shows_progress
from bertc.text.loading import Loaded, load_text_model
from bertc.text.prompts import Prompts, prepend
from bertc.text.runner import CALL_TOKENS, Runner
from bertc.text.tokenizer import Strategy
from bertc.text.truncation import Overflow, Truncation

Value = TypeVar("Value")


class TextModel:
    """A model that texts go into. Threads may share it."""

    base = False  # whether the model is taken without its head
    call_tokens = CALL_TOKENS

    def __init__(
        self,
        model: Any,
        *,
        tokenizer: Any = None,
        prompts: Mapping[str, str] | None = None,
        default_prompt_name: str | None = None,
        inputs: Mapping[str, str] | None = None,
        device: Any = None,
        trust_remote_code: bool = False,
        **options: Any,
    ) -> None:
        check_device(device)
        self.directory, self.transformer, self.model, self.tokenizer = self._load(model, tokenizer, options)
        self.modules = self._read_modules()
        self.config: dict[str, Any] = self.directory.json("config_sentence_transformers.json")
        self.runner = Runner(self.model, inputs, self.transformer.config, self.call_tokens)
        self.prompts = Prompts(prompts, default_prompt_name, {**self.config, "prompts": self._saved_prompts()})
        self.max_seq_length: int | None = self.tokenizer.max_length

    def _load(self, model: Any, tokenizer: Any, options: Mapping[str, Any]) -> Loaded:
        """``options`` are those of load_text_model: threads, revision, token, local_files_only."""
        return load_text_model(model, tokenizer=tokenizer, base=self.base, **options)

    def _read_modules(self) -> list[tuple[str, Directory]]:
        """The class and the folder of each part that follows the transformer."""
        entries = self.directory.json("modules.json", list)[1:]
        if not all(isinstance(entry, dict) for entry in entries):
            raise FormatError(f"{self.directory.file('modules.json')}: expected a list of objects")
        return [module_of(self.directory, entry.get("type"), entry.get("path")) for entry in entries]

    def _saved_prompts(self) -> Any:
        """The prompts that the directory has, by name."""
        return self.config.get("prompts")

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


def first_output(result: Any) -> np.ndarray:
    """The first of a model's outputs for one text, whatever structure it returns."""
    while not isinstance(result, np.ndarray):
        result = next(iter(result.values())) if isinstance(result, Mapping) else result[0]
    return result


def module_of(directory: Directory, kind: Any, path: Any) -> tuple[str, Directory]:
    """The class without its package, and the folder, of a part of a model; FormatError unless both are texts."""
    if not isinstance(kind, str) or not isinstance(path, str):
        raise FormatError(f"{directory.path}: expected a type and a path of each module, found {kind!r} and {path!r}")
    return kind.rpartition(".")[2], directory.folder(path)


def open_directory(model: Any, options: Mapping[str, Any]) -> Directory:
    """Of a path or an id of the hub; ``options`` as load_text_model has them."""
    return Directory.open(
        model, *(options.get(name) for name in ("revision", "token")), options.get("local_files_only", False)
    )
