"""bertc: runs traced transformer encoders on CPUs, without PyTorch."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from bertc._core import Error, FormatError, InputError, UnsupportedError
from bertc.loading import load
from bertc.outputs import ModelOutput
from bertc.runtime import get_num_threads, set_num_threads

if TYPE_CHECKING:
    from bertc.model import Input as Input
    from bertc.model import Model as Model
    from bertc.state import from_state_dict as from_state_dict
    from bertc.state import load_state_dict as load_state_dict
    from bertc.text.cross_encoder import CrossEncoder as CrossEncoder
    from bertc.text.m3 import M3Encoder as M3Encoder
    from bertc.text.multi_vector import MultiVectorEncoder as MultiVectorEncoder
    from bertc.text.pipelines import pipeline as pipeline
    from bertc.text.quantize import quantize_embeddings as quantize_embeddings
    from bertc.text.sentence import SentenceEncoder as SentenceEncoder
    from bertc.text.sparse import SparseEncoder as SparseEncoder
    from bertc.text.truncation import TruncationWarning as TruncationWarning

__version__ = "0.1.0"

__all__ = [
    "Error",
    "FormatError",
    "Input",
    "InputError",
    "Model",
    "ModelOutput",
    "UnsupportedError",
    "from_state_dict",
    "get_num_threads",
    "load",
    "load_state_dict",
    "set_num_threads",
]

# What needs NumPy or the extra `text` is imported when it is asked for: `import bertc` stays quick, works without the
# extra, and load() imports NumPy while it checks the file.
_LATER = {
    "CrossEncoder": "text.cross_encoder",
    "Input": "model",
    "M3Encoder": "text.m3",
    "Model": "model",
    "MultiVectorEncoder": "text.multi_vector",
    "SentenceEncoder": "text.sentence",
    "SparseEncoder": "text.sparse",
    "TruncationWarning": "text.truncation",
    "from_state_dict": "state",
    "load_state_dict": "state",
    "pipeline": "text.pipelines",
    "quantize_embeddings": "text.quantize",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'bertc' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"bertc.{_LATER[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
