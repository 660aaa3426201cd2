"""python -m bertc convert: the weights of any file as safetensors."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import bertc
from bertc import safetensors
from bertc.cli.source import graph_text, open_source, size_text


def add_command(commands: Any) -> None:
    command = commands.add_parser("convert", help="write model.safetensors, and config.json if the source has one")
    command.add_argument("path", type=Path, metavar="IN", help="a model file or directory, or a file of weights")
    command.add_argument("directory", type=Path, metavar="OUT", help="the directory to write to; made if need be")
    command.set_defaults(run=lambda options: convert(options.path, options.directory))


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
    if source.model and "linear_dynamic(" in graph_text(source.model):
        raise bertc.UnsupportedError(f"{path}: its layers are quantised, which safetensors files do not describe")
    config = _find_config(path if source.model or path.is_dir() else path.parent)
    directory.mkdir(parents=True, exist_ok=True)
    safetensors.write(target, {name: (weight.array, weight.dtype) for name, weight in weights.items()})
    if config is not None:
        (directory / "config.json").write_bytes(config)
    print(f"{target}: {size_text(list(weights.values()))}" + ("" if config is None else "; config.json"))


def _find_config(path: Path) -> bytes | None:
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
