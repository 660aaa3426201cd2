"""Small random models with a tokenizer, in the layouts that sentence-transformers writes. Needs torch."""

from __future__ import annotations

import string
from pathlib import Path

import torch
from transformers import BertConfig, BertTokenizerFast, PreTrainedModel

WORDS = """the a of and to in is was it for on as with by at from who what where when how many people live city berlin
paris capital france germany jim henson puppet puppeteer made famous weather today sunny stadium he she drove rain dog
cat loves food run play able un"""
PIECES = ["ing", "ed", "er", "able", *string.ascii_lowercase, *string.digits]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[unused0]", "[unused1]"]
VOCABULARY = list(
    dict.fromkeys([*SPECIAL, *string.ascii_lowercase, *string.digits, *string.punctuation, *WORDS.split()])
) + [f"##{piece}" for piece in PIECES]

TEXTS = [
    "How many people live in Berlin?",
    "Berlin is the capital of Germany.",
    "",
    "Jim Henson made puppets; he was a famous puppeteer!",
    "dog",
    "The weather is sunny today, and she drove to the stadium in the rain with a dog, a cat and food for 12 people.",
    "Ünïcödé ∑ 日本",
]
PAIRS = [(TEXTS[i], TEXTS[j]) for i, j in [(0, 1), (0, 3), (3, 0), (5, 5), (2, 4), (6, 1), (4, 5)]]


def make_tokenizer(limit: int = 40) -> BertTokenizerFast:
    return BertTokenizerFast(vocab={token: i for i, token in enumerate(VOCABULARY)}, model_max_length=limit)


def save(kind: type[PreTrainedModel], folder: Path, **settings: object) -> Path:
    """A model of a class of transformers with wide random weights, and its tokenizer."""
    config = BertConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=40,
        **settings,
    )
    torch.manual_seed(0)
    model = kind(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            norm = "norm" in name.lower() and name.endswith("weight")
            parameter.normal_(1.0 if norm else 0.0, 0.8 / parameter.shape[-1] ** 0.5 if parameter.dim() > 1 else 0.2)
    model.save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return folder
