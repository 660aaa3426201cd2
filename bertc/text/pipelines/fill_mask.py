"""Fill-mask: the likeliest tokens at the masks of texts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from tokenizers import Encoding

from bertc._core import InputError
from bertc.text.pipelines import base
from bertc.text.pipelines.base import check_count
from bertc.text.pipelines.limits import Limit
from bertc.text.pipelines.scores import best, softmax
from bertc.text.runner import CALL_TOKENS
from bertc.text.warn import warn

CALL_SCORES = 1 << 25  # of all tokens of a call: 128 MB


@dataclasses.dataclass(frozen=True)
class Options(base.TextOptions):
    """``top_k``: how many tokens a mask. ``targets``: the words to choose from, instead of the whole vocabulary."""

    top_k: int = 5
    targets: str | Sequence[str] | tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("top_k", self.top_k)


class FillMaskPipeline(base.Pipeline):
    """Texts with masks to the tokens that the model would put there. Long texts are an error."""

    task = "fill-mask"
    heads = ("ForMaskedLM",)
    options_type = Options

    def __call__(self, inputs: Any, **options: Any) -> Any:
        """A list of dicts for a text with one mask; a list of such lists, one a mask, for a text with several.

        Dicts are {"score": float, "token": int, "token_str": str, "sequence": str}, by descending score. A list of
        texts gives a list, but a list of one text gives what that text alone gives. ``tokenizer_kwargs`` may hold
        truncation and max_length, as in transformers. ``options_type`` explains the options.
        """
        result = super().__call__(inputs, **options)
        return result[0] if isinstance(inputs, list) and len(inputs) == 1 else result

    def _call_tokens(self) -> int:
        return max(1, min(CALL_TOKENS, CALL_SCORES // self.tokenizer.vocab_size))

    def _merge(self, base_options: Any, given: Mapping[str, Any]) -> Any:
        return super()._merge(base_options, base.unpack_tokenizer_options(given, "tokenizer_kwargs"))

    def _resolve(self, options: Options) -> Options:
        if self.tokenizer.mask_token_id is None:
            raise InputError(f"{self.task}: the tokenizer of {self.name} has no mask token")
        if options.targets is None:
            return options
        targets = [options.targets] if isinstance(options.targets, str) else options.targets
        ids = dict.fromkeys(number for target in targets for number in self._target(target))
        if not ids:
            raise InputError(f"{self.task}: targets has no word that the tokenizer knows")
        return dataclasses.replace(options, targets=tuple(ids))

    def _target(self, target: Any) -> list[int]:
        """The id of a word, or of its first token; none when it has no tokens."""
        if not isinstance(target, str):
            raise InputError(f"{self.task}: targets must be words, got a {type(target).__name__}")
        number = self.tokenizer.token_to_id(target)
        if number is not None:
            return [number]
        special = set(self.tokenizer.encode("").ids)
        ids = [i for i in self.tokenizer.encode(target).ids if i not in special][:1]
        use = f"its first token {self.tokenizer.id_to_token(ids[0])!r} is used" if ids else "it is left out"
        warn(f"the target {target!r} is not in the vocabulary: {use}")
        return ids

    def _encode(self, items: list[Any], places: range, limit: Limit, options: Options) -> list[list[Encoding]]:
        groups = super()._encode(items, places, limit, options)
        for place, (encoding,) in zip(places, groups):
            if self.tokenizer.mask_token_id not in encoding.ids:
                raise InputError(f"{self.task}: input {place}: no mask, {self.tokenizer.mask_token!r}, is in it")
        return groups

    def _finish(self, item: Any, encodings: list[Encoding], outputs: list[Any], options: Options) -> Any:
        ids = np.array(encodings[0].ids)
        masks = np.flatnonzero(ids == self.tokenizer.mask_token_id)
        scores = softmax(self._output(outputs[0], "logits", 2)[masks])
        choices = np.arange(scores.shape[1])
        if options.targets is not None:
            choices = np.array(options.targets)
            scores = scores[:, choices]
        places = best(scores, options.top_k)
        results = []
        for mask, row, place in zip(masks, scores, places):
            filled = ids.copy()
            answers = []
            for score, token in zip(row[place].tolist(), choices[place].tolist()):
                filled[mask] = token
                text = self.tokenizer.decode(
                    filled[filled != self.tokenizer.pad_token_id], skip_special_tokens=len(masks) == 1
                )
                word = self.tokenizer.decode([token], skip_special_tokens=False)
                answers.append({"score": score, "token": token, "token_str": word, "sequence": text})
            results.append(answers)
        return results[0] if len(results) == 1 else results
