"""The modules of sentence-transformers that may follow the transformer, read from modules.json.

Each changes the features of one text: {"token_embeddings": [s, d], "sentence_embedding": [d], ...}. One text at a time,
so that its vector does not depend on what is encoded beside it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from bertc._core import FormatError, UnsupportedError
from bertc.state import load_state_dict
from bertc.text.directory import Directory
from bertc.text.pooling import Pooling

Module = Callable[[dict[str, Any]], None]
EPSILON = 1e-12  # torch.nn.functional.normalize's
_ERF = np.frompyfunc(math.erf, 1, 1)


def normalize(vectors: np.ndarray) -> np.ndarray:
    """Each vector [..., d] scaled to length one; zero stays zero."""
    length = np.sqrt(np.square(vectors).sum(-1, keepdims=True))
    return vectors / np.maximum(length, np.float32(EPSILON))


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return np.float32(1) / (1 + np.exp(-x))


ACTIVATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "Identity": lambda x: x,
    "Tanh": np.tanh,
    "Sigmoid": _sigmoid,
    "ReLU": lambda x: np.maximum(x, 0),
    "ReLU6": lambda x: np.clip(x, 0, 6),
    "GELU": lambda x: x * (0.5 * (1 + _ERF(x * math.sqrt(0.5)).astype(np.float32))).astype(np.float32),
    "SiLU": lambda x: x * _sigmoid(x),
    "LeakyReLU": lambda x: np.where(x > 0, x, np.float32(0.01) * x),
    "ELU": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "Softplus": lambda x: np.logaddexp(x, np.float32(0)),
}


class Dense:
    """A linear layer with an activation, on the text's vector or, by its configuration, on the tokens'."""

    def __init__(self, directory: Directory, config: dict[str, Any]) -> None:
        where = str(directory.path)
        name = config.get("activation_function", "torch.nn.modules.activation.Tanh")
        kind = name.rpartition(".")[2] if isinstance(name, str) and name.startswith("torch.nn") else None
        if kind not in ACTIVATIONS:
            raise UnsupportedError(f"{where}: activation_function {name!r} is not of {', '.join(ACTIVATIONS)}")
        self.activation = ACTIVATIONS[kind]
        self.source = config.get("module_input_name", "sentence_embedding")
        self.target = config.get("module_output_name") or self.source
        weights = _read_weights(directory)
        self.weight = _matrix(weights, "linear.weight", 2, where)
        self.bias = _matrix(weights, "linear.bias", 1, where) if config.get("bias", True) else None
        self.residual = None
        if config.get("use_residual") and self.weight.shape[0] != self.weight.shape[1]:
            self.residual = _matrix(weights, "residual.weight", 2, where)
        self.has_residual = bool(config.get("use_residual"))
        if self.bias is not None and len(self.bias) != len(self.weight):
            raise FormatError(f"{where}: linear.bias has {len(self.bias)} values for {len(self.weight)} outputs")

    def __call__(self, features: dict[str, Any]) -> None:
        x = features[self.source]
        if x.shape[-1] != self.weight.shape[1]:
            raise FormatError(
                f"Dense takes vectors of {self.weight.shape[1]}, the module before it gives {x.shape[-1]}"
            )
        y = _product(self.weight, x)
        y = self.activation(y if self.bias is None else y + self.bias)
        if self.has_residual:
            y = y + (x if self.residual is None else _product(self.residual, x))
        features[self.target] = np.asarray(y, np.float32)

    def __repr__(self) -> str:
        return f"Dense({self.weight.shape[1]} to {self.weight.shape[0]})"


class LayerNorm:
    """torch.nn.LayerNorm of the text's vector."""

    def __init__(self, directory: Directory, config: dict[str, Any]) -> None:
        weights = _read_weights(directory)
        self.weight = _matrix(weights, "norm.weight", 1, str(directory.path))
        self.bias = _matrix(weights, "norm.bias", 1, str(directory.path))

    def __call__(self, features: dict[str, Any]) -> None:
        x = features["sentence_embedding"]
        x = x - x.mean()
        features["sentence_embedding"] = x / np.sqrt(np.square(x).mean() + np.float32(1e-5)) * self.weight + self.bias

    def __repr__(self) -> str:
        return f"LayerNorm({len(self.weight)})"


class Normalize:
    """Scales to length one."""

    def __init__(self, directory: Directory | None = None, config: dict[str, Any] | None = None) -> None:
        config = config or {}
        self.source = config.get("module_input_name", "sentence_embedding")
        self.target = config.get("module_output_name") or self.source

    def __call__(self, features: dict[str, Any]) -> None:
        if self.source in features:
            features[self.target] = normalize(features[self.source])

    def __repr__(self) -> str:
        return "Normalize()"


def load_modules(directory: Directory) -> list[Module]:
    """What modules.json says follows the transformer; for a directory without one, the mean of the tokens.

    Raises FormatError, and UnsupportedError for a module that bertc does not have.
    """
    entries = directory.json("modules.json", list)
    if not entries:
        return [Pooling(["mean"])]
    modules: list[Module] = []
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict) or not isinstance(entry.get("type"), str):
            raise FormatError(f"{directory.file('modules.json')}: entry {number} has no type")
        kind = entry["type"].rpartition(".")[2]
        if number == 0:
            if kind != "Transformer":
                raise UnsupportedError(f"{directory.file('modules.json')}: it begins with {kind}, not with Transformer")
        elif kind != "Dropout":
            modules.append(_load_module(directory, kind, str(entry.get("path", ""))))
    return modules


def _load_module(directory: Directory, kind: str, path: str) -> Module:
    folder = directory.folder(path)
    config = folder.json("config.json") if path else {}
    if kind == "Pooling":
        return Pooling.of_config(config, str(folder.path))
    made = {"Dense": Dense, "LayerNorm": LayerNorm, "Normalize": Normalize}.get(kind)
    if made is None:
        raise UnsupportedError(f"{directory.file('modules.json')}: bertc has no module {kind}")
    return made(folder, config)


def _read_weights(directory: Directory) -> dict[str, np.ndarray]:
    if directory.path is None or not directory.path.is_dir():
        raise FormatError(f"{directory.path}: there is no such folder, which modules.json names")
    return load_state_dict(directory.path)


def _matrix(weights: dict[str, np.ndarray], name: str, rank: int, where: str) -> np.ndarray:
    if name not in weights or weights[name].ndim != rank:
        raise FormatError(f"{where}: it has no {name} of rank {rank}")
    return np.ascontiguousarray(weights[name], np.float32)


def _product(weight: np.ndarray, x: np.ndarray) -> np.ndarray:
    """weight @ x of one vector, or of each of a text's tokens."""
    return x @ weight.T if x.ndim > 1 else weight @ x
