"""Directory: the files of a model, local or of the hub, and what its JSON files say."""

from __future__ import annotations

import functools
import json
import os
from pathlib import Path, PurePosixPath
from typing import Any

from bertc import hub
from bertc._core import FormatError

# Their positions begin behind the padding token's id, so that they have fewer than the table has rows.
_OFFSET_POSITIONS = {"roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "mpnet"}
_SENTENCE_KINDS = ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
_NO_LIMIT = 10**9


class Directory:
    """A model's folder. Files are read when they are asked for; errors name the file."""

    def __init__(self, path: Path | None, name: str) -> None:
        self.path = path
        self.name = name

    @classmethod
    def open(
        cls, source: Any, revision: str | None = None, token: str | bool | None = None, local_files_only: bool = False
    ) -> Directory:
        """Of a folder's path, or of an id of the hub, whose files are fetched into huggingface_hub's cache.

        Raises FileNotFoundError when there is neither.
        """
        if hub.is_id(source):
            return cls(Path(hub.fetch(source, revision, token, local_files_only, modules=True)), source)
        path = Path(os.fsdecode(source))
        if not path.is_dir():
            raise FileNotFoundError(f"{path}: no such directory")
        return cls(path, path.resolve().name)

    @classmethod
    def of_file(cls, path: Any) -> Directory:
        """Of a folder's path or the path of a file in it."""
        path = Path(os.fsdecode(path))
        return cls.open(path.parent if path.is_file() else path)

    @classmethod
    def empty(cls) -> Directory:
        return cls(None, "")

    def folder(self, name: str) -> Directory:
        """A folder in this one by its relative name, "1_Pooling"; "" is this one."""
        return Directory(self.file(name), f"{self.name}/{name}") if name else self

    def file(self, name: str) -> Path:
        """The path of a file by its relative name, whether it exists or not; it must not lead out of the folder."""
        parts = PurePosixPath(name.replace("\\", "/"))
        if self.path is None or parts.is_absolute() or ".." in parts.parts:
            raise FormatError(f"{self.name}: {name!r} does not name a file in it")
        return self.path / parts

    def has(self, name: str) -> bool:
        return self.path is not None and self.file(name).exists()

    def json(self, name: str, kind: type = dict) -> Any:
        """What a JSON file holds; an empty dict, or whatever ``kind`` is, when there is no such file."""
        if not self.has(name):
            return kind()
        path = self.file(name)
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise FormatError(f"{path}: no proper JSON: {error}") from error
        if not isinstance(value, kind):
            raise FormatError(f"{path}: expected a {kind.__name__}, found a {type(value).__name__}")
        return value

    @functools.cached_property
    def config(self) -> dict[str, Any]:
        """config.json."""
        return self.json("config.json")

    @functools.cached_property
    def tokenizer_config(self) -> dict[str, Any]:
        """tokenizer_config.json."""
        return self.json("tokenizer_config.json")

    @functools.cached_property
    def sentence_config(self) -> dict[str, Any]:
        """sentence_bert_config.json, or what old versions of sentence-transformers called it."""
        return next(filter(None, (self.json(f"sentence_{kind}_config.json") for kind in _SENTENCE_KINDS)), {})

    @property
    def max_length(self) -> int | None:
        """The most tokens of a text: what the configuration says, and what the model has positions for."""
        own = self.sentence_config.get("max_seq_length") or self.tokenizer_config.get("model_max_length")
        limits = [own, self.positions]
        known = [int(x) for x in limits if isinstance(x, (int, float)) and 0 < x < _NO_LIMIT]
        return min(known, default=None)

    @property
    def positions(self) -> int | None:
        """For how many tokens the model has positions, by its configuration; None when that does not say."""
        count = self.config.get("max_position_embeddings", self.config.get("n_positions"))
        if not isinstance(count, int) or count <= 0:
            return None
        if self.config.get("model_type") in _OFFSET_POSITIONS:
            padding = self.config.get("pad_token_id")
            count -= (padding if isinstance(padding, int) else 1) + 1
        return count

    def special_token(self, name: str) -> str | None:
        """The text of a special token, "mask_token", by the tokenizer's configuration."""
        for source in (self.tokenizer_config, self._special_tokens):
            token = source.get(name)
            token = token.get("content") if isinstance(token, dict) else token
            if isinstance(token, str):
                return token
        return None

    @functools.cached_property
    def _special_tokens(self) -> dict[str, Any]:
        return self.json("special_tokens_map.json")
