"""Workers: processes that are copies of one that has loaded the models, so that they share the weights' memory."""

from __future__ import annotations

import gc
import logging
import os
import signal
import time
from collections.abc import Callable
from typing import Any

logger = logging.getLogger("bertc.serve")

_SHORT = 5.0  # seconds: a worker that ends sooner is not just unlucky
_MAX_FAILURES = 5


def supervise(
    count: int, work: Callable[[], None], ended: Callable[[int], None], stopped: Callable[[], None] = lambda: None
) -> int:
    """Runs ``work`` in so many processes, and others in the place of those that end; the exit status.

    ``ended`` gets the process id of each that has ended; ``stopped`` is called when there will be no others. SIGTERM
    and SIGINT are passed on, and end it all.
    """
    stopping = False
    started: dict[int, float] = {}
    failures = 0

    def stop(number: int, frame: Any) -> None:
        nonlocal stopping
        stopping = True
        stopped()
        for pid in started:
            os.kill(pid, signal.SIGTERM)

    gc.freeze()  # what is here already must not be written to by the collector of each worker
    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        while started or not stopping:
            while not stopping and len(started) < count:
                started[_start(work)] = time.monotonic()
            pid, status = os.wait()
            life = time.monotonic() - started.pop(pid, 0.0)
            ended(pid)
            if stopping:
                continue
            logger.error("a worker ended", extra={"worker": pid, "status": os.waitstatus_to_exitcode(status)})
            failures = failures + 1 if life < _SHORT else 0
            if failures >= _MAX_FAILURES:
                stop(0, None)
        return 1 if failures >= _MAX_FAILURES else 0
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _start(work: Callable[[], None]) -> int:
    """The process id of a new worker. Signals wait until both sides know what to do with them."""
    numbers = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    pid = os.fork()
    if pid:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)
        return pid
    status = 1
    try:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)
        work()
        status = 0
    except BaseException:
        logger.exception("a worker failed")
    finally:
        os._exit(status)
