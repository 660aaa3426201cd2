"""Tokenizer against the tokenizers library used the ordinary way."""

import itertools
import json
import random
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest

import bertc

pytest.importorskip("tokenizers")
from tokenizers import AddedToken, decoders, models, pre_tokenizers, processors
from tokenizers import Tokenizer as Backend

from bertc.text.directory import Directory
from bertc.text.tokenizer import Tokenizer

TEXTS = [
    "Jim Henson was a puppeteer.",
    "Two  spaces, [MASK] and a naïve café",
    "",
    "мир 世界 🙂 안녕하세요 " * 4,
    " leading and trailing ",
    "a-very-long-text " * 6,
]
FIELDS = ["ids", "type_ids", "tokens", "offsets", "special_tokens_mask", "attention_mask", "word_ids", "sequence_ids"]


def roberta(trim_offsets: bool = True) -> Backend:
    """Bytes, with a few merges, as RoBERTa has them."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    names = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *alphabet, "Ġa", "in", "er", "ing"]
    vocabulary = {name: i for i, name in enumerate(names)}
    backend = Backend(models.BPE(vocabulary, [("Ġ", "a"), ("i", "n"), ("e", "r"), ("in", "g")]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), trim_offsets, False)
    backend.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>", AddedToken("<mask>", lstrip=True)])
    return backend


@pytest.fixture(scope="module", params=["minilm", "roberta", "untrimmed", "bare"])
def both(request) -> tuple[Backend, Tokenizer]:
    """The library's, to be used in the ordinary way, and ours of it."""
    if request.param == "minilm":
        backend = Backend.from_file(str(request.getfixturevalue("minilm_path") / "tokenizer.json"))
    else:
        backend = roberta(trim_offsets=request.param != "untrimmed")
    if request.param == "bare":
        backend.post_processor = processors.TemplateProcessing(single="$A:0", pair="$A:0 $B:1")
        tokenizer = roberta()
        tokenizer.post_processor = None
        return backend, Tokenizer(tokenizer)
    return backend, Tokenizer(Backend.from_str(backend.to_str()))


def fields(encoding, names=FIELDS):
    return [getattr(encoding, name) for name in names]


def ordinary(backend: Backend, texts, **truncation) -> list:
    backend.no_padding()
    backend.no_truncation()
    if truncation:
        backend.enable_truncation(**truncation)
    return [backend.encode(*text) if isinstance(text, tuple) else backend.encode(text) for text in texts]


def windows(encoding) -> list:
    """The library's windows; where both texts of a pair are cut, those of the second one with the first's beginning."""

    def part(window, sequence):
        return [o for o, i in zip(window.offsets, window.sequence_ids) if i == sequence]

    cut = [any(part(window, i) != part(encoding, i) for window in encoding.overflowing) for i in (0, 1)]
    return [x for x in encoding.overflowing if not all(cut) or part(x, 0) == part(encoding, 0)]


def check(both, texts, max_length=None, stride=0, strategy="longest_first") -> None:
    backend, mine = both
    options = {"max_length": max_length, "stride": stride, "strategy": strategy}
    expected = ordinary(backend, texts, **(options if max_length else {}))
    for got, want in zip(mine.encode_batch(texts, **options), expected):
        assert fields(got) == fields(want)
        assert list(map(fields, got.overflowing)) == list(map(fields, windows(want)))
    for got, want in zip(mine.encode_batch(texts, offsets=False, **options), expected):
        assert got.ids == want.ids
        assert got.type_ids == want.type_ids
        assert [x.ids for x in got.overflowing] == [x.ids for x in windows(want)]


@pytest.mark.parametrize("max_length", [None, 6, 9, 10, 33])
@pytest.mark.parametrize("stride", [0, 2])
def test_texts(both, max_length, stride):
    check(both, TEXTS, max_length, stride)


@pytest.mark.parametrize("max_length", [None, 12, 15, 16, 40])
def test_pairs(both, max_length):
    check(both, list(itertools.product(TEXTS, TEXTS)), max_length)


@pytest.mark.parametrize("strategy", ["only_first", "only_second"])
def test_one_of_a_pair_is_cut(both, strategy):
    pairs = [("short", "long " * 50), ("who was it?", TEXTS[5])]
    pairs = pairs if strategy == "only_second" else [pair[::-1] for pair in pairs]
    check(both, pairs, 32, 7, strategy)


def test_lengths_of_pairs(both):
    chance = random.Random(0)
    pairs = [("a " * chance.randrange(12), "b " * chance.randrange(12)) for _ in range(40)]
    for max_length in range(6, 15):
        check(both, pairs, max_length)


def test_pairs_of_long_texts_have_few_windows(both):
    encoding = both[1].encode(("a " * 3000, "b " * 3000), max_length=40)
    assert len(encoding) == 40 and 100 < len(encoding.overflowing) < 1000


