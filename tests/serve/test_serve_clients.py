"""Clients that people use, unmodified, over the loopback."""

import base64

import numpy as np
import pytest

import bertc

pytest_plugins = ["servers"]

TEXTS = ["How many people live in Berlin?", "dog", "the dog and the cat"]


@pytest.fixture(scope="module")
def url(url_of):
    return url_of("embedding", "reranker", api_key=("secret",))


@pytest.fixture(scope="module")
def expected(folders):
    return bertc.SentenceEncoder(folders["embedding"]).encode(TEXTS, normalize_embeddings=True)


def test_openai(url, expected):
    openai = pytest.importorskip("openai")
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="secret", max_retries=0)
    for options in ({}, {"encoding_format": "float"}, {"encoding_format": "base64"}):
        answer = client.embeddings.create(model="embedding", input=TEXTS, **options)
        vectors = [item.embedding for item in answer.data]
        if options.get("encoding_format") == "base64":
            vectors = [np.frombuffer(base64.b64decode(vector), "<f4") for vector in vectors]
        assert (np.array(vectors, np.float32) == expected).all()
        assert answer.usage.prompt_tokens == answer.usage.total_tokens > 10
        assert (answer.object, answer.model, [item.index for item in answer.data]) == ("list", "embedding", [0, 1, 2])
    short = client.embeddings.create(model="embedding", input="dog", dimensions=4).data[0].embedding
    assert np.allclose(short, expected[1, :4] / np.linalg.norm(expected[1, :4]), atol=1e-6)
    assert [model.id for model in client.models.list()] == ["embedding", "reranker"]


def test_openai_ids(url, folders, expected):
    openai = pytest.importorskip("openai")
    tokenizer = bertc.SentenceEncoder(folders["embedding"]).tokenizer
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="secret", max_retries=0)
    ids = [tokenizer.encode(text).ids for text in TEXTS]
    vectors = [item.embedding for item in client.embeddings.create(model="embedding", input=ids).data]
    assert (np.array(vectors, np.float32) == expected).all()
    vector = client.embeddings.create(model="embedding", input=ids[1]).data[0].embedding
    assert (np.array(vector, np.float32) == expected[1]).all()


def test_openai_errors(url):
    openai = pytest.importorskip("openai")
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="secret", max_retries=0)
    for wrong in ({"input": ""}, {"input": []}, {"input": "dog", "dimensions": 0}, {"input": [99999]}):
        with pytest.raises(openai.BadRequestError) as caught:
            client.embeddings.create(model="embedding", **wrong)
        assert caught.value.body["message"] and caught.value.type == "invalid_request_error"
    other = openai.OpenAI(base_url=f"{url}/v1", api_key="wrong", max_retries=0)
    with pytest.raises(openai.AuthenticationError):
        other.embeddings.create(model="embedding", input="dog")


def test_huggingface_hub(url, folders, expected):
    hub = pytest.importorskip("huggingface_hub")
    client = hub.InferenceClient(model=url, token="secret")
    assert (client.feature_extraction(TEXTS[1]) == expected[1]).all()
    assert (np.float32(client.feature_extraction(TEXTS, normalize=True)) == expected).all()
    embed = hub.InferenceClient(model=f"{url}/embed", token="secret")
    assert (embed.feature_extraction(TEXTS[2], truncate=True) == expected[2]).all()


def test_huggingface_hub_similarity(url, expected):
    hub = pytest.importorskip("huggingface_hub")
    client = hub.InferenceClient(model=f"{url}/similarity", token="secret")
    found = client.sentence_similarity(TEXTS[0], other_sentences=TEXTS[1:])
    assert np.allclose(found, expected[1:] @ expected[0], atol=1e-6)


def test_huggingface_hub_tasks(url_of, folders):
    hub = pytest.importorskip("huggingface_hub")
    text = "Angela Merkel met Barack Obama in Berlin."
    found = hub.InferenceClient(model=url_of("entities")).token_classification(text, aggregation_strategy="none")
    assert [entity.word for entity in found] == [e["word"] for e in bertc.pipeline("ner", folders["entities"])(text)]
    mask = bertc.pipeline("fill-mask", folders["masks"])
    text = f"Paris is the {mask.tokenizer.mask_token} of France."
    found = hub.InferenceClient(model=url_of("masks")).fill_mask(text, top_k=3)
    assert [entry.token_str for entry in found] == [entry["token_str"] for entry in mask(text, top_k=3)]
    question = {"question": "What is the capital of France?", "context": "Paris is the capital of France."}
    answer = hub.InferenceClient(model=url_of("answers")).question_answering(**question)
    assert answer.answer == bertc.pipeline("question-answering", folders["answers"])(question)["answer"]


def test_cohere(url, folders):
    cohere = pytest.importorskip("cohere")
    ranked = bertc.CrossEncoder(folders["reranker"]).rank("berlin", TEXTS)
    for kind in ("Client", "ClientV2"):
        client = getattr(cohere, kind)(api_key="secret", base_url=url)
        answer = client.rerank(model="reranker", query="berlin", documents=TEXTS, top_n=2)
        found = [(result.index, result.relevance_score) for result in answer.results]
        assert found == [(entry["corpus_id"], pytest.approx(entry["score"])) for entry in ranked[:2]]


def test_keys(url):
    import httpx

    body = {"inputs": "dog"}
    for headers in (
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": "secret"},
        {"authorization": "Bearer s\xe9"},
    ):
        encoded = {name: value.encode("latin-1") for name, value in headers.items()}
        response = httpx.post(f"{url}/embed", json=body, headers=encoded)
        assert (response.status_code, response.content) == (401, b"")
    assert httpx.post(f"{url}/embed", json=body, headers={"authorization": "Bearer secret"}).status_code == 200
    for path in ("/health", "/", "/ping", "/metrics", "/docs", "/api-doc/openapi.json"):
        assert httpx.get(f"{url}{path}").status_code == 200
    assert httpx.get(f"{url}/info").status_code == 401
