"""One model by every road: from each format that holds it, the same graph and the same bits."""

import io
import json
import re
import shutil

import numpy as np
import pytest
from conftest import DATA, same

import bertc
from bertc import safetensors

ROADS = DATA / "roads"
DIRECTORY = ROADS / "directory"
CONFIG = DIRECTORY / "config.json"
WEIGHTS = bertc.load_state_dict(DIRECTORY)
SHAPES = [(1, 1), (1, 5), (3, 11), (2, 17), (9, 4)]

# In these files a mask is numbers that are added to the scores, so that a sequence without any token has a mean, not
# nothing, behind its attention: a graph with another kind of mask. transformers' eager attention is of that kind, and
# the newer ONNX exporter makes it of the other.
ADDED_MASKS = ["eager.pt", "eager.pt2", "eager.onnx", "eager.dynamo.onnx", "sdpa.dynamo.onnx"]
PROGRAMS = ["sdpa.pt", "scripted.pt", "sdpa.pt2", "sdpa.onnx", *ADDED_MASKS]


def npz() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **WEIGHTS)
    return stream.getvalue()


def directory(folder, name: str, content: bytes) -> bertc.Model:
    shutil.copy(CONFIG, folder)
    (folder / name).write_bytes(content)
    return bertc.load(folder)


def sharded(folder) -> bertc.Model:
    places = {name: f"model-0000{1 + i % 3}-of-00003.safetensors" for i, name in enumerate(WEIGHTS)}
    for place in set(places.values()):
        own = {name: (array, "float32") for name, array in WEIGHTS.items() if places[name] == place}
        safetensors.write(folder / place, own)
    return directory(folder, "model.safetensors.index.json", json.dumps({"weight_map": places}).encode())


STATES = {
    "directory": lambda folder: bertc.load(DIRECTORY),
    "sharded": sharded,
    "zip.bin": lambda folder: directory(folder, "pytorch_model.bin", (ROADS / "zip.bin").read_bytes()),
    "legacy.bin": lambda folder: directory(folder, "pytorch_model.bin", (ROADS / "legacy.bin").read_bytes()),
    "rust_model.ot": lambda folder: directory(folder, "rust_model.ot", (ROADS / "rust_model.ot").read_bytes()),
    "arrays": lambda folder: bertc.from_state_dict(CONFIG, {n: np.array(array) for n, array in WEIGHTS.items()}),
    "bytes of safetensors": lambda folder: bertc.from_state_dict(
        CONFIG.read_bytes(), (DIRECTORY / "model.safetensors").read_bytes()
    ),
    "bytes of npz": lambda folder: bertc.from_state_dict(CONFIG.read_text(), npz()),
    "bytes of ot": lambda folder: bertc.from_state_dict(CONFIG, (ROADS / "rust_model.ot").read_bytes()),
    "state of a trace": lambda folder: bertc.from_state_dict(CONFIG, bertc.load(ROADS / "sdpa.pt").state_dict()),
    "state of a program": lambda folder: bertc.from_state_dict(CONFIG, bertc.load(ROADS / "sdpa.pt2").state_dict()),
}


@pytest.fixture(params=[*STATES, *PROGRAMS])
def road(request, tmp_path) -> tuple[str, bertc.Model]:
    if request.param in STATES:
        return request.param, STATES[request.param](tmp_path)
    return request.param, bertc.load(ROADS / request.param)


@pytest.fixture(scope="module")
def expected() -> bertc.Model:
    return bertc.load(DIRECTORY)


def arguments(batch: int, length: int) -> list[np.ndarray]:
    chance = np.random.default_rng([batch, length])
    lengths = chance.integers(1, length + 1, (batch, 1))
    mask = (np.arange(length) < lengths).astype(np.int64)
    return [chance.integers(1, 19, mask.shape) * mask, mask, chance.integers(0, 2, mask.shape)]


def results(model, *args) -> tuple:
    result = model(*args)
    return tuple(result.values() if hasattr(result, "values") else result)


def weight_names(model) -> dict[str, str]:
    """{what a file calls a weight: what the others call it}: exporters fold transpositions, and make up names."""
    names = {}
    for name, array in model.state_dict().items():
        for own, weight in WEIGHTS.items():
            if same(array, weight) or (weight.ndim == 2 and same(np.ascontiguousarray(array.T), weight)):
                names[name] = own
    return names


def graph(model, added_mask: bool = False) -> list[str]:
    """The graph of a call without its title, its values counted anew, weights by their names in WEIGHTS."""
    model(*arguments(3, 11))
    lines = [re.sub(r"\s\s+.*", "", line.strip()) for line in str(model.graph).splitlines()[1:]]
    text = "\n".join(lines)
    for name, own in sorted(weight_names(model).items(), key=lambda item: -len(item[0])):
        text = re.sub(rf"(?<=[( ]){re.escape(name)}(?=[,)])", own, text)
    if added_mask:
        result, mask, _ = re.search(r"(%\d+) = where\((%\d+), 0\.0, (-3\.4028234663852886e\+38)\)\n", text).groups()
        text = re.sub(r".* = where\(.*\n", "", text)
        text = re.sub(rf"{result}\b", mask, text)
        text = re.sub(r"(, nan_rows=True|, is_causal=False)(?=\))", ", is_causal=False", text)
    text = re.sub(r"return .*", "return " + ", ".join(re.findall(r"%\d+", text.rpartition("return")[2])), text)
    order = {value: f"%{i}" for i, value in enumerate(dict.fromkeys(re.findall(r"%\d+", text)))}
    return re.sub(r"%\d+", lambda match: order[match[0]], text).splitlines()


def test_same_graph(road, expected):
    name, model = road
    assert graph(model, name in ADDED_MASKS) == graph(expected)


def test_same_bits(road, expected):
    _, model = road
    for shape in SHAPES:
        assert same(results(model, *arguments(*shape)), results(expected, *arguments(*shape)))


def test_same_bits_of_packed_sequences(road, expected):
    _, model = road
    sequences = [np.arange(1, 1 + n) for n in (4, 1, 16, 7)]
    types = [np.zeros_like(ids) for ids in sequences]
    given = {"input_ids": sequences, "token_type_ids": types}
    for own, other in zip(model.run_packed(**given), expected.run_packed(**given), strict=True):
        assert same(tuple(own.values() if hasattr(own, "values") else own), tuple(other.values()))


def test_weights_are_all_there(road):
    _, model = road
    assert set(weight_names(model).values()) == set(WEIGHTS)


def test_no_token_at_all():
    """What the two kinds of masks differ in."""
    ids, mask = np.ones((2, 3), np.int64), np.array([[1, 1, 0], [0, 0, 0]])
    kinds = [results(bertc.load(ROADS / f"{kind}.pt"), ids, mask, 0 * ids)[0] for kind in ("sdpa", "eager")]
    assert same(kinds[0][0], kinds[1][0]) and not np.allclose(kinds[0][1], kinds[1][1])
