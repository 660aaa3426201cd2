"""What bertc.load and a model offer in Python."""

import copy
import gc
import io
import mmap
import os
import pickle
import shutil

import numpy as np
import pytest
from conftest import DATA, same

import bertc


class DuckTensor:
    """Behaves like a torch tensor that has a gradient and lives on another device."""

    def __init__(self, array, ready=False):
        self.array, self.ready = np.asarray(array), ready

    def detach(self):
        return DuckTensor(self.array, self.ready)

    def cpu(self):
        return DuckTensor(self.array, True)

    def __array__(self, dtype=None, copy=None):
        if not self.ready:
            raise TypeError("can't convert this tensor to numpy")
        return self.array if dtype is None else self.array.astype(dtype)


class Dlpack:
    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


# ---- where a model comes from ----


def sources(path):
    data = path.read_bytes()
    yield "str", str(path)
    yield "bytes", data
    yield "bytearray", bytearray(data)
    yield "memoryview", memoryview(data)
    yield "numpy", np.frombuffer(data, np.uint8)
    yield "unaligned", memoryview(b"x" + data)[1:]
    yield "BytesIO", io.BytesIO(data)
    with open(path, "rb") as file:
        yield "file", file
    with open(path, "rb") as file:
        yield "mmap", mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    with open(path, "rb") as file:
        yield "writable mmap", mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)


def test_sources_agree(bert_path, bert, inputs):
    expected = bert(*inputs)
    for name, source in sources(bert_path):
        assert same(bertc.load(source)(*inputs), expected), name


def test_writable_source_may_change_afterwards(bert_path, bert, inputs):
    source = bytearray(bert_path.read_bytes())
    model = bertc.load(source)
    source[:] = bytes(len(source))
    assert same(model(*inputs), bert(*inputs))


def test_source_is_kept_alive(bert_path, bert, inputs):
    model = bertc.load(bert_path.read_bytes())
    weights = model.state_dict()
    expected = {name: array.copy() for name, array in weights.items()}
    assert same(model(*inputs), bert(*inputs))
    del model
    gc.collect()
    assert all(np.array_equal(weights[name], expected[name]) for name in expected)


def test_file_object_is_read_from_its_position(bert_path, bert, inputs):
    stream = io.BytesIO(b"header" + bert_path.read_bytes())
    stream.seek(6)
    assert same(bertc.load(stream)(*inputs), bert(*inputs))


def test_name_does_not_matter(bert_path, bert, inputs, tmp_path):
    for name in ("model", "model.onnx", "mödel \n.zip", os.fsdecode(b"\xff\xfe.pt")):
        shutil.copyfile(bert_path, tmp_path / name)
        assert same(bertc.load(tmp_path / name)(*inputs), bert(*inputs))


def test_other_sources_are_type_errors(bert_path):
    for source in (None, 3, ["a"], open(bert_path, encoding="latin-1")):
        with pytest.raises(TypeError):
            bertc.load(source)


# ---- arguments ----


def test_array_likes_agree(bert, inputs):
    expected = bert(*inputs)
    for convert in (
        np.ndarray.tolist,
        lambda a: tuple(map(tuple, a.tolist())),
        lambda a: a.astype(np.int32),
        lambda a: a.astype(np.longlong),  # where int64 is "long": the same, by another number
        lambda a: a.astype(np.uint8),
        lambda a: a.astype(">i8"),
        lambda a: a.astype(np.uint64),
        np.asfortranarray,
        lambda a: np.repeat(a, 2, axis=1)[:, ::2],
        lambda a: list(a),
        memoryview,
        DuckTensor,
        Dlpack,
    ):
        assert same(bert(*map(convert, inputs)), expected)


def test_mask_may_be_bool_or_float(bert, inputs):
    ids, mask, types = inputs
    expected = bert(*inputs)
    for dtype in (bool, np.float32, np.float64, np.float16):
        for a, b in zip(bert(ids, mask.astype(dtype), types), expected):
            np.testing.assert_allclose(a, b, atol=1e-5)


def test_keywords(bert, inputs):
    ids, mask, types = inputs
    expected = bert(ids, mask, types)
    assert same(bert(token_type_ids=types, input_ids=ids, attention_mask=mask), expected)
    assert same(bert(ids, token_type_ids=types, attention_mask=mask), expected)
    assert same(bert.forward(ids, mask, types), expected)


