"""The recipes of examples/recipes, as far as they need no PyTorch."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tokenizers")

from tiny import TEXTS, make_bert

import bertc

RECIPES = Path(__file__).resolve().parents[2] / "examples" / "recipes"


def load(name):
    spec = importlib.util.spec_from_file_location(name, RECIPES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_sentences(minilm_path):
    similarities = load("sentences_after").compare(minilm_path, ["A dog barks.", "A hound bays.", "Shares fell."])
    assert similarities.shape == (3, 3) and similarities[0, 1] > similarities[0, 2]


def test_pipeline(tmp_path):
    labels = {"id2label": {"0": "bad", "1": "good"}, "label2id": {"bad": 0, "good": 1}}
    folder = make_bert(tmp_path, "BertForSequenceClassification", **labels)
    results = load("pipeline_after").classify(str(folder), TEXTS)
    assert [sorted(item["label"] for item in result) for result in results] == [["bad", "good"]] * len(TEXTS)


def test_fastapi():
    pytest.importorskip("fastapi")
    recipe = load("fastapi_after")
    with np.load(RECIPES.parent / "traced_bert.npz") as reference:
        names = ("input_ids", "token_type_ids")
        tokens = recipe.Tokens(**{name: reference[name].tolist() for name in names})
        assert recipe.embed(tokens) == pytest.approx(reference["pooled"], abs=1e-5)
    assert any(route.path == "/embed" for route in recipe.app.routes)
    assert isinstance(recipe.model, bertc.Model)
