"""What notebooks show: tables of models, heat maps of similarities."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from bertc import _core
from bertc._core import InputError
from bertc.model import Input, Model

COLOUR = (31, 119, 180)  # of a heat map's greatest value; the least is white


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """An HTML table of texts and numbers."""
    title = "".join(f"<th>{html.escape(name)}</th>" for name in head)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{title}</tr>{body}</table>"


def describe_calls(model: Model) -> tuple[list[Input], str]:
    """A model's arguments, and its outputs as text; what is known of them before the first call."""
    try:
        return model.inputs, str(model.outputs)
    except InputError:
        return [Input(*param) for param in model._core.params()], "known after the first call"


def model_html(model: Model) -> str:
    """The table that Model shows in notebooks: arguments, outputs, size."""
    core: _core.Model = model._core
    inputs, outputs = describe_calls(model)
    parameters = [array for _, array, _, is_parameter in core.weights() if is_parameter]
    count, size = sum(array.size for array in parameters), sum(array.nbytes for array in parameters)
    rows = [(x.name, x.type, "" if x.required else "optional") for x in inputs]
    rows.append(("outputs", outputs, ""))
    rows.append(("parameters", f"{count:,} in {len(parameters)} tensors", f"{size / 1e6:,.1f} MB"))
    origin = ", ".join(filter(None, [core.format, core.producer, model.architecture]))
    return f"<p><b>bertc.Model</b> {html.escape(model._name)}: {html.escape(origin)}</p>" + table(
        ("argument", "type", ""), rows
    )


class HeatMap:
    """A matrix as a coloured table in notebooks, and as plain text elsewhere."""

    def __init__(self, values: np.ndarray, rows: list[str], columns: list[str], low: float, high: float) -> None:
        self.values = values
        self.rows = rows
        self.columns = columns
        self.low = low
        self.high = high

    def _repr_html_(self) -> str:
        head = "".join(f"<th title='{html.escape(name, True)}'>{html.escape(name[:24])}</th>" for name in self.columns)
        lines = [
            f"<tr><th style='text-align:left'>{html.escape(name)}</th>{''.join(map(self._cell, row))}</tr>"
            for name, row in zip(self.rows, self.values)
        ]
        return f"<table><tr><th></th>{head}</tr>{''.join(lines)}</table>"

    def _cell(self, value: float) -> str:
        depth = float(np.clip((value - self.low) / ((self.high - self.low) or 1), 0, 1)) if np.isfinite(value) else 0
        red, green, blue = (round(255 - depth * (255 - part)) for part in COLOUR)
        text = "white" if depth > 0.6 else "black"
        return f"<td style='background:rgb({red},{green},{blue});color:{text}'>{value:.2f}</td>"

    def __repr__(self) -> str:
        return "\n".join(
            " ".join(f"{value:5.2f}" for value in row) + f"  {name}" for name, row in zip(self.rows, self.values)
        )


def heat_map(
    values: Any,
    rows: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    low: float | None = None,
    high: float | None = None,
) -> HeatMap:
    """A matrix of similarities, [n, m], with a colour for each value; a notebook shows it when it is a cell's result.

    ``rows`` and ``columns`` are the names, such as the texts; ``columns`` are ``rows`` when the matrix is square and
    they are not given. ``low`` is shown white and ``high`` in full colour; else the least and the greatest value are.
    """
    values = np.asarray(values)
    if values.ndim != 2:
        raise InputError(f"expected a matrix, not an array of shape {values.shape}")
    rows = [str(i) for i in range(len(values))] if rows is None else list(rows)
    if columns is None:
        columns = rows if values.shape[0] == values.shape[1] else [str(i) for i in range(values.shape[1])]
    if (len(rows), len(columns)) != values.shape:
        raise InputError(f"{len(rows)} names of rows and {len(columns)} of columns do not fit the shape {values.shape}")
    finite = values[np.isfinite(values)]
    least, greatest = (finite.min(), finite.max()) if finite.size else (0.0, 1.0)
    return HeatMap(values, rows, list(columns), least if low is None else low, greatest if high is None else high)
