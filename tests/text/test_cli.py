"""The commands of python -m bertc that take texts: what they read, what they write, their errors."""

import io
import json
import subprocess
import sys

import numpy as np
import pytest
from conftest import DATA
from tiny import make_bert

import bertc
from bertc import __main__ as command

pytest.importorskip("tokenizers")
FOLDERS = DATA / "text" / "pipelines"
TEXTS = ["Angela met Obama.", "", "a second line, über"]


@pytest.fixture
def run(capsys):
    """Runs a command; returns the records that it printed."""

    def call(*arguments):
        assert command.main([str(x) for x in arguments]) == 0
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return call


@pytest.fixture
def fails(capsys):
    """Runs a command that fails; returns what it said."""

    def call(*arguments):
        assert command.main([str(x) for x in arguments]) == 1
        text = capsys.readouterr().err
        assert text.startswith("error: ") and text.count("\n") == 1
        return text

    return call


@pytest.fixture
def encoder(tmp_path):
    return make_bert(tmp_path / "encoder")


def test_classify(run):
    pipe = bertc.pipeline("text-classification", FOLDERS / "labels")
    assert run("classify", FOLDERS / "labels", *TEXTS) == [{"text": t, **a} for t, a in zip(TEXTS, pipe(TEXTS))]
    labels = [{"text": t, "labels": a} for t, a in zip(TEXTS, pipe(TEXTS, top_k=2))]
    assert run("classify", FOLDERS / "labels", "--top-k", 2, *TEXTS) == labels
    zero_shot = bertc.pipeline("zero-shot-classification", FOLDERS / "labels")("dog", "a, b")
    (record,) = run("classify", FOLDERS / "labels", "dog", "--labels", "a, b")
    assert [entry["label"] for entry in record["labels"]] == zero_shot["labels"]
    assert [entry["score"] for entry in record["labels"]] == zero_shot["scores"]


def test_ner(run):
    pipe = bertc.pipeline("ner", FOLDERS / "entities")
    for record, text in zip(run("ner", FOLDERS / "entities", *TEXTS), TEXTS):
        expected = pipe(text, aggregation_strategy="simple")
        assert record == {"text": text, "entities": [{**e, "score": float(e["score"])} for e in expected]}


def test_qa(run, tmp_path):
    pipe = bertc.pipeline("question-answering", FOLDERS / "answers")
    expected = [{"question": q, **pipe(question=q, context=TEXTS[0])} for q in ("Who?", "Whom?")]
    assert run("qa", FOLDERS / "answers", "-q", "Who?", "-q", "Whom?", TEXTS[0]) == expected
    path = tmp_path / "context.txt"
    path.write_text("\n".join(TEXTS), encoding="utf-8")
    answers = pipe(question="Who?", context="\n".join(TEXTS), top_k=2)
    expected = [{"question": "Who?", **answer} for answer in answers]
    assert run("qa", FOLDERS / "answers", "-q", "Who?", "-i", path, "--top-k", 2) == expected
    path.write_text(json.dumps({"question": "Who?", "context": TEXTS[0]}))
    assert run("qa", FOLDERS / "answers", "-i", path) == [{"question": "Who?", **pipe("Who?", TEXTS[0])}]


def test_fill_mask(run):
    pipe = bertc.pipeline("fill-mask", FOLDERS / "masks", top_k=2)
    text = "the [MASK]."
    assert run("fill-mask", FOLDERS / "masks", text, "--top-k", 2) == [{"text": text, "tokens": pipe(text)}]
    tokens = pipe(text, targets=["the", "of"])
    assert run("fill-mask", FOLDERS / "masks", text, "--targets", "the,of")[0]["tokens"] == tokens


def test_embed(run, encoder, tmp_path):
    vectors = bertc.SentenceEncoder(encoder).encode(TEXTS)
    records = run("embed", encoder, *TEXTS)
    assert [record["text"] for record in records] == TEXTS
    assert np.array_equal(np.array([record["embedding"] for record in records], np.float32), vectors)
    assert run("embed", encoder, *TEXTS, "-o", tmp_path / "x.npy", "--batch-size", 2) == []
    written = np.load(tmp_path / "x.npy")
    assert written.dtype == np.float32 and np.array_equal(written, vectors)
    assert run("embed", encoder, *TEXTS, "-o", tmp_path / "y.npy", "--precision", "ubinary", "--dimensions", 16) == []
    expected = bertc.SentenceEncoder(encoder).encode(TEXTS, precision="ubinary", truncate_dim=16)
    assert np.array_equal(np.load(tmp_path / "y.npy"), expected)


