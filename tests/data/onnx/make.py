"""Makes ONNX files of one small BERT, its trace, and their reference outputs (see conform.py).

PYTHONPATH=<onnxscript> python make.py, with torch, transformers, onnx, onnxscript and onnxruntime installed.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.transformers import float16, optimizer
from onnxruntime.transformers.fusion_options import FusionOptions
from torch import nn
from transformers import BertConfig, BertModel

HERE = Path(__file__).resolve().parent
SHAPES = [(3, 11), (1, 1), (2, 5), (5, 9), (2, 33)]
NAMES = ["input_ids", "attention_mask", "token_type_ids"]
HEADS, HIDDEN = 2, 16


class Tuple(nn.Module):
    """The model without keywords and model outputs, which exporters do not take."""

    def __init__(self, attention: str) -> None:
        super().__init__()
        config = BertConfig(
            vocab_size=60,
            hidden_size=HIDDEN,
            num_hidden_layers=2,
            num_attention_heads=HEADS,
            intermediate_size=24,
            max_position_embeddings=40,
            attn_implementation=attention,
        )
        self.bert = BertModel(config).eval()
        generator = torch.Generator().manual_seed(0)
        for name, weight in self.bert.named_parameters():
            weight.data = torch.randn(weight.shape, generator=generator) * 0.3
            if "LayerNorm.weight" in name:
                weight.data += 1

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor):
        return self.bert(input_ids, attention_mask, token_type_ids, return_dict=False)


def arguments(batch: int, length: int) -> tuple[np.ndarray, ...]:
    chance = np.random.default_rng([batch, length])
    mask = (np.arange(length) < length - np.arange(batch)[:, None] * length // (batch + 1)).astype(np.int64)
    return chance.integers(3, 60, (batch, length)), mask, chance.integers(0, 2, (batch, length))


def export(model: nn.Module, path: Path, opset: int, *, fixed: bool = False) -> None:
    inputs = tuple(map(torch.from_numpy, arguments(*SHAPES[0])))
    axes = None if fixed else {name: {0: "batch", 1: "length"} for name in NAMES}
    outputs = ["last_hidden_state", "pooler_output"]
    torch.onnx.export(
        model,
        inputs,
        path,
        dynamo=False,
        opset_version=opset,
        input_names=NAMES,
        output_names=outputs,
        dynamic_axes=axes,
    )


def export_dynamo(model: nn.Module, path: Path) -> None:
    inputs = tuple(map(torch.from_numpy, arguments(*SHAPES[0])))
    dims = {0: torch.export.Dim.AUTO, 1: torch.export.Dim.AUTO}
    torch.onnx.export(model, inputs, path, dynamo=True, external_data=False, dynamic_shapes=(dims,) * 3)
    program = onnx.load(path)
    for node in program.graph.node:  # stack traces, with the paths of this machine
        del node.metadata_props[:]
    onnx.save(program, path)


def fuse(source: Path, path: Path, *, multi_head: bool) -> None:
    options = FusionOptions("bert")
    options.use_multi_head_attention = multi_head
    optimizer.optimize_model(str(source), "bert", HEADS, HIDDEN, options).save_model_to_file(str(path))


def save_typed(source: Path, path: Path) -> None:
    """Numbers in float_data and int64_data instead of raw bytes, and initialisers listed as inputs, as in old files."""
    model = onnx.load(source)
    for tensor in model.graph.initializer:
        array = onnx.numpy_helper.to_array(tensor)
        tensor.ClearField("raw_data")
        {"f": tensor.float_data, "i": tensor.int64_data}[array.dtype.kind].extend(array.ravel().tolist())
        model.graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    onnx.save(model, path)


def record(path: Path, shapes: list[tuple[int, int]], rtol: float) -> None:
    settings = onnxruntime.SessionOptions()
    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
    arrays: dict[str, np.ndarray] = {}
    for i, shape in enumerate(shapes):
        given = arguments(*shape)
        arrays |= {f"case{i}/in{j}": array for j, array in enumerate(given)}
        outputs = session.run(None, dict(zip([entry.name for entry in session.get_inputs()], given)))
        arrays |= {f"case{i}/out{j}": array for j, array in enumerate(outputs)}
    dtypes = [str(array.dtype) for array in outputs]
    meta = {"structure": ["T", "T"], "cases": shapes, "traced_case": 0, "dtypes": dtypes, "rtol": rtol}
    np.savez_compressed(path.with_suffix(".npz"), meta=json.dumps(meta), **arrays)


def main() -> None:
    eager, sdpa = Tuple("eager").eval(), Tuple("sdpa").eval()
    for name, model in (("eager", eager), ("sdpa", sdpa)):
        given = tuple(map(torch.from_numpy, arguments(*SHAPES[0])))
        torch.jit.trace(model, given).save(HERE / f"bert-{name}.trace")
    export(sdpa, HERE / "bert-sdpa.onnx", 17)
    export(eager, HERE / "bert-opset12.onnx", 12)
    export(eager, HERE / "bert-static.onnx", 17, fixed=True)
    export_dynamo(eager, HERE / "bert-dynamo.onnx")
    fuse(HERE / "bert-opset12.onnx", HERE / "bert-fused.onnx", multi_head=False)
    fuse(HERE / "bert-opset12.onnx", HERE / "bert-multihead.onnx", multi_head=True)
    save_typed(HERE / "bert-opset12.onnx", HERE / "bert-typed.onnx")
    with tempfile.TemporaryDirectory() as folder:
        shaped = Path(folder) / "shaped.onnx"
        onnx.save(onnx.shape_inference.infer_shapes(onnx.load(HERE / "bert-opset12.onnx")), shaped)
        quantize_dynamic(shaped, HERE / "bert-int8.onnx", weight_type=QuantType.QInt8, per_channel=True)
    half = float16.convert_float_to_float16(onnx.load(HERE / "bert-sdpa.onnx"))
    onnx.save(half, HERE / "bert-half.onnx")
    external = onnx.load(HERE / "bert-sdpa.onnx")
    place = {"all_tensors_to_one_file": True, "location": "bert-external.data", "size_threshold": 64}
    (HERE / "bert-external.data").unlink(missing_ok=True)
    onnx.save(external, HERE / "bert-external.onnx", save_as_external_data=True, **place)
    loose = {"bert-int8": 3e-2, "bert-half": 3e-2}
    for path in sorted(HERE.glob("*.onnx")):
        record(path, SHAPES[:1] if path.stem == "bert-static" else SHAPES, loose.get(path.stem, 1e-4))


if __name__ == "__main__":
    main()
