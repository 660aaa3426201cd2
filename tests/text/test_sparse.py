"""SparseEncoder without sentence-transformers: what it computes, its layouts, its refusals."""

import numpy as np
import pytest

pytest.importorskip("tokenizers")

from tiny import TEXTS, VOCABULARY, add_modules, make_bert, random_weights, write_json, write_weights

import bertc
from bertc.text.sparse_array import SparseArray

KIND = "sentence_transformers.sparse_encoder.models.SpladePooling"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_bert(tmp_path_factory.mktemp("splade"), "BertForMaskedLM")


@pytest.fixture(scope="module")
def encoder(folder):
    return bertc.SparseEncoder(folder)


def pooled(encoder, text, join=np.max, times=1):
    ids = encoder.tokenizer.encode(text, max_length=40).ids
    weights = np.maximum(encoder.model(input_ids=[ids])["logits"][0], 0)
    for _ in range(times):
        weights = np.log1p(weights)
    return join(weights, axis=0)


def test_encode(encoder):
    vectors = encoder.encode(TEXTS)
    assert isinstance(vectors, SparseArray) and vectors.shape == (len(TEXTS), len(VOCABULARY))
    assert vectors.dense() == pytest.approx(np.array([pooled(encoder, text) for text in TEXTS]), abs=1e-5)
    single = encoder.encode(TEXTS[0])
    assert single.shape == (len(VOCABULARY),) and np.array_equal(single, vectors[0])
    assert np.array_equal(encoder.encode(TEXTS, convert_to_sparse_tensor=False), vectors)
    assert encoder.encode([], convert_to_sparse_tensor=False).shape == encoder.encode([]).shape == (0, len(VOCABULARY))
    rows = encoder.encode(TEXTS, convert_to_tensor=False)
    assert type(rows) is list and all(np.array_equal(row, vectors[i]) for i, row in enumerate(rows))
    stream = encoder.encode(iter(TEXTS), batch_size=2)
    assert np.array_equal(next(stream), vectors[0]) and len(list(stream)) == len(TEXTS) - 1


@pytest.mark.parametrize("strategy", ["max", "sum"])
@pytest.mark.parametrize("activation", ["relu", "log1p_relu"])
def test_pooling(tmp_path, strategy, activation):
    folder = make_bert(tmp_path, "BertForMaskedLM")
    settings = {"pooling_strategy": strategy, "activation_function": activation}
    encoder = bertc.SparseEncoder(add_modules(folder, (KIND, settings), prompts={"query": "the "}))
    join, times = {"max": np.max, "sum": np.sum}[strategy], 1 + (activation == "log1p_relu")
    assert encoder.encode(TEXTS[0]).dense() == pytest.approx(pooled(encoder, TEXTS[0], join, times), abs=1e-5)
    expected = pooled(encoder, f"the {TEXTS[0]}", join, times)
    assert encoder.encode_query(TEXTS[0]).dense() == pytest.approx(expected, abs=1e-5)
    assert np.array_equal(encoder.encode_document(TEXTS[0]), encoder.encode(TEXTS[0]))


def test_few_dimensions(encoder):
    whole = encoder.encode(TEXTS)
    for row, full in zip(encoder.encode(TEXTS, max_active_dims=4), whole):
        greatest = np.sort(np.argsort(-full.dense())[:4])
        assert np.array_equal(row.indices, greatest) and np.array_equal(row.values, full.dense()[greatest])
    assert encoder.encode(TEXTS, max_active_dims=10**6).nnz == whole.nnz


def test_long_texts(encoder):
    text = TEXTS[4] * 3
    with pytest.warns(bertc.TruncationWarning):
        cut = encoder.encode(text)
    assert np.array_equal(cut, encoder.encode(text, truncation="ignore"))
    encoding = encoder.tokenizer.encode(text, max_length=40)
    windows = [encoding, *encoding.overflowing]
    logits = np.concatenate([encoder.model(input_ids=[window.ids])["logits"][0] for window in windows])
    expected = np.log1p(np.maximum(logits, 0)).max(axis=0)
    assert encoder.encode(text, truncation="window").dense() == pytest.approx(expected, abs=1e-5)


