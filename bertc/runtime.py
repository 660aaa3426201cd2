"""Settings of the whole process: threads, and where OpenBLAS is."""

from __future__ import annotations

import functools
import importlib.util
import operator
import os

from bertc import _core


def check_threads(threads: int | None) -> int:
    """The core's thread count: 0 for None, the default."""
    if threads is None:
        return 0
    count = operator.index(threads)
    if not 1 <= count <= 4096:
        raise ValueError(f"threads must be from 1 to 4096, or None for the default; got {count}")
    return count


def check_options(threads: int | None, padding: str) -> tuple[int, bool]:
    """The core's options of a model, thread count and whether to skip padding; finds OpenBLAS before it is needed."""
    if padding not in ("mirror", "skip"):
        raise ValueError(f"padding must be 'mirror' or 'skip', not {padding!r}")
    count = check_threads(threads)
    find_openblas()
    return count, padding == "skip"


def set_num_threads(threads: int | None) -> None:
    """Sets the threads of models loaded without ``threads=``.

    None goes back to the default: ``BERTC_NUM_THREADS``, else the processors that this process may use.
    """
    _core.set_threads(check_threads(threads))


def get_num_threads() -> int:
    """The threads of models loaded without ``threads=``."""
    return _core.threads()


@functools.cache
def find_openblas() -> None:
    """Points the core at the OpenBLAS of the scipy-openblas32 wheel, without importing or opening it."""
    spec = importlib.util.find_spec("scipy_openblas32")
    for folder in spec.submodule_search_locations or () if spec else ():
        libraries = os.path.join(folder, "lib")
        if os.path.isdir(libraries):
            for name in sorted(os.listdir(libraries)):
                if name.startswith("libscipy_openblas"):
                    _core.set_gemm_library(os.path.join(libraries, name))
                    return
