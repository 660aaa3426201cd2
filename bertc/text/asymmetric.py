"""Asymmetric models: queries and documents are encoded each in their own way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bertc.text.base import TextModel
from bertc.text.prompts import DOCUMENT_PROMPTS


class Asymmetric(TextModel):
    """A model whose encode() takes ``task``: "query" or "document"."""

    encode: Callable[..., Any]

    def encode_query(
        self, inputs: Any, prompt_name: str | None = None, prompt: str | None = None, **options: Any
    ) -> Any:
        """encode() of queries, with the prompt "query", if the model has one and no other is given."""
        prompt_name = "query" if prompt_name is None and prompt is None else prompt_name
        return self.encode(inputs, prompt_name, prompt, task="query", **options)

    def encode_document(
        self, inputs: Any, prompt_name: str | None = None, prompt: str | None = None, **options: Any
    ) -> Any:
        """encode() of documents, with the prompt "document", "passage" or "corpus", unless another one is given."""
        prompt_name = self.prompts.first(DOCUMENT_PROMPTS) if prompt_name is None and prompt is None else prompt_name
        return self.encode(inputs, prompt_name, prompt, task="document", **options)
