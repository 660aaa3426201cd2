"""TorchScript's language: archives written here, with code as torch prints it, and what it means."""

import io
import struct
import zipfile

import numpy as np
import pytest

import bertc

MODULE = "class M(Module):\n  __parameters__ = []\n  __buffers__ = []\n  training : bool\n"
FORWARD = MODULE + "  def forward(self: __torch__.M,\n    x: Tensor) -> Tensor:\n"


class Module(dict):
    """Attributes of a module object of a class in code/__torch__.py."""

    def __init__(self, name: str, **attributes):
        super().__init__(attributes)
        self.name = name


def pickled(value, storages: list[np.ndarray]) -> bytes:
    """A value as torch's pickler writes it; arrays go to storages."""
    match value:
        case None | bool():
            return {None: b"N", True: b"\x88", False: b"\x89"}[value]
        case int():
            return b"J" + struct.pack("<i", value)
        case float():
            return b"G" + struct.pack(">d", value)
        case str():
            return b"X" + struct.pack("<I", len(value.encode())) + value.encode()
        case tuple():
            return b"(" + b"".join(pickled(item, storages) for item in value) + b"t"
        case list():
            return b"](" + b"".join(pickled(item, storages) for item in value) + b"e"
        case Module():
            state = b"".join(pickled(item, storages) for pair in value.items() for item in pair)
            return b"c__torch__\n" + value.name.encode() + b"\n)\x81}(" + state + b"ub"
    storage = {"float32": "FloatStorage", "float64": "DoubleStorage", "int64": "LongStorage"}[value.dtype.name]
    storages.append(value)
    key, strides = str(len(storages) - 1), tuple(s // value.itemsize for s in value.strides)
    identity = pickled("storage", storages) + f"ctorch\n{storage}\n".encode()
    identity += b"".join(pickled(item, storages) for item in (key, "cpu", value.size))
    arguments = b"".join(pickled(item, storages) for item in (0, value.shape, strides, False))
    rebuild = b"ctorch._utils\n_rebuild_tensor_v2\n(("
    return rebuild + identity + b"tQ" + arguments + b"ccollections\nOrderedDict\n)RtR"


def load(code: str, root: Module | None = None, constants: tuple = (), version: int = 4) -> bertc.Model:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("m/version", str(version))
        archive.writestr("m/code/__torch__.py", code)
        for stem, value in (("data", root or Module("M", training=False)), ("constants", constants)):
            storages = []
            archive.writestr(f"m/{stem}.pkl", b"\x80\x02" + pickled(value, storages) + b".")
            for key, storage in enumerate(storages):
                archive.writestr(f"m/{stem}/{key}", storage.tobytes())
    return bertc.load(stream.getvalue())


def lines(text: str) -> str:
    return "".join(f"    {line}\n" for line in text.strip("\n").split("\n"))


IDS = np.arange(10).reshape(2, 5)


@pytest.mark.parametrize(
    ("body", "result"),
    [
        ("return torch.add(x, 1)", IDS + 1),
        ("return torch.add(x, 3, alpha=-2)", IDS - 6),
        ("r = x\nfor i in range(3):\n  r = torch.add(r, i)\nreturn r", IDS + 3),
        ("r = x\nfor k in range(5, 1, -2):\n  r = torch.sub(r, k)\nreturn r", IDS - 8),
        ("r = x\nfor q in range(torch.size(x, 1)):\n  r = torch.add(r, q)\nreturn r", IDS + 10),
        ("r = x\nfor n in [4, 5]:\n  r = torch.mul(r, n)\nreturn r", IDS * 20),
        ("i = 0\nwhile torch.lt(i, 4):\n  i = torch.add(i, 1)\nreturn torch.mul(x, i)", IDS * 4),
        ("i = 0\nwhile True:\n  if i > 4:\n    break\n  i = i + 1\n  continue\nreturn torch.mul(x, i)", IDS * 5),
        ("if torch.gt(torch.size(x, 1), 3):\n  return x\nelse:\n  pass\nreturn torch.neg(x)", IDS),
        ("if torch.gt(torch.size(x, 1), 7):\n  y = x\nelse:\n  y = torch.neg(x)\nreturn y", -IDS),
        ("return x if torch.size(x, 0) == 2 and not False else torch.neg(x)", IDS),
        ("n = None\nif torch.__is__(n, None):\n  y = x\nelse:\n  y = unchecked_cast(Tensor, n)\nreturn y", IDS),
        ("_0 = uninitialized(Tensor)\na, b, = [x, 3]\n_1 = _0\nreturn torch.mul(a, b)", IDS * 3),
        ("t = (x, 7, [1, 2])\nu = (t)[0:2]\nreturn torch.add((u)[0], (u)[-1])", IDS + 7),
        ("l = annotate(List[int], [])\n_0 = torch.append(l, 5)\nreturn torch.add(x, l[0])", IDS + 5),
        ('d = {"a": x, "b": torch.neg(x)}\nreturn d["b"]', -IDS),
        ("n = int(ops.prim.NumToTensor(torch.size(x, 1)))\nreturn torch.view(x, [n, -1])", IDS.reshape(5, 2)),
        ("return torch.add(x, int(3.7))", IDS + 3),
        ("assert torch.size(x, 0) < 9, 'many'\nreturn x", IDS),
        ('if torch.eq("a\\"\\\\\\n", \'a"\\\\\\n\'):\n  y = x\nelse:\n  y = torch.neg(x)\nreturn y', IDS),
        ("if isinstance(x, (int, Tensor)):\n  y = x\nelse:\n  y = torch.neg(x)\nreturn y", IDS),
    ],
)
def test_statements(body, result):
    got = load(FORWARD + lines(body))(IDS)
    assert got.dtype == np.int64 and np.array_equal(got, result)


def test_functions_and_named_tuples():
    code = (
        "class Out(NamedTuple):\n  a : Tensor\n  b : List[Tensor]\n"
        + MODULE
        + "  def forward(self: __torch__.M,\n    x: Tensor) -> __torch__.Out:\n"
        + "    _0 = __torch__.helper\n    y, z, = _0(x, k=2, )\n"
        + "    o = __torch__.Out(y, [z, x])\n    return __torch__.Out(o.a, (o.b)[0:1])\n"
        + "def helper(x: Tensor, k: int=1, n: int=3) -> Tuple[Tensor, Tensor]:\n"
        + "  return (torch.add(x, n), torch.mul(x, k))\n"
    )
    a, b = load(code)(IDS)
    assert np.array_equal(a, IDS + 3) and len(b) == 1 and np.array_equal(b[0], IDS * 2)


def test_submodules_constants_and_weights():
    code = (
        'class A(Module):\n  __parameters__ = ["weight", ]\n  __buffers__ = ["buf", ]\n'
        + '  weight : Tensor\n  buf : Tensor\n  k : Final[int] = 4\n  __annotations__["0"] = Tensor\n'
        + "  def forward(self: __torch__.A,\n    x: Tensor) -> Tensor:\n"
        + "    return torch.mul(torch.add(x, self.weight), self.k)\n"
        + "  def forward1(self: __torch__.A,\n    x: Tensor) -> Tensor:\n"
        + '    return torch.add(torch.add(x, getattr(self, "0")), CONSTANTS.c0)\n'
        + MODULE
        + "  a : __torch__.A\n"
        + "  def forward(self: __torch__.M,\n    x: Tensor) -> Tuple[Tensor, str]:\n"
        + "    a = self.a\n    y = (a).forward(x, )\n    z = (self.a).forward1(y, )\n    return (z, self.mode)\n"
    )
    weight, other = np.float32([1, 2, 3]), np.float32([10, 20, 30])
    part = Module("A", weight=weight, buf=weight, **{"0": other})
    model = load(code, Module("M", training=False, mode="cls", a=part), (np.float32([0.5, 0.5, 0.5]),))
    x = np.ones((2, 3), np.float32)
    result, mode = model(x)
    assert mode == "cls" and np.array_equal(result, (x + weight) * 4 + other + np.float32(0.5))


def test_optional_arguments():
    code = (
        MODULE
        + "  def forward(self: __torch__.M,\n    x: Tensor,\n    mask: Optional[Tensor]=None,\n"
        + '    names: List[str]=["a", "b"],\n    scale: float=2.) -> Dict[str, Tensor]:\n'
        + "    out = annotate(Dict[str, Tensor], {})\n"
        + "    if torch.__is__(mask, None):\n      m = torch.ones_like(x)\n"
        + "    else:\n      m = unchecked_cast(Tensor, mask)\n"
        + "    for n in names:\n      _0 = torch._set_item(out, n, torch.mul(m, scale))\n"
        + "    return out\n"
    )
    model = load(code)
    assert {key: value.tolist() for key, value in model(IDS[:, :2]).items()} == {"a": [[2, 2], [2, 2]]} | {
        "b": [[2, 2], [2, 2]]
    }
    assert model(IDS, IDS, scale=3)["b"].tolist() == (IDS * 3).tolist()


@pytest.mark.parametrize(
    ("expression", "x", "result"),
    [
        ("torch.mul(x, CONSTANTS.c0)", IDS, np.float32(IDS * 2.5)),
        ("torch.mul(torch.mean(x), CONSTANTS.c0)", np.float32(IDS), np.float32(4.5 * 2.5)),
        ("torch.mul(x, torch.detach(CONSTANTS.c0))", IDS, np.float64(IDS * 2.5)),
        ("torch.mul(x, torch.to(CONSTANTS.c0, 5))", IDS, np.float16(IDS * 2.5)),
        ("torch.add(x, torch.zeros([], dtype=7))", np.float32(IDS), np.float32(IDS)),
        ("torch.where(torch.gt(x, 4), torch.zeros([], dtype=7), -2.)", IDS, np.where(IDS > 4, 0.0, -2.0)),
        ("torch.where(torch.gt(x, 4), CONSTANTS.c0, -2.)", IDS, np.float32(np.where(IDS > 4, 2.5, -2))),
    ],
)
def test_numbers_promote(expression, x, result):
    got = load(FORWARD + f"    return {expression}\n", constants=(np.array(2.5),))(x)
    assert got.dtype == result.dtype and np.array_equal(got, result)


FLOATS = np.float32([[3, -1, 2, 2], [0, 5, -4, 1]])


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("(torch.sort(x, -1, True))[0]", -np.sort(-FLOATS, 1)),
        ("(torch.sort(x, 0))[1]", np.argsort(FLOATS, 0, "stable")),
        ("torch.argsort(x)", np.argsort(FLOATS, 1, "stable")),
        ("(torch.topk(x, 2))[0]", np.float32([[3, 2], [5, 1]])),
        ("(torch.topk(x, 3, -1, False, True))[1]", np.array([[1, 2, 3], [2, 0, 3]])),
        ("(torch.kthvalue(x, 2))[0]", np.float32([2, 0])),
        ("torch.scatter(x, 1, torch.tensor([[0], [3]]), 9)", np.float32([[9, -1, 2, 2], [0, 5, -4, 9]])),
        ("torch.scatter_add(x, 1, torch.tensor([[0, 0]]), x)", np.float32([[5, -1, 2, 2], [0, 5, -4, 1]])),
        ("torch.index_add(x, 0, torch.tensor([1]), torch.slice(x, 0, 0, 1))", FLOATS + np.outer([0, 1], FLOATS[0])),
        ("torch.index_fill(x, 1, torch.tensor([2]), 7)", np.float32([[3, -1, 7, 2], [0, 5, 7, 1]])),
        ("torch.max_pool1d(x, [2])", np.float32([[3, 2], [5, 1]])),
        ("torch.max_pool1d(x, [3], [2], [0], [1], True)", np.float32([[3, 2], [5, 1]])),
        ("torch.max_pool1d(x, [torch.size(x, 1)])", np.float32([[3], [5]])),
        ("torch.avg_pool1d(x, [2], [2], [1])", np.float32([[1.5, 0.5, 1], [0, 0.5, 0.5]])),
        ("torch.avg_pool1d(x, [2], [2], [1], False, False)", np.float32([[3, 0.5, 2], [0, 0.5, 1]])),
        ("torch.avg_pool1d(x, [3], [2], [0], True)", np.float32([[4 / 3, 2], [1 / 3, -1.5]])),
        ("torch.diff(x)", np.diff(FLOATS)),
        ("(torch.meshgrid([torch.arange(2), torch.arange(3)]))[1]", np.meshgrid(range(2), range(3), indexing="ij")[1]),
        ("torch.log1p(torch.mul(x, x))", np.log1p(FLOATS * FLOATS)),
        ("torch.expm1(x)", np.expm1(FLOATS)),
        ("torch.pairwise_distance(x, torch.neg(x))", np.linalg.norm(2 * FLOATS + 1e-6, axis=1).astype(np.float32)),
    ],
)
def test_operators_of_heads(expression, result):
    got = load(FORWARD + f"    return {expression}\n")(FLOATS)
    result = np.asarray(result)
    assert got.shape == result.shape and (got.dtype.kind == result.dtype.kind)
    assert np.allclose(got, result, rtol=2e-6, atol=2e-7)


