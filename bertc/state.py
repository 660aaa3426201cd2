"""Weights by name: load_state_dict reads them from any file, from_state_dict makes a model of them."""

from __future__ import annotations

import mmap
import sys
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from bertc import _core, arguments, runtime, source
from bertc._core import InputError
from bertc.model import Model, warned, weight_array


def load_state_dict(source: Any) -> dict[str, np.ndarray]:
    """Reads weights: {dotted name: read-only array}, views of the file where its layout allows.

    ``source`` is a path, a binary file object (read from its position), or bytes, memoryview, mmap and the like.
    Read-only memory is used in place and kept alive; writable memory is copied. What it holds is told by its content:

    - safetensors, ``.npz``, rust-bert's and tch's ``.ot``, the module of a TorchScript archive, ``torch.save`` of a
      state dict in any version (also under "state_dict", "model_state_dict", "model" or "module" of what was saved);
    - by path also ``model.safetensors.index.json``, ``pytorch_model.bin.index.json``, and a directory with one of
      these, ``model.safetensors``, ``pytorch_model.bin`` or ``rust_model.ot``.

    Names are as stored, but that a bar in an ``.ot`` is read as a dot. Tensors that share memory in the file share it
    here; only bfloat16, which NumPy lacks, is a converted copy in float32. PyTorch is not needed, and nothing from the
    file is run: a pickle that needs a class is refused. Raises FormatError, UnsupportedError, OSError.
    """
    return {name: weight_array(array, dtype) for name, array, dtype in read(source, "load_state_dict").tensors()}


def from_state_dict(
    config: Any,
    state: Any,
    *,
    threads: int | None = None,
    padding: Literal["mirror", "skip"] = "mirror",
    copy: bool = True,
) -> Model:
    """Makes a model of a Hugging Face configuration and weights, without touching the disk unless it is given a path.

    ``config`` is a dict, a configuration of transformers, JSON as bytes or str, or the path of a config.json.
    ``state`` is a dict of arrays by name, NumPy's or torch tensors of any strides, with the names that transformers
    gives them; or what load_state_dict takes. ``threads`` and ``padding`` are those of load(). Any number of threads
    may call this at once, also with the same arrays.

    The caller may change or drop its arrays afterwards: they are copied, but for those that nobody can change (bytes,
    and arrays of load_state_dict). With ``copy=False`` no array or memory is copied that can be used as it lies; it is
    kept alive, and must not be changed as long as the model lives. Matrices are packed for the processor either way.

    Raises FormatError (missing weights, wrong shapes), UnsupportedError (an unknown architecture or setting, wrong
    dtypes), InputError and TypeError; each names what it is about. Weights that the model does not have are a
    UserWarning.
    """
    return warned(build(config, state, threads=threads, padding=padding, copy=copy))


def build(
    config: Any,
    state: Any,
    *,
    threads: int | None = None,
    padding: Literal["mirror", "skip"] = "mirror",
    copy: bool = True,
) -> Model:
    """from_state_dict without its warning: for those who choose the head themselves."""
    count, skip = runtime.check_options(threads, padding)
    text = _config_text(config)
    name = source.name_of_path(state) if source.is_path(state) else "<state dict>"
    if isinstance(state, Mapping):
        weights = _core.from_arrays(_convert(state, copy))
    else:
        weights = read(state, "from_state_dict", copy=copy)
    return Model(_core.load_state(text, weights, name, count, skip), name)


def read(data: Any, function: str, copy: bool = True) -> _core.State:
    """The core's weights of what the function of this name was given."""
    if source.is_path(data):
        return _core.read_file(data)
    memory, name = source.as_memory(data, function)
    fixed = memory.readonly and isinstance(memory.obj, (bytes, mmap.mmap))
    return _core.read_memory(memory if fixed or not copy else bytes(memory), name)


def _config_text(config: Any) -> bytes:
    if hasattr(config, "to_dict"):  # transformers' PretrainedConfig
        config = config.to_dict()
    if isinstance(config, Mapping):
        import json  # here, so that `import bertc` stays quick

        return json.dumps(config, default=str).encode()
    if isinstance(config, str) and config.lstrip().startswith("{"):
        return config.encode()
    if source.is_path(config):
        with open(config, "rb") as file:
            return file.read()
    try:
        return bytes(memoryview(config))
    except TypeError:
        kind = type(config).__name__
        raise TypeError(f"config must be a dict, JSON as bytes or str, or a path, not {kind}") from None


# ---- arrays ----


def _convert(state: Mapping[str, Any], copy: bool) -> list[tuple[str, np.ndarray, bool]]:
    """(name, array, whether it has the bits of bfloat16) as the core takes them; tied arrays are copied once."""
    copies: dict[Any, tuple[np.ndarray, np.ndarray]] = {}  # with what was copied: while it lives, no other lies there
    items = []
    for name, value in state.items():
        if not isinstance(name, str):
            raise TypeError(f"the names of weights must be str, not {type(name).__name__}: {name!r}")
        array, bfloat16 = _as_array(name, value)
        if copy and not _is_fixed(array):
            key = (array.__array_interface__["data"][0], array.shape, array.strides, array.dtype)
            if key not in copies:
                copies[key] = array, np.array(array, order="C")
            array = copies[key][1]
        elif not array.flags.aligned or any(step < 0 or step % array.itemsize for step in array.strides):
            array = np.array(array, order="C")
        items.append((name, array, bfloat16))
    return items


def _as_array(name: str, value: Any) -> tuple[np.ndarray, bool]:
    array = _torch_array(name, value) if hasattr(value, "detach") else value
    if not isinstance(array, np.ndarray):
        if not (isinstance(array, np.generic) or hasattr(array, "__array__") or hasattr(array, "__dlpack__")):
            raise TypeError(f"weight {name!r} is a {type(value).__name__}, not an array")
        array = np.asarray(array) if hasattr(array, "__array__") else np.from_dlpack(array)
    if array.ndim > arguments.MAX_RANK:
        raise InputError(f"weight {name!r} has {array.ndim} dimensions, at most {arguments.MAX_RANK} are possible")
    if array.dtype.name == "bfloat16" or _is_torch_bfloat16(value):  # the former is that of ml_dtypes
        return array.view(np.uint16), True
    if array.dtype.kind not in "fiub" or array.itemsize > 8:
        raise TypeError(f"weight {name!r} is an array of {array.dtype}; expected floats, integers or bools")
    return array.astype(array.dtype.newbyteorder("="), copy=False), False


def _is_torch_bfloat16(value: Any) -> bool:
    return str(getattr(value, "dtype", "")) == "torch.bfloat16"


def _torch_array(name: str, value: Any) -> np.ndarray:
    """The tensor's own memory where it is on the CPU; of bfloat16 the bits."""
    try:
        tensor = value.detach().cpu()
        return (tensor.view(sys.modules["torch"].int16) if _is_torch_bfloat16(value) else tensor).numpy()
    except (TypeError, RuntimeError) as error:
        raise TypeError(f"weight {name!r} cannot become an array: {error}") from error


def _is_fixed(array: np.ndarray) -> bool:
    """Whether nobody can change it."""
    base: Any = array
    while isinstance(base, np.ndarray):
        if base.flags.writeable:
            return False
        base = base.base
    return isinstance(base, (bytes, _core.State))
