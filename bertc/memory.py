"""Memory: where a model's memory is, as Model.memory() tells."""

from __future__ import annotations

from typing import NamedTuple

MEANINGS = {
    "file": "the files, or the caller's memory, that the weights lie in",
    "file_resident": "of mapped files: what this process holds of it now",
    "packed": "weights in the form that matrix products read",
    "converted": "other weights that could not be read as they lie",
    "graphs": "program, graphs and plans",
    "workspaces": "of the calls that run now, and kept for the next",
}


class Memory(NamedTuple):
    """Where a model's memory is, in bytes; print it for a table.

    Weights are held once: a matrix that was packed, at the first or second call, leaves the mapped file's pages to the
    system, and only what is read from the file as it lies (embeddings, biases) stays in ``file_resident``; those pages
    are shared with other processes and the system may take them back at any time. Memory that you gave to
    ``bertc.load`` is yours: it is neither in ``file_resident`` nor in ``total``.
    """

    file: int
    file_resident: int
    packed: int
    converted: int
    graphs: int
    workspaces: int

    @property
    def total(self) -> int:
        """What the model holds at the moment."""
        return self.file_resident + self.packed + self.converted + self.graphs + self.workspaces

    def __str__(self) -> str:
        rows = [(name, getattr(self, name), MEANINGS[name]) for name in self._fields]
        rows.append(("total", self.total, "all but file"))
        return "\n".join(f"{name:14}{size / 1e6:10.1f} MB  {meaning}" for name, size, meaning in rows)
