"""torch.export archives: every layout that torch has written, what is refused, and damaged files."""

import io
import json
import pickle
import zipfile

import numpy as np
import pytest
from conftest import DATA, same

import bertc

PROGRAMS = sorted((DATA / "pt2").glob("*.pt2"))
NEWEST = DATA / "pt2" / "torch2.13.0-dynamic.pt2"
WEIGHTS = "data/weights/model_weights_config.json"


@pytest.fixture
def given():
    ids = np.random.default_rng(0).integers(1, 60, (4, 7))
    return ids, (np.arange(7) < np.array([[7], [4], [6], [2]])).astype(np.int64)


def edit(path=NEWEST, member="models/model.json", change=None, drop=(), add=None) -> bytes:
    """The archive with `change(json)` applied to a member."""
    stream = io.BytesIO()
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(stream, "w") as target:
        for name in source.namelist():
            inner = name.partition("/")[2] if "/" in name else name
            content = source.read(name)
            if change and inner == member:
                tree = json.loads(content)
                content = json.dumps(change(tree) or tree)
            if inner not in drop:
                target.writestr(name, content)
        for name, content in (add or {}).items():
            target.writestr(f"{path.stem}/{name}", content)
    return stream.getvalue()


def graph(tree):
    return tree["graph_module"]["graph"]


def nodes(tree, target):
    return [node for node in graph(tree)["nodes"] if node["target"].startswith(target)]


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_program(path, given):
    model = bertc.load(path)
    assert "torch.export archive" in repr(model)
    prefix = "L__self___" if "torch2.1." in path.stem else ""  # as that torch called them
    state = model.state_dict()
    assert state[f"{prefix}embed.weight"].shape == (60, 16)
    assert state[f"{prefix}positions"].dtype == np.int64
    assert [name for name, _ in model.named_parameters() if "scale" in name or "positions" in name] == []
    assert not [name for name in state if "lifted" in name or "constant" in name]
    with pytest.raises(ValueError, match="read-only"):
        state[f"{prefix}embed.weight"][:] = 0
    text = str(model.graph)
    assert f"({prefix}embed.weight" in text and "decode.weight" not in text  # tied
    assert model(*(x[:3, [0] * 11] for x in given))["logits"].shape == (3, 11, 60)
    assert same(model.state_dict(), bertc.load(path.read_bytes()).state_dict())


def test_layouts_agree(given):
    """The same weights and the same computation, written by torch 2.3 to 2.13: the same bits."""
    newest = bertc.load(NEWEST)(*given)
    for path in PROGRAMS:
        if path.stem.endswith("dynamic") and "torch2.1." not in path.stem:  # which took attention apart
            assert same(newest, bertc.load(path)(*given)), path.stem


def test_batch_and_padding(given):
    model, (ids, mask) = bertc.load(NEWEST), given
    whole = model(ids, mask)
    for i in range(len(ids)):
        assert same(model(ids[i : i + 1], mask[i : i + 1])["parts"][0], whole["parts"][0][i : i + 1])


def test_static(given):
    model = bertc.load(DATA / "pt2" / "torch2.13.0-static.pt2")
    assert model.inputs[0].type == "int64[3, 11]"
    with pytest.raises(bertc.InputError, match=r"'ids': dimension 0 is 4, .* exported for 3 only; .*dynamic_shapes"):
        model(*given)
    ids = np.ones((3, 11), np.int64)
    assert model(ids, ids)["logits"].shape == (3, 11, 60)
    with pytest.raises(bertc.InputError, match="'mask': dimension 1 is 10"):
        model(ids, ids[:, :10])


def test_ranges(given):
    model, (ids, mask) = bertc.load(NEWEST), given
    for _ in range(2):  # also when a graph for the other lengths is there already
        with pytest.raises(bertc.InputError, match="'ids': dimension 1 is 41, .* for 0 to 39; export it again"):
            model(np.ones((2, 41), np.int64), np.ones((2, 41), np.int64))
        with pytest.raises(bertc.InputError, match="'mask': dimension 1 is 6, but dimension 1 of 'ids' is 7"):
            model(ids, mask[:, :6])
        with pytest.raises(bertc.InputError, match="'mask': expected 2 dimensions, got 1"):
            model(ids, mask[0])
        model(ids, mask)
    assert model(ids[:1], mask[:1])["logits"].shape == (1, 7, 60)


def test_keywords(given):
    ids, mask = given
    model = bertc.load(NEWEST)
    assert same(model(ids, mask), model(mask=mask, ids=ids))
    with pytest.raises(bertc.InputError, match="missing 'mask'"):
        model(ids)


