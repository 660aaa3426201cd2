"""Requests a second and latency of bertc's server beside FastAPI around TorchScript and ONNX Runtime.

    python benchmarks/serve.py [--seconds 10] [--rounds 3] [--connections 64]

MiniLM in fp32, single sentences of 10 to 40 tokens, all on this machine; the load is wrk's (apt install wrk). Prints a
table and the ratios, and writes results/serve.json.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import models
import numpy as np

HERE = Path(__file__).resolve().parent
WORDS = (
    "the a of and to in is was it how many people live capital city weather today sunny stadium drove rain dog cat "
    "food music river mountain window garden market letter winter summer question answer number morning evening"
)
LUA = """
local bodies = {}
for line in io.lines("BODIES") do
  bodies[#bodies + 1] = wrk.format("POST", "/embed", {["Content-Type"] = "application/json", ["Host"] = "x"}, line)
end
local i = 0
request = function() i = i % #bodies + 1; return bodies[i] end
"""
REST = 0.001  # seconds between two requests on a connection
UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4}


def sentences(count: int = 1000) -> list[str]:
    draw = np.random.default_rng(5)
    return [" ".join(draw.choice(WORDS.split(), draw.integers(8, 39))) for _ in range(count)]


def servers() -> dict[str, tuple[list[str], dict[str, str]]]:
    """The command and environment of each; {port} is to be filled in."""
    folder = str(models.minilm_folder())
    python = sys.executable
    own = [python, "-m", "bertc", "serve", f"minilm={folder}", "--hostname", "127.0.0.1", "--port", "{port}"]
    own += ["--log-level", "warning"]
    path = os.pathsep.join(filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH")]))
    found = {"bertc": (own, {"PYTHONPATH": path})}
    cores = len(os.sched_getaffinity(0))
    for engine, file in (("torchscript", "traced.pt"), ("onnxruntime", "model.onnx")):
        for workers in (1, 2):
            command = [python, "-m", "uvicorn", "serve_rivals:app", "--port", "{port}", "--workers", str(workers)]
            environment = {
                "ENGINE": engine,
                "FOLDER": folder,
                "FILE": str(models.path("minilm", file)),
                "THREADS": str(max(1, cores // workers)),
            }
            found[f"{engine} x{workers}"] = ([*command, "--no-access-log", "--log-level", "warning"], environment)
    return found


@contextmanager
def running(command: list[str], environment: dict[str, str]):
    """A server, once it answers: its address and process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [part.format(port=port) for part in command]
    process = subprocess.Popen(command, env={**os.environ, **environment}, cwd=HERE)
    url = f"http://127.0.0.1:{port}"
    try:
        end = time.monotonic() + 120
        while True:
            try:
                urllib.request.urlopen(f"{url}/health").close()
                break
            except (urllib.error.URLError, ConnectionError):
                if time.monotonic() > end or process.poll() is not None:
                    raise SystemExit(f"{' '.join(command)} did not start") from None
                time.sleep(0.1)
        yield url, process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(30)


def load(url: str, script: Path, connections: int, seconds: int) -> dict[str, float]:
    """What wrk measured: requests a second, milliseconds."""
    command = [
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{seconds}s",
        "--timeout",
        "30s",
        "--latency",
        "-s",
        str(script),
        url,
    ]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in text or "Socket errors" in text:
        raise SystemExit(text)
    times = {}
    for share in ("50", "99"):
        number, unit = re.search(rf"{share}%\s+([\d.]+)(us|ms|s|m)\b", text).groups()
        times[f"p{share}"] = float(number) * UNITS[unit]
    return {"rate": float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1]), **times}


def inside(texts: list[str]) -> dict[str, float]:
    """Milliseconds of tokenizing and the forward pass of a sentence, the medians, without a server.

    "after a rest": cores that have rested, as between requests, are slower at first.
    """
    sys.path.insert(0, str(HERE.parent))
    import bertc

    encoder = bertc.SentenceEncoder(models.minilm_folder())
    medians = {}
    for how, pause in (("at once", 0), ("after a rest", REST)):
        times = []
        for text in [*texts[:50], *texts]:
            time.sleep(pause)
            start = time.perf_counter()
            encoder.model.run_packed([encoder.tokenizer.encode(text).ids])
            times.append((time.perf_counter() - start) * 1000)
        medians[how] = statistics.median(times[50:])
    return medians


def apart(function, *arguments):
    """What the function returns in a process of its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(function, *arguments).result()


def best(rounds: list[dict[str, float]]) -> dict[str, float]:
    return max(rounds, key=lambda one: one["rate"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=64)
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("needs wrk: apt install wrk")
    texts = sentences()
    folder = models.CACHE / "serve"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bodies").write_text("\n".join(json.dumps({"inputs": text}) for text in texts))
    script = folder / "load.lua"
    script.write_text(LUA.replace("BODIES", str(folder / "bodies")))

    many: dict[str, list[dict[str, float]]] = {}
    single: dict[str, list[dict[str, float]]] = {}
    alone: list[dict[str, float]] = []
    for _ in range(options.rounds):
        alone.append(apart(inside, texts))
        for name, (command, environment) in servers().items():
            with running(command, environment) as (url, _):
                load(url, script, options.connections, 2)
                many.setdefault(name, []).append(load(url, script, options.connections, options.seconds))
                single.setdefault(name, []).append(load(url, script, 1, max(2, options.seconds // 2)))

    result = {"connections": options.connections, "many": many, "single": single, "tokenize_and_forward_ms": alone}
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / "serve.json").write_text(json.dumps(result, indent=1))
    print(f"{'server':16} {'req/s':>8} {'p50 ms':>8} {'p99 ms':>8}   one connection: {'req/s':>8} {'p50 ms':>8}")
    for name in many:
        a, b = best(many[name]), best(single[name])
        print(f"{name:16} {a['rate']:8.1f} {a['p50']:8.1f} {a['p99']:8.1f}   {'':15} {b['rate']:8.1f} {b['p50']:8.2f}")
    own = best(many["bertc"])
    for engine in ("torchscript", "onnxruntime"):
        rival = best([best(rounds) for name, rounds in many.items() if name.startswith(engine)])
        print(
            f"bertc / {engine}: {own['rate'] / rival['rate']:.2f}x, p99 {own['p99']:.0f} ms against {rival['p99']:.0f}"
        )
    for how in alone[0]:
        extra = [one["p50"] - inner[how] for one, inner in zip(single["bertc"], alone)]
        print(
            f"one connection: {statistics.median(extra):.2f} ms beyond tokenizing and forward pass {how}, "
            f"{min(extra):.2f} to {max(extra):.2f} in {len(extra)} rounds"
        )


if __name__ == "__main__":
    main()
