"""The routes of text-embeddings-inference: fields, results, statuses, messages, headers."""

import json

import numpy as np
import pytest

import bertc

pytest_plugins = ["servers"]

TEXTS = ["How many people live in Berlin?", "dog", "the dog and the cat"]
LONG = "dog " * 100  # the models take 40 tokens


@pytest.fixture
def client(client_of):
    return client_of("embedding")


@pytest.fixture(scope="module")
def encoder(folders):
    return bertc.SentenceEncoder(folders["embedding"], truncation="ignore")


def f32(value):
    return np.array(value, np.float32)


def test_embed(client, encoder):
    response = client.post("/embed", {"inputs": TEXTS})
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert (f32(response.json()) == encoder.encode(TEXTS, normalize_embeddings=True)).all()


def test_embed_one_text_is_two_dimensional(client, encoder):
    found = client.post("/embed", {"inputs": "dog", "normalize": False}).json()
    assert (f32(found) == encoder.encode(["dog"])).all()


def test_embed_ids(client, encoder):
    ids = [encoder.tokenizer.encode(text).ids for text in TEXTS]
    expected = encoder.encode(TEXTS, normalize_embeddings=True)
    assert (f32(client.post("/embed", {"inputs": ids}).json()) == expected).all()
    assert (f32(client.post("/embed", {"inputs": ids[1]}).json()) == expected[1:2]).all()
    assert (f32(client.post("/embed", {"inputs": [ids[0], *TEXTS[1:]]}).json()) == expected).all()


def test_embed_prompt_and_dimensions(client, encoder):
    body = {"inputs": TEXTS, "prompt_name": "query", "dimensions": 8}
    expected = encoder.encode(TEXTS, prompt_name="query", truncate_dim=8, normalize_embeddings=True)
    assert (f32(client.post("/embed", body).json()) == expected).all()


@pytest.mark.parametrize("direction", ["Left", "left", "Right", "right"])
def test_truncation_direction(client, encoder, direction):
    texts = "cat " * 60 + "rain " * 60
    kept = "rain " * 60 if direction.lower() == "left" else texts
    body = {"inputs": texts, "truncate": True, "truncation_direction": direction}
    response = client.post("/embed", body)
    assert response.headers["x-compute-truncated"] == "1"
    assert (f32(response.json()[0]) == encoder.encode(kept, normalize_embeddings=True)).all()


def test_headers(client):
    headers = client.post("/embed", {"inputs": TEXTS}).headers
    assert headers["x-compute-characters"] == str(sum(map(len, TEXTS)))
    assert int(headers["x-compute-tokens"]) > 10
    for name in ("x-compute-time", "x-total-time", "x-tokenization-time", "x-queue-time", "x-inference-time"):
        assert int(headers[name]) >= 0
    assert "x-compute-tokens" not in client.post("/tokenize", {"inputs": "dog"}).headers


def test_embed_all(client, encoder):
    found = client.post("/embed_all", {"inputs": TEXTS}).json()
    for ours, theirs in zip(found, encoder.encode(TEXTS, output_value="token_embeddings")):
        assert (f32(ours) == theirs).all()


def test_similarity(client, encoder):
    body = {"inputs": {"source_sentence": TEXTS[0], "sentences": TEXTS}}
    found = client.post("/similarity", body).json()
    assert np.allclose(found, encoder.similarity(*[encoder.encode(TEXTS)] * 2)[0], atol=1e-6)


def test_tokenize_and_decode(client, encoder):
    (tokens,) = client.post("/tokenize", {"inputs": "dogs live"}).json()
    assert [token["text"] for token in tokens] == ["[CLS]", "dog", "##s", "live", "[SEP]"]
    assert tokens[0] == {"id": 2, "text": "[CLS]", "special": True, "start": None, "stop": None}
    assert (tokens[3]["start"], tokens[3]["stop"]) == (5, 9)
    (bare,) = client.post("/tokenize", {"inputs": ["dogs live"], "add_special_tokens": False}).json()
    assert bare == tokens[1:-1]
    ids = [token["id"] for token in tokens]
    assert client.post("/decode", {"ids": ids}).json() == ["dogs live"]
    assert client.post("/decode", {"ids": [ids], "skip_special_tokens": False}).json() == ["[CLS] dogs live [SEP]"]


def test_embed_sparse(client_of, folders):
    encoder = bertc.SparseEncoder(folders["sparse"])
    found = client_of("sparse").post("/embed_sparse", {"inputs": TEXTS}).json()
    for ours, row in zip(found, encoder.encode(TEXTS)):
        assert [value["index"] for value in ours] == row.indices.tolist()
        assert (f32([value["value"] for value in ours]) == row.values).all()


