"""SentenceEncoder on a small model: shapes, bits, long texts, threads, coroutines, and what it refuses."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from conftest import DATA, same

import bertc
from bertc import safetensors

pytest.importorskip("tokenizers")
from bertc.text import runner
from bertc.text.tokenizer import Tokenizer
from bertc.text.truncation import TruncationWarning

LETTERS = "abcdefghijklmnop"
LENGTH = 12  # tokens of a text, at most


def write(path, value) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value))


def make_folder(folder) -> None:
    """The small BERT of tests/data with a vocabulary of letters, a token each, but for words that have others."""
    for name in ("config.json", "model.safetensors"):
        shutil.copy(DATA / "directories" / "bert" / name, folder)
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *(f"##{letter}" for letter in LETTERS)]
    (folder / "vocab.txt").write_text("\n".join(tokens))
    modules = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Dense", "Dense"), ("3_Normalize", "Normalize")]
    entries = [{"idx": i, "path": path, "type": f"sentence_transformers.models.{kind}"} for i, (path, kind) in
               enumerate(modules)]  # fmt: skip
    write(folder / "modules.json", entries)
    write(folder / "sentence_bert_config.json", {"max_seq_length": LENGTH})
    write(folder / "config_sentence_transformers.json", {"prompts": {"query": "ab: ", "document": "cd"}})
    write(folder / "1_Pooling" / "config.json", {"pooling_mode": ["mean", "max"]})
    config = {"activation_function": "torch.nn.modules.activation.Tanh", "bias": True}
    write(folder / "2_Dense" / "config.json", config)
    chance = np.random.default_rng(0)
    weights = {"linear.weight": chance.normal(size=(8, 32)), "linear.bias": chance.normal(size=8)}
    weights = {name: (array.astype(np.float32), "float32") for name, array in weights.items()}
    safetensors.write(folder / "2_Dense" / "model.safetensors", weights)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sentence")
    make_folder(folder)
    return folder


@pytest.fixture
def changed(folder, tmp_path):
    """A copy to change."""
    return shutil.copytree(folder, tmp_path / "changed")


@pytest.fixture(scope="module")
def encoder(folder) -> bertc.SentenceEncoder:
    return bertc.SentenceEncoder(folder)


@pytest.fixture(scope="module")
def plain() -> bertc.SentenceEncoder:
    """Without modules: the mean of the tokens."""
    folder = DATA / "directories" / "bert"
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS]
    from tokenizers import Tokenizer as Backend
    from tokenizers import models, pre_tokenizers, processors

    backend = Backend(models.WordLevel({token: i for i, token in enumerate(tokens)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    special = [("[CLS]", 2), ("[SEP]", 3)]
    backend.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", "[CLS] $A [SEP] $B [SEP]", special)
    return bertc.SentenceEncoder(folder, tokenizer=backend, max_seq_length=LENGTH)


def words(count: int, longest: int = 8) -> list[str]:
    chance = np.random.default_rng(count)
    return ["".join(chance.choice(list(LETTERS), chance.integers(1, longest + 1))) for _ in range(count)]


# ---- what comes out ----


def test_shapes(encoder):
    assert encoder.encode("abc").shape == (8,)
    for texts in (["abc", "d"], ("abc", "d"), np.array(["abc", "d"])):
        assert encoder.encode(texts).shape == (2, 8)
    assert encoder.encode([]).shape == (0,)
    assert encoder.encode(["abc"]).dtype == np.float32
    assert encoder.encode(sentences=["abc"]).shape == (1, 8)
    assert [x.shape for x in encoder.encode(["abc", "d"], convert_to_numpy=False)] == [(8,), (8,)]
    assert [x.shape for x in encoder.encode(["abc", "d"], output_value="token_embeddings")] == [(5, 16), (3, 16)]
    assert encoder.encode([("abc", "d")]).shape == (1, 8)
    assert encoder.encode("abc", truncate_dim=3).shape == (3,)
    assert encoder.get_embedding_dimension() == encoder.get_sentence_embedding_dimension() == 8
    assert encoder.max_seq_length == LENGTH
    assert encoder.encode(["a"], pool=encoder.start_multi_process_pool(), device=["cpu"], chunk_size=3).shape == (1, 8)
    assert "Pooling(mean + max) > Dense(32 to 8) > Normalize()" in repr(encoder)


def test_the_mean_of_the_tokens(plain):
    ids = [2, 5, 6, 7, 3]
    hidden = plain.model([ids])["last_hidden_state"][0]
    assert np.array_equal(plain.encode("a b c", output_value="token_embeddings"), hidden)
    assert np.allclose(plain.encode("a b c"), hidden.mean(0), atol=1e-6)


def test_modules(encoder, folder):
    hidden = encoder.encode("abc", output_value="token_embeddings")
    weights = bertc.load_state_dict(folder / "2_Dense")
    pooled = np.concatenate([hidden.mean(0), hidden.max(0)])
    vector = np.tanh(weights["linear.weight"] @ pooled + weights["linear.bias"])
    assert np.allclose(encoder.encode("abc"), vector / np.linalg.norm(vector), atol=1e-6)


def test_the_same_bits_whatever_is_beside_it(encoder, monkeypatch):
    texts = words(200)
    expected = np.stack([encoder.encode(text) for text in texts])
    monkeypatch.setattr(runner, "CHUNK_ITEMS", 37)
    monkeypatch.setattr(runner, "CALL_TOKENS", 100)
    for batch_size in (None, 1, 3, 64, 1000):
        assert same(encoder.encode(texts, batch_size=batch_size), expected)
    assert same(encoder.encode(texts[::-1])[::-1].copy(), expected)
    assert same(np.stack(list(encoder.encode(iter(texts)))), expected)
    assert same(asyncio.run(encoder.aencode(texts)), expected)
    with ThreadPoolExecutor(16) as pool:
        for got in pool.map(encoder.encode, [texts] * 32):
            assert same(got, expected)


def test_the_same_bits_of_the_real_model(minilm_path):
    encoder = bertc.SentenceEncoder(minilm_path)
    texts = ["Jim Henson made puppets.", "a", "Puppets " * 100, "Who was Jim Henson?", "", "Где вокзал?"] * 3
    together = encoder.encode(texts)
    assert same(np.stack([encoder.encode(text) for text in texts]), together)
    assert encoder.rank("Who made puppets?", texts[:2], top_k=1)[0]["corpus_id"] == 0


def test_results_are_the_callers(encoder):
    for options in ({}, {"output_value": "token_embeddings"}):
        first = encoder.encode(["abc", "de"], **options)
        copies = [np.copy(x) for x in first]
        for x in encoder.encode(["abc", "de"], **options):
            x[:] = 0
        assert all(np.array_equal(a, b) for a, b in zip(first, copies))


def test_prompts(encoder, changed):
    assert same(encoder.encode_query("ef"), encoder.encode("ab: ef"))
    assert same(encoder.encode_document(["ef"]), encoder.encode(["cdef"]))
    assert same(encoder.encode_query("ef", prompt="p"), encoder.encode("pef"))
    assert same(encoder.encode_query("ef", None, "p"), encoder.encode("pef"))
    assert same(encoder.encode("ef", prompt_name="document"), encoder.encode("cdef"))
    with pytest.warns(UserWarning, match="prompt_name is ignored") as caught:
        encoder.encode("ef", prompt="", prompt_name="query")
    assert caught[0].filename == __file__
    write(changed / "1_Pooling" / "config.json", {"pooling_mode": "mean", "include_prompt": False})
    (changed / "modules.json").write_text(json.dumps(json.loads((changed / "modules.json").read_text())[:2]))
    without = bertc.SentenceEncoder(changed, default_prompt_name="document")
    tokens = without.encode("ef", output_value="token_embeddings", prompt="cd")
    assert np.allclose(without.encode("ef"), tokens[3:].mean(0), atol=1e-6)
    long = "e " * 15
    first, second = without.encode_windows(long, prompt="c d ").vectors  # 10 tokens each, 2 of them the prompt
    tokens = without.encode("c d " + "e " * 8, prompt="", output_value="token_embeddings")
    assert np.allclose(first, tokens[3:].mean(0), atol=1e-6)
    assert np.allclose(second, without.encode("e " * 7, prompt=""), atol=1e-6)


def test_quantized(encoder):
    texts = words(20)
    vectors = encoder.encode(texts)
    assert same(encoder.encode(texts, precision="ubinary"), np.packbits(vectors > 0, axis=-1))
    assert same(np.stack(list(encoder.encode(iter(texts), precision="ubinary"))), np.packbits(vectors > 0, axis=-1))
    with pytest.warns(UserWarning, match="20 embeddings only") as caught:
        small = encoder.encode(texts, precision="int8")
    assert caught[0].filename == __file__
    assert small.dtype == np.int8
    with pytest.raises(bertc.InputError, match="iterator"):
        encoder.encode(iter(texts), precision="int8")
    with pytest.raises(bertc.InputError, match="must be floats"):
        bertc.quantize_embeddings(small, "binary")
    with pytest.raises(bertc.InputError, match=r"shape \(2, 8\)"):
        bertc.quantize_embeddings(vectors, "int8", ranges=[[0], [1]])


def test_rank(encoder):
    documents = ["abcd", "p", "abc", "abc"]
    ranked = encoder.rank("abc", documents, return_documents=True, prompt="")
    assert [entry["corpus_id"] for entry in ranked][:2] == [2, 3]
    assert ranked[0]["text"] == "abc"
    assert ranked[0]["score"] == pytest.approx(1)
    vectors = encoder.encode(documents)
    again = encoder.rank(encoder.encode("abc"), vectors, top_k=2)
    assert again == [{key: entry[key] for key in ("corpus_id", "score")} for entry in ranked[:2]]
    assert encoder.rank("abc", []) == []


# ---- long texts ----

LONG = " ".join("abcdefghijklmnopabcdefgh")  # 24 tokens, where a window has 10


def test_truncation(plain):
    texts = ["a", LONG, "b", LONG]
    with pytest.warns(TruncationWarning, match="2 texts were cut to 12 tokens, at indices 1, 3") as caught:
        cut = plain.encode(texts)
    assert (len(caught), caught[0].filename) == (1, __file__)
    with pytest.warns(TruncationWarning) as caught:
        assert same(np.stack(list(plain.encode(iter(texts)))), cut)
    assert caught[0].message.indices == [1, 3]
    with pytest.warns(TruncationWarning):
        assert same(asyncio.run(plain.aencode(texts)), cut)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert same(plain.encode(texts, truncation="ignore"), cut)
        assert same(plain.encode(LONG[:19]), cut[1])
        windows = plain.encode(texts, truncation="window")
    with pytest.raises(bertc.InputError, match="2 texts were longer than"):
        plain.encode(texts, truncation="error")
    assert same(windows[::2], cut[::2])
    parts = np.stack([plain.encode(part) for part in (LONG[:19], LONG[20:39], LONG[40:])])
    assert np.allclose(windows[1], np.average(parts, axis=0, weights=[10, 10, 4]), atol=1e-6)


def test_windows(plain):
    windows = plain.encode_windows(LONG)
    assert windows.spans == [(0, 19), (20, 39), (40, 47)]
    assert same(windows.vectors[1], plain.encode(LONG[20:39]))
    assert plain.encode_windows(LONG, stride=5).spans == [(0, 19), (10, 29), (20, 39), (30, 47)]
    many = plain.encode_windows(["a", LONG], prompt="p p ", normalize_embeddings=True)
    assert [window.spans for window in many] == [[(0, 1)], [(0, 15), (16, 35), (36, 47)]]
    assert np.allclose(np.linalg.norm(many[1].vectors, axis=1), 1)
    assert [len(window.vectors) for window in plain.encode_windows(iter(["a", LONG]))] == [1, 3]


def test_spans(plain, encoder):
    tokens = plain.encode("a b c d e", output_value="token_embeddings")
    vectors = plain.encode_spans("a b c d e", [(0, 3), (4, 9), (8, 9)])
    for vector, part in zip(vectors, (tokens[1:3], tokens[3:6], tokens[5:6])):
        assert np.allclose(vector, part.mean(0), atol=1e-6)
    windows = [plain.encode(part, output_value="token_embeddings") for part in (LONG[:19], LONG[10:29])]
    vector = plain.encode_spans(LONG, [(16, 25)], stride=5)[0]
    expected = np.concatenate([windows[0][9:11], windows[1][6:9]]).mean(0)
    assert np.allclose(vector, expected, atol=1e-6)
    assert plain.encode_spans(LONG, [(0, 5)], truncate_dim=4, normalize_embeddings=True).shape == (1, 4)
    for spans, message in [
        ([(0, 48)], "within"),
        ([], "no spans"),
        ([(1, 2)], "no tokens"),
        ([(3, 2)], "within"),
    ]:
        with pytest.raises(bertc.InputError, match=message):
            plain.encode_spans(LONG, spans)
    assert encoder.encode_spans("ab cd", [(0, 2)]).shape == (1, 8)
    many = plain.encode_spans(["a b c d e", LONG], [[(0, 3), (8, 9)], [(16, 25)]], stride=5)
    assert same(many, [vectors[::2].copy(), vector[None]])
    for texts, spans in ((["a"], []), ([("a", "b")], [[(0, 1)]]), ("a", [[0, 1, 2]]), ("a", [0])):
        with pytest.raises(bertc.InputError, match="span"):
            plain.encode_spans(texts, spans)


# ---- coroutines ----


def test_coroutines(encoder):
    texts = words(200)
    expected = encoder.encode(texts)
    calls = []
    run = encoder._runner.run_each

    async def ask_all():
        return await asyncio.gather(*(encoder.aencode(text, normalize_embeddings=i % 2 == 0) for i, text in
                                      enumerate(texts)))  # fmt: skip

    encoder._runner.run_each = lambda encodings: calls.append(len(encodings)) or run(encodings)
    try:
        got = asyncio.run(ask_all())
    finally:
        del encoder._runner.run_each
    assert np.allclose(np.stack(got), expected, atol=1e-6)
    assert all(same(a, b) for a, b in zip(got[1::2], expected[1::2]))
    assert sum(calls) == 200
    assert len(calls) < 200
    assert asyncio.run(encoder.aencode("abc")).shape == (8,)
    assert asyncio.run(encoder.aencode([])).shape == (0,)


def test_cancelled_coroutines(encoder):
    texts = words(50)

    async def main():
        tasks = [asyncio.create_task(encoder.aencode(texts)) for _ in range(20)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    results = asyncio.run(main())
    assert all(isinstance(result, asyncio.CancelledError) for result in results[::2])
    assert all(same(result, encoder.encode(texts)) for result in results[1::2])


def test_a_bad_request_harms_no_other(encoder):
    async def main():
        good = [encoder.aencode(text) for text in words(20)]
        return await asyncio.gather(*good, encoder.aencode([5]), encoder.aencode("a" * 99, truncation="error"),
                                    return_exceptions=True)  # fmt: skip

    results = asyncio.run(main())
    assert all(isinstance(result, np.ndarray) for result in results[:20])
    assert all(isinstance(result, bertc.InputError) for result in results[20:])


# ---- memory ----

MEMORY = """
import resource, sys, bertc
encoder = bertc.SentenceEncoder(sys.argv[1])
texts = (f"{'abcdefghijklmnop'[i % 16]} b c{'d e' * (i % 3)}" for i in range(int(sys.argv[2])))
total = sum(float(vector[0]) for vector in encoder.encode(texts))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def peak(folder, count: int) -> float:
    run = subprocess.run([sys.executable, "-c", MEMORY, folder, str(count)], check=True, capture_output=True, text=True)
    return float(run.stdout)


