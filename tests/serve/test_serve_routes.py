"""The other routes: Cohere's, infinity's, pipelines', bare models', several models, the router."""

import io
import json

import numpy as np
import pytest

import bertc

pytest_plugins = ["servers"]

TEXTS = ["How many people live in Berlin?", "dog", "the dog and the cat"]


def test_rerank_documents(client_of, folders):
    client = client_of("reranker")
    expected = bertc.CrossEncoder(folders["reranker"]).rank("berlin", TEXTS)
    documents = [TEXTS[0], {"text": TEXTS[1], "title": "more"}, TEXTS[2]]
    body = {"query": "berlin", "documents": documents, "return_documents": True, "top_n": 2, "model": "any"}
    for path, bare in (("/v1/rerank", False), ("/v2/rerank", False), ("/rerank", True)):
        answer = client.post(path, body).json()
        assert [result["index"] for result in answer["results"]] == [entry["corpus_id"] for entry in expected[:2]]
        text = TEXTS[expected[0]["corpus_id"]]
        assert answer["results"][0]["document"] == (text if bare else {"text": text})
        assert answer["model"] == "reranker" and answer["usage"]["total_tokens"] > 0
    answer = client.post("/v1/rerank", {"query": "berlin", "documents": TEXTS}).json()
    assert len(answer["results"]) == 3 and "document" not in answer["results"][0]
    assert client.post("/v1/rerank", {"query": "berlin", "documents": TEXTS, "top_n": 0}).status_code == 422
    assert (
        client.post("/v1/rerank", {"query": "berlin", "documents": []}).json()["detail"] == "`inputs` cannot be empty"
    )


def test_m3(client_of, folders):
    encoder = bertc.M3Encoder(folders["m3"])
    expected = encoder.encode(TEXTS)
    client = client_of("m3")
    assert client.get("/v1/models").json()["data"][0]["capabilities"] == ["embed", "sparse", "forward"]
    assert (np.float32(client.post("/embed", {"inputs": TEXTS}).json()) == expected.dense).all()
    for ours, row in zip(client.post("/embed_sparse", {"inputs": TEXTS}).json(), expected.sparse):
        assert {value["index"]: value["value"] for value in ours} == pytest.approx(row.as_dict())
    assert client.post("/v1/embeddings", {"input": TEXTS, "dimensions": 4}).status_code == 200
    assert client.post("/embed_all", {"inputs": TEXTS}).status_code == 424


def test_classify(client_of):
    answer = client_of("classifier").post("/classify", {"input": TEXTS}).json()
    assert answer["object"] == "classify" and len(answer["data"]) == 3
    assert sum(entry["score"] for entry in answer["data"][0]) == pytest.approx(1, abs=1e-5)


def test_entities(client_of, folders):
    text = "Angela Merkel met Barack Obama in Berlin."
    expected = bertc.pipeline("ner", folders["entities"], aggregation_strategy="simple")([text])[0]
    client = client_of("entities")
    found = client.post("/ner", {"inputs": text}).json()
    assert found == json.loads(json.dumps(found))
    assert [(e["word"], e["start"], e["end"], e["entity_group"]) for e in found] == [
        (e["word"], e["start"], e["end"], e["entity_group"]) for e in expected
    ]
    assert client.post("/ner", {"inputs": [text, text]}).json() == [found, found]
    assert client.post("/ner", {"inputs": text, "aggregation_strategy": "some"}).status_code == 422


def test_answers(client_of, folders):
    question = {"question": "What is the capital of France?", "context": "Paris is the capital of France."}
    expected = bertc.pipeline("question-answering", folders["answers"])(question)
    client = client_of("answers")
    found = client.post("/qa", {"inputs": question}).json()
    assert (found["answer"], found["start"], found["end"]) == (expected["answer"], expected["start"], expected["end"])
    assert client.post("/qa", {"inputs": [question] * 2}).json() == [found] * 2
    assert client.post("/qa", {"inputs": {"question": "a"}}).status_code == 422


def test_masks(client_of, folders):
    pipe = bertc.pipeline("fill-mask", folders["masks"])
    text = f"Paris is the {pipe.tokenizer.mask_token} of France."
    found = client_of("masks").post("/fill_mask", {"inputs": text, "top_k": 2}).json()
    assert [entry["token_str"] for entry in found] == [entry["token_str"] for entry in pipe(text, top_k=2)]
    assert client_of("masks").post("/fill_mask", {"inputs": "no mask"}).status_code in (200, 422)


