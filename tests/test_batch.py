"""A sequence's result is the same, bit for bit, alone and in any batch."""

import numpy as np
import pytest
from conftest import DATA, same

import bertc

# dynquant quantises activations per tensor, so its batch matters by definition; xlnet returns its memory length first.
OTHERS = ("dynquant", "xlnet")
ARCHIVES = [path for path in sorted(DATA.glob("traced*/*.pt")) if not any(name in path.stem for name in OTHERS)]


def rows(result, begin, end):
    if isinstance(result, dict):
        return {key: rows(value, begin, end) for key, value in result.items()}
    if isinstance(result, tuple):
        return tuple(rows(value, begin, end) for value in result)
    return result[begin:end]


def arguments(model, batch, length, seed):
    chance = np.random.default_rng(seed)
    lengths = chance.integers(1, length + 1, (batch, 1))
    lengths[0] = length
    mask = (np.arange(length) < lengths).astype(np.int64)
    made = {"attention_mask": mask, "token_type_ids": mask * 0}
    ids = chance.integers(4, 50, (batch, length)) * mask + (1 - mask)
    # Old traces call their masks and token types anything: ones do for both.
    return [ids if i == 0 else made.get(entry.name, mask) for i, entry in enumerate(model.inputs) if entry.required]


@pytest.mark.parametrize("path", ARCHIVES, ids=lambda path: path.stem)
@pytest.mark.parametrize("threads", [1, 2])
def test_rows_do_not_know_their_batch(path, threads):
    model = bertc.load(path, threads=threads)
    for batch, length in [(7, 5), (5, 19), (33, 12)]:
        args = arguments(model, batch, length, batch)
        whole = model(*args)
        for begin, end in [(0, 1), (batch - 1, batch), (1, 4)]:
            assert same(model(*(arg[begin:end] for arg in args)), rows(whole, begin, end)), (batch, length, begin)


def test_a_bad_id_is_named_by_its_place_in_the_call(bert):
    ids = np.full((64, 30), 5)
    ids[61, 7] = 10**6
    with pytest.raises(bertc.InputError, match=r"input_ids\[61, 7\] = 1000000"):
        bert(ids, np.ones_like(ids), np.zeros_like(ids))
