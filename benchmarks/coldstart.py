"""From process start to the first result, and the memory that stays resident: bertc against other engines, in turns."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import models
from workload import SIZES

INPUTS = "[[101, 2040, 2001, 3958, 27227, 102]], [[1] * 6], [[0] * 6]"
RESIDENT = """
run(), run()  # what the first call puts off
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmRSS")))
"""
PROGRAMS = {
    "bertc": f"""
import sys, bertc
model = bertc.load(sys.argv[1])
def run():
    hidden, pooled = model({INPUTS})
    return hidden
""",
    "torch": f"""
import sys, torch
model = torch.jit.load(sys.argv[1])
@torch.inference_mode()
def run():
    hidden, pooled = model(*map(torch.tensor, ({INPUTS})))
    return hidden
""",
    "onnxruntime": f"""
import os, sys, numpy, onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = int(os.environ["OMP_NUM_THREADS"])
session = onnxruntime.InferenceSession(sys.argv[1], options)
inputs = dict(zip(["ids", "mask", "types"], map(numpy.array, ({INPUTS}))))
def run():
    hidden, pooled = session.run(["hidden", "pooled"], inputs)
    return hidden
""",
}
FORMS = {"bertc": "traced.pt", "torch": "traced.pt", "onnxruntime": "fused.onnx"}


def visit(name: str, model: str, threads: int) -> tuple[float, float]:
    """Seconds to the first result, and MB resident after the third."""
    program = PROGRAMS[name] + "print(tuple(run().shape), flush=True)" + RESIDENT
    env = {**os.environ, "OMP_NUM_THREADS": str(threads), "BERTC_NUM_THREADS": str(threads)}
    command = [sys.executable, "-c", program, models.path(model, FORMS[name])]
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as process:
        shape = process.stdout.readline().strip()
        seconds = time.perf_counter() - start
        resident = process.stdout.readline()
    assert shape == f"(1, 6, {SIZES[model].hidden})", shape
    return seconds, int(resident) * 1024 / 1e6


def compare(names: list[str], model: str, threads: int, runs: int) -> dict[str, dict[str, list[float]]]:
    found: dict[str, dict[str, list[float]]] = {name: {"seconds": [], "resident_mb": []} for name in names}
    for turn in range(runs + 1):
        for name in names:
            seconds, resident = visit(name, model, threads)
            if turn:  # the first visit reads the files into the page cache
                found[name]["seconds"].append(seconds)
                found[name]["resident_mb"].append(resident)
    ours = min(found["bertc"]["seconds"])
    for name, values in found.items():
        best, middle = min(values["seconds"]), statistics.median(values["seconds"])
        print(
            f"{model:10} {threads} {name:12} best {best * 1e3:5.0f} ms, median {middle * 1e3:5.0f} ms, "
            f"{best / ours:5.2f} times bertc's; {max(values['resident_mb']):5.0f} MB resident"
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=["minilm", "bert-base"], choices=SIZES)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--results", type=Path, default=models.HERE / "results", metavar="FOLDER")
    args = parser.parse_args()
    names = [name for name in PROGRAMS if importlib.util.find_spec(name)]
    results = []
    for model in args.models:
        size = models.path(model, FORMS["bertc"]).stat().st_size / 1e6
        print(f"{model}: the archive has {size:.0f} MB")
        for threads in args.threads:
            found = compare(names, model, threads, args.runs)
            results.append({"model": model, "archive_mb": size, "threads": threads, "engines": found})
    output = args.results / "coldstart.json"
    output.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