def retarget(target, new):
    def change(tree):
        nodes(tree, target)[0]["target"] = new

    return change


def mutation(kind, **fields):
    def change(tree):
        specs = tree["graph_module"]["signature"]["output_specs"]
        specs.insert(0, {kind: {"arg": {"name": "x"}, **fields}})

    return change


def autocast(tree):
    node = nodes(tree, "torch.ops.aten.gelu")[0]
    node["target"] = "torch.ops.higher_order.wrap_with_autocast"
    arguments = [{"as_string": "cpu"}, {"as_scalar_type": 13}, {"as_bool": True}, {"as_none": True}]
    node["inputs"] = [{"name": "", "arg": argument} for argument in arguments]


UNSUPPORTED = {
    "operator": (retarget("torch.ops.aten.gelu", "torch.ops.aten.svd.default"), "gelu: operator aten::svd is not impl"),
    "function": (retarget("torch.ops.aten.gelu", "math.hypot"), "'math.hypot' is not implemented"),
    "higher order": (retarget("torch.ops.aten.gelu", "torch.ops.higher_order.cond"), "higher-order operator 'cond'"),
    "autocast": (autocast, "torch.autocast"),
    "buffer": (mutation("buffer_mutation", buffer_name="scale"), "kind 'buffer_mutation': it trains, or changes"),
    "loss": (mutation("loss_output"), "kind 'loss_output'"),
    "schema": (lambda tree: tree | {"schema_version": {"major": 9, "minor": 0}}, "schema 9, .* up to 8"),
    "rank": (
        lambda tree: graph(tree)["tensor_values"]["ids"].update(sizes=[{"as_int": 1}] * 9),
        "an input of 9 dimensions",
    ),
    "inputs": (
        lambda tree: tree["graph_module"]["signature"]["input_specs"][-1].update(
            user_input={"arg": {"as_custom_obj": 1}}
        ),
        "kind 'as_custom_obj'",
    ),
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_unsupported(name):
    change, text = UNSUPPORTED[name]
    with pytest.raises(bertc.UnsupportedError, match=text):
        bertc.load(edit(change=change))


def rename_argument(tree):
    nodes(tree, "torch.ops.aten.gelu")[0]["inputs"][0]["arg"]["as_tensor"]["name"] = "nowhere"


def deep_specification(tree):
    signature = tree["graph_module"]["module_call_graph"][0]["signature"]
    signature["in_spec"] = "[1, " + "[" * 100


def extra_leaf(tree):
    signature = tree["graph_module"]["module_call_graph"][0]["signature"]
    leaf = {"type": None, "context": None, "children_spec": []}
    spec = json.loads(signature["out_spec"])
    signature["out_spec"] = json.dumps(
        [1, {"type": "builtins.tuple", "context": "null", "children_spec": [spec[1], leaf]}]
    )


def outputs(count):
    def change(tree):
        nodes(tree, "torch.ops.aten.split")[0]["outputs"][0]["as_tensors"] = [{"name": f"x{i}"} for i in range(count)]

    return change


DAMAGED = {
    "argument": (rename_argument, "gelu: it uses 'nowhere', which no node before it makes"),
    "no graph": (lambda tree: {"schema_version": {"major": 8}}, "it has no signature"),
    "no schema": (lambda tree: [1], "no schema_version"),
    "no inputs": (lambda tree: graph(tree).update(inputs=[]), "another number of inputs"),
    "no values": (lambda tree: graph(tree).update(tensor_values={}), "tensor_values"),
    "no nodes": (lambda tree: graph(tree).update(nodes=7), "result 0: it uses"),
    "no target": (lambda tree: graph(tree)["nodes"].insert(0, {}), "a node has no target"),
    "no weight": (
        lambda tree: tree["graph_module"]["signature"]["input_specs"][0]["parameter"].update(parameter_name="x"),
        "no tensor for 'x'",
    ),
    "specification": (deep_specification, "JSON byte .*"),
    "leaves": (extra_leaf, "out_spec has another number of values"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged(name):
    change, text = DAMAGED[name]
    with pytest.raises(bertc.FormatError, match=text):
        bertc.load(edit(change=change))


def gelu(**fields):
    return lambda tree: nodes(tree, "torch.ops.aten.gelu")[0].update(fields)


def argument(value):
    return lambda tree: nodes(tree, "torch.ops.aten.gelu")[0]["inputs"][0].update(arg=value)


def version_2(tree):
    signature = tree["graph_module"]["module_call_graph"][0]["signature"]
    signature["in_spec"] = "[2, {}]"


def legacy_mutation(tree):
    tree["graph_module"]["signature"]["buffers_to_mutate"] = {"x": "scale"}


MALFORMED = {
    "results": (
        gelu(outputs=[{"as_tensors": [{"name": "a"}, {"name": "b"}]}]),
        "gelu: it names 2 results, and has one",
    ),
    "many": (gelu(inputs=[{"name": "", "arg": {"as_none": True}}] * 99), "gelu: it has more than [0-9]+ arguments"),
    "region": (gelu(target="torch.ops.higher_order.wrap_with_set_grad_enabled"), "no sub-graph, or too many operands"),
    "nameless": (argument({"as_tensor": {}}), "gelu: an argument has no name"),
    "list": (argument({"as_ints": 3}), "gelu: an argument is no "),
    "kind": (argument({"as_complex": 1}), "gelu: arguments of kind 'as_complex' are not supported"),
    "dtype": (argument({"as_scalar_type": 99}), "gelu: dtype code 99 of torch.export is not supported"),
    "input": (
        lambda tree: tree["graph_module"]["signature"]["input_specs"].__setitem__(0, {"custom_obj": {}}),
        "an input of kind 'custom_obj' is not supported",
    ),
    "buffers": (legacy_mutation, "the program changes its buffers"),
    "version": (version_2, "its tree specifications are not of version 1"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed(name):
    change, text = MALFORMED[name]
    with pytest.raises(bertc.Error, match=text):
        bertc.load(edit(change=change))


LEAF = {"type": None, "context": None, "children_spec": []}


def spec(kind, children, context="null"):
    return {"type": f"builtins.{kind}", "context": context, "children_spec": children}


@pytest.mark.parametrize(
    ("positional", "text"),
    [
        (spec("dict", [LEAF, LEAF], '["ids"]'), "a tree specification is damaged"),
        (spec("dict", [LEAF, LEAF], "{"), "JSON"),
        ({"type": 3}, "a tree specification is damaged"),
    ],
)
def test_damaged_specifications(positional, text):
    with pytest.raises(bertc.Error, match=text):
        bertc.load(edit(change=nested(positional)))


def nested(positional):
    def change(tree):
        signature = tree["graph_module"]["module_call_graph"][0]["signature"]
        signature["in_spec"] = json.dumps([1, spec("tuple", [spec("tuple", [positional]), spec("dict", [], "[]")])])
        signature["forward_arg_names"] = ["batch"]

    return change


def test_arguments_that_nest(given):
    """What the program takes as one dict of both."""
    model = bertc.load(edit(change=nested(spec("dict", [LEAF, LEAF], '["ids", "mask"]'))))
    ids, mask = given
    assert same(model({"ids": ids, "mask": mask}), bertc.load(NEWEST)(ids, mask))
    assert same(model({"mask": mask, "ids": ids}), bertc.load(NEWEST)(ids, mask))
    with pytest.raises(bertc.InputError, match="'batch': expected a dict of 2"):
        model({"ids": ids})
    with pytest.raises(bertc.InputError, match="batch: expected a dict, got a tuple of 2"):
        model((ids, mask))
    with pytest.raises(bertc.InputError, match="'batch': the program takes no 'masks' in it"):
        model({"ids": ids, "masks": mask})
    with pytest.raises(bertc.InputError, match="expected a tensor"):
        model({"ids": ids, "mask": None})


def constant(tree):
    specs = tree["graph_module"]["signature"]["input_specs"]
    at = next(i for i, spec in enumerate(specs) if spec.get("user_input"))
    specs.insert(at, {"constant_input": {"name": "factor", "value": {"as_int": 3}}})
    graph(tree)["inputs"].insert(at, {"as_int": 3})
    signature = tree["graph_module"]["module_call_graph"][0]["signature"]
    signature["in_spec"] = json.dumps([1, spec("tuple", [spec("tuple", [LEAF] * 3), spec("dict", [], "[]")])])
    signature["forward_arg_names"] = ["factor", "ids", "mask"]


def test_values_that_were_exported_as_constants(given):
    model = bertc.load(edit(change=constant))
    assert same(model(3, *given), bertc.load(NEWEST)(*given))
    with pytest.raises(bertc.InputError, match="'factor': the program was exported with another value"):
        model(4, *given)


def test_results_do_not_fit():
    with pytest.raises(bertc.Error, match="exported with 3 results, and has 2 here"):
        bertc.load(edit(change=outputs(3)))


def first(tree):
    return tree["config"]["query.weight"]


WRONG_WEIGHTS = {
    "offset": (lambda tree: first(tree)["tensor_meta"].update(storage_offset={"as_int": 1}), "beyond its storage"),
    "negative": (
        lambda tree: first(tree)["tensor_meta"].update(sizes=[{"as_int": -1}, {"as_int": 16}]),
        "non-negative",
    ),
    "huge": (lambda tree: first(tree)["tensor_meta"].update(sizes=[{"as_int": 2**62}, {"as_int": 16}]), "beyond its"),
    "stride": (lambda tree: first(tree)["tensor_meta"].update(strides=[{"as_int": 2**60}, {"as_int": 1}]), "beyond"),
    "dtype": (lambda tree: first(tree)["tensor_meta"].update(dtype=9), "dtype code 9 of torch.export"),
    "member": (lambda tree: first(tree).update(path_name="weight_99"), "no member 'data/weights/weight_99'"),
    "path": (lambda tree: first(tree).update(path_name=None), "no path_name"),
    "rank": (
        lambda tree: first(tree)["tensor_meta"].update(sizes=[{"as_int": 1}] * 9, strides=[{"as_int": 1}] * 9),
        "a tensor of 9 dimensions; at most 8",
    ),
    "meta": (lambda tree: first(tree).update(tensor_meta=None), "'query.weight': its tensor_meta lacks"),
    "config": (lambda tree: {"x": 1}, "no object 'config'"),
}


@pytest.mark.parametrize("name", WRONG_WEIGHTS)
def test_wrong_weights(name):
    change, text = WRONG_WEIGHTS[name]
    with pytest.raises(bertc.Error, match=text):
        bertc.load(edit(member=WEIGHTS, change=change))


class Harm:
    def __reduce__(self):
        return exec, ("raise SystemExit",)


def test_pickles_run_nothing():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        file.writestr("archive/data.pkl", pickle.dumps({"query.weight": Harm()}, protocol=2))
    change = lambda tree: first(tree).update(use_pickle=True, path_name="harm")  # noqa: E731
    with pytest.raises(bertc.UnsupportedError, match="builtin"):
        bertc.load(edit(member=WEIGHTS, change=change, add={"data/weights/harm": stream.getvalue()}))


def test_pickled_weights_are_plain_tensors():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        file.writestr("archive/data.pkl", pickle.dumps({"query.weight": 3}, protocol=2))
    change = lambda tree: first(tree).update(use_pickle=True, path_name="number")  # noqa: E731
    with pytest.raises(bertc.UnsupportedError, match="'data/weights/number' holds no plain tensor"):
        bertc.load(edit(member=WEIGHTS, change=change, add={"data/weights/number": stream.getvalue()}))


def test_older_weights_are_a_dictionary():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        file.writestr("archive/data.pkl", pickle.dumps([3], protocol=2))
    program = io.BytesIO(edit(DATA / "pt2" / "torch2.6.0-dynamic.pt2", drop=["serialized_state_dict.pt"]))
    with zipfile.ZipFile(program, "a") as file:
        file.writestr("serialized_state_dict.pt", stream.getvalue())
    with pytest.raises(bertc.FormatError, match="it holds no dictionary of tensors"):
        bertc.load(program.getvalue())


def test_missing_members():
    with pytest.raises(bertc.FormatError, match=r"no member 'data/weights/model_weights_config.json'"):
        bertc.load(edit(drop=[WEIGHTS, "data/constants/model_constants_config.json"]))
    with pytest.raises(bertc.UnsupportedError, match="AOTInductor"):
        bertc.load(edit(drop=["models/model.json"], add={"data/aotinductor/model/a.so": b"x"}))


def test_other_program_names():
    text = zipfile.ZipFile(NEWEST).read(f"{NEWEST.stem}/models/model.json")
    other = {"models/encoder.json": text, "data/weights/encoder_weights_config.json": b"{}"}
    assert bertc.load(edit(add=other)).inputs[0].name == "ids"  # "model" comes first
    with pytest.raises(bertc.UnsupportedError, match="2 programs, and none is called 'model'"):
        bertc.load(edit(drop=["models/model.json"], add=other | {"models/other.json": text}))


def test_big_endian():
    with pytest.raises(bertc.UnsupportedError, match="byte order is 'big'"):
        bertc.load(edit(drop=["byteorder"], add={"byteorder": b"big"}))


def test_base64_constants():
    old = DATA / "pt2" / "torch2.1.2-dynamic.pt2"
    change = lambda tree: graph(tree)["constants"].update(_tensor_constant0="UEs=*")  # noqa: E731
    with pytest.raises(bertc.FormatError, match="'_tensor_constant0' is not base64"):
        bertc.load(edit(old, "serialized_exported_program.json", change))
