"""MaxSim beside its definition."""

import numpy as np
import pytest

import bertc
from bertc.text import maxsim as module
from bertc.text.maxsim import EMPTY, maxsim, maxsim_pairwise


def vectors(*lengths):
    draw = np.random.default_rng(len(lengths))
    return [draw.standard_normal((length, 8), np.float32) for length in lengths]


def score(query, document):
    return (query @ document.T).max(axis=1).sum() if len(document) else EMPTY


@pytest.mark.parametrize("block", [1, 40, 1 << 22])
def test_all_pairs(block, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", block)
    queries, documents = vectors(3, 1, 5), vectors(4, 0, 2, 9)
    expected = np.array([[score(query, document) for document in documents] for query in queries])
    assert maxsim(queries, documents) == pytest.approx(expected, rel=1e-5)
    assert maxsim(queries, documents, mean=True) == pytest.approx(expected / [[3], [1], [5]], rel=1e-5)
    assert maxsim_pairwise(queries, documents[:3]) == pytest.approx(expected.diagonal(), rel=1e-5)
    assert maxsim(queries[0], documents) == pytest.approx(expected[:1], rel=1e-5)
    assert maxsim(queries, []).shape == (3, 0) and maxsim([], documents).shape == (0, 4)
    assert maxsim_pairwise([], []).shape == (0,)


def test_padding_is_left_out():
    queries, documents = vectors(3, 2), vectors(4, 6)
    padded = [np.zeros((2, 7, 8), np.float32) for _ in range(2)]
    for array, side in zip(padded, (queries, documents)):
        for row, item in zip(array, side):
            row[: len(item)] = item
    documents[0][:] = -np.abs(documents[0])  # a zero would win
    padded[1][0, :4] = documents[0]
    for mean in (False, True):
        assert maxsim(*padded, mean) == pytest.approx(maxsim(queries, documents, mean), rel=1e-5)


def test_refusals():
    for first, second in ((vectors(3), [np.zeros((2, 7))]), ([np.zeros(8)], vectors(2)), (np.zeros(3), vectors(2))):
        with pytest.raises(bertc.InputError):
            maxsim(first, second)
    with pytest.raises(bertc.InputError):
        maxsim_pairwise(vectors(3), vectors(2, 2))