@pytest.mark.skipif("BERTC_SANITIZER" in os.environ, reason="a sanitizer keeps freed memory")
def test_iterators_take_constant_memory(folder):
    assert peak(folder, 20_000) - peak(folder, 2_000) < 20


@pytest.mark.parity
def test_long_iterators_take_constant_memory(folder):
    assert peak(folder, 200_000) - peak(folder, 2_000) < 80


# ---- what is refused ----


@pytest.mark.parametrize(
    ("inputs", "options", "message"),
    [
        (None, {}, "expected a str, a list of them, or an iterator, got a NoneType"),
        (b"abc", {}, "got a bytes"),
        ({"text": "abc"}, {}, "got a dict"),
        (["a"] * 600 + [7], {}, "text 600: expected a str or a pair of them, got a int: 7"),
        (["a"], {"speed": 1, "colour": 2}, "does not know: colour, speed"),
        (["a"], {"batch_size": 0}, "batch_size"),
        (iter(["a"]), {"batch_size": 0}, "batch_size"),
        (["a"], {"output_value": "vectors"}, "output_value"),
        (["a"], {"precision": "int4"}, "precision"),
        (["a"], {"truncate_dim": 0}, "truncate_dim"),
        (["a"], {"truncation": "maybe"}, "truncation"),
        (["a"], {"truncation": "window", "output_value": None}, "window"),
        (["a"], {"convert_to_tensor": True}, "torch.from_numpy"),
        (["a"], {"prompt_name": "nothing"}, "'nothing', only 'query', 'document'"),
        ("a", {"precision": "uint8"}, "single embedding"),
    ],
)
def test_refused(encoder, inputs, options, message):
    with pytest.raises(bertc.InputError, match=message):
        encoder.encode(inputs, **options)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"pooling": "median"}, bertc.FormatError, "median"),
        ({"truncation": "maybe"}, bertc.InputError, "truncation"),
        ({"similarity_fn_name": "near"}, bertc.InputError, "similarity_fn_name"),
        ({"default_prompt_name": "nothing"}, bertc.InputError, "nothing"),
        ({"device": "cuda"}, bertc.UnsupportedError, "cuda"),
        ({"inputs": {"input_ids": "words"}}, bertc.InputError, "words"),
        ({"tokenizer": "/nowhere"}, FileNotFoundError, "nowhere"),
    ],
)
def test_refused_settings(folder, options, error, message):
    with pytest.raises(error, match=message):
        bertc.SentenceEncoder(folder, **options)


