"""Exchange: one HTTP request from its body to its answer, through the scheduler."""

from __future__ import annotations

import asyncio
import functools
import hmac
import logging
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from bertc._core import Error, InputError
from bertc.serve import errors
from bertc.serve.errors import ServeError
from bertc.serve.respond import reply
from bertc.serve.scheduler import Job

if TYPE_CHECKING:
    from bertc.serve.endpoint import Endpoint
    from bertc.serve.engine import Engine
    from bertc.serve.scheduler import Request as Work
    from bertc.serve.served import Served
    from bertc.serve.tasks import Prepared

logger = logging.getLogger("bertc.serve")

PATIENCE = 0.05  # seconds before it is worth watching whether the client is still there
FEW = 8  # items whose answer is written sooner than another thread would have begun to
_SHOWN = 3


class Exchange:
    """What a handler gets beside the body: a way to run things, which counts what they cost."""

    def __init__(self, engine: Engine, request: Request) -> None:
        self.engine = engine
        self.request = request
        self.start = time.perf_counter()
        self.works: list[Work] = []
        self.kinds: list[str] = []  # of the works
        self.items = 0
        self.characters = 0
        self.truncated = 0
        self.gone = False

    async def answer(self, endpoint: Endpoint) -> Response:
        """The response to the request, whatever happens."""
        metrics = self.engine.metrics
        try:
            check_key(self.request, self.engine.settings.api_key)
            body = parse(endpoint.body, await self._read())
            value = await endpoint.handler(self, body)
        except ServeError as error:
            metrics.failure.labels(error.kind.metric).inc()
            return endpoint.errors(error)
        except (asyncio.CancelledError, ClientDisconnect):
            metrics.failure.labels("dropped").inc()
            if not self.gone:
                raise
            return Response(status_code=499)
        except InputError as error:
            metrics.failure.labels("validation").inc()
            return endpoint.errors(ServeError(errors.VALIDATION, str(error)))
        except Exception as error:
            metrics.failure.labels("inference").inc()
            logger.exception("a request failed")
            shown = str(error) if isinstance(error, Error) else f"inference failed: {type(error).__name__}"
            return endpoint.errors(ServeError(errors.BACKEND, shown))
        response = await self.respond(value)
        if self.works:
            seconds = time.perf_counter() - self.start
            self._add_headers(response, seconds)
            metrics.after(functools.partial(self._count, seconds))
        return response

    async def run(
        self, served: Served, kind: str, items: Sequence[Any], *, urgent: bool | None = None, **options: Any
    ) -> Any:
        """What a model's task makes of items: their results, joined. Raises ServeError and InputError."""
        settings = self.engine.settings
        check_items(items, settings.max_client_batch_size)
        self.items += len(items)
        self.characters += sum(map(_characters, items))
        task = served.tasks[kind]
        prepared: list[Prepared] = []

        def prepare() -> list[Job]:
            prepared.append(task.prepare(items, **options))
            return prepared[0].jobs

        loop = asyncio.get_running_loop()
        settled = loop.create_future()

        def wake(_: Any) -> None:
            loop.call_soon_threadsafe(_settle, settled, None)

        work = self.engine.scheduler.submit(task.runner, prepare, urgent=self._urgent(len(items), urgent), done=wake)
        # From here on, what this thread does costs no time: the other one is waking up.
        timers = [loop.call_later(PATIENCE, self._watch, settled)]
        if settings.request_timeout is not None:
            late = ServeError(errors.TIMEOUT, f"not done in {settings.request_timeout:g} seconds")
            timers.append(loop.call_later(settings.request_timeout, _settle, settled, late))
        if not self.works:
            self.engine.metrics.count.labels(self._method()).inc()
        self.works.append(work)
        self.kinds.append(kind)
        try:
            await settled
        finally:
            work.future.cancel()  # unless it is done
            for timer in timers:
                timer.cancel()
        values = work.future.result()
        self.truncated += prepared[0].truncated
        return prepared[0].join(values)

    async def aside(self, function: Callable[[], Any]) -> Any:
        """What a function that takes its time returns; the event loop goes on."""
        return await asyncio.to_thread(function)

    async def respond(self, value: Any) -> Response:
        """The response of what a handler returned."""
        if isinstance(value, Response):
            return value

        def make() -> Response:
            made = value() if callable(value) else value
            return made if isinstance(made, Response) else reply(made)

        return make() if self.items <= FEW else await self.aside(make)

    def find(self, kind: str, name: str | None) -> Served:
        return self.engine.find(kind, name)

    @property
    def tokens(self) -> int:
        return sum(work.tokens for work in self.works)

    # ---- inside ----

    async def _read(self) -> bytes:
        limit = self.engine.settings.payload_limit
        length = self.request.headers.get("content-length", "")
        size = int(length) if length.isdecimal() else 0
        parts: list[bytes] = []
        received = 0
        more = size <= limit
        while more:
            message = await self.request.receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            parts.append(message.get("body", b""))
            received += len(parts[-1])
            more = message.get("more_body", False) and received <= limit
        if max(size, received) > limit:
            raise ServeError(errors.TOO_LARGE, f"the body has more than {limit} bytes")
        return b"".join(parts)

    def _urgent(self, count: int, urgent: bool | None) -> bool:
        priority = self.request.headers.get("x-priority")
        if priority in ("query", "bulk"):
            return priority == "query"
        return count == 1 if urgent is None else urgent

    def _count(self, seconds: float) -> None:
        metrics = self.engine.metrics
        metrics.success.labels(self._method()).inc()
        metrics.duration.observe(seconds)
        for kind, work in zip(self.kinds, self.works):
            metrics.observe(kind, work)
        metrics.truncated.inc(self.truncated)

    def _watch(self, future: asyncio.Future[Any]) -> None:
        """Cancels what a client that has gone was waiting for."""

        async def watch() -> None:
            while (await self.request.receive())["type"] != "http.disconnect":
                pass
            self.gone = not future.done()
            future.cancel()

        watcher = asyncio.ensure_future(watch())
        future.add_done_callback(lambda _: watcher.cancel())

    def _method(self) -> str:
        return "single" if self.items == 1 else "batch"

    def _add_headers(self, response: Response, seconds: float) -> None:
        works = self.works
        numbers = {
            b"x-compute-time": seconds * 1000,
            b"x-compute-characters": self.characters,
            b"x-compute-tokens": self.tokens,
            b"x-total-time": seconds * 1000,
            b"x-tokenization-time": sum([work.queued - work.submitted for work in works]) * 1000,
            b"x-queue-time": sum([work.started - work.queued for work in works]) * 1000,
            b"x-inference-time": sum([work.stopped - work.started for work in works]) * 1000,
        }
        if self.truncated:
            numbers[b"x-compute-truncated"] = self.truncated
        headers = response.raw_headers
        headers.append((b"x-compute-type", b"cpu"))
        headers.extend([(name, b"%d" % number) for name, number in numbers.items()])


