"""Scheduler: requests of many users merged into batches by tokens, one batch at a time for all models of a process."""

from __future__ import annotations

import math
import os
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, InvalidStateError
from typing import Any, NamedTuple, Protocol

from bertc.serve.errors import Closed, Overloaded

MAX_BATCH_TOKENS = 1024  # more make a batch no faster, and those who come meanwhile wait longer
MAX_REQUESTS = 512
MAX_QUEUE_TOKENS = 1 << 20
LATEST = 4096  # batches that are kept until somebody counts them
BULK_TURN = 4  # every so many batches bulk work goes first, so that it never starves


class Runner(Protocol):
    """What runs encodings; jobs of the same runner share a batch."""

    def run_each(self, encodings: Sequence[Any]) -> Iterator[Any]: ...


class Job(NamedTuple):
    """One item of a request: its encodings, and what makes its value of their results."""

    encodings: list[Any]
    finish: Callable[[list[Any], list[Any]], Any]
    tokens: int


class Request:
    """Items that one caller wants the results of. ``future`` has the list of their values when all are there.

    Cancelling the future drops the items that have not run yet. Times are those of time.perf_counter().
    """

    __slots__ = (
        "future",
        "jobs",
        "left",
        "next",
        "prepare",
        "queued",
        "results",
        "runner",
        "started",
        "stopped",
        "submitted",
        "tokens",
        "urgent",
    )

    def __init__(self, runner: Runner, prepare: Callable[[], list[Job]], urgent: bool) -> None:
        self.runner = runner
        self.prepare = prepare
        self.urgent = urgent
        self.future: Future[list[Any]] = Future()
        self.jobs: list[Job] = []
        self.results: list[Any] = []
        self.next = 0  # the first job that has not been taken
        self.left = 0  # how many have no result
        self.tokens = 0
        self.submitted = self.queued = self.started = self.stopped = time.perf_counter()

    def set_jobs(self, jobs: list[Job]) -> None:
        self.jobs = jobs
        self.results = [None] * len(jobs)
        self.left = len(jobs)
        self.tokens = sum(job.tokens for job in jobs)
        self.queued = self.started = time.perf_counter()

    def set_result(self, index: int, value: Any) -> None:
        self.results[index] = value
        self.left -= 1
        if not self.left:
            self.stopped = time.perf_counter()

    def settle(self, value: Any) -> None:
        """Ends the future with a list or an exception, unless it was cancelled or has failed before."""
        try:
            if isinstance(value, BaseException):
                self.future.set_exception(value)
            else:
                self.future.set_result(value)
        except InvalidStateError:
            pass


