"""Archives that PyTorch makes here, in PyTorch and in bertc: models, heads and wrappers as people write them."""

import io
from typing import Optional

import numpy as np
import pytest

import bertc

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore")]
SHAPES = [(2, 9), (1, 1), (1, 5), (3, 17), (5, 9), (2, 64)]


def widen(module: nn.Module, seed: int = 0) -> nn.Module:
    """Weights so wide that a wrong mask shows."""
    generator = torch.Generator().manual_seed(seed)
    for name, weight in module.named_parameters():
        weight.data = torch.randn(weight.shape, generator=generator, dtype=weight.dtype) * 0.2
        if "norm" in name.lower() and name.endswith("weight"):
            weight.data += 1
    for name, buffer in module.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(0, 0.3, generator=generator)
    return module.eval().requires_grad_(False)


def padded(batch: int, length: int):
    chance = np.random.default_rng([batch, length])
    mask = np.arange(length) < length - np.arange(batch)[:, None] * length // (batch + 1)
    ids = chance.integers(5, 100, (batch, length)) * mask
    return torch.tensor(ids), torch.tensor(mask.astype(np.int64))


def compare(archive, shapes=SHAPES, arguments=padded, limit: float = 1e-4):
    stream = io.BytesIO()
    torch.jit.save(archive, stream)
    archive, model = torch.jit.load(io.BytesIO(stream.getvalue())), bertc.load(stream.getvalue())
    for shape in shapes:
        given = arguments(*shape)
        expected, got = archive(*given), model(*(x.numpy() for x in given))
        if not isinstance(expected, tuple):
            expected, got = (expected,), (got,)
        assert len(expected) == len(got)
        for want, have in zip(expected, got, strict=True):
            want = want.float().numpy() if want.dtype in (torch.float16, torch.bfloat16) else want.numpy()
            assert want.shape == have.shape
            if want.dtype.kind != "f":
                assert np.array_equal(want, have)
                continue
            spread = want.std() if want.size > 1 else np.abs(want).max()
            assert np.abs(want - np.float64(have)).max() <= limit * spread, shape


def trace(module: nn.Module, arguments=padded, **options):
    return torch.jit.trace(module, arguments(*SHAPES[0]), check_trace=False, **options)


class Encoder(nn.Module):
    """A model of transformers, called with ids and mask."""

    def __init__(self, kind: str = "Bert", attention: str = "eager", head: str = "Model", **settings):
        super().__init__()
        sizes = {"vocab_size": 100, "max_position_embeddings": 90, "hidden_size": 60, "intermediate_size": 70}
        settings = sizes | {"num_attention_heads": 5, "num_hidden_layers": 2} | settings
        config = getattr(transformers, f"{kind}Config")(**settings)
        self.model = getattr(transformers, kind + head)._from_config(config, attn_implementation=attention)

    def forward(self, ids, mask):
        results = self.model(input_ids=ids, attention_mask=mask, return_dict=False)
        return tuple(x for x in results if isinstance(x, torch.Tensor))


MODELS = {
    "bert": {"kind": "Bert"},
    "bert_sdpa": {"kind": "Bert", "attention": "sdpa"},
    "bert_silu": {"kind": "Bert", "hidden_act": "silu"},
    "bert_next": {"kind": "Bert", "head": "ForNextSentencePrediction"},
    "bert_causal": {"kind": "Bert", "head": "LMHeadModel", "is_decoder": True},
    "roberta": {"kind": "Roberta", "head": "ForTokenClassification", "pad_token_id": 0},
    "albert": {"kind": "Albert", "embedding_size": 24, "num_hidden_groups": 2},
    "electra": {"kind": "Electra", "embedding_size": 24},
    "mpnet": {"kind": "MPNet", "head": "ForMaskedLM", "pad_token_id": 0},
    "deberta_v2": {
        "kind": "DebertaV2",
        "relative_attention": True,
        "pos_att_type": ["c2p", "p2c"],
        "position_buckets": 16,
        "share_att_key": True,
        "norm_rel_ebd": "layer_norm",
    },
    "roformer": {"kind": "RoFormer", "num_attention_heads": 6},
    "convbert": {"kind": "ConvBert", "num_attention_heads": 6, "embedding_size": 24, "conv_kernel_size": 5},
    "squeezebert": {"kind": "SqueezeBert", "num_attention_heads": 6, "embedding_size": 60, "intermediate_size": 72},
    "bigbird_full": {"kind": "BigBird", "attention_type": "original_full"},
    "ibert": {"kind": "IBert", "pad_token_id": 0},
}


@pytest.mark.parametrize("name", MODELS)
def test_models(name):
    compare(trace(widen(Encoder(**MODELS[name]))))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_dtypes(dtype, attention):
    limits = {torch.float16: 2e-2, torch.bfloat16: 0.15, torch.float64: 1e-9}
    compare(trace(widen(Encoder(attention=attention)).to(dtype)), limit=limits[dtype])


