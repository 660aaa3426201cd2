"""A traced BERT behind FastAPI, with bertc: the same archive. Run it with: uvicorn fastapi_after:app

FastAPI calls `embed` in threads; they share the model, which leaves the GIL while it computes.
"""

from pathlib import Path

from fastapi import FastAPI
from pydantic import BaseModel

import bertc

app = FastAPI()
model = bertc.load(Path(__file__).parent.parent / "traced_bert.pt", threads=1)


class Tokens(BaseModel):
    input_ids: list[list[int]]
    token_type_ids: list[list[int]]


@app.post("/embed")
def embed(tokens: Tokens) -> list[list[float]]:
    hidden, pooled = model(tokens.input_ids, tokens.token_type_ids)
    return pooled.tolist()