def test_zero_shot(client_of):
    body = {"inputs": "the dog", "candidate_labels": ["cat", "dog"]}
    found = client_of("classifier").post("/zero_shot", body).json()
    nested = {"inputs": "the dog", "parameters": {"candidate_labels": ["cat", "dog"]}}
    assert client_of("classifier").post("/zero_shot", nested).json() == found
    assert sorted(found["labels"]) == ["cat", "dog"] and sum(found["scores"]) == pytest.approx(1, abs=1e-5)
    assert client_of("classifier").post("/zero_shot", {**body, "candidate_labels": []}).status_code == 422


def test_forward(client_of, bert_path):
    model = bertc.load(bert_path)
    names = [argument.name for argument in model.inputs]
    ids = np.array([[5, 6, 7], [8, 9, 0]])
    mask = np.array([[1, 1, 1], [1, 1, 0]])
    expected = model(ids, mask, np.zeros_like(ids))
    client = client_of("traced")
    values = [ids.tolist(), mask.tolist(), np.zeros_like(ids).tolist()]
    for keys in (names, ["0", "1", "2"]):
        body = {"inputs": dict(zip(keys, values))}
        outputs = client.post("/v1/forward", body).json()["outputs"]
        for name, array in zip(outputs, expected):
            assert outputs[name]["dtype"] == "float32" and outputs[name]["shape"] == list(array.shape)
            assert (np.array(outputs[name]["data"], np.float32) == array).all()
    response = client.post("/v1/forward", body, headers={"accept": "application/x-npy"})
    assert (np.load(io.BytesIO(response.content)) == expected[0]).all()
    response = client.post("/v1/forward", body, headers={"accept": "application/x-safetensors"})
    tensors = bertc.load_state_dict(response.content)
    assert all((tensors[str(i)] == array).all() for i, array in enumerate(expected))
    body["outputs"] = ["1"]
    assert list(client.post("/v1/forward", body).json()["outputs"]) == ["1"]


@pytest.mark.parametrize(
    "body",
    [
        {"inputs": {}},
        {"inputs": {"0": [[1, 2], [3]]}},
        {"inputs": {"0": "text"}},
        {"inputs": {"0": [[1, 2]], "other": [[1, 2]]}},
        {"inputs": {"0": [[10**30]]}},
        {"inputs": {"0": [[]]}},
        {"inputs": {"0": [[1]], "1": [[1]], "2": [[0]]}, "outputs": ["none"]},
    ],
)
def test_forward_errors(client_of, body):
    response = client_of("traced").post("/v1/forward", body)
    assert response.status_code == 422 and response.json()["error_type"] == "Validation"


def test_several_models(client_of):
    client = client_of("embedding", "sparse", "reranker", "classifier", "entities")
    assert client.post("/embed", {"inputs": "dog"}).status_code == 200
    assert client.post("/embed_sparse", {"inputs": "dog"}).status_code == 200
    assert client.post("/rerank", {"query": "a", "texts": ["b"]}).status_code == 200
    assert len(client.post("/predict", {"inputs": "a", "model": "classifier"}).json()) == 3
    assert len(client.post("/predict", {"inputs": "a", "model": "reranker"}).json()) == 1
    assert client.post("/predict", {"inputs": "a", "model": "none"}).status_code == 404
    assert client.post("/embed", {"inputs": "a", "model": "none"}).status_code == 200  # there is only one
    assert client.post("/embed", {"inputs": "a", "model": "reranker"}).status_code == 424
    models = client.get("/v1/models").json()["data"]
    assert [model["id"] for model in models] == ["embedding", "sparse", "reranker", "classifier", "entities"]


def test_router(folders):
    from fastapi import FastAPI
    from servers import Client

    import bertc.serve

    encoder = bertc.SentenceEncoder(folders["embedding"])
    app = FastAPI()

    @app.get("/own")
    def own() -> str:
        return "own"

    routes = bertc.serve.router({"mine": encoder}, max_client_batch_size=2)
    app.include_router(routes, prefix="/ai")
    client = Client(app, routes.engine)
    assert client.get("/own").json() == "own"
    found = client.post("/ai/embed", {"inputs": TEXTS[:2]}).json()
    assert (np.float32(found) == encoder.encode(TEXTS[:2], normalize_embeddings=True)).all()
    assert client.post("/ai/embed", {"inputs": TEXTS}).status_code == 422
    assert client.post("/ai/v1/embeddings", {"input": "dog", "model": "mine"}).json()["model"] == "mine"
    assert "/ai/embed" in client.get("/openapi.json").json()["paths"]
    client.close()
