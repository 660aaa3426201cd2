"""Model: what bertc.load returns, shaped after torch.jit's ScriptModule."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bertc import _core, arguments, packed, runtime
from bertc._core import InputError, UnsupportedError
from bertc.outputs import ModelOutput

if TYPE_CHECKING:
    from bertc.memory import Memory
    from bertc.profile import Profile


class Input(NamedTuple):
    """One argument of a model."""

    name: str
    type: str  # "int64[b, s]" once known, else TorchScript's "Tensor", "Dict[str, Tensor]"
    required: bool


class Text(str):
    """A text that an interactive session shows with its line breaks."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


class Model:
    """A loaded model. It never changes, so threads may share it; calls run without the GIL.

    ``model(*args, **kwargs)`` takes the arguments of the traced ``forward``, by position or name: NumPy arrays, nested
    lists of ints, torch tensors, and dicts or lists of them where the trace took such. It returns NumPy arrays in the
    structure that the traced model returned; they belong to the caller. A model of a Hugging Face directory takes the
    arguments of transformers' ``forward`` and returns a ModelOutput; ``output_hidden_states=True`` and
    ``output_attentions=True`` add to it.
    """

    __slots__ = ("__weakref__", "_core", "_name", "_params")

    training = False

    def __init__(self, core: _core.Model, name: str) -> None:
        self._core = core
        self._name = name
        self._params = [arguments.Parameter(*param) for param in core.params()]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        values = arguments.bind(self._params, args, kwargs)
        try:
            return self._named(self._core.run(values))
        except InputError as error:
            if any(param.name in str(error) for param in self._params):
                raise
            raise InputError(f"{error}; called with {arguments.describe(self._params, values)}") from None

    forward = __call__

    def run_packed(self, *args: Any, **kwargs: Any) -> list[Any]:
        """Runs sequences of different lengths without padding; returns one result a sequence.

        Takes the arguments of ``forward``; in place of a ``[b, s]`` array each is a list of b one-dimensional arrays
        or lists, one a sequence. Masks need not be given. ``result[i]`` is what ``model(...)`` returns for sequence i
        alone, bit for bit, without the batch dimension: ``[s_i, 384]`` arrays by token, ``[384]`` arrays when pooled.
        They are views of arrays that the results share. A model without a mask, or one that mixes tokens otherwise
        than by attention and pooling, runs once for each length that occurs.
        """
        return [self._named(result) for result in packed.run(self._core, self._params, args, kwargs)]

    def _named(self, result: Any) -> Any:
        return ModelOutput(result) if self._core.architecture else result

    @property
    def architecture(self) -> str:
        """The model's class in transformers, "BertForMaskedLM"; "" when it is not from a Hugging Face directory."""
        return self._core.architecture

    @property
    def warning(self) -> str:
        """What load() warned of: weights that the model does not have; "" when nothing."""
        return self._core.warning

    @property
    def inputs(self) -> list[Input]:
        """The arguments, in order."""
        types = _leaf_types(self._core.signature()[0])
        return [Input(name, types.get(name, type), required) for name, type, required in self._params]

    @property
    def outputs(self) -> Text:
        """The result's structure, dtypes and dimensions: "(float32[b, s, 384], float32[b, 384])"."""
        return Text(self._core.signature()[1])

    @property
    def graph(self) -> Text:
        """The recognised graph as text, of the latest kind of call, else of the traced example."""
        return Text(self._core.graph())

    def profile(self, *args: Any, threads: int = 1, repeat: int = 5, **kwargs: Any) -> Profile:
        """Measures what each node of the graph costs in ``model(*args, **kwargs)``; print the result for a table.

        The call is run twice to warm up, then ``repeat`` times with so many ``threads``; the fastest counts. Arguments
        of forward that are called ``threads`` or ``repeat`` can be given by position only.
        """
        from bertc.profile import measure  # seldom needed: an import costs start-up time

        if repeat < 1:
            raise ValueError(f"repeat must be at least 1, not {repeat}")
        values = arguments.bind(self._params, args, kwargs)
        return measure(self._core, values, runtime.check_threads(threads) or 1, repeat)

    def memory(self) -> Memory:
        """Where the model's memory is, in bytes; print the result for a table."""
        from bertc.memory import Memory

        return Memory(*self._core.memory())

    def state_dict(self) -> dict[str, np.ndarray]:
        """Parameters and buffers by dotted name, as read-only views of the file.

        Only bfloat16, which NumPy lacks, is a converted copy in float32. Quantised weights show their stored integers.
        """
        return {name: weight_array(array, dtype) for name, array, dtype, _ in self._core.weights()}

    def named_parameters(self) -> Iterator[tuple[str, np.ndarray]]:
        """(name, array) of each parameter; see state_dict."""
        for name, array, dtype, is_parameter in self._core.weights():
            if is_parameter:
                yield name, weight_array(array, dtype)

    def parameters(self) -> Iterator[np.ndarray]:
        """The array of each parameter; see state_dict."""
        for _, array in self.named_parameters():
            yield array

    def eval(self) -> Model:
        """Returns the model: it is always in evaluation mode."""
        return self

    def train(self, mode: bool = True) -> Model:
        """Returns the model for ``train(False)``; bertc does not train."""
        if mode:
            raise UnsupportedError("bertc only runs models; train with PyTorch, then trace the result")
        return self

    def to(self, device: Any) -> Model:
        """Returns the model for "cpu", the only device."""
        if str(device) not in ("cpu", "cpu:0"):
            raise UnsupportedError(f"bertc runs on the CPU only and in the dtypes of the file; cannot move to {device}")
        return self

    def cpu(self) -> Model:
        """Returns the model."""
        return self

    def _repr_html_(self) -> str:
        from bertc.notebook import model_html

        return model_html(self)

    def __copy__(self) -> Model:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Model:
        return self

    def __reduce__(self) -> Any:
        raise UnsupportedError("a bertc.Model cannot be pickled; send its path or bytes and load it there")

    def __repr__(self) -> str:
        weights = self._core.weights()
        total = sum(array.size for _, array, _, is_parameter in weights if is_parameter)
        what = ", ".join(filter(None, [self._core.format, self._core.producer]))
        names = ", ".join(param.name for param in self._params)
        return (
            f"<bertc.Model {self._name!r}: {what}, forward({names}), "
            f"{len(weights)} weights, {_count(total)} parameters>"
        )


def warned(model: Model) -> Model:
    """The model, after telling the caller of the function that made it what its file is to be warned of."""
    if model.warning:
        warnings.warn(f"{model._name}: {model.warning}", UserWarning, stacklevel=3)
    return model


def weight_array(array: np.ndarray, dtype: str) -> np.ndarray:
    """What people see of a weight that the core gives: bfloat16 as float32."""
    if dtype == "bfloat16":
        bits = array.astype(np.uint32)
        bits <<= 16
        array = bits.view(np.float32)
        array.flags.writeable = False
    return array


def _leaf_types(text: str) -> dict[str, str]:
    """{"ids": "int64[b, s]", "mask": "bool[b]"} of "ids: int64[b, s], mask: bool[b]"."""
    types = {}
    depth = start = 0
    for i, c in enumerate(text + ","):
        depth += (c == "[") - (c == "]")
        if c == "," and depth == 0:
            name, _, type = text[start:i].strip().partition(": ")
            types[name] = type
            start = i + 1
    return types


def _count(number: int) -> str:
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= size:
            return f"{number / size:.1f} {unit}"
    return str(number)