def entry(kind: str, path: str = "9_New") -> dict[str, str]:
    return {"path": path, "type": f"sentence_transformers.models.{kind}"}


@pytest.mark.parametrize(
    ("modules", "config", "error", "message"),
    [
        ([entry("Transformer", ""), entry("LSTM")], {}, bertc.UnsupportedError, "no module LSTM"),
        ([entry("StaticEmbedding", "")], {}, bertc.UnsupportedError, "begins with StaticEmbedding"),
        ([entry("Transformer", ""), {"path": ""}], {}, bertc.FormatError, "entry 1 has no type"),
        ([entry("Transformer", ""), entry("Pooling", "../x")], {}, bertc.FormatError, "does not name a file"),
        ([entry("Transformer", ""), entry("Pooling")], {"pooling_mode": "sum"}, bertc.FormatError, "sum"),
        ([entry("Transformer", ""), entry("Pooling")], {"pooling_mode": {}}, bertc.FormatError, "neither"),
        ([entry("Transformer", ""), entry("Dense")], {}, bertc.FormatError, "9_New"),
        (
            [entry("Transformer", ""), entry("Dense")],
            {"activation_function": "os.system"},
            bertc.UnsupportedError,
            "os",
        ),
        ([entry("Transformer", ""), entry("Normalize")], {"module_input_name": "x"}, bertc.UnsupportedError, "'x'"),
        ({}, {}, bertc.FormatError, "expected a list"),
    ],
)
def test_damaged_directories(changed, modules, config, error, message):
    write(changed / "modules.json", modules)
    write(changed / "9_New" / "config.json", config)
    with pytest.raises(error, match=message):
        bertc.SentenceEncoder(changed)


