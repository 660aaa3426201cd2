"""python -m bertc show: what a model file holds."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import bertc
from bertc.cli.source import Weight, graph_text, open_source, size_text
from bertc.notebook import describe_calls


def add_command(commands: Any) -> None:
    command = commands.add_parser("show", help="format, inputs, outputs, size and fused graph of a model file")
    command.add_argument("path", type=Path, metavar="FILE", help="a model file or directory, or a file of weights")
    command.add_argument("--graph", action=argparse.BooleanOptionalAction, default=True, help="print the fused graph")
    command.add_argument("--weights", action="store_true", help="list the weights")
    command.set_defaults(run=lambda options: show(options.path, options.graph, options.weights))


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
        lines += ["", graph_text(source.model)]
    print("\n".join(lines))


def _describe_calls(model: bertc.Model) -> list[str]:
    inputs, outputs = describe_calls(model)
    arguments = [f"  {x.name}: {x.type}" + ("" if x.required else ", optional") for x in inputs]
    return ["inputs:", *arguments, f"outputs: {outputs}"]


def _describe_weights(weights: dict[str, Weight]) -> list[str]:
    width = max(map(len, weights), default=0)
    return [
        f"{name:{width}}  {weight.dtype}{list(weight.array.shape)}" + ("" if weight.is_parameter else "  buffer")
        for name, weight in weights.items()
    ]
