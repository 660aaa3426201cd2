"""The model of a pipeline with the head that its task needs, its tokenizer and its configuration."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from bertc import state
from bertc._core import FormatError, InputError, UnsupportedError
from bertc.model import Model
from bertc.source import is_path
from bertc.text.directory import Directory
from bertc.text.loading import load_text_model
from bertc.text.tokenizer import NO_LIMIT, Tokenizer

BARE = "Model"  # the head of tasks that need none
_WITHOUT_TABLE = ("ModernBert", "NomicBert", "Gte", "JinaEmbeddingsV3", "XLNet")  # whose positions are relative
_ARCHITECTURE = re.compile(r"(\w+?)(For[A-Z]\w*|LMHeadModel|Model)")


class Loaded(NamedTuple):
    name: str
    model: Model
    tokenizer: Tokenizer
    config: dict[str, Any]
    positions: int | None  # the most tokens that the model takes, where it has a table of positions
    max_length: int | None  # the most tokens that the tokenizer's configuration and the model allow


def load(
    task: str, heads: tuple[str, ...], source: Any, tokenizer: Any, threads: int | None, hub: dict[str, Any]
) -> Loaded:
    """Loads what pipeline() is given: a directory or an id of the hub, a model file, or a Model.

    ``heads`` are those that the task can use, the ends of transformers' class names. ``tokenizer`` must be given where
    the model is no directory; the configuration beside it is then the model's. InputError when no head fits.
    """
    root, directory, model, own = load_text_model(
        source, tokenizer=tokenizer, base=BARE in heads, threads=threads, **hub
    )
    name = root.name
    if root.path is not None:
        model = _with_head(task, heads, model, directory, threads)
    elif model.architecture and not model.architecture.endswith(heads):
        raise _no_head(task, heads, model._name, model.architecture)
    else:
        name = model._name
        directory = Directory.of_file(tokenizer) if is_path(tokenizer) else directory
    positions = _positions(model, directory)
    limits = [
        own.max_length if tokenizer is not None else directory.tokenizer_config.get("model_max_length"),
        positions,
    ]
    known = [int(x) for x in limits if isinstance(x, (int, float)) and 0 < x < NO_LIMIT]
    return Loaded(name, model, own, directory.config, positions, min(known, default=None))


def _positions(model: Model, directory: Directory) -> int | None:
    without_table = model.architecture.startswith(_WITHOUT_TABLE)
    return None if without_table or directory.config.get("position_biased_input") is False else directory.positions


def _with_head(task: str, heads: tuple[str, ...], model: Model, directory: Directory, threads: int | None) -> Model:
    """The model, or one with another head of its weights where the one that its directory names is of no use."""
    found = _ARCHITECTURE.fullmatch(model.architecture)
    if found is None or found[2] in heads:
        return model
    for head in heads:
        config = {**directory.config, "architectures": [found[1] + head]}
        try:
            other = state.build(config, directory.path, threads=threads)
        except (FormatError, UnsupportedError):
            continue
        if other.architecture.endswith(head):
            return other
    raise _no_head(task, heads, directory.name, model.architecture)


def _no_head(task: str, heads: tuple[str, ...], name: str, architecture: str) -> InputError:
    return InputError(f"{task} needs a model ...{' or ...'.join(heads)}; {name} is a {architecture}")
