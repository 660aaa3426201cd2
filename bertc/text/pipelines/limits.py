"""How long the texts of a call may be, and what happens to longer ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tokenizers import Encoding

from bertc._core import InputError
from bertc.text.tokenizer import STRATEGIES, Tokenizer
from bertc.text.truncation import Overflow

_CUT = {True: "warn", "warn": "warn", "ignore": "ignore", **dict.fromkeys(STRATEGIES, "warn")}
_WHOLE = (False, "error", "do_not_truncate")
_CHOICES = 'True or "warn", "ignore", False or "error", ' + ", ".join(f'"{name}"' for name in STRATEGIES)


def check(truncation: Any) -> None:
    """InputError for what ``truncation`` cannot be."""
    known = isinstance(truncation, (bool, str)) and (truncation in _WHOLE or truncation in _CUT)
    if truncation is not None and not known:
        raise InputError(f"truncation must be {_CHOICES}; got {truncation!r}")


class Limit:
    """Tokenizes the texts of one call, and cuts or refuses those that are too long."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        truncation: bool | str,
        max_length: int | None,
        positions: int | None,
        strategy: Any = "longest_first",
    ) -> None:
        """``truncation`` is one that check() passes. It cuts to ``max_length``; the model can take ``positions``."""
        self.tokenizer = tokenizer
        self.cuts = truncation in _CUT
        self.strategy = truncation if truncation in STRATEGIES else strategy
        self.max_length = max_length if self.cuts else None
        self.positions = positions
        self.overflow = Overflow(_CUT.get(truncation, "ignore"), self.max_length)

    def encode(self, texts: Sequence[Any], places: Sequence[int], **options: Any) -> list[Encoding]:
        """One encoding a text; ``places`` are the indices of the call's items that they belong to."""
        encodings = self.tokenizer.encode_batch(texts, max_length=self.max_length, strategy=self.strategy, **options)
        for place, encoding in zip(places, encodings):
            if self.cuts and encoding.overflowing and place not in self.overflow.indices[-1:]:
                self.overflow.indices.append(place)
            if self.positions is not None and len(encoding) > self.positions:
                hint = "" if self.cuts else "; truncation=True cuts such texts"
                found = f"the text at index {place} has {len(encoding)} tokens"
                raise InputError(f"{found}, the model takes {self.positions}{hint}")
        return encodings
