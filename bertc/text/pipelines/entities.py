"""Scores of tokens to words and entities: the strategies of token classification."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

import numpy as np

STRATEGIES = ("none", "simple", "first", "average", "max")
BY_WORD = ("first", "average", "max")


class Labels:
    """The labels of a model, with what their prefixes B- and I- say."""

    def __init__(self, names: list[str]) -> None:
        self.names = names
        self.groups = [name.split("-", 1)[-1] for name in names]
        tags = [name[2:] if name.startswith(("B-", "I-")) else name for name in names]
        self.tags = np.array([tags.index(tag) for tag in tags])
        self.begins = np.array([name.startswith("B-") for name in names])


class Tokens(NamedTuple):
    """The tokens of one window that stand for text, n of them."""

    index: np.ndarray  # [n], places in the window
    words: list[str]  # n tokens as the vocabulary has them
    starts: np.ndarray  # [n], first character
    ends: np.ndarray  # [n], character after the last
    continues: np.ndarray  # bool [n]: not the first of its word
    scores: np.ndarray  # float32 [n, labels]


class Pieces(NamedTuple):
    """Runs of tokens with one label each: tokens, or whole words."""

    first: np.ndarray  # [n], the first token of each
    labels: np.ndarray  # [n]
    scores: np.ndarray  # [n]


def continues_word(text: str, starts: np.ndarray, words: list[str], ends: np.ndarray, has_prefix: bool) -> np.ndarray:
    """bool [n]: whether each token continues the word before it.

    A tokenizer that marks such tokens by a prefix ("##ing") makes them longer than their text; else only a space in
    or before the token's first character tells that a word begins.
    """
    if has_prefix:
        return np.fromiter(map(len, words), np.intp, len(words)) != ends - starts
    spaces = np.frombuffer((" " + text + "x").encode("utf-32-le", "surrogatepass"), np.uint32) == ord(" ")
    return (starts > 0) & ~spaces[starts] & ~spaces[np.minimum(starts + 1, len(text) + 1)]


def token_entities(tokens: Tokens, labels: Labels, ignored: Collection[str]) -> list[dict[str, Any]]:
    """One dict a token whose label is not ignored."""
    pieces = _each_token(tokens)
    return [
        {
            "entity": labels.names[label],
            "score": score,
            "index": int(tokens.index[i]),
            "word": tokens.words[i],
            "start": int(tokens.starts[i]),
            "end": int(tokens.ends[i]),
        }
        for i, (label, score) in enumerate(zip(pieces.labels.tolist(), pieces.scores))
        if labels.names[label] not in ignored
    ]


def grouped_entities(
    tokens: Tokens, labels: Labels, ignored: Collection[str], strategy: str, join: Any
) -> list[dict[str, Any]]:
    """One dict a run of pieces of one tag, of those that are not ignored; ``join`` makes a text of tokens."""
    if not len(tokens.index):
        return []
    pieces = _each_token(tokens) if strategy == "simple" else _words(tokens, strategy)
    tags = labels.tags[pieces.labels]
    breaks = np.append(True, (tags[1:] != tags[:-1]) | labels.begins[pieces.labels[1:]])
    firsts = np.flatnonzero(breaks)
    means = np.add.reduceat(pieces.scores, firsts) / _lengths(firsts, len(breaks))
    bounds = np.append(pieces.first, len(tokens.index))
    entities = []
    for first, end, mean in zip(firsts.tolist(), [*firsts[1:].tolist(), len(breaks)], means):
        group = labels.groups[pieces.labels[first]]
        if group in ignored:
            continue
        spans = [tokens.words[bounds[i] : bounds[i + 1]] for i in range(first, end)]
        words = [span[0] for span in spans] if strategy == "simple" else [join(span) for span in spans]
        entities.append(
            {
                "entity_group": group,
                "score": mean,
                "word": join(words),
                "start": int(tokens.starts[bounds[first]]),
                "end": int(tokens.ends[bounds[end] - 1]),
            }
        )
    return entities


def _each_token(tokens: Tokens) -> Pieces:
    labels = tokens.scores.argmax(-1)
    return Pieces(np.arange(len(labels)), labels, tokens.scores[np.arange(len(labels)), labels])


def _words(tokens: Tokens, strategy: str) -> Pieces:
    starts = ~tokens.continues
    starts[0] = True
    first = np.flatnonzero(starts)
    if strategy == "first":
        scores = tokens.scores[first]
    elif strategy == "average":
        scores = np.add.reduceat(tokens.scores, first, axis=0) / _lengths(first, len(starts))[:, None]
    else:
        word = np.cumsum(starts) - 1
        order = np.lexsort((-tokens.scores.max(-1), word))  # stable: the first of equal tokens
        scores = tokens.scores[order[first]]
    labels = scores.argmax(-1)
    return Pieces(first, labels, scores[np.arange(len(labels)), labels])


def _lengths(firsts: np.ndarray, end: int) -> np.ndarray:
    """float32, of the runs that begin at ``firsts``."""
    lengths = np.empty(len(firsts), np.float32)
    lengths[:-1] = firsts[1:] - firsts[:-1]
    lengths[-1] = end - firsts[-1]
    return lengths


def merge_windows(entities: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Entities of overlapping windows by their start; of those that overlap the longest, then the most probable."""
    merged: list[dict[str, Any]] = []
    for entity in sorted(entities, key=lambda entity: entity["start"]):
        if not merged or not merged[-1]["start"] <= entity["start"] < merged[-1]["end"]:
            merged.append(entity)
        elif _rank(entity) > _rank(merged[-1]):
            merged[-1] = entity
    return merged


def _rank(entity: dict[str, Any]) -> tuple[int, float]:
    return entity["end"] - entity["start"], entity["score"]
