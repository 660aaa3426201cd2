"""Endpoint: a route in a table, and how it becomes one of FastAPI with its part of the OpenAPI document."""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.responses import Response

from bertc.serve.engine import Engine
from bertc.serve.errors import KINDS
from bertc.serve.exchange import Exchange
from bertc.serve.respond import ERROR_BODIES, ErrorStyle, openai_error

Handler = Callable[[Exchange, Any], Awaitable[Any]]


class Endpoint(NamedTuple):
    """Answers POST requests at ``paths``.

    ``handler`` returns what becomes JSON, a Response, or a function that makes one of these and takes its time.
    """

    paths: tuple[str, ...]
    handler: Handler
    body: type[BaseModel]
    result: Any
    errors: ErrorStyle
    tag: str


def add_endpoint(router: APIRouter, engine: Engine, endpoint: Endpoint) -> None:
    async def route(request: Request) -> Response:
        return await Exchange(engine, request).answer(endpoint)

    statuses = {kind.status for kind in KINDS} - ({422} if endpoint.errors is openai_error else set())
    responses: dict[int | str, dict[str, Any]] = {
        status: {"model": ERROR_BODIES[endpoint.errors]} for status in sorted(statuses)
    }
    summary = (endpoint.handler.__doc__ or "").partition("\n")[0]
    body = {"required": True, "content": {"application/json": {"schema": inline_schema(endpoint.body)}}}
    for path in endpoint.paths:
        router.add_api_route(
            path,
            route,
            methods=["POST"],
            response_model=endpoint.result,
            responses=responses,
            summary=summary,
            tags=[endpoint.tag],
            operation_id=endpoint.handler.__name__ + path.replace("/", "_"),
            openapi_extra={"requestBody": body},
        )


def inline_schema(model: type[BaseModel]) -> dict[str, Any]:
    """A model's JSON schema without references, as it has to be inside another document."""
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})

    def resolve(value: Any) -> Any:
        if isinstance(value, dict):
            if "$ref" in value:
                return resolve(copy.deepcopy(definitions[value["$ref"].rpartition("/")[2]]))
            return {key: resolve(item) for key, item in value.items()}
        return [resolve(item) for item in value] if isinstance(value, list) else value

    return resolve(schema)
