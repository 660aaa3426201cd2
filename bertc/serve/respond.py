"""Answers: JSON of results, and errors in the shapes of the servers that clients know."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from pydantic import BaseModel
from pydantic_core import to_json
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
    """A response with a value as JSON. Values that are no numbers of JSON, NaN and infinities, are null."""
    return Response(to_json(value, inf_nan_mode="null"), status, headers, JSON)


def floats(array: np.ndarray) -> Any:
    """A float32 array as nested lists of the shortest decimals, up to nine digits, that are its values exactly."""
    values = np.asarray(array, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        exponents = np.floor(np.log10(np.abs(values)))
        scale = 10.0 ** (8 - exponents)
        rounded = np.rint(values * scale) / scale
    return np.where(np.isfinite(rounded), rounded, values).tolist()


def reply_rows(rows: Sequence[np.ndarray]) -> Response:
    """A response with a list of float32 arrays; one at a time, as other threads wait while one becomes JSON."""
    return Response(b"[%b]" % b",".join(to_json(floats(row), inf_nan_mode="null") for row in rows), media_type=JSON)


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
