"""How call arguments become the core's values (no model needed)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import bertc
from bertc.arguments import Parameter, Type, as_tensor, bind, convert, describe, parse_type

TENSOR = Type("Tensor")


def test_parse_type():
    assert parse_type("Tensor") == TENSOR
    assert parse_type("Optional[Tensor]") == Type("Optional", (TENSOR,))
    assert parse_type("Dict[str, Tensor]") == Type("Dict", (Type("str"), TENSOR))
    pair = Type("Tuple", (TENSOR, TENSOR))
    assert parse_type("List[Tuple[Tensor, Tensor]]") == Type("List", (pair,))
    assert parse_type("Tuple[Optional[Tensor], Dict[str, List[int]]]").items[1].items[1] == Type("List", (Type("int"),))
    assert parse_type("Tensor]") == Type("Any")


@given(st.text("TensorDictL[], ", max_size=40))
def test_parse_type_takes_anything(text):
    parse_type(text)


@pytest.mark.parametrize(
    ("type", "value", "expected"),
    [
        ("int", np.int32(4), 4),
        ("float", 3, 3.0),
        ("bool", np.True_, True),
        ("str", "a", "a"),
        ("number", 2, 2),
        ("number", 2.5, 2.5),
        ("Optional[int]", None, None),
        ("Optional[int]", 1, 1),
        ("List[int]", (1, 2), [1, 2]),
        ("List[int]", np.array([1, 2]), [1, 2]),
        ("Tuple[int, str]", [1, "a"], (1, "a")),
        ("Dict[str, float]", {"a": 1}, {"a": 1.0}),
        ("Something", [1, {"a": None}], (1, {"a": None})),
    ],
)
def test_plain_values(type, value, expected):
    got = convert(value, parse_type(type), "x")
    assert got == expected and got.__class__ is expected.__class__


@pytest.mark.parametrize(
    ("type", "value", "message"),
    [
        ("int", 1.5, "x: expected an integer, got a float"),
        ("int", 2**63, "does not fit"),
        ("float", "1", "x: expected a number, got a str"),
        ("bool", 1, "x: expected True or False"),
        ("str", 1, "x: expected a text"),
        ("Tuple[int, int]", (1,), "x: expected a tuple of 2, got a tuple of 1"),
        ("List[int]", 1, "x: expected a list of int"),
        ("List[int]", [1, None], r"x\[1\]: expected an integer, got None"),
        ("Dict[str, Tensor]", [1], "x: expected a dict"),
        ("Dict[str, Tensor]", {1: [1]}, "names as keys"),
        ("Dict[str, Tensor]", {"mask": None}, r"x\['mask'\]: expected a tensor, got None"),
        ("List[Tuple[Tensor, Tensor]]", [([1], "k")], r"x\[0\]\[1\]: expected a tensor, got a str"),
        ("Tensor", None, "x: expected a tensor, got None"),
        ("Tensor", "how are you", "tokenise"),
        ("Tensor", {"input_ids": [[1]]}, r"model\(\*\*inputs\)"),
        ("Tensor", [[1, 2], [3]], "x: its rows have different lengths"),
        ("Tensor", [2**64], "x: "),
        ("Tensor", np.array([2**64 - 1], np.uint64), "does not fit into int64"),
        ("Tensor", np.array([2**63], ">u8"), "does not fit into int64"),
        ("Tensor", [["a", "b"]], "x: expected integers, bools or floats"),
        ("Tensor", np.array([None]), "array of object"),
        ("Tensor", np.zeros(2, complex), "array of complex128"),
        ("Tensor", np.zeros([1] * 9), "9 dimensions"),
        ("Tensor", object(), "x: "),
    ],
)
def test_wrong_values(type, value, message):
    with pytest.raises(bertc.InputError, match=message):
        convert(value, parse_type(type), "x")


@given(hnp.arrays(hnp.scalar_dtypes(), hnp.array_shapes(min_dims=0, max_dims=4, min_side=0)))
def test_any_array_converts_or_says_why(array):
    try:
        tensor = as_tensor(array, "ids")
    except bertc.InputError as error:
        assert "ids: " in str(error)
        return
    assert tensor.shape == array.shape and tensor.flags.c_contiguous and tensor.flags.aligned
    assert tensor.dtype in (np.int64, np.float32, np.bool_)
    if array.dtype.kind in "iub":
        assert np.array_equal(tensor, array) and not np.shares_memory(tensor, array)


def test_float32_is_not_copied():
    array = np.zeros((2, 3), np.float32)
    assert as_tensor(array, "x") is array


def test_empty_lists_are_ids():
    assert as_tensor([[]], "x").dtype == np.int64


PARAMS = [Parameter("ids", "Tensor", True), Parameter("mask", "Optional[Tensor]", False), Parameter("n", "int", True)]


def test_describe():
    values = (np.zeros((1, 2), np.int64), ..., {"k": [np.zeros(3, bool), None]})
    assert describe(PARAMS, values) == "ids: int64[1, 2], n: {'k': (bool[3], None)}"


def test_bind():
    assert bind(PARAMS, ([1], None, 3), {})[1:] == (None, 3)
    assert bind(PARAMS, ([1],), {"n": 3})[1:] == (..., 3)


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        (([1], None, 3, 4), {}, r"got 4 positional arguments, the model takes 3: \(ids: Tensor, mask: Opt.*n: int\)"),
        (([1],), {}, r"missing 'n', the model takes \(ids: Tensor, mask: Optional\[Tensor\] = \.\.\., n: int\)"),
        ((), {}, "missing 'ids', 'n'"),
        (([1],), {"ids": [1], "n": 1}, "'ids' both by position and by keyword"),
        (([1],), {"k": 1, "n": 1}, r"unexpected argument 'k', the model takes \(ids"),
        (({"ids": [1], "n": 1},), {}, r"model\(\*\*inputs\)"),
    ],
)
def test_bind_errors(args, kwargs, message):
    with pytest.raises(bertc.InputError, match=message):
        bind(PARAMS, args, kwargs)
