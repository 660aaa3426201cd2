"""Pooling: one vector of the vectors of a text's tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bertc._core import FormatError

# The order in which sentence-transformers joins them when a configuration has these switches.
_SWITCHES = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}


def _cls(tokens: np.ndarray, start: int) -> np.ndarray:
    return tokens[start if start < len(tokens) else 0].copy()


def _max(tokens: np.ndarray, start: int) -> np.ndarray:
    return tokens[start:].max(0, initial=-np.inf)


def _mean(tokens: np.ndarray, start: int) -> np.ndarray:
    return tokens[start:].sum(0) / np.float32(max(len(tokens) - start, 1))


def _mean_sqrt_len(tokens: np.ndarray, start: int) -> np.ndarray:
    return tokens[start:].sum(0) / np.sqrt(np.float32(max(len(tokens) - start, 1)))


def _weighted_mean(tokens: np.ndarray, start: int) -> np.ndarray:
    weights = np.arange(start + 1, len(tokens) + 1, dtype=np.float32)
    return (tokens[start:] * weights[:, None]).sum(0) / max(weights.sum(), np.float32(1))


def _last(tokens: np.ndarray, start: int) -> np.ndarray:
    return tokens[-1].copy() if start < len(tokens) else np.zeros_like(tokens[0])


# Each takes the vectors [s, d] and where to begin: behind the prompt when that is left out. Results are new arrays.
MODES: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "cls": _cls,
    "max": _max,
    "mean": _mean,
    "mean_sqrt_len_tokens": _mean_sqrt_len,
    "weightedmean": _weighted_mean,
    "lasttoken": _last,
}


class Pooling:
    """The module of sentence-transformers: one mode, or several joined to one vector in their order."""

    def __init__(self, modes: Sequence[str], include_prompt: bool = True, where: str = "pooling") -> None:
        unknown = [mode for mode in modes if mode not in MODES]
        if unknown or not modes:
            raise FormatError(f"{where}: pooling {unknown or list(modes)} is not of {', '.join(MODES)}")
        self.modes = tuple(modes)
        self.include_prompt = include_prompt

    @classmethod
    def of_config(cls, config: dict[str, Any], where: str) -> Pooling:
        """Of config.json in either layout: one switch a mode, or "pooling_mode" with a name or a list of them."""
        modes = config.get("pooling_mode")
        if modes is None:
            modes = [mode for switch, mode in _SWITCHES.items() if config.get(switch)] or ["mean"]
        modes = [modes] if isinstance(modes, str) else modes
        if not isinstance(modes, list) or not all(isinstance(mode, str) for mode in modes):
            raise FormatError(f"{where}: pooling_mode is {modes!r}, neither a name nor a list of names")
        return cls(modes, bool(config.get("include_prompt", True)), where)

    def __call__(self, features: dict[str, Any]) -> None:
        tokens = features["token_embeddings"]
        start = 0 if self.include_prompt else features.get("prompt_length", 0)
        parts = [MODES[mode](tokens, start) for mode in self.modes]
        features["sentence_embedding"] = parts[0] if len(parts) == 1 else np.concatenate(parts)

    def of_spans(self) -> Pooling:
        """For tokens from the middle of a text, which stand for themselves: the mean, where this takes a single one."""
        return Pooling(["mean" if mode in ("cls", "lasttoken") else mode for mode in self.modes])

    def __repr__(self) -> str:
        return f"Pooling({' + '.join(self.modes)}{'' if self.include_prompt else ', without the prompt'})"
