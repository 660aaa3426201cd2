"""The model of a pipeline with the head that its task needs, its tokenizer and its configuration."""

from __future__ import annotations

import os
import re
from typing import Any, NamedTuple

import bertc
from bertc._core import FormatError, InputError, UnsupportedError
from bertc.model import Model
from bertc.text.directory import Directory
from bertc.text.tokenizer import Tokenizer

BARE = "Model"  # the head of tasks that need none
_ARCHITECTURE = re.compile(r"(\w+?)(For[A-Z]\w*|LMHeadModel|Model)")


class Loaded(NamedTuple):
    name: str
    model: Model
    tokenizer: Tokenizer
    directory: Directory  # of the configuration; it may be empty


def load(
    task: str, heads: tuple[str, ...], source: Any, tokenizer: Any, threads: int | None, fetching: dict[str, Any]
) -> Loaded:
    """Loads what pipeline() is given: a directory or an id of the hub, a model file, or a Model.

    ``heads`` are those that the task can use, the ends of transformers' class names. ``tokenizer`` must be given where
    the model is no directory; the configuration beside it is then the model's. InputError when no head fits.
    """
    if not isinstance(source, Model) and _is_directory(source):
        directory = Directory.open(source, **fetching)
        model = _with_head(task, heads, directory, threads)
        return Loaded(directory.name, model, Tokenizer.of(directory if tokenizer is None else tokenizer), directory)
    if tokenizer is None:
        raise InputError(f"{task}: a model without a directory needs tokenizer=, the path of a tokenizer's files")
    model = source if isinstance(source, Model) else bertc.load(source, threads)
    if model.architecture and not model.architecture.endswith(heads):
        raise _no_head(task, heads, model._name, model.architecture)
    is_path = isinstance(tokenizer, (str, os.PathLike))
    return Loaded(
        model._name, model, Tokenizer.of(tokenizer), Directory.of_file(tokenizer) if is_path else Directory.empty()
    )


def _is_directory(source: Any) -> bool:
    return isinstance(source, (str, os.PathLike)) and (os.path.isdir(source) or not os.path.exists(source))


def _with_head(task: str, heads: tuple[str, ...], directory: Directory, threads: int | None) -> Model:
    """A directory's model, with another head than it names where that one is not of use and its weights have more."""
    if directory.path is None:
        raise InputError(f"{task}: {directory.name} is no directory of a model")
    model = bertc.load(directory.path, threads)
    found = _ARCHITECTURE.fullmatch(model.architecture)
    if found is None or found[2] in heads:
        return model
    for head in heads:
        config = {**directory.config, "architectures": [found[1] + head]}
        try:
            other = bertc.from_state_dict(config, directory.path, threads=threads)
        except (FormatError, UnsupportedError):
            continue
        if other.architecture.endswith(head):
            return other
    raise _no_head(task, heads, directory.name, model.architecture)


def _no_head(task: str, heads: tuple[str, ...], name: str, architecture: str) -> InputError:
    return InputError(f"{task} needs a model ...{' or ...'.join(heads)}; {name} is a {architecture}")
