"""Mixed load beyond the server's capacity for a long time, then SIGTERM: every answer is checked, and the memory.

    python benchmarks/soak.py [--minutes 30] [--clients 48] [--concurrent 32]

Clients ask as soon as they are answered, and after a 429 a little later. Fails unless each request gets its right
answer or 429, the memory of the last third is within 3% of the second's, and no accepted request is lost at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import models
import numpy as np
import serve

ROOT = Path(__file__).resolve().parent.parent
TOLERANCE = 0.03


def make_requests(encoder) -> list[tuple[str, bytes, np.ndarray | None]]:
    """(path, body, what the vectors have to be), of sentences, long texts, batches and wrong requests."""
    texts = serve.sentences(200)
    long = [" ".join(texts[i : i + 8]) for i in range(0, 80, 8)]
    requests: list[tuple[str, bytes, np.ndarray | None]] = []
    for inputs in [*texts, *long, texts[:16], texts[50:90], texts[100:164], long[:4]]:
        expected = encoder.encode([inputs] if isinstance(inputs, str) else inputs, normalize_embeddings=True)
        requests.append(("/embed", json.dumps({"inputs": inputs}).encode(), expected))
    for inputs in ("", [], 3, ["a", None]):
        requests.append(("/embed", json.dumps({"inputs": inputs}).encode(), None))
    return requests


class Connection:
    """A client's, kept open as long as the server lets it."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, path: str, body: bytes) -> tuple[int, bytes]:
        """ConnectionRefusedError when nobody listens any more; other errors are lost requests."""
        if self.streams is None:
            self.streams = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 24)
        reader, writer = self.streams
        writer.write(b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (path.encode(), len(body), body))
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        answer = await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
        if b"connection: close" in head:
            writer.close()
            self.streams = None
        return int(head.split(b" ", 2)[1]), answer


async def client(port: int, requests: list, seed: int, counts: Counter, problems: list[str]) -> None:
    draw = random.Random(seed)
    connection = Connection(port)
    while True:
        path, body, expected = draw.choice(requests)
        try:
            status, answer = await connection.ask(path, body)
        except ConnectionRefusedError:
            return
        except (ConnectionError, asyncio.IncompleteReadError) as error:
            problems.append(f"lost: {type(error).__name__}")
            return
        counts[status] += 1
        if status == 200 and expected is not None:
            if not (np.float32(json.loads(answer)) == expected).all():
                problems.append("a wrong answer")
        elif status not in ((429,) if expected is not None else (400, 422, 429)):
            problems.append(f"status {status} for {body[:60]!r}: {answer[:100]!r}")
        if status == 429:
            await asyncio.sleep(0.05)


def resident(pid: int) -> float:
    """MB."""
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * 4096 / 1e6


async def run(port: int, process: subprocess.Popen, options: argparse.Namespace, requests: list) -> list[str]:
    counts: Counter = Counter()
    problems: list[str] = []
    tasks = [asyncio.ensure_future(client(port, requests, i, counts, problems)) for i in range(options.clients)]
    memory = []
    end = time.monotonic() + options.minutes * 60
    while time.monotonic() < end:
        await asyncio.sleep(1)
        memory.append(resident(process.pid))
    process.send_signal(signal.SIGTERM)
    await asyncio.gather(*tasks)
    third = len(memory) // 3
    print("MB over time: " + " ".join(f"{value:.0f}" for value in memory[:: max(1, len(memory) // 24)]))
    second, last = statistics.mean(memory[third : 2 * third]), statistics.mean(memory[2 * third :])
    print(f"answers {dict(counts)}; memory {second:.1f} MB, then {last:.1f} MB")
    if last > second * (1 + TOLERANCE):
        problems.append(f"the memory grew from {second:.1f} to {last:.1f} MB")
    return problems


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--clients", type=int, default=48)
    parser.add_argument("--concurrent", type=int, default=32)
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    import bertc

    requests = make_requests(bertc.SentenceEncoder(models.minilm_folder(), truncation="ignore"))
    command, environment = serve.servers()["bertc"]
    command = [*command, "--max-concurrent-requests", str(options.concurrent)]
    with serve.running(command, environment) as (url, process):
        problems = asyncio.run(run(int(url.rpartition(":")[2]), process, options, requests))
        status = process.wait(30)
    if status:
        problems.append(f"the server's exit status is {status}")
    print("\n".join(problems) or "fine")
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
