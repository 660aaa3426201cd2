"""Runner: texts through a model in the caller's order, packed, while the next ones are tokenized."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from bertc._core import InputError
from bertc.model import Model

if TYPE_CHECKING:
    from tokenizers import Encoding

Item = TypeVar("Item")
Value = TypeVar("Value")

CALL_TOKENS = 8192  # of one call of the model, unless a single text has more
CHUNK_ITEMS = 512  # taken from the source at a time: at most so many,
CHUNK_CHARACTERS = 32768  # and no more once they have so many characters
PROGRESS_ITEMS = 32  # what a progress bar counts as a batch, as sentence-transformers' default

_ROLES = {
    "input_ids": ("input_ids", "ids", "token_ids", "tokens", "tokens_tensor", "indexed_tokens", "inputs", "input", "x"),
    "token_type_ids": ("token_type_ids", "segment_ids", "segments", "segments_tensors", "type_ids", "segments_tensor"),
    "attention_mask": ("attention_mask", "mask", "input_mask", "padding_mask"),
    "position_ids": ("position_ids", "positions"),
}
_COLUMNS: dict[str, Callable[[Encoding], np.ndarray]] = {
    "input_ids": lambda encoding: np.array(encoding.ids, np.int64),
    "token_type_ids": lambda encoding: np.array(encoding.type_ids, np.int64),
    "attention_mask": lambda encoding: np.ones(len(encoding), np.int64),
    "position_ids": lambda encoding: np.arange(len(encoding)),
}


class Runner:
    """A model that is called with encodings. It never changes; threads may share it."""

    def __init__(
        self,
        model: Model,
        inputs: Mapping[str, str] | None = None,
        config: Mapping[str, Any] | None = None,
        call_tokens: int = CALL_TOKENS,
    ) -> None:
        """``inputs`` says what arguments with unusual names are, {"argument_1": "input_ids"}; ``config``: config.json.

        ``call_tokens`` are those of one call, to be lowered for models with large results.
        InputError when a required argument is none of input_ids, token_type_ids, attention_mask and position_ids.
        """
        self.model = model
        self.columns = _columns(model, inputs or {}, config or {})
        self.call_tokens = call_tokens
        # transformers' models take types that are not given for zeros, but XLNet: for none
        self._takes_zero_types = bool(model.architecture) and (config or {}).get("model_type") != "xlnet"

    def run(self, encodings: Sequence[Encoding], **options: Any) -> list[Any]:
        """One result an encoding, as Model.run_packed gives it; ``options`` are further arguments of the model."""
        return list(self.run_each(encodings, options))

    def run_each(self, encodings: Sequence[Encoding], options: Mapping[str, Any] | None = None) -> Iterator[Any]:
        """The results of run() one after the other: no more are held than one call of the model gives."""
        for start, stop in _split([len(encoding) for encoding in encodings], self.call_tokens):
            part = encodings[start:stop]
            columns = {
                name: [_COLUMNS[role](encoding) for encoding in part]
                for name, role in self.columns.items()
                if role != "token_type_ids" or self._needs_types(part)
            }
            yield from self.model.run_packed(**columns, **(options or {}))

    def _needs_types(self, encodings: Sequence[Encoding]) -> bool:
        return not self._takes_zero_types or any(any(encoding.type_ids) for encoding in encodings)

    def stream(
        self,
        items: Iterable[Item],
        prepare: Callable[[list[Item], int], list[list[Encoding]]],
        finish: Callable[[list[Encoding], list[Any]], Value],
        *,
        batch_size: int | None = None,
        progress: bool = False,
        options: Mapping[str, Any] | None = None,
    ) -> Iterator[Value]:
        """A value for each item, in their order.

        ``prepare`` gets some items and the index of the first, and returns the encodings of each: one, or its windows.
        It runs in a thread beside the model, so that tokenizing costs no time of its own. ``finish`` makes an item's
        value of its encodings and their results. Few items are held at a time, whatever their number: as many as make
        a good batch, or ``batch_size``. ``progress`` shows a bar. What any of them raises comes out here.
        """
        if batch_size is not None and batch_size < 1:
            raise InputError(f"batch_size must be at least 1, or None, not {batch_size}")
        total = len(items) if isinstance(items, Sized) else None
        bar = _Progress(progress, total, batch_size or PROGRESS_ITEMS)
        return self._values(_ahead(_chunks(items, batch_size), prepare), finish, bar, options)

    def _values(
        self,
        chunks: Iterator[list[list[Encoding]]],
        finish: Callable[[list[Encoding], list[Any]], Value],
        bar: _Progress,
        options: Mapping[str, Any] | None,
    ) -> Iterator[Value]:
        with bar:
            for groups in chunks:
                results = self.run_each(list(chain.from_iterable(groups)), options)
                for group in groups:
                    value = finish(group, [next(results) for _ in group])
                    bar.advance()
                    yield value


def _columns(model: Model, inputs: Mapping[str, str], config: Mapping[str, Any]) -> dict[str, str]:
    """{argument of the model: its role}, of those to give."""
    params = model._core.params()
    names = [name for name, _, _ in params]
    for name, role in inputs.items():
        if name not in names or role not in _ROLES:
            raise InputError(f"inputs: {name!r}: {role!r} is not of {', '.join(names)} and {', '.join(_ROLES)}")
    columns = {}
    for name, kind, required in params:
        role = inputs.get(name) or _role(name)
        if role is None and required and len(params) == 1 and kind == "Tensor":
            role = "input_ids"
        if role is None and required:
            raise InputError(
                f"it is unknown what the model's argument {name!r} is: say so with inputs={{{name!r}: 'input_ids'}}, "
                f"or {', '.join(list(_ROLES)[1:])}"
            )
        if role and (required or role == "input_ids" or (role == "token_type_ids" and _has_segments(config))):
            columns[name] = role
    if "input_ids" not in columns.values():
        raise InputError(f"none of the model's arguments {', '.join(names)} takes token ids; say which with inputs=")
    return columns


def _role(name: str) -> str | None:
    return next((role for role, names in _ROLES.items() if name.lower() in names), None)


def _has_segments(config: Mapping[str, Any]) -> bool:
    count = config.get("type_vocab_size", 2)
    return not isinstance(count, int) or count > 1


def _split(lengths: list[int], limit: int) -> Iterator[tuple[int, int]]:
    """Where calls of so many tokens begin and end."""
    start = total = 0
    for i, length in enumerate(lengths):
        if total and total + length > limit:
            yield start, i
            start, total = i, 0
        total += length
    if lengths:
        yield start, len(lengths)


def _chunks(items: Iterable[Item], batch_size: int | None) -> Iterator[list[Item]]:
    chunk: list[Item] = []
    characters = 0
    for item in items:
        chunk.append(item)
        characters += _characters(item)
        full = len(chunk) >= CHUNK_ITEMS or characters >= CHUNK_CHARACTERS
        if len(chunk) == batch_size or (batch_size is None and full):
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk


def _characters(item: Any) -> int:
    """Of a text, a pair, or a list of words."""
    if isinstance(item, str):
        return len(item)
    return sum(map(_characters, item)) if isinstance(item, (tuple, list)) else 0


def _ahead(
    chunks: Iterator[list[Item]], prepare: Callable[[list[Item], int], list[list[Encoding]]]
) -> Iterator[list[list[Encoding]]]:
    """prepare() of each chunk, in a thread while the one before is used. The source is read in the caller's thread."""
    chunk = next(chunks, None)
    if chunk is None:
        return
    index = len(chunk)
    ready = prepare(chunk, 0)
    chunk = next(chunks, None)
    if chunk is None:
        yield ready
        return
    with ThreadPoolExecutor(1, "bertc-tokenize") as worker:
        while chunk is not None:
            future: Future[list[list[Encoding]]] = worker.submit(prepare, chunk, index)
            index += len(chunk)
            yield ready
            ready = future.result()
            chunk = next(chunks, None)
    yield ready


class _Progress:
    """tqdm's bar of batches, in terminals and notebooks, while the context lasts; nothing when it is off."""

    def __init__(self, shown: bool, total: int | None, size: int) -> None:
        self.shown = shown
        self.total = None if total is None else -(-total // size)
        self.size = size
        self.count = 0
        self.bar: Any = None

    def advance(self) -> None:
        self.count += 1
        if self.bar is not None and self.count % self.size == 0:
            self.bar.update()

    def __enter__(self) -> _Progress:
        if self.shown:
            try:
                from tqdm.auto import tqdm
            except ImportError as error:
                raise ImportError(f"a progress bar needs tqdm: pip install bertc[text] ({error})") from error
            self.bar = tqdm(total=self.total, desc="Batches")
        return self

    def __exit__(self, kind: Any, *_: Any) -> None:
        if self.bar is not None:
            if kind is None and self.count % self.size:
                self.bar.update()
            self.bar.close()
