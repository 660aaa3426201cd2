"""M3Encoder without PyTorch: its three kinds of embeddings, their similarity, its refusals."""

import numpy as np
import pytest

pytest.importorskip("tokenizers")

from tiny import TEXTS, VOCABULARY, WIDTH, make_bert, random_weights, write_weights

import bertc

LAYERS = {
    "sparse_linear.pt": random_weights({"weight": (1, WIDTH), "bias": (1,)}),
    "colbert_linear.pt": random_weights({"weight": (12, WIDTH), "bias": (12,)}),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = make_bert(tmp_path_factory.mktemp("m3"))
    for name, weights in LAYERS.items():  # the content decides how it is read
        write_weights(path / name, weights)
    return path


@pytest.fixture(scope="module")
def encoder(folder):
    return bertc.M3Encoder(folder)


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def test_encode(encoder):
    vectors = encoder.encode(TEXTS)
    assert vectors.dense.shape == (len(TEXTS), WIDTH) and vectors.sparse.shape == (len(TEXTS), len(VOCABULARY))
    layers = [tuple(layer.values()) for layer in LAYERS.values()]
    for i, text in enumerate(TEXTS):
        encoding = encoder.tokenizer.encode(text)
        hidden = encoder.model(input_ids=[encoding.ids])["last_hidden_state"][0]
        weights, tokens = (hidden @ weight.T + bias for weight, bias in layers)
        assert vectors.dense[i] == pytest.approx(unit(hidden[0]), abs=1e-6)
        assert vectors.multi_vector[i] == pytest.approx(unit(tokens[1:]), abs=1e-6)
        expected = {}
        for token, name, weight in zip(encoding.ids, encoding.tokens, weights[:, 0]):
            if name not in ("[CLS]", "[SEP]", "[UNK]") and weight > expected.get(token, 0):
                expected[token] = float(weight)
        assert vectors.sparse[i].as_dict() == pytest.approx(expected, abs=1e-6)
    single = encoder.encode(TEXTS[0], dense=False)
    assert single.dense is None and np.array_equal(single.sparse, vectors.sparse[0])
    assert np.array_equal(single.multi_vector, vectors.multi_vector[0])
    assert np.array_equal(next(encoder.encode(iter(TEXTS))).dense, vectors.dense[0])
    empty = encoder.encode([])
    assert len(empty.dense) == len(empty.sparse) == len(empty.multi_vector) == 0
    assert encoder.decode(vectors.sparse)[0] == encoder.decode(vectors.sparse[0])


def test_similarity(encoder):
    vectors = encoder.encode(TEXTS)
    parts = [encoder.similarity(vectors, vectors, weights) for weights in np.eye(3)]
    assert parts[0] == pytest.approx(vectors.dense @ vectors.dense.T, abs=1e-6)
    assert parts[1] == pytest.approx(vectors.sparse.dense() @ vectors.sparse.dense().T, abs=1e-5)
    assert parts[2].diagonal() == pytest.approx(1, abs=1e-5)
    mixed = encoder.similarity(vectors, vectors, (2, 1, 1))
    assert mixed == pytest.approx(parts[0] / 2 + parts[1] / 4 + parts[2] / 4, abs=1e-5)
    assert encoder.similarity(encoder.encode(TEXTS[0]), vectors) == pytest.approx(
        encoder.similarity(vectors, vectors)[:1], abs=1e-5
    )


def test_long_texts(encoder):
    text = TEXTS[4] * 3
    with pytest.warns(bertc.TruncationWarning):
        cut = encoder.encode(text)
    whole = encoder.encode(text, truncation="window")
    encoding = encoder.tokenizer.encode(text, max_length=40)
    assert len(cut.multi_vector) == 39 and len(whole.multi_vector) > 39
    assert len(whole.multi_vector) == sum(len(w) - 1 for w in (encoding, *encoding.overflowing))
    assert np.linalg.norm(whole.dense) == pytest.approx(1, abs=1e-6)
    assert whole.sparse.as_dict().keys() >= cut.sparse.as_dict().keys()


def test_refusals(tmp_path, encoder):
    sparse = encoder.encode(TEXTS, dense=False)
    for vectors, weights in ((sparse, (1, 1, 1)), (sparse, (0, 0, 0)), (sparse, (1, 1))):
        with pytest.raises(bertc.InputError):
            encoder.similarity(vectors, vectors, weights)
    folder = make_bert(tmp_path)
    with pytest.raises(bertc.UnsupportedError, match="sparse_linear"):
        bertc.M3Encoder(folder)
    write_weights(folder / "sparse_linear.pt", random_weights({"weight": (WIDTH,)}))
    with pytest.raises(bertc.FormatError, match="sparse_linear"):
        bertc.M3Encoder(folder)
