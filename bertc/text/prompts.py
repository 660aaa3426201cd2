"""Prompts: texts that a model was trained to see before each text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bertc._core import InputError
from bertc.text.fields import field
from bertc.text.warn import warn

CONFIG = "config_sentence_transformers.json"
DOCUMENT_PROMPTS = ("document", "passage", "corpus")


class Prompts(dict[str, str]):
    """Prompts by name, chosen as sentence-transformers chooses them; the ``default`` one where a call names none."""

    def __init__(self, own: Mapping[str, str | None] | None, default: str | None, config: Mapping[str, Any]) -> None:
        """``own`` and ``default`` are the user's, before those of ``config``, config_sentence_transformers.json."""
        saved = field(config, "prompts", dict, CONFIG) or {}
        merged: dict[str, str | None] = {"query": None, "document": None, **(own or {})}
        for name in saved:
            if merged.get(name) is None:
                merged[name] = field(saved, name, str, CONFIG)
        super().__init__({name: text or "" for name, text in merged.items()})
        self.default = field(config, "default_prompt_name", str, CONFIG) if default is None else default
        if self.default is not None:
            self._find(self.default)

    def choose(self, name: str | None, text: str | None) -> str:
        """``text`` itself, else the prompt of this name, else the default one, else "".

        InputError when there is no prompt of this name.
        """
        if text is not None:
            if name is not None:
                warn("both prompt and prompt_name are given; prompt_name is ignored")
            return text
        name = self.default if name is None else name
        return "" if name is None else self._find(name)

    def first(self, names: Sequence[str]) -> str | None:
        """The first of these names that there is a prompt of."""
        return next((name for name in names if name in self), None)

    def _find(self, name: str) -> str:
        if name not in self:
            raise InputError(f"there is no prompt {name!r}, only {', '.join(map(repr, self))}")
        return self[name]


def prepend(prompt: str, text: Any) -> Any:
    """The prompt before a text, or before the first one of a pair."""
    if not prompt:
        return text
    if isinstance(text, str):
        return prompt + text
    return (prompt + text[0], *text[1:]) if isinstance(text, (tuple, list)) and text else text
