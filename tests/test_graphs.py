"""What the passes make of real archives: how small the graphs become, and that their attention is found."""

import re
from fnmatch import fnmatch
from pathlib import Path

import pytest
from conftest import DATA

import bertc

SHARED = Path(__file__).resolve().parents[2] / "shared" / "models"

# Architecture by file name, the first that fits: attention nodes, nodes at most.
ARCHITECTURES = {
    "*-bert_relkey.eager": (2, 68),
    "*-deberta_v2*": (2, 136),
    "*-deberta_v3*": (2, 133),
    "*-deberta.*": (2, 92),
    "*-distil*": (2, 47),
    "*-modernbert*": (4, 177),
    "*-nomicbert*": (2, 82),
    "*-mobilebert*": (2, 83),
    "*-mpnet*": (2, 75),
    "*-xlnet*": (2, 100),
    "*-minilm*": (3, 65),
    "*-gpt2*": (2, 50),
    "*falcon*": (2, 95),
    "*roberta*": (2, 56),
    "*camembert*": (2, 54),
    "*xlmr*": (2, 54),
    "*-w_scriptpool*": (2, 63),
    "*-w_dynquant": (2, 55),
    "*-albert*": (2, 49),
    "*-electra*": (2, 48),
    "*bert*": (2, 51),
    "*-w_*": (2, 54),
}
# The weights of the attention are an output; a softmax that belongs to the head of the model.
ASKS_FOR_WEIGHTS = ["*-w_allout"]
HAS_SOFTMAX_HEAD = ["*-w_mlphead"]


def archives() -> list[Path]:
    found = {}
    for folder in (DATA, SHARED):
        for group in ("traced", "traced_2019", "nested"):
            for path in sorted((folder / group).glob("*.pt")):
                found.setdefault((group, path.stem), path)
    return list(found.values())


def fits(stem: str, patterns) -> bool:
    return any(fnmatch(stem, pattern) for pattern in patterns)


@pytest.mark.parametrize("path", archives(), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_graph(path):
    try:
        graph = bertc.load(path).graph
    except bertc.UnsupportedError:
        pytest.skip("not supported")
    ops = re.findall(r"^  %.* = (\w+)\(", str(graph), re.MULTILINE)
    attention, most = next(sizes for pattern, sizes in ARCHITECTURES.items() if fnmatch(path.stem, pattern))
    weights = fits(path.stem, ASKS_FOR_WEIGHTS)
    assert ops.count("scaled_dot_product_attention") == (0 if weights else attention)
    assert ops.count("softmax") == (attention if weights else fits(path.stem, HAS_SOFTMAX_HEAD))
    assert len(ops) <= most, str(graph)
