"""Profile: what each node of a model's graph costs, as Model.profile() measures it."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from bertc import _core

PEAK_SECONDS = 0.01
COLUMNS = ("ms", "share", "GFLOP/s", "of peak")


class Cost(NamedTuple):
    """What one node of the graph, or all of one kind, takes in one call of the model."""

    name: str  # "%7"; of a kind: the number of its nodes
    op: str
    weight: str  # the dotted name of the first weight that the node reads, or ""
    text: str  # the node as model.graph prints it, without shapes
    calls: int  # 1, or the number of parts in which the batch was run
    seconds: float
    share: float  # of the seconds of all nodes
    flops: float  # of matrix products, attention and convolutions; a multiply-add is 2. Of other nodes 0
    gflops: float  # 1e9 FLOP/s
    peak_share: float  # of what the processor's multiply-add units can do


class Profile:
    """What each node of a model's graph costs in one call; print it for a table.

    ``nodes`` has a Cost for each node that was run, in the graph's order, ``ops`` one for each kind of node, the
    dearest first. ``seconds`` is the whole call's time, ``flops`` its arithmetic, ``tokens`` the first input's number
    of positions, padding included, and ``peak_gflops`` what the threads could do at most, measured at the same time.
    """

    __slots__ = ("flops", "nodes", "ops", "peak_gflops", "seconds", "threads", "tokens")

    def __init__(self, seconds: float, records: list[tuple], tokens: int, threads: int, peak_gflops: float) -> None:
        self.seconds = seconds
        self.tokens = tokens
        self.threads = threads
        self.peak_gflops = peak_gflops
        self.flops = sum(flops for *_, flops in records)
        total = sum(record[4] for record in records)
        self.nodes = [_cost(record[0].partition(" = ")[0], *record, total, peak_gflops) for record in records]
        kinds: dict[str, list[Cost]] = {}
        for node in self.nodes:
            kinds.setdefault(node.op, []).append(node)
        self.ops = sorted((_sum(kind, total, peak_gflops) for kind in kinds.values()), key=lambda cost: -cost.seconds)

    @property
    def gflops(self) -> float:
        """1e9 FLOP/s of the whole call."""
        return self.flops / self.seconds / 1e9

    @property
    def peak_share(self) -> float:
        """What part of the processor's multiply-add units the whole call kept busy."""
        return self.gflops / self.peak_gflops

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain numbers, strings, lists and dicts."""
        totals = ("seconds", "flops", "tokens", "threads", "gflops", "peak_gflops", "peak_share")
        return {
            **{name: getattr(self, name) for name in totals},
            "nodes": [node._asdict() for node in self.nodes],
            "ops": [cost._asdict() for cost in self.ops],
        }

    def __str__(self) -> str:
        nodes = [(cost.name, cost.op, cost.weight) for cost in self.nodes]
        kinds = [(cost.name, cost.op, "") for cost in self.ops]
        widths = [max(map(len, column)) for column in zip(("node", "op", ""), *nodes, *kinds)]
        lines = [self._title(), "", _row(("node", "op", "weight"), COLUMNS, widths)]
        lines += [_row(names, _figures(cost), widths) for names, cost in zip(nodes, self.nodes)]
        lines += ["", _row(("nodes", "op", ""), COLUMNS, widths)]
        lines += [_row(names, _figures(cost), widths) for names, cost in zip(kinds, self.ops)]
        return "\n".join(line.rstrip() for line in lines)

    __repr__ = __str__

    def _title(self) -> str:
        threads = f"{self.threads} thread" + ("s" if self.threads > 1 else "")
        return (
            f"{self.seconds * 1e3:.3f} ms for {self.tokens} tokens with {threads}: {self.flops / 1e9:.2f} GFLOP, "
            f"{self.gflops:.1f} GFLOP/s, {self.peak_share:.1%} of {self.peak_gflops:.1f}"
        )

    def _repr_html_(self) -> str:
        from bertc.notebook import table

        nodes = [(cost.name, cost.op, cost.weight, *_figures(cost)) for cost in self.nodes]
        kinds = [(cost.name, cost.op, *_figures(cost)) for cost in self.ops]
        details = f"<details><summary>each node</summary>{table(('node', 'op', 'weight', *COLUMNS), nodes)}</details>"
        return f"<p>{html.escape(self._title())}</p>{table(('nodes', 'op', *COLUMNS), kinds)}{details}"


def measure(core: _core.Model, values: tuple[Any, ...], threads: int, repeat: int) -> Profile:
    """The fastest of `repeat` calls after two that warm up: the second packs weights.

    `values` are a call's arguments as the core takes them.
    """
    for _ in range(2):
        core.profile(values, threads)
    peak = _core.peak(PEAK_SECONDS)
    runs = [core.profile(values, threads) for _ in range(repeat)]
    peak = max(peak, _core.peak(PEAK_SECONDS))
    seconds, records = min(runs, key=lambda run: run[0])
    return Profile(seconds, records, _tokens(values), threads, peak * threads / 1e9)


def _tokens(values: Iterable[Any]) -> int:
    for value in values:
        if isinstance(value, np.ndarray) and value.ndim:
            return int(np.prod(value.shape[:2]))
        if isinstance(value, (Mapping, list, tuple)):
            tokens = _tokens(value.values() if isinstance(value, Mapping) else value)
            if tokens:
                return tokens
    return 0


def _cost(
    name: str, text: str, op: str, weight: str, calls: int, seconds: float, flops: float, *context: float
) -> Cost:
    total, peak_gflops = context
    gflops = flops / seconds / 1e9 if seconds > 0 else 0.0
    share = seconds / total if total > 0 else 0.0
    return Cost(name, op, weight, text, calls, seconds, share, flops, gflops, gflops / peak_gflops)


def _sum(kind: list[Cost], *context: float) -> Cost:
    seconds = sum(cost.seconds for cost in kind)
    flops = sum(cost.flops for cost in kind)
    calls = sum(cost.calls for cost in kind)
    return _cost(str(len(kind)), "", kind[0].op, "", calls, seconds, flops, *context)


def _figures(cost: Cost) -> tuple[str, ...]:
    speed = (f"{cost.gflops:.1f}", f"{cost.peak_share:.1%}") if cost.flops else ("", "")
    return f"{cost.seconds * 1e3:.3f}", f"{cost.share:.1%}", *speed


def _row(names: tuple[str, ...], figures: tuple[str, ...], widths: list[int]) -> str:
    left = "  ".join(f"{name:{width}}" for name, width in zip(names, widths))
    return left + "".join(f"{figure:>10}" for figure in figures)
