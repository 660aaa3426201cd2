"""Batcher: one model for many users of somebody's own application, coroutines and threads alike."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

import numpy as np

from bertc._core import InputError
from bertc.serve.scheduler import Request, Scheduler
from bertc.serve.tasks import Prepared, task_of

Priority = Literal["query", "bulk"]


class Batcher:
    """Merges what many users ask of a model at the same time into batches of so many tokens.

    ``model`` is a SentenceEncoder, CrossEncoder, SparseEncoder, M3Encoder, a pipeline or a bertc.Model. ``options`` are
    those of Scheduler: max_batch_tokens, max_requests, max_queue_tokens, workers; or ``scheduler`` is one that several
    batchers share, so that their models do not compete for the processor.

    A call takes an item or a list of them. Its result is float32[n, d] of a SentenceEncoder, float32[n, labels], the
    logits, of a CrossEncoder, and otherwise a list with a value for each item: (indices, values) of sparse vectors,
    what the pipeline gives, or what Model.run_packed gives for lists of ids, or tuples with a list for each argument.
    Of a single item it is without the first dimension.
    """

    def __init__(self, model: Any, *, scheduler: Scheduler | None = None, **options: Any) -> None:
        if scheduler is not None and options:
            raise InputError(f"{', '.join(options)}: to be given to the scheduler that is shared")
        self.task = task_of(model)
        self.scheduler = scheduler or Scheduler(**options)

    async def run(
        self, inputs: Any, *, priority: Priority | None = None, timeout: float | None = None, **options: Any
    ) -> Any:
        """The result of a call; the event loop goes on meanwhile.

        ``priority="query"`` goes before "bulk"; None is "query" for a single item. A call that is cancelled, or not
        done after ``timeout`` seconds, costs nothing more. ``options`` are truncate (cut long texts, else they are an
        error), and those of the model's own calls.

        Raises Overloaded at once when too much waits already, Closed after close(), TimeoutError, and InputError.
        """
        call = _Call(self, inputs, priority, options)
        return call.result(await asyncio.wait_for(asyncio.wrap_future(call.request.future), timeout))

    def wait(
        self, inputs: Any, *, priority: Priority | None = None, timeout: float | None = None, **options: Any
    ) -> Any:
        """run() for threads: returns when the result is there."""
        call = _Call(self, inputs, priority, options)
        try:
            return call.result(call.request.future.result(timeout))
        finally:
            call.request.future.cancel()

    def close(self, timeout: float | None = None) -> bool:
        """Takes no more calls and finishes the others; False if some are not done after ``timeout`` seconds."""
        return self.scheduler.close(timeout)

    def __enter__(self) -> Batcher:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    async def __aenter__(self) -> Batcher:
        return self

    async def __aexit__(self, *_: Any) -> None:
        await asyncio.to_thread(self.close)


class _Call:
    def __init__(self, batcher: Batcher, inputs: Any, priority: Priority | None, options: dict[str, Any]) -> None:
        if priority not in (None, "query", "bulk"):
            raise InputError(f"priority must be 'query', 'bulk' or None, not {priority!r}")
        self.single = not isinstance(inputs, list) or (bool(inputs) and isinstance(inputs[0], (int, np.integer)))
        self.prepared: Prepared | None = None
        items = [inputs] if self.single else inputs

        def prepare() -> Any:
            self.prepared = batcher.task.prepare(items, **options)
            return self.prepared.jobs

        urgent = self.single if priority is None else priority == "query"
        self.request: Request = batcher.scheduler.submit(batcher.task.runner, prepare, urgent=urgent)

    def result(self, values: list[Any]) -> Any:
        joined = self.prepared.join(values) if values and self.prepared else []
        return joined[0] if self.single else joined