@pytest.mark.parametrize(
    "config",
    [
        {"transformer_task": "fill-mask"},
        {"module_output_name": "sentence_embedding"},
        {"modality_config": {"text": {"method": "forward", "method_output_name": "pooler_output"}}},
        {"processing_kwargs": {"text": {"max_length": 3}}},
    ],
    ids=str,
)
def test_what_a_transformer_may_be(changed, config):
    plain = {"transformer_task": "feature-extraction", "module_output_name": "token_embeddings"}
    write(changed / "sentence_bert_config.json", plain)
    assert bertc.SentenceEncoder(changed).max_seq_length == 40
    write(changed / "sentence_bert_config.json", plain | config)
    with pytest.raises(bertc.UnsupportedError, match="transformer_task|output_name|processing_kwargs"):
        bertc.SentenceEncoder(changed)


def test_of_the_hub(folder, tmp_path, monkeypatch):
    pytest.importorskip("huggingface_hub")
    commit = "0123456789abcdef0123456789abcdef01234567"
    cache = tmp_path / "models--someone--letters"
    shutil.copytree(folder, cache / "snapshots" / commit)
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text(commit)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    code = "import bertc; print(bertc.SentenceEncoder('someone/letters').encode('abc').tobytes().hex())"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert run.stdout.strip() == bertc.SentenceEncoder(folder).encode("abc").tobytes().hex()


