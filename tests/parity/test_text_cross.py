"""CrossEncoder beside sentence-transformers' own, case by case."""

import json

import numpy as np
import pytest

pytest.importorskip("sentence_transformers")

import torch
from sentence_transformers import CrossEncoder
from sentence_transformers.base.modules import Dense, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from text_models import PAIRS, TEXTS, save
from transformers import BertForSequenceClassification, BertModel

import bertc

pytestmark = pytest.mark.parity


def make_plain(folder, labels, **extra):
    """As sentence-transformers before 6 left them: a directory of transformers and a few words in its config.json."""
    save(BertForSequenceClassification, folder, num_labels=labels)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **extra}))
    return folder


def make_modules(folder, labels, **options):
    CrossEncoder(str(make_plain(folder / "plain", labels)), **options).save_pretrained(str(folder / "saved"))
    return folder / "saved"


def make_dense(folder, labels, **options):
    """A bare encoder, pooled, with a layer that scores."""
    transformer = Transformer(str(save(BertModel, folder / "plain")))
    dense = Dense(32, labels, activation_function=None, module_output_name="scores")
    modules = [transformer, Pooling(32, "cls"), Dense(32, 32, activation_function=torch.nn.GELU()), dense]
    CrossEncoder(modules=modules, **options).save_pretrained(str(folder / "saved"))
    return folder / "saved"


IDENTITY, TANH = "torch.nn.modules.linear.Identity", "torch.nn.modules.activation.Tanh"
PROMPTS = {"prompts": {"query": "how many: ", "none": ""}, "default_prompt_name": "query"}
CASES = {
    "plain1": lambda folder: make_plain(folder, 1),
    "plain3": lambda folder: make_plain(folder, 3),
    "plain1-v4": lambda folder: make_plain(folder, 1, sentence_transformers={"activation_fn": IDENTITY}),
    "plain1-v2": lambda folder: make_plain(folder, 1, sbert_ce_default_activation_function=TANH),
    "modules1": lambda folder: make_modules(folder, 1),
    "modules3": lambda folder: make_modules(folder, 3),
    "modules1-tanh": lambda folder: make_modules(folder, 1, activation_fn=torch.nn.Tanh()),
    "prompts": lambda folder: make_modules(folder, 1, **PROMPTS),
    "short": lambda folder: make_modules(folder, 3, max_length=12),
    "dense1": lambda folder: make_dense(folder, 1),
    "dense4": lambda folder: make_dense(folder, 4),
}


@pytest.fixture(scope="module", params=CASES)
def both(request, tmp_path_factory):
    folder = CASES[request.param](tmp_path_factory.mktemp(request.param))
    return bertc.CrossEncoder(folder), CrossEncoder(str(folder), device="cpu")


def check(result, expected):
    assert type(result) is type(expected) and result.dtype == expected.dtype and result.shape == expected.shape
    np.testing.assert_allclose(result, expected, atol=3e-6)


INPUTS = {
    "pairs": PAIRS,
    "lists": [list(pair) for pair in PAIRS],
    "tuple": tuple(PAIRS),
    "array": np.array(PAIRS),
    "pair": PAIRS[0],
    "array-pair": np.array(PAIRS[1]),
    "one": PAIRS[:1],
    "text": TEXTS[0],
    "none": [],
}


@pytest.mark.filterwarnings("ignore::bertc.TruncationWarning")
@pytest.mark.parametrize("name", INPUTS)
def test_predict(both, name):
    ours, theirs = both
    check(ours.predict(INPUTS[name]), theirs.predict(INPUTS[name]))


OPTIONS = {
    "softmax": {"apply_softmax": True},
    "softmax-tanh": {"apply_softmax": True, "activation_fn": torch.nn.Tanh()},
    "sigmoid": {"activation_fn": torch.nn.Sigmoid()},
    "identity": {"activation_fn": torch.nn.Identity()},
    "prompt": {"prompt": "what: "},
    "both prompts": {"prompt": "what: ", "prompt_name": "nothing"},
    "batch": {"batch_size": 2},
    "tensor": {"convert_to_numpy": False},
}


@pytest.mark.filterwarnings("ignore::bertc.TruncationWarning")
@pytest.mark.parametrize("name", OPTIONS)
def test_options(both, name):
    ours, theirs = both
    expected = theirs.predict(PAIRS, **OPTIONS[name])
    result = ours.predict(PAIRS, **OPTIONS[name])
    assert isinstance(result, list) == isinstance(expected, list)
    check(np.stack(result), np.stack([np.asarray(score) for score in expected]))


@pytest.mark.filterwarnings("ignore::bertc.TruncationWarning")
def test_rank(both):
    ours, theirs = both
    assert ours.num_labels == theirs.num_labels
    if theirs.num_labels != 1:
        for model in both:
            with pytest.raises(ValueError, match="num_labels=1"):
                model.rank(TEXTS[0], TEXTS)
        return
    for options in ({}, {"top_k": 3}, {"return_documents": True}, {"top_k": 0}, {"activation_fn": torch.nn.Identity()}):
        result, expected = ours.rank(TEXTS[0], TEXTS, **options), theirs.rank(TEXTS[0], TEXTS, **options)
        assert [list(item) for item in result] == [list(item) for item in expected]
        assert [item["corpus_id"] for item in result] == [item["corpus_id"] for item in expected]
        assert [item.get("text") for item in result] == [item.get("text") for item in expected]
        assert all(type(item["score"]) is float for item in result)
        scores = [[item["score"] for item in items] for items in (result, expected)]
        np.testing.assert_allclose(*scores, atol=3e-6)
    assert ours.rank(TEXTS[0], []) == theirs.rank(TEXTS[0], []) == []


def test_refusals(both):
    for model in both:
        with pytest.raises(ValueError, match="nothing"):
            model.predict(PAIRS, prompt_name="nothing")
        with pytest.raises(ValueError, match="batch_size"):
            model.predict(PAIRS, batch_size=0)
