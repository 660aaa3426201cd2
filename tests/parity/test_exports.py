"""Programs that torch.export makes here: beside PyTorch, and beside a trace of the same model."""

import io

import numpy as np
import pytest
from test_traces import MODELS, SHAPES, Encoder, Heads, padded, trace, widen

import bertc

torch = pytest.importorskip("torch")
from conftest import same  # noqa: E402
from torch import nn  # noqa: E402
from torch.export import Dim, export  # noqa: E402

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore")]
ENCODERS = MODELS | {
    "bert_mlm": {"head": "ForMaskedLM"},
    "bert_qa": {"head": "ForQuestionAnswering"},
    "bert_tokens": {"head": "ForTokenClassification", "attention": "sdpa"},
    "bert_sequence": {"head": "ForSequenceClassification", "attention": "sdpa"},
    "bert_pretraining": {"head": "ForPreTraining"},
    "distilbert": {"kind": "DistilBert"},
    "mobilebert": {"kind": "MobileBert", "embedding_size": 24, "intra_bottleneck_size": 20, "hidden_size": 40},
    "deberta": {"kind": "Deberta"},
    "modernbert": {"kind": "ModernBert", "attention": "sdpa", "pad_token_id": 0},
    "nomic": {"kind": "NomicBert", "attention": "sdpa", "num_attention_heads": 6},
    "gpt2": {"kind": "GPT2", "attention": "sdpa", "use_cache": False},
}


def program(module, arguments=padded, fixed=False):
    """Exported at sizes that no weight has; where the code compares a size with 1 or so, export picks the range."""
    given = arguments(3, 11)
    if fixed:
        return export(module, given)
    try:
        sizes = {0: Dim("batch", max=1024), 1: Dim("length", max=80)}
        return export(module, given, dynamic_shapes=tuple(sizes for _ in given))
    except Exception:
        sizes = {0: Dim.AUTO, 1: Dim.AUTO}
        return export(module, given, dynamic_shapes=tuple(sizes for _ in given))


def load(exported) -> bertc.Model:
    stream = io.BytesIO()
    torch.export.save(exported, stream)
    return bertc.load(stream.getvalue())


def leaves(result) -> list:
    return torch.utils._pytree.tree_flatten(dict(result) if hasattr(result, "keys") else result)[0]


def check(module, model, shapes=SHAPES, arguments=padded, limit=1e-4):
    for shape in shapes:
        given = arguments(*shape)
        expected, got = leaves(module(*given)), leaves(model(*given))
        assert len(expected) == len(got)
        for want, have in zip(expected, got):
            want = want.float().numpy() if want.dtype in (torch.float16, torch.bfloat16) else want.numpy()
            assert want.shape == have.shape
            if want.dtype.kind != "f":
                assert np.array_equal(want, have)
                continue
            spread = want.std() if want.size > 1 else np.abs(want).max()
            assert np.abs(want - np.float64(have)).max() <= limit * spread, shape


def graph_lines(model) -> list[str]:
    first, *lines = str(model.graph).splitlines()
    return [first.partition(", ")[2], *lines]


@pytest.mark.parametrize("name", ENCODERS)
def test_trace_and_export_are_one_model(name):
    module = widen(Encoder(**ENCODERS[name]))
    stream = io.BytesIO()
    torch.jit.save(trace(module), stream)
    traced = bertc.load(stream.getvalue())
    exported = program(module)
    for variant in (exported, exported.run_decompositions({})):
        model = load(variant)
        check(module, model)
        for shape in SHAPES:
            assert same(leaves(traced(*padded(*shape))), leaves(model(*padded(*shape)))), shape
        if name != "convbert" or variant is exported:
            assert graph_lines(traced) == graph_lines(model)
    state = traced.state_dict()
    for key, value in model.state_dict().items():
        assert np.array_equal(state[key], value)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("name", ["Bert", "Roberta", "Electra"])
