"""Answers: JSON of results, and errors in the shapes of the servers that clients know."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import orjson
from pydantic import BaseModel
from starlette.responses import Response

from bertc.serve.errors import UNAUTHORIZED, ServeError

JSON = "application/json"


class TeiError(BaseModel):
    """Of text-embeddings-inference."""

    error: str
    error_type: str


class OpenAIErrorDetail(BaseModel):
    message: str
    type: str
    param: str | None
    code: str | int | None


class OpenAIError(BaseModel):
    """Of OpenAI, and beside it that of text-embeddings-inference's OpenAI routes."""

    error: OpenAIErrorDetail
    message: str
    type: str
    code: int


class Detail(BaseModel):
    """Of infinity and Cohere."""

    detail: str
    message: str


ErrorStyle = Callable[[ServeError], Response]


def reply(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A response with a value as JSON."""
    return Response(to_json(value), status, headers, JSON)


def reply_rows(rows: Sequence[np.ndarray]) -> Response:
    """A response with a list of arrays; one at a time, as other threads wait while one becomes JSON."""
    return Response(b"[%b]" % b",".join(map(to_json, rows)), media_type=JSON)


def to_json(value: Any) -> bytes:
    """JSON of what may have NumPy's arrays and numbers in it: the shortest decimals that are a float32 exactly.

    NaN and infinities, which are no numbers of JSON, become null.
    """
    return orjson.dumps(value, default=_simpler, option=orjson.OPT_SERIALIZE_NUMPY)


def _simpler(value: Any) -> Any:
    """Of an array that orjson does not read: without dimensions, or with strides."""
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{type(value).__name__} is not JSON")
    return np.ascontiguousarray(value) if value.ndim else value[()]


def tei_error(error: ServeError) -> Response:
    if error.kind is UNAUTHORIZED:
        return Response(status_code=401, headers={"www-authenticate": "Bearer"})
    return reply({"error": str(error), "error_type": error.kind.name}, error.kind.status, _headers(error))


def openai_error(error: ServeError) -> Response:
    status = 400 if error.kind.status == 422 else error.kind.status  # what clients of OpenAI expect
    kinds = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}
    detail = {
        "message": str(error),
        "type": "invalid_request_error" if status < 424 else "server_error",
        "param": None,
        "code": kinds.get(status),
    }
    body = {"error": detail, "message": str(error), "type": error.kind.name, "code": status}
    return reply(body, status, _headers(error))


def detail_error(error: ServeError) -> Response:
    text = "Unauthorized" if error.kind is UNAUTHORIZED else str(error)
    return reply({"detail": text, "message": text}, error.kind.status, _headers(error))


ERROR_BODIES: dict[ErrorStyle, type[BaseModel]] = {
    tei_error: TeiError,
    openai_error: OpenAIError,
    detail_error: Detail,
}


def _headers(error: ServeError) -> dict[str, str] | None:
    return None if error.retry_after is None else {"retry-after": str(error.retry_after)}
