"""Engine: the models of a server, and what they share."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from bertc.serve.errors import MODEL_TYPE, UNKNOWN_MODEL, ServeError
from bertc.serve.metrics import Metrics
from bertc.serve.scheduler import Scheduler
from bertc.serve.served import Served
from bertc.serve.settings import Settings

logger = logging.getLogger("bertc.serve")

_LACKING = {
    "embed": "model is not an embedding model",
    "embed_all": "model is not an embedding model that gives the vectors of tokens",
    "sparse": "model is not an embedding model with SPLADE pooling",
    "rerank": "model is not a re-ranker model",
    "score": "model is not a classifier model",
}


class Engine:
    """Made once a process. ``ready`` is set when all models have run once."""

    def __init__(self, models: Sequence[Served], settings: Settings) -> None:
        self.models = {served.name: served for served in models}
        self.settings = settings
        self.scheduler = Scheduler(
            max_batch_tokens=settings.max_batch_tokens,
            max_batch_requests=settings.max_batch_requests,
            max_requests=settings.max_concurrent_requests,
            max_queue_tokens=settings.max_queue_tokens,
            workers=settings.tokenization_workers,
        )
        self.metrics = Metrics(self.scheduler)
        self.ready = False
        self.draining = False

    def find(self, kind: str, name: str | None) -> Served:
        """The model for a kind of request; ``name`` matters where several can do it. Raises ServeError."""
        able = [served for served in self.models.values() if _can(served, kind)]
        if not able:
            raise ServeError(MODEL_TYPE, _LACKING.get(kind, f"no model here is for {kind}"))
        if name in self.models:
            if self.models[name] not in able:
                raise ServeError(MODEL_TYPE, _LACKING.get(kind, f"model {name} is not for {kind}"))
            return self.models[name]
        if name is not None and len(able) > 1:
            known = ", ".join(served.name for served in able)
            raise ServeError(UNKNOWN_MODEL, f"there is no model {name}, only {known}")
        return able[0]

    async def warm_up(self) -> None:
        """Runs each model, in a thread, and is ready."""
        for served in self.models.values():
            await asyncio.to_thread(served.warm_up)
        self.ready = True
        logger.info("ready", extra={"models": list(self.models)})


def _can(served: Served, kind: str) -> bool:
    if kind == "rerank":
        return served.is_reranker
    if kind == "tokenize":
        return served.tokenizer is not None
    return kind in served.tasks
