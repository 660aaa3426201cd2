"""Compares bertc with recorded outputs: a model file and, beside it, an .npz of the same name.

The .npz holds ``case<i>/in<j>`` (the inputs in order), ``case<i>/out<k>`` or ``case<i>/out:<key>`` (the outputs,
flattened) and ``meta``, a JSON text: ``structure`` ("T" an array, a list a tuple, an object a dict), ``dtypes``,
``rtol`` (the largest error over the output's standard deviation; ``case_rtol`` per case), ``input_structure`` where
inputs nest, and ``refuse_scope`` where bertc may refuse the file ("all") or shapes other than the traced ("shapes").
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import bertc

# Where the producer computed in a narrow type, a wider result is as good.
WIDER = {"float16": {"float16", "float32"}, "bfloat16": {"float32"}}


def references(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/*.npz"))


def model_path(reference: Path) -> Path:
    paths = [reference.with_name(reference.stem + suffix) for suffix in (".pt", ".pt2", ".onnx")]
    return next(path for path in paths if path.exists())


class Reference:
    def __init__(self, path: Path) -> None:
        with np.load(path) as file:
            self.arrays = dict(file)
        self.meta = json.loads(str(self.arrays.pop("meta")))
        self.cases = range(len(self.meta["cases"]))
        self.keys = list(output_keys(self.meta["structure"]))
        self.scales = [self._scale(key) for key in self.keys]

    def _scale(self, key: str) -> float:
        """The output's spread over all cases; where it hardly varies, its largest value."""
        values = np.concatenate([self.arrays[f"case{i}/{key}"].ravel().astype(np.float64) for i in self.cases])
        values = values[np.isfinite(values)]
        if not values.size:
            return 1.0
        spread, largest = values.std(), np.abs(values).max()
        return spread if spread > 1e-3 * largest else max(largest, 1e-12)

    def inputs(self, case: int) -> list[Any]:
        count = sum(name.startswith(f"case{case}/in") for name in self.arrays)
        flat = [self.arrays[f"case{case}/in{j}"] for j in range(count)]
        structure = self.meta.get("input_structure")
        return flat if structure is None else [rebuild(s, it) for it in [iter(flat)] for s in structure]

    def may_refuse(self, case: int | None) -> bool:
        """Whether a bertc.Error is right: at load (None) or at this case."""
        scope = self.meta.get("refuse_scope") if self.meta.get("refuse") else None
        return scope == "all" or (scope == "shapes" and case not in (None, self.meta["traced_case"]))

    def check_case(self, model: bertc.Model, case: int) -> None:
        inputs = self.inputs(case)
        before = [array.copy() for array in leaves(inputs)]
        try:
            result = model(*inputs)
        except bertc.Error as error:
            if self.may_refuse(case) and str(error):
                return
            raise
        for old, new in zip(before, leaves(inputs)):
            np.testing.assert_array_equal(new, old, "an input was modified")
        outputs = list(leaves(result))
        assert skeleton(result) == self.meta["structure"]
        rtol = self.meta.get("case_rtol", [self.meta["rtol"]] * len(self.cases))[case]
        for key, dtype, scale, output in zip(self.keys, self.meta["dtypes"], self.scales, outputs):
            check_output(self.arrays[f"case{case}/{key}"], output, dtype, rtol * scale, key)


def check_output(expected: np.ndarray, output: np.ndarray, dtype: str, tolerance: float, what: str) -> None:
    assert str(output.dtype) in WIDER.get(dtype, {dtype}), f"{what}: {output.dtype}, expected {dtype}"
    assert output.shape == expected.shape, what
    if expected.dtype.kind != "f":
        np.testing.assert_array_equal(output, expected, what)
        return
    np.testing.assert_allclose(
        output.astype(np.float64), expected.astype(np.float64), rtol=0, atol=tolerance, equal_nan=True, err_msg=what
    )


def output_keys(structure: Any, path: str = "", counter: list[int] | None = None) -> Iterator[str]:
    """The npz names of the flattened outputs, without their "case<i>/"."""
    counter = [0] if counter is None else counter
    if structure == "T":
        yield f"out:{path}" if path else f"out{counter[0]}"
        counter[0] += 1
        return
    items = structure.items() if isinstance(structure, dict) else enumerate(structure)
    for key, item in items:
        inner = f"{path}.{key}" if path else key if isinstance(structure, dict) else ""
        yield from output_keys(item, inner, counter)


def rebuild(structure: Any, flat: Iterator[np.ndarray]) -> Any:
    if structure == "T":
        return next(flat)
    if isinstance(structure, dict):
        return {key: rebuild(item, flat) for key, item in structure.items()}
    return tuple(rebuild(item, flat) for item in structure)


def skeleton(value: Any) -> Any:
    """The value's structure in the notation of meta["structure"]."""
    if isinstance(value, np.ndarray):
        return "T"
    if isinstance(value, dict):
        return {key: skeleton(item) for key, item in value.items()}
    assert isinstance(value, (tuple, list)), f"a result of {type(value).__name__}"
    return [skeleton(item) for item in value]


def leaves(value: Any) -> Iterator[np.ndarray]:
    if isinstance(value, np.ndarray):
        yield value
        return
    for item in value.values() if isinstance(value, dict) else value:
        yield from leaves(item)
