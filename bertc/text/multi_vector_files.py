"""How a multi-vector model treats texts, as directories of sentence-transformers, PyLate and ColBERT say it."""

from __future__ import annotations

import string
from collections.abc import Mapping
from typing import Any, NamedTuple

from bertc._core import FormatError
from bertc.text.directory import Directory

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
    return "HF_ColBERT" in (directory.config.get("architectures") or ())


def read_settings(directory: Directory, transformer: Directory, mask: Directory | None) -> Settings:
    """Of a model's directory, that of its first module, and that of its MultiVectorMask if it has one."""
    if is_stanford(directory):
        return _stanford(directory)
    config = directory.json("config_sentence_transformers.json")
    legacy = _pylate(config)
    saved = {**legacy, **transformer.json("sentence_bert_config.json")}
    prompts = {name: text for name, text in _mapping(config.get("prompts")).items() if isinstance(text, str)}
    markers = []
    for name in ("query", "document"):
        if f"{name}_prefix" in config:
            marker = config[f"{name}_prefix"] or ""
            markers.append(marker)
            prompts[name] = marker + prompts.get(name, "").removeprefix(marker)
    if mask is None:
        words = config.get("skiplist_words")
        settings: dict[str, Any] = {"skiplist_words": PUNCTUATION if words is None and legacy else words}
    else:
        settings = mask.json("config.json")
    tasks = settings.get("skiplist_tasks") or ["document"]
    return Settings(
        prompts,
        markers,
        _length(directory, saved, "query_length"),
        _length(directory, saved, "document_length"),
        _expansion(transformer, saved.get("query_expansion")),
        list(settings.get("skiplist_words") or ()),
        [tasks] if isinstance(tasks, str) else list(tasks),
        settings.get("keep_only_token_ids") or None,
    )


def _pylate(config: Mapping[str, Any]) -> dict[str, Any]:
    """PyLate's settings, from the top of the configuration, by sentence-transformers' names; {} of other models."""
    if not _PYLATE & config.keys():
        return {}
    names = ("query_length", "document_length")
    settings = {name: config[name] for name in names if config.get(name) is not None}
    if "query_expansion" in config or config.get("do_query_expansion") is False:
        return {**settings, "query_expansion": config.get("query_expansion")}
    attend = config.get("attend_to_expansion_tokens", config.get("attend_to_mask_tokens"))
    length = settings.pop("query_length", None) or DEFAULT_WIDTH
    return {**settings, "query_expansion": {"strategy": "fixed", "attend": bool(attend), "length": length}}


def _stanford(directory: Directory) -> Settings:
    metadata = directory.json("artifact.metadata")
    query = metadata.get("query_token_id") or "[unused0]"
    document = metadata.get("doc_token_id") or "[unused1]"
    width = _length(directory, metadata, "query_maxlen") or DEFAULT_WIDTH
    return Settings(
        {"query": f"{query} ", "document": f"{document} "},
        [query, document],
        None,
        _length(directory, metadata, "doc_maxlen"),
        Expansion(width, attend=bool(metadata.get("attend_to_mask_tokens"))),
        PUNCTUATION if metadata.get("mask_punctuation", True) else [],
        ["document"],
        None,
    )


def _expansion(directory: Directory, value: Any) -> Expansion | None:
    if value is None:
        return None
    settings = _mapping(value)
    length = _length(directory, settings, "length")
    if settings.get("strategy") not in ("fixed", "min") or length is None:
        raise FormatError(f"{directory.path}: unknown query_expansion: {value!r}")
    return Expansion(length, settings["strategy"] == "fixed", settings.get("attend") is True, settings.get("token"))


def _length(directory: Directory, settings: Mapping[str, Any], name: str) -> int | None:
    value = settings.get(name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise FormatError(f"{directory.path}: {name} must be a number of tokens, not {value!r}")
    return value


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
