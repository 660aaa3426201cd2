"""Models of the Hugging Face hub, through huggingface_hub where it is installed."""

from __future__ import annotations

import os
import re
from typing import Any

_ID = r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?"
_FILE = r"\.(pt|pth|pt2|ot|bin|onnx|safetensors|npz|zip)$"
_SAFE = ["*.json", "*.txt", "*.model", "*.safetensors", "artifact.metadata", "*_linear.pt"]
_OTHER = ["pytorch_model*.bin", "rust_model.ot"]
_FOLDERS = ["onnx/*", "openvino/*", "*/*.safetensors"]


def is_id(source: Any) -> bool:
    """Whether this can name a model of the hub, "sentence-transformers/all-MiniLM-L6-v2", and no file is there."""
    if not isinstance(source, str) or os.path.exists(source):
        return False
    return bool(re.fullmatch(_ID, source)) and not re.search(_FILE, source)


def fetch(
    name: str, revision: str | None, token: str | bool | None, local_files_only: bool, modules: bool = False
) -> str:
    """The local folder of a model, downloaded unless it is in huggingface_hub's cache.

    ``modules`` brings the weights in the folders that a modules.json of sentence-transformers names, too.
    Raises FileNotFoundError when there is no such model, file or revision, or none of it here while offline.
    """
    try:
        import huggingface_hub
        from huggingface_hub import errors
    except ImportError:
        raise FileNotFoundError(
            f"{name}: no such file or directory; to load it from the Hugging Face hub: pip install bertc[hub]"
        ) from None

    def snapshot(patterns: list[str], ignored: list[str] = _FOLDERS) -> str:
        return huggingface_hub.snapshot_download(
            name,
            revision=revision,
            token=token,
            local_files_only=local_files_only,
            allow_patterns=patterns,
            ignore_patterns=ignored,
        )

    try:
        folder = snapshot(_SAFE)
        parts = _module_folders(folder) if modules else []
        if parts:
            snapshot([f"{part}/*.safetensors" for part in parts], [])
        if not _has_weights(folder):
            snapshot(_OTHER)
        others = [part for part in parts if not _has_weights(os.path.join(folder, part))]
        if others:
            snapshot([f"{part}/{pattern}" for part in others for pattern in _OTHER])
        return folder
    except (errors.HFValidationError, errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
        raise FileNotFoundError(f"{name}: no such file or directory, and no such model of the hub: {error}") from error
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as error:
        raise FileNotFoundError(
            f"{name}: no such file or directory, not in the Hugging Face hub's cache, and the hub cannot be reached"
        ) from error


def _has_weights(folder: str) -> bool:
    return os.path.isdir(folder) and any(name.endswith(".safetensors") for name in os.listdir(folder))


def _module_folders(folder: str) -> list[str]:
    """The folders that modules.json and router_config.json name.

    None when they are damaged, which whoever opens the model reports.
    """
    try:
        parts = [module["path"] for module in _read_json(folder, "modules.json") if module["path"]]
        if os.path.exists(os.path.join(folder, "router_config.json")):
            parts += _read_json(folder, "router_config.json")["types"]
        return parts
    except (OSError, ValueError, TypeError, KeyError):
        return []


def _read_json(folder: str, name: str) -> Any:
    import json  # here, so that `import bertc` stays quick

    with open(os.path.join(folder, name), encoding="utf-8") as file:
        return json.load(file)