def test_what_is_said_of_vectors(encoder):
    vectors = encoder.encode(TEXTS)
    row = vectors[0].dense()
    tokens = encoder.decode(vectors[0], 3)
    assert tokens == [(VOCABULARY[i], row[i]) for i in np.argsort(-row)[:3]]
    assert encoder.decode(vectors)[0][:3] == tokens and len(encoder.decode(vectors)[0]) == vectors[0].nnz
    assert encoder.sparsity(vectors)["active_dims"] == vectors.nnz / len(TEXTS)
    assert np.array_equal(encoder.intersection(vectors[0], vectors[1]), row * vectors[1].dense())
    assert encoder.similarity(vectors, vectors) == pytest.approx(vectors.dense() @ vectors.dense().T, rel=1e-5)
    squares = np.square(vectors.dense()).sum(axis=1)
    assert encoder.similarity_pairwise(vectors, vectors) == pytest.approx(squares, rel=1e-5)
    assert encoder.get_embedding_dimension() == len(VOCABULARY)


def make_router(folder, **query):
    """A directory whose queries do without the model; ``query`` are the files of their part."""
    make_bert(folder / "document_0_Transformer", "BertForMaskedLM")
    kinds = {"query_0": "SparseStaticEmbedding", "document_0": "Transformer", "document_1": "SpladePooling"}
    parts = {f"{name}_{kind}": f"sentence_transformers.models.{kind}" for name, kind in kinds.items()}
    structure = {name: [part for part in parts if part.startswith(name)] for name in ("query", "document")}
    router = {"types": parts, "structure": structure, "parameters": {"default_route": "document"}}
    write_json(folder / "modules.json", [{"type": "sentence_transformers.models.Router", "path": ""}])
    write_json(folder / "router_config.json", router)
    for name, content in query.items():
        path = folder / "query_0_SparseStaticEmbedding" / name.replace("_", ".")
        (write_json if name.endswith("json") else write_weights)(path, content)
    return folder


def test_queries_without_the_model(tmp_path, encoder):
    weights = random_weights({"weight": (len(VOCABULARY),)})["weight"]
    idf = dict(zip(VOCABULARY, weights.tolist()))
    for name, files in {"a": {"model_safetensors": {"weight": weights}}, "b": {"idf_json": idf}}.items():
        other = bertc.SparseEncoder(make_router(tmp_path / name, **files))
        for text in TEXTS:
            ids = set(encoder.tokenizer.encode(text).ids[1:-1])
            assert other.encode_query(text).as_dict() == pytest.approx({i: weights[i] for i in ids})
        assert np.array_equal(other.encode_document(TEXTS), encoder.encode(TEXTS))
        assert np.array_equal(other.encode(TEXTS), encoder.encode(TEXTS))
    text = "dog " * 60
    with pytest.warns(bertc.TruncationWarning):
        assert np.array_equal(other.encode_query(text), other.encode_query("dog"))


def test_calls_are_small(encoder, monkeypatch):
    lengths = []
    run = bertc.Model.run_packed

    def run_packed(self, *args, **kwargs):
        lengths.append(sum(map(len, kwargs["input_ids"])))
        return run(self, *args, **kwargs)

    monkeypatch.setattr(bertc.Model, "run_packed", run_packed)
    encoder.encode(TEXTS * 60)
    assert len(lengths) > 1 and max(lengths) <= encoder.call_tokens


def test_refusals(tmp_path, folder, encoder):
    for options in ({"prompt_name": "x"}, {"batch_size": 0}, {"nonsense": 1}, {"max_active_dims": 0}):
        with pytest.raises(bertc.InputError):
            encoder.encode(TEXTS, **options)
    for call in (
        lambda: encoder.encode(3),
        lambda: encoder.encode([3]),
        lambda: encoder.decode(encoder.encode("dog"), 0),
        lambda: bertc.SparseEncoder(folder, similarity_fn_name="maxsim"),
        lambda: bertc.SparseEncoder(folder, max_active_dims=-1),
    ):
        with pytest.raises(bertc.InputError):
            call()
    other = make_bert(tmp_path, "BertForMaskedLM")
    for module, error in (
        ((KIND, {"pooling_strategy": "mean"}), bertc.FormatError),
        (("sentence_transformers.models.SparseAutoEncoder", {}), bertc.UnsupportedError),
    ):
        with pytest.raises(error, match=str(tmp_path)):
            bertc.SparseEncoder(add_modules(other, module))
    with pytest.raises(bertc.UnsupportedError, match="masked-language"):
        bertc.SparseEncoder(make_bert(tmp_path / "bare"))
    with pytest.raises(bertc.FormatError, match="weight"):
        bertc.SparseEncoder(make_router(tmp_path / "empty", model_safetensors=random_weights({"other": (3,)})))
    folder = make_router(tmp_path / "router")
    write_json(folder / "router_config.json", {"types": {}, "structure": {"query": ["a"], "document": ["b"]}})
    with pytest.raises(bertc.FormatError, match="type"):
        bertc.SparseEncoder(folder)
