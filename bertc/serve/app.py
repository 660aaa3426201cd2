"""The application: all routes around models, alone or as a router in somebody's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, FastAPI
from starlette.requests import Request

import bertc
from bertc.serve import forward, openai, pipelines, rerank, tei, vertex
from bertc.serve.endpoint import Endpoint, add_endpoint
from bertc.serve.engine import Engine
from bertc.serve.exchange import Exchange
from bertc.serve.served import Served
from bertc.serve.settings import Settings
from bertc.serve.status import add_status

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

ENDPOINTS = [*tei.ENDPOINTS, *openai.ENDPOINTS, *rerank.ENDPOINTS, *pipelines.ENDPOINTS, *forward.ENDPOINTS]


def router(models: Any, *, status: bool = True, **settings: Any) -> APIRouter:
    """The routes of a server, for an application of one's own: app.include_router(bertc.serve.router(encoder)).

    ``models`` is an encoder, a pipeline or a bertc.Model, or a dict of several by name. ``settings`` are those of
    `python -m bertc serve` that concern requests: max_batch_tokens, max_concurrent_requests, api_key=("key",) and so
    on. ``status=False`` leaves out /, /health, /ping, /info, /models and /metrics. ``router.engine`` has the scheduler,
    and close() of that finishes what was accepted.
    """
    named = models if isinstance(models, Mapping) else {getattr(models, "name", None) or "model": models}
    engine = Engine([Served(model, name) for name, model in named.items()], Settings(**settings))
    engine.ready = True
    made = make_router(engine, status)
    made.engine = engine
    return made


def make_router(engine: Engine, status: bool = True, page: bool = False) -> APIRouter:
    made = APIRouter()
    for endpoint in _endpoints(engine):
        add_endpoint(made, engine, endpoint)
    if status:
        add_status(made, engine, page)
    return made


def create_app(engine: Engine) -> FastAPI:
    """The whole server, which warms its models up when it starts and finishes its requests when it stops."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        warming = asyncio.create_task(engine.warm_up())
        yield
        warming.cancel()
        await asyncio.to_thread(engine.scheduler.close)

    app = FastAPI(
        title="bertc",
        version=bertc.__version__,
        lifespan=lifespan,
        openapi_url="/api-doc/openapi.json",
        redoc_url=None,
    )
    app.include_router(make_router(engine, page=True))
    return app


class Shortcut:
    """Takes requests to their endpoints without FastAPI's layers, which cost as much as all else that the server does.

    The routes are in FastAPI all the same, which describes them and answers other methods.
    """

    def __init__(self, app: ASGIApp, engine: Engine) -> None:
        self.app = app
        self.engine = engine
        self.endpoints = {path: endpoint for endpoint in _endpoints(engine) for path in endpoint.paths}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = self.endpoints.get(scope["path"]) if scope["type"] == "http" else None
        if endpoint is None or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        response = await Exchange(self.engine, Request(scope, receive)).answer(endpoint)
        await response(scope, receive, send)


def _endpoints(engine: Engine) -> list[Endpoint]:
    return [*ENDPOINTS, *_own_endpoints(engine)]


def _own_endpoints(engine: Engine) -> list[Endpoint]:
    """POST / and /invocations: what the first model is for; /vertex the same for several bodies."""
    served = next(iter(engine.models.values()))
    if "embed" in served.tasks:
        own = tei.EMBED
    elif "sparse" in served.tasks:
        own = tei.SPARSE
    elif "score" in served.tasks:
        own = tei.RERANK if served.is_reranker else tei.PREDICT
    else:
        own = next(
            (pipelines.BY_TASK[kind] for kind in served.tasks if kind in pipelines.BY_TASK), forward.ENDPOINTS[0]
        )
    return [own._replace(paths=("/", "/invocations")), vertex.endpoint(own)]
