"""python -m bertc: what it prints of files of each kind, the safetensors files that it writes, its errors."""

import io
import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from conftest import DATA, same

import bertc
from bertc import __main__ as command
from bertc import safetensors

BERT = DATA / "traced" / "hf523-bert.sdpa.pt"
EXPORTED = DATA / "pt2" / "torch2.13.0-dynamic.pt2"
ROADS = DATA / "roads"
SHARED = Path(__file__).resolve().parents[2] / "shared" / "models"


def read(path) -> tuple[dict, dict[str, np.ndarray]]:
    """A safetensors file, by its documentation: header and arrays."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    types = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I8": "i1", "BOOL": "?"}
    arrays, end = {}, 0
    assert size % 8 == 0
    for name, entry in header.items():
        if name != "__metadata__":
            start, end_of = entry["data_offsets"]
            assert start == end
            end = end_of
            body = data[8 + size + start : 8 + size + end]
            arrays[name] = np.frombuffer(body, types[entry["dtype"]]).reshape(entry["shape"])
    assert 8 + size + end == len(data)
    return header, arrays


def run(capsys, *arguments) -> str:
    assert command.main([str(x) for x in arguments]) == 0
    return capsys.readouterr().out


def test_show(capsys):
    text = run(capsys, "show", BERT)
    assert text.startswith("hf523-bert.sdpa.pt: TorchScript archive, torch 2.1 or newer\ninputs:\n")
    assert "\n  attention_mask: int64[b, s]\n" in text
    assert "\noutputs: (float32[b, s, 32], float32[b, 32])\n" in text
    parameters = dict(bertc.load(BERT).named_parameters()).values()
    total, size = sum(x.size for x in parameters), sum(x.nbytes for x in parameters)
    assert f"\nparameters: {total:,} in {len(parameters)} tensors, {size:,} bytes (float32)\n" in text
    assert "buffers: 128 in 2 tensors, 1,024 bytes (int64)" in text
    assert str(bertc.load(BERT).graph) in text


def test_show_options(capsys):
    text = run(capsys, "show", "--no-graph", "--weights", EXPORTED)
    assert "torch.export archive, torch 2.13.0" in text and "layer_norm(" not in text
    assert "\nembed.weight" in text and "float32[60, 16]\n" in text and "int64[40]  buffer" in text
    assert "layer_norm(" in run(capsys, "show", "--graph", EXPORTED)


EVERYTHING = sorted(
    {*DATA.glob("*/*.*"), *DATA.glob("*/genuine/*.*"), *DATA.glob("directories/*"), *SHARED.glob("*/*.*")}
)


@pytest.mark.parametrize("path", EVERYTHING, ids=lambda path: path.name)
def test_show_everything(path, capsys):
    status = command.main(["show", str(path)])
    out, err = capsys.readouterr()
    if status == 0:
        assert (
            re.match(rf"{re.escape(path.name)}: .+\n(inputs|parameters):", out) and "\nparameters: " in out and not err
        )
    else:
        assert status == 1 and not out and re.fullmatch(r"error: .*\S.*\n", err)
        assert err.count(str(path)) <= 2 and path.suffix in (".npz", ".py", ".json", ".pt", ".data")


FORMATS = {
    "zip.bin": "torch.save archive",
    "legacy.bin": "torch.save stream",
    "rust_model.ot": "TorchScript module",
    "directory/model.safetensors": "safetensors",
}


@pytest.mark.parametrize("name", FORMATS)
def test_show_weights(name, capsys):
    path = ROADS / name
    text = run(capsys, "show", path, "--weights")
    assert text.startswith(
        f"{path.name}: {FORMATS[name]}, weights without a model\nparameters: 3,592 in 39 tensors, 14,368"
    )
    assert "\npooler.dense.weight" in text and "float32[15, 15]\n" in text


def test_show_directory(capsys, tmp_path):
    text = run(capsys, "show", ROADS / "directory")
    assert text.startswith("directory: Hugging Face directory (bert), BertModel, transformers 5.23.0\ninputs:\n")
    assert "\noutputs: {last_hidden_state: float32[b, s, 15], pooler_output: float32[b, 15]}\n" in text
    shutil.copytree(ROADS / "directory", tmp_path, dirs_exist_ok=True)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 1}))
    text = run(capsys, "show", tmp_path)
    assert re.search(r"\nwarning: .*BertModel does not have: encoder\.layer\.1\.", text)
    (tmp_path / "config.json").unlink()
    assert f"{tmp_path.name}: safetensors, weights without a model\n" in run(capsys, "show", tmp_path)


def test_show_says_once_what_is_wrong(tmp_path, capsys):
    path = tmp_path / "model.bin"
    path.write_bytes(b"nothing of the kind")
    assert command.main(["show", str(path)]) == 1
    assert capsys.readouterr().err.count("not a model file that bertc knows") == 1
    assert command.main(["show", str(tmp_path)]) == 1
    assert "the directory has no weights: none of model.safetensors, " in capsys.readouterr().err


@pytest.mark.parametrize(
    "path",
    [BERT, EXPORTED, *(DATA / "traced").glob("*w_half.pt"), *(DATA / "traced_2019").glob("*bert_3in.pt")],
    ids=lambda path: path.name,
)
def test_convert(path, tmp_path, capsys):
    out = tmp_path / "a" / "b"
    assert "model.safetensors: " in run(capsys, "convert", path, out)
    assert [x.name for x in out.iterdir()] == ["model.safetensors"]
    header, arrays = read(out / "model.safetensors")
    parameters = dict(bertc.load(path).named_parameters())
    assert header["__metadata__"] == {"format": "pt"}
    assert parameters.keys() <= arrays.keys()
    for name, array in parameters.items():
        assert same(np.ascontiguousarray(array), arrays[name])
    assert not any(array.dtype == np.int64 for array in arrays.values())


def test_convert_bfloat16(tmp_path, capsys):
    path = DATA / "traced" / "hf457-w_bf16_eager.pt"
    run(capsys, "convert", path, tmp_path)
    header, arrays = read(tmp_path / "model.safetensors")
    name = "embeddings.word_embeddings.weight"
    assert header[name]["dtype"] == "BF16"
    wide = (arrays[name].astype(np.uint32) << 16).view(np.float32)
    assert same(wide, np.array(bertc.load(path).state_dict()[name]))


def test_convert_weights(tmp_path, capsys):
    """Any road's weights, and the configuration beside them, become a directory that is the same model."""
    expected = bertc.load(ROADS / "directory")([[1, 2, 3]])
    for name in ("zip.bin", "legacy.bin", "rust_model.ot"):
        source = tmp_path / f"from {name}"
        source.mkdir()
        shutil.copy(ROADS / name, source)
        shutil.copy(ROADS / "directory" / "config.json", source)
        out = tmp_path / name
        assert run(capsys, "convert", source / name, out).endswith("(float32); config.json\n")
        assert same(dict(bertc.load(out)([[1, 2, 3]])), dict(expected))
    assert run(capsys, "convert", ROADS / "zip.bin", tmp_path / "bare").endswith("(float32)\n")
    run(capsys, "convert", tmp_path / "zip.bin", tmp_path / "again")
    _, arrays = read(tmp_path / "again" / "model.safetensors")
    assert same(dict(sorted(arrays.items())), dict(sorted(bertc.load_state_dict(ROADS / "zip.bin").items())))


