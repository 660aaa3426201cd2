"""A traced BERT behind FastAPI, with PyTorch."""

from pathlib import Path

import torch
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()
model = torch.jit.load(Path(__file__).parent.parent / "traced_bert.pt").eval()
torch.set_num_threads(1)


class Tokens(BaseModel):
    input_ids: list[list[int]]
    token_type_ids: list[list[int]]


@app.post("/embed")
def embed(tokens: Tokens) -> list[list[float]]:
    with torch.inference_mode():
        hidden, pooled = model(torch.tensor(tokens.input_ids), torch.tensor(tokens.token_type_ids))
    return pooled.tolist()