def test_rerank(client_of, folders):
    encoder = bertc.CrossEncoder(folders["reranker"])
    ranked = encoder.rank("berlin", TEXTS, return_documents=True)
    client = client_of("reranker")
    found = client.post("/rerank", {"query": "berlin", "texts": TEXTS, "return_text": True}).json()
    assert [(r["index"], r["text"]) for r in found] == [(r["corpus_id"], r["text"]) for r in ranked]
    assert np.allclose([r["score"] for r in found], [r["score"] for r in ranked])
    raw = client.post("/rerank", {"query": "berlin", "texts": TEXTS, "raw_scores": True}).json()
    assert "text" not in raw[0]
    expected = encoder.rank("berlin", TEXTS, activation_fn="Identity")
    assert np.allclose([r["score"] for r in raw], [r["score"] for r in expected])


def test_predict(client_of, folders):
    pipe = bertc.pipeline("text-classification", folders["classifier"], top_k=None)
    client = client_of("classifier")

    def expected(*texts):
        found = pipe([dict(zip(("text", "text_pair"), texts))])[0]
        return [(entry["label"], pytest.approx(entry["score"], abs=1e-6)) for entry in found]

    def labels(row):
        return [(entry["label"], entry["score"]) for entry in row]

    assert labels(client.post("/predict", {"inputs": "dog"}).json()) == expected("dog")
    assert labels(client.post("/predict", {"inputs": ["dog", "cat"]}).json()) == expected("dog", "cat")
    rows = client.post("/predict", {"inputs": [["dog"], ["dog", "cat"]]}).json()
    assert [labels(row) for row in rows] == [expected("dog"), expected("dog", "cat")]


@pytest.mark.parametrize(
    ("path", "body", "status", "kind", "message"),
    [
        ("/embed", {"inputs": []}, 400, "Empty", "`inputs` cannot be empty"),
        ("/embed", {"inputs": ""}, 422, "Validation", "`inputs` cannot be empty"),
        ("/embed", {"inputs": ["dog"] * 9}, 422, "Validation", "batch size 9 > maximum allowed batch size 8"),
        ("/embed", {"inputs": "dog", "dimensions": 0}, 422, "Validation", "`dimensions` should be positive"),
        ("/embed", {"inputs": "dog", "dimensions": 33}, 422, "Validation", "`dimensions` should be smaller"),
        ("/embed", {"inputs": "dog", "prompt_name": "none"}, 422, "Validation", "there is no prompt 'none'"),
        (
            "/embed",
            {"inputs": LONG, "truncate": False},
            422,
            "Validation",
            "`inputs` must have less than 40 tokens. Given: 102",
        ),
        ("/embed", {"inputs": [9999]}, 422, "Tokenizer", "there is no token 9999"),
        ("/embed", {"inputs": [-1]}, 422, "Tokenizer", "there is no token -1"),
        ("/embed", {"inputs": 3}, 422, "Validation", "inputs"),
        ("/embed", {"inputs": ["dog", 3]}, 422, "Validation", "inputs"),
        ("/embed", {"inputs": "dog", "normalize": "yes"}, 422, "Validation", "normalize: Input should be a valid bool"),
        ("/embed", {"inputs": "dog", "truncation_direction": "Up"}, 422, "Validation", "truncation_direction"),
        ("/embed", {}, 422, "Validation", "inputs: Field required"),
        ("/embed", [], 422, "Validation", "body"),
        ("/rerank", {"query": "a", "texts": ["b"]}, 424, "Backend", "model is not a re-ranker model"),
        ("/predict", {"inputs": "a"}, 424, "Backend", "model is not a classifier model"),
        ("/embed_sparse", {"inputs": "a"}, 424, "Backend", "model is not an embedding model with SPLADE pooling"),
        ("/ner", {"inputs": "a"}, 424, "Backend", "no model here is for token-classification"),
        ("/similarity", {"inputs": {"source_sentence": "a", "sentences": []}}, 400, "Empty", "cannot be empty"),
        ("/decode", {"ids": [[9999]]}, 422, "Tokenizer", "there is no token 9999"),
        ("/predict", {"inputs": [["a", "b", "c"]]}, 422, "Validation", "`inputs` must have one or two texts each"),
    ],
)
def test_errors(client_of, path, body, status, kind, message):
    client = client_of("embedding", max_client_batch_size=8)
    response = client.post(path, body)
    answer = response.json()
    assert (response.status_code, answer["error_type"]) == (status, kind)
    assert message in answer["error"]
    assert client.post("/embed", {"inputs": "dog"}).status_code == 200


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b'{"inputs": "\xff"}', b'{"inputs": "\\ud800"}', b"[" * 100_000, b'{"inputs": ' + b"[" * 50_000, b"\0"],
    ids=["empty", "cut", "utf-8", "surrogate", "deep", "deep-field", "zero"],
)
def test_malformed_json(client, body):
    response = client.post("/embed", content=body, headers={"content-type": "application/json"})
    assert response.status_code == 400
    assert response.json()["error"].startswith("Failed to parse the request body as JSON")


