"""Weights are held once, and memory that is needed no more goes back to the system."""

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import DATA, same

import bertc
from bertc import safetensors

HIDDEN, INNER, LAYERS, VOCAB, POSITIONS = 384, 1536, 6, 4000, 512
MATRICES = LAYERS * (4 * HIDDEN**2 + 2 * HIDDEN * INNER) + HIDDEN**2  # items of what linear layers read
MB = 1_000_000
SANITIZED = pytest.mark.skipif("BERTC_SANITIZER" in os.environ, reason="a sanitizer has memory of its own")
LINUX = pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs Linux's /proc")

# Prints how many bytes the process has grown by, at most and at last, from before the load to after two calls.
GROWTH = """
import sys, numpy, bertc  # load() would import NumPy
def memory(name):
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith(name))
before = memory("VmRSS")
model = bertc.load(sys.argv[1], threads=1)
for turn in range(2):
    model([[1, 2, 3, 4]])
print(memory("VmHWM") - before, memory("VmRSS") - before)
"""


def bert_shapes():
    for name, count in (("word", VOCAB), ("position", POSITIONS), ("token_type", 2)):
        yield f"embeddings.{name}_embeddings.weight", (count, HIDDEN)
    yield from norm("embeddings")
    for i in range(LAYERS):
        layer = f"encoder.layer.{i}"
        for name in ("query", "key", "value"):
            yield from linear(f"{layer}.attention.self.{name}", HIDDEN, HIDDEN)
        yield from linear(f"{layer}.attention.output.dense", HIDDEN, HIDDEN)
        yield from norm(f"{layer}.attention.output")
        yield from linear(f"{layer}.intermediate.dense", INNER, HIDDEN)
        yield from linear(f"{layer}.output.dense", HIDDEN, INNER)
        yield from norm(f"{layer}.output")
    yield from linear("pooler.dense", HIDDEN, HIDDEN)


def linear(name, outputs, inputs):
    return (f"{name}.weight", (outputs, inputs)), (f"{name}.bias", (outputs,))


def norm(name):
    return (f"{name}.LayerNorm.weight", (HIDDEN,)), (f"{name}.LayerNorm.bias", (HIDDEN,))


def write_bert(folder: Path, dtype: type) -> dict[str, np.ndarray]:
    """A Hugging Face directory with random weights, about 50 MB in float32."""
    chance = np.random.default_rng(0)
    weights = {name: (chance.standard_normal(shape) / 20).astype(dtype) for name, shape in bert_shapes()}
    header, offset = {}, 0
    for name, array in weights.items():
        ends = [offset, offset + array.nbytes]
        header[name] = {"dtype": f"F{8 * array.itemsize}", "shape": array.shape, "data_offsets": ends}
        offset = ends[1]
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(folder / "model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for array in weights.values():
            file.write(array.tobytes())
    sizes = {"hidden_size": HIDDEN, "intermediate_size": INNER, "vocab_size": VOCAB, "type_vocab_size": 2}
    depth = {"num_hidden_layers": LAYERS, "num_attention_heads": 6, "max_position_embeddings": POSITIONS}
    config = {"model_type": "bert", "hidden_act": "gelu", "layer_norm_eps": 1e-12, **sizes, **depth}
    (folder / "config.json").write_text(json.dumps(config))
    return weights


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("bert")
    write_bert(path, np.float32)
    return path


@SANITIZED
@LINUX
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_weights_are_held_once(tmp_path, dtype):
    """Half weights take twice their size of the file, as they are computed with in float32."""
    size = sum(array.size for array in write_bert(tmp_path, dtype).values()) * 4
    output = subprocess.run([sys.executable, "-c", GROWTH, tmp_path], check=True, capture_output=True, text=True).stdout
    peak, last = map(int, output.split())
    assert last <= size + 10 * MB
    assert peak <= size + 16 * MB


def shard(folder: Path) -> None:
    """The same in two files and their index."""
    weights = bertc.load_state_dict(folder)
    places = {name: f"{1 + i % 2}.safetensors" for i, name in enumerate(weights)}
    for place in set(places.values()):
        own = {name: (weights[name], "float32") for name in weights if places[name] == place}
        safetensors.write(folder / place, own)
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))


