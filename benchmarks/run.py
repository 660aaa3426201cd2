"""Measures bertc and other engines on the same models: each in its own process, visited in turn, so that whatever else
the machine does falls on all of them; and in the same run what the processor could do at most.
Writes benchmarks/results/<model>-<threads>t.json, then the table and the plot.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import models
import numpy as np
import report
import workload
from peak import Peak

ENGINES = ["bertc", "bertc_openblas", "torch_eager", "torch_ts", "onnxruntime", "openvino", "ctranslate2"]
REFERENCE = "torch_eager"
TOLERANCE = 1e-3
VISIT_SECONDS = 0.3  # of the slowest engine, by repeating short calls
REST_SECONDS = 0.2  # for which an engine's idle threads may spin on
ENV = {name: value for name, value in os.environ.items() if name not in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")}


class Skipped(Exception):
    pass


class Engine:
    def __init__(self, name: str, model: str, threads: int) -> None:
        self.name = name
        self.times: dict[str, list[float]] = {}
        self.differences: dict[str, float] = {}
        self.rss_mb = 0
        self.process = subprocess.Popen(
            [sys.executable, models.HERE / "worker.py", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=ENV,
        )
        about = self.read()
        if "missing" in about:
            raise Skipped(f"needs {about['missing']}")
        self.version = about["version"]
        try:
            path = models.path(model, about["file"])
        except subprocess.CalledProcessError as error:
            raise Skipped(f"no {about['file']}: {error.stderr.strip().splitlines()[-1]}") from None
        self.load_seconds = self.ask(load=str(path), threads=threads)["seconds"]

    def read(self) -> dict:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} ended early")
        return json.loads(line)

    def ask(self, **order: object) -> dict:
        assert self.process.stdin
        print(json.dumps(order), file=self.process.stdin, flush=True)
        return self.read()

    def warm_up(self, shape: str, output: Path) -> float:
        """Returns the seconds of a call; a slow engine is called once, others until they have settled."""
        first = self.ask(shape=shape, calls=1, save=str(output))["times"]
        return min(first) if first[0] > 1 else min(self.ask(shape=shape, calls=3)["times"])

    def visit(self, shape: str, calls: int) -> None:
        answer = self.ask(shape=shape, calls=calls)
        self.times.setdefault(shape, []).extend(answer["times"])
        self.rss_mb = answer["rss_mb"]

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


def start(names: list[str], model: str, threads: int) -> tuple[list[Engine], dict[str, str]]:
    engines, skipped = [], {}
    for name in names:
        try:
            engines.append(Engine(name, model, threads))
        except Skipped as reason:
            skipped[name] = str(reason)
            print(f"{name} skipped: {reason}")
    return engines, skipped


def compare(engines: list[Engine], shape: str, folder: Path) -> None:
    """Nobody may be fast by computing something else."""
    names = [engine.name for engine in engines]
    reference = np.load(folder / f"{REFERENCE if REFERENCE in names else names[0]}.npz")
    for engine in engines:
        outputs = np.load(folder / f"{engine.name}.npz")
        difference = max(float(np.abs(outputs[key] - reference[key]).max()) for key in reference.files)
        if not difference <= TOLERANCE:
            raise SystemExit(f"{shape}: {engine.name} is off by {difference:.2g}")
        engine.differences[shape] = difference


def measure(engines: list[Engine], peak: Peak, shape: str, seconds: float, folder: Path) -> float:
    """Spends about so many seconds; at least two rounds. Returns the best peak of all rounds, in GFLOP/s."""
    once = [engine.warm_up(shape, folder / f"{engine.name}.npz") for engine in engines]
    compare(engines, shape, folder)
    calls = max(1, min(20, int(VISIT_SECONDS / max(once))))
    rest = REST_SECONDS if len(peak.processes) > 1 else 0
    rounds = max(2, int(seconds / (calls * sum(once) + rest * len(engines))))
    best = 0.0
    for turn in range(rounds):
        best = max(best, peak.visit())
        for engine in engines if turn % 2 == 0 else reversed(engines):
            time.sleep(rest)
            engine.visit(shape, calls)
    return best


def summary(engine: Engine) -> dict:
    return {
        "version": engine.version,
        "load_seconds": round(engine.load_seconds, 4),
        "rss_mb": engine.rss_mb,
        "shapes": {
            shape: {
                "best_ms": round(1e3 * min(times), 4),
                "median_ms": round(1e3 * statistics.median(times), 4),
                "calls": len(times),
                "difference": engine.differences[shape],
            }
            for shape, times in engine.times.items()
        },
    }


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def bench(model: str, shapes: list[str], names: list[str], threads: int, seconds: float) -> dict:
    engines, skipped = start(names, model, threads)
    if not engines:
        raise SystemExit("no engine to measure")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        peak = Peak(threads)
        peaks = {shape: measure(engines, peak, shape, seconds, folder) for shape in shapes}
    for visited in (*engines, peak):
        visited.close()
    flops = {shape: workload.SIZES[model].flops(workload.lengths(shape)) for shape in shapes}
    return {
        "model": model,
        "threads": threads,
        "processor": processor(),
        "cores": os.cpu_count(),
        "date": time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime()),
        "peak_gflops": peaks,
        "limit_ms": {shape: 1e-6 * flops[shape] / peaks[shape] for shape in shapes},
        "engines": {engine.name: summary(engine) for engine in engines},
        "skipped": skipped,
    }


def main() -> None:
    known = workload.shapes()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", choices=known, default=list(known))
    parser.add_argument("--shapes", nargs="+", metavar="BATCHxLENGTH", help="or ragged; otherwise as in shapes.txt")
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=ENGINES)
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--seconds", type=float, default=6, help="for each shape, model and number of threads")
    parser.add_argument("--quick", action="store_true", help="MiniLM only, less often")
    parser.add_argument("--results", type=Path, default=models.HERE / "results", metavar="FOLDER")
    args = parser.parse_args()
    args.results.mkdir(parents=True, exist_ok=True)
    for model in ["minilm"] if args.quick else args.models:
        for threads in args.threads:
            seconds = 2 if args.quick else args.seconds
            result = bench(model, args.shapes or known[model], args.engines, threads, seconds)
            output = args.results / f"{model}-{threads}t.json"
            output.write_text(json.dumps(result, indent=1) + "\n")
            print("\n".join(report.table(result)), flush=True)
    report.write(args.results)


if __name__ == "__main__":
    main()
