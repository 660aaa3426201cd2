"""pipeline(): from text to answers in one call, in the shapes of transformers' pipelines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bertc._core import InputError, UnsupportedError
from bertc.text.pipelines.base import Pipeline
from bertc.text.pipelines.feature_extraction import FeatureExtractionPipeline
from bertc.text.pipelines.fill_mask import FillMaskPipeline
from bertc.text.pipelines.loading import load
from bertc.text.pipelines.question_answering import QuestionAnsweringPipeline
from bertc.text.pipelines.text_classification import TextClassificationPipeline
from bertc.text.pipelines.token_classification import TokenClassificationPipeline
from bertc.text.pipelines.zero_shot import ZeroShotClassificationPipeline

__all__ = ["TASKS", "Pipeline", "pipeline"]

_CLASSES: tuple[type[Pipeline], ...] = (
    FeatureExtractionPipeline,
    TextClassificationPipeline,
    TokenClassificationPipeline,
    QuestionAnsweringPipeline,
    FillMaskPipeline,
    ZeroShotClassificationPipeline,
)
_SIMILARITY = "sentence-similarity"
TASKS: dict[str, type[Pipeline]] = {
    **{cls.task: cls for cls in _CLASSES},
    "sentiment-analysis": TextClassificationPipeline,
    "ner": TokenClassificationPipeline,
}


def pipeline(
    task: str,
    model: Any,
    *,
    tokenizer: Any = None,
    inputs: Mapping[str, str] | None = None,
    threads: int | None = None,
    device: Any = "cpu",
    revision: str | None = None,
    token: str | bool | None = None,
    local_files_only: bool = False,
    **options: Any,
) -> Any:
    """A model ready for a task: call it with texts.

    ``task`` is one of "feature-extraction", "text-classification" (or "sentiment-analysis"), "token-classification" (or
    "ner"), "question-answering", "fill-mask", "zero-shot-classification", "sentence-similarity". ``model`` is a Hugging
    Face directory, an id of the hub, or a bertc.Model or a traced archive together with ``tokenizer``: a directory, a
    tokenizer.json, or a tokenizer of transformers; the config.json beside it names the labels. ``inputs`` says what
    arguments of an archive with unusual names are: {"argument_1": "input_ids"}.

    ``options`` are defaults for those of the calls, top_k=3 for instance; ``threads``, ``revision``, ``token`` and
    ``local_files_only`` are those of bertc.load. Pipelines never change: any number of threads may use one.

    A call takes one text or a list and gives what transformers' pipeline gives. Any other iterable is read as results
    are asked for, one item at a time, or ``batch_size`` at a time. Texts of any lengths run together without padding;
    none of that changes a bit of a result.

    Raises InputError (an unknown task or option, a model without the head that the task needs, inputs of a wrong kind),
    FormatError, UnsupportedError, FileNotFoundError.
    """
    if str(device) not in ("cpu", "-1", "None"):
        raise UnsupportedError(f"bertc runs on the CPU only, not on {device}")
    fetching = {"revision": revision, "token": token, "local_files_only": local_files_only}
    if task == _SIMILARITY:
        from bertc.text.pipelines.sentence_similarity import SentenceSimilarityPipeline
        from bertc.text.sentence import SentenceEncoder

        encoder = SentenceEncoder(model, tokenizer=tokenizer, inputs=inputs, threads=threads, **fetching, **options)
        return SentenceSimilarityPipeline(encoder)
    if task not in TASKS:
        raise InputError(f"there is no task {task!r}, only {', '.join(sorted([*TASKS, _SIMILARITY]))}")
    cls = TASKS[task]
    return cls(load(cls.task, cls.heads, model, tokenizer, threads, fetching), options, inputs)
