"""Servers of small models, in this process and as processes of their own."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS / "text"))
for needed in ("fastapi", "uvicorn", "prometheus_client", "httpx", "tokenizers"):
    pytest.importorskip(needed)

import httpx  # noqa: E402
from tiny import WIDTH, add_modules, make_bert, random_weights, write_weights  # noqa: E402

from bertc.serve.app import create_app  # noqa: E402
from bertc.serve.engine import Engine  # noqa: E402
from bertc.serve.served import Served  # noqa: E402
from bertc.serve.server import Server, listen  # noqa: E402
from bertc.serve.settings import Settings  # noqa: E402

POOLING = "sentence_transformers.models.Pooling"
SPLADE = "sentence_transformers.sparse_encoder.models.SpladePooling"
PIPELINES = TESTS / "data" / "text" / "pipelines"


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Directories of models by what they are for."""
    root = tmp_path_factory.mktemp("models")
    mean = {"pooling_mode_mean_tokens": True, "word_embedding_dimension": 32}
    classes = {"id2label": {"0": "entailment", "1": "neutral", "2": "contradiction"}}
    classes["label2id"] = {label: int(i) for i, label in classes["id2label"].items()}
    embedding = add_modules(make_bert(root / "embedding"), (POOLING, mean), prompts={"query": "the dog "})
    m3 = make_bert(root / "m3")
    write_weights(m3 / "sparse_linear.pt", random_weights({"weight": (1, WIDTH), "bias": (1,)}))
    write_weights(m3 / "colbert_linear.pt", random_weights({"weight": (12, WIDTH), "bias": (12,)}))
    return {
        "embedding": embedding,
        "m3": m3,
        "reranker": make_bert(root / "reranker", "BertForSequenceClassification"),
        "classifier": make_bert(root / "classifier", "BertForSequenceClassification", **classes),
        "sparse": add_modules(make_bert(root / "sparse", "BertForMaskedLM"), (SPLADE, {})),
        "entities": PIPELINES / "entities",
        "answers": PIPELINES / "answers",
        "masks": PIPELINES / "masks",
        "traced": TESTS / "data" / "traced" / "hf523-bert.sdpa.pt",
    }


def make_engine(folders: dict[str, Path], *names: str, **settings: Any) -> Engine:
    given = Settings(**settings)
    return Engine([Served.load(f"{name}={folders[name]}", given) for name in names], given)


class Client:
    """Asks an application in this process, from a thread with its own event loop."""

    def __init__(self, app: Any, engine: Engine) -> None:
        self.engine = engine
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        transport = httpx.ASGITransport(app=app)
        self.http = httpx.AsyncClient(transport=transport, base_url="http://test", timeout=60)
        self.wait(engine.warm_up())

    @classmethod
    def of(cls, engine: Engine) -> "Client":
        return cls(create_app(engine), engine)

    def wait(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(60)

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.wait(self.http.get(path, **options))

    def post(self, path: str, body: Any = None, **options: Any) -> httpx.Response:
        return self.wait(self.http.post(path, **({} if body is None else {"json": body}), **options))

    def close(self) -> None:
        self.wait(self.http.aclose())
        self.engine.scheduler.close(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


@pytest.fixture(scope="session")
def client_of(folders: dict[str, Path]) -> Iterator[Callable[..., Client]]:
    """Clients of servers with these models, made once."""
    clients: dict[Any, Client] = {}

    def get(*names: str, **settings: Any) -> Client:
        key = (names, tuple(settings.items()))
        if key not in clients:
            clients[key] = Client.of(make_engine(folders, *names, **settings))
        return clients[key]

    yield get
    for client in clients.values():
        client.close()


@pytest.fixture(scope="session")
def url_of(folders: dict[str, Path]) -> Iterator[Callable[..., str]]:
    """Addresses of servers with these models, on the loopback, in threads of this process."""
    stops = []

    def start(*names: str, **settings: Any) -> str:
        engine = make_engine(folders, *names, shutdown_delay=0.0, **settings)
        server = Server(engine)
        listener = listen("127.0.0.1", 0)
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        stops.append((server, thread))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        wait_until_ready(url)
        return url

    yield start
    for server, thread in stops:
        server.should_exit = True
        thread.join(20)


def wait_until_ready(url: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            if httpx.get(f"{url}/health").status_code == 200:
                return
        except httpx.HTTPError:
            pass
        assert time.monotonic() < end, f"{url} did not become ready"
        time.sleep(0.05)


@pytest.fixture(scope="session")
def server_process() -> Any:
    """A context of `python -m bertc serve` with arguments: its address and the process, once it is ready."""
    return _server_process


@contextmanager
def _server_process(*arguments: Any, **environment: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "bertc", "serve", *map(str, arguments)]
    command += ["--port", str(port), "--hostname", "127.0.0.1"]
    env = {"PYTHONPATH": str(TESTS.parent), **os.environ, **environment}
    process = subprocess.Popen(command, env=env)
    try:
        wait_until_ready(f"http://127.0.0.1:{port}")
        yield f"http://127.0.0.1:{port}", process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(30)