def test_modules_that_do_not_fit(changed):
    write(changed / "1_Pooling" / "config.json", {"pooling_mode": "cls"})
    with pytest.raises(
        bertc.FormatError, match="Dense\\(32 to 8\\) takes vectors of 32, the module before it gives 16"
    ):
        bertc.SentenceEncoder(changed).encode("a")


def test_prompts_that_are_none(changed):
    write(changed / "config_sentence_transformers.json", {"prompts": ["a"]})
    with pytest.raises(bertc.FormatError, match="prompts must be an object"):
        bertc.SentenceEncoder(changed)


def test_a_model_without_a_tokenizer(bert):
    with pytest.raises(bertc.InputError, match="needs tokenizer="):
        bertc.SentenceEncoder(bert)


def test_a_traced_archive(bert_path, bert, folder):
    encoder = bertc.SentenceEncoder(bert_path, tokenizer=folder, pooling="cls", truncation="ignore")
    ids = encoder.tokenizer.encode("abc").ids
    hidden = bert(*(np.array([row]) for row in (ids, [1] * len(ids), [0] * len(ids))))[0]
    assert np.array_equal(encoder.encode("abc"), hidden[0, 0])
    assert isinstance(encoder.tokenizer, Tokenizer)
    assert bertc.SentenceEncoder(bert, tokenizer=folder, normalize=True).encode("abc").shape == hidden.shape[2:]
