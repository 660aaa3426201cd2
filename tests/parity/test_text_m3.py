"""M3Encoder beside the three heads of bge-m3 written with PyTorch, over a small XLM-RoBERTa."""

import numpy as np
import pytest

pytest.importorskip("transformers")

import torch
from text_models import TEXTS, WORDS
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast, XLMRobertaConfig, XLMRobertaModel

import bertc

pytestmark = pytest.mark.parity
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("m3")
    pieces = [f"▁{word}" for word in WORDS.split()] + list("▁abcdefghijklmnopqrstuvwxyz.,?!;")
    tokenizer = Tokenizer(models.Unigram([(p, -float(i)) for i, p in enumerate(SPECIAL + pieces)], unk_id=3))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    special = dict(zip(("cls_token", "pad_token", "eos_token", "unk_token"), SPECIAL))
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=40, **special)
    fast.save_pretrained(path)
    config = XLMRobertaConfig(
        vocab_size=len(fast),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=48,
        pad_token_id=1,
        initializer_range=0.3,
    )
    torch.manual_seed(0)
    XLMRobertaModel(config).save_pretrained(path)
    for name, width in (("sparse", 1), ("colbert", 24)):
        torch.save(torch.nn.Linear(32, width).state_dict(), path / f"{name}_linear.pt")
    return path


@torch.inference_mode()
def reference(folder, text):
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    inputs = tokenizer(text, return_tensors="pt", truncation=True)
    hidden = XLMRobertaModel.from_pretrained(folder)(inputs["input_ids"], inputs["attention_mask"])[0][0]
    layers = {}
    for name in ("sparse", "colbert"):
        state = torch.load(folder / f"{name}_linear.pt")
        layers[name] = torch.nn.Linear(32, len(state["weight"]))
        layers[name].load_state_dict(state)
    weights = {}
    for token, weight in zip(inputs["input_ids"][0].tolist(), layers["sparse"](hidden)[:, 0].relu().tolist()):
        if token not in tokenizer.all_special_ids and weight > weights.get(token, 0):
            weights[token] = weight
    dense = torch.nn.functional.normalize(hidden[0], dim=-1)
    colbert = torch.nn.functional.normalize(layers["colbert"](hidden[1:]), dim=-1)
    return dense.numpy(), weights, colbert.numpy()


def test_embeddings_and_scores(folder):
    encoder = bertc.M3Encoder(folder)
    texts = [*TEXTS, TEXTS[5] * 3]
    with pytest.warns(bertc.TruncationWarning):
        vectors = encoder.encode(texts)
    expected = [reference(folder, text) for text in texts]
    for i, (dense, weights, colbert) in enumerate(expected):
        np.testing.assert_allclose(vectors.dense[i], dense, atol=2e-6)
        assert vectors.sparse[i].as_dict() == pytest.approx(weights, abs=2e-6)
        assert vectors.multi_vector[i].shape == colbert.shape
        np.testing.assert_allclose(vectors.multi_vector[i], colbert, atol=2e-6)
    query, document = expected[0], expected[3]
    scores = [
        query[0] @ document[0],
        sum(weight * document[1].get(token, 0) for token, weight in query[1].items()),
        (query[2] @ document[2].T).max(axis=1).mean(),
    ]
    for weights in ((1, 0, 0), (0, 1, 0), (0, 0, 1), (0.4, 0.2, 0.4)):
        total = np.dot(weights, scores) / sum(weights)
        assert encoder.similarity(vectors, vectors, weights)[0, 3] == pytest.approx(total, abs=5e-6)
