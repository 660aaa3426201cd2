"""How a multi-vector model treats texts, as directories of sentence-transformers, PyLate and ColBERT say it."""

from __future__ import annotations

import string
from collections.abc import Mapping
from typing import Any, NamedTuple

from bertc._core import FormatError
from bertc.text.directory import Directory
from bertc.text.fields import field, length_field, list_field

DEFAULT_WIDTH = 32
PUNCTUATION = list(string.punctuation)
_PYLATE = {
    "query_length",
    "document_length",
    "query_expansion",
    "do_query_expansion",
    "attend_to_expansion_tokens",
    "attend_to_mask_tokens",
    "query_prefix",
    "document_prefix",
    "skiplist_words",
}


class Expansion(NamedTuple):
    """Queries are filled up to ``length`` tokens, and cut to them when ``fixed``."""

    length: int
    fixed: bool = True
    attend: bool = False  # whether the model's attention sees the tokens that were put in
    token: str | None = None  # else the mask token


class Settings(NamedTuple):
    """What a directory says of a model, whatever its layout."""

    prompts: dict[str, str]
    markers: list[str]  # tokens at the beginning of prompts that older layouts put in by their ids
    query_length: int | None
    document_length: int | None
    expansion: Expansion | None
    skipped: list[str]  # tokens that get no vector,
    skip_tasks: list[str]  # of texts of these kinds
    kept: list[int] | None  # tokens of documents that alone get one


def is_stanford(directory: Directory) -> bool:
    """Whether Stanford's ColBERT saved it: config.json, artifact.metadata, and the projection among the weights."""
    return "HF_ColBERT" in list_field(directory.config, "architectures", str, directory.path)


def read_settings(directory: Directory, transformer: Directory, mask: Directory | None) -> Settings:
    """Of a model's directory, that of its first module, and that of its MultiVectorMask if it has one."""
    if is_stanford(directory):
        return _stanford(directory)
    where = directory.path
    config = directory.json("config_sentence_transformers.json")
    legacy = _pylate(config, where)
    saved = {**legacy, **transformer.json("sentence_bert_config.json")}
    prompts = dict(field(config, "prompts", dict, where) or {})
    markers = []
    for name in ("query", "document"):
        if f"{name}_prefix" in config:
            marker = field(config, f"{name}_prefix", str, where) or ""
            markers.append(marker)
            prompts[name] = marker + (field(prompts, name, str, where) or "").removeprefix(marker)
    settings = config if mask is None else mask.json("config.json")
    skipped = list_field(settings, "skiplist_words", str, where)
    if mask is None and legacy and settings.get("skiplist_words") is None:
        skipped = PUNCTUATION
    tasks = settings.get("skiplist_tasks") or ["document"]
    return Settings(
        prompts,
        markers,
        length_field(saved, "query_length", where),
        length_field(saved, "document_length", where),
        _expansion(saved, where),
        skipped,
        [tasks] if isinstance(tasks, str) else list_field(settings, "skiplist_tasks", str, where) or ["document"],
        list_field(settings, "keep_only_token_ids", int, where) or None,
    )


def _pylate(config: Mapping[str, Any], where: Any) -> dict[str, Any]:
    """PyLate's settings, from the top of the configuration, by sentence-transformers' names; {} of other models."""
    if not _PYLATE & config.keys():
        return {}
    names = ("query_length", "document_length")
    settings = {name: config[name] for name in names if config.get(name) is not None}
    if "query_expansion" in config or config.get("do_query_expansion") is False:
        return {**settings, "query_expansion": config.get("query_expansion")}
    attend = config.get("attend_to_expansion_tokens", config.get("attend_to_mask_tokens"))
    length = length_field(settings, "query_length", where) or DEFAULT_WIDTH
    settings.pop("query_length", None)
    return {**settings, "query_expansion": {"strategy": "fixed", "attend": bool(attend), "length": length}}


def _stanford(directory: Directory) -> Settings:
    where = directory.file("artifact.metadata")
    metadata = directory.json("artifact.metadata")
    query = field(metadata, "query_token_id", str, where) or "[unused0]"
    document = field(metadata, "doc_token_id", str, where) or "[unused1]"
    return Settings(
        {"query": f"{query} ", "document": f"{document} "},
        [query, document],
        None,
        length_field(metadata, "doc_maxlen", where),
        Expansion(
            length_field(metadata, "query_maxlen", where) or DEFAULT_WIDTH,
            attend=bool(metadata.get("attend_to_mask_tokens")),
        ),
        PUNCTUATION if metadata.get("mask_punctuation", True) else [],
        ["document"],
        None,
    )


def _expansion(saved: Mapping[str, Any], where: Any) -> Expansion | None:
    settings = field(saved, "query_expansion", dict, where)
    if settings is None:
        return None
    strategy, length = settings.get("strategy"), length_field(settings, "length", where)
    if strategy not in ("fixed", "min") or length is None:
        raise FormatError(f"{where}: unknown query_expansion: {settings!r}")
    return Expansion(length, strategy == "fixed", settings.get("attend") is True, field(settings, "token", str, where))
