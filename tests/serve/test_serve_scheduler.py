"""The scheduler: order, merging, splitting, dropping, limits."""

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from typing import Any

import pytest

from bertc.serve import Closed, Overloaded, Scheduler
from bertc.serve.scheduler import Job


class Model:
    """Notes the batches that it is given; waits while its gate is closed; fails for what is negative."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)

    def run_each(self, items: list[int]) -> Iterator[int]:
        self.batches.append(list(items))
        self.entered.release()
        assert self.gate.wait(10)
        for item in items:
            if item < 0:
                raise ValueError(f"{item} is negative")
            yield item * 10


def jobs(*items: int, tokens: int = 1) -> list[Job]:
    return [Job([item], lambda _, results: results[0], tokens) for item in items]


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def scheduler() -> Iterator[Scheduler]:
    made = Scheduler(max_batch_tokens=8, max_requests=16, max_queue_tokens=100, workers=1)
    yield made
    made.close(5)


def hold(scheduler: Scheduler, model: Model) -> Any:
    """Keeps the model busy with 0 until its gate is opened."""
    model.gate.clear()
    request = scheduler.submit(model, lambda: jobs(0))
    assert model.entered.acquire(timeout=5)
    return request


def settle(scheduler: Scheduler, count: int) -> None:
    """Waits until so many requests have been tokenized and wait."""
    end = time.monotonic() + 5
    while scheduler.queued < count:
        assert time.monotonic() < end
        time.sleep(0.001)


def test_results_are_in_order(scheduler: Scheduler, model: Model) -> None:
    assert scheduler.submit(model, lambda: jobs(3, 1, 2)).future.result(5) == [30, 10, 20]
    assert scheduler.submit(model, lambda: []).future.result(5) == []


def test_what_queues_while_a_batch_runs_is_the_next_batch(scheduler: Scheduler, model: Model) -> None:
    hold(scheduler, model)
    requests = [scheduler.submit(model, lambda i=i: jobs(i)) for i in (1, 2, 3)]
    settle(scheduler, 3)
    model.gate.set()
    assert [request.future.result(5) for request in requests] == [[10], [20], [30]]
    assert model.batches == [[0], [1, 2, 3]]


def test_large_requests_are_split_and_small_ones_fill_up(scheduler: Scheduler, model: Model) -> None:
    hold(scheduler, model)
    large = scheduler.submit(model, lambda: jobs(*range(1, 8), tokens=3))
    small = scheduler.submit(model, lambda: jobs(9))
    settle(scheduler, 2)
    model.gate.set()
    assert large.future.result(5) == [10 * i for i in range(1, 8)]
    assert small.future.result(5) == [90]
    assert model.batches == [[0], [1, 2], [3, 4], [5, 6], [7, 9]]


def test_an_item_larger_than_a_batch_runs_alone(scheduler: Scheduler, model: Model) -> None:
    assert scheduler.submit(model, lambda: jobs(1, 2, tokens=50)).future.result(5) == [10, 20]
    assert model.batches == [[1], [2]]


def test_queries_go_first_and_bulk_work_does_not_starve(model: Model) -> None:
    scheduler = Scheduler(max_batch_tokens=1, workers=1)
    hold(scheduler, model)
    scheduler.submit(model, lambda: jobs(100, 101))
    settle(scheduler, 1)
    for i in range(1, 7):
        scheduler.submit(model, lambda i=i: jobs(i), urgent=True)
    settle(scheduler, 7)
    model.gate.set()
    assert scheduler.close(5)
    assert [batch[0] for batch in model.batches] == [0, 1, 2, 100, 3, 4, 5, 101, 6]


def test_models_take_turns_and_share_no_batch(scheduler: Scheduler, model: Model) -> None:
    other = Model()
    hold(scheduler, model)
    requests = [scheduler.submit(m, lambda i=i: jobs(i)) for i, m in enumerate([other, model, other, model], 1)]
    settle(scheduler, 4)
    model.gate.set()
    assert [request.future.result(5) for request in requests] == [[10], [20], [30], [40]]
    assert (model.batches, other.batches) == ([[0], [2, 4]], [[1, 3]])


def test_cancelled_requests_cost_nothing(scheduler: Scheduler, model: Model) -> None:
    hold(scheduler, model)
    first = scheduler.submit(model, lambda: jobs(1, tokens=5))
    second = scheduler.submit(model, lambda: jobs(2))
    settle(scheduler, 2)
    assert first.future.cancel()
    model.gate.set()
    assert second.future.result(5) == [20]
    with pytest.raises(CancelledError):
        first.future.result(5)
    assert model.batches == [[0], [2]]
    assert scheduler._waiting == 0


def test_a_request_cancelled_before_it_is_tokenized_is_not(scheduler: Scheduler, model: Model) -> None:
    busy = threading.Event()
    scheduler.submit(model, lambda: jobs(0) if busy.wait(5) else [])
    prepared = []
    request = scheduler.submit(model, lambda: prepared.append(1) or jobs(1))
    request.future.cancel()
    busy.set()
    assert scheduler.close(5)
    assert not prepared


def test_errors_go_to_those_who_caused_them(scheduler: Scheduler, model: Model) -> None:
    hold(scheduler, model)
    good = scheduler.submit(model, lambda: jobs(1, 2))
    bad = scheduler.submit(model, lambda: jobs(3, -1))
    late = scheduler.submit(model, lambda: jobs(4))
    settle(scheduler, 3)
    model.gate.set()
    assert good.future.result(5) == [10, 20]
    assert late.future.result(5) == [40]
    with pytest.raises(ValueError, match="-1 is negative"):
        bad.future.result(5)


def test_errors_of_tokenizing(scheduler: Scheduler, model: Model) -> None:
    with pytest.raises(ZeroDivisionError):
        scheduler.submit(model, lambda: [1 // 0]).future.result(5)
    assert scheduler.submit(model, lambda: jobs(1)).future.result(5) == [10]


def test_overload_is_refused_at_once(model: Model) -> None:
    scheduler = Scheduler(max_requests=3, max_queue_tokens=10, workers=1)
    hold(scheduler, model)
    for i in (1, 2):
        scheduler.submit(model, lambda i=i: jobs(i))
    with pytest.raises(Overloaded) as caught:
        scheduler.submit(model, lambda: jobs(3))
    assert caught.value.retry_after >= 1
    model.gate.set()
    assert scheduler.close(5)
    assert scheduler.active == 0


def test_overload_by_tokens(model: Model) -> None:
    scheduler = Scheduler(max_queue_tokens=10, workers=1)
    hold(scheduler, model)
    scheduler.submit(model, lambda: jobs(1, tokens=10))
    settle(scheduler, 1)
    with pytest.raises(Overloaded):
        scheduler.submit(model, lambda: jobs(2))
    model.gate.set()
    assert scheduler.close(5)


def test_close_finishes_what_was_accepted(scheduler: Scheduler, model: Model) -> None:
    hold(scheduler, model)
    requests = [scheduler.submit(model, lambda i=i: jobs(i)) for i in range(1, 6)]
    assert not scheduler.close(0.01)
    with pytest.raises(Closed):
        scheduler.submit(model, lambda: jobs(9))
    model.gate.set()
    assert scheduler.close(5)
    assert [request.future.result(0) for request in requests] == [[10 * i] for i in range(1, 6)]


def test_forks_have_threads_of_their_own(scheduler: Scheduler, model: Model) -> None:
    assert scheduler.submit(model, lambda: jobs(1)).future.result(5) == [10]
    child = os.fork()
    if not child:
        try:
            os._exit(0 if scheduler.submit(model, lambda: jobs(2)).future.result(5) == [20] else 1)
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    assert scheduler.submit(model, lambda: jobs(3)).future.result(5) == [30]


def test_many_threads(model: Model) -> None:
    scheduler = Scheduler(max_batch_tokens=16, max_requests=10_000)
    results: dict[int, Any] = {}

    def ask(start: int) -> None:
        for i in range(start, start + 50):
            results[i] = scheduler.submit(model, lambda i=i: jobs(i, i + 1), urgent=i % 2 == 0).future.result(10)

    threads = [threading.Thread(target=ask, args=(100 * i,)) for i in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert scheduler.close(5)
    assert results == {i: [10 * i, 10 * i + 10] for n in range(16) for i in range(100 * n, 100 * n + 50)}
    assert all(len(batch) <= 16 for batch in model.batches)
