"""ONNX files: the same model from several exporters and tools, what is refused and how it is said, damaged files."""

import io
import re
import shutil

import numpy as np
import protobuf
import pytest
from conftest import DATA, same
from onnx_file import FLOAT, INT64, STRING, function, graph, model, node, simple, tensor, value
from protobuf import message

import bertc

ONNX = DATA / "onnx"
FILES = sorted(ONNX.glob("*.onnx"))
TABLE = (DATA.parents[1] / "csrc" / "load" / "onnx.inc").read_text()
OPERATORS = [
    ("com.microsoft" if domain == "MS" else "", name) for domain, name in re.findall(r'(MS|""), "(\w+)"', TABLE)
]
X = np.arange(6, dtype=np.float32).reshape(2, 3) - 2
TRUE = tensor("true", np.array(True))


@pytest.fixture
def given(inputs):
    return inputs


# ---- whole models; test_conform.py compares them with ONNX Runtime ----


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_file(path, given):
    model = bertc.load(path)
    assert "ONNX model" in repr(model)
    assert [entry.name for entry in model.inputs] == ["input_ids", "attention_mask", "token_type_ids"]
    hidden, pooled = result = model(*given)
    assert hidden.shape == (3, 11, 16) and pooled.shape == (3, 16)
    names = dict(zip(("token_type_ids", "attention_mask", "input_ids"), reversed(given)))
    assert same(result, model(**names))
    with pytest.raises(ValueError, match="read-only"):
        next(iter(model.state_dict().values()))[...] = 0


def lines(model: bertc.Model) -> list[str]:
    """The text of a graph, with all weights called alike: exporters transpose and rename them."""
    names = sorted(model.state_dict(), key=len, reverse=True)
    text = re.sub(r"onnx::\w+", "weight", str(model.graph).partition("\n")[2])  # what an exporter's Constant made
    for name in names:
        text = text.replace(name, "weight")
    return [" ".join(line.split()) for line in text.splitlines()]


# Which trace a file is the same computation as, and whether its operators are so exactly: the optimizer of ONNX Runtime
# hides keys behind -10000, and writes three projections as one.
TRACES = {
    "bert-sdpa": ("sdpa", True),
    "bert-external": ("sdpa", True),
    "bert-opset12": ("eager", True),
    "bert-typed": ("eager", True),
    "bert-dynamo": ("eager", True),
    "bert-fused": ("eager", False),
    "bert-multihead": ("eager", False),
}


@pytest.mark.parametrize("name", TRACES)
def test_same_model_as_its_trace(name, given):
    trace, exact = TRACES[name]
    traced, model = bertc.load(ONNX / f"bert-{trace}.trace"), bertc.load(ONNX / f"{name}.onnx")
    if exact:
        assert lines(traced) == lines(model)
    for length in (11, 5, 1):
        arguments = [x[:, :length] for x in given]
        if exact:
            assert same(traced(*arguments), model(*arguments))
        else:
            np.testing.assert_allclose(traced(*arguments)[1], model(*arguments)[1], atol=1e-5)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_batch_does_not_matter(path, given):
    if path.stem in ("bert-static", "bert-int8"):  # whose quantisation looks at the whole batch
        return
    model = bertc.load(path)
    whole = model(*given)
    for i in range(3):
        assert same(model(*(x[i : i + 1] for x in given)), [part[i : i + 1] for part in whole])


def test_half(given):
    weights = bertc.load(ONNX / "bert-half.onnx").state_dict()
    assert {str(array.dtype) for name, array in weights.items() if "LayerNorm" in name} == {"float16"}
    assert {str(array.dtype) for array in bertc.load(ONNX / "bert-half.onnx")(*given)} <= {"float16", "float32"}


def test_int8():
    model = bertc.load(ONNX / "bert-int8.onnx")
    assert "int8" in {str(array.dtype) for array in model.state_dict().values()}
    assert "matmul_integer" in str(model.graph)


def test_typed_initialisers_are_no_arguments():
    raw, typed = (bertc.load(ONNX / f"{name}.onnx") for name in ("bert-opset12", "bert-typed"))
    assert len(typed.inputs) == 3
    assert same(raw.state_dict(), typed.state_dict())


