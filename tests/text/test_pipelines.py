"""Pipelines: what transformers' gave of the same models, kinds of inputs, threads, errors."""

import json
import shutil
import threading
import warnings

import numpy as np
import pytest
from conftest import DATA
from tiny import make_bert

import bertc
from bertc.text.pipelines import TASKS

pytest.importorskip("tokenizers")
FOLDERS = DATA / "text" / "pipelines"
EXPECTED = {path.parent.name: json.loads(path.read_text()) for path in sorted(FOLDERS.glob("*/expected.json"))}
CASES = [
    pytest.param(name, task, inputs, options, result, id=f"{name}-{task}-{i}")
    for name, tasks in EXPECTED.items()
    for task, cases in tasks.items()
    for i, (inputs, options, result) in enumerate(cases)
]
TEXT = "Angela Merkel met Barack Obama in Berlin on Monday."
LONG = " ".join([TEXT] * 20)


def agree(ours, theirs, where="result") -> None:
    """Floats nearly, all else exactly."""
    if isinstance(theirs, dict):
        assert list(ours) == list(theirs), where
        for key in theirs:
            agree(ours[key], theirs[key], f"{where}.{key}")
    elif isinstance(theirs, list):
        assert type(ours) is list and len(ours) == len(theirs), where
        for i, (a, b) in enumerate(zip(ours, theirs)):
            agree(a, b, f"{where}[{i}]")
    elif isinstance(theirs, float):
        assert isinstance(ours, (float, np.float32)) and abs(ours - theirs) <= 1e-5 * max(1, abs(theirs)), where
    else:
        assert type(ours) is type(theirs) and ours == theirs, where


@pytest.fixture(scope="module")
def pipes():
    """The pipeline of a task and a folder, each made once."""
    made = {}

    def make(task, folder):
        if (task, folder) not in made:
            made[task, folder] = bertc.pipeline(task, FOLDERS / folder)
        return made[task, folder]

    return make


@pytest.mark.parametrize(("folder", "task", "inputs", "options", "result"), CASES)
def test_as_transformers(pipes, folder, task, inputs, options, result):
    pipe = pipes(task, folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours = pipe(**inputs, **options) if task == "question-answering" else pipe(inputs, **options)
    agree(ours, result)


def test_scores_of_entities_are_numpy_floats(pipes):
    for strategy in ("none", "simple", "average"):
        found = pipes("ner", "entities")(TEXT, aggregation_strategy=strategy)
        assert {type(entity["score"]) for entity in found} == {np.float32}


# ---- kinds of inputs ----


def calls():
    """(task, folder, an input, options) of each task."""
    return [
        ("feature-extraction", "masks", TEXT, {}),
        ("text-classification", "labels", TEXT, {"top_k": 2}),
        ("token-classification", "entities", TEXT, {}),
        ("question-answering", "answers", {"question": "Who?", "context": TEXT}, {}),
        ("fill-mask", "masks", "The [MASK] fox.", {}),
        ("zero-shot-classification", "labels", TEXT, {"candidate_labels": ["a", "b"]}),
    ]


@pytest.mark.parametrize(("task", "folder", "item", "options"), calls(), ids=lambda x: x if isinstance(x, str) else "")
def test_lists_and_generators(pipes, task, folder, item, options):
    pipe = pipes(task, folder)
    alone = pipe(item, **options)
    assert pipe([], **options) == []
    assert pipe([item] * 3, **options) == [alone] * 3
    assert pipe([item] * 3, batch_size=2, num_workers=4, **options) == [alone] * 3
    read = []

    def source():
        for i in range(3):
            read.append(i)
            yield item

    results = pipe(source(), **options)
    assert not read
    assert next(results) == alone and read == [0]
    assert next(results) == alone and read == [0, 1]
    assert list(results) == [alone]
    read.clear()
    assert list(pipe(source(), batch_size=2, **options)) == [alone] * 3 and read == [0, 1, 2]
    assert list(pipe(map(dict if isinstance(item, dict) else str, [item] * 2), **options)) == [alone] * 2


def test_a_result_does_not_depend_on_what_is_beside_it(pipes):
    pipe = pipes("text-classification", "labels")
    texts = ["a", TEXT, "some words", LONG[:200], "a"]
    assert pipe(texts) == [pipe(text)[0] for text in texts]


def test_options_of_the_pipeline_are_defaults_of_its_calls():
    pipe = bertc.pipeline("sentiment-analysis", FOLDERS / "labels", top_k=None)
    assert len(pipe([TEXT])[0]) == 3
    assert len(pipe([TEXT], top_k=2)[0]) == 2
    assert len(pipe(TEXT, top_k=None)) == 3
    assert repr(pipe) == "<bertc.pipeline 'text-classification': labels (RobertaForSequenceClassification), top_k=None>"


def test_question_answering_takes_its_inputs_in_all_ways(pipes):
    pipe = pipes("question-answering", "answers")
    answer = pipe(question="Who?", context=TEXT)
    item = {"question": "Who?", "context": TEXT}
    assert answer["answer"] == TEXT[answer["start"] : answer["end"]]
    assert pipe(item) == pipe("Who?", TEXT) == pipe([item]) == pipe(question=["Who?"], context=TEXT) == answer
    assert pipe([item, item]) == pipe(question=["Who?"] * 2, context=[TEXT] * 2) == [answer] * 2


def test_the_head_is_the_task_s_own(tmp_path):
    folder = shutil.copytree(FOLDERS / "masks", tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "architectures": ["BertModel"]}))
    assert bertc.pipeline("fill-mask", folder).model.architecture == "BertForMaskedLM"
    assert bertc.pipeline("feature-extraction", FOLDERS / "masks").model.architecture == "BertModel"


