"""Small models with random weights and a tokenizer, as directories, made without PyTorch."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import numpy as np

from bertc import safetensors

WORDS = "the a of and to in is was it how many people live berlin paris capital germany jim henson puppet dog cat rain"
PIECES = ["ing", "ed", "er", "able", *string.ascii_lowercase, *string.digits]
VOCABULARY = [
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[unused0]", "[unused1]"),
    *dict.fromkeys([*string.ascii_lowercase, *string.digits, *string.punctuation, *WORDS.split()]),
    *(f"##{piece}" for piece in PIECES),
]
WIDTH, INNER, LAYERS, POSITIONS = 32, 48, 2, 64
TEXTS = ["How many people live in Berlin?", "Berlin, capital of Germany.", "", "dog", "the dog and the cat " * 5]


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def write_weights(path: Path, weights: dict[str, np.ndarray]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    safetensors.write(path, {name: (array, "float32") for name, array in weights.items()})


def random_weights(shapes: dict[str, tuple[int, ...]], seed: int = 0) -> dict[str, np.ndarray]:
    """Wide enough that everything shows in the results; the weights of normalisations are around one."""
    draw = np.random.default_rng(seed)
    weights = {}
    for name, shape in shapes.items():
        array = draw.standard_normal(shape, dtype=np.float32) * (0.8 / shape[-1] ** 0.5 if len(shape) > 1 else 0.2)
        weights[name] = array + 1 if name.endswith("LayerNorm.weight") else array
    return weights


def bert_shapes(prefix: str = "bert.") -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}

    def linear(name: str, width: int, inner: int) -> None:
        shapes[f"{prefix}{name}.weight"], shapes[f"{prefix}{name}.bias"] = (width, inner), (width,)

    def norm(name: str) -> None:
        shapes[f"{prefix}{name}.weight"], shapes[f"{prefix}{name}.bias"] = (WIDTH,), (WIDTH,)

    for name, rows in (("word", len(VOCABULARY)), ("position", POSITIONS), ("token_type", 2)):
        shapes[f"{prefix}embeddings.{name}_embeddings.weight"] = (rows, WIDTH)
    norm("embeddings.LayerNorm")
    for i in range(LAYERS):
        layer = f"encoder.layer.{i}"
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            linear(f"{layer}.attention.{part}", WIDTH, WIDTH)
        norm(f"{layer}.attention.output.LayerNorm")
        linear(f"{layer}.intermediate.dense", INNER, WIDTH)
        linear(f"{layer}.output.dense", WIDTH, INNER)
        norm(f"{layer}.output.LayerNorm")
    linear("pooler.dense", WIDTH, WIDTH)
    return shapes


HEADS: dict[str, dict[str, tuple[int, ...]]] = {
    "BertModel": {},
    "BertForSequenceClassification": {"classifier.weight": (1, WIDTH), "classifier.bias": (1,)},
    "BertForMaskedLM": {
        "cls.predictions.transform.dense.weight": (WIDTH, WIDTH),
        "cls.predictions.transform.dense.bias": (WIDTH,),
        "cls.predictions.transform.LayerNorm.weight": (WIDTH,),
        "cls.predictions.transform.LayerNorm.bias": (WIDTH,),
        "cls.predictions.bias": (len(VOCABULARY),),
    },
}


def make_bert(folder: Path, kind: str = "BertModel", **config: Any) -> Path:
    """A directory of transformers: config.json, model.safetensors, vocab.txt, tokenizer_config.json."""
    settings = {
        "architectures": [kind],
        "model_type": "bert",
        "vocab_size": len(VOCABULARY),
        "hidden_size": WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 4,
        "intermediate_size": INNER,
        "max_position_embeddings": POSITIONS,
        "id2label": {"0": "LABEL_0"},
        **config,
    }
    shapes = bert_shapes("" if kind == "BertModel" else "bert.") | HEADS[kind]
    if kind != "BertModel":
        shapes = {name: shape for name, shape in shapes.items() if "pooler" not in name or "MaskedLM" not in kind}
    labels = len(settings["id2label"])
    shapes |= {name: (labels, *shape[1:]) for name, shape in shapes.items() if name.startswith("classifier.")}
    write_json(folder / "config.json", settings)
    write_weights(folder / "model.safetensors", random_weights(shapes))
    write_json(folder / "tokenizer_config.json", {"model_max_length": 40, "do_lower_case": True})
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY))
    return folder


def add_modules(folder: Path, *modules: tuple[str, dict[str, Any]], **config: Any) -> Path:
    """Makes it a directory of sentence-transformers: the class and the configuration of each module after the model."""
    entries = [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}]
    for i, (kind, settings) in enumerate(modules, 1):
        name = f"{i}_{kind.rpartition('.')[2]}"
        entries.append({"idx": i, "name": str(i), "path": name, "type": kind})
        write_json(folder / name / "config.json", settings)
    write_json(folder / "modules.json", entries)
    write_json(folder / "config_sentence_transformers.json", config)
    return folder
