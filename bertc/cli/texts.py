"""The arguments of the commands that take texts, and how they are run."""

from __future__ import annotations

import argparse
import importlib
import sys
import warnings
from typing import Any

from bertc._core import InputError
from bertc.cli.outputs import format_of, write_matrix, write_records

READ_AHEAD = 64  # texts, where the command line says no other number


def add_command(commands: Any) -> None:
    """Adds them to those of python -m bertc. Nothing that they need is imported before one is run."""
    command = _add(commands, "embed", "vectors of texts, by a model of sentence-transformers")
    command.add_argument("--normalize", action="store_true", help="scale vectors to length one")
    command.add_argument("--dimensions", type=int, metavar="N", help="keep only the first N values")
    command.add_argument("--precision", default="float32", help="float32, binary or ubinary")
    command.add_argument("--prompt-name", metavar="NAME", help="put this prompt of the model's before each text")

    command = _add(commands, "rerank", "documents by how well they answer a query, the best first", before=["QUERY"])
    command.add_argument("--top-k", type=int, metavar="N", help="only the N best")

    command = _add(commands, "classify", "labels of texts; of pairs as JSON lines with text and text_pair")
    command.add_argument("--top-k", type=int, metavar="N", help="the N best labels instead of the best one")
    command.add_argument("--labels", metavar="A,B,C", help="choose among these, with a model of entailment (zero-shot)")
    command.add_argument("--multi-label", action="store_true", help="several of --labels may fit")

    command = _add(commands, "ner", "entities in texts")
    strategies = ("none", "simple", "first", "average", "max")
    command.add_argument("--strategy", choices=strategies, default="simple", help="how tokens are joined")
    command.add_argument("--stride", type=int, metavar="N", help="read long texts in windows that share N tokens")

    command = _add(commands, "qa", "answers to questions in contexts: arguments, or whole files")
    several = "may be given several times; without any, lines of the input are JSON with question and context"
    command.add_argument("-q", "--question", action="append", help=several)
    command.add_argument("--top-k", type=int, default=1, metavar="N", help="the N best answers")

    command = _add(commands, "fill-mask", "the likeliest tokens at the masks of texts")
    command.add_argument("--top-k", type=int, default=5, metavar="N", help="the N best tokens")
    command.add_argument("--targets", metavar="A,B,C", help="choose among these words")


def _add(commands: Any, name: str, help: str, before: list[str] | None = None) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=help, description=help)
    command.set_defaults(run=_run, name=name)
    command.add_argument("model", metavar="MODEL", help="a directory, an id of the hub, or a model file (--tokenizer)")
    for argument in before or []:
        command.add_argument(argument.lower(), metavar=argument)
    command.add_argument("texts", nargs="*", metavar="TEXT", help="without any, lines of --input or stdin")
    command.add_argument("-i", "--input", action="append", default=[], metavar="FILE", help="a text a line; - is stdin")
    command.add_argument("--json-lines", action="store_true", help="lines are JSON values, as in files *.jsonl")
    command.add_argument("-o", "--output", metavar="FILE", help="where to write; else to stdout")
    command.add_argument("--format", choices=("jsonl", "table", "npy"), help="JSON lines, but npy for files *.npy")
    if name != "qa":
        command.add_argument("--truncation", choices=("warn", "error", "ignore"), default="warn", help="of long texts")
    command.add_argument("--batch-size", type=int, default=READ_AHEAD, metavar="N", help="texts read at a time")
    command.add_argument("--threads", type=int, metavar="N")
    command.add_argument("--tokenizer", metavar="PATH", help="of a model file that has none")
    command.add_argument("--revision", help="of a model of the hub")
    command.add_argument("--local-files-only", action="store_true", help="do not ask the hub")
    return command


def _run(options: argparse.Namespace) -> None:
    kind = format_of(options.format, options.output)
    if kind == "npy" and options.name != "embed":
        raise InputError(f"{options.name} makes no vectors, which the format npy is for")
    zero_shot = options.name == "classify" and options.labels is not None
    name = "zero_shot" if zero_shot else options.name.replace("-", "_")
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_: print(f"warning: {message}", file=sys.stderr)
        records = getattr(importlib.import_module("bertc.cli.commands"), name)(options)
        if kind == "npy":
            write_matrix((record["embedding"] for record in records), options.output)
        else:
            write_records(records, kind, options.output)
