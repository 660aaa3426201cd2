"""Served: a model as the server sees it - its name, what it can be asked for, and what /info says of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bertc
from bertc._core import InputError
from bertc.serve.settings import Settings
from bertc.serve.tasks import DenseTask, EmbedTask, ModelTask, PipelineTask, ScoreTask, SparseTask, task_of
from bertc.source import is_path
from bertc.text.cross_encoder import CrossEncoder
from bertc.text.directory import Directory
from bertc.text.m3 import M3Encoder
from bertc.text.pipelines import TASKS, pipeline
from bertc.text.pipelines.base import LabelNames, Pipeline
from bertc.text.pipelines.loading import Loaded
from bertc.text.pipelines.zero_shot import ZeroShotClassificationPipeline
from bertc.text.sentence import SentenceEncoder
from bertc.text.sparse import SparseEncoder

WARM_UP = "a few words to begin with"
_HEADS = {
    "ForSequenceClassification": "text-classification",
    "ForTokenClassification": "token-classification",
    "ForQuestionAnswering": "question-answering",
    "ForMaskedLM": "fill-mask",
}
CHOICES = ("embedding", "sparse", "m3", "text-classification", *TASKS, "forward")


class Served:
    """``tasks`` are by what requests ask for: embed, sparse, score, forward, and the names of pipelines."""

    def __init__(self, model: Any, name: str, labels: dict[str, Any] | None = None) -> None:
        self.name = name
        self.source = model
        self.config = labels or {}
        self.tasks = dict(_tasks(model, name))
        self.tokenizer = getattr(model, "tokenizer", None)
        self.model = model if isinstance(model, bertc.Model) else model.model
        self.tasks["forward"] = ModelTask(self.model)
        if isinstance(model, CrossEncoder):
            self.config = model.transformer.config
            self.labels = LabelNames(self.config)[model.num_labels]

    @classmethod
    def load(cls, source: str, settings: Settings) -> Served:
        """Of "PATH", "ID" or "NAME=PATH". Raises what loading raises."""
        name, _, path = source.rpartition("=")
        name = name or settings.served_model_name or (Path(path).resolve().name if Path(path).exists() else path)
        options = {"revision": settings.revision, "token": settings.hf_token}
        if settings.tokenizer is not None:
            options["tokenizer"] = settings.tokenizer
        kind = settings.task or _kind(path, settings)
        if kind not in CHOICES:
            raise InputError(f"task must be one of {', '.join(CHOICES)}, not {kind!r}")
        if kind in ("sparse", "m3", "text-classification"):
            classes = {"sparse": SparseEncoder, "m3": M3Encoder, "text-classification": CrossEncoder}
            return cls(classes[kind](path, **options), name)
        if kind == "forward":
            return cls(bertc.load(path), name)
        if kind != "embedding":
            return cls(pipeline(kind, path, **options), name)
        pooling = {"pooling": settings.pooling} if settings.pooling else {}
        encoder = SentenceEncoder(path, truncation="ignore", **pooling, **options)
        if settings.default_prompt is not None:
            encoder.prompts["default"] = settings.default_prompt
            encoder.default_prompt_name = "default"
        if settings.default_prompt_name is not None:
            encoder.default_prompt_name = settings.default_prompt_name
        return cls(encoder, name)

    @property
    def is_reranker(self) -> bool:
        return "score" in self.tasks and len(self.labels) == 1

    @property
    def max_length(self) -> int | None:
        own = getattr(self.source, "max_seq_length", None)
        return own if own is not None else getattr(self.tokenizer, "max_length", None)

    def describe(self) -> dict[str, Any]:
        """What /info calls model_type."""
        if "embed" in self.tasks:
            modes = [m.modes for m in getattr(self.source, "modules", []) if hasattr(m, "modes")]
            return {"embedding": {"pooling": modes[0][0] if modes else "mean"}}
        if "sparse" in self.tasks:
            return {"embedding": {"pooling": "splade"}}
        if "score" in self.tasks:
            names = {str(i): label for i, label in enumerate(self.labels)}
            ids = {label: i for i, label in enumerate(self.labels)}
            return {"reranker" if self.is_reranker else "classifier": {"id2label": names, "label2id": ids}}
        return {"other": {"tasks": list(self.tasks)}}

    def warm_up(self) -> None:
        """Runs the model once or twice, so that its weights are packed before the first request."""
        for task in {id(task): task for task in self.tasks.values()}.values():
            if isinstance(task, ModelTask):
                continue
            item: Any = WARM_UP
            options: dict[str, Any] = {}
            if isinstance(task, PipelineTask):
                pipe = task.pipeline
                if pipe.task == "question-answering":
                    item = {"question": WARM_UP, "context": WARM_UP}
                elif pipe.task == "fill-mask":
                    item = f"{WARM_UP} {pipe.tokenizer.mask_token}"
                elif pipe.task == "zero-shot-classification":
                    options["candidate_labels"] = ["a"]
            prepared = task.prepare([item] * 8, **options)
            encodings = [encoding for job in prepared.jobs for encoding in job.encodings]
            for _ in range(2):
                list(task.runner.run_each(encodings))


def _tasks(model: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(model, M3Encoder):
        yield "embed", DenseTask(model)
    task = task_of(model)
    kinds = {EmbedTask: "embed", ScoreTask: "score", SparseTask: "sparse", ModelTask: "forward"}
    yield (model.task if isinstance(model, Pipeline) else kinds[type(task)]), task
    if isinstance(model, SentenceEncoder):
        yield "embed_all", task
    if isinstance(model, CrossEncoder):
        labels = model.transformer.config.get("label2id")
        if isinstance(labels, dict) and any(str(label).lower().startswith("entail") for label in labels):
            length = model.max_seq_length
            loaded = Loaded(name, model.model, model.tokenizer, model.transformer.config, length, length)
            yield ZeroShotClassificationPipeline.task, PipelineTask(ZeroShotClassificationPipeline(loaded, {}))


def _kind(path: str, settings: Settings) -> str:
    """What the files of a model say that it is for."""
    if settings.pooling == "splade":
        return "sparse"
    if is_path(path) and Path(path).is_file():
        return "forward" if settings.tokenizer is None else "embedding"
    directory = Directory.open(path, settings.revision, settings.hf_token)
    modules = [str(m.get("type")) for m in directory.json("modules.json", list) if isinstance(m, dict)]
    if any("SpladePooling" in module for module in modules):
        return "sparse"
    if directory.has("sparse_linear.pt"):
        return "m3"
    names = directory.config.get("architectures") or [""]
    kind = next((task for head, task in _HEADS.items() if str(names[0]).endswith(head)), "embedding")
    return "embedding" if modules and kind != "text-classification" else kind