def test_rerank(run, tmp_path):
    folder = make_bert(tmp_path / "reranker", "BertForSequenceClassification")
    ranked = bertc.CrossEncoder(folder).rank("dog", TEXTS, return_documents=True)
    expected = [{"score": r["score"], "index": r["corpus_id"], "text": r["text"]} for r in ranked]
    assert run("rerank", folder, "dog", *TEXTS) == expected
    assert run("rerank", folder, "dog", *TEXTS, "--top-k", 2) == expected[:2]


def test_where_texts_come_from(run, tmp_path, monkeypatch):
    expected = run("classify", FOLDERS / "labels", *TEXTS)
    path = tmp_path / "texts.txt"
    path.write_text("\r\n".join(TEXTS) + "\r\n", encoding="utf-8", newline="")
    assert run("classify", FOLDERS / "labels", "-i", path) == expected
    assert run("classify", FOLDERS / "labels", "first", "-i", path, "-i", path)[1:] == expected * 2
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("\n".join(TEXTS).encode())))
    assert run("classify", FOLDERS / "labels") == expected
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text(json.dumps({"text": "a", "text_pair": "b"}) + '\n"only one"\n')
    first, second = run("classify", FOLDERS / "labels", "-i", pairs)
    assert list(first) == ["text", "text_pair", "label", "score"] and second["text"] == "only one"


def test_table(capsys):
    arguments = ["fill-mask", str(FOLDERS / "masks"), "the [MASK] of [MASK].", "a [MASK]", "--top-k", "2"]
    assert command.main([*arguments, "--format", "table"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["score", "token", "token_str", "sequence", "text"] and len(lines) == 1 + 2 * 2 + 2
    assert command.main(["ner", str(FOLDERS / "entities"), "", "--format", "table"]) == 0
    assert capsys.readouterr().out.splitlines() == ["text", ""]


def test_a_file_of_records(run, tmp_path):
    assert run("classify", FOLDERS / "labels", "a", "-o", tmp_path / "out") == []
    assert json.loads((tmp_path / "out").read_text())["text"] == "a"


def test_warnings_are_one_line(capsys):
    assert command.main(["classify", str(FOLDERS / "labels"), "word " * 200]) == 0
    assert capsys.readouterr().err.startswith("warning: 1 text was cut to 128 tokens, at index 0")


def test_progress_in_terminals(run, monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr("sys.stderr", terminal)
    assert len(run("classify", FOLDERS / "labels", *TEXTS)) == 3
    assert "3 texts" in terminal.getvalue()


def test_errors(fails, tmp_path):
    labels = FOLDERS / "labels"
    assert "no such file" in fails("ner", tmp_path / "none", "a")
    assert "needs a model ...ForTokenClassification" in fails("ner", labels, "a")
    assert "npy needs a file" in fails("embed", labels, "a", "--format", "npy")
    assert "makes no vectors" in fails("ner", labels, "a", "-o", tmp_path / "x.npy")
    assert "the text at index 0 has" in fails("classify", labels, "word " * 200, "--truncation", "error")
    path = tmp_path / "bad.jsonl"
    path.write_text('"a"\n{')
    assert "bad.jsonl, line 2: no proper JSON" in fails("classify", labels, "-i", path)
    path.write_bytes(b"\xff")
    assert "is not UTF-8" in fails("classify", labels, "-i", path)


def test_arguments_that_no_command_has(capsys):
    for arguments in (["ner", "x", "--nonsense"], ["show", "x", "y"]):
        with pytest.raises(SystemExit) as caught:
            command.main(arguments)
        assert caught.value.code == 2 and "unrecognized arguments" in capsys.readouterr().err


def test_a_reader_that_has_seen_enough():
    code = f"import sys; from bertc.__main__ import main; sys.exit(main(['classify', {str(FOLDERS / 'labels')!r}]))"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()
    _, error = process.communicate(b"a line\n" * 20000)
    assert process.returncode == 0 and error == b""
