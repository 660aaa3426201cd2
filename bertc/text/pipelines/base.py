"""Pipeline: what the tasks have in common, from any kind of inputs to results in their order."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, ClassVar

import numpy as np
from tokenizers import Encoding

from bertc._core import InputError
from bertc.text.pipelines import limits
from bertc.text.pipelines.limits import Limit
from bertc.text.pipelines.loading import Loaded
from bertc.text.runner import CALL_TOKENS, Runner

_NO_EFFECT = ("padding", "num_workers")  # scripts written for transformers pass these


@dataclasses.dataclass(frozen=True)
class Options:
    """What every task takes, in a call or in pipeline() as its default.

    ``batch_size``: items read at a time; without it, lists are split as it is best, and generators read one by one.
    """

    batch_size: int | None = None

    def __post_init__(self) -> None:
        check_count("batch_size", self.batch_size)


@dataclasses.dataclass(frozen=True)
class TextOptions(Options):
    """What tasks take that have a limit of length.

    ``truncation``: what happens to texts that are too long. True or "warn" cuts them and warns once a call, "ignore"
    cuts them, False or "error" raises InputError; "longest_first", "only_first" and "only_second" cut so, and warn.
    ``max_length``: tokens to cut to, special ones included; without it, as many as the model takes.
    """

    truncation: bool | str | None = None
    max_length: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        limits.check(self.truncation)
        check_count("max_length", self.max_length)


def check_count(name: str, value: Any, least: int = 1) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least):
        raise InputError(f"{name} must be an integer, at least {least}; got {value!r}")


class Pipeline(ABC):
    """A model used for one task. It never changes: any number of threads may call it at once."""

    task: ClassVar[str]
    heads: ClassVar[tuple[str, ...]]  # of the models that it can use
    options_type: ClassVar[type[Options]]
    truncation: ClassVar[bool] = False  # whether long texts are cut when nothing is said
    strategy: ClassVar[str] = "longest_first"

    def __init__(self, loaded: Loaded, options: Mapping[str, Any], inputs: Mapping[str, str] | None = None) -> None:
        self.name, self.model, self.tokenizer, self.config, self.positions, self.max_length = loaded
        self.runner = Runner(self.model, inputs, self.config, self._call_tokens())
        self.label_names = LabelNames(self.config)
        self.options = self._merge(self.options_type(), options)
        self._resolve(self.options)

    def __call__(self, inputs: Any, **options: Any) -> Any:
        """Results for a text or a list, lazily for any other iterable; ``options_type`` explains the keywords."""
        return self._run(inputs, self._resolve(self._merge(self.options, options)))

    def __repr__(self) -> str:
        given = [
            f", {field.name}={getattr(self.options, field.name)!r}"
            for field in dataclasses.fields(self.options)
            if getattr(self.options, field.name) != field.default
        ]
        architecture = f" ({self.model.architecture})" if self.model.architecture else ""
        return f"<bertc.pipeline {self.task!r}: {self.name}{architecture}{''.join(given)}>"

    # ---- what a task defines ----

    def _call_tokens(self) -> int:
        """How many tokens make a call of the model."""
        return CALL_TOKENS

    def _resolve(self, options: Any) -> Any:
        """The options of a call with everything that can be known beforehand; raises what is wrong with them."""
        return options

    def _texts(self, item: Any, options: Any) -> list[Any]:
        """The texts, or pairs of texts, that an item is made of; InputError when it is none."""
        if not isinstance(item, str):
            raise InputError(f"expected a str, got a {type(item).__name__}")
        return [item]

    def _encode(self, items: list[Any], places: range, limit: Limit, options: Any) -> list[list[Encoding]]:
        """Each item's encodings. ``places`` are the items' indices in the call."""
        groups = []
        for item, place in zip(items, places):
            try:
                groups.append(self._texts(item, options))
            except InputError as error:
                raise InputError(f"{self.task}: input {place}: {error}") from None
        spread = [place for place, group in zip(places, groups) for _ in group]
        encodings = iter(limit.encode(list(chain.from_iterable(groups)), spread))
        return [[next(encodings) for _ in group] for group in groups]

    @abstractmethod
    def _finish(self, item: Any, encodings: list[Encoding], outputs: list[Any], options: Any) -> Any:
        """An item's result, of its encodings and what the model returned for each."""

    def _limit(self, options: Any) -> Limit:
        truncation = options.truncation
        if truncation is None:
            truncation = self.truncation or options.max_length is not None
        length = options.max_length or self.max_length
        return Limit(self.tokenizer, truncation, length, self.positions, self.strategy)

    # ---- what they share ----

    def _run(self, inputs: Any, options: Any) -> Any:
        if isinstance(inputs, (list, tuple)):
            return list(self._stream(inputs, options, options.batch_size))
        if isinstance(inputs, (str, Mapping)):
            (result,) = self._stream([inputs], options, batch_size=1)
            return result
        if isinstance(inputs, Iterable) and not isinstance(inputs, (bytes, bytearray)):
            return self._stream(inputs, options, options.batch_size, one_by_one=options.batch_size is None)
        raise InputError(f"{self.task}: expected a text, a list or an iterable of them, got a {type(inputs).__name__}")

    def _stream(
        self, items: Iterable[Any], options: Any, batch_size: int | None, one_by_one: bool = False
    ) -> Iterator[Any]:
        limit = self._limit(options)
        waiting: deque[Any] = deque()  # items that are encoded, in their order

        def prepare(chunk: list[Any], first: int) -> list[list[Encoding]]:
            encodings = self._encode(chunk, range(first, first + len(chunk)), limit, options)
            waiting.extend(chunk)
            return encodings

        def finish(encodings: list[Encoding], outputs: list[Any]) -> Any:
            return self._finish(waiting.popleft(), encodings, outputs, options)

        try:
            if one_by_one:  # the source may be waiting for a result before it gives the next item
                for index, item in enumerate(items):
                    (encodings,) = prepare([item], index)
                    yield finish(encodings, self.runner.run(encodings))
            else:
                yield from self.runner.stream(items, prepare, finish, batch_size=batch_size)
        finally:
            limit.overflow.report()

    def _merge(self, base: Any, given: Mapping[str, Any]) -> Any:
        changes = {name: value for name, value in given.items() if name not in _NO_EFFECT}
        known = [field.name for field in dataclasses.fields(base)]
        for name in changes:
            if name not in known:
                raise InputError(f"{self.task} has no option {name!r}, only {', '.join(known)}")
        return dataclasses.replace(base, **changes)

    def _output(self, result: Any, name: str, rank: int, place: int = 0) -> np.ndarray:
        """What the model returned for a text by transformers' name, or by its place where the model names none."""
        if isinstance(result, Mapping):
            values = [result[name]] if name in result else list(result.values())
            place = 0 if name in result else place
        else:
            values = result if isinstance(result, (tuple, list)) else [result]
        array = values[place] if place < len(values) else None
        if not isinstance(array, np.ndarray) or array.ndim != rank:
            found = f"an array {list(array.shape)}" if isinstance(array, np.ndarray) else f"a {type(array).__name__}"
            raise InputError(f"{self.task} needs {name} of {rank} dimension(s) for a text; {self.name} gives {found}")
        return array


class LabelNames(dict[int, tuple[str, ...]]):
    """{number of labels: their names} by a configuration's id2label; LABEL_0 and so on where it is silent."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        given = config.get("id2label")
        self.given = given if isinstance(given, dict) else {}

    def __missing__(self, count: int) -> tuple[str, ...]:
        names = tuple(str(self.given.get(str(i), f"LABEL_{i}")) for i in range(count))
        self[count] = names
        return names


def unpack_tokenizer_options(changes: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Options with those in a dict of options for the tokenizer, as transformers nests them."""
    nested = changes.get(name)
    flat = {key: value for key, value in changes.items() if key != name}
    for key, value in (nested or {}).items():
        if key in flat:
            raise InputError(f"{key} is given twice, as a keyword and in {name}")
        flat[key] = value
    return flat
