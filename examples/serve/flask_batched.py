"""The same for Flask, whose requests have threads of their own. Run it with: flask --app flask_batched run"""

from pathlib import Path
from typing import Any

from flask import Flask, request

import bertc
from bertc.serve import Batcher, Overloaded

model = bertc.load(Path(__file__).parent.parent / "traced_bert.pt")
batcher = Batcher(model)
app = Flask(__name__)


@app.post("/embed")
def embed() -> Any:
    tokens = request.get_json()
    results = batcher.wait(list(zip(tokens["input_ids"], tokens["token_type_ids"])))
    return [pooled.tolist() for hidden, pooled in results]


@app.errorhandler(Overloaded)
def come_back_later(error: Overloaded) -> Any:
    return {"detail": str(error)}, 429, {"Retry-After": str(error.retry_after)}
