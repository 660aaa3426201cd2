"""The route of bare models: arrays in, tensors out, as JSON, safetensors or .npy."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from pydantic import BaseModel
from starlette.responses import Response

from bertc import safetensors
from bertc.serve import errors, schemas
from bertc.serve.endpoint import Endpoint
from bertc.serve.errors import ServeError
from bertc.serve.exchange import Exchange
from bertc.serve.respond import reply, tei_error

SAFETENSORS = ("application/x-safetensors", "application/safetensors", "application/octet-stream")
NPY = ("application/x-npy", "application/npy")


class Tensor(BaseModel):
    dtype: str
    shape: list[int]
    data: Any


class Tensors(BaseModel):
    model: str
    outputs: dict[str, Tensor]


async def forward(call: Exchange, body: schemas.Forward) -> Any:
    """What a model returns for arrays of ids

    The answer is JSON, or safetensors or .npy bytes if the Accept header asks for application/x-safetensors or
    application/x-npy; .npy has one tensor, the first of those asked for.
    """
    served = call.find("forward", body.model)
    names = [name for name, _, _ in served.model._core.params()]
    arrays = {_name(name, names): _array(name, value) for name, value in body.inputs.items()}
    (result,) = await call.run(served, "forward", [arrays])
    tensors = dict(_tensors(result, ""))
    for name in body.outputs or ():
        if name not in tensors:
            raise ServeError(errors.VALIDATION, f"there is no output {name!r}, only {', '.join(tensors)}")
    tensors = {name: tensors[name] for name in body.outputs or tensors}
    accept = call.request.headers.get("accept", "")
    if any(kind in accept for kind in SAFETENSORS):
        return Response(await call.aside(lambda: _safetensors(tensors)), media_type=SAFETENSORS[0])
    if any(kind in accept for kind in NPY):
        return Response(_npy(next(iter(tensors.values()))), media_type=NPY[0])
    outputs = {name: _json(tensor) for name, tensor in tensors.items()}
    return await call.aside(lambda: reply({"model": served.name, "outputs": outputs}))


def _name(name: str, names: list[str]) -> str:
    """An argument's name, or its place as a number."""
    if name not in names and name.isdecimal() and int(name) < len(names):
        return names[int(name)]
    return name


def _array(name: str, value: Any) -> np.ndarray:
    try:
        array = np.array(value)
    except (ValueError, OverflowError):
        array = np.array(None)
    if array.dtype.kind not in "iufb" or array.size == 0:
        raise ServeError(errors.VALIDATION, f"inputs.{name}: expected nested lists of numbers, all of one length")
    return array.astype(np.float32) if array.dtype.kind == "f" else array


def _tensors(result: Any, prefix: str) -> Iterator[tuple[str, np.ndarray]]:
    """The arrays of a structure by name: keys, or places, joined by dots."""
    if isinstance(result, np.ndarray):
        yield prefix or "0", result
    elif isinstance(result, (Mapping, tuple, list)):
        pairs = result.items() if isinstance(result, Mapping) else enumerate(result)
        for key, value in pairs:
            yield from _tensors(value, f"{prefix}.{key}" if prefix else str(key))


def _json(array: np.ndarray) -> dict[str, Any]:
    return {"dtype": str(array.dtype), "shape": array.shape, "data": array}


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def _safetensors(tensors: dict[str, np.ndarray]) -> bytes:
    return safetensors.to_bytes({name: (array, str(array.dtype)) for name, array in tensors.items()})


ENDPOINTS = [Endpoint(("/v1/forward",), forward, schemas.Forward, Tensors, tei_error, "models")]
