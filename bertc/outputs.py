"""ModelOutput: what a model of a Hugging Face directory returns."""

from __future__ import annotations

from typing import Any


class ModelOutput(dict[str, Any]):
    """A dict of outputs by transformers' names, which are attributes too; by number in their order.

    ``out["logits"]``, ``out.logits`` and ``out[0]`` are the same array. Iterating gives the names, as of any dict;
    ``to_tuple()`` gives the values.
    """

    __slots__ = ()

    def __getitem__(self, key: str | int | slice) -> Any:
        return super().__getitem__(key) if isinstance(key, str) else self.to_tuple()[key]

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getitem__(name)
        except KeyError:
            raise AttributeError(f"the model has no output {name!r}, only {', '.join(self)}") from None

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self]

    def to_tuple(self) -> tuple[Any, ...]:
        """The outputs in order."""
        return tuple(self.values())
