"""python -m bertc: show what a model file holds, or write its weights as safetensors."""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

import bertc
from bertc import safetensors, state


class Weight(NamedTuple):
    array: np.ndarray
    dtype: str  # the array's, or "bfloat16" for its bits as uint16
    is_parameter: bool


class Source(NamedTuple):
    """A file or directory as bertc reads it: a model, or weights alone."""

    model: bertc.Model | None
    description: str
    weights: dict[str, Weight]


def open_source(path: Path) -> Source:
    if path.is_dir() and not (path / "config.json").exists():
        return _open_weights(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they are shown
            model = bertc.load(path)
    except (bertc.UnsupportedError, bertc.FormatError) as error:
        if path.is_dir():
            raise
        try:
            return _open_weights(path)
        except bertc.Error as other:
            raise error if str(other) == str(error) else type(error)(f"{error}; as weights: {other}") from None
    core = model._core
    weights = {name: Weight(array, dtype, parameter) for name, array, dtype, parameter in core.weights()}
    return Source(model, ", ".join(filter(None, [core.format, core.architecture, core.producer])), weights)


def _open_weights(path: Path) -> Source:
    weights = state.read(path, "load_state_dict")
    named = {name: Weight(array, dtype, True) for name, array, dtype in weights.tensors()}
    return Source(None, f"{weights.format}, weights without a model", named)


def size_text(weights: list[Weight]) -> str:
    dtypes = sorted({weight.dtype for weight in weights})
    count, size = sum(w.array.size for w in weights), sum(w.array.nbytes for w in weights)
    return f"{count:,} in {len(weights)} tensors, {size:,} bytes" + (f" ({', '.join(dtypes)})" if dtypes else "")


def show(path: Path, graph: bool, weights: bool) -> None:
    source = open_source(path)
    lines = [f"{path.name or path}: {source.description}"]
    if source.model:
        lines += _describe_calls(source.model)
        lines += [f"warning: {source.model.warning}"] * bool(source.model.warning)
    lines.append("parameters: " + size_text([w for w in source.weights.values() if w.is_parameter]))
    buffers = [w for w in source.weights.values() if not w.is_parameter]
    if buffers:
        lines.append("buffers: " + size_text(buffers))
    if weights:
        lines += ["", *_describe_weights(source.weights)]
    if graph and source.model:
        lines += ["", _graph_text(source.model)]
    print("\n".join(lines))


def _describe_calls(model: bertc.Model) -> list[str]:
    try:
        inputs, outputs = model.inputs, str(model.outputs)
    except bertc.InputError:  # nothing is known before the first call
        inputs = [bertc.Input(*param) for param in model._core.params()]
        outputs = "known after the first call"
    arguments = [f"  {x.name}: {x.type}" + ("" if x.required else ", optional") for x in inputs]
    return ["inputs:", *arguments, f"outputs: {outputs}"]


def _graph_text(model: bertc.Model) -> str:
    try:
        return str(model.graph)
    except bertc.InputError as error:
        return f"graph: {error}"


def _describe_weights(weights: dict[str, Weight]) -> list[str]:
    width = max(map(len, weights), default=0)
    return [
        f"{name:{width}}  {weight.dtype}{list(weight.array.shape)}" + ("" if weight.is_parameter else "  buffer")
        for name, weight in weights.items()
    ]


def convert(path: Path, directory: Path) -> None:
    """Writes model.safetensors, and config.json where the source has one."""
    target = directory / "model.safetensors"
    source = open_source(path)
    if target.exists():
        raise FileExistsError(f"{target} exists already")
    # Integer buffers of models are positions and counters, which every library makes itself.
    weights = {n: w for n, w in source.weights.items() if w.is_parameter or w.dtype.startswith(("float", "bfloat"))}
    if not weights:
        raise bertc.UnsupportedError(f"{path}: it has no weights by name (a frozen archive keeps none)")
    if source.model and "linear_dynamic(" in _graph_text(source.model):
        raise bertc.UnsupportedError(f"{path}: its layers are quantised, which safetensors files do not describe")
    config = find_config(path if source.model or path.is_dir() else path.parent)
    directory.mkdir(parents=True, exist_ok=True)
    safetensors.write(target, {name: (weight.array, weight.dtype) for name, weight in weights.items()})
    if config is not None:
        (directory / "config.json").write_bytes(config)
    print(f"{target}: {size_text(list(weights.values()))}" + ("" if config is None else "; config.json"))


def find_config(path: Path) -> bytes | None:
    """The config.json of a directory, or that which torch.jit.save or torch.export.save stored as an extra file."""
    if path.is_dir():
        config = path / "config.json"
        return config.read_bytes() if config.exists() else None
    if not zipfile.is_zipfile(path):
        return None
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.endswith(("/extra/config.json", "extra_files/config.json")):
                config = archive.read(name)
                json.loads(config)
                return config
    return None


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bertc", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("show", help="format, inputs, outputs, size and fused graph of a model file")
    command.add_argument("path", type=Path, metavar="FILE", help="a model file or directory, or a file of weights")
    command.add_argument("--graph", action=argparse.BooleanOptionalAction, default=True, help="print the fused graph")
    command.add_argument("--weights", action="store_true", help="list the weights")
    command = commands.add_parser("convert", help="write model.safetensors, and config.json if the source has one")
    command.add_argument("path", type=Path, metavar="IN", help="a model file or directory, or a file of weights")
    command.add_argument("directory", type=Path, metavar="OUT", help="the directory to write to; made if need be")
    options = vars(parser.parse_args(arguments))
    run = {"show": show, "convert": convert}[options.pop("command")]
    try:
        run(**options)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (bertc.Error, OSError, ValueError, MemoryError) as error:
        print(f"error: {error or type(error).__name__}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
