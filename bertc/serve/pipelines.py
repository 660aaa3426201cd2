"""Routes of pipelines: entities, answers, masked words and labels of one's own choice."""

from __future__ import annotations

from typing import Any

from bertc.serve import schemas
from bertc.serve.endpoint import Endpoint
from bertc.serve.exchange import Exchange
from bertc.serve.respond import tei_error

_NO_OPTIONS = {"model", "inputs", "parameters"}


async def _run(call: Exchange, kind: str, body: Any) -> Any:
    """One result for one input, a list for a list."""
    served = call.find(kind, body.model)
    single = not isinstance(body.inputs, list)
    inputs = [body.inputs] if single else body.inputs
    items = [item if isinstance(item, str) else item.model_dump() for item in inputs]
    options = {name: value for name, value in body if name not in _NO_OPTIONS}
    results = await call.run(served, kind, items, **options)
    return results[0] if single else results


async def entities(call: Exchange, body: schemas.Entities) -> Any:
    """Entities of texts"""
    return await _run(call, "token-classification", body)


async def answers(call: Exchange, body: schemas.Answers) -> Any:
    """Answers to questions, out of contexts"""
    return await _run(call, "question-answering", body)


async def masks(call: Exchange, body: schemas.Masks) -> Any:
    """The likeliest words at masks"""
    return await _run(call, "fill-mask", body)


async def zero_shot(call: Exchange, body: schemas.ZeroShot) -> Any:
    """How well labels fit texts"""
    return await _run(call, "zero-shot-classification", body)


def _endpoint(path: str, handler: Any, body: Any) -> Endpoint:
    return Endpoint((path,), handler, body, Any, tei_error, "pipelines")


BY_TASK = {
    "token-classification": _endpoint("/ner", entities, schemas.Entities),
    "question-answering": _endpoint("/qa", answers, schemas.Answers),
    "fill-mask": _endpoint("/fill_mask", masks, schemas.Masks),
    "zero-shot-classification": _endpoint("/zero_shot", zero_shot, schemas.ZeroShot),
}
ENDPOINTS = list(BY_TASK.values())
