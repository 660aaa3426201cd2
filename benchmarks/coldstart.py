"""From process start to the first result on the real MiniLM archive: bertc against torch.jit.load, in turns."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import minilm

HERE = Path(__file__).resolve().parent
PROGRAMS = {
    "bertc": """
import sys, bertc
model = bertc.load(sys.argv[1])
hidden, pooled = model([[101, 2040, 2001, 3958, 27227, 102]], [[1] * 6], [[0] * 6])
print(hidden.shape)
""",
    "torch": """
import sys, torch
model = torch.jit.load(sys.argv[1])
with torch.inference_mode():
    hidden, pooled = model(*map(torch.tensor, ([[101, 2040, 2001, 3958, 27227, 102]], [[1] * 6], [[0] * 6])))
print(tuple(hidden.shape))
""",
}


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
    args = parser.parse_args()
    path = minilm.traced_path()
    times: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    for turn in range(args.runs + 1):
        for name, program in PROGRAMS.items():
            seconds = start_to_result(program, path, args.threads)
            if turn:  # the first visit reads the files into the page cache
                times[name].append(seconds)
    best = {name: min(values) for name, values in times.items()}
    for name, values in times.items():
        print(f"{name:6} best {best[name] * 1e3:7.0f} ms, median {statistics.median(values) * 1e3:7.0f} ms")
    ratio = best["torch"] / best["bertc"]
    print(f"PyTorch takes {ratio:.1f} times as long")
    output = HERE / "results" / "coldstart.json"
    output.write_text(json.dumps({"threads": args.threads, "seconds": times, "ratio": ratio}, indent=1) + "\n")


if __name__ == "__main__":
    main()
