"""ONNX files that PyTorch's exporters and ONNX Runtime's tools make here, beside the model or the runtime itself."""

import io

import numpy as np
import pytest
from test_traces import MODELS, SHAPES, Encoder, padded, widen

import bertc

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
from conftest import same  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore")]
ENCODERS = {
    "bert": MODELS["bert"] | {"head": "ForSequenceClassification"},
    "distilbert": {"kind": "DistilBert", "head": "ForMaskedLM"},
    "roberta": MODELS["roberta"],
    "mpnet": MODELS["mpnet"],
    "deberta_v2": MODELS["deberta_v2"] | {"head": "ForTokenClassification"},
    "modernbert": {"kind": "ModernBert", "pad_token_id": 0, "local_attention": 8},
    "albert": MODELS["albert"] | {"head": "ForQuestionAnswering"},
    "electra": MODELS["electra"] | {"head": "ForPreTraining"},
}

EAGER_ONLY = ("mpnet", "deberta_v2")


def export(module, path, opset, *, dynamo=False):
    given = padded(3, 11)
    names = ["ids", "mask"]
    if dynamo:
        sizes = {0: torch.export.Dim.AUTO, 1: torch.export.Dim.AUTO}
        options = {"dynamic_shapes": (sizes, sizes), "external_data": False}
    else:
        options = {"dynamic_axes": {name: {0: "batch", 1: "length"} for name in names}}
    torch.onnx.export(module, given, path, dynamo=dynamo, opset_version=opset, input_names=names, **options)


