"""Sparse encoders whose queries need no model: each token of a query has a weight of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from tokenizers import Encoding

from bertc._core import FormatError, UnsupportedError
from bertc.state import load_state_dict
from bertc.text.base import module_of
from bertc.text.directory import Directory
from bertc.text.fields import field, list_field
from bertc.text.runner import Runner
from bertc.text.tokenizer import Tokenizer

Route = list[tuple[str, Directory]]


class StaticRunner(Runner):
    """Gives float32[V] for each encoding: the weights of the tokens that occur, special ones aside."""

    def __init__(self, weights: np.ndarray) -> None:
        self.weights = weights

    def run_each(self, encodings: Sequence[Encoding], options: Mapping[str, Any] | None = None) -> Iterator[np.ndarray]:
        for encoding in encodings:
            ids = np.array(encoding.ids)[np.array(encoding.special_tokens_mask) == 0]
            vector = np.zeros_like(self.weights)
            vector[ids] = self.weights[ids]
            yield vector


def read_routes(directory: Directory) -> tuple[dict[str, Route], str]:
    """The parts that queries and documents go through, and the kind that texts are by default; {} without a Router."""
    modules = directory.json("modules.json", list)
    kind = modules[0].get("type") if modules and isinstance(modules[0], dict) else None
    if not isinstance(kind, str) or kind.rpartition(".")[2] not in ("Router", "Asym"):
        return {}, ""
    where = directory.file("router_config.json")
    config = directory.json("router_config.json")
    types, structure, parameters = (
        field(config, name, dict, where) or {} for name in ("types", "structure", "parameters")
    )
    routes = {}
    for name in ("query", "document"):
        parts = list_field(structure, name, str, where)
        routes[name] = [module_of(directory, types.get(part), part) for part in parts]
    if not routes["document"] or "Transformer" not in routes["document"][0][0]:
        raise FormatError(f"{where}: expected a structure whose document begins with a Transformer")
    default = field(parameters, "default_route", str, where)
    return routes, default if default in routes else ""


def read_static(route: Route, tokenizer: Tokenizer, size: int) -> StaticRunner:
    """Of a route of one SparseStaticEmbedding, whose weights are an array or idf.json."""
    kind, folder = route[0] if len(route) == 1 else ("", None)
    if folder is None or kind != "SparseStaticEmbedding":
        raise UnsupportedError(
            f"a route of {', '.join(kind for kind, _ in route) or 'nothing'} for queries is unknown to bertc"
        )
    weights = np.zeros(size, np.float32)
    if folder.has("idf.json"):
        for token, weight in folder.json("idf.json").items():
            number = tokenizer.token_to_id(token)
            if number is not None and number < size and isinstance(weight, (int, float)):
                weights[number] = weight
        return StaticRunner(weights)
    saved = load_state_dict(folder.path).get("weight")
    if saved is None or saved.ndim != 1 or len(saved) > size:
        raise FormatError(f"{folder.path}: expected weight, a weight for each of at most {size} tokens")
    weights[: len(saved)] = saved
    return StaticRunner(weights)