def test_inputs_are_not_modified(bert, inputs):
    before = [array.copy() for array in inputs]
    for array in inputs:
        array.flags.writeable = False
    bert(*inputs)
    assert all(np.array_equal(a, b) for a, b in zip(inputs, before))


def test_any_shape(bert):
    for batch in (1, 2, 5):
        for length in (1, 2, 9, 33):
            ids = np.full((batch, length), 7)
            hidden, pooled = bert(ids, np.ones_like(ids), np.zeros_like(ids))
            assert hidden.shape[:2] == (batch, length) and pooled.shape[0] == batch


# ---- results ----


def test_outputs_belong_to_the_caller(bert, inputs):
    first = bert(*inputs)
    kept = [array.copy() for array in first]
    for array in first:
        assert array.flags.c_contiguous and array.flags.owndata and array.flags.writeable
        assert array.dtype == np.float32
    second = bert(*inputs)
    for array in second:
        array[:] = 0
    assert same(first, kept)
    assert same(bert(*inputs), kept)


def test_structures(bert, inputs):
    ids, mask, _ = inputs
    assert isinstance(bert(*inputs), tuple)
    result = bertc.load(DATA / "traced" / "hf523-w_dict.pt")(ids, mask)
    assert list(result) == ["last_hidden_state", "pooler_output"]


# ---- weights and descriptions ----


def test_state_dict(bert):
    state = bert.state_dict()
    name = "embeddings.word_embeddings.weight"
    name = next(key for key in state if key.endswith(name))
    assert state[name].dtype == np.float32 and state[name].ndim == 2
    for array in state.values():
        assert not array.flags.writeable and not array.flags.owndata
        with pytest.raises(ValueError):
            array.flags.writeable = True
    assert np.shares_memory(state[name], bert.state_dict()[name])
    parameters = dict(bert.named_parameters())
    assert set(parameters) < set(state)
    assert sum(1 for _ in bert.parameters()) == len(parameters)


def test_bfloat16_weights_read_as_float32():
    state = bertc.load(DATA / "traced" / "hf457-w_bf16_eager.pt").state_dict()
    weights = [array for array in state.values() if array.dtype.kind == "f"]
    assert weights and all(array.dtype == np.float32 and np.isfinite(array).all() for array in weights)
    assert not any(array.flags.writeable for array in state.values())


def test_descriptions(bert, bert_path):
    assert [i.name for i in bert.inputs] == ["input_ids", "attention_mask", "token_type_ids"]
    assert all(i.required for i in bert.inputs)
    assert "float32[" in bert.outputs
    assert "forward(input_ids, attention_mask, token_type_ids)" in repr(bert)
    assert bert_path.name in repr(bert) and "parameters" in repr(bert)
    assert isinstance(bert.graph, str) and "\n" in bert.graph and repr(bert.graph) == str(bert.graph)


def test_like_a_script_module(bert):
    assert bert.eval() is bert and bert.to("cpu") is bert and bert.cpu() is bert and bert.train(False) is bert
    assert bert.training is False
    for refused in (bert.train, lambda: bert.to("cuda"), lambda: bert.to("cuda:0")):
        with pytest.raises(bertc.UnsupportedError):
            refused()


def test_copies(bert):
    assert copy.copy(bert) is bert and copy.deepcopy(bert) is bert
    with pytest.raises(bertc.UnsupportedError, match="path or bytes"):
        pickle.dumps(bert)


def test_threads(bert_path, bert, inputs):
    before = bertc.get_num_threads()
    assert before >= 1
    bertc.set_num_threads(3)
    assert bertc.get_num_threads() == 3
    bertc.set_num_threads(None)
    assert bertc.get_num_threads() == before
    assert same(bertc.load(bert_path, threads=1)(*inputs), bert(*inputs))
    assert same(bertc.load(bert_path, threads=4)(*inputs), bert(*inputs))
    for wrong in (0, -1):
        with pytest.raises(ValueError):
            bertc.load(bert_path, threads=wrong)
    with pytest.raises(TypeError):
        bertc.load(bert_path, threads="2")


def test_errors_are_classes_that_people_catch():
    assert issubclass(bertc.FormatError, bertc.Error) and issubclass(bertc.FormatError, ValueError)
    assert issubclass(bertc.InputError, bertc.Error) and issubclass(bertc.InputError, ValueError)
    assert issubclass(bertc.UnsupportedError, bertc.Error)
    assert bertc.Error.__module__ == "bertc"
