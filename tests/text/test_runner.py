"""Runner and Overflow: order, memory, threads, and what does not fit."""

import json
import sys
import threading
import warnings

import numpy as np
import pytest
from conftest import DATA, same

import bertc

pytest.importorskip("tokenizers")
from tokenizers import Tokenizer as Backend
from tokenizers import models, pre_tokenizers, processors

from bertc.text import runner as module
from bertc.text.runner import Runner
from bertc.text.tokenizer import Tokenizer
from bertc.text.truncation import Overflow, TruncationWarning

LETTERS = "abcdefghijklmnopqrstuvwxyz"


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    """A letter is a token."""
    backend = Backend(models.WordLevel({letter: i + 3 for i, letter in enumerate(LETTERS)} | {"?": 0}, unk_token="?"))
    backend.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    backend.post_processor = processors.TemplateProcessing(
        single="S:0 $A:0 E:0", pair="S:0 $A:0 E:0 $B:1 E:1", special_tokens=[("S", 1), ("E", 2)]
    )
    return Tokenizer(backend)


@pytest.fixture(scope="module")
def runner() -> Runner:
    return Runner(bertc.load(DATA / "directories" / "bert"))


def words(count: int) -> list[str]:
    chance = np.random.default_rng(count)
    return ["".join(chance.choice(list(LETTERS), chance.integers(1, 18))) for _ in range(count)]


def stream(runner, tokenizer, texts, **options):
    return runner.stream(
        texts,
        lambda chunk, first: [[encoding] for encoding in tokenizer.encode_batch(chunk)],
        lambda encodings, results: (len(encodings[0]), results[0][0].copy()),
        **options,
    )


def test_run_is_run_packed(runner, tokenizer):
    texts = ["jim", ("who was jim", "puppeteer"), "x"]
    encodings = tokenizer.encode_batch(texts)
    results = runner.run(encodings)
    for encoding, result in zip(encodings, results):
        alone = runner.model([encoding.ids], token_type_ids=[encoding.type_ids])
        assert same(tuple(x[0] for x in alone.values()), tuple(result.values()))


@pytest.mark.parametrize("batch_size", [None, 1, 7, 1000])
def test_stream_keeps_the_order(runner, tokenizer, monkeypatch, batch_size):
    monkeypatch.setattr(module, "CHUNK_ITEMS", 10)
    monkeypatch.setattr(module, "CALL_TOKENS", 40)
    texts = words(83)
    expected = [runner.run([tokenizer.encode(text)])[0][0] for text in texts]
    for source in (texts, iter(texts)):
        got = list(stream(runner, tokenizer, source, batch_size=batch_size))
        assert [length for length, _ in got] == [len(text) + 2 for text in texts]
        assert all(same(a, b) for (_, a), b in zip(got, expected))
    assert list(stream(runner, tokenizer, [])) == []


def test_stream_holds_little(runner, tokenizer, monkeypatch):
    monkeypatch.setattr(module, "CHUNK_ITEMS", 10)
    before = set(threading.enumerate())
    taken = 0

    def source():
        nonlocal taken
        for taken, text in enumerate(words(1000), 1):  # noqa: B007
            yield text

    values = stream(runner, tokenizer, source())
    for i, _ in enumerate(values, 1):
        assert taken <= i + 20
        if i == 500:
            break
    values.close()
    assert taken < 530
    assert set(threading.enumerate()) <= before


def test_stream_raises_what_its_parts_raise(runner, tokenizer, monkeypatch):
    monkeypatch.setattr(module, "CHUNK_ITEMS", 4)
    with pytest.raises(bertc.InputError, match="got a int: 5"):
        list(stream(runner, tokenizer, ["a"] * 9 + [5]))

    def source():
        yield from "abcdefgh"
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        list(stream(runner, tokenizer, source()))
    with pytest.raises(bertc.InputError, match="batch_size"):
        list(stream(runner, tokenizer, ["a"], batch_size=0))


def test_progress(runner, tokenizer, capsys):
    pytest.importorskip("tqdm")
    list(stream(runner, tokenizer, words(70), progress=True))
    shown = capsys.readouterr().err
    assert "Batches: 100%" in shown
    assert "3/3" in shown
    list(stream(runner, tokenizer, iter(words(70)), progress=True))
    assert "Batches: 3it" in capsys.readouterr().err


def test_arguments_of_traced_archives(bert, tokenizer):
    encodings = tokenizer.encode_batch(["jim", "henson"])
    for inputs in (None, {"input_ids": "input_ids"}):
        for encoding, result in zip(encodings, Runner(bert, inputs).run(encodings)):
            ids, ones = np.array([encoding.ids]), np.ones((1, len(encoding)), np.int64)
            assert same(tuple(x[0] for x in bert(ids, ones, 0 * ones)), result)
    with pytest.raises(bertc.InputError, match="'nothing'"):
        Runner(bert, {"input_ids": "nothing"})


def test_config_without_segments(runner):
    assert "token_type_ids" in runner.columns
    config = json.loads((DATA / "directories" / "bert" / "config.json").read_text())
    assert "token_type_ids" not in Runner(runner.model, config={**config, "type_vocab_size": 1}).columns


@pytest.mark.parametrize("name", ["bert", "xlnet"])
def test_types_of_zeros_change_nothing(tokenizer, name):
    """transformers takes zeros when types are not given; XLNet takes none, which is something else."""
    folder = DATA / "directories" / name
    model = bertc.load(folder)
    given = []

    class Watched:
        architecture, _core = model.architecture, model._core

        def run_packed(self, **columns):
            given.append("token_type_ids" in columns)
            return model.run_packed(**columns)

    runner = Runner(Watched(), config=json.loads((folder / "config.json").read_text()))
    for texts in (["jim"], ["jim", ("who", "x")]):
        encodings = tokenizer.encode_batch(texts)
        for encoding, result in zip(encodings, runner.run(encodings)):
            alone = model([encoding.ids], token_type_ids=[encoding.type_ids])
            assert same(tuple(x[0] for x in alone.values()), tuple(result.values()))
    assert given == [name == "xlnet", True]


def test_overflow(tokenizer):
    texts = ["abc", "abcdefghij", "x", "klmnopqrstuv"]
    encodings = tokenizer.encode_batch(texts, max_length=7)
    assert [len(group) for group in Overflow("window", 7).windows(encodings)] == [1, 2, 1, 3]

    overflow = Overflow("warn", 7)
    assert [len(group) for group in overflow.windows(encodings, 10)] == [1, 1, 1, 1]
    with pytest.warns(TruncationWarning, match="2 texts were cut to 7 tokens, at indices 11, 13;") as caught:
        overflow.report()
    assert (caught[0].message.count, caught[0].message.indices, caught[0].message.max_length) == (2, [11, 13], 7)
    assert caught[0].filename == __file__

    with pytest.raises(bertc.InputError, match="2 texts were longer than"):
        Overflow("error", 7).windows(encodings)
    with pytest.raises(bertc.InputError, match="truncation must be one of"):
        Overflow("silent", 7)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for policy in ("ignore", "window"):
            quiet = Overflow(policy, 7)
            quiet.windows(encodings)
            quiet.report()


def test_without_the_extra(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("bertc.text")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    monkeypatch.delitem(vars(bertc), "SentenceEncoder", raising=False)
    assert "SentenceEncoder" in dir(bertc)
    with pytest.raises(ImportError, match=r"pip install bertc\[text\]"):
        bertc.SentenceEncoder  # noqa: B018
