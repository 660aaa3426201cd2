"""Weights alone: every format and every source, what shares memory, what is refused; and models made of them."""

import io
import json
import mmap
import pickle
import resource
import struct
import threading
import zipfile

import numpy as np
import pytest
from conftest import DATA, same

import bertc

STATE = DATA / "state"
CONFIG = json.loads((STATE / "config.json").read_text())
IDS = np.array([[5, 6, 7, 8], [9, 1, 2, 3]])
MASK = np.array([[1, 1, 1, 1], [1, 1, 0, 0]])

CODES = {
    "float32": "F32",
    "float64": "F64",
    "float16": "F16",
    "int64": "I64",
    "int32": "I32",
    "int16": "I16",
    "int8": "I8",
    "uint64": "U64",
    "uint32": "U32",
    "uint16": "U16",
    "uint8": "U8",
    "bool": "BOOL",
}


def safetensors(state, codes=None) -> bytes:
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, array in state.items():
        begin, data = len(data), data + np.ascontiguousarray(array).tobytes()
        code = (codes or {}).get(name) or CODES[array.dtype.name]
        header[name] = {"dtype": code, "shape": list(array.shape), "data_offsets": [begin, len(data)]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def npz(state, save=np.savez) -> bytes:
    stream = io.BytesIO()
    save(stream, **state)
    return stream.getvalue()


def rezip(data: bytes, compression: int, change=lambda name, content: content) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(stream, "w", compression) as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return stream.getvalue()


def new_name(name: str) -> str:
    name = name.removeprefix("bert.")
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")


def read(name: str) -> bytes:
    return (STATE / name).read_bytes()


WEIGHTS = {name: np.array(array) for name, array in bertc.load_state_dict(STATE / "zip.bin").items()}

FORMATS = {
    "zip.bin": lambda: read("zip.bin"),
    "deflated zip.bin": lambda: rezip(read("zip.bin"), zipfile.ZIP_DEFLATED),
    "unaligned zip.bin": lambda: rezip(read("zip.bin"), zipfile.ZIP_STORED),
    "legacy.bin": lambda: read("legacy.bin"),
    "wrapped.bin": lambda: read("wrapped.bin"),
    "bars.ot": lambda: read("bars.ot"),
    "safetensors": lambda: safetensors(WEIGHTS),
    "npz": lambda: npz(WEIGHTS),
    "deflated npz": lambda: npz(WEIGHTS, np.savez_compressed),
}

by_format = pytest.mark.parametrize("format", FORMATS)


# ---- what is read ----


@pytest.mark.parametrize("path", sorted((STATE / "genuine").glob("*.npz")), ids=lambda path: path.stem)
def test_genuine_files(path):
    """Files of libtorch 1.4 and 1.7, of torch 1.4 and 2.13."""
    with np.load(path) as file:
        reference = dict(file)
    meta = json.loads(str(reference.pop("meta")))
    (source,) = (other for other in path.parent.glob(f"{path.stem}.*") if other != path)
    if meta.get("refuse"):
        with pytest.raises(bertc.UnsupportedError, match=r"state_dict\(\)"):
            bertc.load_state_dict(source)
        return
    state = bertc.load_state_dict(source)
    assert set(state) == set(meta["names"])
    for i, name in enumerate(meta["names"]):
        assert state[name].dtype == reference[f"t{i}"].dtype
        np.testing.assert_array_equal(state[name], reference[f"t{i}"])


@by_format
def test_formats(format):
    state = bertc.load_state_dict(FORMATS[format]())
    assert {new_name(name) for name in state} == set(WEIGHTS)
    for name, array in state.items():
        assert same(array, WEIGHTS[new_name(name)]) and not array.flags.writeable and array.flags.aligned
        with pytest.raises(ValueError):
            array.flags.writeable = True


def test_names_are_as_stored():
    assert "embeddings.LayerNorm.gamma" in bertc.load_state_dict(STATE / "legacy.bin")
    assert "bert.embeddings.LayerNorm.weight" in bertc.load_state_dict(STATE / "wrapped.bin")


def test_the_order_is_the_files():
    assert list(bertc.load_state_dict(npz(WEIGHTS))) == list(WEIGHTS)
    assert list(bertc.load_state_dict(safetensors(WEIGHTS))) == list(WEIGHTS)


def test_module_of_a_traced_archive(bert, bert_path):
    state = bertc.load_state_dict(bert_path)
    assert same(state, bert.state_dict())


@pytest.mark.parametrize("archive", [False, True])
def test_dtypes(archive):
    state = {code: np.array([[3, 0, 100]]).astype(code) for code in CODES}
    state["number"], state["none"] = np.array(2.5), np.zeros((2, 0, 3), np.int16)
    found = bertc.load_state_dict(npz(state) if archive else safetensors(state))
    assert all(same(found[name], array) for name, array in state.items())


def test_bfloat16_becomes_float32():
    values = np.array([[1.5, -2, 0.00390625]], np.float32)
    bits = (values.view(np.uint32) >> 16).astype(np.uint16)
    state = bertc.load_state_dict(safetensors({"w": bits, "s": bits[0, 0]}, {"w": "BF16", "s": "BF16"}))
    assert same(state["w"], values) and same(state["s"], values[0, 0]) and not state["w"].flags.writeable


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_npy_layouts(order, version):
    array = np.asarray(np.arange(24).reshape(2, 3, 4), order=order)
    stream, member = io.BytesIO(), io.BytesIO()
    np.lib.format.write_array(member, array, version=version)
    with zipfile.ZipFile(stream, "w") as file:
        file.writestr("layer/a.npy", member.getvalue())
    found = bertc.load_state_dict(stream.getvalue())
    assert same(np.ascontiguousarray(found["layer/a"]), np.ascontiguousarray(array))
    assert found["layer/a"].strides == array.strides


def test_views_and_tied_tensors():
    state = bertc.load_state_dict(STATE / "legacy_views.bin")
    base = np.arange(60, dtype=np.float32)
    matrix = base.reshape(6, 10)
    expected = {
        "whole": base,
        "tied": base,
        "rows": matrix[2:4],
        "columns": matrix[:, 3:5],
        "transposed": matrix.T,
        "expanded": np.broadcast_to(base[7:9, None], (2, 3)),
        "number": base[5],
        "empty": np.zeros((0, 4), np.float32),
        "bool": np.array([True, False, True]),
        "int8": np.array([-3, 0, 7], np.int8),
        "uint8": np.array([3, 0, 200], np.uint8),
        "bfloat16": np.array([3, 0, 7], np.float32),
    }
    for name in ("float64", "float16", "int64", "int32", "int16"):
        expected[name] = np.array([3, 0, 7], name)
    assert set(state) == set(expected)
    for name, array in expected.items():
        assert state[name].dtype == array.dtype and state[name].shape == array.shape
        np.testing.assert_array_equal(state[name], array)
    for name in ("tied", "rows", "columns", "transposed", "expanded", "number"):
        assert np.shares_memory(state["whole"], state[name])
    assert state["transposed"].strides == (4, 40) and state["expanded"].strides == (4, 0)


def test_content_decides_the_format(tmp_path):
    for i, (format, names) in enumerate(zip(FORMATS, ("x.npz", "x.ot", "x", "x.safetensors", "x.json") * 2)):
        path = tmp_path / f"{i}{names}"
        path.write_bytes(FORMATS[format]())
        assert len(bertc.load_state_dict(path)) == len(WEIGHTS)


def test_a_header_that_looks_like_json():
    """The length of a safetensors header may be 123, which is "{"."""
    text = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode().ljust(ord("{"))
    assert bertc.load_state_dict(struct.pack("<Q", len(text)) + text + bytes(4))["w"].shape == (1,)


# ---- from where ----


@by_format
def test_sources(format, tmp_path):
    data = FORMATS[format]()
    path = tmp_path / "weights"
    path.write_bytes(data)
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        expected = bertc.load_state_dict(data)
        for source in (path, str(path), memoryview(data), bytearray(data), file, io.BytesIO(data), mapped):
            assert same(bertc.load_state_dict(source), expected)


@pytest.mark.parametrize("format", ["zip.bin", "safetensors", "bars.ot"])
def test_arrays_are_views_of_what_was_given(format):
    data = FORMATS[format]()
    state = bertc.load_state_dict(data)
    assert all(np.shares_memory(array, np.frombuffer(data, np.uint8)) for array in state.values())


@by_format
def test_arrays_keep_what_they_need(format, tmp_path):
    path = tmp_path / "weights"
    path.write_bytes(FORMATS[format]())
    state = bertc.load_state_dict(path)
    path.unlink()
    kept = dict(list(state.items())[3:5])
    del state
    assert all(same(array, WEIGHTS[new_name(name)]) for name, array in kept.items())


def test_writable_memory_is_copied():
    data = bytearray(FORMATS["safetensors"]())
    state = bertc.load_state_dict(data)
    data[-64:] = bytes(64)
    assert all(same(array, WEIGHTS[name]) for name, array in state.items())


def test_what_is_no_source():
    with pytest.raises(TypeError, match=r"load_state_dict\(\) takes a path, bytes or a binary file, not int"):
        bertc.load_state_dict(3)
    with pytest.raises(TypeError, match="binary mode"):
        bertc.load_state_dict(io.StringIO("x"))
    with pytest.raises(FileNotFoundError):
        bertc.load_state_dict("nowhere.bin")


# ---- directories and indices ----


def shard(folder, name: str, write=safetensors, extension="safetensors") -> None:
    """Two files and their index."""
    names = list(WEIGHTS)
    places = {n: f"{name}-0000{1 + i % 2}-of-00002.{extension}" for i, n in enumerate(names)}
    for file in sorted(set(places.values())):
        (folder / file).write_bytes(write({n: WEIGHTS[n] for n in names if places[n] == file}))
    index = {"metadata": {"total_size": 1}, "weight_map": places}
    (folder / f"{name}.{extension}.index.json").write_text(json.dumps(index, indent=1))


DIRECTORIES = {
    "model.safetensors": lambda folder: (folder / "model.safetensors").write_bytes(safetensors(WEIGHTS)),
    "model.safetensors.index.json": lambda folder: shard(folder, "model"),
    "pytorch_model.bin": lambda folder: (folder / "pytorch_model.bin").write_bytes(read("legacy.bin")),
    "pytorch_model.bin.index.json": lambda folder: shard(folder, "pytorch_model", npz, "bin"),
    "rust_model.ot": lambda folder: (folder / "rust_model.ot").write_bytes(read("bars.ot")),
}


@pytest.mark.parametrize("kind", DIRECTORIES)
def test_directories(kind, tmp_path):
    DIRECTORIES[kind](tmp_path)
    for source in (tmp_path, tmp_path / kind):
        state = bertc.load_state_dict(source)
        assert {new_name(name) for name in state} == set(WEIGHTS)
        assert all(same(array, WEIGHTS[new_name(name)]) for name, array in state.items())
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    assert same(dict(bertc.load(tmp_path)(IDS, MASK)), dict(bertc.from_state_dict(CONFIG, WEIGHTS)(IDS, MASK)))


def test_safetensors_are_preferred(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"not read")
    (tmp_path / "model.safetensors").write_bytes(safetensors({"w": np.zeros(1)}))
    assert list(bertc.load_state_dict(tmp_path)) == ["w"]


def test_directory_without_weights(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    for load in (bertc.load_state_dict, bertc.load):
        with pytest.raises(bertc.FormatError, match=r"model\.safetensors, .*pytorch_model\.bin, .*rust_model\.ot"):
            load(tmp_path)


def test_broken_indices(tmp_path):
    path = tmp_path / "model.safetensors.index.json"
    (tmp_path / "one").write_bytes(safetensors({"a": np.zeros(1)}))
    (tmp_path / "two").write_bytes(safetensors({"a": np.zeros(1), "b": np.zeros(1)}))

    def refusal(index, error=bertc.FormatError):
        path.write_text(index if isinstance(index, str) else json.dumps({"weight_map": index}))
        with pytest.raises(error) as caught:
            bertc.load_state_dict(path)
        return str(caught.value)

    assert "b, c" in refusal({"a": "one", "b": "one", "c": "one"})
    assert "(9 in all)" in refusal({"a": "one", **{f"x{i}": "one" for i in range(9)}})
    assert 'two tensors are named "a"' in refusal({"a": "one", "b": "two"})
    assert "missing" in refusal({"a": "missing"}, FileNotFoundError)
    assert "../one" in refusal({"a": "../one"})
    assert "/etc/passwd" in refusal({"a": "/etc/passwd"})
    assert "no file for" in refusal({"a": 3})
    assert "weight_map" in refusal("{}")
    assert "JSON" in refusal("{")
    refusal({"a": path.name}, bertc.UnsupportedError)  # itself
    data = json.dumps({"weight_map": {"a": "one"}}).encode()
    with pytest.raises(bertc.UnsupportedError, match="its path or directory"):
        bertc.load_state_dict(data)


# ---- damaged and hostile files ----


def attempt(data: bytes) -> None:
    """Any result is fine, and so is any bertc.Error with a text."""
    try:
        for array in bertc.load_state_dict(data).values():
            array.tobytes()
    except bertc.Error as error:
        assert str(error).strip()


@by_format
def test_truncated_files(format):
    data = FORMATS[format]()
    for size in [*range(0, 700, 3), *range(700, len(data), 97)]:
        attempt(data[:size])
    for size in (1, len(data) // 2, len(data) - 1):
        with pytest.raises(bertc.Error):
            bertc.load_state_dict(data[:size])


@by_format
def test_damaged_files(format):
    data = FORMATS[format]()
    chance = np.random.default_rng(0)
    for _ in range(400):
        damaged = bytearray(data)
        for _ in range(chance.integers(1, 6)):
            head = chance.integers(2)
            i = int(chance.integers(min(len(data), 1500))) if head else len(data) - 1 - int(chance.integers(2500))
            damaged[i] = chance.choice([0, 1, 0x7F, 0x80, 0xFF, chance.integers(256)])
        attempt(bytes(damaged))


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"dtype": "F8_E4M3", "shape": [4], "data_offsets": [0, 4]}, "dtype F8_E4M3 is not supported"),
        ({"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}, "its data has 4 bytes"),
        ({"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}, "non-negative"),
        ({"dtype": "F32", "shape": [2**62, 2**62], "data_offsets": [0, 4]}, "more elements"),
        ({"dtype": "F32", "shape": [0, 2**62, 2**62], "data_offsets": [0, 0]}, "more elements"),
        ({"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}, "only 4 bytes"),
        ({"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}, "ascending"),
        ({"dtype": "U8", "shape": [2], "data_offsets": [0, 2]}, "the last tensor ends"),
        ({"dtype": "F32", "shape": [1] * 9, "data_offsets": [0, 4]}, "9 dimensions"),
        ({"dtype": "F32", "shape": [1]}, "data_offsets"),
        ([1], "not an object"),
    ],
)
def test_hostile_safetensors(entry, says):
    text = json.dumps({"w": entry}).encode()
    with pytest.raises(bertc.Error, match=says):
        bertc.load_state_dict(struct.pack("<Q", len(text)) + text + bytes(4))


def test_overlapping_safetensors():
    entry = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    text = json.dumps({"a": entry, "b": entry}).encode()
    with pytest.raises(bertc.FormatError, match="inside the tensor"):
        bertc.load_state_dict(struct.pack("<Q", len(text)) + text + bytes(4))


GOOD_HEADER = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"


@pytest.mark.parametrize(
    ("header", "says"),
    [
        (GOOD_HEADER, None),
        ('{"shape": (2L, 3L,), "fortran_order":True,"descr":"=f4"}  \n', None),
        (GOOD_HEADER.replace("(2, 3)", "(6,)"), None),
        (GOOD_HEADER.replace("(2, 3)", "(2, 4)"), "24 bytes, but its shape and dtype take 32"),
        (GOOD_HEADER.replace("(2, 3)", "(2, 1)"), "24 bytes, but its shape and dtype take 8"),
        (GOOD_HEADER.replace("(2, 3)", "(-2, -3)"), "not a tuple of sizes"),
        (GOOD_HEADER.replace("(2, 3)", "(2 3)"), "not a tuple of sizes"),
        (GOOD_HEADER.replace("(2, 3)", "(2, 99999999999999999999)"), "not a tuple of sizes"),
        (GOOD_HEADER.replace("(2, 3)", "[2, 3]"), "not a tuple of sizes"),
        (GOOD_HEADER.replace("(2, 3)", "(4294967296, 4294967296)"), "more elements"),
        (GOOD_HEADER.replace("(2, 3)", "(0, 9223372036854775807, 2)"), "more elements"),
        (GOOD_HEADER.replace("(2, 3)", "(1, 1, 1, 1, 1, 1, 1, 2, 3)"), "more than the 8 dimensions"),
        (GOOD_HEADER.replace("<f4", ">f4"), "big-endian"),
        (GOOD_HEADER.replace("<f4", "|O"), r"dtype '\|O' is not supported"),
        (GOOD_HEADER.replace("<f4", "<c8"), "dtype '<c8'"),
        (GOOD_HEADER.replace("<f4", "\0f4"), "dtype"),
        (GOOD_HEADER.replace("'<f4'", "[('x', '<f4')]"), "records"),
        (GOOD_HEADER.replace("'<f4'", "3"), "no dtype"),
        (GOOD_HEADER.replace("'<f4'", "'<f4"), "dtype '<f4, ' is not supported"),
        (GOOD_HEADER[:13], "no dtype"),
        (GOOD_HEADER.replace("False", "0"), "fortran_order"),
        (GOOD_HEADER.replace("'shape'", "'descr'"), "not a dict of"),
        (GOOD_HEADER.replace("'shape'", "'other'"), "not a dict of"),
        (GOOD_HEADER.replace("'shape': (2, 3), ", ""), "not a dict of"),
        (GOOD_HEADER.replace(", }", " x}"), "not a dict of"),
        (GOOD_HEADER + "x", "not a dict of"),
        (GOOD_HEADER[:-1], "not a dict of"),
        ("__import__('os').abort()", "not a dict"),
        ("", "not a dict"),
    ],
)
def test_npy_headers(header, says):
    member = b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header.encode() + np.arange(6, dtype="f4").tobytes()
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        file.writestr("w.npy", member)
    if says is None:
        assert bertc.load_state_dict(stream.getvalue())["w"].size == 6
        return
    with pytest.raises(bertc.Error, match=says) as caught:
        bertc.load_state_dict(stream.getvalue())
    assert "member w.npy" in str(caught.value)


@pytest.mark.parametrize(
    ("member", "says"),
    [
        (b"\x93NUMPY", "no .npy data"),
        (b"\x93NUMPX\1\0\0\0", "no .npy data"),
        (b"\x93NUMPY\x04\0\0\0\0\0", "format 4"),
        (b"\x93NUMPY\2\0\0\0", "cut off"),
        (b"\x93NUMPY\2\0\xff\xff\xff\xff", "4294967295 bytes"),
        (b"\x93NUMPY\1\0\xff\0{", "cut off"),
    ],
)
def test_broken_npy_members(member, says):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        file.writestr("w.npy", member)
    with pytest.raises(bertc.Error, match=says):
        bertc.load_state_dict(stream.getvalue())


def patched(old: bytes, new: bytes, name="legacy.bin") -> bytes:
    data = read(name)
    assert old in data
    return data.replace(old, new, 1)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (lambda: patched(b"M\xe9\x03", b"M\xe8\x03"), "version"),
        (lambda: patched(b"little_endianq\x02\x88", b"little_endianq\x02\x89"), "big-endian"),
        (lambda: patched(b"torch\nFloatStorage", b"torch\nDoubleStorag"), "refers to"),
        (lambda: patched(b"collections\nOrderedDict", b"collections\nOrderedDick"), "refers to"),
        (lambda: patched(b"torch._utils\n_rebuild", b"builtins\nexec\x00xxxx_"), "."),
        (lambda: patched(struct.pack("<q", 24 * 8), struct.pack("<q", 24 * 8 - 1)), "191 elements where"),
        (lambda: patched(struct.pack("<q", 24 * 8), struct.pack("<q", -1)), "elements where"),
        (lambda: read("legacy.bin")[:-1], "the file ends inside storage"),
        (lambda: read("legacy.bin")[:400], "truncated"),
    ],
)
def test_hostile_legacy_streams(data, says):
    with pytest.raises(bertc.Error, match=says):
        bertc.load_state_dict(data())


# ---- pickles, opcode by opcode ----


def op(value) -> bytes:
    """The opcodes that push a value."""
    return pickle.dumps(value, 2)[2:-1]


def call(name: str, *arguments: bytes) -> bytes:
    module, _, function = name.rpartition(".")
    return f"c{module}\n{function}\n(".encode() + b"".join(arguments) + b"tR"


def storage(kind="FloatStorage", elements=4, *more) -> bytes:
    return (
        b"(" + op("storage") + f"ctorch\n{kind}\n".encode() + b"".join(map(op, ("0", "cpu", elements, *more))) + b"tQ"
    )


def tensor(source: bytes, size=(4,), stride=(1,)) -> bytes:
    rest = [op(value) for value in (0, size, stride, False)]
    return call("torch._utils._rebuild_tensor_v2", source, *rest, call("collections.OrderedDict"))


def saved(opcodes: bytes) -> bytes:
    """A file of torch.save."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        file.writestr("archive/data.pkl", b"\x80\x02" + opcodes + b".")
        file.writestr("archive/data/0", np.arange(4, dtype=np.float32).tobytes())
    return stream.getvalue()


def entry(opcodes: bytes) -> bytes:
    return saved(b"}" + op("w") + opcodes + b"s")


def quantized(scheme: str, axis: int) -> bytes:
    parts = [f"ctorch\n{scheme}\n".encode(), tensor(storage()), tensor(storage()), op(axis)]
    rest = [op(value) for value in (0, (4,), (1,))]
    parameters = b"(" + b"".join(parts) + b"t"
    return call("torch._utils._rebuild_qtensor", storage("QInt8Storage"), *rest, parameters, op(False), op(None))


def test_a_pickle_by_hand():
    assert same(bertc.load_state_dict(entry(tensor(storage()))), {"w": np.arange(4, dtype=np.float32)})


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (
            lambda: saved(op([1, 2])),
            r"it holds no dict of tensors by name; save one with torch\.save\(model\.state_dict",
        ),
        (
            lambda: saved(op({"epoch": 3, 7: "x"})),
            r"it holds a dict without tensors; its keys are epoch, \(not a text\)",
        ),
        (lambda: entry(tensor(storage("ComplexFloatStorage"))), "ComplexFloatStorage"),
        (lambda: entry(tensor(storage("OrderedDict"))), "OrderedDict"),
        (lambda: entry(tensor(storage(elements=-1))), 'storage "0" claims -1 elements'),
        (lambda: entry(tensor(storage("FloatStorage", 4, ("1", 0, 2)))), 'storage "0" is a view of another one'),
        (lambda: entry(tensor(storage(), (1,) * 9, (1,) * 9)), "a tensor of 9 dimensions; at most 8"),
        (lambda: entry(tensor(storage(), (5,))), "beyond"),
        (lambda: entry(tensor(storage(), (-1,))), "non-negative|negative"),
        (lambda: entry(call("torch._utils._rebuild_tensor_v2", op(1))), "with 1 arguments instead of"),
        (lambda: entry(call("os.system", op("true"))), 'refers to "os system"|os.system'),
        (lambda: entry(op("text") + b"(tR"), "no function|call"),
        (lambda: entry(quantized("per_channel_affine_float_qparams", 0)), "per_channel_affine_float_qparams"),
    ],
)
def test_hostile_pickles(data, says):
    with pytest.raises(bertc.Error, match=says):
        bertc.load_state_dict(data())


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"\0" * 7, "bertc knows|8 bytes of length"),
        (struct.pack("<Q", 2**40) + b"{" + bytes(64), "not a model file that bertc knows"),
        (
            struct.pack("<Q", 100) + b"{" + bytes(20),
            "the safetensors header has 100 bytes, but the file ends after 29: truncated",
        ),
        (struct.pack("<Q", 2) + b"{]", "JSON"),
    ],
    ids=["short", "huge", "truncated", "broken"],
)
def test_safetensors_headers(data, says):
    with pytest.raises(bertc.Error, match=says):
        bertc.load_state_dict(data)


def test_legacy_streams_may_go_on():
    assert len(bertc.load_state_dict(read("legacy.bin") + b"more")) == len(WEIGHTS)


def test_zip_members_must_be_there():
    def drop(name, content):
        return content[:8] if name.endswith("data/0") else content

    with pytest.raises(bertc.FormatError, match="has 8 bytes"):
        bertc.load_state_dict(rezip(read("zip.bin"), zipfile.ZIP_STORED, drop))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html>", "HTML"),
        (b"version https://git-lfs.github.com/spec/v1\n", "LFS"),
        (b"\x93NUMPY\1\0v\0", "NumPy array"),
        (b"\x89HDF\r\n\x1a\n" + bytes(64), "HDF5"),
        (b"\x80\x04N.", "pickle"),
        (rezip(npz({}), zipfile.ZIP_STORED), "no file of weights"),
        (npz({"t": np.array(["text"])}), r"member t\.npy: dtype '<U4'"),
        (npz({"t": np.array([None])}), r"member t\.npy: dtype '\|O'"),
    ],
)
def test_other_files(data, says):
    with pytest.raises(bertc.Error, match=says):
        bertc.load_state_dict(data)


def test_load_says_what_weights_need(tmp_path):
    for format in ("zip.bin", "legacy.bin", "safetensors", "npz"):
        with pytest.raises(bertc.UnsupportedError, match="from_state_dict"):
            bertc.load(FORMATS[format]())


# ---- models of weights ----


def test_surplus_weights_are_a_warning(tmp_path):
    surplus = {**WEIGHTS, "encoder.layer.1.extra": np.zeros(3, np.float32)}
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    (tmp_path / "model.safetensors").write_bytes(safetensors(surplus))
    for make in (
        lambda: bertc.from_state_dict(CONFIG, surplus),
        lambda: bertc.from_state_dict(CONFIG, safetensors(surplus)),
        lambda: bertc.load(tmp_path),
    ):
        with pytest.warns(UserWarning, match=r"does not have: encoder\.layer\.1\.extra") as caught:
            model = make()
        assert caught[0].filename == __file__ and "encoder.layer.1.extra" in model.warning


def test_directories_of_rust_bert(expected, tmp_path):
    """config.json, vocab.txt, rust_model.ot."""
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    (tmp_path / "vocab.txt").write_text("[PAD]\n")
    (tmp_path / "rust_model.ot").write_bytes(read("bars.ot"))
    assert same(dict(bertc.load(tmp_path)(IDS, MASK)), dict(expected(IDS, MASK)))


def test_arrays_may_change_while_others_load(expected):
    """Each thread has arrays of its own, and writes into them as soon as it has a model of them."""
    results = []

    def work():
        for _ in range(5):
            arrays = {name: array.copy() for name, array in WEIGHTS.items()}
            model = bertc.from_state_dict(CONFIG, arrays, threads=1)
            for array in arrays.values():
                array[...] = np.nan
            results.append(model(IDS, MASK))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 40 and all(same(dict(result), dict(expected(IDS, MASK))) for result in results)


@pytest.fixture(scope="module")
def expected():
    return bertc.from_state_dict(CONFIG, WEIGHTS)


def text(model) -> list[str]:
    """The graph of a call without its title, with the names of WEIGHTS."""
    model(IDS, MASK)
    return new_name(str(model.graph).partition("\n")[2].replace("bert.", "")).split()


@by_format
def test_same_model_by_every_road(format, expected, tmp_path):
    data = FORMATS[format]()
    path = tmp_path / "weights"
    path.write_bytes(data)
    for state in (WEIGHTS, data, memoryview(data), io.BytesIO(data), path, bertc.load_state_dict(data)):
        model = bertc.from_state_dict(CONFIG, state)
        assert text(model) == text(expected)
        assert same(dict(model(IDS, MASK)), dict(expected(IDS, MASK)))
        assert len(model.state_dict()) == len(WEIGHTS)


def test_configurations(expected, tmp_path):
    class Config:
        def to_dict(self):
            return CONFIG

    path = tmp_path / "other.json"
    path.write_text(json.dumps(CONFIG))
    as_text = json.dumps(CONFIG)
    for config in (Config(), path, str(path), as_text, " \n" + as_text, as_text.encode(), bytearray(as_text.encode())):
        assert text(bertc.from_state_dict(config, WEIGHTS)) == text(expected)
    with pytest.raises(TypeError, match="config must be"):
        bertc.from_state_dict(None, WEIGHTS)
    with pytest.raises(FileNotFoundError):
        bertc.from_state_dict("nowhere.json", WEIGHTS)
    with pytest.raises(bertc.FormatError, match=r"config\.json: JSON"):
        bertc.from_state_dict(b"{", WEIGHTS)
    with pytest.raises(bertc.UnsupportedError, match="model_type 'gpt_x'"):
        bertc.from_state_dict({**CONFIG, "model_type": "gpt_x"}, WEIGHTS)


def test_layouts_of_arrays(expected):
    changes = [
        np.asfortranarray,
        lambda a: np.repeat(a, 2, 0)[::2],
        lambda a: np.ascontiguousarray(a[::-1])[::-1],
        lambda a: a.astype(a.dtype.newbyteorder(">")),
        lambda a: np.frombuffer(b"x" + a.tobytes(), np.uint8)[1:].view(a.dtype).reshape(a.shape),  # not aligned
        lambda a: np.rec.fromarrays([np.zeros(a.shape, np.int8), a], names="x,y")["y"],
    ]
    for change in changes:
        for copy in (True, False):
            model = bertc.from_state_dict(CONFIG, {n: change(a) for n, a in WEIGHTS.items()}, copy=copy)
            assert same(dict(model(IDS, MASK)), dict(expected(IDS, MASK)))


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_dtypes_of_arrays(dtype):
    half = {name: array.astype(np.float16) for name, array in WEIGHTS.items()}
    model = bertc.from_state_dict(CONFIG, {name: array.astype(dtype) for name, array in half.items()})
    reference = bertc.from_state_dict(CONFIG, {name: array.astype(np.float32) for name, array in half.items()})
    np.testing.assert_allclose(model(IDS, MASK)["pooler_output"], reference(IDS, MASK)["pooler_output"], atol=1e-3)


class Tensor:
    """As much of a torch tensor as bertc looks at."""

    def __init__(self, array, dtype="torch.float32"):
        self.array, self.dtype = array, dtype

    def detach(self):
        return self

    cpu = detach

    def numpy(self):
        return self.array


def test_tensors(expected):
    model = bertc.from_state_dict(CONFIG, {name: Tensor(array) for name, array in WEIGHTS.items()})
    assert same(dict(model(IDS, MASK)), dict(expected(IDS, MASK)))


def test_temporary_arrays_are_not_taken_for_tied_ones(expected):
    """Memory of one converted array may become that of the next."""
    swapped = {name: array.astype(array.dtype.newbyteorder(">")) for name, array in WEIGHTS.items()}
    model = bertc.from_state_dict(CONFIG, swapped)
    assert same(model.state_dict(), WEIGHTS)


def test_arrays_may_change_afterwards(expected):
    arrays = {name: array.copy() for name, array in WEIGHTS.items()}
    model = bertc.from_state_dict(CONFIG, arrays)
    for array in arrays.values():
        array[...] = 0
    assert same(dict(model(IDS, MASK)), dict(expected(IDS, MASK)))
    assert same(model.state_dict(), WEIGHTS)


def test_memory_may_change_afterwards(expected):
    data = bytearray(safetensors(WEIGHTS))
    models = [bertc.from_state_dict(CONFIG, data), bertc.from_state_dict(CONFIG, memoryview(data).toreadonly())]
    data[-9000:] = bytes(9000)
    for model in models:
        assert same(dict(model(IDS, MASK)), dict(expected(IDS, MASK)))


def test_without_copies():
    arrays = {name: array.copy() for name, array in WEIGHTS.items()}
    state = bertc.from_state_dict(CONFIG, arrays, copy=False).state_dict()
    assert all(np.shares_memory(state[name], array) for name, array in arrays.items())
    data = bytearray(safetensors(WEIGHTS))
    state = bertc.from_state_dict(CONFIG, data, copy=False).state_dict()
    assert all(np.shares_memory(array, np.frombuffer(data, np.uint8)) for array in state.values())


def test_what_cannot_change_is_not_copied():
    loaded = bertc.load_state_dict(safetensors(WEIGHTS))
    state = bertc.from_state_dict(CONFIG, loaded).state_dict()
    assert all(np.shares_memory(state[name], array) for name, array in loaded.items())


def test_tied_arrays_stay_tied():
    table = WEIGHTS["embeddings.word_embeddings.weight"]
    state = bertc.from_state_dict(CONFIG, {**WEIGHTS, "cls.predictions.decoder.weight": table}).state_dict()
    words, decoder = state["embeddings.word_embeddings.weight"], state["cls.predictions.decoder.weight"]
    assert np.shares_memory(words, decoder) and not np.shares_memory(words, table)


def test_models_keep_their_weights(expected):
    model = bertc.from_state_dict(CONFIG, {name: array.copy() for name, array in WEIGHTS.items()}, copy=False)
    assert same(dict(model(IDS, MASK)), dict(expected(IDS, MASK)))
    weights = model.state_dict()
    del model
    assert same(weights, WEIGHTS)


def test_the_disk_is_not_touched(expected):
    """No file can be opened while the model is made and run."""
    data = FORMATS["zip.bin"]()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
    try:
        with pytest.raises(OSError):
            open("/dev/null")
        results = [bertc.from_state_dict(CONFIG, state)(IDS, MASK) for state in (data, WEIGHTS)]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert all(same(dict(result), dict(expected(IDS, MASK))) for result in results)


def test_many_threads_at_once(expected):
    data, results = FORMATS["bars.ot"](), []

    def work():
        for state in (WEIGHTS, data) * 4:
            results.append(bertc.from_state_dict(CONFIG, state, threads=1)(IDS, MASK))

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 48 and all(same(dict(result), dict(expected(IDS, MASK))) for result in results)


def test_options():
    assert bertc.from_state_dict(CONFIG, WEIGHTS, threads=2, padding="skip")(IDS, MASK)
    with pytest.raises(ValueError, match="padding"):
        bertc.from_state_dict(CONFIG, WEIGHTS, padding="x")
    with pytest.raises(ValueError, match="threads"):
        bertc.from_state_dict(CONFIG, WEIGHTS, threads=0)


def test_weights_that_do_not_fit():
    def refusal(changes, error=bertc.FormatError):
        state = {name: array for name, array in {**WEIGHTS, **changes}.items() if array is not None}
        with pytest.raises(error) as caught:
            bertc.from_state_dict(CONFIG, state)
        return str(caught.value)

    first, second = "encoder.layer.0.output.dense.weight", "embeddings.LayerNorm.bias"
    message = refusal({first: None, second: None})
    assert first in message and second in message and "2 in all" in message
    assert f"{first} has shape [2, 2], config.json says [8, 12]" in refusal({first: np.zeros((2, 2), np.float32)})
    assert f"{first} is int64" in refusal({first: np.zeros((8, 12), np.int64)}, bertc.UnsupportedError)
    assert f"{first} is uint16" in refusal({first: np.zeros((8, 12), np.uint16)}, bertc.UnsupportedError)
    assert repr(first) in refusal({first: np.zeros((8, 12), np.complex64)}, TypeError)
    assert repr(first) in refusal({first: [[1.0]]}, TypeError)
    assert repr(first) in refusal({first: np.zeros((1,) * 9)}, bertc.InputError)
    assert "int: 3" in refusal({3: np.zeros(1)}, TypeError)
    with pytest.raises(TypeError, match=r"from_state_dict\(\) takes"):
        bertc.from_state_dict(CONFIG, 3)
