"""MultiVectorEncoder beside sentence-transformers' own, case by case."""

import json
import string

import numpy as np
import pytest

pytest.importorskip("sentence_transformers")

import safetensors.torch
import torch
from sentence_transformers import MultiVectorEncoder
from sentence_transformers.base.modules import Dense, Normalize, Transformer
from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask
from text_models import TEXTS, save
from transformers import BertModel

import bertc

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore::bertc.TruncationWarning")]

PUNCTUATION = list(string.punctuation)
MARKERS = {"query": "[unused0] ", "document": "[unused1] "}


def make(folder, prompts=None, skip=(), tasks=None, kept=None, normalize=True, similarity=None, **transformer):
    encoder = Transformer(str(save(BertModel, folder / "plain")), **transformer)
    torch.manual_seed(1)
    dense = Dense(32, 16, bias=False, activation_function=torch.nn.Identity(), module_input_name="token_embeddings")
    mask = MultiVectorMask(list(skip), skiplist_tasks=tasks, keep_only_token_ids=kept)
    modules = [encoder, dense, mask, *([Normalize("token_embeddings")] if normalize else [])]
    model = MultiVectorEncoder(modules=modules, prompts=prompts, similarity_fn_name=similarity)
    model.save_pretrained(str(folder / "saved"))
    return folder / "saved"


def make_pylate(folder, **config):
    """As PyLate to version 3 saves: no mask, no normalisation, what is special at the top of the configuration."""
    path = make(folder)
    modules = json.loads((path / "modules.json").read_text())
    modules[1]["type"] = "pylate.models.Dense.Dense"
    (path / "modules.json").write_text(json.dumps(modules[:2]))
    old = {"query_prefix": "[unused0]", "document_prefix": "[unused1]", "query_length": 16, "document_length": 24}
    old |= {"model_type": "ColBERT", "do_query_expansion": True, "attend_to_expansion_tokens": False, **config}
    (path / "config_sentence_transformers.json").write_text(json.dumps(old))
    dense = json.loads((path / "1_Dense" / "config.json").read_text())
    kept = {name: dense[name] for name in ("in_features", "out_features", "bias", "activation_function")}
    (path / "1_Dense" / "config.json").write_text(json.dumps(kept))
    return path


def make_stanford(folder, metadata):
    """As the ColBERT of Stanford saves: the projection among the encoder's weights."""
    save(BertModel, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "architectures": ["HF_ColBERT"]}))
    weights = safetensors.torch.load_file(folder / "model.safetensors")
    torch.manual_seed(1)
    weights = {f"bert.{name}": tensor for name, tensor in weights.items()} | {"linear.weight": torch.randn(16, 32)}
    safetensors.torch.save_file(weights, folder / "model.safetensors", {"format": "pt"})
    if metadata is not None:
        (folder / "artifact.metadata").write_text(json.dumps(metadata))
    return folder


CASES = {
    "bare": make,
    "prompts": lambda folder: make(folder, {"query": "how many: ", "document": "the "}, PUNCTUATION),
    "fixed": lambda folder: make(folder, skip=PUNCTUATION, query_expansion={"strategy": "fixed", "length": 16}),
    "attend": lambda folder: make(folder, query_expansion={"strategy": "fixed", "attend": True, "length": 16}),
    "min": lambda folder: make(folder, query_expansion={"strategy": "min", "length": 12}, query_length=20),
    "token": lambda folder: make(folder, query_expansion={"strategy": "min", "length": 12, "token": "dog"}),
    "lengths": lambda folder: make(folder, query_length=8, document_length=12),
    "tasks": lambda folder: make(folder, skip=["the", "?", "nosuchtoken"], tasks=["query", "document"]),
    "kept": lambda folder: make(folder, kept=[2, 45, 60, 70, 80]),
    "raw": lambda folder: make(folder, normalize=False, similarity="meanmaxsim"),
    "pylate": make_pylate,
    "pylate-attend": lambda folder: make_pylate(folder, attend_to_expansion_tokens=True, skiplist_words=["dog"]),
    "pylate-plain": lambda folder: make_pylate(folder, do_query_expansion=False, prompts={"query": "who "}),
    "stanford": lambda folder: make_stanford(
        folder, {"query_maxlen": 16, "doc_maxlen": 30, "attend_to_mask_tokens": 0}
    ),
    "stanford-other": lambda folder: make_stanford(folder, {"mask_punctuation": False, "attend_to_mask_tokens": True}),
    "stanford-bare": lambda folder: make_stanford(folder, None),
}


@pytest.fixture(scope="module", params=CASES)
def both(request, tmp_path_factory):
    folder = CASES[request.param](tmp_path_factory.mktemp(request.param))
    return bertc.MultiVectorEncoder(folder), MultiVectorEncoder(str(folder), device="cpu")


def check(result, expected):
    assert type(result) is type(expected)
    if isinstance(expected, list):
        assert len(result) == len(expected)
        for one, other in zip(result, expected):
            check(one, other)
    else:
        assert result.shape == expected.shape and result.dtype == expected.dtype
        np.testing.assert_allclose(result, expected, atol=4e-6)


@pytest.mark.parametrize("method", ["encode", "encode_query", "encode_document"])
def test_encode(both, method):
    ours, theirs = (getattr(model, method) for model in both)
    for inputs in (TEXTS, TEXTS[0], TEXTS[3:4], np.array(TEXTS), tuple(TEXTS), []):
        check(ours(inputs), theirs(inputs, convert_to_numpy=True))
    for options in ({"prompt": "what "}, {"batch_size": 2}, {"normalize_embeddings": True}, {"prompt_name": "query"}):
        check(ours(TEXTS, **options), theirs(TEXTS, convert_to_numpy=True, **options))


def test_similarity(both):
    ours, theirs = both
    assert ours.similarity_fn_name == theirs.similarity_fn_name
    queries, documents = ours.encode_query(TEXTS[:3]), ours.encode_document([text for text in TEXTS if text] * 2)
    np.testing.assert_allclose(ours.similarity(queries, documents), theirs.similarity(queries, documents), atol=5e-5)
    single = theirs.similarity(queries[0], documents)
    np.testing.assert_allclose(ours.similarity(queries[0], documents), single, atol=5e-5)
    pairs = theirs.similarity_pairwise(queries, documents[:3])
    np.testing.assert_allclose(ours.similarity_pairwise(queries, documents[:3]), pairs, atol=5e-5)
    assert ours.get_embedding_dimension() == theirs.get_embedding_dimension()
    assert ours.max_seq_length == theirs.max_seq_length


def test_refusals(both):
    for model in both:
        for options in (
            {"prompt_name": "x"},
            {"batch_size": 0},
            {"nonsense": 1},
            {"output_value": "sentence_embedding"},
        ):
            with pytest.raises(ValueError):
                model.encode(TEXTS, **options)
        with pytest.raises(ValueError):
            model.encode(TEXTS, convert_to_tensor=True)
        with pytest.raises(ValueError):
            model.similarity_fn_name = "cosine"