ENCODER_LAYER = (
    "torch._transformer_encoder_layer_fwd(src, 8, 2, self.w, self.b, self.o, self.n, True, False, 1e-05, "
    "self.n, self.n, self.n, self.n, self.f, self.g, self.h, self.n"
)


@pytest.mark.parametrize(
    "body",
    [
        f"src = x\nreturn {ENCODER_LAYER}, torch.logical_not(mask), 1)",
        f"src = torch._nested_tensor_from_mask(x, mask, False)\n_0 = {ENCODER_LAYER})\n"
        "return torch.to_padded_tensor(_0, 0., [torch.size(x, 0), torch.size(x, 1), 8])",
    ],
    ids=["masked", "nested"],
)
def test_fused_encoder_layer(body):
    """What is beyond a sequence's end does not count, and is 0 when nested."""
    chance = np.random.default_rng(3)
    shapes = {"w": (24, 8), "b": (24,), "o": (8, 8), "n": (8,), "f": (6, 8), "g": (6,), "h": (8, 6)}
    weights = {name: chance.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    code = MODULE + "  def forward(self: __torch__.M,\n    x: Tensor,\n    mask: Tensor) -> Tensor:\n" + lines(body)
    model = load(code, Module("M", training=False, **weights))
    x = chance.standard_normal((2, 4, 8)).astype(np.float32)
    padded, alone = model(x, np.arange(4) < [[4], [2]]), model(x[1:, :2], np.ones((1, 2), bool))
    assert np.allclose(padded[1, :2], alone[0], atol=1e-5) and np.abs(alone).max() > 0.1
    assert ("nested" in body) == (not padded[1, 2:].any())


def test_a_batch_is_not_cut_where_one_item_means_another_graph():
    """squeeze() drops a batch of one: long items, which would run one by one, must not."""
    body = "y = torch.unsqueeze(torch.to(x, 6), 2)\nreturn torch.squeeze(torch.mean(y, [1]))"
    model = load(FORWARD + lines(body))
    x = np.arange(4 * 400).reshape(4, 400)
    assert np.array_equal(model(x), x.mean(1, dtype=np.float32))
    assert np.array_equal(model(x[:1]), x[0].mean(dtype=np.float32))


def test_division_of_integers_by_format():
    code = FORWARD + "    return torch.div(x, 2)\n"
    assert load(code, version=3)(IDS).tolist() == (IDS // 2).tolist()
    assert load(code, version=4)(IDS).tolist() == (IDS / 2).tolist()


@pytest.mark.parametrize(
    ("body", "error", "says"),
    [
        ("self.y = x\nreturn x", bertc.UnsupportedError, r"__torch__\.py:7.*attribute 'y'"),
        ("with x:\n  pass\nreturn x", bertc.UnsupportedError, "'with'"),
        ("y = __torch__.M(x)\nreturn x", bertc.UnsupportedError, "creates an object of class M"),
        ("return torch.frobnicate(x)", bertc.UnsupportedError, r"__torch__\.py:7.*aten::frobnicate"),
        ("return (x).frobnicate()", bertc.UnsupportedError, "method frobnicate"),
        ("return __torch__.nowhere(x)", bertc.FormatError, "__torch__.nowhere"),
        ("return y", bertc.FormatError, "'y' has no value"),
        ("return CONSTANTS.c3", bertc.FormatError, "CONSTANTS.c3"),
        ("return self.weight", bertc.FormatError, "no attribute 'weight'"),
        ("if torch.gt(torch.sum(x), 0):\n  return x\nreturn torch.neg(x)", bertc.UnsupportedError, "tensor data"),
        ("i = 0\nwhile True:\n  i = torch.add(i, 1)\nreturn x", bertc.UnsupportedError, "65536 turns"),
        ("return (self).forward(x, )", bertc.UnsupportedError, "nest more than"),
        ("l = [1]\nfor i in range(60):\n  l = torch.add(l, l)\nreturn x", bertc.UnsupportedError, "MB"),
        ("a, b, = [x]\nreturn a", bertc.InputError, "expected 2 values to unpack, found 1"),
        ("assert torch.eq(torch.size(x, 0), 3)\nreturn x", bertc.InputError, "check of its arguments"),
        ('ops.prim.RaiseException("too long")\nreturn x', bertc.InputError, "too long"),
        ("return x +", bertc.FormatError, r"__torch__\.py:7: expected an expression"),
    ],
)
def test_refusals(body, error, says):
    with pytest.raises(error, match=says):
        load(FORWARD + lines(body))(IDS)