def runtime(path):
    """ONNX Runtime without its optimizations."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda ids, mask: session.run(None, {"ids": ids.numpy(), "mask": mask.numpy()})


def compare(reference, model, limit=1e-4, measure=np.max):
    for shape in SHAPES:
        given = padded(*shape)
        expected, got = reference(*given), model(*given)
        expected, got = ([x] if hasattr(x, "dtype") else x for x in (expected, got))
        assert len(expected) == len(got)
        for want, have in zip(expected, got):
            want = np.asarray(want)
            assert want.shape == have.shape and want.dtype == have.dtype
            if want.dtype.kind != "f":
                assert np.array_equal(want, have)
                continue
            spread = want.std() if want.size > 1 else np.abs(want).max()
            assert measure(np.abs(want.astype(np.float64) - have)) <= limit * spread, shape


@pytest.mark.parametrize("opset", [12, 14, 17, 20])
@pytest.mark.parametrize("name", ENCODERS)
def test_exporter(name, opset, tmp_path):
    attention = "sdpa" if opset in (14, 20) and name not in EAGER_ONLY else "eager"
    module = widen(Encoder(**ENCODERS[name] | {"attention": attention}))
    export(module, tmp_path / "model.onnx", opset)
    compare(module, bertc.load(tmp_path / "model.onnx"))


@pytest.mark.parametrize(("opset", "attention"), [(18, "eager"), (23, "sdpa")])
@pytest.mark.parametrize("name", ENCODERS)
def test_dynamo_exporter(name, opset, attention, tmp_path):
    pytest.importorskip("onnxscript", reason="torch.onnx.export(dynamo=True) needs onnxscript")
    attention = "eager" if name in EAGER_ONLY else attention
    module = widen(Encoder(**ENCODERS[name] | {"attention": attention}))
    export(module, tmp_path / "model.onnx", opset, dynamo=True)
    compare(module, bertc.load(tmp_path / "model.onnx"))


class Pooled(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = Encoder()
        self.block = nn.Sequential(nn.Linear(60, 20), nn.BatchNorm1d(20), nn.LeakyReLU(), nn.LayerNorm(20))
        self.groups = nn.GroupNorm(4, 60)

    def forward(self, ids, mask):
        hidden, pooled = self.encoder(ids, mask)
        weight = mask.unsqueeze(-1).float()
        mean = functional.normalize((hidden * weight).sum(1) / weight.sum(1).clamp(min=1e-9))
        best = hidden.masked_fill(weight == 0, -1e9).max(1).values
        last = hidden[torch.arange(hidden.size(0)), mask.sum(1) - 1]
        ranked, order = self.block(pooled).softmax(-1).topk(3)
        counts = torch.zeros(ids.size(0), 100).scatter_add_(1, ids, weight[..., 0])
        return mean, best, last, ranked, order, order.argmin(-1), counts, self.groups(hidden.transpose(1, 2))


def test_heads(tmp_path):
    module = widen(Pooled())
    export(module, tmp_path / "model.onnx", 17)
    compare(module, bertc.load(tmp_path / "model.onnx"))


@pytest.mark.parametrize("name", ENCODERS)
def test_trace_and_export_are_one_model(name, tmp_path):
    module = widen(Encoder(**ENCODERS[name]))
    export(module, tmp_path / "model.onnx", 17)
    stream = io.BytesIO()
    torch.jit.save(torch.jit.trace(module, padded(3, 11), check_trace=False), stream)
    traced, model = bertc.load(stream.getvalue()), bertc.load(tmp_path / "model.onnx")
    for shape in SHAPES:
        expected, got = traced(*padded(*shape)), model(*padded(*shape))
        assert same(expected if len(expected) > 1 else expected[0], got)


@pytest.mark.parametrize("settings", [{}, {"per_channel": True}, {"reduce_range": True}], ids=str)
@pytest.mark.parametrize("weights", ["QInt8", "QUInt8"])
@pytest.mark.parametrize("name", ["bert", "distilbert"])
def test_quantized(name, weights, settings, tmp_path):
    quantization = pytest.importorskip("onnxruntime.quantization")
    plain, shaped, small = (tmp_path / f"{part}.onnx" for part in ("plain", "shaped", "small"))
    export(widen(Encoder(**ENCODERS[name])), plain, 17)
    onnx.save(onnx.shape_inference.infer_shapes(onnx.load(plain)), shaped)
    quantization.quantize_dynamic(shaped, small, weight_type=quantization.QuantType[weights], **settings)
    # a difference in the last bit of a product may be a level of a byte in the next one, and spreads from there
    compare(runtime(small), bertc.load(small), 0.03, np.mean)


def test_statically_quantized(tmp_path):
    quantization = pytest.importorskip("onnxruntime.quantization")
    plain, small = tmp_path / "plain.onnx", tmp_path / "small.onnx"
    export(widen(Encoder(**ENCODERS["bert"])), plain, 17)

    class Batches(quantization.CalibrationDataReader):
        def __init__(self):
            self.rest = [dict(zip(("ids", "mask"), (x.numpy() for x in padded(*shape)))) for shape in SHAPES]

        def get_next(self):
            return self.rest.pop() if self.rest else None

    quantization.quantize_static(plain, small, Batches(), quant_format=quantization.QuantFormat.QDQ)
    compare(runtime(small), bertc.load(small), 0.05, np.mean)


@pytest.mark.parametrize("settings", ["attention", "multi_head", "no_embed", "half"])
@pytest.mark.parametrize("name", ["bert", "distilbert", "roberta", "electra"])
def test_fused(name, settings, tmp_path):
    optimizer = pytest.importorskip("onnxruntime.transformers.optimizer")
    from onnxruntime.transformers.fusion_options import FusionOptions

    plain, fused = tmp_path / "plain.onnx", tmp_path / "fused.onnx"
    export(widen(Encoder(**ENCODERS[name])), plain, 14)
    options = FusionOptions("bert")
    options.use_multi_head_attention = settings == "multi_head"
    options.enable_embed_layer_norm = settings != "no_embed"
    optimized = optimizer.optimize_model(str(plain), "bert", 5, 60, options)
    if settings == "half":
        optimized.convert_float_to_float16(keep_io_types=True)
    optimized.save_model_to_file(str(fused))
    compare(runtime(fused if settings != "half" else plain), bertc.load(fused), 0.02 if settings == "half" else 1e-4)


def test_runtime_optimized(tmp_path):
    """What ONNX Runtime itself saves at its levels of optimization."""
    plain, saved = tmp_path / "plain.onnx", tmp_path / "saved.onnx"
    export(widen(Encoder()), plain, 17)
    for level in ("BASIC", "EXTENDED"):
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, f"ORT_ENABLE_{level}")
        options.optimized_model_filepath = str(saved)
        onnxruntime.InferenceSession(plain, options, providers=["CPUExecutionProvider"])
        compare(runtime(plain), bertc.load(saved))
