"""Feature extraction: a vector for each token."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from tokenizers import Encoding

from bertc.text.pipelines import base
from bertc.text.pipelines.loading import BARE


@dataclasses.dataclass(frozen=True)
class Options(base.TextOptions):
    """``return_tensors``: arrays instead of lists."""

    return_tensors: bool | str = False


class FeatureExtractionPipeline(base.Pipeline):
    """Texts to the last hidden states of the bare model, not pooled. Long texts are an error."""

    task = "feature-extraction"
    heads = (BARE,)
    options_type = Options

    def __call__(self, inputs: Any, **options: Any) -> Any:
        """[1][tokens][hidden] as nested lists of floats for a str, a list of those for a list.

        With ``return_tensors`` float32 arrays of shape [1, tokens, hidden]. ``tokenize_kwargs`` may hold truncation and
        max_length, as in transformers. ``options_type`` explains the options.
        """
        return super().__call__(inputs, **options)

    def _merge(self, base_options: Any, given: Mapping[str, Any]) -> Any:
        return super()._merge(base_options, base.unpack_tokenizer_options(given, "tokenize_kwargs"))

    def _finish(self, item: Any, encodings: list[Encoding], outputs: list[Any], options: Options) -> Any:
        hidden = self._output(outputs[0], "last_hidden_state", 2)[None]
        return hidden.copy() if options.return_tensors else hidden.tolist()