def test_a_traced_archive_with_a_tokenizer(bert_path):
    folder = FOLDERS / "masks"
    pipe = bertc.pipeline("feature-extraction", bert_path, tokenizer=folder / "tokenizer.json")
    assert np.shape(pipe("a b")) == (1, 4, 32)
    assert pipe("a b") == bertc.pipeline("feature-extraction", bertc.load(bert_path), tokenizer=folder)("a b")
    with pytest.raises(bertc.InputError, match=r"needs tokenizer="):
        bertc.pipeline("feature-extraction", bert_path)
    with pytest.raises(bertc.InputError, match="text-classification needs logits of 1 dim"):
        bertc.pipeline("text-classification", bert_path, tokenizer=folder)("a b")


def test_threads(pipes):
    work = [(pipes(task, folder), item, options) for task, folder, item, options in calls()] * 4
    expected = [pipe(item, **options) for pipe, item, options in work]
    results = [None] * len(work)

    def run(i):
        pipe, item, options = work[i]
        results[i] = pipe([item] * 3, **options)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(work))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [[result] * 3 for result in expected]


# ---- long texts ----


def test_too_long_texts_are_an_error_where_transformers_fails(pipes):
    for task, folder in (("text-classification", "labels"), ("feature-extraction", "masks")):
        pipe = pipes(task, folder)
        with pytest.raises(
            bertc.InputError, match="the text at index 1 has .* tokens, the model takes 128; truncation"
        ):
            pipe(["short", LONG])
        with pytest.warns(bertc.TruncationWarning) as caught:
            pipe(["short", LONG, LONG], truncation=True)
        assert caught[0].message.indices == [1, 2] and caught[0].filename == __file__
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            pipe([LONG], truncation="ignore")


def test_what_transformers_cuts_is_cut_with_a_warning(pipes):
    pipe = pipes("zero-shot-classification", "labels")
    with pytest.warns(bertc.TruncationWarning) as caught:
        list(pipe(iter(["short", LONG]), ["a", "b"]))
    assert caught[0].message.indices == [1]
    with pytest.raises(bertc.InputError, match="index 0 has"):
        pipe(LONG, ["a"], truncation=False)
    with pytest.warns(bertc.TruncationWarning):
        pipes("ner", "entities")(LONG)


def test_questions_are_cut_only_when_asked_for(pipes):
    pipe = pipes("question-answering", "answers")
    question = " ".join(["what and where"] * 4)
    tokens = pipe.tokenizer.encode(question)
    with pytest.warns(bertc.TruncationWarning) as caught:
        answer = pipe(question, LONG, max_question_len=5)
    assert caught[0].message.indices == [0]
    assert answer == pipe(question[: tokens.offsets[5][1]], LONG)