@SANITIZED
@LINUX
def test_weights_of_several_files_are_held_once(tmp_path):
    size = sum(array.nbytes for array in write_bert(tmp_path, np.float32).values())
    shard(tmp_path)
    output = subprocess.run([sys.executable, "-c", GROWTH, tmp_path], check=True, capture_output=True, text=True).stdout
    peak, last = map(int, output.split())
    assert last <= size + 10 * MB and peak <= size + 16 * MB
    memory = bertc.load(tmp_path).memory()
    assert memory.file == sum((tmp_path / f"{i}.safetensors").stat().st_size for i in (1, 2))


def test_memory_of_arrays():
    weights = bertc.load_state_dict(DATA / "directories" / "bert")
    config = DATA / "directories" / "bert" / "config.json"
    memory = bertc.from_state_dict(config, {name: array.copy() for name, array in weights.items()}).memory()
    assert memory.file == sum(array.nbytes for array in weights.values()) and memory.file_resident == 0


def test_memory_tells_where_it_is(folder):
    model = bertc.load(folder)
    file = (folder / "model.safetensors").stat().st_size
    before = model.memory()
    assert before.file == file and before.packed == before.converted == before.workspaces == 0
    for _ in range(2):
        model([[1, 2, 3]])
    after = model.memory()
    assert after.file == file
    if "BERTC_GEMM" not in os.environ and os.environ.get("BERTC_CPU") != "ref":
        assert 4 * MATRICES <= after.packed <= 4.2 * MATRICES
        assert after.file_resident <= file - 4 * MATRICES + 4 * MB
    assert after.converted == 0 and after.graphs > before.graphs and after.workspaces > 0
    assert after.total == sum(after) - after.file
    assert all(name in str(after) for name in (*after._fields, "total"))
    assert model.memory() == after


def test_weights_are_still_read_from_the_file(tmp_path):
    weights = write_bert(tmp_path, np.float32)
    model = bertc.load(tmp_path)
    first, _ = model([[1, 2, 3]]), model([[1, 2, 3]])
    state = model.state_dict()
    assert all(same(state[name], array) for name, array in weights.items())
    assert same(model([[1, 2, 3]]), first)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("threads", [1, 2])
def test_results_do_not_tell_whether_weights_are_packed(tmp_path, dtype, threads):
    write_bert(tmp_path, dtype)
    ids = np.random.default_rng(1).integers(0, VOCAB, (3, 130))
    models = [bertc.load(tmp_path, threads=threads) for _ in range(2)]
    short = [[models[i](ids[:1, :21]) for _ in range(3)] for i in range(2)]
    assert all(same(result, short[0][0]) for result in short[0] + short[1])
    batch = bertc.load(tmp_path, threads=threads)(ids)  # packs at once
    assert same(models[0](ids), batch)
    assert same({name: array[:1] for name, array in batch.items()}, models[1](ids[:1]))


def test_callers_memory_stays(bert_path, inputs):
    data = bert_path.read_bytes()
    model = bertc.load(data)
    model(*inputs)
    memory = model.memory()
    assert memory.file == len(data) and memory.file_resident == 0
    assert data == bert_path.read_bytes()


def test_workspaces_are_given_back(folder):
    model = bertc.load(folder, threads=1)
    model(np.ones((1, POSITIONS), int))
    peak = model.memory().workspaces
    assert peak > 4 * MB
    for _ in range(20):
        model([[1, 2, 3]])
    assert model.memory().workspaces < peak / 4


def test_workspaces_do_not_grow_with_the_batch(folder):
    model = bertc.load(folder, threads=1)
    model(np.ones((4, 128), int))
    few = model.memory().workspaces
    model(np.ones((16, 128), int))
    assert model.memory().workspaces <= 1.1 * few
