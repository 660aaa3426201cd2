"""MultiVectorEncoder without sentence-transformers: what it computes, its layouts, its refusals."""

import json
import string

import numpy as np
import pytest

pytest.importorskip("tokenizers")

from tiny import TEXTS, VOCABULARY, WIDTH, add_modules, make_bert, random_weights, write_json, write_weights

import bertc

KIND = "sentence_transformers.multi_vector_encoder.modules."
WEIGHT = random_weights({"linear.weight": (8, WIDTH)}, seed=1)["linear.weight"]
TOKENS = {"module_input_name": "token_embeddings"}
MASK = VOCABULARY.index("[MASK]")


def make(folder, transformer=None, mask=None, **config):
    make_bert(folder)
    dense = {**TOKENS, "bias": False, "activation_function": "torch.nn.modules.linear.Identity"}
    modules = [(f"{KIND}Dense", dense), (f"{KIND}MultiVectorMask", mask or {}), (f"{KIND}Normalize", TOKENS)]
    add_modules(folder, *modules, **config)
    write_weights(folder / "1_Dense" / "model.safetensors", {"linear.weight": WEIGHT})
    write_json(folder / "sentence_bert_config.json", transformer or {})
    return folder


def make_stanford(folder, **metadata):
    make_bert(folder)
    weights = {f"bert.{name}": array for name, array in bertc.load_state_dict(folder / "model.safetensors").items()}
    (folder / "model.safetensors").unlink()
    write_weights(folder / "model.safetensors", {**weights, "linear.weight": WEIGHT})
    config = json.loads((folder / "config.json").read_text())
    write_json(folder / "config.json", {**config, "architectures": ["HF_ColBERT"]})
    write_json(folder / "artifact.metadata", metadata)
    return folder


def vectors_of(encoder, ids, mask=None):
    """The normalised projections of all positions, by the model itself."""
    mask = np.ones(len(ids), int) if mask is None else mask
    hidden = encoder.model(input_ids=[ids], attention_mask=[mask])["last_hidden_state"][0]
    vectors = hidden @ WEIGHT.T
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def check(result, expected):
    assert result.dtype == np.float32 and result.shape == expected.shape
    np.testing.assert_allclose(result, expected, atol=2e-6)


def test_documents(tmp_path):
    encoder = bertc.MultiVectorEncoder(make(tmp_path, mask={"skiplist_words": [*string.punctuation, "nosuchtoken"]}))
    results = encoder.encode_document(TEXTS)
    assert type(results) is list
    for text, result in zip(TEXTS, results):
        ids = encoder.tokenizer.encode(text).ids
        kept = [i for i, token in enumerate(ids) if VOCABULARY[token] not in string.punctuation]
        check(result, vectors_of(encoder, ids)[kept])
    assert len(encoder.encode_query(TEXTS[0])) == len(encoder.encode_document(TEXTS[0])) + 1  # the question mark
    assert np.array_equal(encoder.encode(TEXTS[0]), results[0])
    stream = encoder.encode(iter(TEXTS), batch_size=1)
    assert np.array_equal(next(stream), results[0]) and len(list(stream)) == len(TEXTS) - 1
    assert encoder.encode([]) == [] and encoder.get_embedding_dimension() == len(WEIGHT)


@pytest.mark.parametrize("attend", [False, True])
@pytest.mark.parametrize("strategy", ["fixed", "min"])
def test_queries_are_filled_up(tmp_path, strategy, attend):
    expansion = {"strategy": strategy, "attend": attend, "length": 12}
    settings = {"query_expansion": expansion, "query_length": 20}
    encoder = bertc.MultiVectorEncoder(make(tmp_path, settings, prompts={"query": "how "}))
    results = encoder.encode_query(TEXTS, truncation="ignore")
    for text, result in zip(TEXTS, results):
        ids = encoder.tokenizer.encode(f"how {text}", max_length=12 if strategy == "fixed" else 20).ids
        filled = max(12 - len(ids), 0)
        check(result, vectors_of(encoder, ids + [MASK] * filled, [1] * len(ids) + [int(attend)] * filled))
        assert np.array_equal(encoder.encode_query(text, truncation="ignore"), result)


