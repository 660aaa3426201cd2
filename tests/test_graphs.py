"""What the passes make of real archives: exactly how many nodes remain, and that all their attention is found.

graphs.txt has a line for each archive: attention nodes, softmax nodes (an attention whose weights are asked for, or the
head of a model) and nodes in all. A pass that finds more or less changes it: ``python tests/test_graphs.py`` writes it
anew, and its diff says what the change did to each architecture. Attention and softmax must not change places there.
"""

import re
from pathlib import Path

import pytest
from conftest import DATA

import bertc

SHARED = Path(__file__).resolve().parents[2] / "shared" / "models"
TABLE = Path(__file__).with_name("graphs.txt")


def archives() -> dict[str, Path]:
    found = {}
    for folder in (DATA, SHARED):
        for group, kind in (("traced", "pt"), ("traced_2019", "pt"), ("nested", "pt"), ("onnx", "onnx")):
            for path in sorted((folder / group).glob(f"*.{kind}")):
                found.setdefault(f"{group}/{path.stem}", path)
    return found


def table() -> dict[str, list[int]]:
    lines = (line.split() for line in TABLE.read_text().splitlines())
    return {name: [int(count) for count in counts] for name, *counts in lines}


def counts(path: Path) -> list[int]:
    ops = re.findall(r"^  %.* = (\w+)\(", str(bertc.load(path).graph), re.MULTILINE)
    return [ops.count("scaled_dot_product_attention"), ops.count("softmax"), len(ops)]


@pytest.mark.parametrize("name", archives())
def test_graph(name):
    path = archives()[name]
    try:
        found = counts(path)
    except bertc.UnsupportedError:
        assert name not in table()
        pytest.skip("not supported")
    assert found == table()[name], str(bertc.load(path).graph)


def write() -> None:
    lines = dict(table())
    for name, path in archives().items():
        try:
            lines[name] = counts(path)
        except bertc.UnsupportedError:
            lines.pop(name, None)
    TABLE.write_text("".join(f"{name:<40} {' '.join(map(str, lines[name]))}\n" for name in sorted(lines)))


if __name__ == "__main__":
    write()
