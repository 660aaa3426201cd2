"""Writes small ONNX files, right and wrong ones: each function gives the bytes of one message of onnx.proto."""

from __future__ import annotations

from typing import Any

import numpy as np
from protobuf import message

FLOAT, INT64, STRING = 1, 7, 8
TYPES = {
    "float32": 1,
    "uint8": 2,
    "int8": 3,
    "int16": 5,
    "int32": 6,
    "int64": 7,
    "bool": 9,
    "float16": 10,
    "float64": 11,
}


class Graph(bytes):
    """A graph, as an attribute can be one."""


def tensor(name: str, array: Any, dims: Any = None, data_type: int | None = None, **location: str) -> bytes:
    """Raw bytes; or in a file beside the model, where location=, offset= and length= say it."""
    array = np.asarray(array)
    fields = [(1, int(dim)) for dim in (array.shape if dims is None else dims)]
    fields += [(2, data_type or TYPES[str(array.dtype)]), (8, name)]
    if location:
        fields += [(13, message((1, key), (2, value))) for key, value in location.items()]
        return message(*fields, (14, 1))
    return message(*fields, (9, array.tobytes()))


def attribute(name: str, value: Any) -> bytes:
    if isinstance(value, Graph):
        return message((1, name), (6, bytes(value)), (20, 5))
    if isinstance(value, np.ndarray):
        return message((1, name), (5, tensor("", value)), (20, 4))
    if isinstance(value, list):
        real = any(isinstance(item, float) for item in value)
        return message((1, name), *((7 if real else 8, item) for item in value), (20, 6 if real else 7))
    number, kind = {float: (2, 1), int: (3, 2), str: (4, 3)}[type(value)]
    return message((1, name), (number, value), (20, kind))


def node(op: str, inputs: str, outputs: str, name: str = "", domain: str = "", **attributes: Any) -> bytes:
    """Names of inputs and outputs are separated by blanks; "_" is an omitted one."""
    fields = [
        (number, "" if text == "_" else text) for number, names in ((1, inputs), (2, outputs)) for text in names.split()
    ]
    fields += [(3, name), (4, op), (7, domain)]
    return message(*fields, *((5, attribute(key, value)) for key, value in attributes.items()))


def value(name: str, dtype: int = FLOAT, shape: tuple | None = ("b", "s")) -> bytes:
    dims = [message((1, message((1 if isinstance(dim, int) else 2, dim)))) for dim in shape or ()]
    kind = message((1, dtype), *([(2, b"".join(dims))] if shape is not None else []))
    return message((1, name), (2, message((1, kind))))


def graph(nodes: list[bytes], inputs: list[bytes], outputs: list[bytes], tensors: list[bytes] = ()) -> Graph:
    lists = ((1, nodes), (5, tensors), (11, inputs), (12, outputs))
    return Graph(message(*((number, item) for number, items in lists for item in items), (2, "graph")))


def function(
    name: str, inputs: str, outputs: str, nodes: list[bytes], attributes: str = "", domain: str = "own"
) -> bytes:
    lists = ((4, inputs.split()), (5, outputs.split()), (6, attributes.split()), (7, nodes))
    fields = [(number, item) for number, items in lists for item in items]
    return message((1, name), *fields, (9, opset("", 17)), (10, domain))


def opset(domain: str, version: int) -> bytes:
    return message((1, domain), (2, version))


def model(body: bytes, opsets: dict[str, int] | None = None, functions: list[bytes] = ()) -> bytes:
    opsets = {"": 17, "com.microsoft": 1, "own": 1} if opsets is None else opsets
    fields = [(8, opset(*item)) for item in opsets.items()] + [(25, item) for item in functions]
    return message((1, 8), (2, "tests"), (7, bytes(body)), *fields)


def simple(*nodes: bytes, inputs: Any = None, outputs: str = "y", tensors: list[bytes] = (), **others: Any) -> bytes:
    """A model from x, floats [b, s], to y."""
    inputs = [value("x")] if inputs is None else inputs
    return model(graph(list(nodes), inputs, [value(name) for name in outputs.split()], tensors), **others)
