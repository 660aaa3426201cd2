"""Directories whose JSON files say nonsense: every value is replaced in turn, and only proper errors come of it."""

import copy
import json

import pytest

pytest.importorskip("tokenizers")

from test_multi_vector import make, make_stanford
from test_sparse import KIND, make_router
from tiny import VOCABULARY, add_modules, make_bert, write_json

import bertc

NONSENSE = [5, -1, "x", None, [], {}, [[]], True, 1e30]
EXPANSION = {"strategy": "fixed", "length": 12, "attend": False, "token": "dog"}
PYLATE = {"model_type": "ColBERT", "query_prefix": "[unused0]", "query_length": 9, "skiplist_words": ["a"]}


def make_multi_vector(folder):
    mask = {"skiplist_words": ["a"], "skiplist_tasks": ["query"], "keep_only_token_ids": [2]}
    return make(folder, {"query_expansion": EXPANSION, "document_length": 9}, mask, similarity_fn_name="maxsim")


def make_pylate(folder):
    make(folder, **PYLATE, prompts={"query": "a"}, default_prompt_name="query")
    write_json(folder / "modules.json", json.loads((folder / "modules.json").read_text())[:2])
    return folder


def make_sparse(folder):
    pooling = KIND, {"pooling_strategy": "max", "activation_function": "relu"}
    make_bert(folder, "BertForMaskedLM")
    return add_modules(folder, pooling, prompts={"query": "a"}, similarity_fn_name="dot", max_active_dims=4)


def make_cross(folder):
    make_bert(folder, "BertForSequenceClassification")
    return add_modules(folder, activation_fn="torch.nn.Tanh", prompts={"query": "a"}, default_prompt_name="query")


CASES = {
    "multi-vector": (bertc.MultiVectorEncoder, make_multi_vector),
    "pylate": (bertc.MultiVectorEncoder, make_pylate),
    "stanford": (bertc.MultiVectorEncoder, lambda folder: make_stanford(folder, query_maxlen=9, doc_token_id="a")),
    "sparse": (bertc.SparseEncoder, make_sparse),
    "router": (bertc.SparseEncoder, lambda folder: make_router(folder, idf_json=dict.fromkeys(VOCABULARY[:20], 1.0))),
    "cross": (bertc.CrossEncoder, make_cross),
}


def places(value, path=()):
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*path, key))


def replaced(value, path, nonsense):
    if not path:
        return nonsense
    value = copy.deepcopy(value)
    target = value
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = nonsense
    return value


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CASES)
def test_nonsense(name, tmp_path):
    kind, maker = CASES[name]
    folder = maker(tmp_path)
    others = ("config.json", "tokenizer_config.json")  # of transformers; other tests have them
    files = [*folder.rglob("*.json"), *folder.glob("artifact.metadata")]
    for file in files:
        if file.name in others and (file.parent == folder or "Transformer" in file.parent.name):
            continue
        text = file.read_text()
        good = json.loads(text)
        for path in places(good):
            for nonsense in NONSENSE:
                file.write_text(json.dumps(replaced(good, path, nonsense)))
                try:
                    encoder = kind(folder)
                    if kind is bertc.CrossEncoder:
                        encoder.predict(("a", "b"))
                    else:
                        encoder.encode_query("the dog"), encoder.encode_document("the dog")
                except (bertc.Error, FileNotFoundError) as error:
                    assert str(error)
        file.write_text(text)
