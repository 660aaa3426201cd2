"""bertc's share of the processor's peak, whatever the clock does: calls and the peak in turns of a fifth of a second.

    python benchmarks/share.py [--models minilm bert-base] [--seconds 20]

The clock of a busy machine changes within seconds, so that a best time and a best peak may be of different clocks; here
each turn's speed is divided by the mean of the peaks before and after it. Prints the median and the quartiles.
"""

from __future__ import annotations

import argparse
import statistics
import time

import models
import workload

import bertc
from bertc._core import peak

TURN = 0.2  # seconds


def shares(model: bertc.Model, size: workload.Size, shape: str, seconds: float) -> list[float]:
    """The share of each turn."""
    flops, request = size.flops(workload.lengths(shape)), workload.request(shape)
    for _ in range(3):
        model(*request)
    found = []
    before = peak(TURN)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        calls, start = 0, time.perf_counter()
        while (passed := time.perf_counter() - start) < TURN:
            model(*request)
            calls += 1
        after = peak(TURN)
        found.append(calls * flops / passed / ((before + after) / 2))
        before = after
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=workload.SIZES, default=["minilm", "bert-base"])
    parser.add_argument("--seconds", type=float, default=20, help="for each shape")
    args = parser.parse_args()
    known = workload.shapes()
    for name in args.models:
        model = bertc.load(models.path(name, "traced.pt"), threads=1, padding="skip")
        for shape in known[name]:
            low, middle, high = statistics.quantiles(shares(model, workload.SIZES[name], shape, args.seconds))
            print(f"{name:10} {shape:7} {middle:6.1%}  (quartiles {low:.1%} and {high:.1%})", flush=True)


if __name__ == "__main__":
    main()
