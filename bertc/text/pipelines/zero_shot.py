"""Zero-shot classification: how well labels that are chosen in the call fit, by a model of entailment."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from tokenizers import Encoding

from bertc._core import InputError
from bertc.text.pipelines import base
from bertc.text.pipelines.loading import Loaded
from bertc.text.pipelines.scores import softmax
from bertc.text.warn import warn


@dataclasses.dataclass(frozen=True)
class Options(base.TextOptions):
    """``candidate_labels``: a list of them, or a str with commas between. ``hypothesis_template``: has {} for a label.

    ``multi_label``: whether several labels may fit; then each is judged alone, else their scores add up to 1.
    """

    candidate_labels: str | Sequence[str] | None = None
    hypothesis_template: str = "This example is {}."
    multi_label: bool = False


class ZeroShotClassificationPipeline(base.Pipeline):
    """Texts to the probabilities of labels. Of texts that are too long the text is cut, with a warning."""

    task = "zero-shot-classification"
    heads = ("ForSequenceClassification",)
    options_type = Options
    truncation = True
    strategy = "only_first"

    def __init__(self, loaded: Loaded, options: Mapping[str, Any], inputs: Mapping[str, str] | None = None) -> None:
        super().__init__(loaded, options, inputs)
        names = self.config.get("label2id")
        names = names if isinstance(names, dict) else {}
        found = [number for label, number in names.items() if label.lower().startswith("entail")]
        self.entailment = int(found[0]) if found else -1
        if not found:
            warn(
                f"{self.name}: no label of its configuration is called entailment; its last one is taken for that",
            )

    def __call__(self, inputs: Any, candidate_labels: Any = None, **options: Any) -> Any:
        """{"sequence": str, "labels": [str], "scores": [float]} by descending score, or a list of those for a list.

        ``options_type`` explains the options.
        """
        if candidate_labels is not None:
            options["candidate_labels"] = candidate_labels
        merged = self._resolve(self._merge(self.options, options))
        if not merged.candidate_labels:
            raise InputError(f"{self.task}: candidate_labels must have at least one label")
        return self._run(inputs, merged)

    def _resolve(self, options: Options) -> Options:
        labels = options.candidate_labels
        if isinstance(labels, str):
            labels = [label.strip() for label in labels.split(",") if label.strip()]
        if labels is not None and not all(isinstance(label, str) for label in labels):
            raise InputError(f"{self.task}: candidate_labels must be texts, got {labels!r:.80}")
        try:
            fits = options.hypothesis_template.format("label") != options.hypothesis_template
        except (IndexError, KeyError, ValueError):
            fits = False
        if not fits:
            raise InputError(
                f"hypothesis_template needs {{}} where the label goes, got {options.hypothesis_template!r}"
            )
        return dataclasses.replace(options, candidate_labels=None if labels is None else tuple(labels))

    def _texts(self, item: Any, options: Options) -> list[Any]:
        if not isinstance(item, str) or not item:
            raise InputError(f"expected a str that is not empty, got {item!r:.80}")
        return [(item, options.hypothesis_template.format(label)) for label in options.candidate_labels or ()]

    def _finish(self, item: Any, encodings: list[Encoding], outputs: list[Any], options: Options) -> Any:
        logits = np.stack([self._output(output, "logits", 1) for output in outputs])
        if options.multi_label or len(logits) == 1:
            contradiction = -1 if self.entailment == 0 else 0
            scores = softmax(logits[:, [contradiction, self.entailment]])[:, 1]
        else:
            scores = softmax(logits[:, self.entailment])
        order = np.argsort(scores)[::-1]
        labels = options.candidate_labels or ()
        return {"sequence": item, "labels": [labels[i] for i in order], "scores": scores[order].tolist()}
