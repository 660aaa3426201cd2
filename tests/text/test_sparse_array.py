"""Sparse vectors and their similarities, beside dense ones."""

import numpy as np
import pytest

import bertc
from bertc.text import sparse_similarity
from bertc.text.sparse_array import SparseArray
from bertc.text.sparse_similarity import intersection, similarity, similarity_pairwise


@pytest.fixture
def dense():
    draw = np.random.default_rng(0)
    array = draw.random((6, 90), np.float32)
    array[array < 0.9] = 0
    array[2] = 0
    return array


def test_it_is_the_dense_array(dense):
    sparse = SparseArray.from_dense(dense)
    assert (sparse.shape, sparse.ndim, len(sparse), sparse.nnz) == ((6, 90), 2, 6, np.count_nonzero(dense))
    assert np.array_equal(sparse, dense) and np.asarray(sparse, np.float64).dtype == np.float64
    for i, row in enumerate(sparse):
        assert np.array_equal(row.dense(), dense[i]) and row.shape == (90,)
        assert row.as_dict() == {j: dense[i, j] for j in np.flatnonzero(dense[i])}
        assert np.array_equal(row.as_object()["indices"], np.flatnonzero(dense[i]))
    assert sparse.as_dict()[1] == sparse[1].as_dict() and sparse[2].as_dict() == {}
    for key in (slice(1, 5, 2), [3, 3, 0], slice(2, 3), slice(0, 0), np.array([2, -1])):
        assert np.array_equal(sparse[key], dense[key])
    assert np.array_equal(sparse[-1], dense[-1]) and sparse[0][3] == dense[0, 3]
    assert np.array_equal(SparseArray.stack(list(sparse)), dense)
    assert SparseArray.stack([], 7).dense().shape == (0, 7)
    assert repr(sparse) == f"<SparseArray of shape (6, 90) with {sparse.nnz} values>"


def test_similarities(dense):
    a, b = dense[:4], dense[1:5]
    expected = {
        "dot": lambda x, y: x @ y,
        "cosine": lambda x, y: x @ y / max(np.linalg.norm(x) * np.linalg.norm(y), 1e-12),
        "euclidean": lambda x, y: -np.linalg.norm(x - y),
        "manhattan": lambda x, y: -np.abs(x - y).sum(),
    }
    for name, function in expected.items():
        matrix = np.array([[function(x, y) for y in b] for x in a])
        for first, second in ((a, b), (SparseArray.from_dense(a), SparseArray.from_dense(b))):
            assert similarity(name, first, second) == pytest.approx(matrix, abs=1e-5)
            assert similarity_pairwise(name, first, second) == pytest.approx(matrix.diagonal(), abs=1e-5)
        assert similarity(name, a[0], list(SparseArray.from_dense(b))) == pytest.approx(matrix[:1], abs=1e-5)
    assert similarity("dot", a, np.zeros((0, 90))).shape == (4, 0)


def test_similarities_of_many(dense, monkeypatch):
    whole = similarity("manhattan", dense, dense)
    monkeypatch.setattr(sparse_similarity, "BLOCK", 200)
    assert np.array_equal(similarity("manhattan", dense, dense), whole)


def test_intersection(dense):
    assert np.array_equal(intersection(dense[0], dense), dense[0] * dense)
    assert np.array_equal(intersection(dense[0], dense[1]), dense[0] * dense[1])
    assert intersection([-1.0, 2.0], [1.0, 1.0]).as_dict() == {1: 2.0}


@pytest.mark.parametrize(
    "call",
    [
        lambda a: SparseArray.from_dense(a[None]),
        lambda a: similarity("dot", a, a[:, 1:]),
        lambda a: similarity_pairwise("dot", a, a[1:]),
        lambda a: intersection(a, a),
        lambda a: SparseArray.from_dense(a).as_object(),
        lambda a: SparseArray.stack([SparseArray.from_dense(a)]),
    ],
)
def test_refusals(dense, call):
    with pytest.raises(bertc.InputError):
        call(dense)
