"""Measures encode() of 2,000 texts with the real MiniLM: bertc against other engines with the same tokenizer.

Each is in its own process, bound to as many processors as it has threads, and visited in turn. Prints how bertc
compares, and what part of its time is outside the model. Writes benchmarks/results/encode.json.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import models
import numpy as np
from encoders import ENGINES

TOLERANCE = 2e-6


class Engine:
    def __init__(self, name: str, threads: int) -> None:
        self.name = name
        self.times: list[float] = []
        self.outside: list[float] = []
        self.rss_mb = 0
        self.difference = 0.0
        limits = ("OMP_NUM_THREADS", "RAYON_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        self.process = subprocess.Popen(
            [sys.executable, models.HERE / "encoders.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "HF_HUB_OFFLINE": "1", **dict.fromkeys(limits, str(threads))},
        )
        processors = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(self.process.pid, processors[:threads])
        self.version = self.ask(load=name, threads=threads)["version"]

    def ask(self, **order: Any) -> dict[str, Any]:
        assert self.process.stdin
        assert self.process.stdout
        print(json.dumps(order), file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} ended early")
        return json.loads(line)

    def visit(self, count: int) -> None:
        answer = self.ask(count=count, calls=1)
        self.times += answer["times"]
        self.outside += [part for part in answer["outside"] if part is not None]
        self.rss_mb = answer["rss_mb"]


def check(engines: list[Engine], count: int, folder: str) -> None:
    """Warms up, and compares what they give: numbers of wrong results are worth nothing."""
    reference = None
    for engine in engines:
        path = Path(folder) / f"{engine.name}.npy"
        engine.ask(count=count, calls=1, save=str(path))
        vectors = np.load(path)
        reference = vectors if reference is None else reference
        engine.difference = float(np.abs(vectors - reference).max())
        assert engine.difference <= TOLERANCE, f"{engine.name} differs by {engine.difference}"


def report(engines: list[Engine], count: int, threads: int) -> None:
    best = min(engines[0].times)
    print(f"{'engine':30} {'best s':>8} {'median':>8} {'texts/s':>8} {'ratio':>6} {'RSS MB':>7} {'difference':>10}")
    for engine in engines:
        fastest, middle = min(engine.times), statistics.median(engine.times)
        print(
            f"{engine.name + ' ' + engine.version:30} {fastest:8.2f} {middle:8.2f} {count / fastest:8.0f} "
            f"{fastest / best:6.2f} {engine.rss_mb:7} {engine.difference:10.0e}"
        )
    if threads == 1:
        print(f"bertc outside the forward pass: {statistics.median(engines[0].outside):.1%} of its processor time")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000, help="how many texts")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--visits", type=int, default=5, help="how often each engine is measured")
    parser.add_argument("--results", type=Path, default=models.HERE / "results", metavar="FOLDER")
    args = parser.parse_args()
    names = [name for name, kind in ENGINES.items() if importlib.util.find_spec(kind.package)]
    engines = [Engine(name, args.threads) for name in names]
    with tempfile.TemporaryDirectory() as folder:
        check(engines, args.count, folder)
    for _ in range(args.visits):
        for engine in engines:
            engine.visit(args.count)
    report(engines, args.count, args.threads)
    keys = ("name", "version", "times", "outside", "rss_mb", "difference")
    result = {
        "date": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
        "texts": args.count,
        "threads": args.threads,
        "engines": [{key: getattr(engine, key) for key in keys} for engine in engines],
    }
    (args.results / "encode.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
