"""Every way to hold it wrong: damaged files, wrong files, wrong arguments. Each is a clear error of the right class."""

import io
import random
import struct
import zipfile

import numpy as np
import pytest
from conftest import DATA, same

import bertc

LEGACY = DATA / "traced_2019" / "torch1.0.1-pt12-bert_3in.pt"
FROZEN = DATA / "traced" / "hf523-w_optinf_eager.pt"


def attempt(data: bytes, inputs) -> str:
    """Loads and runs damaged bytes: any result is fine, and so is any bertc.Error with a text."""
    try:
        bertc.load(data)(*inputs)
    except bertc.Error as error:
        assert str(error).strip()
        return type(error).__name__
    return "ok"


def rezip(path, compression, keep=lambda name: True, rename=lambda name: name) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(stream, "w", compression) as new:
        for name in filter(keep, old.namelist()):
            new.writestr(rename(name), old.read(name))
    return stream.getvalue()


# ---- files ----


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.pt"):
        bertc.load(tmp_path / "nowhere.pt")


def test_unreadable_paths(tmp_path):
    with pytest.raises(OSError):
        bertc.load(tmp_path / ("a" * 5000))
    (tmp_path / "file").write_text("x")
    with pytest.raises(NotADirectoryError):
        bertc.load(tmp_path / "file" / "model.pt")
    with pytest.raises((OSError, bertc.FormatError)):
        bertc.load("/dev/null")


def test_directory_without_a_model(tmp_path):
    with pytest.raises((OSError, bertc.Error), match=r"config\.json"):
        bertc.load(tmp_path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"\x89PNG\r\n\x1a\n" + bytes(64), "not a model file.*89 50 4e 47"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "HTML"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "(?i)lfs"),
        (b"just a note\n" * 9, "not a model file"),
        (b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x07builtin\x94.", "(?i)pickle"),
        (b"\x7fELF\x02\x01\x01" + bytes(64), "not a model file.*7f 45 4c 46"),
        (bytes(range(200, 256)) * 4, "not a model file"),
    ],
    ids=["empty", "png", "html", "lfs", "text", "pickle", "elf", "noise"],
)
def test_wrong_files_are_named(content, says, tmp_path):
    path = tmp_path / "wrong.pt"
    path.write_bytes(content)
    for source in (path, content):
        with pytest.raises((bertc.FormatError, bertc.UnsupportedError), match=says):
            bertc.load(source)
    with pytest.raises(bertc.Error, match=r"wrong\.pt"):
        bertc.load(path)


def test_zip_that_is_no_model():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        file.writestr("word/document.xml", "<x/>")
    with pytest.raises((bertc.FormatError, bertc.UnsupportedError)):
        bertc.load(stream.getvalue())