def test_tokens_that_alone_count(tmp_path):
    settings = {"keep_only_token_ids": [VOCABULARY.index("dog")]}
    encoder = bertc.MultiVectorEncoder(make(tmp_path, mask=settings))
    assert [len(x) for x in encoder.encode_document(["the dog", "dog dog", "cat"])] == [1, 2, 0]
    assert len(encoder.encode_query("cat")) == 3
    assert encoder.similarity(["dog"] and encoder.encode_query(["dog"]), encoder.encode(["cat"])) == [[-1e9]]


def test_stanford(tmp_path):
    encoder = bertc.MultiVectorEncoder(make_stanford(tmp_path, query_maxlen=14, doc_maxlen=10))
    query, document = (VOCABULARY.index(token) for token in ("[unused0]", "[unused1]"))
    ids = encoder.tokenizer.encode("dog").ids
    expected = vectors_of(encoder, [ids[0], query, *ids[1:], *[MASK] * 10], [1] * 4 + [0] * 10)
    check(encoder.encode_query("dog"), expected)
    check(encoder.encode_document("dog"), vectors_of(encoder, [ids[0], document, *ids[1:]]))
    with pytest.warns(bertc.TruncationWarning) as caught:
        assert len(encoder.encode_document(TEXTS[4])) == 10
    assert caught[0].message.max_length == 10


def test_pylate(tmp_path):
    config = {"model_type": "ColBERT", "query_prefix": "[unused0]", "document_prefix": "[unused1]", "query_length": 9}
    folder = make(tmp_path, **config, prompts={"query": "the "})
    write_json(folder / "modules.json", json.loads((folder / "modules.json").read_text())[:2])
    encoder = bertc.MultiVectorEncoder(folder)
    assert encoder.prompts == {"query": "[unused0]the ", "document": "[unused1]"}
    tokens = encoder.tokenizer.encode(encoder.prompts["query"] + "dog").tokens
    assert tokens == ["[CLS]", "[unused0]", "the", "dog", "[SEP]"]
    assert encoder.encode_query("dog").shape == (9, 8)
    vectors = encoder.encode_document("the dog.")
    assert vectors.shape == (5, 8) and np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-6)


def test_similarity(tmp_path):
    encoder = bertc.MultiVectorEncoder(make(tmp_path, similarity_fn_name="meanmaxsim"))
    vectors = encoder.encode(TEXTS)
    assert encoder.similarity(vectors, vectors).diagonal() == pytest.approx(1, abs=1e-5)
    encoder.similarity_fn_name = "maxsim"
    assert encoder.similarity_pairwise(vectors, vectors) == pytest.approx([len(x) for x in vectors], abs=1e-4)


def test_refusals(tmp_path):
    encoder = bertc.MultiVectorEncoder(make(tmp_path / "good"))
    for options in ({"prompt_name": "x"}, {"batch_size": 0}, {"nonsense": 1}, {"output_value": "sentence_embedding"}):
        with pytest.raises(bertc.InputError):
            encoder.encode(TEXTS, **options)
    with pytest.raises(bertc.InputError):
        encoder.similarity_fn_name = "cosine"
    for name, expansion in (("a", {"strategy": "max", "length": 4}), ("b", {"strategy": "min"})):
        with pytest.raises(bertc.FormatError, match="query_expansion"):
            bertc.MultiVectorEncoder(make(tmp_path / name, {"query_expansion": expansion}))
    with pytest.raises(bertc.UnsupportedError, match="projection"):
        bertc.MultiVectorEncoder(make_bert(tmp_path / "bare"))
    with pytest.raises(bertc.UnsupportedError, match="Pooling"):
        bertc.MultiVectorEncoder(add_modules(make_bert(tmp_path / "pooled"), (f"{KIND}Pooling", {})))
    folder = make_stanford(tmp_path / "stanford")
    (folder / "model.safetensors").unlink()
    write_weights(folder / "model.safetensors", random_weights({"linear.weight": (8,)}))
    with pytest.raises(bertc.FormatError, match=r"linear\.weight"):
        bertc.MultiVectorEncoder(folder)