def test_convert_views(tmp_path, capsys):
    """Tied, strided and empty tensors of all dtypes."""
    path = DATA / "state" / "legacy_views.bin"
    run(capsys, "convert", path, tmp_path / "views")
    found = bertc.load_state_dict(tmp_path / "views")
    for name, array in bertc.load_state_dict(path).items():
        assert same(found[name], np.ascontiguousarray(array).reshape(array.shape))
    assert b'"bfloat16":{"dtype":"BF16"' in (tmp_path / "views" / "model.safetensors").read_bytes()


def test_convert_keeps_config(tmp_path, capsys):
    stream = io.BytesIO(BERT.read_bytes())
    with zipfile.ZipFile(stream, "a") as file:
        folder = file.namelist()[0].partition("/")[0]
        file.writestr(f"{folder}/extra/config.json", '{"model_type": "bert"}')
    (tmp_path / "model.pt").write_bytes(stream.getvalue())
    assert run(capsys, "convert", tmp_path / "model.pt", tmp_path / "out").endswith("; config.json\n")
    assert json.loads((tmp_path / "out" / "config.json").read_text()) == {"model_type": "bert"}


def test_convert_refuses(tmp_path, capsys):
    (tmp_path / "model.safetensors").write_bytes(b"kept")
    cases = {
        BERT: (tmp_path, "model.safetensors exists already"),
        DATA / "traced" / "hf457-w_freeze.pt": (tmp_path / "out", "no weights by name"),
        DATA / "traced" / "hf523-w_dynquant.pt": (tmp_path / "out", "quantised"),
        tmp_path / "nothing.pt": (tmp_path / "out", "No such file"),
    }
    for path, (out, text) in cases.items():
        assert command.main(["convert", str(path), str(out)]) == 1
        assert text in capsys.readouterr().err
    assert (tmp_path / "model.safetensors").read_bytes() == b"kept"
    assert not (tmp_path / "out").exists()


def test_write_is_whole_or_nothing(tmp_path):
    with pytest.raises(ValueError, match="x: safetensors files hold no complex64"):
        safetensors.write(tmp_path / "a", {"x": (np.zeros(2, np.complex64), "complex64")})
    tensors = {
        "a": (np.arange(3, dtype=np.int8), "int8"),
        "b": (np.ones((2, 0)), "float64"),
        "c": (np.array(3, np.float32), "float32"),
        "d": (np.arange(6.0)[::2].astype(">f4"), "float32"),
    }
    safetensors.write(tmp_path / "a", tensors)
    _, arrays = read(tmp_path / "a")
    assert arrays["a"].tolist() == [0, 1, 2] and arrays["b"].shape == (2, 0)
    assert arrays["c"].shape == () and arrays["c"] == 3 and arrays["d"].tolist() == [0, 2, 4]
    assert [x.name for x in tmp_path.iterdir()] == ["a"]


def process(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "bertc", *map(str, arguments)], capture_output=True, text=True, **options
    )


def test_process(tmp_path):
    bad = tmp_path / "bad.pt"
    bad.write_text("<html>")
    result = process("show", bad)
    assert result.returncode == 1 and not result.stdout
    assert result.stderr.startswith("error: ") and "HTML page" in result.stderr and "Traceback" not in result.stderr
    result = process("show", EXPORTED, "--no-graph")
    assert result.returncode == 0 and not result.stderr and "outputs: {logits:" in result.stdout
    assert process().returncode == 2