def test_long_questions(pipes):
    """They leave little room for the windows of the context."""
    pipe = pipes("question-answering", "answers")
    question = " ".join(["what and where"] * 12)
    room = 128 - len(pipe.tokenizer.encode(question)) - 2
    assert 1 < room < 64
    answer = pipe(question, LONG)
    assert answer == pipe(question, LONG, doc_stride=room // 2)
    with pytest.raises(bertc.InputError, match="input 1: stride must be"):
        pipe(question=["Who?", question], context=LONG, doc_stride=room)
    with pytest.raises(bertc.InputError, match="input 0: a question of .* tokens leaves no room in max_seq_len 128"):
        pipe(question * 2, LONG)


# ---- sentence-similarity ----


def test_sentence_similarity(tmp_path):
    folder = make_bert(tmp_path / "model")
    pipe = bertc.pipeline("sentence-similarity", folder)
    vectors = bertc.SentenceEncoder(folder).encode(["dog", "cat", "a dog"], normalize_embeddings=True)
    expected = (vectors[1:] @ vectors[0]).tolist()
    item = {"source_sentence": "dog", "sentences": ["cat", "a dog"]}
    assert pipe(item) == pipe("dog", item["sentences"]) == pytest.approx(expected, abs=1e-6)
    assert pipe(**item) == pipe(item) and pipe([item] * 2) == list(pipe(iter([item] * 2))) == [pipe(item)] * 2
    assert pipe({**item, "sentences": []}) == []
    for wrong in ({"sentences": ["a"]}, "dog", {**item, "source_sentence": 3}):
        with pytest.raises(bertc.InputError, match="takes a source_sentence and sentences"):
            pipe(wrong)
    assert repr(pipe).startswith("<bertc.pipeline 'sentence-similarity': <bertc.SentenceEncoder")


# ---- errors ----


@pytest.mark.parametrize(
    ("task", "folder", "options", "says"),
    [
        ("summarization", "labels", {}, "no task 'summarization', only feature-extraction, fill-mask, ner, "),
        ("ner", "labels", {}, r"token-classification needs a model \.\.\.ForTokenClassification; labels is a Roberta"),
        ("fill-mask", "answers", {}, r"ForMaskedLM; answers is a RobertaForQuestionAnswering"),
        ("text-classification", "labels", {"topk": 2}, "no option 'topk', only batch_size, truncation, "),
        ("text-classification", "labels", {"top_k": 0}, "top_k must be an integer, at least 1; got 0"),
        ("text-classification", "labels", {"function_to_apply": "relu"}, "must be one of 'sigmoid'.*got 'relu'"),
        ("text-classification", "labels", {"truncation": "window"}, "truncation must be True.*got 'window'"),
        ("text-classification", "labels", {"batch_size": -1}, "batch_size must be an integer"),
        ("ner", "entities", {"aggregation_strategy": "mean"}, "one of none, simple, first, average, max; got 'mean'"),
        ("ner", "entities", {"stride": 4}, "need an aggregation_strategy"),
        ("ner", "entities", {"stride": 126, "aggregation_strategy": "max"}, "stride must be less than"),
        ("ner", "entities", {"ignore_labels": "O"}, "must be a list of labels"),
        ("fill-mask", "masks", {"targets": []}, "targets has no word"),
        ("question-answering", "answers", {"doc_stride": 500}, "doc_stride 500 is larger than max_seq_len"),
        ("zero-shot-classification", "labels", {"hypothesis_template": "no place"}, "needs {} where the label goes"),
        ("feature-extraction", "masks", {"truncation": 1, "tokenize_kwargs": {"truncation": 1}}, "given twice"),
    ],
)
def test_refusals(task, folder, options, says):
    with pytest.raises(bertc.InputError, match=says):
        bertc.pipeline(task, FOLDERS / folder, **options)


@pytest.mark.parametrize(
    ("task", "folder", "inputs", "options", "says"),
    [
        ("text-classification", "labels", 5, {}, "expected a text, a list or an iterable of them, got a int"),
        ("text-classification", "labels", ("a", "b"), {}, "a tuple is no input; a pair is"),
        ("text-classification", "labels", ["a", ["b", "c"]], {}, r"input 1: expected a str or .*got \['b', 'c'\]"),
        ("text-classification", "labels", {"texts": "a"}, {}, "input 0: expected a str or"),
        ("ner", "entities", ["a", 3], {}, "input 1: expected a str, got 3"),
        ("ner", "entities", [["a", 3]], {"is_split_into_words": True}, "input 0: expected a list of words"),
        ("fill-mask", "masks", ["[MASK]", "none"], {}, r"input 1: no mask, '\[MASK\]', is in it"),
        ("question-answering", "answers", {"question": "Who?"}, {}, "expected a dict with question and context"),
        (
            "question-answering",
            "answers",
            {"question": "Who?", "context": ""},
            {},
            "context must be a text that is not",
        ),
        ("zero-shot-classification", "labels", "a", {}, "candidate_labels must have at least one label"),
        ("zero-shot-classification", "labels", "", {"candidate_labels": "a"}, "input 0: expected a str that is not"),
    ],
)
def test_wrong_inputs(pipes, task, folder, inputs, options, says):
    with pytest.raises(bertc.InputError, match=says):
        pipes(task, folder)(inputs, **options)


def test_question_answering_arguments(pipes):
    pipe = pipes("question-answering", "answers")
    for args, kwargs in (((), {"question": "a"}), (("a",), {"context": "b"}), (("a", "b", "c"), {})):
        with pytest.raises(bertc.InputError, match="takes question= and context="):
            pipe(*args, **kwargs)
    with pytest.raises(bertc.InputError, match="two lists of one length"):
        pipe(question=["a", "b"], context=["c"])


def test_a_target_that_is_no_token_warns(pipes):
    with pytest.warns(UserWarning, match="'dogs' is not in the vocabulary: its first token 'do' is used") as caught:
        pipes("fill-mask", "masks")("[MASK]", targets=["dogs", "the"])
    assert caught[0].filename == __file__


def test_an_error_of_the_source_comes_out(pipes):
    def source():
        yield TEXT
        raise KeyError("source")

    with pytest.raises(KeyError, match="source"):
        list(pipes("ner", "entities")(source()))
    with pytest.raises(KeyError, match="source"):
        list(pipes("ner", "entities")(source(), batch_size=8))


def test_other_devices_are_refused():
    with pytest.raises(bertc.UnsupportedError, match="not on cuda"):
        bertc.pipeline("ner", FOLDERS / "entities", device="cuda")


def test_every_task_is_tested():
    assert {cls.task for cls in TASKS.values()} == {call[0] for call in calls()}
