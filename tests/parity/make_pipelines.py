"""Makes tests/data/text/pipelines: small random models, and in expected.json what transformers' pipelines give of them.

Run it with transformers 5, which makes everything but the answers of question answering; then with transformers 4, the
last that had it, and the torch of the other environment: it adds those.
"""

import json
import shutil
import warnings
from pathlib import Path

import transformers
from pipeline_models import CORPUS, ENTITIES, KINDS, make_directory

TARGET = Path(__file__).resolve().parents[1] / "data" / "text" / "pipelines"
WORDPIECE, BYTES, UNIGRAM = KINDS
LONG = " ".join(CORPUS)
PAIR = {"text": CORPUS[0], "text_pair": CORPUS[1]}


def labels(names):
    return {
        "num_labels": len(names),
        "id2label": dict(enumerate(names)),
        "label2id": {n: i for i, n in enumerate(names)},
    }


# folder, task, tokenizer, head, configuration, cases: inputs and options
ENTITY_CASES = [
    (CORPUS[:2], {}),
    (CORPUS[0], {"ignore_labels": []}),
    *(([CORPUS[0], CORPUS[6]], {"aggregation_strategy": name}) for name in ("simple", "first", "average", "max")),
    ([LONG], {"aggregation_strategy": "simple", "stride": 10}),
    ([CORPUS[0].split()], {"aggregation_strategy": "first", "is_split_into_words": True}),
]
CASES = [
    ("entities", "token-classification", WORDPIECE, "ForTokenClassification", labels(ENTITIES), ENTITY_CASES),
    ("entities-unigram", "ner", UNIGRAM, "ForTokenClassification", labels(ENTITIES), ENTITY_CASES),
    (
        "labels",
        "text-classification",
        BYTES,
        "ForSequenceClassification",
        labels(["contradiction", "neutral", "entailment"]),
        [
            (CORPUS[0], {}),
            (PAIR, {}),
            ([CORPUS[0], PAIR], {}),
            (CORPUS[0], {"top_k": 1}),
            (CORPUS[:2], {"top_k": None, "function_to_apply": "sigmoid"}),
            (CORPUS[:2], {"top_k": 2, "function_to_apply": "none"}),
        ],
    ),
    (
        "masks",
        "fill-mask",
        WORDPIECE,
        "ForMaskedLM",
        {},
        [
            ("The quick [MASK] fox jumps.", {}),
            (["The [MASK] brown [MASK] jumps."], {"top_k": 2}),
            (["The [MASK] fox.", "A lazy [MASK]!"], {"targets": ["the", "dog", "on"], "top_k": 2}),
        ],
    ),
]
IMPLICATIONS = [
    (CORPUS[3], {"candidate_labels": "urgent, phone, weather"}),
    (CORPUS[:2], {"candidate_labels": ["urgent", "phone"], "multi_label": True}),
    (CORPUS[4], {"candidate_labels": ["weather", "food"], "hypothesis_template": "It is about {}."}),
]
QUESTIONS = [
    ({"question": "Who met Obama?", "context": CORPUS[0]}, {}),
    ({"question": "Who met Obama?", "context": CORPUS[0]}, {"top_k": 3}),
    ({"question": ["Who?", "What is so good?"], "context": LONG}, {"max_seq_len": 60, "doc_stride": 20}),
    ({"question": "Where?", "context": LONG}, {"top_k": 4, "max_answer_len": 4, "handle_impossible_answer": True}),
    ({"question": "Where?", "context": LONG}, {"top_k": 3, "align_to_words": False}),
]


def plain(value):
    """With floats as JSON has them, to 7 digits."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value if isinstance(value, (str, int)) else float(f"{float(value):.7g}")


def record(folder: Path, task: str, cases, by_name: bool = False) -> None:
    pipe = transformers.pipeline(task, str(folder))
    path = folder / "expected.json"
    expected = json.loads(path.read_text()) if path.exists() else {}
    results = [pipe(**inputs, **options) if by_name else pipe(inputs, **options) for inputs, options in cases]
    expected[task] = [[inputs, options, plain(result)] for (inputs, options), result in zip(cases, results)]
    path.write_text(json.dumps(expected, ensure_ascii=False))


def main() -> None:
    warnings.simplefilter("ignore")
    answering = {"answers": BYTES, "answers-unigram": UNIGRAM}
    if transformers.__version__.startswith("4."):
        for name in answering:
            record(TARGET / name, "question-answering", QUESTIONS, by_name=True)
        return
    shutil.rmtree(TARGET, ignore_errors=True)
    for name, task, kind, head, config, cases in CASES:
        record(make_directory(TARGET / name, kind, head, **config), task, cases)
    record(TARGET / "labels", "zero-shot-classification", IMPLICATIONS)
    record(TARGET / "masks", "feature-extraction", [(CORPUS[0], {}), (["a", "b c"], {})])
    for name, kind in answering.items():
        make_directory(TARGET / name, kind, "ForQuestionAnswering")


if __name__ == "__main__":
    main()
