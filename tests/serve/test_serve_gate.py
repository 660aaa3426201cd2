"""What each request passes: CORS, ids, logs, traces, the end of connections."""

import asyncio
import json
import logging
from contextlib import contextmanager

import httpx
import pytest

pytest_plugins = ["servers"]


@pytest.fixture
def ask(client_of):
    """Asks through everything that a server has around its application."""
    from bertc.serve.server import make_stack

    def ask(method, path, stack=None, settings=(), **options):
        engine = client_of("embedding", **dict(settings)).engine
        app = stack or make_stack(engine)

        async def run():
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://test") as http:
                return await http.request(method, path, **options)

        return asyncio.run(run())

    return ask


def test_cors(ask):
    settings = {"cors_allow_origin": ("https://here.example",)}
    headers = {"origin": "https://here.example", "access-control-request-method": "POST"}
    response = ask("OPTIONS", "/embed", settings=settings, headers=headers)
    assert response.headers["access-control-allow-origin"] == "https://here.example"
    response = ask("POST", "/embed", settings=settings, headers=headers, json={"inputs": "dog"})
    assert (response.status_code, response.headers["access-control-allow-origin"]) == (200, "https://here.example")
    headers["origin"] = "https://there.example"
    response = ask("POST", "/embed", settings=settings, headers=headers, json={"inputs": "dog"})
    assert "access-control-allow-origin" not in response.headers
    assert "access-control-allow-origin" not in ask("GET", "/health", headers=headers).headers


def test_ids(ask):
    assert ask("GET", "/health", headers={"x-request-id": "a.b-1"}).headers["x-request-id"] == "a.b-1"
    assert ask("GET", "/health", headers={"x-request-id": "no good"}).headers["x-request-id"] != "no good"
    assert ask("POST", "/embed", json={"inputs": 1}).headers["x-request-id"]


def test_other_methods_and_routes(ask):
    assert ask("GET", "/embed").status_code == 405
    assert ask("GET", "/nowhere").status_code == 404
    assert ask("POST", "/nowhere", json={}).status_code == 404


def test_connections_are_closed_when_the_server_stops(ask, client_of):
    engine = client_of("embedding").engine
    engine.draining = True
    try:
        response = ask("POST", "/embed", json={"inputs": "dog"})
        assert (response.status_code, response.headers["connection"]) == (200, "close")
        assert ask("GET", "/health").status_code == 503
    finally:
        engine.draining = False
    assert "connection" not in ask("GET", "/health").headers


def test_traces(ask, client_of):
    from bertc.serve.gate import Gate
    from bertc.serve.server import make_stack

    spans = []

    class Tracer:
        @contextmanager
        def start_as_current_span(self, name):
            attributes = {"name": name}
            yield type("Span", (), {"set_attribute": lambda _, key, value: attributes.update({key: value})})()
            spans.append(attributes)

    engine = client_of("embedding").engine
    ask("POST", "/embed", Gate(make_stack(engine), engine, Tracer()), json={"inputs": []})
    assert (spans[0]["name"], spans[0]["http.response.status_code"]) == ("POST /embed", 400)


def test_logs(ask, caplog):
    from bertc.serve.logs import JsonFormatter, LineFormatter

    with caplog.at_level(logging.DEBUG, "bertc.serve"):
        ask("POST", "/embed", json={"inputs": "dog"}, headers={"x-request-id": "mine"})
        ask("POST", "/embed", json={"inputs": 1})
    good, bad = (json.loads(JsonFormatter().format(record)) for record in caplog.records)
    assert (good["level"], good["status"], good["path"], good["request_id"]) == ("debug", 200, "/embed", "mine")
    assert (bad["level"], bad["status"]) == ("info", 422)
    assert "status=422" in LineFormatter().format(caplog.records[1])


def test_otlp_needs_the_sdk():
    from bertc.serve.gate import make_tracer

    try:
        import opentelemetry.exporter.otlp.proto.http.trace_exporter  # noqa: F401
    except ImportError:
        with pytest.raises(ImportError, match="pip install opentelemetry-sdk"):
            make_tracer("http://127.0.0.1:4318")
