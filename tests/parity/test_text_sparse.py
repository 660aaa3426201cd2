"""SparseEncoder beside sentence-transformers' own, case by case."""

import numpy as np
import pytest

pytest.importorskip("sentence_transformers")

import torch
from sentence_transformers import SparseEncoder
from sentence_transformers.base.modules import Router, Transformer
from sentence_transformers.sparse_encoder.modules import SparseStaticEmbedding, SpladePooling
from text_models import TEXTS, VOCABULARY, make_tokenizer, save
from transformers import BertForMaskedLM

import bertc

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore::bertc.TruncationWarning")]


def make(folder, pooling="max", activation="relu", **options):
    transformer = Transformer(str(save(BertForMaskedLM, folder / "plain")), transformer_task="fill-mask")
    modules = [transformer, SpladePooling(pooling, activation)]
    SparseEncoder(modules=modules, **options).save_pretrained(str(folder / "saved"))
    return folder / "saved"


def make_static(folder):
    """Queries by the weights of their tokens alone."""
    transformer = Transformer(str(save(BertForMaskedLM, folder / "plain")), transformer_task="fill-mask")
    torch.manual_seed(1)
    static = SparseStaticEmbedding(make_tokenizer(), torch.rand(len(VOCABULARY)))
    router = Router.for_query_document(query_modules=[static], document_modules=[transformer, SpladePooling("max")])
    SparseEncoder(modules=[router]).save_pretrained(str(folder / "saved"))
    return folder / "saved"


PROMPTS = {"prompts": {"query": "how many: ", "passage": "the "}}
CASES = {
    "plain": lambda folder: save(BertForMaskedLM, folder),
    "max": make,
    "sum": lambda folder: make(folder, "sum"),
    "opensearch": lambda folder: make(folder, "max", "log1p_relu"),
    "sum-log1p": lambda folder: make(folder, "sum", "log1p_relu"),
    "prompts": lambda folder: make(folder, **PROMPTS),
    "static": make_static,
    "few": lambda folder: make(folder, max_active_dims=5, similarity_fn_name="cosine"),
}


@pytest.fixture(scope="module", params=CASES)
def both(request, tmp_path_factory):
    folder = CASES[request.param](tmp_path_factory.mktemp(request.param))
    return bertc.SparseEncoder(folder), SparseEncoder(str(folder), device="cpu")


def check(result, expected):
    expected = expected.to_dense().numpy()
    assert result.shape == expected.shape
    np.testing.assert_allclose(np.asarray(result), expected, atol=5e-6)


@pytest.mark.parametrize("method", ["encode", "encode_query", "encode_document"])
def test_encode(both, method):
    ours, theirs = (getattr(model, method) for model in both)
    for inputs in (TEXTS, TEXTS[0], TEXTS[:1], np.array(TEXTS), tuple(TEXTS)):
        check(ours(inputs), theirs(inputs))
    for options in ({"max_active_dims": 3}, {"prompt": "what "}, {"prompt_name": "query"}, {"batch_size": 2}):
        check(ours(TEXTS, **options), theirs(TEXTS, **options))
    dense = ours(TEXTS, convert_to_sparse_tensor=False)
    assert type(dense) is np.ndarray
    check(dense, theirs(TEXTS, convert_to_sparse_tensor=False))
    rows = ours(TEXTS, convert_to_tensor=False)
    assert type(rows) is list and len(rows) == len(TEXTS)
    for row, expected in zip(rows, theirs(TEXTS, convert_to_tensor=False)):
        check(row, expected)
    assert len(ours([])) == len(theirs([])) == 0


@pytest.mark.parametrize("name", ["dot", "cosine", "euclidean", "manhattan"])
def test_similarities(both, name):
    ours, theirs = both
    assert ours.similarity_fn_name == theirs.similarity_fn_name
    before = ours.similarity_fn_name
    ours.similarity_fn_name = theirs.similarity_fn_name = name
    a, b = ours.encode(TEXTS[:4]), ours.encode(TEXTS[3:])
    dense = [torch.from_numpy(x.dense()) for x in (a, b)]
    scale = float(np.abs(theirs.similarity(*dense)).max())
    np.testing.assert_allclose(ours.similarity(a, b), theirs.similarity(*dense), atol=1e-6 * scale)
    pairwise = theirs.similarity_pairwise(*dense)
    np.testing.assert_allclose(ours.similarity_pairwise(a, b), pairwise, atol=1e-6 * scale)
    np.testing.assert_allclose(ours.similarity(a[0], b), theirs.similarity(dense[0][0], dense[1]), atol=1e-6 * scale)
    ours.similarity_fn_name = theirs.similarity_fn_name = before


def test_what_is_said_of_vectors(both):
    ours, theirs = both
    vectors = ours.encode(TEXTS)
    tensor = torch.from_numpy(vectors.dense())
    assert ours.sparsity(vectors) == pytest.approx(theirs.sparsity(tensor))
    assert ours.sparsity(vectors[0]) == pytest.approx(theirs.sparsity(tensor[0]))
    for top_k in (None, 1, 4):
        assert ours.decode(vectors, top_k) == theirs.decode(tensor, top_k)
        assert ours.decode(vectors[0], top_k) == theirs.decode(tensor[0], top_k)
    check(ours.intersection(vectors[0], vectors), theirs.intersection(tensor[0], tensor))
    check(ours.intersection(vectors[0], vectors[1]), theirs.intersection(tensor[0], tensor[1]))
    assert ours.get_embedding_dimension() == len(VOCABULARY)
    assert ours.max_seq_length == theirs.max_seq_length


def test_refusals(both):
    for model in both:
        for options in ({"prompt_name": "x"}, {"batch_size": 0}, {"nonsense": 1}, {"max_active_dims": 0}):
            with pytest.raises(ValueError):
                model.encode(TEXTS, **options)
        with pytest.raises(ValueError):
            model.similarity_fn_name = "maxsim"
        with pytest.raises(ValueError):
            model.decode(torch.zeros(len(VOCABULARY)), top_k=0)
