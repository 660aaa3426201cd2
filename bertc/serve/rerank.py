"""Routes of Cohere, Jina and infinity: documents by how well they answer a query, and labels."""

from __future__ import annotations

import time
import uuid
from typing import Any

from pydantic import BaseModel, Field, RootModel

from bertc.serve import errors, schemas, tei
from bertc.serve.endpoint import Endpoint
from bertc.serve.errors import ServeError
from bertc.serve.exchange import Exchange
from bertc.serve.openai import Usage
from bertc.serve.respond import detail_error, tei_error


class Ranked(BaseModel):
    index: int
    relevance_score: float
    document: Any = Field(None, description="{text} here; with infinity's route the text itself")


class Ranking(BaseModel):
    object: str
    id: str
    model: str
    results: list[Ranked]
    usage: Usage
    meta: dict[str, Any]
    created: int


class Classes(BaseModel):
    object: str
    data: list[list[tei.Label]]
    model: str
    usage: Usage
    id: str
    created: int


class EitherRerank(RootModel[schemas.Rerank | schemas.RerankDocuments]):
    """The body of text-embeddings-inference, with texts, or of infinity, with documents."""


async def rerank_documents(call: Exchange, body: schemas.RerankDocuments, bare: bool = False) -> Any:
    """Documents by how well they answer a query"""
    if body.top_n is not None and body.top_n < 1:
        raise ServeError(errors.VALIDATION, "top_n must be at least 1")
    texts = [document if isinstance(document, str) else document.text for document in body.documents]
    truncate = call.engine.settings.auto_truncate
    ranked = await tei.rank(call, body.model, body.query, texts, body.raw_scores, truncate=truncate)
    results = []
    for i, score in ranked[: body.top_n]:
        result: dict[str, Any] = {"index": i, "relevance_score": score}
        if body.return_documents:
            result["document"] = texts[i] if bare else {"text": texts[i]}
        results.append(result)
    return {
        "object": "rerank",
        **_identity(call, call.find("rerank", body.model).name),
        "results": results,
        "meta": {"api_version": {"version": "1"}, "billed_units": {"search_units": 1}},
    }


async def rerank(call: Exchange, body: EitherRerank) -> Any:
    """Texts, or documents, by how well they answer a query"""
    if isinstance(body.root, schemas.Rerank):
        return await tei.rerank(call, body.root)
    return await rerank_documents(call, body.root, bare=True)


async def classify(call: Exchange, body: schemas.Classify) -> Any:
    """Labels of texts"""
    served = call.find("score", body.model)
    logits = await call.run(served, "score", body.input, truncate=call.engine.settings.auto_truncate)
    data = tei.labelled(served, logits, body.raw_scores)
    return {"object": "classify", "data": data, **_identity(call, served.name)}


def _identity(call: Exchange, model: str) -> dict[str, Any]:
    usage = {"prompt_tokens": call.tokens, "total_tokens": call.tokens}
    return {"id": str(uuid.uuid4()), "model": model, "usage": usage, "created": int(time.time())}


ENDPOINTS = [
    Endpoint(("/rerank",), rerank, EitherRerank, list[tei.Rank] | Ranking, tei_error, tei.TAG),
    Endpoint(
        ("/v1/rerank", "/v2/rerank", "/reranking"),
        rerank_documents,
        schemas.RerankDocuments,
        Ranking,
        detail_error,
        "cohere",
    ),
    Endpoint(("/classify", "/v1/classify"), classify, schemas.Classify, Classes, detail_error, "infinity"),
]
