"""From process start to the first result on the real MiniLM model: bertc against other engines, in turns."""

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

INPUTS = "[[101, 2040, 2001, 3958, 27227, 102]], [[1] * 6], [[0] * 6]"
PROGRAMS = {
    "bertc": f"""
import sys, bertc
model = bertc.load(sys.argv[1])
hidden, pooled = model({INPUTS})
print(hidden.shape)
""",
    "torch": f"""
import sys, torch
model = torch.jit.load(sys.argv[1])
with torch.inference_mode():
    hidden, pooled = model(*map(torch.tensor, ({INPUTS})))
print(tuple(hidden.shape))
""",
    "onnxruntime": f"""
import os, sys, numpy, onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = int(os.environ["OMP_NUM_THREADS"])
session = onnxruntime.InferenceSession(sys.argv[1], options)
hidden, pooled = session.run(["hidden", "pooled"], dict(zip(["ids", "mask", "types"], map(numpy.array, ({INPUTS})))))
print(hidden.shape)
""",
}
FORMS = {"bertc": "traced.pt", "torch": "traced.pt", "onnxruntime": "fused.onnx"}


def start_to_result(program: str, path: Path, threads: int) -> float:
    env = {**os.environ, "OMP_NUM_THREADS": str(threads), "BERTC_NUM_THREADS": str(threads)}
    start = time.perf_counter()
    result = subprocess.run([sys.executable, "-c", program, path], check=True, capture_output=True, text=True, env=env)
    seconds = time.perf_counter() - start
    assert result.stdout.strip() == "(1, 6, 384)", result.stdout
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--results", type=Path, default=models.HERE / "results", metavar="FOLDER")
    args = parser.parse_args()
    names = [name for name in PROGRAMS if importlib.util.find_spec(name)]
    paths = {name: models.path("minilm", FORMS[name]) for name in names}
    times: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(args.runs + 1):
        for name in names:
            seconds = start_to_result(PROGRAMS[name], paths[name], args.threads)
            if turn:  # the first visit reads the files into the page cache
                times[name].append(seconds)
    best = {name: min(values) for name, values in times.items()}
    for name, values in times.items():
        ratio = best[name] / best["bertc"]
        middle = statistics.median(values)
        print(f"{name:12} best {best[name] * 1e3:5.0f} ms, median {middle * 1e3:5.0f} ms, {ratio:4.1f} times bertc's")
    output = args.results / "coldstart.json"
    output.write_text(json.dumps({"threads": args.threads, "seconds": times}, indent=1) + "\n")


if __name__ == "__main__":
    main()