def test_payload_limit(client_of):
    client = client_of("embedding", payload_limit=1000)
    assert client.post("/embed", {"inputs": "x" * 900}).status_code == 200
    response = client.post("/embed", {"inputs": "x" * 1000})
    assert (response.status_code, response.json()["error"]) == (413, "the body has more than 1000 bytes")

    async def chunks():
        for _ in range(100):
            yield b"x" * 100

    assert client.post("/embed", content=chunks()).status_code == 413


def test_own_route_and_vertex(client, client_of, encoder):
    expected = encoder.encode(["dog"], normalize_embeddings=True)
    for path in ("/", "/invocations"):
        assert (f32(client.post(path, {"inputs": "dog"}).json()) == expected).all()
    answer = client.post("/vertex", {"instances": [{"inputs": "dog"}, {"inputs": ["dog"]}]}).json()
    assert all((f32(value) == expected).all() for value in answer["predictions"])
    assert client.post("/vertex", {"instances": [{"inputs": 1}]}).status_code == 422
    found = client_of("reranker").post("/", {"query": "a", "texts": ["b"]}).json()
    assert found[0]["index"] == 0
    assert client_of("entities").post("/", {"inputs": "Angela Merkel"}).status_code == 200


def test_info(client, client_of):
    info = client.get("/info").json()
    assert info["model_type"] == {"embedding": {"pooling": "mean"}}
    assert info["max_input_length"] == 40 and info["auto_truncate"] is True and info["max_concurrent_requests"] == 512
    assert client_of("reranker").get("/info").json()["model_type"] == {
        "reranker": {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}
    }
    assert list(client_of("classifier").get("/info").json()["model_type"]) == ["classifier"]


def test_health_before_and_after_warm_up(client):
    for path in ("/health", "/ping", "/"):
        assert client.get(path).status_code == 200
    client.engine.ready = False
    try:
        for path in ("/health", "/ping", "/"):
            assert client.get(path).status_code == 503
    finally:
        client.engine.ready = True


def test_auto_truncate_off(client_of):
    client = client_of("embedding", auto_truncate=False)
    assert client.post("/embed", {"inputs": LONG}).status_code == 422
    assert client.post("/embed", {"inputs": LONG, "truncate": True}).status_code == 200


def test_a_large_request_is_the_same_as_small_ones(client, encoder):
    texts = [f"{'dog ' * (i % 30)}cat {i}" for i in range(500)]
    response = client.post("/embed", {"inputs": texts})
    assert (f32(response.json()) == encoder.encode(texts, normalize_embeddings=True)).all()


def test_metrics(client_of):
    client = client_of("embedding", max_client_batch_size=7)
    client.post("/embed", {"inputs": "dog"})
    client.post("/embed", {"inputs": ["dog", LONG]})
    client.post("/embed", {"inputs": ["dog"] * 8})
    text = client.get("/metrics").text
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert lines['te_request_count{method="single"}'] == lines['te_request_success{method="single"}'] == "1.0"
    assert lines['te_request_count{method="batch"}'] == "1.0"
    assert lines['te_request_failure{err="batch_size"}'] == "1.0"
    assert lines["te_embed_count"] == "3.0"
    assert lines["bertc_truncated_total"] == "1.0"
    for name in ("te_request_duration", "te_request_queue_duration", "te_batch_next_tokens", "te_embed_duration"):
        assert float(lines[f"{name}_count"]) >= 1
    assert float(lines["te_queue_size"]) == 0


def test_floats_are_exact():
    from bertc.serve.respond import to_json

    bits = np.random.default_rng(0).integers(0, 1 << 32, 20_000, dtype=np.uint32).view(np.float32)
    values = np.concatenate([bits[np.isfinite(bits)], f32([0, 1, -1, 1e-45, 3.4028235e38, 0.1])])
    found = json.loads(to_json(values))
    assert (f32(found) == values).all()
