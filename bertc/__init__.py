"""bertc: runs traced transformer encoders on CPUs, without PyTorch."""

from bertc._core import Error, FormatError, InputError, UnsupportedError
from bertc.model import Input, Model, load
from bertc.outputs import ModelOutput
from bertc.runtime import get_num_threads, set_num_threads

__version__ = "0.1.0"

__all__ = [
    "Error",
    "FormatError",
    "Input",
    "InputError",
    "Model",
    "ModelOutput",
    "UnsupportedError",
    "get_num_threads",
    "load",
    "set_num_threads",
]
