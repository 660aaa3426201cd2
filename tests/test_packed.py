"""Padding left out: the same bits at real tokens, zeros or nothing elsewhere, in padded and in packed calls."""

import numpy as np
import pytest
from conftest import DATA, same
from hypothesis import given, settings
from hypothesis import strategies as st
from test_batch import ARCHIVES as BATCHED

import bertc

ARCHIVES = [path for path in BATCHED if "scriptpool" not in path.stem]  # it returns norms of the batch's first three


def leaves(result):
    if isinstance(result, np.ndarray):
        return [result]
    return [leaf for item in (result.values() if isinstance(result, dict) else result) for leaf in leaves(item)]


def arguments(model, ids, mask):
    """Ids, masks and zeros by name; the inputs of old traces have names of their own: ids, then masks."""
    given = {"attention_mask": mask, "token_type_ids": mask * 0}
    return [ids if i == 0 else given.get(entry.name, mask) for i, entry in enumerate(model.inputs) if entry.required]


def check(mirror, skip, ids, mask):
    """mask: whatever is behind a sequence's last 1 is padding."""
    length = mask.shape[1]
    counts = [int(row.nonzero()[0][-1]) + 1 if row.any() else length for row in mask]
    for expected, got in zip(
        leaves(mirror(*arguments(mirror, ids, mask))), leaves(skip(*arguments(skip, ids, mask))), strict=True
    ):
        assert expected.shape == got.shape and expected.dtype == got.dtype
        for i, count in enumerate(counts):
            if expected.ndim > 1 and expected.shape[1] == length:
                assert same(got[i, :count], expected[i, :count]), (i, count)
                assert not got[i, count:].any() or same(got[i], expected[i]), (i, count)
            else:
                assert same(got[i], expected[i]), i


def masks(draw, batch, length, kind):
    counts = draw.integers(1, length + 1, batch)
    counts[0] = length
    mask = (np.arange(length) < counts[:, None]).astype(np.int64)
    if kind == "left":
        mask = mask[:, ::-1].copy()
    elif kind == "holes":
        mask[1:, 1:] *= draw.integers(0, 2, (batch - 1, length - 1))
    elif kind == "empty":
        mask[-1] = 0
    return mask


@pytest.mark.parametrize("path", ARCHIVES, ids=lambda path: path.stem)
@pytest.mark.parametrize("kind", ["right", "left", "holes", "empty"])
def test_skipping_changes_no_bit_of_a_real_token(path, kind):
    mirror, skip = bertc.load(path, threads=1), bertc.load(path, threads=2, padding="skip")
    for batch, length in [(1, 9), (6, 13), (70, 17)]:
        draw = np.random.default_rng(batch)
        mask = masks(draw, batch, length, kind)
        check(mirror, skip, draw.integers(4, 50, (batch, length)) * mask + (1 - mask), mask)


@pytest.mark.parametrize("path", ARCHIVES, ids=lambda path: path.stem)
def test_packed_sequences_are_as_alone(path):
    model = bertc.load(path, threads=2)
    names = [entry.name for entry in model.inputs if entry.required and "mask" not in entry.name]
    draw = np.random.default_rng(5)
    lengths = [5, 1, 17, 9, 17, 2, *draw.integers(1, 20, 30)]
    columns = [[draw.integers(4, 50, length) for length in lengths]]
    for name in names[1:]:
        columns.append([np.full(length, name != "token_type_ids", np.int64) for length in lengths])
    results = model.run_packed(**dict(zip(names, columns)))
    for i, length in enumerate(lengths):
        ids = columns[0][i][None]
        alone = leaves(model(*arguments(model, ids, np.ones_like(ids))))
        for expected, got in zip(alone, leaves(results[i]), strict=True):
            assert same(np.ascontiguousarray(got), expected[0]), (i, length)


def test_graphs_say_that_padding_can_be_skipped(bert_path):
    bert = bertc.load(bert_path)
    ids = np.full((2, 5), 7)
    assert "per token (padding can be skipped)" in bert.graph.splitlines()[0]
    bert(ids, np.ones_like(ids), np.zeros((1, 5), np.int64))  # segments of one for all: another graph
    bert(ids, np.ones_like(ids), ids * 0)
    assert "per token (padding can be skipped)" in bert.graph.splitlines()[0]


@pytest.fixture(scope="module")
def models(bert_path):
    return bertc.load(bert_path, threads=1), bertc.load(bert_path, threads=2, padding="skip")


@settings(deadline=None)
@given(st.lists(st.integers(1, 24), min_size=1, max_size=40), st.integers(0, 8), st.integers(0, 2**31))
def test_any_batch(models, lengths, extra, seed):
    mirror, skip = models
    draw = np.random.default_rng(seed)
    length = max(lengths) + extra
    mask = (np.arange(length) < np.array(lengths)[:, None]).astype(np.int64)
    ids = draw.integers(3, 60, mask.shape)
    check(mirror, skip, ids, mask)
    i = int(draw.integers(len(lengths)))
    alone = mirror(ids[i : i + 1, : lengths[i]], mask[i : i + 1, : lengths[i]], mask[i : i + 1, : lengths[i]] * 0)
    packed = mirror.run_packed(
        [row[:count] for row, count in zip(ids, lengths)],
        token_type_ids=[np.zeros(count, np.int64) for count in lengths],
    )
    assert same(packed[i], tuple(leaf[0] for leaf in alone))


def test_what_run_packed_refuses(bert):
    ids = [[5, 6, 7], [8]]
    for arguments, message in [
        ((np.ones((2, 3), np.int64),), "lists of one-dimensional"),
        ((ids, None, [[0, 0, 0]]), "token_type_ids: 1 sequences, but input_ids has 2"),
        ((ids, None, [[0, 0], [0]]), r"token_type_ids\[0\]: 2 tokens, but input_ids\[0\] has 3"),
        (([[5], []],), r"input_ids\[1\]: expected a sequence of at least one token"),
        ((ids, [[1, 1, 1], [1]], [[0, 0, 0], [0]], 1), "takes 3 arguments, got 4"),
        (([[5, 10**6]], [[1, 1]], [[0, 0]]), r"input_ids\[0, 1\] = 1000000"),
    ]:
        with pytest.raises(bertc.InputError, match=message):
            bert.run_packed(*arguments)


def test_no_sequences(bert):
    assert bert.run_packed([]) == []


def test_padding_is_one_of_two():
    with pytest.raises(ValueError, match="padding must be 'mirror' or 'skip', not 'drop'"):
        bertc.load(DATA / "traced" / "hf523-bert.sdpa.pt", padding="drop")
