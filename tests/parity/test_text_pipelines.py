"""Pipelines against transformers', field by field; question answering against the contract of version 4, in loops."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest

pytestmark = pytest.mark.parity
transformers = pytest.importorskip("transformers")
torch = pytest.importorskip("torch")

from pipeline_models import CORPUS, ENTITIES, KINDS, make_directory  # noqa: E402

import bertc  # noqa: E402

SENTIMENTS = ["negative", "neutral", "positive"]
IMPLICATIONS = ["contradiction", "neutral", "ENTAILMENT"]
ODD = [
    "",
    " ",
    "a",
    "  two  spaces ",
    "naïve café №5",
    "你好 世界",
    "emoji 🙂 here",
    "it's Angela's; don't!",
    "x" * 40,
]
STRATEGIES = ["none", "simple", "first", "average", "max"]
HEADS = {
    "ner": ("ForTokenClassification", ENTITIES),
    "text-classification": ("ForSequenceClassification", SENTIMENTS),
    "zero-shot-classification": ("ForSequenceClassification", IMPLICATIONS),
    "question-answering": ("ForQuestionAnswering", None),
    "fill-mask": ("ForMaskedLM", None),
}


def agree(ours, theirs, tolerance: float = 2e-6) -> bool:
    """Whether types, lengths, keys in their order, texts and integers are the same, and floats nearly."""
    if isinstance(theirs, dict):
        assert list(ours) == list(theirs)
        return all(agree(ours[key], theirs[key], tolerance) for key in theirs)
    if isinstance(theirs, list):
        assert type(ours) is list and len(ours) == len(theirs), (ours, theirs)
        return all(agree(a, b, tolerance) for a, b in zip(ours, theirs))
    assert type(ours) is type(theirs), (ours, theirs)
    if isinstance(theirs, (float, np.floating)):
        assert abs(ours - theirs) <= tolerance * max(1, abs(theirs)), (ours, theirs)
    else:
        assert ours == theirs
    return True


@pytest.fixture(scope="session", params=KINDS, ids=lambda kind: kind.name)
def kind(request):
    return request.param


@pytest.fixture(scope="session")
def folders(kind, tmp_path_factory):
    """{task: directory}."""
    made = {}
    for task, (head, labels) in HEADS.items():
        config = {} if labels is None else {"id2label": dict(enumerate(labels)), "num_labels": len(labels)}
        if labels is not None:
            config["label2id"] = {label: i for i, label in enumerate(labels)}
        made[task] = make_directory(tmp_path_factory.mktemp(task) / kind.name, kind, head, **config)
    return made


@pytest.fixture
def both(folders):
    """The pipelines of bertc and of transformers for a task, of the same directory."""

    def make(task, model_of=None, **options):
        folder = folders[model_of or task]
        return bertc.pipeline(task, folder, **options), transformers.pipeline(task, str(folder), **options)

    return make


def quietly(function, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*args, **kwargs)


# ---- feature-extraction ----


@pytest.mark.parametrize("of", ["ner", "fill-mask", "question-answering"])
def test_feature_extraction(both, of):
    ours, theirs = both("feature-extraction", of)
    assert agree(ours(CORPUS[0]), theirs(CORPUS[0]), 1e-5)
    assert agree(ours(CORPUS[:3]), theirs(CORPUS[:3]), 1e-5)
    tensor = theirs(CORPUS[0], return_tensors=True)
    array = ours(CORPUS[0], return_tensors=True)
    assert array.dtype == np.float32 and array.shape == tuple(tensor.shape)
    long = " ".join(CORPUS)
    for options in ({"truncation": True}, {"tokenize_kwargs": {"truncation": True, "max_length": 9}}):
        assert agree(quietly(ours, long, **options), theirs(long, **options), 1e-5)


# ---- text-classification ----


@pytest.mark.parametrize("options", [{}, {"top_k": 1}, {"top_k": 2}, {"top_k": None}, {"function_to_apply": "none"}])
@pytest.mark.parametrize("function", ["sigmoid", "softmax"])
def test_text_classification(both, options, function):
    options = {"function_to_apply": function, **options}
    ours, theirs = both("text-classification")
    pair = {"text": CORPUS[0], "text_pair": CORPUS[1]}
    lists = [CORPUS, CORPUS[:1], [pair, {"text": CORPUS[2]}, CORPUS[3]], [[["a pair", "of texts"]]], ODD]
    for inputs in (CORPUS[0], pair, *lists):
        assert agree(ours(inputs, **options), theirs(inputs, **options))
    ours, theirs = both("sentiment-analysis", "text-classification", **options)
    for inputs in (CORPUS[0], pair, CORPUS):
        assert agree(ours(inputs), theirs(inputs))


@pytest.mark.parametrize(
    ("labels", "problem"),
    [(3, None), (1, None), (1, "regression"), (3, "regression"), (3, "multi_label_classification"), (2, None)],
)
def test_the_problem_decides_the_function(kind, tmp_path, labels, problem):
    folder = make_directory(tmp_path, kind, "ForSequenceClassification", num_labels=labels, problem_type=problem)
    ours, theirs = bertc.pipeline("text-classification", folder), transformers.pipeline("text-classification", folder)
    for options in ({}, {"top_k": None}, {"function_to_apply": "softmax"}):
        assert agree(ours(CORPUS, **options), theirs(CORPUS, **options), 1e-5)


def test_text_classification_cut(both):
    ours, theirs = both("text-classification")
    long = " ".join(CORPUS)
    pair = {"text": CORPUS[0], "text_pair": long}
    for options in ({"truncation": True}, {"truncation": True, "max_length": 12}, {"truncation": "only_second"}):
        inputs = [pair] if options["truncation"] == "only_second" else [long, pair]
        with pytest.warns(bertc.TruncationWarning):
            result = ours(inputs, **options)
        assert agree(result, theirs(inputs, **options))


# ---- token-classification ----


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_token_classification(both, strategy):
    ours, theirs = both("ner", aggregation_strategy=strategy)
    for ignored in (["O"], [], ["PER", "B-PER", "LOC"]):
        inputs = [*CORPUS, *ODD]
        assert agree(ours(inputs, ignore_labels=ignored), quietly(theirs, inputs, ignore_labels=ignored))
    assert agree(ours(CORPUS[1]), quietly(theirs, CORPUS[1]))
    assert agree(ours(CORPUS[:1]), quietly(theirs, CORPUS[:1]))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_words(both, strategy):
    ours, theirs = both("token-classification", "ner", aggregation_strategy=strategy)
    sentences = [text.split() for text in CORPUS]
    for options in ({}, {"delimiter": ""}, {"delimiter": "--"}):
        options = {"is_split_into_words": True, "ignore_labels": [], **options}
        for inputs in (sentences, sentences[:1], sentences[0]):
            assert agree(ours(inputs, **options), quietly(theirs, inputs, **options))


@pytest.mark.parametrize("strategy", STRATEGIES[1:])
@pytest.mark.parametrize("stride", [0, 5, 20])
def test_windows_of_tokens(both, strategy, stride):
    ours, theirs = both("ner", aggregation_strategy=strategy, ignore_labels=[])
    inputs = [" ".join(CORPUS), CORPUS[0], " ".join(CORPUS[3:]) * 2]
    theirs = [
        [entity for entity in found if entity["start"] < entity["end"]]
        for found in quietly(theirs, inputs, stride=stride)
    ]
    ours = [[entity for entity in found if entity["start"] < entity["end"]] for found in ours(inputs, stride=stride)]
    assert agree(ours, theirs)


def test_long_texts_of_tokens_are_cut_with_a_warning(both):
    ours, theirs = both("ner")
    inputs = [CORPUS[0], " ".join(CORPUS)]
    with pytest.warns(bertc.TruncationWarning) as caught:
        result = ours(inputs)
    assert caught[0].message.indices == [1]
    assert agree(result, theirs(inputs))


# ---- fill-mask ----


def masked(pipe, text: str, *places: int) -> str:
    words = text.split()
    for place in places:
        words[place] = pipe.tokenizer.mask_token
    return " ".join(words)


@pytest.mark.parametrize("options", [{}, {"top_k": 1}, {"top_k": 3}, {"top_k": 100}])
def test_fill_mask(both, options):
    ours, theirs = both("fill-mask")
    one, other, two = (masked(ours, CORPUS[0], 2), masked(ours, CORPUS[1], 0), masked(ours, CORPUS[1], 1, 4))
    for inputs in (one, two, [one], [two], [one, two, other], [one, other]):
        assert agree(ours(inputs, **options), theirs(inputs, **options))
    long = masked(ours, " ".join(CORPUS), 1)
    options = {"tokenizer_kwargs": {"truncation": True}, **options}
    assert agree(quietly(ours, long, **options), theirs(long, **options))


@pytest.mark.parametrize("tidy", [True, False])
def test_spaces_of_decoded_texts(kind, tmp_path, tidy):
    folder = make_directory(tmp_path, kind, "ForMaskedLM")
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "clean_up_tokenization_spaces": tidy}))
    ours, theirs = bertc.pipeline("fill-mask", folder), transformers.pipeline("fill-mask", str(folder))
    inputs = [masked(ours, "it ' s not n't , you 've ! they 're . x y", place) for place in (0, 11)]
    assert agree(ours(inputs), theirs(inputs))


@pytest.mark.parametrize("targets", ["the", ["the", "of", "an", "and"], ["zzz", "unbelievably", "Fox"]])
def test_targets(both, targets):
    ours, theirs = both("fill-mask")
    inputs = [masked(ours, CORPUS[0], 2), masked(ours, CORPUS[1], 0, 3)]
    for top_k in (1, 3, 10):
        assert agree(quietly(ours, inputs, targets=targets, top_k=top_k), theirs(inputs, targets=targets, top_k=top_k))


# ---- zero-shot-classification ----


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("labels", ["urgent, phone,  , weather", ["urgent", "phone", "weather", "books"], ["one"]])
def test_zero_shot(both, several, labels):
    ours, theirs = both("zero-shot-classification")
    for inputs in (CORPUS[3], CORPUS[:1], CORPUS):
        assert agree(ours(inputs, labels, multi_label=several), theirs(inputs, labels, multi_label=several))
    options = {"candidate_labels": labels, "hypothesis_template": "It is about {}, isn't it?", "multi_label": several}
    assert agree(ours(CORPUS, **options), theirs(CORPUS, **options))
    long = " ".join(CORPUS)
    with pytest.warns(bertc.TruncationWarning):
        result = ours([long], labels)
    assert agree(result, theirs([long], labels))


@pytest.mark.parametrize("names", [["ENTAILMENT", "x", "contradiction"], ["a", "b", "c"]])
def test_entailment_is_found_by_its_name(kind, tmp_path, names):
    config = {"id2label": dict(enumerate(names)), "label2id": {name: i for i, name in enumerate(names)}}
    folder = make_directory(tmp_path, kind, "ForSequenceClassification", num_labels=3, **config)
    ours = quietly(bertc.pipeline, "zero-shot-classification", folder)
    theirs = transformers.pipeline("zero-shot-classification", folder)
    for several in (False, True):
        options = {"candidate_labels": ["a", "b", "c"], "multi_label": several}
        assert agree(ours(CORPUS, **options), theirs(CORPUS, **options))


# ---- question-answering ----


def answers_of(tokenizer, model, question, context, top_k, length, stride, answer_length, impossible, align):
    """The contract of transformers 4 as plain loops over the windows' tokens."""
    windows = tokenizer(
        question, context, truncation="only_second", max_length=length, stride=stride, return_overflowing_tokens=True
    )
    found, null = [], 1e6
    for number, ids in enumerate(windows["input_ids"]):
        encoding = windows[number]
        given = {"input_ids": torch.tensor([ids]), "attention_mask": torch.ones(1, len(ids), dtype=torch.int64)}
        if "token_type_ids" in tokenizer.model_input_names:
            given["token_type_ids"] = torch.tensor([encoding.type_ids])
        with torch.inference_mode():
            output = model(**given)
        usable = [encoding.sequence_ids[i] == 1 or ids[i] == tokenizer.cls_token_id for i in range(len(ids))]
        sides = []
        for logits in (output.start_logits[0], output.end_logits[0]):
            kept = torch.where(torch.tensor(usable), logits, torch.tensor(-10000.0))
            sides.append(kept.softmax(0).tolist())
        start, end = sides
        null = min(null, start[0] * end[0])
        spans = [
            (start[i] * end[j], i, j)
            for i in range(1, len(ids))
            for j in range(i, min(i + answer_length, len(ids)))
            if usable[i] and usable[j]
        ]
        for score, i, j in sorted(spans, key=lambda span: -span[0])[: 2 * top_k + 10 if align else top_k]:
            begin, stop = encoding.offsets[i][0], encoding.offsets[j][1]
            if align and encoding.word_ids[i] is not None and encoding.word_ids[j] is not None:
                members = [k for k in range(len(ids)) if encoding.sequence_ids[k] == 1]
                begin = min(encoding.offsets[k][0] for k in members if encoding.word_ids[k] == encoding.word_ids[i])
                stop = max(encoding.offsets[k][1] for k in members if encoding.word_ids[k] == encoding.word_ids[j])
            same = [answer for answer in found if answer["answer"].lower() == context[begin:stop].lower()]
            if same:
                same[0]["score"] += score
            else:
                found.append({"score": score, "start": begin, "end": stop, "answer": context[begin:stop]})
    if impossible:
        found.append({"score": null, "start": 0, "end": 0, "answer": ""})
    found = sorted(found, key=lambda answer: -answer["score"])[:top_k]
    return found[0] if len(found) == 1 else found


