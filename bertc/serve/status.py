"""Routes that say how the server is: health, models, figures."""

from __future__ import annotations

import time
from importlib import resources
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response

import bertc
from bertc.serve.engine import Engine
from bertc.serve.errors import ServeError
from bertc.serve.exchange import check_key
from bertc.serve.metrics import CONTENT_TYPE
from bertc.serve.respond import openai_error, reply, tei_error


def add_status(router: APIRouter, engine: Engine, page: bool = True) -> None:
    """``page`` adds the HTML page at /, which an application of somebody's own has itself."""
    settings = engine.settings
    started = int(time.time())

    async def health() -> Response:
        """Whether the models have been warmed up"""
        if not engine.ready or engine.draining:
            return reply({"error": "the server is not ready", "error_type": "Unhealthy"}, 503)
        return Response(status_code=200)

    async def metrics() -> Response:
        """Figures for Prometheus"""
        return Response(engine.metrics.text(), media_type=CONTENT_TYPE)

    async def info(request: Request, name: str | None = None) -> Response:
        """What is served, and its limits"""
        try:
            check_key(request, settings.api_key)
        except ServeError as error:
            return tei_error(error)
        served = engine.models.get(name or "") or next(iter(engine.models.values()))
        return reply(
            {
                "model_id": served.name,
                "model_sha": settings.revision,
                "model_dtype": "float32",
                "served_model_name": settings.served_model_name or served.name,
                "model_type": served.describe(),
                "max_concurrent_requests": settings.max_concurrent_requests,
                "max_input_length": served.max_length or 0,
                "max_batch_tokens": settings.max_batch_tokens,
                "max_batch_requests": settings.max_batch_requests,
                "max_client_batch_size": settings.max_client_batch_size,
                "auto_truncate": settings.auto_truncate,
                "tokenization_workers": settings.tokenization_workers,
                "version": bertc.__version__,
                "sha": None,
                "docker_label": None,
                "models": {name: list(model.tasks) for name, model in engine.models.items()},
            }
        )

    async def models(request: Request) -> Response:
        """The models, as OpenAI lists them"""
        try:
            check_key(request, settings.api_key)
        except ServeError as error:
            return openai_error(error)
        data = [
            {"id": name, "object": "model", "created": started, "owned_by": "bertc", "capabilities": list(model.tasks)}
            for name, model in engine.models.items()
        ]
        return reply({"object": "list", "data": data})

    html = resources.files("bertc.serve").joinpath("page.html").read_text(encoding="utf-8")

    async def root() -> Response:
        """A page to look at the server and to try the models"""
        return HTMLResponse(html) if engine.ready and not engine.draining else await health()

    unhealthy: dict[int | str, Any] = {503: {"description": "not ready"}}
    empty: dict[int | str, Any] = {200: {"description": "ready", "content": {}}, **unhealthy}
    for path in ("/health", "/ping"):
        router.add_api_route(path, health, response_class=Response, responses=empty, tags=["status"])
    router.add_api_route("/metrics", metrics, response_class=Response, tags=["status"])
    router.add_api_route("/info", info, response_model=dict[str, Any], tags=["status"])
    for path in ("/v1/models", "/models"):
        router.add_api_route(path, models, response_model=dict[str, Any], tags=["openai"])
    if page:
        router.add_api_route("/", root, response_class=HTMLResponse, responses=unhealthy, tags=["status"])
