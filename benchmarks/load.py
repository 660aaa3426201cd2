"""What it costs to load BERT-base from each format, beside transformers' from_pretrained: each time in a process of its
own, in turns. Ready is from the start of the process to the end of the load. Memory is the most that the process grew
by, anonymous and mapped, from before the load to after two calls, in shares of the weights' size: matrices are packed
by then.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import models

PROGRAM = """
import json, os, sys, time
import numpy as np
{imports}
def memory(name):
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith(name))
args = [np.ones((1, 14), np.int64), np.ones((1, 14), np.int64), np.zeros((1, 14), np.int64)]
before, times = memory("VmRSS"), [time.perf_counter()]
model = load(sys.argv[1])
ready = time.perf_counter() - float(sys.argv[2])
for turn in range(2):
    times.append(time.perf_counter())
    run(model)
times.append(time.perf_counter())
json.dump({{"seconds": [ready, *np.diff(times).tolist()], "bytes": memory("VmHWM") - before}}, sys.stdout)
"""
BERTC = PROGRAM.format(
    imports="""
from bertc import load
def run(model):
    model(*args)
"""
)
TRANSFORMERS = PROGRAM.format(
    imports="""
import torch
from transformers import BertModel
from transformers.utils import logging
logging.disable_progress_bar()
torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
load = BertModel.from_pretrained
def run(model):
    with torch.inference_mode():
        model(*map(torch.from_numpy, args))
"""
)
ROADS = {
    "transformers, safetensors": (TRANSFORMERS, "hf"),
    "transformers, pytorch_model.bin": (TRANSFORMERS, "bin"),
    "bertc, safetensors": (BERTC, "hf"),
    "bertc, sharded safetensors": (BERTC, "shards"),
    "bertc, pytorch_model.bin": (BERTC, "bin"),
    "bertc, rust_model.ot": (BERTC, "ot"),
    "bertc, TorchScript": (BERTC, "traced.pt"),
    "bertc, torch.export": (BERTC, "model.pt2"),
    "bertc, ONNX": (BERTC, "model.onnx"),
}


def visit(program: str, path: Path, threads: int) -> dict:
    env = {**os.environ, "OMP_NUM_THREADS": str(threads), "BERTC_NUM_THREADS": str(threads)}
    command = [sys.executable, "-c", program, path, str(time.perf_counter())]  # the clock is the system's
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=env)
    return json.loads(done.stdout)


def weights_size(model: str) -> int:
    """In bytes, of the float32 weights."""
    return (models.path(model, "hf") / "model.safetensors").stat().st_size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=models.SIZES, default="bert-base")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--results", type=Path, default=models.HERE / "results", metavar="FOLDER")
    args = parser.parse_args()
    paths = {name: models.path(args.model, form) for name, (_, form) in ROADS.items()}
    visits: dict[str, list[dict]] = {name: [] for name in ROADS}
    for turn in range(args.runs + 1):
        for name, (program, _) in ROADS.items():
            result = visit(program, paths[name], args.threads)
            if turn:  # the first visit reads the files into the page cache
                visits[name].append(result)
    size = weights_size(args.model)
    print(f"{'best, in milliseconds':32} {'ready':>7} {'load':>7} {'1st call':>9} {'2nd call':>9} {'peak memory':>12}")
    for name, results in visits.items():
        ready, load, first, second = (min(result["seconds"][i] for result in results) * 1e3 for i in range(4))
        peak = max(result["bytes"] for result in results) / size
        print(f"{name:32} {ready:7.0f} {load:7.1f} {first:9.1f} {second:9.1f} {peak:10.2f} w")
    output = args.results / "load.json"
    fields = {"model": args.model, "threads": args.threads, "weights_bytes": size, "visits": visits}
    output.write_text(json.dumps(fields, indent=1) + "\n")


if __name__ == "__main__":
    main()
