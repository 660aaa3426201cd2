"""python -m bertc: what it prints of files of each kind, the safetensors files that it writes, its errors."""

import io
import json
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from conftest import DATA, same

import bertc
from bertc import __main__ as command
from bertc import safetensors

BERT = DATA / "traced" / "hf523-bert.sdpa.pt"
EXPORTED = DATA / "pt2" / "torch2.13.0-dynamic.pt2"


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


@pytest.mark.parametrize("path", sorted(DATA.glob("*/*.pt*")), ids=lambda path: path.name)
def test_show_everything(path, capsys):
    status = command.main(["show", str(path)])
    out, err = capsys.readouterr()
    assert (status == 0 and out.startswith(path.name) and not err) or (status == 1 and err.startswith("error: "))


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