def test_static(given):
    model = bertc.load(ONNX / "bert-static.onnx")
    assert model.inputs[0].type == "int64[3, 11]"
    model(*given)
    with pytest.raises(bertc.InputError, match=r"'input_ids': dimension 0 is 2, .* fixed size 3; .* dynamic axes"):
        model(*(x[:2] for x in given))
    with pytest.raises(bertc.InputError, match=r"'attention_mask': dimension 1 is 10, .* fixed size 11"):
        model(given[0], given[1][:, :10], given[2])


def test_sources(given, tmp_path):
    path = ONNX / "bert-sdpa.onnx"
    expected = bertc.load(path)(*given)
    content = path.read_bytes()
    sources = [str(path), content, bytearray(content), memoryview(content), io.BytesIO(content), path.open("rb")]
    for source in [*sources, memoryview(b"x" + content)[1:]]:  # unaligned: its weights are copied
        assert same(expected, bertc.load(source)(*given))
    shutil.copy(path, tmp_path / "model.bin")  # the content decides
    assert same(expected, bertc.load(tmp_path / "model.bin")(*given))


def test_input_dtypes(given):
    model = bertc.load(ONNX / "bert-sdpa.onnx")
    expected = model(*given)
    assert same(expected, model(*(x.astype(np.int32) for x in given)))
    assert same(expected, model(given[0], given[1].astype(bool), given[2].astype(np.uint8)))
    assert same(expected, model(*(x.tolist() for x in given)))
    with pytest.raises(bertc.InputError, match="'input_ids' is float32, expected int64"):
        model(given[0].astype(np.float32), *given[1:])
    with pytest.raises(bertc.InputError, match="'input_ids' has 1 dimensions, expected 2"):
        model(given[0][0], *given[1:])
    with pytest.raises(bertc.InputError, match="missing 'token_type_ids'"):
        model(*given[:2])
    relu = bertc.load(simple(node("Relu", "x", "y")))
    assert relu(X.astype(np.int64)).dtype == relu(X.astype(np.float64)).dtype == np.float32


# ---- graphs made here ----


def run(*nodes: bytes, **others) -> np.ndarray:
    return bertc.load(simple(*nodes, **others))(X)


def test_one_output_is_itself_and_several_are_a_tuple():
    assert same(run(node("Abs", "x", "y")), np.abs(X))
    assert same(run(node("Abs", "x", "y"), node("Neg", "y", "z"), outputs="z y"), (-np.abs(X), np.abs(X)))
    assert same(run(node("Abs", "x", "y"), outputs="y y"), (np.abs(X), np.abs(X)))


def test_bytes_of_either_sign():
    for code, dtype in ((2, np.uint8), (3, np.int8)):
        quantize = node("QuantizeLinear", "x half", "y", output_dtype=code)
        expected = np.clip(X * 2, np.iinfo(dtype).min, 255).astype(dtype)
        assert same(run(quantize, tensors=[tensor("half", np.float32(0.5))], opsets={"": 21}), expected)
    with pytest.raises(bertc.UnsupportedError, match="QuantizeLinear: to int16 is not implemented"):
        run(node("QuantizeLinear", "x x", "y", output_dtype=5), opsets={"": 21})


def test_functions():
    body = [node("Mul", "a a", "b"), node("Constant", "", "k", value_float=2.0), node("Mul", "b k", "c")]
    square = function("Square", "a", "c", body)
    twice = function(
        "Twice", "a", "c", [node("Square", "a", "b", domain="own"), node("Square", "b", "c", domain="own")]
    )
    assert same(run(node("Twice", "x", "y", domain="own"), functions=[square, twice]), 8 * X**4)


def branches(condition: str) -> bytes:
    other = graph([node("Neg", "x", "e")], [], [value("e")])
    return node(
        "If", condition, "y", "n", then_branch=graph([node("Abs", "x", "t")], [], [value("t")]), else_branch=other
    )


def test_conditions():
    assert same(run(branches("true"), tensors=[TRUE]), np.abs(X))
    shape = [node("Shape", "x", "s"), node("Gather", "s one", "n"), node("Greater", "n three", "c"), branches("c")]
    model = bertc.load(simple(*shape, tensors=[tensor("one", np.array(1)), tensor("three", np.array(3))]))
    wide = np.ones((2, 4), np.float32)
    assert same(model(X), -X) and same(model(wide), wide)