def test_core_decompositions(name, attention):
    module = widen(Encoder(name, attention, pad_token_id=0))
    check(module, load(program(module).run_decompositions()))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_dtypes(dtype, attention):
    limits = {torch.float16: 2e-2, torch.bfloat16: 0.15, torch.float64: 1e-9}
    module = widen(Encoder(attention=attention)).to(dtype)
    check(module, load(program(module)), limit=limits[dtype])


def test_heads():
    module = widen(Heads())
    check(module, load(program(module)))


def test_static():
    module = widen(Encoder(attention="sdpa"))
    model = load(program(module, fixed=True))
    check(module, model, shapes=[(3, 11)])
    ids, mask = (x.numpy() for x in padded(3, 12))
    with pytest.raises(bertc.InputError, match=r"'ids': dimension 1 is 12, .* for 11 only; .* dynamic_shapes"):
        model(ids, mask)


class Structured(nn.Module):
    """Nested, keyword and constant arguments; a ModelOutput, tuples and numbers as results."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(100, 16)

    def forward(self, ids, flag=None, factor=3, pair=None, *, extra=None):
        from transformers.modeling_outputs import BaseModelOutputWithPooling

        x = self.embed(ids) * factor + pair[0].unsqueeze(-1) + pair[1][0].unsqueeze(-1)
        x = x + extra["second"].unsqueeze(-1) * torch.tensor([1.5] * 16)
        return BaseModelOutputWithPooling(last_hidden_state=x, pooler_output=x.mean(1)), None, [x[:, 0]], ids.shape[0]


def test_structures():
    module = widen(Structured())
    chance = np.random.default_rng(0)

    def arguments(batch, length):
        ids = torch.tensor(chance.integers(0, 100, (batch, length)))
        floats = [torch.tensor(chance.normal(size=(batch, length)), dtype=torch.float32) for _ in range(4)]
        return ids, (floats[0], [floats[1]]), {"first": floats[2], "second": floats[3]}

    ids, pair, extra = arguments(3, 11)
    sizes = {0: Dim("batch"), 1: Dim("length")}
    nested = {"ids": sizes, "pair": (sizes, [sizes]), "extra": {"first": sizes, "second": sizes}}
    exported = export(
        module,
        (ids, None, 3),
        {"pair": pair, "extra": extra},
        dynamic_shapes=nested | {"flag": None, "factor": None},
    )
    model = load(exported)
    assert [(x.name, x.required) for x in model.inputs] == [
        ("ids", True),
        ("flag", False),
        ("factor", False),
        ("pair", True),
        ("extra", True),
    ]
    ids, pair, extra = arguments(5, 4)
    want, got = module(ids, pair=pair, extra=extra), model(ids, pair=pair, extra=extra)
    assert list(got[0]) == ["last_hidden_state", "pooler_output"]
    assert got[1] is None and got[3] == 5 and isinstance(got[2], list)
    np.testing.assert_allclose(got[0]["pooler_output"], want[0].pooler_output.numpy(), atol=1e-5)
    np.testing.assert_allclose(got[2][0], want[2][0].numpy(), atol=1e-5)
    turned = dict(reversed(extra.items()))
    assert same(list(got[0].values()), list(model(ids, pair=pair, extra=turned)[0].values()))
    with pytest.raises(bertc.InputError, match="'factor'"):
        model(ids, factor=4, pair=pair, extra=extra)
    with pytest.raises(bertc.InputError, match="'extra'"):
        model(ids, pair=pair, extra={"first": extra["first"]})
    with pytest.raises(bertc.InputError, match=r"'pair': dimension 1 is 5.*'ids' is 4"):
        model(ids, pair=arguments(5, 5)[1], extra=extra)


class Branches(nn.Module):
    """Arithmetic on sizes."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(100, 16)

    def forward(self, ids, mask):
        batch, length = ids.shape
        x = self.embed(ids)
        half = x[:, : length // 2 + 1].sum(1) / (length * 2 + 1)
        scale = torch.sym_max(batch, length) - torch.sym_min(batch, 3) % 5
        return half * scale, torch.arange(length + 2) * (length**2 / 3), x.reshape(batch * length, 4, 4)


def test_sizes():
    module = widen(Branches())
    check(module, load(program(module)))
