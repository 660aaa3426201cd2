"""Serving: `python -m bertc serve`, a router for FastAPI, and a Batcher for any application."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from bertc.serve.batcher import Batcher
from bertc.serve.errors import Closed, Overloaded, ServeError
from bertc.serve.scheduler import Scheduler

if TYPE_CHECKING:
    from bertc.serve.app import create_app as create_app
    from bertc.serve.app import router as router

__all__ = ["Batcher", "Closed", "Overloaded", "Scheduler", "ServeError", "create_app", "router"]


@contextmanager
def needs_extra() -> Iterator[None]:
    """Around what needs the extra `serve`: says so when a library of it is not there."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ImportError(f"serving needs {error.name}: pip install bertc[serve]") from error


def __getattr__(name: str) -> Any:
    if name not in ("create_app", "router"):
        raise AttributeError(f"module 'bertc.serve' has no attribute {name!r}")
    with needs_extra():
        return getattr(importlib.import_module("bertc.serve.app"), name)
