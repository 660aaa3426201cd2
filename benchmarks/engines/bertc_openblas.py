"""bertc with OpenBLAS for its matrix products, as on a processor that it has no kernels for."""

import os

os.environ["BERTC_GEMM"] = "openblas"

from engines.bertc import FILE, VERSION, load

__all__ = ["FILE", "VERSION", "load"]
