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
from bertc.text.fields import field
from bertc.text.pooling import Pooling

Module = Callable[[dict[str, Any]], None]
FEATURES = ("sentence_embedding", "token_embeddings")
SCORES = "scores"  # what a cross-encoder's last module may make
EPSILON = np.float32(1e-12)  # torch.nn.functional.normalize's
_ERF = np.frompyfunc(math.erf, 1, 1)


def normalize(vectors: np.ndarray) -> np.ndarray:
    """Each vector [..., d] scaled to length one; zero stays zero."""
    length = np.sqrt(np.square(vectors).sum(-1, keepdims=True))
    return vectors / np.maximum(length, EPSILON)


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
        self.source, self.target = _names(config, where)
        weights = _read_weights(directory)
        self.weight = _take(weights, "linear.weight", (None, None), where)
        outputs, inputs = self.weight.shape
        self.bias = _take(weights, "linear.bias", (outputs,), where) if config.get("bias", True) else None
        self.has_residual = bool(config.get("use_residual"))
        self.residual = None
        if self.has_residual and outputs != inputs:
            self.residual = _take(weights, "residual.weight", (outputs, inputs), where)

    def __call__(self, features: dict[str, Any]) -> None:
        if self.source not in features:
            raise FormatError(f"a Dense module takes {self.source!r}, which no module before it makes")
        x = features[self.source]
        _check_width(self, x, self.weight.shape[1])
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
        self.weight = _take(weights, "norm.weight", (None,), str(directory.path))
        self.bias = _take(weights, "norm.bias", self.weight.shape, str(directory.path))

    def __call__(self, features: dict[str, Any]) -> None:
        x = features["sentence_embedding"]
        _check_width(self, x, len(self.weight))
        x = x - x.mean()
        features["sentence_embedding"] = x / np.sqrt(np.square(x).mean() + np.float32(1e-5)) * self.weight + self.bias

    def __repr__(self) -> str:
        return f"LayerNorm({len(self.weight)})"


class Normalize:
    """Scales to length one."""

    def __init__(self, directory: Directory | None = None, config: dict[str, Any] | None = None) -> None:
        self.source, self.target = _names(config or {}, str(directory.path) if directory else "Normalize")

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


def _take(weights: dict[str, np.ndarray], name: str, shape: tuple[int | None, ...], where: str) -> np.ndarray:
    """A weight by its name, in float32; a dimension of None may be anything."""
    if name not in weights:
        raise FormatError(f"{where}: it has no {name}")
    found = weights[name].shape
    if len(found) != len(shape) or any(want not in (None, size) for want, size in zip(shape, found)):
        expected = ", ".join("any" if size is None else str(size) for size in shape)
        raise FormatError(f"{where}: {name} has the shape {list(found)}, expected [{expected}]")
    return np.ascontiguousarray(weights[name], np.float32)


def _check_width(module: Module, x: np.ndarray, width: int) -> None:
    if x.shape[-1] != width:
        raise FormatError(f"{module!r} takes vectors of {width}, the module before it gives {x.shape[-1]}")


def _names(config: dict[str, Any], where: str) -> tuple[str, str]:
    """Which feature a module reads and which one it writes."""
    source = field(config, "module_input_name", str, where) or FEATURES[0]
    target = field(config, "module_output_name", str, where) or source
    if source not in FEATURES or target not in (*FEATURES, SCORES):
        raise UnsupportedError(f"{where}: a module cannot read {source!r} and write {target!r}")
    return source, target


def _product(weight: np.ndarray, x: np.ndarray) -> np.ndarray:
    """weight @ x of one vector, or of each of a text's tokens."""
    return x @ weight.T if x.ndim > 1 else weight @ x
