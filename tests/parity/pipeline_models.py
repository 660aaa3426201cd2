"""Small random models with tokenizers of each kind, as directories. Needs tokenizers, transformers and torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

CORPUS = """
The quick brown fox jumps over the lazy dog. Angela Merkel met Barack Obama in Berlin on Monday.
Microsoft Corporation opened an office near Paris, and the engineers of Zurich liked it a lot!
What is the capital of France? Paris is the capital of France and its largest city.
I have a problem with my phone that needs to be resolved as soon as possible.
The weather was unbelievably good; nobody wanted to go home before the evening came.
She bought three kilos of apples, two lemons and some extraordinarily expensive chocolate.
Der schnelle braune Fuchs springt über den faulen Hund. Où est la bibliothèque? Это хорошая книга.
Sentence transformers turn texts into vectors; classifiers turn them into labels, and so on and on.
""".strip().splitlines()
SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
ENTITIES = ["O", "B-PER", "I-PER", "B-ORG", "I-ORG", "LOC"]


class Kind(NamedTuple):
    """A tokenizer and the family of models that uses such."""

    name: str
    family: str
    positions: int  # as the configuration has them
    longest: int  # tokens that fit
    inputs: list[str]


KINDS = [
    Kind("wordpiece", "Bert", 128, 128, ["input_ids", "token_type_ids", "attention_mask"]),
    Kind("bytes", "Roberta", 130, 128, ["input_ids", "attention_mask"]),
    Kind("unigram", "XLMRoberta", 130, 128, ["input_ids", "attention_mask"]),
]
SPECIAL = {
    "wordpiece": {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"},
    "bytes": {"cls": "<s>", "pad": "<pad>", "sep": "</s>", "unk": "<unk>", "mask": "<mask>"},
    "unigram": {"cls": "<s>", "pad": "<pad>", "sep": "</s>", "unk": "<unk>", "mask": "<mask>"},
}


def make_tokenizer(kind: str) -> Tokenizer:
    names = SPECIAL[kind]
    special = list(names.values())
    if kind == "wordpiece":
        tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        tokenizer.decoder = decoders.WordPiece()
        trainer = trainers.WordPieceTrainer(vocab_size=220, special_tokens=special, show_progress=False)
    elif kind == "bytes":
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=380, special_tokens=special, initial_alphabet=alphabet, show_progress=False
        )
    else:
        tokenizer = Tokenizer(models.Unigram())
        tokenizer.normalizer = normalizers.NFKC()
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        tokenizer.decoder = decoders.Metaspace()
        trainer = trainers.UnigramTrainer(
            vocab_size=180, special_tokens=special, unk_token="<unk>", show_progress=False
        )
    tokenizer.train_from_iterator(CORPUS, trainer)
    cls, sep = ((names[part], tokenizer.token_to_id(names[part])) for part in ("cls", "sep"))
    if kind == "bytes":
        tokenizer.post_processor = processors.RobertaProcessing(sep, cls, add_prefix_space=False)
    else:
        first = f"{cls[0]} $A {sep[0]}"
        pair = f"{first} $B:1 {sep[0]}:1" if kind == "wordpiece" else f"{first} {sep[0]} $B {sep[0]}"
        tokenizer.post_processor = processors.TemplateProcessing(single=first, pair=pair, special_tokens=[cls, sep])
    return tokenizer


def make_directory(
    folder: Path, kind: Kind, head: str, limit: int | None = None, family: str | None = None, **config: Any
) -> Path:
    """A directory as save_pretrained writes it; ``limit`` is the tokenizer's model_max_length."""
    tokenizer = make_tokenizer(kind.name)
    names = SPECIAL[kind.name]
    pad, mask = (tokenizer.token_to_id(names[part]) for part in ("pad", "mask"))
    wrapped = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=limit or kind.longest,
        model_input_names=kind.inputs,
        **{f"{part}_token": token for part, token in names.items()},
    )
    settings = {
        **SMALL,
        "max_position_embeddings": kind.positions,
        "type_vocab_size": 2 if kind.name == "wordpiece" else 1,
        "pad_token_id": pad,
        **config,
        "vocab_size": tokenizer.get_vocab_size(),
    }
    torch.manual_seed(0)
    family = family or kind.family
    model = getattr(transformers, family + head)(getattr(transformers, f"{family}Config")(**settings))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "LayerNorm" not in name:
                parameter.mul_(24 if "classifier" in name or "qa_outputs" in name else 8)
            if "position_embeddings" in name:  # neighbours alike, so that labels form runs
                parameter.add_(4 * parameter[torch.arange(len(parameter)) // 4 * 4])
        if head == "ForMaskedLM":
            model.get_output_embeddings().bias[mask] -= 20  # the tests put predictions back into texts
    model.eval().save_pretrained(folder)
    wrapped.save_pretrained(folder)
    path = folder / "tokenizer_config.json"
    settings = json.loads(path.read_text())
    settings["tokenizer_class"] = "PreTrainedTokenizerFast"  # also transformers 4 knows it
    path.write_text(json.dumps(settings, indent=2))
    (folder / "generation_config.json").unlink(missing_ok=True)
    return folder
