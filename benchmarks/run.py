"""Measures bertc against PyTorch on real MiniLM: engines in their own processes, visited in turn, so that whatever else
the machine does falls on all of them. Prints best and median milliseconds, and writes them to benchmarks/results.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

import minilm

HERE = Path(__file__).resolve().parent
SHAPES = ["1x14", "1x128", "32x128"]


class Engine:
    def __init__(self, name: str, path: Path, threads: int) -> None:
        self.name = name
        self.times: dict[str, list[float]] = {}
        self.sums: dict[str, float] = {}
        self.process = subprocess.Popen(
            [sys.executable, HERE / "worker.py", name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.load_seconds = self.ask({"load": str(path), "threads": threads})["seconds"]

    def ask(self, order: dict) -> dict:
        assert self.process.stdin and self.process.stdout
        print(json.dumps(order), file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} ended early")
        return json.loads(line)

    def visit(self, shape: str, calls: int) -> None:
        answer = self.ask({"shape": [int(n) for n in shape.split("x")], "calls": calls})
        self.times.setdefault(shape, []).extend(answer["times"])
        self.sums[shape] = answer["sum"]
        self.rss_mb = answer["rss_mb"]

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


def measure(engines: list[Engine], shapes: list[str], rounds: int) -> None:
    for shape in shapes:
        for engine in engines:
            engine.visit(shape, 2)  # warm up
            engine.times[shape].clear()
        once = max(
            engine.ask({"shape": [int(n) for n in shape.split("x")], "calls": 1})["times"][0] for engine in engines
        )
        calls = max(1, min(20, int(0.3 / once)))
        for turn in range(rounds):
            for engine in engines if turn % 2 == 0 else reversed(engines):
                engine.visit(shape, calls)
        sums = [engine.sums[shape] for engine in engines]
        assert max(sums) - min(sums) <= 1e-4 * max(sums), f"{shape}: the engines disagree: {sums}"


def report(engines: list[Engine], shapes: list[str], threads: int) -> dict:
    rows = {}
    print(f"\nmilliseconds, {threads} thread{'s' * (threads > 1)}: best (median)")
    print("engine".ljust(16) + "".join(shape.rjust(20) for shape in shapes) + "RSS MB".rjust(10))
    for engine in engines:
        row = {
            shape: {"best": 1e3 * min(times), "median": 1e3 * statistics.median(times), "calls": len(times)}
            for shape, times in engine.times.items()
        }
        rows[engine.name] = {"load_seconds": engine.load_seconds, "rss_mb": engine.rss_mb, "ms": row}
        cells = (f"{row[shape]['best']:.2f} ({row[shape]['median']:.2f})".rjust(20) for shape in shapes)
        print(engine.name.ljust(16) + "".join(cells) + str(engine.rss_mb).rjust(10))
    return rows


def main() -> None:
    names = sorted(path.stem for path in (HERE / "engines").glob("*.py"))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engines", nargs="+", choices=names, default=names)
    parser.add_argument("--shapes", nargs="+", default=SHAPES, metavar="BATCHxLENGTH")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=8)
    args = parser.parse_args()
    path = minilm.traced_path()
    engines = [Engine(name, path, args.threads) for name in args.engines]
    measure(engines, args.shapes, args.rounds)
    result = {
        "model": path.stem,
        "machine": platform.machine(),
        "time": time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime()),
        "threads": args.threads,
        "engines": report(engines, args.shapes, args.threads),
    }
    for engine in engines:
        engine.close()
    output = HERE / "results" / f"minilm-{args.threads}t.json"
    output.write_text(json.dumps(result, indent=1) + "\n")
    print(f"\nwritten to {output.relative_to(HERE.parent)}")


if __name__ == "__main__":
    main()
