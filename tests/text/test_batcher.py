"""Batcher: what is merged, in which order, and whom an error reaches."""

import threading
import time

import pytest

from bertc.text import batcher as module
from bertc.text.batcher import Batcher


class Recorder:
    """A function of a list that notes its calls, and waits in the first one until it is told to go on."""

    def __init__(self):
        self.calls: list[list[int]] = []
        self.started, self.go = threading.Event(), threading.Event()

    def __call__(self, items):
        self.calls.append(list(items))
        self.started.set()
        assert self.go.wait(10)
        if any(item < 0 for item in items):
            raise ValueError(f"bad: {items}")
        return [item * 10 for item in items]


@pytest.fixture
def recorder():
    recorder = Recorder()
    yield recorder
    recorder.go.set()


def test_what_waits_is_merged_in_order(recorder):
    batcher = Batcher(recorder, max_cost=10)
    futures = [batcher.submit(0)]
    assert recorder.started.wait(10)
    futures += [batcher.submit(i, cost=3) for i in range(1, 6)]
    assert len(batcher) == 5
    recorder.go.set()
    assert [future.result(10) for future in futures] == [0, 10, 20, 30, 40, 50]
    assert recorder.calls == [[0], [1, 2, 3], [4, 5]]


def test_an_item_may_exceed_the_limit_alone(recorder):
    recorder.go.set()
    batcher = Batcher(recorder, max_cost=10)
    assert batcher.submit(7, cost=100).result(10) == 70


def test_cancelled_items_are_left_out(recorder):
    batcher = Batcher(recorder, max_cost=10)
    futures = [batcher.submit(0)]
    assert recorder.started.wait(10)
    futures += [batcher.submit(i) for i in range(1, 4)]
    assert not futures[0].cancel()
    assert futures[2].cancel()
    recorder.go.set()
    assert [futures[i].result(10) for i in (0, 1, 3)] == [0, 10, 30]
    assert recorder.calls == [[0], [1, 3]]


def test_an_error_reaches_only_who_caused_it(recorder):
    batcher = Batcher(recorder, max_cost=10)
    futures = [batcher.submit(i) for i in (1, 2, -3, 4)]
    recorder.go.set()
    assert [futures[i].result(10) for i in (0, 1, 3)] == [10, 20, 40]
    with pytest.raises(ValueError, match=r"bad: \[-3\]"):
        futures[2].result(10)


def test_the_thread_ends_when_nothing_comes(monkeypatch):
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.05)
    batcher = Batcher(lambda items: items, max_cost=10)
    for _ in range(2):
        assert batcher.submit(1).result(10) == 1
        deadline = time.monotonic() + 10
        while any(thread.name == "bertc-batcher" for thread in threading.enumerate()):
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_many_threads():
    batcher = Batcher(lambda items: [item + 1 for item in items], max_cost=50)
    results: dict[int, list[int]] = {}

    def ask(number: int) -> None:
        results[number] = [batcher.submit(number * 1000 + i).result(10) for i in range(100)]

    threads = [threading.Thread(target=ask, args=[number]) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(values == [number * 1000 + i + 1 for i in range(100)] for number, values in results.items())
    assert len(results) == 16
