"""What an encoder is made of: a model, its tokenizer, and the directory that they are from."""

from __future__ import annotations

import os
import re
from typing import Any, NamedTuple

from bertc import hub, state
from bertc._core import InputError
from bertc.loading import load
from bertc.model import Model
from bertc.source import is_path
from bertc.text.directory import Directory
from bertc.text.tokenizer import Tokenizer

_HEAD = re.compile(r"(For[A-Z]\w*|LMHeadModel)$")


class Loaded(NamedTuple):
    root: Directory  # with modules.json, if there is one; an empty one, for a traced archive
    directory: Directory  # with config.json, the weights and the tokenizer: the same one, or a folder in it
    model: Model
    tokenizer: Tokenizer


def load_text_model(
    source: Any,
    *,
    tokenizer: Any = None,
    base: bool = False,
    threads: int | None = None,
    revision: str | None = None,
    token: str | bool | None = None,
    local_files_only: bool = False,
) -> Loaded:
    """Of a directory, an id of the hub, or with ``tokenizer`` of a traced archive or a Model.

    ``tokenizer`` is anything that Tokenizer.of takes. ``base`` loads the model without its head, whatever
    ``architectures`` names. Raises what load() raises, and InputError for a model without a tokenizer.
    """
    options = {"threads": threads, "revision": revision, "token": token, "local_files_only": local_files_only}
    if is_path(source) and (os.path.isdir(source) or hub.is_id(source)):
        directory = Directory.open(source, revision, token, local_files_only)
        folder = directory.folder(_transformer_folder(directory))
        model = _load_base(folder, threads) if base else load(folder.path, threads)
        lowercase = bool(folder.sentence_config.get("do_lower_case"))
        return Loaded(directory, folder, model, Tokenizer.of(folder if tokenizer is None else tokenizer, lowercase))
    if is_path(source) and not os.path.exists(source):
        raise FileNotFoundError(f"{os.fsdecode(source)}: no such file or directory")
    if tokenizer is None:
        raise InputError("a model that is not a directory needs tokenizer=, a directory or a tokenizer.json")
    model = source if isinstance(source, Model) else load(source, **options)
    return Loaded(Directory.empty(), Directory.empty(), model, Tokenizer.of(tokenizer))


def _transformer_folder(directory: Directory) -> str:
    """Where the weights are: old sentence-transformers kept them in 0_Transformer."""
    modules = directory.json("modules.json", list)
    path = modules[0].get("path", "") if modules and isinstance(modules[0], dict) else ""
    return path if isinstance(path, str) and directory.folder(path).has("config.json") else ""


def _load_base(directory: Directory, threads: int | None) -> Model:
    names = directory.config.get("architectures")
    name = names[0] if isinstance(names, list) and names and isinstance(names[0], str) else ""
    if not _HEAD.search(name):
        return load(directory.path, threads)
    config = {**directory.config, "architectures": [_HEAD.sub("Model", name)]}
    return state.build(config, directory.path, threads=threads)
