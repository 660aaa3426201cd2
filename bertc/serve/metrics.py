"""Metrics for Prometheus: by the names of text-embeddings-inference, and what only bertc knows."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess

if TYPE_CHECKING:
    from bertc.serve.scheduler import Request, Scheduler

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_SIZES = tuple(2**i for i in range(15))
_SHARES = tuple(i / 10 for i in range(1, 11))
_PHASES = ("tokenization", "queue", "inference")
_MOMENT = 0.1  # seconds
_SUFFIX = re.compile(rb"\b(te_\w+)_total\b")


class Metrics:
    """The figures of one process; with several workers /metrics has the sums of all."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.registry = CollectorRegistry()
        self.count = self._counter("te_request_count", "requests", "method")
        self.success = self._counter("te_request_success", "requests answered", "method")
        self.failure = self._counter("te_request_failure", "requests refused or failed", "err")
        self.duration = self._histogram("te_request_duration", "seconds of a request")
        self.phases = [self._histogram(f"te_request_{phase}_duration", f"seconds of {phase}") for phase in _PHASES]
        self.length = self._histogram("te_request_input_length", "tokens of an item", _SIZES)
        self.batch_items = self._histogram("te_batch_next_size", "items of a batch", _SIZES)
        self.batch_tokens = self._histogram("te_batch_next_tokens", "tokens of a batch", _SIZES)
        self.fill = self._histogram("bertc_batch_fill", "tokens of a batch, of those that it may have", _SHARES)
        self.tokens = self._counter("bertc_tokens", "tokens that the models have run")
        self.truncated = self._counter("bertc_truncated", "texts that were cut")
        self.queue = self._gauge("te_queue_size", "requests that wait")
        self.active = self._gauge("bertc_active_requests", "requests accepted and not answered")
        self._later: list[Callable[[], None]] = []
        self._kinds = {kind: _Kind(self, kind) for kind in ("embed", "predict")}

    def after(self, count: Callable[[], None]) -> None:
        """Calls ``count`` in a moment: clients, also the one that asks again at once, do not wait for it."""
        if not self._later:
            asyncio.get_running_loop().call_later(_MOMENT, self._count_now)
        self._later.append(count)

    def _count_now(self) -> None:
        later, self._later = self._later, []
        for count in later:
            count()
        latest = self.scheduler.latest
        for _ in range(len(latest)):
            items, tokens = latest.popleft()
            self.batch_items.observe(items)
            self.batch_tokens.observe(tokens)
            self.fill.observe(tokens / self.scheduler.max_batch_tokens)
            self.tokens.inc(tokens)

    def observe(self, kind: str, request: Request) -> None:
        """A request that has been run: what it cost."""
        seconds = (
            request.queued - request.submitted,
            request.started - request.queued,
            request.stopped - request.started,
        )
        for histogram, value in zip(self.phases, seconds):
            histogram.observe(value)
        for job in request.jobs:
            self.length.observe(job.tokens)
        group = self._kinds["embed" if kind in ("embed", "embed_all", "sparse") else "predict"]
        group.observe(len(request.jobs), request.stopped - request.submitted, seconds)

    def text(self) -> bytes:
        """What /metrics answers."""
        self._count_now()
        self.queue.set(self.scheduler.queued)
        self.active.set(self.scheduler.active)
        registry = self.registry
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            registry = CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)
        return _SUFFIX.sub(rb"\1", generate_latest(registry))  # the server whose names these are has no suffix

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...] = _SECONDS) -> Histogram:
        return Histogram(name, text, buckets=buckets, registry=self.registry)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(name, text, registry=self.registry, multiprocess_mode="livesum")


class _Kind:
    """The figures of embeddings alone, or of predictions alone."""

    def __init__(self, metrics: Metrics, kind: str) -> None:
        self.count = metrics._counter(f"te_{kind}_count", "items")
        self.success = metrics._counter(f"te_{kind}_success", "items answered")
        self.duration = metrics._histogram(f"te_{kind}_duration", "seconds of a request's items")
        self.phases = [metrics._histogram(f"te_{kind}_{phase}_duration", f"seconds of {phase}") for phase in _PHASES]

    def observe(self, items: int, seconds: float, phases: tuple[float, ...]) -> None:
        self.count.inc(items)
        self.success.inc(items)
        self.duration.observe(seconds)
        for histogram, value in zip(self.phases, phases):
            histogram.observe(value)
