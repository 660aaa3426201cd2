"""Gate: what every request passes - its id, its line in the log, its trace, and the end of connections."""

from __future__ import annotations

import itertools
import logging
import os
import re
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from bertc.serve.engine import Engine

logger = logging.getLogger("bertc.serve")

_ID = re.compile(rb"[\w.:-]{1,128}")


class Gate:
    """An ASGI application around another. ``tracer`` is one of OpenTelemetry, or None."""

    def __init__(self, app: ASGIApp, engine: Engine, tracer: Any = None) -> None:
        self.app = app
        self.engine = engine
        self.tracer = tracer
        self.prefix = os.urandom(6).hex()
        self.numbers = itertools.count()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start = time.perf_counter()
        given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
        request_id = given if _ID.fullmatch(given) else f"{self.prefix}{next(self.numbers):06x}".encode()
        status = 500

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id)]
                if self.engine.draining:
                    message["headers"].append((b"connection", b"close"))
            await send(message)

        try:
            if self.tracer is None:
                await self.app(scope, receive, send_on)
            else:
                with self.tracer.start_as_current_span(f"{scope['method']} {scope['path']}") as span:
                    await self.app(scope, receive, send_on)
                    span.set_attribute("http.response.status_code", status)
                    span.set_attribute("bertc.request_id", request_id.decode())
        finally:
            level = _level(status)
            if logger.isEnabledFor(level):
                fields = {
                    "request_id": request_id.decode(),
                    "method": scope["method"],
                    "path": scope["path"],
                    "status": status,
                    "milliseconds": round((time.perf_counter() - start) * 1000, 3),
                }
                logger.log(level, "request", extra=fields)


def _level(status: int) -> int:
    """Refusals by the thousand are no news."""
    if status < 400 or status in (429, 499, 503):
        return logging.DEBUG
    return logging.ERROR if status >= 500 else logging.INFO


def make_tracer(endpoint: str) -> Any:
    """A tracer of OpenTelemetry that sends to an OTLP endpoint; ImportError without its SDK."""
    try:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise ImportError(
            f"otlp_endpoint needs pip install opentelemetry-sdk opentelemetry-exporter-otlp-proto-http ({error})"
        ) from error
    provider = TracerProvider(resource=Resource.create({"service.name": "bertc"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
    trace.set_tracer_provider(provider)
    return trace.get_tracer("bertc.serve")
