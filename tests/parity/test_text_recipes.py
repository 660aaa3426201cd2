"""The two sides of each recipe in examples/recipes give the same."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("transformers")

from text_models import TEXTS, save
from transformers import BertForSequenceClassification

pytestmark = pytest.mark.parity
RECIPES = Path(__file__).resolve().parents[2] / "examples" / "recipes"


def both(name):
    for side in ("before", "after"):
        spec = importlib.util.spec_from_file_location(f"{name}_{side}", RECIPES / f"{name}_{side}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield module


def test_sentences(minilm_path):
    pytest.importorskip("sentence_transformers")
    before, after = (module.compare(str(minilm_path), TEXTS) for module in both("sentences"))
    np.testing.assert_allclose(after, before.numpy(), atol=2e-6)


def test_pipeline(tmp_path):
    folder = save(BertForSequenceClassification, tmp_path, num_labels=3)
    before, after = (module.classify(str(folder), TEXTS) for module in both("pipeline"))
    assert [[item["label"] for item in items] for items in after] == [[x["label"] for x in items] for items in before]
    scores = [[[item["score"] for item in items] for items in side] for side in (before, after)]
    np.testing.assert_allclose(*scores, atol=2e-6)


def test_fastapi():
    pytest.importorskip("fastapi")
    with np.load(RECIPES.parent / "traced_bert.npz") as reference:
        tokens = {name: reference[name].tolist() for name in ("input_ids", "token_type_ids")}
    before, after = (module.embed(module.Tokens(**tokens)) for module in both("fastapi"))
    np.testing.assert_allclose(after, before, atol=1e-5)