def test_words(minilm_path):
    words = ["Jim", "Henson's", "puppets"]
    expected = Backend.from_file(str(minilm_path / "tokenizer.json")).encode(words, is_pretokenized=True)
    got = Tokenizer.from_directory(minilm_path).encode(words, is_pretokenized=True)
    names = [name for name in FIELDS if name != "attention_mask"]
    assert fields(got, names) == [column[: len(got)] for column in fields(expected, names)]


def test_special_tokens(minilm_path):
    tokenizer = Tokenizer.from_directory(minilm_path)
    assert (tokenizer.cls_token, tokenizer.sep_token_id, tokenizer.mask_token_id) == ("[CLS]", 102, 103)
    assert (tokenizer.unk_token, tokenizer.pad_token_id, tokenizer.bos_token) == ("[UNK]", 0, None)
    assert (tokenizer.special_count(), tokenizer.special_count(pair=True)) == (2, 3)
    assert (tokenizer.token_to_id("the"), tokenizer.id_to_token(1996), tokenizer.vocab_size) == (1996, "the", 30522)
    assert tokenizer.max_length == 256  # of sentence_bert_config.json
    assert tokenizer.decode(tokenizer.encode("Who is it?").ids) == "who is it?"
    with pytest.raises(AttributeError, match="no_such"):
        tokenizer.no_such  # noqa: B018
    assert Tokenizer(roberta()).mask_token == "<mask>"


def test_vocab_txt(minilm_path, tmp_path):
    for name in ("vocab.txt", "config.json"):
        shutil.copy(minilm_path / name, tmp_path)
    assert [x.ids for x in Tokenizer.from_directory(tmp_path).encode_batch(TEXTS)] == [
        x.ids for x in Tokenizer.from_directory(minilm_path).encode_batch(TEXTS)
    ]
    (tmp_path / "tokenizer_config.json").write_text('{"do_lower_case": false, "model_max_length": 99}')
    tokenizer = Tokenizer.from_directory(tmp_path)
    assert tokenizer.encode("Jim").tokens == ["[CLS]", "[UNK]", "[SEP]"]
    assert tokenizer.max_length == 99


def test_vocab_json_and_merges(tmp_path):
    backend = roberta()
    backend.model.save(str(tmp_path))
    (tmp_path / "special_tokens_map.json").write_text('{"mask_token": {"content": "<mask>", "lstrip": true}}')
    config = {"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1}
    (tmp_path / "config.json").write_text(json.dumps(config))
    tokenizer = Tokenizer.from_directory(tmp_path)
    texts = [*TEXTS, "fill the <mask> in"]
    for got, want in zip(tokenizer.encode_batch(texts), ordinary(backend, texts)):
        assert fields(got) == fields(want)
    assert tokenizer.max_length == 512


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, r"no tokenizer\.json"),
        ({"tokenizer.json": "{"}, r"tokenizer\.json: no tokenizer"),
        ({"spiece.model": ""}, "save_pretrained"),
        ({"vocab.txt": "a\nb"}, r"lacks '\[CLS\]'"),
        ({"vocab.txt": "[CLS]", "tokenizer_config.json": "[]"}, r"tokenizer_config\.json: expected a dict"),
        ({"vocab.json": "{}", "merges.txt": "a b c"}, "its vocabulary makes no tokenizer"),
    ],
)
def test_damaged_directories(tmp_path, files, message):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises((bertc.FormatError, bertc.UnsupportedError), match=message):
        Tokenizer.from_directory(tmp_path)


def test_a_directory_keeps_to_itself(tmp_path):
    directory = Directory.open(tmp_path)
    for name in ("../other", "/etc", "a/../../b", "..\\x"):
        with pytest.raises(bertc.FormatError):
            directory.folder(name)


@pytest.mark.parametrize(
    ("texts", "options", "message"),
    [
        ([3], {}, "text 0: expected a str"),
        (["a", ("a", "b", "c")], {}, "text 1: expected a str"),
        (["a"], {"is_pretokenized": True}, "a list of words"),
        (["a b c"], {"max_length": 2}, "special tokens alone are 2"),
        (["a b c d e"], {"max_length": 5, "stride": 3}, "stride must be from 0 to 2"),
        (["a b c d e"], {"max_length": 5, "strategy": "none"}, "strategy must be one of"),
        ([("a b c d e", "f g h i j")], {"max_length": 6, "strategy": "only_first"}, "cannot reach"),
    ],
)
def test_refused(texts, options, message):
    with pytest.raises(bertc.InputError, match=message):
        Tokenizer(roberta()).encode_batch(texts, **options)


def test_threads(both):
    _, tokenizer = both
    expected = [[x.ids for x in tokenizer.encode_batch(TEXTS, max_length=n)] for n in range(6, 22)]
    with ThreadPoolExecutor(16) as pool:
        for _ in range(10):
            got = pool.map(lambda n: [x.ids for x in tokenizer.encode_batch(TEXTS, max_length=n)], range(6, 22))
            assert list(got) == expected


def test_others_tokenizers_are_not_changed():
    backend = roberta()
    backend.enable_truncation(5)
    before = backend.to_str()
    assert len(Tokenizer.of(backend).encode("a longer text")) > 5
    assert backend.to_str() == before
