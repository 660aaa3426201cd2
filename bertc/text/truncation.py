"""What happens to texts that are longer than a model takes: nothing of it is silent."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from bertc._core import InputError
from bertc.text.warn import warn

if TYPE_CHECKING:
    from tokenizers import Encoding

Truncation = Literal["warn", "error", "window", "ignore"]
POLICIES = ("warn", "error", "window", "ignore")
_SHOWN = 5


class TruncationWarning(UserWarning):
    """Texts were cut: ``count`` of them, at ``indices`` of the call's texts, to ``max_length`` tokens each."""

    def __init__(self, indices: Sequence[int], max_length: int | None) -> None:
        self.indices = list(indices)
        self.count = len(self.indices)
        self.max_length = max_length
        super().__init__(f"{_describe('cut to', self.indices, max_length)}; truncation= is {' or '.join(POLICIES)}")


class Overflow:
    """Notes which texts of one call did not fit, and acts as the policy says."""

    def __init__(self, policy: Truncation, max_length: int | None) -> None:
        if policy not in POLICIES:
            raise InputError(f"truncation must be one of {', '.join(POLICIES)}, not {policy!r}")
        self.policy = policy
        self.max_length = max_length
        self.indices = array("q")

    def windows(self, encodings: Sequence[Encoding], first_index: int = 0) -> list[list[Encoding]]:
        """What to run for each text: all its windows for "window", else its beginning.

        ``first_index`` is the first text's index in the call. InputError for "error" when a text does not fit.
        """
        groups = []
        for index, encoding in enumerate(encodings, first_index):
            rest = encoding.overflowing
            if rest:
                self.indices.append(index)
            groups.append([encoding, *rest] if self.policy == "window" else [encoding])
        if self.policy == "error" and self.indices:
            raise InputError(f"{_describe('longer than', self.indices, self.max_length)}; they would have to be cut")
        return groups

    def report(self) -> None:
        """One warning for the whole call, where that is the policy. To be called when all texts are through."""
        if self.policy == "warn" and self.indices:
            warn(TruncationWarning(self.indices, self.max_length))


def _describe(what: str, indices: Sequence[int], max_length: int | None) -> str:
    shown = ", ".join(map(str, indices[:_SHOWN])) + (", ..." if len(indices) > _SHOWN else "")
    if len(indices) == 1:
        return f"1 text was {what} {max_length} tokens, at index {shown}"
    return f"{len(indices)} texts were {what} {max_length} tokens, at indices {shown}"
