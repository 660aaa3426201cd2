"""Routes of OpenAI: embeddings."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from pydantic import BaseModel

from bertc.serve import schemas
from bertc.serve.endpoint import Endpoint
from bertc.serve.exchange import Exchange
from bertc.serve.respond import openai_error
from bertc.serve.tei import as_items, embed_items


class Embedding(BaseModel):
    object: str
    index: int
    embedding: list[float] | str


class Usage(BaseModel):
    prompt_tokens: int
    total_tokens: int


class EmbeddingList(BaseModel):
    object: str
    data: list[Embedding]
    model: str
    usage: Usage


async def embeddings(call: Exchange, body: schemas.Embeddings) -> Any:
    """Vectors of texts, of length one"""
    served = call.find("embed", body.model)
    truncate = call.engine.settings.auto_truncate
    vectors = await embed_items(
        call, served, as_items(body.input), body.dimensions, normalize_embeddings=True, truncate=truncate
    )

    def answer() -> Any:
        rows = map(_base64, vectors) if body.encoding_format == "base64" else vectors
        data = [{"object": "embedding", "index": i, "embedding": row} for i, row in enumerate(rows)]
        usage = {"prompt_tokens": call.tokens, "total_tokens": call.tokens}
        return {"object": "list", "data": data, "model": served.name, "usage": usage}

    return answer


def _base64(vector: np.ndarray) -> str:
    return base64.b64encode(vector.astype(np.dtype("<f4")).tobytes()).decode()


ENDPOINTS = [
    Endpoint(("/v1/embeddings", "/embeddings"), embeddings, schemas.Embeddings, EmbeddingList, openai_error, "openai")
]
