"""The server as a process: options, workers, overload, the end under load."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time

import httpx
import numpy as np
import pytest

import bertc

pytest_plugins = ["servers"]


def test_settings_and_logs(server_process, folders, tmp_path):
    config = tmp_path / "serve.json"
    config.write_text(json.dumps({"max_client_batch_size": 3, "payload_limit": 5000, "max_batch_tokens": 64}))
    options = ["--config", config, f"mine={folders['embedding']}", "--payload-limit", 6000, "--json-output"]
    with server_process(*options, MAX_BATCH_TOKENS="128", PAYLOAD_LIMIT="1") as (url, process):
        info = httpx.get(f"{url}/info").json()
        assert (info["max_client_batch_size"], info["max_batch_tokens"]) == (3, 128)
        assert httpx.post(f"{url}/embed", json={"inputs": "x" * 5500}).status_code == 200
        assert httpx.post(f"{url}/embed", json={"inputs": "x" * 6000}).status_code == 413
        given = httpx.get(f"{url}/health", headers={"x-request-id": "my-id"})
        assert given.headers["x-request-id"] == "my-id"
        assert httpx.get(f"{url}/health").headers["x-request-id"] != httpx.get(f"{url}/health").headers["x-request-id"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        (["nowhere/at-all/x"], {}, "nowhere/at-all/x"),
        (["model"], {"MAX_BATCH_TOKENS": "many"}, "MAX_BATCH_TOKENS must be of type int"),
        (["model", "--max-batch-tokens", "0"], {}, "max_batch_tokens must be at least 1"),
        (["model", "--task", "cooking"], {}, "task must be one of"),
        ([], {}, "a MODEL is needed"),
    ],
)
def test_wrong_settings(arguments, environment, message, monkeypatch, capsys):
    from bertc.__main__ import main

    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    try:
        assert main(["serve", *arguments]) == 1
    except SystemExit as error:
        assert error.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("library", ["fastapi", "orjson", "prometheus_client", "uvicorn"])
def test_a_library_that_is_not_there(library, folders):
    code = f"import sys; sys.modules[{library!r}] = None; from bertc.__main__ import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "serve", str(folders["embedding"])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert f"serving needs {library}: pip install bertc[serve]" in done.stderr


async def load(url, seconds, clients, ask):
    """Statuses of what several clients get, each asking again as soon as it is answered."""
    statuses = []
    end = time.monotonic() + seconds

    async def one():
        async with httpx.AsyncClient(base_url=url, timeout=60) as http:
            while time.monotonic() < end:
                try:
                    response = await ask(http)
                except httpx.ConnectError:
                    return  # nobody listens any more: the request was not accepted
                statuses.append(response.status_code)
                if response.status_code == 503:
                    return

    await asyncio.gather(*[one() for _ in range(clients)])
    return statuses


@pytest.mark.parametrize("workers", [1, 2])
def test_the_end_under_load_loses_nothing(workers, server_process, folders):
    expected = np.float32(bertc.SentenceEncoder(folders["embedding"]).encode(["dog"], normalize_embeddings=True))

    async def ask(http):
        response = await http.post("/embed", json={"inputs": ["dog"] * 20})
        if response.status_code == 200:
            assert (np.float32(response.json()) == expected).all()
        return response

    async def run(url, process):
        loading = asyncio.ensure_future(load(url, 10, 16, ask))
        await asyncio.sleep(1)
        process.send_signal(signal.SIGTERM)
        return await loading

    with server_process(folders["embedding"], "--shutdown-delay", "0.3", "--workers", workers) as (url, process):
        statuses = asyncio.run(run(url, process))
        assert process.wait(20) == 0
    assert len(statuses) >= 16 and set(statuses) == {200}


def test_overload(server_process, folders):
    async def ask(http):
        response = await http.post("/embed", json={"inputs": ["dog and cat " * 10] * 50})
        if response.status_code == 429:
            assert response.json() == {"error": "Model is overloaded", "error_type": "Overloaded"}
            assert int(response.headers["retry-after"]) >= 1
        return response

    with server_process(folders["embedding"], "--max-concurrent-requests", 4) as (url, _):
        statuses = asyncio.run(load(url, 1.5, 16, ask))
        assert set(statuses) == {200, 429}
        assert httpx.post(f"{url}/embed", json={"inputs": "dog"}).status_code == 200
        text = httpx.get(f"{url}/metrics").text
        assert f'te_request_failure{{err="overloaded"}} {statuses.count(429)}.0' in text


def test_workers(server_process, folders):
    with server_process(folders["embedding"], "--workers", 2) as (url, process):
        for _ in range(20):
            assert httpx.post(f"{url}/embed", json={"inputs": "dog"}).status_code == 200
        assert 'te_request_count{method="single"} 20.0' in httpx.get(f"{url}/metrics").text
        with open(f"/proc/{process.pid}/task/{process.pid}/children") as file:
            children = [int(pid) for pid in file.read().split()]
        assert len(children) == 2
        os.kill(children[0], signal.SIGKILL)  # another one takes its place
        time.sleep(0.5)
        for _ in range(20):
            assert httpx.post(f"{url}/embed", json={"inputs": "dog"}).status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_clients_that_go_cost_nothing_more(client_of):
    client = client_of("embedding")

    async def run():
        asking = [
            asyncio.ensure_future(client.http.post("/embed", json={"inputs": ["dog " * 30] * 1500})) for _ in range(8)
        ]
        await asyncio.sleep(0.2)
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        end = time.monotonic() + 10
        scheduler = client.engine.scheduler
        while (scheduler.active or scheduler._waiting) and time.monotonic() < end:
            await asyncio.sleep(0.01)
        return scheduler.active, scheduler._waiting

    assert client.wait(run()) == (0, 0)
    assert client.post("/embed", {"inputs": "dog"}).status_code == 200


def test_the_event_loop_never_waits(client_of):
    client = client_of("embedding")

    async def run():
        asking = asyncio.ensure_future(client.http.post("/embed", json={"inputs": ["the dog and the cat " * 8] * 1000}))
        longest, last = 0.0, time.perf_counter()
        while not asking.done():
            await asyncio.sleep(0.001)
            now = time.perf_counter()
            longest, last = max(longest, now - last), now
        assert (await asking).status_code == 200
        return longest

    assert client.wait(run()) < 0.5


def test_timeout(client_of):
    client = client_of("embedding", request_timeout=0.001)
    response = client.post("/embed", {"inputs": ["the dog and the cat " * 8] * 1000})
    assert (response.status_code, response.json()["error_type"]) == (504, "Timeout")
