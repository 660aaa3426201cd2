"""CrossEncoder without sentence-transformers: what it computes, its layouts, its refusals."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

pytest.importorskip("tokenizers")

from tiny import TEXTS, WIDTH, add_modules, make_bert, random_weights, write_weights

import bertc

PAIRS = [(TEXTS[i], TEXTS[j]) for i, j in [(0, 1), (3, 0), (2, 3), (1, 3)]]
LABELS = {"id2label": {str(i): f"L{i}" for i in range(3)}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_bert(tmp_path_factory.mktemp("one"), "BertForSequenceClassification")


@pytest.fixture(scope="module")
def encoder(folder):
    return bertc.CrossEncoder(folder)


def logits(encoder, pairs, **options):
    """By the model itself, one pair at a time."""
    encodings = encoder.tokenizer.encode_batch(pairs, **options)
    results = [encoder.model(input_ids=[e.ids], token_type_ids=[e.type_ids])["logits"][0] for e in encodings]
    return np.array(results)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_predict(encoder):
    expected = sigmoid(logits(encoder, PAIRS))[:, 0]
    scores = encoder.predict(PAIRS)
    assert scores.dtype == np.float32 and scores == pytest.approx(expected, abs=1e-6)
    assert encoder.num_labels == 1
    for i, pair in enumerate(PAIRS):
        single = encoder.predict(list(pair))
        assert single.shape == () and single.tobytes() == scores[i].tobytes()
    assert np.array_equal(encoder.predict(iter(PAIRS), batch_size=1), scores)
    assert encoder.predict(PAIRS, activation_fn=np.negative) == pytest.approx(-logits(encoder, PAIRS)[:, 0], abs=1e-6)
    assert encoder.predict([]).shape == (0,)
    prompted = encoder.predict(PAIRS, prompt="the ")
    assert np.array_equal(prompted, encoder.predict([(f"the {first}", second) for first, second in PAIRS]))


def test_several_labels(tmp_path):
    encoder = bertc.CrossEncoder(make_bert(tmp_path, "BertForSequenceClassification", **LABELS))
    expected = logits(encoder, PAIRS)
    assert encoder.num_labels == 3 and encoder.predict(PAIRS) == pytest.approx(expected, abs=1e-6)
    shares = encoder.predict(PAIRS, apply_softmax=True)
    assert shares == pytest.approx(np.exp(expected) / np.exp(expected).sum(1, keepdims=True), abs=1e-6)
    assert encoder.predict(PAIRS[0]).shape == (3,)
    for call in (lambda: encoder.rank("a", TEXTS), lambda: encoder.predict(PAIRS, truncation="window")):
        with pytest.raises(ValueError, match="label"):
            call()


def test_rank(encoder):
    scores = encoder.predict([(TEXTS[0], text) for text in TEXTS])
    order = np.argsort(-scores).tolist()
    ranked = encoder.rank(TEXTS[0], TEXTS, return_documents=True)
    assert ranked == [{"corpus_id": i, "score": float(scores[i]), "text": TEXTS[i]} for i in order]
    assert encoder.rank(TEXTS[0], TEXTS, 2) == [{"corpus_id": i, "score": float(scores[i])} for i in order[:2]]
    assert encoder.rank(TEXTS[0], []) == []


def test_long_pairs(encoder):
    pair = (TEXTS[0], TEXTS[4] * 3)
    with pytest.warns(bertc.TruncationWarning) as caught:
        score = encoder.predict([PAIRS[0], pair])[1]
    assert caught[0].message.indices == [1] and caught[0].message.max_length == encoder.max_seq_length == 40
    assert score == pytest.approx(sigmoid(logits(encoder, [pair], max_length=40))[0, 0], abs=1e-6)
    with pytest.raises(bertc.InputError):
        encoder.predict(pair, truncation="error")
    encodings = encoder.tokenizer.encode(pair, max_length=40, strategy="only_second")
    windows = [encodings, *encodings.overflowing]
    best = max(encoder.model(input_ids=[w.ids], token_type_ids=[w.type_ids])["logits"][0, 0] for w in windows)
    assert encoder.predict(pair, truncation="window") == pytest.approx(sigmoid(best), abs=1e-6)


@pytest.mark.parametrize(
    ("config", "function"),
    [
        ({"sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"}}, lambda x: x),
        ({"sbert_ce_default_activation_function": "torch.nn.modules.activation.Tanh"}, np.tanh),
        ({}, sigmoid),
    ],
)
def test_activation_of_the_configuration(tmp_path, config, function):
    encoder = bertc.CrossEncoder(make_bert(tmp_path, "BertForSequenceClassification", **config))
    assert encoder.predict(PAIRS) == pytest.approx(function(logits(encoder, PAIRS))[:, 0], abs=1e-6)


def test_unknown_activation_is_not_used(tmp_path, folder, encoder):
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    add_modules(tmp_path, activation_fn="mine.Activation", prompts={"query": "the "}, default_prompt_name="query")
    with pytest.warns(UserWarning, match=r"mine\.Activation"):
        other = bertc.CrossEncoder(tmp_path)
    assert np.array_equal(other.predict(PAIRS), encoder.predict(PAIRS, prompt="the "))
    assert np.array_equal(other.predict(PAIRS, prompt=""), encoder.predict(PAIRS))


def test_modules_that_score(tmp_path):
    kind = "sentence_transformers.models."
    folder = make_bert(tmp_path)
    dense = {"in_features": WIDTH, "out_features": 2, "module_output_name": "scores"}
    dense["activation_function"] = "torch.nn.modules.linear.Identity"
    add_modules(folder, (f"{kind}Pooling", {"pooling_mode_cls_token": True}), (f"{kind}Dense", dense))
    weights = random_weights({"linear.weight": (2, WIDTH), "linear.bias": (2,)})
    write_weights(folder / "2_Dense" / "model.safetensors", weights)
    encoder = bertc.CrossEncoder(folder)
    encodings = encoder.tokenizer.encode_batch(PAIRS)
    hidden = [encoder.model(input_ids=[e.ids], token_type_ids=[e.type_ids])[0][0, 0] for e in encodings]
    assert encoder.predict(PAIRS) == pytest.approx(
        hidden @ weights["linear.weight"].T + weights["linear.bias"], abs=1e-5
    )
    dense["module_output_name"] = "sentence_embedding"
    (folder / "2_Dense" / "config.json").write_text(json.dumps(dense))
    with pytest.raises(bertc.UnsupportedError, match="scores"):
        bertc.CrossEncoder(folder)


def test_a_model_and_a_tokenizer(folder, encoder):
    other = bertc.CrossEncoder(bertc.load(folder), tokenizer=folder, max_length=12)
    assert other.max_seq_length == 12
    assert other.predict(PAIRS[:3], truncation="ignore")[2] == encoder.predict(PAIRS[2])


def test_refusals(folder, encoder):
    for options in ({"prompt_name": "x"}, {"batch_size": 0}, {"nonsense": 1}, {"activation_fn": "Nonsense"}):
        with pytest.raises(bertc.InputError):
            encoder.predict(PAIRS, **options)
    for call in (
        lambda: encoder.predict([1, 2]),
        lambda: encoder.predict(PAIRS, activation_fn=3),
        lambda: bertc.CrossEncoder(folder, num_labels=2),
        lambda: bertc.CrossEncoder(bertc.load(folder)),
    ):
        with pytest.raises(bertc.InputError):
            call()


def test_a_model_without_scores(tmp_path):
    with pytest.raises(bertc.UnsupportedError, match="no scores"):
        bertc.CrossEncoder(make_bert(tmp_path))


def test_threads_share_it(encoder):
    expected = encoder.predict(PAIRS)
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(encoder.predict, [PAIRS] * 32))
    assert all(np.array_equal(result, expected) for result in results)
