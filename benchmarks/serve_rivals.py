"""What bertc's server is measured against: FastAPI around the same model in another engine, with the same tokenizer.

Uvicorn imports it: ENGINE says which engine, FOLDER where the tokenizer is, FILE the model, THREADS how many it has.
"""

from __future__ import annotations

import os

import numpy as np
from fastapi import FastAPI
from pydantic import BaseModel
from tokenizers import Tokenizer

FILE, FOLDER, THREADS = os.environ["FILE"], os.environ["FOLDER"], int(os.environ["THREADS"])


def torchscript():
    import torch

    torch.set_num_threads(THREADS)
    torch.set_num_interop_threads(1)
    model = torch.jit.load(FILE).eval()

    def run(*arrays):
        with torch.inference_mode():
            return model(*map(torch.from_numpy, arrays))[0].numpy()

    return run


def onnxruntime():
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = onnxruntime.InferenceSession(FILE, options, providers=["CPUExecutionProvider"])
    names = [argument.name for argument in session.get_inputs()]
    return lambda *arrays: session.run(None, dict(zip(names, arrays)))[0]


class Body(BaseModel):
    inputs: str | list[str]


run = {"torchscript": torchscript, "onnxruntime": onnxruntime}[os.environ["ENGINE"]]()
tokenizer = Tokenizer.from_file(os.path.join(FOLDER, "tokenizer.json"))
tokenizer.enable_truncation(256)
tokenizer.enable_padding()
app = FastAPI()


def encode(texts: list[str]) -> np.ndarray:
    encodings = tokenizer.encode_batch(texts)
    ids, mask, types = (
        np.array([getattr(encoding, name) for encoding in encodings], np.int64)
        for name in ("ids", "attention_mask", "type_ids")
    )
    hidden = run(ids, mask, types)
    vectors = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


# As a coroutine: one call at a time with all threads is faster here than many calls in FastAPI's threads.
@app.post("/embed")
async def embed(body: Body):
    return encode([body.inputs] if isinstance(body.inputs, str) else body.inputs).tolist()


@app.get("/health")
async def health():
    return {}


for _ in range(3):  # TorchScript compiles itself anew for some time
    for length in range(5, 45):
        encode([" ".join(["word"] * length)])
