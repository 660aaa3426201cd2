"""load: from a file, memory or the hub to a Model."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from bertc import _core, hub, runtime
from bertc.source import as_memory, is_path, name_of_path

if TYPE_CHECKING:
    from bertc.model import Model


def load(
    source: Any,
    threads: int | None = None,
    *,
    padding: Literal["mirror", "skip"] = "mirror",
    revision: str | None = None,
    token: str | bool | None = None,
    local_files_only: bool = False,
) -> Model:
    """Loads a model file, a Hugging Face directory, or a model of the hub by its id.

    A file is an archive of torch.jit.save or torch.export.save, or ONNX (whose external data is found by the path).
    ``source`` is a path, a binary file object (read from its position), or bytes, memoryview, mmap and the like.
    Read-only memory is used in place and kept alive; writable memory is copied. ``threads`` limits this model's calls;
    None is the process's default (set_num_threads). PyTorch is not needed, and no code from the file is run.

    ``padding="mirror"`` computes outputs at padded positions as the traced model does; ``"skip"`` writes zeros there
    and computes nothing for them, which is faster for batches of different lengths. Padding is what the model's own
    attention mask hides behind the end of a sequence. Results at real tokens, and pooled results, are the same bits
    either way.

    A text that is no path but may be an id of the hub, "sentence-transformers/all-MiniLM-L6-v2", is fetched through
    huggingface_hub into its cache, or found there: ``revision``, ``token`` and ``local_files_only`` are its.
    """
    count, skip = runtime.check_options(threads, padding)
    if is_path(source):
        path, name = os.fspath(source), name_of_path(source)
        if hub.is_id(source):
            path, name = hub.fetch(source, revision, token, local_files_only), source
        with _numpy_meanwhile():
            core = _core.load_file(path, count, skip)
    else:
        memory, name = as_memory(source, "load")
        with _numpy_meanwhile():
            core = _core.load_memory(memory if memory.readonly else bytes(memory), name, count, skip)
    from bertc.model import Model, warned

    return warned(Model(core, name))


@contextlib.contextmanager
def _numpy_meanwhile() -> Iterator[None]:
    """Imports what needs NumPy, unless it is there, while the core works: that takes as long as checking 500 MB."""
    if "numpy" in sys.modules:
        yield
        return
    thread = threading.Thread(target=_import_model, name="bertc-import", daemon=True)
    with contextlib.suppress(RuntimeError):  # no more threads: then one after the other
        thread.start()
    try:
        yield
    finally:
        if thread.ident is not None:
            thread.join()


def _import_model() -> None:
    with contextlib.suppress(ImportError):  # which load() then meets itself
        importlib.import_module("bertc.model")
