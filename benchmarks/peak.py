"""The most that this machine's cores can do: peak.c, compiled for them and run on so many at once."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

FLAGS = ["-O3", "-march=native", "-ffp-contract=fast"]


class Peak:
    def __init__(self, folder: Path, cores: int) -> None:
        self.program = folder / "peak"
        self.cores = cores
        self.gflops = 0.0
        source = Path(__file__).with_name("peak.c")
        subprocess.run([*shlex.split(os.environ.get("CC", "cc")), *FLAGS, source, "-o", self.program], check=True)

    def visit(self) -> None:
        """Keeps the best of all visits, in GFLOP/s of all cores together."""
        running = [subprocess.Popen([self.program], stdout=subprocess.PIPE, text=True) for _ in range(self.cores)]
        self.gflops = max(self.gflops, sum(float(process.communicate()[0]) for process in running))
