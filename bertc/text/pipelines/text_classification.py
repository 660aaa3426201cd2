"""Text classification: labels of texts and pairs of texts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import EllipsisType
from typing import Any

import numpy as np
from tokenizers import Encoding

from bertc._core import InputError
from bertc.text.pipelines import base
from bertc.text.pipelines.base import check_count
from bertc.text.pipelines.scores import best, sigmoid, softmax

FUNCTIONS = {"sigmoid": sigmoid, "softmax": softmax, "none": lambda logits: np.asarray(logits, np.float32)}


@dataclasses.dataclass(frozen=True)
class Options(base.TextOptions):
    """``top_k``: how many labels, None for all, in a list a text; without it, one label and no list.

    ``function_to_apply``: "sigmoid", "softmax" or "none"; without it, what the model was trained with: none for
    regression, sigmoid for several labels at once or a single one, else softmax.
    """

    top_k: int | None | EllipsisType = ...
    function_to_apply: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("top_k", None if self.top_k is ... else self.top_k)
        if self.function_to_apply not in (None, "default", *FUNCTIONS):
            expected = ", ".join(map(repr, FUNCTIONS))
            raise InputError(f"function_to_apply must be one of {expected}; got {self.function_to_apply!r}")


class TextClassificationPipeline(base.Pipeline):
    """Texts to [{"label", "score"}]; a pair is {"text": ..., "text_pair": ...}. Long texts are an error."""

    task = "text-classification"
    heads = ("ForSequenceClassification",)
    options_type = Options

    def __call__(self, inputs: Any, **options: Any) -> Any:
        """A list of one dict for a str; for a list a dict each, or with ``top_k`` a list of dicts each.

        Dicts are {"label": str, "score": float}, by descending score. ``options_type`` explains the options.
        """
        if isinstance(inputs, tuple):
            raise InputError(f'{self.task}: a tuple is no input; a pair is {{"text": ..., "text_pair": ...}}')
        result = super().__call__(inputs, **options)
        return [result] if isinstance(inputs, str) and "top_k" not in options else result

    def _texts(self, item: Any, options: Options) -> list[Any]:
        if isinstance(item, str):
            return [item]
        if isinstance(item, Mapping) and "text" in item and set(item) <= {"text", "text_pair"}:
            pair = item.get("text_pair")
            return [item["text"] if pair is None else (item["text"], pair)]
        if isinstance(item, list) and len(item) == 1 and isinstance(item[0], (list, tuple)) and len(item[0]) == 2:
            return [tuple(item[0])]
        raise InputError(f'expected a str or {{"text": ..., "text_pair": ...}}, got {item!r:.80}')

    def _finish(self, item: Any, encodings: list[Encoding], outputs: list[Any], options: Options) -> Any:
        logits = self._output(outputs[0], "logits", 1)
        scores = FUNCTIONS[self._function(options, len(logits))](logits)
        names = self.label_names[len(scores)]
        if options.top_k is ...:
            place = int(scores.argmax())
            return {"label": names[place], "score": float(scores[place])}
        places = best(scores, len(scores) if options.top_k is None else options.top_k)
        return [{"label": names[place], "score": float(scores[place])} for place in places]

    def _function(self, options: Options, count: int) -> str:
        if options.function_to_apply not in (None, "default"):
            return options.function_to_apply
        problem = self.config.get("problem_type")
        if problem == "regression":
            return "none"
        return "sigmoid" if problem == "multi_label_classification" or count == 1 else "softmax"
