"""What a server can answer instead of a result, in one class: its kind decides the status and the shape."""

from __future__ import annotations

from typing import NamedTuple


class Kind(NamedTuple):
    """A kind of failure as text-embeddings-inference serialises it, and as its metrics count it."""

    name: str
    status: int
    metric: str


EMPTY = Kind("Empty", 400, "validation")
MALFORMED = Kind("Validation", 400, "validation")
VALIDATION = Kind("Validation", 422, "validation")
BATCH_SIZE = Kind("Validation", 422, "batch_size")
TOKENIZER = Kind("Tokenizer", 422, "tokenization")
TOO_LARGE = Kind("Validation", 413, "validation")
UNKNOWN_MODEL = Kind("Validation", 404, "validation")
MODEL_TYPE = Kind("Backend", 424, "model_type")
BACKEND = Kind("Backend", 424, "inference")
OVERLOADED = Kind("Overloaded", 429, "overloaded")
UNHEALTHY = Kind("Unhealthy", 503, "inference")
TIMEOUT = Kind("Timeout", 504, "dropped")
UNAUTHORIZED = Kind("Unauthorized", 401, "validation")

KINDS = (EMPTY, VALIDATION, TOO_LARGE, UNKNOWN_MODEL, MODEL_TYPE, OVERLOADED, UNHEALTHY, TIMEOUT, UNAUTHORIZED)


class ServeError(Exception):
    """A request that gets no result. ``retry_after`` are seconds, for who is to come back."""

    def __init__(self, kind: Kind, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.retry_after = retry_after


class Overloaded(ServeError):
    """There is no room for another request; it was refused at once, and cost nothing."""

    def __init__(self, retry_after: int = 1) -> None:
        super().__init__(OVERLOADED, "Model is overloaded", retry_after)


class Closed(ServeError):
    """The server, or the batcher, is being shut down and finishes only what it accepted before."""

    def __init__(self) -> None:
        super().__init__(UNHEALTHY, "the server is shutting down", 1)
