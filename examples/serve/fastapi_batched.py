"""The application of examples/recipes/fastapi_before.py with bertc, and what its users ask for at a time run together.

Run it with: uvicorn fastapi_batched:app
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

import bertc
from bertc.serve import Batcher, Overloaded

model = bertc.load(Path(__file__).parent.parent / "traced_bert.pt")
batcher = Batcher(model)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with batcher:  # finishes what it has accepted when the server stops
        yield


app = FastAPI(lifespan=lifespan)


class Tokens(BaseModel):
    input_ids: list[list[int]]
    token_type_ids: list[list[int]]


@app.post("/embed")
async def embed(tokens: Tokens) -> list[list[float]]:
    results = await batcher.run(list(zip(tokens.input_ids, tokens.token_type_ids)))
    return [pooled.tolist() for hidden, pooled in results]


@app.exception_handler(Overloaded)
async def come_back_later(request: Request, error: Overloaded) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, 429, {"retry-after": str(error.retry_after)})
