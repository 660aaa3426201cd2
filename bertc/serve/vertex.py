"""The route of Vertex AI: several bodies of the model's own route in one."""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic import BaseModel, create_model
from starlette.responses import Response

from bertc.serve.endpoint import Endpoint
from bertc.serve.exchange import Exchange, check_items
from bertc.serve.respond import JSON, tei_error
from bertc.serve.schemas import Body


class Predictions(BaseModel):
    predictions: list[Any]


def endpoint(own: Endpoint) -> Endpoint:
    """/vertex for a model whose own route this is."""

    async def vertex(call: Exchange, body: Any) -> Any:
        """Several requests at once: {instances} to {predictions}"""
        check_items(body.instances, call.engine.settings.max_client_batch_size)

        async def predict(item: Any) -> bytes:
            return (await call.respond(await own.handler(call, item))).body

        parts = await asyncio.gather(*map(predict, body.instances))
        return Response(b'{"predictions":[%b]}' % b",".join(parts), media_type=JSON)

    bodies = create_model("Instances", __base__=Body, instances=(list[own.body], ...))  # type: ignore[name-defined]
    return Endpoint(("/vertex",), vertex, bodies, Predictions, tei_error, "vertex")