@pytest.mark.parametrize("top_k", [1, 4])
@pytest.mark.parametrize("align", [True, False])
@pytest.mark.parametrize(("length", "stride", "answer_length"), [(64, 32, 15), (40, 9, 3), (50, 0, 60)])
def test_question_answering(folders, top_k, align, length, stride, answer_length):
    folder = folders["question-answering"]
    ours = bertc.pipeline("question-answering", folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForQuestionAnswering.from_pretrained(folder)
    for impossible in (False, True):
        inputs = [("Who met Obama?", CORPUS[0]), ("What?", " ".join(CORPUS)), ("Where is Paris?", CORPUS[2] * 4)]
        expected = [
            answers_of(tokenizer, model, *pair, top_k, length, stride, answer_length, impossible, align)
            for pair in inputs
        ]
        given = {"max_seq_len": length, "doc_stride": stride, "max_answer_len": answer_length, "top_k": top_k}
        given |= {"handle_impossible_answer": impossible, "align_to_words": align}
        questions, contexts = zip(*inputs)
        assert agree(ours(question=list(questions), context=list(contexts), **given), expected)


# ---- other architectures ----


@pytest.mark.parametrize("family", ["DistilBert", "Electra", "MPNet", "DebertaV2", "ModernBert"])
def test_other_architectures(family, tmp_path):
    """The tokenizers of BERT; texts of more tokens than positions where a model takes such."""
    from cases import CASES

    case = next(case for case in CASES if case.name == f"{family}-small")
    for head, task, options in (
        ("ForTokenClassification", "ner", {"aggregation_strategy": "average", "ignore_labels": []}),
        ("ForSequenceClassification", "text-classification", {"top_k": None}),
        ("ForMaskedLM", "fill-mask", {}),
    ):
        folder = make_directory(tmp_path / task, KINDS[0], head, limit=10**30, family=family, **case.config)
        ours, theirs = bertc.pipeline(task, folder), transformers.pipeline(task, str(folder))
        inputs = [f"The [MASK] is {word}." for word in ("good", "unbelievable", "x")]
        if family in ("DebertaV2", "ModernBert"):
            inputs.append("A [MASK] and " + "more words " * 30)
        assert agree(ours(inputs, **options), theirs(inputs, **options), 1e-5)
