"""MaskedRunner: texts through a model with tokens that attention leaves out, though their results count."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from tokenizers import Encoding

from bertc._core import UnsupportedError
from bertc.model import Model
from bertc.text.base import first_output
from bertc.text.runner import CALL_TOKENS, Runner

MASK_ARGUMENT = "attention_mask"
FIELDS = {"input_ids": "ids", "token_type_ids": "type_ids", "attention_mask": "attention_mask"}


class MaskedRunner(Runner):
    """Runs encodings with the masks that they have; a result is the first output, for masked positions too."""

    def __init__(self, model: Model, inputs: Mapping[str, str] | None, config: Mapping[str, Any]) -> None:
        super().__init__(model, inputs, config)
        names = [name for name, _, _ in model._core.params()]
        if MASK_ARGUMENT not in names:
            raise UnsupportedError("tokens are to be left out by attention, but the model takes no attention_mask")
        self.columns = {**self.columns, MASK_ARGUMENT: "attention_mask"}

    def run_each(self, encodings: Sequence[Encoding], options: Mapping[str, Any] | None = None) -> Iterator[Any]:
        results: list[Any] = [None] * len(encodings)
        groups: dict[int, list[int]] = {}
        for i, encoding in enumerate(encodings):
            groups.setdefault(len(encoding), []).append(i)
        for length, group in groups.items():
            step = max(1, CALL_TOKENS // length)
            for start in range(0, len(group), step):
                part = group[start : start + step]
                columns = {
                    name: np.array([getattr(encodings[i], FIELDS[role]) for i in part])
                    for name, role in self.columns.items()
                }
                for i, row in zip(part, first_output(self.model(**columns, **(options or {})))):
                    results[i] = row
        return iter(results)