class Scheduler:
    """Runs jobs in threads of its own, one batch at a time: the one thread budget of all models.

    A batch is what has queued while the one before ran, up to ``max_batch_tokens``, first come first served; nothing
    waits for more to come. Urgent requests go before others. Large requests spread over several batches. Each thread
    tokenizes; the one that finds no batch running goes on to run what has queued, so that a request on its own stays
    in one thread, while ``workers`` others tokenize. Beyond ``max_requests`` at once, or ``max_queue_tokens`` waiting,
    submit() raises Overloaded. Threads start with the first request, also of a process that was forked.
    """

    def __init__(
        self,
        *,
        max_batch_tokens: int = MAX_BATCH_TOKENS,
        max_batch_requests: int | None = None,
        max_requests: int = MAX_REQUESTS,
        max_queue_tokens: int = MAX_QUEUE_TOKENS,
        workers: int = 2,
    ) -> None:
        self.max_batch_tokens = max_batch_tokens
        self.max_batch_requests = max_batch_requests or math.inf
        self.max_requests = max_requests
        self.max_queue_tokens = max_queue_tokens
        self.batches = 0
        self.latest: deque[tuple[int, int]] = deque(maxlen=LATEST)  # batches' items and tokens, for who counts them
        self.tokens = 0  # that have run
        self.seconds = 0.0  # that the model ran
        self._workers = workers
        self._reset()

    def _reset(self) -> None:
        self._process = os.getpid()
        self._changed = threading.Condition()
        self._urgent: deque[Request] = deque()
        self._bulk: deque[Request] = deque()
        self._active = 0  # requests that are not settled
        self._waiting = 0  # tokens in the queues
        self._unprepared: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._running = False  # whether a thread runs batches
        self._closed = False

    def submit(
        self,
        runner: Runner,
        prepare: Callable[[], list[Job]],
        *,
        urgent: bool = False,
        done: Callable[[Future[Any]], None] | None = None,
    ) -> Request:
        """``prepare`` makes the jobs, in another thread; ``done`` gets the future when it is done, in any thread.

        Raises Overloaded, or Closed after close().
        """
        request = Request(runner, prepare, urgent)
        if self._process != os.getpid():  # of a fork, which has no threads, and what it queued is its parent's
            self._reset()
        with self._changed:
            if self._closed:
                raise Closed
            if self._active >= self.max_requests or self._waiting >= self.max_queue_tokens:
                raise Overloaded(self.retry_after())
            self._active += 1
            if not self._threads:
                self._start()
        if done is not None:
            request.future.add_done_callback(done)
        request.future.add_done_callback(self._settled)
        self._unprepared.put(request)
        return request

    @property
    def active(self) -> int:
        """Requests that have been accepted and not answered."""
        return self._active

    @property
    def queued(self) -> int:
        """Requests of which something waits to be run."""
        return len(self._urgent) + len(self._bulk)

    def retry_after(self) -> int:
        """Whole seconds in which what waits now will have run."""
        speed = self.tokens / self.seconds if self.seconds else math.inf
        return max(1, min(60, math.ceil(self._waiting / speed)))

    def close(self, timeout: float | None = None) -> bool:
        """Takes no more requests, and returns when all that it took are answered; False after ``timeout`` seconds."""
        with self._changed:
            self._closed = True
            idle = self._changed.wait_for(lambda: not self._active, timeout)
        for _ in self._threads:
            self._unprepared.put(None)
        if idle:
            for thread in self._threads:
                if thread is not threading.current_thread():
                    thread.join(timeout)
        return idle

    # ---- threads ----

    def _start(self) -> None:
        for i in range(self._workers + 1):
            thread = threading.Thread(target=self._work, name=f"bertc-serve-{i}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _settled(self, future: Future[Any]) -> None:
        with self._changed:
            self._active -= 1
            if not self._active:
                self._changed.notify_all()

    def _work(self) -> None:
        while (request := self._unprepared.get()) is not None:
            if self._prepare(request) and self._enqueue(request):
                self._run_batches()

    def _prepare(self, request: Request) -> bool:
        """Whether it has jobs to run."""
        if request.future.done():  # cancelled
            return False
        try:
            request.set_jobs(request.prepare())
        except BaseException as error:
            request.settle(error)
            return False
        if not request.jobs:
            request.settle([])
        return bool(request.jobs)

    def _enqueue(self, request: Request) -> bool:
        """Whether nobody runs batches, so that the caller has to."""
        with self._changed:
            (self._urgent if request.urgent else self._bulk).append(request)
            self._waiting += request.tokens
            idle = not self._running
            self._running = True
        return idle

    def _run_batches(self) -> None:
        """Until nothing waits. Who waits for a result is told last: two threads are slow to go on at once."""
        ended: list[Request] = []
        while True:
            with self._changed:
                batch = self._take()
                if not batch:
                    self._running = False
            for request in ended:
                request.settle(request.results)
            if not batch:
                return
            ended = self._run(batch)

    # ---- batches ----

    def _take(self) -> list[tuple[Request, int]]:
        """The jobs of the next batch: those of the request at the head, and what fits beside them."""
        lanes = [self._urgent, self._bulk]
        if self.batches % BULK_TURN == BULK_TURN - 1:
            lanes.reverse()
        batch: list[tuple[Request, int]] = []
        tokens = 0
        full = False
        for lane in lanes:
            rest: deque[Request] = deque()
            while lane and not full:
                request = lane.popleft()
                if request.future.done():  # cancelled, or failed
                    self._waiting -= sum(job.tokens for job in request.jobs[request.next :])
                    continue
                if batch and request.runner is not batch[0][0].runner:
                    rest.append(request)
                    continue
                while request.next < len(request.jobs):
                    cost = request.jobs[request.next].tokens
                    full = bool(batch) and (
                        tokens + cost > self.max_batch_tokens or len(batch) >= self.max_batch_requests
                    )
                    if full:
                        rest.append(request)
                        break
                    batch.append((request, request.next))
                    request.next += 1
                    tokens += cost
            lane.extendleft(reversed(rest))
        self._waiting -= tokens
        return batch

    def _run(self, batch: list[tuple[Request, int]]) -> list[Request]:
        """The requests that have all their results; those that failed are settled."""
        jobs = [request.jobs[index] for request, index in batch]
        tokens = sum(job.tokens for job in jobs)
        self.batches += 1
        start = time.perf_counter()
        for request, index in batch:
            if index == 0:
                request.started = start
        done = 0
        ended: list[Request] = []
        try:
            results = batch[0][0].runner.run_each([encoding for job in jobs for encoding in job.encodings])
            for (request, index), job in zip(batch, jobs):
                request.set_result(index, job.finish(job.encodings, [next(results) for _ in job.encodings]))
                done += 1
                if not request.left:
                    ended.append(request)
        except BaseException as error:
            if len(batch) == 1:
                batch[0][0].settle(error)
            else:  # only who caused it gets the error
                for item in batch[done:]:
                    ended += self._run([item])
            return ended
        self.latest.append((len(batch), tokens))
        self.tokens += tokens
        self.seconds += time.perf_counter() - start
        return ended
