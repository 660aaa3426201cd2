"""The applications of examples/serve."""

import runpy
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import bertc

pytest_plugins = ["servers"]

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture(scope="module")
def reference():
    with np.load(EXAMPLES / "traced_bert.npz") as arrays:
        return {name: arrays[name] for name in arrays.files}


def body(reference):
    return {name: reference[name].tolist() for name in ("input_ids", "token_type_ids")}


def agrees(found, reference):
    return np.allclose(found, reference["pooled"], atol=1e-5 * reference["pooled"].std())


def test_fastapi(reference):
    from fastapi.testclient import TestClient

    names = runpy.run_path(str(EXAMPLES / "serve" / "fastapi_batched.py"))
    with TestClient(names["app"]) as client, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: client.post("/embed", json=body(reference)).json(), range(24)))
    assert all(agrees(answer, reference) for answer in answers)


def test_flask(reference):
    pytest.importorskip("flask")
    names = runpy.run_path(str(EXAMPLES / "serve" / "flask_batched.py"))

    def ask(_):
        return names["app"].test_client().post("/embed", json=body(reference)).get_json()

    with ThreadPoolExecutor(8) as pool:
        assert all(agrees(answer, reference) for answer in pool.map(ask, range(24)))
    names["batcher"].scheduler.max_requests = 0
    response = names["app"].test_client().post("/embed", json=body(reference))
    assert (response.status_code, response.headers["Retry-After"]) == (429, "1")
    names["batcher"].close()


def test_router(folders, monkeypatch):
    from fastapi.testclient import TestClient

    monkeypatch.setenv("MODEL", str(folders["embedding"]))
    client = TestClient(runpy.run_path(str(EXAMPLES / "serve" / "fastapi_router.py"))["app"])
    assert client.get("/").json() == "See /docs"
    found = client.post("/ai/embed", json={"inputs": "dog"}).json()
    expected = bertc.SentenceEncoder(folders["embedding"]).encode(["dog"], normalize_embeddings=True)
    assert (np.float32(found) == expected).all()


def test_configuration():
    pytest.importorskip("tomllib")
    from bertc.serve.settings import read_settings

    settings = read_settings({"config": EXAMPLES / "serve" / "bertc.toml"}, {"PORT": "1"})
    assert len(settings.model_id) == 2 and settings.port == 1 and settings.cors_allow_origin == ("https://example.org",)