def _settle(future: asyncio.Future[None], error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)


def check_key(request: Request, keys: Sequence[str]) -> None:
    """Raises ServeError unless the request has one of the keys, or none is needed."""
    if not keys:
        return
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    given = given if scheme.lower() == "bearer" else request.headers.get("x-api-key", "")
    if not any(hmac.compare_digest(given.encode(), key.encode()) for key in keys):
        raise ServeError(errors.UNAUTHORIZED, "the API key is missing or wrong")


def check_items(items: Sequence[Any], limit: int) -> None:
    """Raises what text-embeddings-inference answers when there are no items, or too many."""
    if not len(items):
        raise ServeError(errors.EMPTY, "`inputs` cannot be empty")
    if len(items) > limit:
        raise ServeError(errors.BATCH_SIZE, f"batch size {len(items)} > maximum allowed batch size {limit}")
    if any(isinstance(item, (str, list)) and not item for item in items):
        raise ServeError(errors.VALIDATION, "`inputs` cannot be empty")


def parse(schema: type[BaseModel], body: bytes) -> Any:
    """The body as the model of its fields; ServeError that names what is wrong."""
    try:
        return schema.model_validate_json(body)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
    if problems[0]["type"] == "json_invalid":
        raise ServeError(errors.MALFORMED, f"Failed to parse the request body as JSON: {problems[0]['msg']}")
    shown = "; ".join(f"{'.'.join(map(str, p['loc'])) or 'body'}: {p['msg']}" for p in problems[:_SHOWN])
    raise ServeError(errors.VALIDATION, f"Failed to deserialize the JSON body into the target type: {shown}")


def _characters(item: Any) -> int:
    if isinstance(item, str):
        return len(item)
    return sum(map(_characters, item)) if isinstance(item, (tuple, list)) else 0
