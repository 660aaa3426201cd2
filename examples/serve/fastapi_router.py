"""An application of one's own with all of bertc's routes: /ai/embed, /ai/v1/embeddings and so on.

Run it with: MODEL=sentence-transformers/all-MiniLM-L6-v2 uvicorn fastapi_router:app
"""

import os

from fastapi import FastAPI

import bertc
import bertc.serve

encoder = bertc.SentenceEncoder(os.environ["MODEL"])
app = FastAPI()
app.include_router(bertc.serve.router({"mine": encoder}, max_client_batch_size=64), prefix="/ai")


@app.get("/")
def hello() -> str:
    return "See /docs"
