"""One engine in its own process: reads a request a line as JSON, answers a line.

{"load": path, "threads": n}            {"seconds": ...}
{"shape": [batch, length], "calls": n}  {"times": [...], "sum": checksum of the first output}
"""

import importlib
import json
import resource
import sys
import time

import numpy as np


def request(batch, length):
    ids = np.random.default_rng([batch, length]).integers(999, 30000, (batch, length))
    return ids, np.ones_like(ids), np.zeros_like(ids)


def measure(model, shape, calls):
    args = request(*shape)
    times = []
    for _ in range(calls):
        start = time.perf_counter()
        hidden, _ = model(*args)
        times.append(time.perf_counter() - start)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"times": times, "sum": float(np.abs(hidden).sum(dtype=np.float64)), "rss_mb": memory // 1024}


def main():
    engine = importlib.import_module(f"engines.{sys.argv[1]}")
    model = None
    for line in sys.stdin:
        order = json.loads(line)
        if "load" in order:
            start = time.perf_counter()
            model = engine.load(order["load"], order["threads"])
            answer = {"seconds": time.perf_counter() - start}
        else:
            answer = measure(model, order["shape"], order["calls"])
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
