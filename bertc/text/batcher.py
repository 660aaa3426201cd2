"""Batcher: what many callers ask for at the same time, merged into few calls."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, NamedTuple, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

IDLE_SECONDS = 1.0  # after which the thread ends; the next item starts another one


class _Entry(NamedTuple):
    item: object
    cost: int
    future: Future


class Batcher(Generic[Item, Result]):
    """Calls ``function`` with lists of items in a thread of its own, one list at a time, first come first served.

    A list is what has come while the one before ran, up to ``max_cost``: nothing ever waits for more to come. An item
    whose future is cancelled before its list starts is left out. When a call fails, its items are tried one by one, so
    that only who caused the error gets it.
    """

    def __init__(self, function: Callable[[list[Item]], Sequence[Result]], max_cost: int) -> None:
        self._function = function
        self._max_cost = max_cost
        self._entries: deque[_Entry] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def submit(self, item: Item, cost: int = 1) -> Future:
        """The future of the item's result; ``cost`` is its part of ``max_cost``, which one item alone may exceed."""
        future: Future[Result] = Future()
        with self._changed:
            self._entries.append(_Entry(item, cost, future))
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._work, name="bertc-batcher", daemon=True)
                self._thread.start()
            self._changed.notify()
        return future

    def __len__(self) -> int:
        """How many items wait."""
        return len(self._entries)

    def _work(self) -> None:
        while True:
            batch = self._take()
            if batch is None:
                return
            if batch:
                self._run(batch)

    def _take(self) -> list[_Entry] | None:
        """What comes next; None when nothing came for a while, and the thread has to end."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._entries, IDLE_SECONDS):
                self._thread = None
                return None
            batch: list[_Entry] = []
            cost = 0
            while self._entries and (not batch or cost + self._entries[0].cost <= self._max_cost):
                entry = self._entries.popleft()
                if entry.future.set_running_or_notify_cancel():
                    batch.append(entry)
                    cost += entry.cost
            return batch

    def _run(self, batch: list[_Entry]) -> None:
        try:
            results = self._function([entry.item for entry in batch])
        except BaseException as error:
            if len(batch) == 1:
                batch[0].future.set_exception(error)
            else:
                for entry in batch:
                    self._run([entry])
            return
        for entry, result in zip(batch, results):
            entry.future.set_result(result)