def nested(depth: int) -> bytes:
    body = graph([node("Relu", "x", "y")], [], [value("y")])
    for _ in range(depth):
        body = graph(
            [node("If", "true", "y", then_branch=body, else_branch=body if depth < 5 else graph([], [], []))],
            [],
            [value("y")],
        )
    return simple(node("If", "true", "y", then_branch=body), tensors=[TRUE])


def test_nesting():
    assert same(bertc.load(nested(4))(X), np.maximum(X, 0))
    with pytest.raises(bertc.UnsupportedError, match="graphs nest more than 16 levels"):
        bertc.load(nested(40))


@pytest.mark.parametrize("opset", [7, 12, 28])
def test_opsets(opset):
    assert same(run(node("Relu", "x", "y"), opsets={"": opset}), np.maximum(X, 0))
    assert same(run(node("Relu", "x", "y", domain="ai.onnx"), opsets={"ai.onnx": opset}), np.maximum(X, 0))


RELU = node("Relu", "x", "y")
UNSUPPORTED = {
    "old opset": (simple(RELU, opsets={"": 6}), "it uses opset 6 of ai.onnx, but bertc reads 7 to 28"),
    "new opset": (simple(RELU, opsets={"": 2**40}), "it uses opset 1099511627776 of ai.onnx"),
    "other opset": (simple(RELU, opsets={"": 17, "com.microsoft": 2}), "opset 2 of com.microsoft"),
    "operator": (simple(node("Frob", "x", "y", "a/Frob")), r"node 'a/Frob': operator Frob \(opset 17\) is not impl"),
    "domain": (simple(node("Relu", "x", "y", "n", "acme.ops")), "node 'n': operator acme.ops::Relu .* not implemented"),
    "unnamed node": (simple(node("Frob", "x", "y")), "node 'y': operator Frob"),
    "loop": (simple(node("Loop", "x x", "y", "n")), "node 'n': Loop: loops are not supported"),
    "random": (simple(node("Bernoulli", "x", "y", "n")), "node 'n': Bernoulli: .* random"),
    "data": (simple(node("NonZero", "x", "y", "n")), "node 'n': NonZero: .* depends on tensor data"),
    "condition": (
        simple(node("ReduceMax", "x", "m", keepdims=0), node("Cast", "m", "c", to=9), branches("c")),
        "node 'n': If: its condition depends on tensor data",
    ),
    "sequence": (simple(node("SequenceConstruct", "x", "y", "n")), "node 'n': operator SequenceConstruct"),
    "sequence input": (
        simple(RELU, inputs=[message((1, "x"), (2, message((4, b""))))]),
        "argument 'x' is of type sequence",
    ),
    "string input": (simple(RELU, inputs=[value("x", STRING)]), "argument 'x' is of type string"),
    "string tensor": (
        simple(node("Add", "x w", "y"), tensors=[tensor("w", X, data_type=STRING)]),
        "tensor 'w': its elements are of type string",
    ),
    "type": (simple(node("Add", "x w", "y"), tensors=[tensor("w", X, data_type=99)]), r"of type unknown \(99\)"),
    "sparse": (
        model(message((1, RELU), (12, value("y")), (15, b""))),
        "sparse initialisers are not supported",
    ),
    "tensor rank": (simple(RELU, tensors=[tensor("w", X, (1,) * 9)]), "tensor 'w': it has 9 dimensions, more than 8"),
    "input rank": (simple(RELU, inputs=[value("x", INT64, (1,) * 9)]), "value 'x': a tensor of more than 8 dimensions"),
    "recursion": (
        simple(
            node("F", "x", "y", domain="own"), functions=[function("F", "a", "b", [node("F", "a", "b", domain="own")])]
        ),
        "node 'b': functions and bodies nest more than 16 levels",
    ),
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_unsupported(name):
    content, text = UNSUPPORTED[name]
    with pytest.raises(bertc.UnsupportedError, match=text):
        bertc.load(content)(X)


def weighted(*arguments, **others) -> bytes:
    return simple(node("Add", "x w", "y"), tensors=[tensor("w", *arguments, **others)])


WHOLE = simple(node("Relu", "x", "y", "relu"), opsets={"": 17})
DAMAGED = {
    "no graph": (message((1, 8), (2, "nobody")), "has no graph with nodes and outputs"),
    "no nodes": (model(graph([], [value("x")], [value("x")])), "has no graph with nodes and outputs"),
    "no opset": (simple(RELU, opsets={}), "node 'y': Relu: the model does not say which opset of ai.onnx it uses"),
    "initialiser": (simple(node("Add", "x w", "y", "n")), "node 'n': Add: it reads 'w', which no node before it makes"),
    "unsorted": (simple(node("Abs", "z", "y", "n"), node("Neg", "x", "z")), "node 'n': Abs: it reads 'z'"),
    "cycle": (simple(node("Add", "x z", "y", "n"), node("Neg", "y", "z")), "node 'n': Add: it reads 'z', .* cyclic"),
    "output": (simple(node("Abs", "x", "z")), "result: it reads 'y', which no node"),
    "two nodes": (simple(RELU, node("Neg", "x", "y", "n")), "node 'n': the name 'y' is given to two values"),
    "two tensors": (simple(RELU, tensors=[TRUE, TRUE]), "the name 'true' is given to two values"),
    "two inputs": (simple(RELU, inputs=[value("x")] * 2), "the name 'x' is given to two values"),
    "inputs": (simple(node("Add", "x", "y", "n")), "node 'n': Add: input 1 is missing"),
    "no inputs": (simple(node("Concat", "", "y", "n", axis=0)), "node 'n': Concat: it has no inputs"),
    "attribute": (simple(node("Elu", "x", "y", "n", alpha=1)), "Elu: attribute 'alpha' is of type int, expected float"),
    "perm": (simple(node("Transpose", "x", "y", "n", perm=[0])), "node 'n': Transpose: perm has 1 items for 2 dim"),
    "short": (weighted(X, (3, 3)), "tensor 'w': its data has 24 bytes, but its shape and type take 36"),
    "long": (weighted(X, (3, 1)), "tensor 'w': its data has 24 bytes, but its shape and type take 12"),
    "negative": (weighted(X, (-2, -3)), "tensor 'w': dimension 0 is -2, which is negative or too large"),
    "huge": (weighted(X, (2**40, 2**40)), "tensor 'w': dimension 1 is 1099511627776, which is negative or too large"),
    "large": (weighted(X, (2**33, 3)), "tensor 'w': its data has 24 bytes, but its shape and type take 103079215104"),
    "input dims": (simple(RELU, inputs=[value("x", INT64, (-5, 3))]), "value 'x': a dimension of size -5"),
    "wire of a text": (simple(message((3, "n"), (4, 5))), r"node 'n' \(\): field 4, .* is an integer, expected text"),
    "wire of an integer": (
        weighted(X).replace(b"\x10\x01\x42\x01w", b"\x12\x01\x42\x01w"),
        "field 2, .* expected an int",
    ),
    "wire of a float": (
        simple(message((1, "x"), (2, "y"), (4, "Elu"), (5, message((1, "alpha"), (2, 7))))),
        "attribute 'alpha': field 2, .* is an integer, expected 4 bytes",
    ),
    "group": (message((1, 8), (2, "a")) + b"\x3b\x3c", "byte 6: a field is of an unknown kind"),
    "varint": (
        message((1, 8), (2, "a")) + b"\x3a" + b"\xff" * 10 + b"\x01",
        "a number does not end within its message",
    ),
    "packed": (
        simple(message((1, "x"), (2, "y"), (4, "Relu"), (5, message((1, "a"), (8, b"\x80"))))),
        "attribute 'a': a list of integers ends within one",
    ),
    "floats": (
        simple(message((1, "x"), (2, "y"), (4, "Relu"), (5, message((1, "a"), (7, b"123"))))),
        "attribute 'a': a list of floats ends within one",
    ),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged(name, tmp_path):
    content, text = DAMAGED[name]
    (tmp_path / "model.onnx").write_bytes(content)
    with pytest.raises(bertc.FormatError, match=rf"model\.onnx: .*{text}"):
        bertc.load(tmp_path / "model.onnx")


MISFITS = {
    "gemm": (
        node("Gemm", "x w", "y", "n"),
        np.ones((2, 2, 2)),
        r"node 'n': Gemm: operands of rank 2 and 3, expected mat",
    ),
    "matmul": (node("MatMul", "x w", "y", "n"), np.ones((4, 4)), r"matmul \(node 'n'\): shapes \[2, 3\] and \[4, 4\]"),
    "add": (node("Add", "x w", "y", "n"), np.ones(5), r"add \(node 'n'\): .*\[2, 3\] and \[5\]"),
    "axis": (
        node("Softmax", "x", "y", "n", axis=5),
        np.ones(1),
        "node 'n': Softmax: dimension 5 of a tensor of rank 2",
    ),
}


@pytest.mark.parametrize("name", MISFITS)
def test_misfits(name):
    operator, array, text = MISFITS[name]
    with pytest.raises(bertc.Error, match=text):
        bertc.load(simple(operator, tensors=[tensor("w", array.astype(np.float32))]))(X)


@pytest.mark.parametrize(("domain", "operator"), OPERATORS, ids=lambda text: text)
def test_any_inputs(domain, operator):
    """Too few, too many, omitted, of wrong ranks and types: a result or an error, whatever the operator makes of it."""
    opsets = {"": 12 if domain else 23, "com.microsoft": 1}
    kinds = ((FLOAT, ()), (FLOAT, ("b", 3)), (FLOAT, ("b", 2, 6)), (INT64, ("b", "s")))
    arrays = [np.ones([{"b": 2, "s": 3}.get(dim, dim) for dim in shape], "fl"[kind == INT64]) for kind, shape in kinds]
    tensors = [tensor("i", np.array([1, 0])), tensor("w", X)]
    for names in ("", "x", "x x", "x i", "i x", "x w i", "x _ x", "x x x x x x x x x"):
        for (kind, shape), array in zip(kinds, arrays):
            content = simple(
                node(operator, names, "y z", "n", domain),
                inputs=[value("x", kind, shape)],
                tensors=tensors,
                opsets=opsets,
            )
            try:
                bertc.load(content)(array)
            except bertc.Error as error:
                assert str(error)


def test_truncated(given):
    content = (ONNX / "bert-opset12.onnx").read_bytes()
    for size in [*range(20), *range(20, len(content), 997)]:
        with pytest.raises(bertc.FormatError):
            bertc.load(content[:size])
    for size in range(len(WHOLE)):
        with pytest.raises(bertc.FormatError):
            bertc.load(WHOLE[:size])


def test_any_byte():
    """Each byte of a small model set to values that lengths, tags and numbers do not expect."""
    for i in range(len(WHOLE)):
        for byte in (0, 1, 0x7F, 0x80, 0xFF, WHOLE[i] ^ 1):
            damaged = WHOLE[:i] + bytes([byte]) + WHOLE[i + 1 :]
            try:
                bertc.load(damaged)(X)
            except bertc.Error as error:
                assert str(error)


def test_huge_results():
    sizes = tensor("k", np.array([2**40, 2**40]))
    with pytest.raises(bertc.InputError, match="more than .* bytes"):
        run(node("ConstantOfShape", "k", "z"), node("Neg", "z", "y"), tensors=[sizes])


def test_names_that_are_no_text():
    strange = message((1, "x"), (2, "y"), (3, b"\xff\xfe"), (4, "Frob"))
    with pytest.raises(bertc.UnsupportedError, match="operator Frob"):
        bertc.load(simple(strange))


# ---- external data ----


def external(folder, **place) -> bytes:
    (folder / "numbers").write_bytes(bytes(8) + X.tobytes())
    content = weighted(X, **place)
    (folder / "model.onnx").write_bytes(content)
    return content


def test_external_data(given, tmp_path):
    expected = bertc.load(ONNX / "bert-sdpa.onnx")(*given)
    for name in ("bert-external.onnx", "bert-external.data"):
        shutil.copy(ONNX / name, tmp_path)
    assert same(expected, bertc.load(tmp_path / "bert-external.onnx")(*given))
    (tmp_path / "bert-external.data").unlink()
    with pytest.raises(FileNotFoundError, match=r"tensor '.*': .*bert-external\.data"):
        bertc.load(tmp_path / "bert-external.onnx")
    with pytest.raises(
        bertc.UnsupportedError, match=r"'bert-external\.data' beside the model; load the model by its p"
    ):
        bertc.load((ONNX / "bert-external.onnx").read_bytes())


@pytest.mark.parametrize("place", [{"offset": "8"}, {"offset": "8", "length": "24"}], ids=["offset", "length"])
def test_external_place(place, tmp_path, monkeypatch):
    external(tmp_path, location="numbers", **place)
    assert same(bertc.load(tmp_path / "model.onnx")(X), 2 * X)
    monkeypatch.chdir(tmp_path)
    assert same(bertc.load("model.onnx")(X), 2 * X)
    (tmp_path / "inner").mkdir()
    (tmp_path / "numbers").rename(tmp_path / "inner" / "a..b")
    (tmp_path / "model.onnx").write_bytes(weighted(X, location="inner/../inner/a..b".replace("../inner/", ""), **place))
    assert same(bertc.load("model.onnx")(X), 2 * X)


@pytest.mark.parametrize(
    ("place", "error", "text"),
    [
        ({"location": "../numbers"}, bertc.FormatError, r"'\.\./numbers', which is outside the model's directory"),
        ({"location": "a/../../numbers"}, bertc.FormatError, "outside the model's directory"),
        ({"location": ".."}, bertc.FormatError, "outside the model's directory"),
        ({"location": "/etc/passwd"}, bertc.FormatError, "'/etc/passwd', which is outside the model's directory"),
        ({"location": ""}, bertc.FormatError, "outside the model's directory"),
        ({"location": "."}, bertc.FormatError, "'.', which is outside the model's directory"),
        ({"location": "absent"}, FileNotFoundError, "absent"),
        ({"offset": "0"}, bertc.FormatError, "its external data has no location"),
        ({"location": "numbers", "offset": "16"}, bertc.FormatError, "has 16 bytes from 16 on, fewer than .* 24"),
        ({"location": "numbers", "offset": str(2**63)}, bertc.FormatError, "has 0 bytes from 9223372036854775808 on"),
        ({"location": "numbers", "offset": "-8"}, bertc.FormatError, "the offset of its external data is '-8'"),
        ({"location": "numbers", "offset": "9" * 30}, bertc.FormatError, "the offset of its external data is"),
        ({"location": "numbers", "length": "x"}, bertc.FormatError, "the length of its external data is 'x'"),
        ({"location": "numbers", "length": "33"}, bertc.FormatError, "has 32 bytes from 0 on, fewer than .* 33"),
        ({"location": "numbers", "length": "8"}, bertc.FormatError, "has 8 bytes, but its shape and type take 24"),
    ],
    ids=lambda value: "-".join(value.values()) if isinstance(value, dict) else "",
)
def test_external_refusals(place, error, text, tmp_path):
    (tmp_path / "inner").mkdir()
    external(tmp_path, location="numbers")
    shutil.copy(tmp_path / "numbers", tmp_path / "inner")
    external(tmp_path / "inner", **place)
    with pytest.raises(error, match=rf"tensor 'w': .*{text}"):
        bertc.load(tmp_path / "inner" / "model.onnx")


def test_external_links(tmp_path):
    """A link out of the directory is refused; links of both into one store, as the hub's cache has them, are not."""
    inside, store = tmp_path / "inside", tmp_path / "store"
    for folder in (inside, store):
        folder.mkdir()
    external(inside, location="numbers", offset="8")
    (inside / "numbers").rename(store / "n")
    (inside / "numbers").symlink_to("../store/n")
    with pytest.raises(bertc.FormatError, match="'numbers', which is outside the model's directory"):
        bertc.load(inside / "model.onnx")
    (inside / "model.onnx").rename(store / "m")
    (inside / "model.onnx").symlink_to(store / "m")
    assert same(bertc.load(inside / "model.onnx")(X), 2 * X)
    (tmp_path / "alias").symlink_to(inside)
    assert same(bertc.load(tmp_path / "alias" / "model.onnx")(X), 2 * X)


def test_fields_are_read_in_any_order():
    content = (ONNX / "bert-opset12.onnx").read_bytes()
    first, *others = protobuf.split(content)
    turned = protobuf.join([first, *reversed(others)])
    assert same(bertc.load(content).state_dict(), bertc.load(turned).state_dict())
