"""Configurations of the architectures that bertc knows, two of each, and random models of them. Needs transformers."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import transformers


class Case(NamedTuple):
    name: str
    family: str  # of the classes: "Bert"
    config: dict[str, Any]
    heads: tuple[str, ...]


SMALL = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 40,
}
LARGER = {
    "vocab_size": 99,
    "hidden_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 100,
    "max_position_embeddings": 50,
}
USUAL = ("ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering", "ForMaskedLM")
ALL = (*USUAL, "ForMultipleChoice")
PAIRS = (*ALL, "ForPreTraining", "ForNextSentencePrediction")

DISTIL = {"vocab_size": 40, "dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24, "max_position_embeddings": 40}
XLNET = {"vocab_size": 40, "d_model": 16, "n_layer": 2, "n_head": 2, "d_inner": 24, "use_mems_eval": False}
NO_SPECIAL = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2}
RELATIVE = {"type_vocab_size": 0, "relative_attention": True, "position_biased_input": False}
BUCKETS = {"position_buckets": 8, "norm_rel_ebd": "layer_norm", "share_att_key": True}

# family, heads, what the small configuration has besides SMALL, what the larger one has besides LARGER
TABLE: list[tuple[str, tuple[str, ...], dict[str, Any], dict[str, Any]]] = [
    ("Bert", PAIRS, {"type_vocab_size": 2}, {"hidden_act": "gelu_new", "type_vocab_size": 3, "layer_norm_eps": 1e-6}),
    ("Roberta", ALL, {"type_vocab_size": 1}, {"hidden_act": "relu", "tie_word_embeddings": False}),
    ("XLMRoberta", ALL, {"type_vocab_size": 1}, {"pad_token_id": 3}),
    ("Camembert", ALL, {"type_vocab_size": 1}, {"layer_norm_eps": 1e-5}),
    ("Albert", (*ALL, "ForPreTraining"), {"embedding_size": 8}, {"embedding_size": 20, "num_hidden_groups": 2}),
    ("Electra", (*ALL, "ForPreTraining"), {"embedding_size": 8}, {"embedding_size": 48}),
    ("MPNet", ALL, {}, {"relative_attention_num_buckets": 40}),
    (
        "MobileBert",
        PAIRS,
        {"embedding_size": 8, "intra_bottleneck_size": 12},
        {
            "embedding_size": 48,
            "use_bottleneck": False,
            "normalization_type": "layer_norm",
            "trigram_input": False,
            "num_feedforward_networks": 1,
            "classifier_activation": False,
        },
    ),
    (
        "Deberta",
        USUAL,
        {**RELATIVE, "pos_att_type": ["c2p", "p2c"]},
        {"type_vocab_size": 2, "relative_attention": True, "max_relative_positions": 6, "pos_att_type": "c2p"},
    ),
    (
        "DebertaV2",
        ALL,
        {**RELATIVE, **BUCKETS, "pos_att_type": ["p2c", "c2p"]},
        {
            **RELATIVE,
            "pos_att_type": ["p2c"],
            "max_relative_positions": 7,
            "share_att_key": False,
            "conv_kernel_size": 3,
            "conv_act": "gelu",
            "legacy": False,
        },
    ),
    (
        "ModernBert",
        ALL,
        {**NO_SPECIAL, "local_attention": 6, "num_hidden_layers": 4},
        {
            **NO_SPECIAL,
            "local_attention": 8,
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
            "classifier_pooling": "mean",
            "norm_bias": True,
            "attention_bias": True,
            "mlp_bias": True,
            "classifier_bias": True,
            "decoder_bias": False,
            "classifier_activation": "tanh",
            "hidden_activation": "silu",
        },
    ),
    ("NomicBert", ("ForSequenceClassification", "ForTokenClassification", "ForMaskedLM"), {}, {"hidden_act": "gelu"}),
    ("Gte", ("ForSequenceClassification", "ForTokenClassification", "ForMaskedLM"), {}, {"type_vocab_size": 0}),
    ("JinaEmbeddingsV3", USUAL, {}, {"hidden_act": "gelu_pytorch_tanh"}),
]


def _cases() -> list[Case]:
    cases = []
    for family, heads, small, larger in TABLE:
        cases.append(Case(f"{family}-small", family, {**SMALL, **small}, ("Model", *heads)))
        cases.append(Case(f"{family}-larger", family, {**LARGER, **larger}, ("Model", *heads)))
    heads = ("Model", *ALL)
    cases.append(Case("DistilBert-small", "DistilBert", DISTIL, heads))
    cases.append(Case("DistilBert-larger", "DistilBert", {**DISTIL, "dim": 48, "n_heads": 3, "n_layers": 3}, heads))
    heads = ("ForSequenceClassification", "ForTokenClassification", "ForQuestionAnsweringSimple", "ForMultipleChoice")
    heads = ("Model", *heads, "LMHeadModel")
    cases.append(Case("XLNet-small", "XLNet", XLNET, heads))
    larger = {**XLNET, "d_model": 48, "n_head": 3, "n_layer": 3, "clamp_len": 4, "ff_activation": "relu"}
    cases.append(Case("XLNet-larger", "XLNet", larger, heads))
    return cases


CASES = _cases()


def make(case: Case, head: str) -> transformers.PreTrainedModel:
    """A model with random weights, so wide that a mask that is not heeded shows."""
    labels = 2 if "QuestionAnswering" in head else 3
    config = getattr(transformers, f"{case.family}Config")(**case.config, num_labels=labels)
    torch.manual_seed(0)
    model = getattr(transformers, case.family + head)._from_config(config, attn_implementation="eager")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            norm = "norm" in name.lower() and name.endswith("weight")
            parameter.normal_(1.0 if norm else 0.0, 0.8 / parameter.shape[-1] ** 0.5 if parameter.dim() > 1 else 0.2)
    return model.eval()
