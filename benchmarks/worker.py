"""One engine in its own process. Says first which form of the model it reads, {"file": ..., "version": ...}, or
{"missing": package}; then reads a request a line as JSON and answers with a line:

{"load": path, "threads": n}      {"seconds": ...}
{"shape": "8x128", "calls": n}    {"times": [...], "rss_mb": peak so far}
{..., "save": path}               the same, and the outputs without padding are written there
"""

import importlib
import json
import os
import resource
import sys
import time

import numpy as np
import workload


def measure(model, shape, calls, save=None):
    args = workload.request(shape)
    times = []
    for _ in range(calls):
        start = time.perf_counter()
        hidden, pooled = model(*args)
        times.append(time.perf_counter() - start)
    if save:
        np.savez(save, hidden=hidden[args[1].astype(bool)], pooled=pooled)
    return {"times": times, "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}


def serve(engine, answer):
    model = None
    for line in sys.stdin:
        order = json.loads(line)
        if "load" in order:
            start = time.perf_counter()
            model = engine.load(order["load"], order["threads"])
            answer({"seconds": time.perf_counter() - start})
        else:
            answer(measure(model, **order))


def main():
    replies = os.fdopen(os.dup(1), "w")  # engines that print do so to stderr
    os.dup2(2, 1)

    def answer(what):
        print(json.dumps(what), file=replies, flush=True)

    try:
        engine = importlib.import_module(f"engines.{sys.argv[1]}")
    except ModuleNotFoundError as error:
        answer({"missing": error.name})
        return
    answer({"file": engine.FILE, "version": engine.VERSION})
    serve(engine, answer)


if __name__ == "__main__":
    main()
