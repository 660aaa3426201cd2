"""Serving: `python -m bertc serve`, a router for FastAPI, and a Batcher for any application."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from bertc.serve.batcher import Batcher
from bertc.serve.errors import Closed, Overloaded, ServeError
from bertc.serve.scheduler import Scheduler

if TYPE_CHECKING:
    from bertc.serve.app import create_app as create_app
    from bertc.serve.app import router as router

__all__ = ["Batcher", "Closed", "Overloaded", "Scheduler", "ServeError", "create_app", "router"]


def __getattr__(name: str) -> Any:
    if name not in ("create_app", "router"):
        raise AttributeError(f"module 'bertc.serve' has no attribute {name!r}")
    return getattr(importlib.import_module("bertc.serve.app"), name)  # which needs the extra `serve`
