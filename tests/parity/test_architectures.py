"""Hugging Face directories of every architecture and head, against transformers in float64.

The largest difference is below 1e-5 of the output's spread, or, where PyTorch's own float32 is less exact, below its
largest distance from float64 at any of the shapes. The root mean square over all shapes is at most 1.5 times PyTorch's.
"""

import copy
from collections import defaultdict

import numpy as np
import pytest

import bertc

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
from cases import CASES, make  # noqa: E402

pytestmark = pytest.mark.parity
SHAPES = [(2, 9), (3, 17), (1, 1), (5, 4)]
PARAMS = [pytest.param(case, head, id=f"{case.name}-{head}") for case in CASES for head in case.heads]


def arguments(model: bertc.Model, config, shape: tuple[int, ...], padded: bool) -> dict[str, np.ndarray]:
    chance = np.random.default_rng([*shape, padded])
    given = {"input_ids": chance.integers(4, config.vocab_size, shape)}
    if padded:
        # transformers' eager ModernBERT gives NaN in float64 when all that a window sees is padding
        shortest = max(1, shape[-1] - 3) if config.model_type == "modernbert" else 1
        lengths = chance.integers(shortest, shape[-1] + 1, (*shape[:-1], 1))
        mask = (np.arange(shape[-1]) < lengths).astype(np.int64)
        given["input_ids"] = np.where(mask, given["input_ids"], config.pad_token_id)
        given["attention_mask"] = mask
    elif config.model_type == "modernbert":  # some of its heads need a mask
        given["attention_mask"] = np.ones(shape, np.int64)
    types = 2 if config.model_type == "xlnet" else getattr(config, "type_vocab_size", 0)
    if types and "token_type_ids" in [entry.name for entry in model.inputs]:
        given["token_type_ids"] = chance.integers(0, types, shape)
    return given


def leaves(outputs) -> dict[str, np.ndarray]:
    found = {}
    for key, value in outputs.items():
        for i, item in enumerate(value if isinstance(value, tuple) else [value]):
            found[f"{key}[{i}]"] = np.asarray(item)
    return {key: value for key, value in found.items() if not key.startswith("cross_attentions")}


@pytest.mark.parametrize(("case", "head"), PARAMS)
def test_architecture(case, head, tmp_path):
    single = make(case, head)
    single.save_pretrained(tmp_path)
    double = copy.deepcopy(single).double()
    model = bertc.load(tmp_path)
    assert model.architecture == case.family + head
    assert not model.warning
    flags = {"output_hidden_states": True, "output_attentions": True}
    found = defaultdict(list)  # of each output: what was asked, its spread, bertc's differences, PyTorch's
    for batch, length in SHAPES:
        for padded in (False, True):
            shape = (batch, 3, length) if head == "ForMultipleChoice" else (batch, length)
            given = arguments(model, single.config, shape, padded)
            for extra in ({}, flags):
                tensors = {name: torch.from_numpy(value) for name, value in given.items()}
                with torch.inference_mode():
                    exact, near = leaves(double(**tensors, **extra)), leaves(single(**tensors, **extra))
                outputs = leaves(model(**given, **extra))
                assert list(outputs) == list(exact)
                for name, expected in exact.items():
                    assert outputs[name].shape == expected.shape
                    spread = expected.std() if expected.size > 8 else max(0.5, np.abs(expected).max())
                    differences = (outputs[name] - expected).ravel(), (near[name] - expected).ravel()
                    found[name].append(((shape, padded, extra), spread, *differences))
    for name, rows in found.items():
        least = max(np.abs(theirs).max() for _, _, _, theirs in rows)
        for asked, spread, ours, _ in rows:
            assert np.abs(ours).max() <= max(1e-5 * spread, least), (name, asked)
        ours, theirs = (np.concatenate([row[i] for row in rows]) for i in (2, 3))
        assert rms(ours) <= 1.5 * rms(theirs) + 1e-7 * rows[0][1], name


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2)))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_mask_matters(case, tmp_path):
    make(case, "Model").save_pretrained(tmp_path)
    model = bertc.load(tmp_path)
    ids = np.random.default_rng(0).integers(4, 40, (2, 9))
    mask = np.ones_like(ids)
    mask[1, 5:] = 0
    whole, masked = model(ids)[0], model(ids, mask)[0]
    assert np.abs(whole[0] - masked[0]).max() <= 1e-5 * whole.std()
    assert np.abs(whole[1, :5] - masked[1, :5]).max() > 0.05 * whole.std()


@pytest.mark.parametrize("case", [case for case in CASES if case.name.endswith("small")], ids=lambda case: case.name)
def test_given_positions_and_embeddings(case, tmp_path):
    single = make(case, "Model")
    single.save_pretrained(tmp_path)
    model = bertc.load(tmp_path)
    chance = np.random.default_rng(0)
    ids = chance.integers(4, single.config.vocab_size, (2, 7))
    positions = chance.integers(0, 30, (1, 7))
    embeddings = single.get_input_embeddings()(torch.from_numpy(ids)).detach().numpy()
    double = single.double()
    for given in ({"input_ids": ids, "position_ids": positions}, {"inputs_embeds": embeddings}):
        if "position_ids" in given and "position_ids" not in [entry.name for entry in model.inputs]:
            continue
        tensors = {name: torch.from_numpy(value) for name, value in given.items()}
        if "inputs_embeds" in tensors:
            tensors["inputs_embeds"] = tensors["inputs_embeds"].double()
        with torch.inference_mode():
            expected = double(**tensors)[0].numpy()
        assert np.abs(model(**given)[0] - expected).max() <= 2e-5 * expected.std(), list(given)


def test_a_window_of_padding(tmp_path):
    """Real tokens do not depend on what padding far behind them attends to."""
    case = next(case for case in CASES if case.name == "ModernBert-small")
    make(case, "Model").save_pretrained(tmp_path)
    exact = transformers.ModernBertModel.from_pretrained(tmp_path, attn_implementation="sdpa").double().eval()
    ids = np.random.default_rng(0).integers(4, 40, (2, 21))
    mask = (np.arange(21) < [[21], [3]]).astype(np.int64)
    with torch.inference_mode():
        expected = exact(torch.from_numpy(ids), torch.from_numpy(mask))[0].numpy()
    outputs = bertc.load(tmp_path)(ids, mask)[0]
    assert np.isfinite(outputs).all()
    assert np.abs(outputs - expected)[mask.astype(bool)].max() <= 1e-5 * expected.std()