@pytest.mark.parametrize("path", [DATA / "traced" / "hf523-bert.sdpa.pt", LEGACY, FROZEN], ids=lambda path: path.stem)
def test_truncated(path):
    data = path.read_bytes()
    lengths = [*range(1, 300, 7), *range(300, len(data), len(data) // 150), *range(len(data) - 200, len(data), 5)]
    for length in lengths:
        with pytest.raises((bertc.FormatError, bertc.UnsupportedError)):
            bertc.load(data[:length])


@pytest.mark.parametrize("path", [DATA / "traced" / "hf523-bert.sdpa.pt", LEGACY, FROZEN], ids=lambda path: path.stem)
def test_bit_flips(path, inputs):
    data = bytearray(path.read_bytes())
    chance = random.Random(7)
    outcomes = set()
    for i in range(400):
        position = chance.randrange(len(data)) if i % 2 else len(data) - 1 - chance.randrange(24000)
        bit = 1 << chance.randrange(8)
        data[position] ^= bit
        outcomes.add(attempt(bytes(data), inputs))
        data[position] ^= bit
    assert "ok" in outcomes and "FormatError" in outcomes


@pytest.mark.parametrize("member", ["data.pkl", "constants.pkl", "model.json", ".py"])
def test_damaged_member(member, inputs):
    """Flips inside a member, with the zip around it intact: the readers behind the zip have to notice."""
    path = LEGACY if member == "model.json" else DATA / "traced" / "hf523-bert.sdpa.pt"
    chance = random.Random(11)
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    targets = [name for name in members if name.endswith(member) and members[name]]
    for _ in range(60):
        name = chance.choice(targets)
        damaged = bytearray(members[name])
        for _ in range(chance.randint(1, 4)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as file:
            for other, content in members.items():
                file.writestr(other, bytes(damaged) if other == name else content)
        attempt(stream.getvalue(), inputs)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED], ids=["stored", "deflated"])
def test_rezipped_archive_works(bert_path, bert, inputs, compression):
    model = bertc.load(rezip(bert_path, compression))
    assert same(model(*inputs), bert(*inputs))


def test_other_top_folder_works(bert_path, bert, inputs):
    data = rezip(bert_path, zipfile.ZIP_STORED, rename=lambda name: "other/" + name.partition("/")[2])
    assert same(bertc.load(data)(*inputs), bert(*inputs))


@pytest.mark.parametrize("member", ["data.pkl", "constants.pkl", "__torch__", "/data/3"])
def test_missing_member(bert_path, member):
    with pytest.raises((bertc.FormatError, bertc.UnsupportedError), match=r".+"):
        bertc.load(rezip(bert_path, zipfile.ZIP_STORED, keep=lambda name: member not in name))


def test_zip_bomb_is_refused(bert_path):
    stream = io.BytesIO(rezip(bert_path, zipfile.ZIP_STORED, keep=lambda name: not name.endswith("data.pkl")))
    with zipfile.ZipFile(stream, "a", zipfile.ZIP_DEFLATED) as file:
        file.writestr("bomb/data.pkl", bytes(50_000_000))
        file.writestr(file.namelist()[0].partition("/")[0] + "/data.pkl", b"\x80\x02" + b"(" * 40_000_000)
    with pytest.raises(bertc.Error):
        bertc.load(stream.getvalue())


def test_pickle_that_calls_is_refused(bert_path, tmp_path):
    flag = tmp_path / "ran"
    evil = b"\x80\x02cos\nsystem\n(X" + struct.pack("<I", len(f"touch {flag}")) + f"touch {flag}".encode() + b"tR."
    stream = io.BytesIO()
    with zipfile.ZipFile(bert_path) as old, zipfile.ZipFile(stream, "w") as new:
        for name in old.namelist():
            new.writestr(name, evil if name.endswith("data.pkl") else old.read(name))
    with pytest.raises((bertc.UnsupportedError, bertc.FormatError), match="os system"):
        bertc.load(stream.getvalue())
    assert not flag.exists()


# ---- arguments ----


def table_rows(model: bertc.Model, name: str) -> int:
    return next(len(array) for key, array in model.state_dict().items() if key.endswith(name))


def wrong(arguments, change):
    ids, mask, types = (array.copy() for array in arguments)
    return change(ids, mask, types)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda i, m, t: (i, m), "token_type_ids"),
        (lambda i, m, t: (i, m, t, t), "4 positional arguments, the model takes 3"),
        (lambda i, m, t: (i.astype(np.float32), m, t), "input_ids"),
        (lambda i, m, t: (i, m, t.astype(np.float32)), "token_type_ids"),
        (lambda i, m, t: (i.astype(bool), m, t), "input_ids"),
        (lambda i, m, t: (i[0], m, t), r"input_ids: int64\[11\]"),
        (lambda i, m, t: (i[None], m, t), "input_ids"),
        (lambda i, m, t: (np.int64(3), m, t), r"input_ids: int64\[\]"),
        (lambda i, m, t: (i[:2], m, t), "input_ids|attention_mask|token_type_ids"),
        (lambda i, m, t: (i, m[:2], t), r"attention_mask: int64\[2, 11\]"),
        (lambda i, m, t: (i, m[:, :5], t), "attention_mask"),
        (lambda i, m, t: (i, m, t[:, :5]), "token_type_ids"),
        (lambda i, m, t: ([[1, 2], [3]], m, t), "input_ids: its rows have different lengths"),
        (lambda i, m, t: ("who was jim henson", m, t), "input_ids.*tokenise"),
        (lambda i, m, t: (i, None, t), "attention_mask: expected a tensor, got None"),
        (lambda i, m, t: (i - 100, m, t), r"input_ids.*-\d+"),
        (lambda i, m, t: (i + 10**6, m, t), r"input_ids.*1000\d\d\d"),
        (lambda i, m, t: (i + 2**40, m, t), r"input_ids.*10995116"),
        (lambda i, m, t: (i, m, t + 2), "token_type_ids.*2"),
    ],
)
def test_wrong_arguments(bert, inputs, change, message):
    expected = bert(*inputs)
    with pytest.raises(bertc.InputError, match=message):
        bert(*wrong(inputs, change))
    assert same(bert(*inputs), expected), "an error must not harm the model"


def test_unknown_keyword(bert, inputs):
    with pytest.raises(bertc.InputError, match="'labels', the model takes .input_ids: Tensor"):
        bert(*inputs, labels=inputs[0])


def test_first_id_outside_is_named_with_its_place(bert, inputs):
    rows = table_rows(bert, "word_embeddings.weight")
    ids, mask, types = (array.copy() for array in inputs)
    ids[1, 4] = rows
    with pytest.raises(bertc.InputError, match=rf"input_ids.*\b1, 4\b.*\b{rows}\b|input_ids.*\b{rows}\b.*\b1, 4\b"):
        bert(ids, mask, types)


def test_sequence_beyond_the_position_table(bert):
    rows = table_rows(bert, "position_embeddings.weight")
    ids = np.full((1, rows), 5)
    bert(ids, np.ones_like(ids), np.zeros_like(ids))
    ids = np.full((1, rows + 1), 5)
    with pytest.raises(bertc.InputError, match=rf"{rows + 1}.*{rows}|{rows}.*{rows + 1}"):
        bert(ids, np.ones_like(ids), np.zeros_like(ids))


@pytest.mark.parametrize("shape", [(0, 5), (2, 0), (0, 0)])
def test_empty_batches(bert, shape):
    """PyTorch runs an empty batch; no tokens at all may be refused, clearly."""
    ids = np.zeros(shape, np.int64)
    try:
        hidden, _ = bert(ids, ids, ids)
    except bertc.InputError as error:
        assert str(error)
    else:
        assert hidden.shape[:2] == shape


def test_nested_arguments_are_named():
    model = bertc.load(DATA / "nested" / "curated-bert-dictmask.pt")
    ids = np.full((1, 4), 5)
    for mask, message in (
        ({"bool_mask": None}, r"attention_mask\['bool_mask'\]"),
        ({"other": ids > 0}, "bool_mask"),
        ({}, "bool_mask"),
        (ids > 0, "attention_mask: expected a dict"),
    ):
        with pytest.raises(bertc.InputError, match=message):
            model(ids, mask)
