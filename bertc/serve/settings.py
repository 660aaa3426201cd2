"""Settings of a server: what the command line, the environment and a configuration file may say."""

from __future__ import annotations

import dataclasses
import json
import os
from argparse import ArgumentParser, BooleanOptionalAction
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bertc._core import InputError

MAX_PAYLOAD = 2_000_000


def option(default: Any, help: str, kind: type = str, repeat: bool = False) -> Any:
    return dataclasses.field(default=default, metadata={"help": help, "kind": kind, "repeat": repeat})


@dataclasses.dataclass(frozen=True)
class Settings:
    """Each is an option, --max-batch-tokens, a variable, MAX_BATCH_TOKENS, and a key of a file, max_batch_tokens.

    Names are those of text-embeddings-inference where it has the same thing. The command line goes before the
    environment, and that before the file.
    """

    model_id: tuple[str, ...] = option(
        (), "models: directories, ids of the hub or files, with NAME= before", repeat=True
    )
    revision: str | None = option(None, "the models' revision on the hub")
    hf_token: str | None = option(None, "a token for the hub")
    task: str | None = option(None, "what the models are for, where their files do not say: embedding, fill-mask, ...")
    tokenizer: str | None = option(None, "a directory or a tokenizer.json, for models that are a single file")
    pooling: str | None = option(None, "cls, mean, max, lasttoken, splade: instead of what the model's files say")
    served_model_name: str | None = option(None, "the name to answer with, of the only model")
    default_prompt: str | None = option(None, "put before texts when a request names no prompt")
    default_prompt_name: str | None = option(None, "the prompt of the model's own to be used so")
    auto_truncate: bool = option(True, "cut texts that are too long, instead of refusing them", bool)
    max_concurrent_requests: int = option(512, "requests at a time; more are answered 429 at once", int)
    max_queue_tokens: int = option(1 << 20, "tokens that may wait; more are answered 429 at once", int)
    max_batch_tokens: int = option(1024, "tokens that the model runs at a time", int)
    max_batch_requests: int | None = option(None, "items that the model runs at a time", int)
    max_client_batch_size: int = option(2048, "items of one request", int)
    payload_limit: int = option(MAX_PAYLOAD, "bytes of a request's body", int)
    request_timeout: float | None = option(None, "seconds after which a request is answered 504", float)
    tokenization_workers: int = option(2, "threads that tokenize", int)
    threads: int | None = option(None, "threads of the models, in all workers together", int)
    workers: int = option(1, "processes, which share the memory of the weights", int)
    hostname: str = option("0.0.0.0", "the address to listen at")
    port: int = option(3000, "the port to listen at", int)
    api_key: tuple[str, ...] = option((), "a key that requests must have: Authorization: Bearer KEY", repeat=True)
    cors_allow_origin: tuple[str, ...] = option((), "an origin whose pages may call the server", repeat=True)
    json_output: bool = option(False, "write the log as a JSON object a line", bool)
    log_level: str = option("info", "debug, info, warning, error")
    shutdown_delay: float = option(0.5, "seconds in which clients are told to go before connections are closed", float)
    otlp_endpoint: str | None = option(None, "where to send OpenTelemetry traces, if it is installed")


FIELDS = {field.name: field for field in dataclasses.fields(Settings)}


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("model", nargs="*", metavar="MODEL", help=FIELDS["model_id"].metadata["help"])
    parser.add_argument("--config", type=Path, metavar="FILE", help="a TOML or JSON file of these settings")
    for field in FIELDS.values():
        kind, repeat = field.metadata["kind"], field.metadata["repeat"]
        how: dict[str, Any] = {"default": None, "help": field.metadata["help"]}
        if kind is bool:
            how["action"] = BooleanOptionalAction
        else:
            how |= {"type": kind, "metavar": kind.__name__.upper()}
        if repeat:
            how["action"] = "append"
        parser.add_argument("--" + field.name.replace("_", "-"), **how)


def read_settings(arguments: Mapping[str, Any], environment: Mapping[str, str] = os.environ) -> Settings:
    """Of parsed arguments. InputError for a value that cannot be, and says where it is from."""
    values: dict[str, Any] = {}
    if arguments.get("config"):
        values |= _read_file(arguments["config"])
    for name, field in FIELDS.items():
        text = environment.get(name.upper())
        if text:
            values[name] = _from_text(name, text, field.metadata)
    given = {name: arguments[name] for name in FIELDS if arguments.get(name) is not None}
    if arguments.get("model"):
        given["model_id"] = [*given.get("model_id", []), *arguments["model"]]
    values |= {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    settings = Settings(**values)
    for name in ("max_concurrent_requests", "max_batch_tokens", "max_client_batch_size", "payload_limit", "workers"):
        if getattr(settings, name) < 1:
            raise InputError(f"{name} must be at least 1, not {getattr(settings, name)}")
    return settings


def _from_text(name: str, text: str, metadata: Mapping[str, Any]) -> Any:
    kind = metadata["kind"]
    if metadata["repeat"]:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if kind is bool:
        if text.lower() not in ("true", "false", "1", "0"):
            raise InputError(f"the variable {name.upper()} must be true or false, not {text!r}")
        return text.lower() in ("true", "1")
    try:
        return kind(text)
    except ValueError:
        raise InputError(f"the variable {name.upper()} must be of type {kind.__name__}, not {text!r}") from None


def _read_file(path: Path) -> dict[str, Any]:
    try:
        values = _parse(path)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error
    for name, value in values.items():
        if name not in FIELDS:
            raise InputError(f"{path}: there is no setting {name!r}, only {', '.join(FIELDS)}")
        metadata = FIELDS[name].metadata
        kind = metadata["kind"]
        parts = value if metadata["repeat"] and isinstance(value, Sequence) and not isinstance(value, str) else [value]
        for part in parts:
            if not isinstance(part, (int, float) if kind is float else kind):
                raise InputError(f"{path}: {name} must be of type {kind.__name__}, not {part!r}")
        values[name] = tuple(parts) if metadata["repeat"] else value
    return values


def _parse(path: Path) -> dict[str, Any]:
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".toml":
        values = json.loads(text)
        if not isinstance(values, dict):
            raise InputError(f"expected an object, found a {type(values).__name__}")
        return values
    try:
        import tomllib
    except ImportError:
        raise InputError("TOML needs Python 3.11; JSON does as well") from None
    return tomllib.loads(text)
