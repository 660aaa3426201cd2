"""The conformance cases of the ONNX project for each operator that bertc reads: agreed with, or refused by name."""

import functools
import re
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

import bertc

onnx = pytest.importorskip("onnx")
pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore")]
TABLE = Path(__file__).resolve().parents[2] / "csrc" / "load" / "onnx.inc"
OPERATORS = re.findall(r'^ONNX\("", "(\w+)"', TABLE.read_text(), re.MULTILINE)


@functools.cache
def cases() -> dict[str, list]:
    """Of each operator, those that use no others (some are written out as functions)."""
    from onnx.backend.test.case.node import collect_testcases

    found = defaultdict(list)
    for case in collect_testcases():
        operators = {node.op_type for node in case.model.graph.node}
        narrow = "bfloat16" in case.name.lower() or case.name.endswith("bf16")  # which bertc computes in float32
        if len(operators) == 1 and not narrow:
            found[operators.pop()].append(case)
    return found


def as_array(value) -> np.ndarray:
    return onnx.numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else np.asarray(value)


def prepare(case, operator: str, inputs: list) -> tuple[bytes, list]:
    """Shapes, axes and the like are constants, as in the files of exporters; layer norms have one output."""
    model = onnx.ModelProto.FromString(case.model.SerializeToString())
    if operator == "LayerNormalization":
        del model.graph.output[1:], model.graph.node[0].output[1:]
    given = []
    for i, (entry, value) in enumerate(zip(case.model.graph.input, inputs)):
        if not isinstance(value, (list, type(None))):
            value = as_array(value)
            integers = value.ndim == 1 and value.dtype.kind in "iub" and (i > 0 or operator == "ConstantOfShape")
            if integers or value.ndim == 0:
                model.graph.initializer.append(onnx.numpy_helper.from_array(value, entry.name))
                continue
        given.append(value)
    return model.SerializeToString(), given


@pytest.mark.parametrize("operator", OPERATORS)
def test_operator(operator):
    agreed, refused = [], []
    for case in cases()[operator]:
        for inputs, outputs in case.data_sets:
            content, given = prepare(case, operator, inputs)
            try:
                got = bertc.load(content)(*given)
            except bertc.Error as error:
                refused.append(f"{case.name}: {type(error).__name__}: {error}")
                continue
            got = got if isinstance(got, tuple) else (got,)
            outputs = outputs[:1] if operator == "LayerNormalization" else outputs
            assert len(got) == len(outputs), case.name
            for want, have in zip(map(as_array, outputs), got):
                assert want.shape == have.shape, case.name
                np.testing.assert_allclose(np.float64(have), np.float64(want), 1e-3, 1e-5, err_msg=case.name)
                assert want.dtype == have.dtype, case.name
            agreed.append(case.name)
    print(f"{len(agreed)} agreed, {len(refused)} refused", *refused, sep="\n")
    assert all("Unsupported" in text or "of no items is not defined" in text for text in refused)