class Heads(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = Encoder()
        self.block = nn.Sequential(nn.Linear(60, 20), nn.BatchNorm1d(20), nn.LeakyReLU(), nn.LayerNorm(20))
        self.tops = nn.ModuleList([nn.Linear(20, n) for n in (5, 7)])
        self.groups = nn.GroupNorm(4, 60)
        self.vocabulary = nn.Linear(60, 100)

    def forward(self, ids, mask):
        hidden, pooled = self.encoder(ids, mask)
        weight = mask.unsqueeze(-1).float()
        mean = functional.normalize((hidden * weight).sum(1) / weight.sum(1).clamp(min=1e-9))
        best = hidden.masked_fill(weight == 0, -1e9).max(1).values
        last = hidden[torch.arange(hidden.size(0)), mask.sum(1) - 1]
        sparse = torch.max(torch.log1p(torch.relu(self.vocabulary(hidden))) * weight, dim=1).values
        scores = torch.cat([top(self.block(pooled)) for top in self.tops], -1)
        ranked, order = scores.softmax(-1).topk(3)
        counts = torch.zeros(ids.size(0), 100).scatter_add_(1, ids, weight[..., 0])
        hidden = hidden.clone()
        hidden[:, 0] = 0
        hidden[mask == 0] = 7.0
        grouped = self.groups(hidden.transpose(1, 2))
        return mean, best, last, sparse, scores.sigmoid(), scores.argmax(-1), ranked, order, counts, hidden, grouped


def test_heads():
    torch.manual_seed(1)
    compare(trace(widen(Heads())))


class Convolutions(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(100, 32)
        self.planes = nn.ModuleList([nn.Conv2d(1, 6, (size, 32)) for size in (2, 3)])
        self.rows = nn.Conv1d(32, 8, 3, padding=1)

    def forward(self, ids, mask):
        x = self.embed(ids) * mask.unsqueeze(-1)
        planes = [functional.relu(plane(x.unsqueeze(1))).squeeze(3).amax(-1) for plane in self.planes]
        rows = self.rows(x.transpose(1, 2))
        pooled = functional.max_pool1d(rows, 3, 2, 1), functional.avg_pool1d(rows, 3, 2, 1, ceil_mode=True)
        return *planes, *pooled, functional.adaptive_max_pool1d(rows, 1)


def test_convolutions():
    compare(trace(widen(Convolutions())), shapes=[(2, 9), (1, 5), (3, 17), (2, 64)])


class OwnTransformer(nn.Module):
    def __init__(self, nested: bool, **settings):
        super().__init__()
        self.embed = nn.Embedding(100, 32)
        layer = nn.TransformerEncoderLayer(32, 4, 48, batch_first=True, **settings)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=nested)
        self.attend = nn.MultiheadAttention(32, 4, batch_first=True)

    def forward(self, ids, mask):
        hidden = self.layers(self.embed(ids), src_key_padding_mask=mask == 0)
        mixed, weights = self.attend(hidden, hidden, hidden, key_padding_mask=mask == 0)
        return hidden, mixed, weights


@pytest.mark.parametrize("settings", [{}, {"norm_first": True}, {"activation": "gelu"}], ids=str)
@pytest.mark.parametrize("nested", [False, True])
def test_own_transformer(settings, nested):
    compare(trace(widen(OwnTransformer(nested, **settings))))


class ScriptedHead(nn.Module):
    def __init__(self, encoder, mode: str):
        super().__init__()
        self.encoder = encoder
        self.mode = mode
        self.tops = nn.ModuleList([nn.Linear(60, n) for n in (3, 4)])

    def forward(self, ids: torch.Tensor, mask: Optional[torch.Tensor] = None):  # noqa: UP045 (TorchScript)
        if mask is None:
            mask = torch.ones_like(ids)
        length = ids.size(1)
        extra = (8 - length % 8) % 8
        if extra > 0:
            ids = functional.pad(ids, [0, extra])
            mask = functional.pad(mask, [0, extra])
        hidden = self.encoder(ids, mask)[0][:, :length]
        if self.mode == "cls":
            pooled = hidden[:, 0]
        elif self.mode == "mean":
            weight = mask[:, :length].unsqueeze(-1)
            pooled = (hidden * weight).sum(1) / weight.sum(1)
        else:
            raise ValueError(self.mode)
        return hidden, torch.cat([top(pooled) for top in self.tops], -1)


@pytest.mark.parametrize("mode", ["cls", "mean"])
@pytest.mark.parametrize("freeze", [False, True])
def test_scripted(mode, freeze):
    archive = torch.jit.script(widen(ScriptedHead(trace(widen(Encoder())), mode)))
    compare(torch.jit.freeze(archive) if freeze else archive)


@pytest.mark.parametrize("by_channel", [False, True])
def test_dynamic_quantization(by_channel):
    module = widen(nn.Sequential(nn.Linear(32, 24), nn.ReLU(), nn.Linear(24, 5)))
    quantization = torch.ao.quantization
    kind = quantization.per_channel_dynamic_qconfig if by_channel else quantization.default_dynamic_qconfig
    module = quantization.quantize_dynamic(module, {nn.Linear: kind})

    def floats(*shape):
        return (torch.randn(*shape, 32, generator=torch.Generator().manual_seed(0)),)

    compare(trace(module, floats), arguments=floats, limit=1e-3)
