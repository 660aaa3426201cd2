"""Hugging Face directories: every architecture, its outputs, and what is refused by name."""

import json
import shutil

import numpy as np
import pytest
from conftest import DATA, same

import bertc

DIRECTORIES = sorted(path for path in (DATA / "directories").iterdir())
NOT_BY_TOKEN = ("albert", "deberta", "deberta-v2", "xlnet")  # ALBERT: the head of the fixture is a multiple choice


def expected_of(path):
    arrays = np.load(path / "expected.npz")
    inputs = {name: arrays[name] for name in ("input_ids", "attention_mask")}
    return inputs, {name[7:]: arrays[name] for name in arrays.files if name.startswith("output_")}


@pytest.fixture(params=DIRECTORIES, ids=lambda path: path.name)
def path(request):
    return request.param


@pytest.fixture
def edited(tmp_path):
    """A copy of a directory with another configuration."""

    def edit(name, **changes):
        shutil.copytree(DATA / "directories" / name, tmp_path, dirs_exist_ok=True)
        config = json.loads((tmp_path / "config.json").read_text())
        config.update(changes)
        config = {key: value for key, value in config.items() if value is not ...}
        (tmp_path / "config.json").write_text(json.dumps(config))
        return tmp_path

    return edit


# ---- outputs ----


def test_outputs(path):
    model = bertc.load(path)
    inputs, expected = expected_of(path)
    outputs = model(**inputs)
    assert list(outputs) == list(expected)
    for i, (name, value) in enumerate(expected.items()):
        assert outputs[name].shape == value.shape
        assert np.abs(outputs[name] - value).max() <= 2e-5 * value.std()
        assert outputs[i] is outputs[name] is getattr(outputs, name)
    assert outputs.to_tuple()[0] is outputs[0]
    assert outputs[:1] == outputs.to_tuple()[:1]


def test_an_output_that_is_not_there():
    outputs = bertc.load(DATA / "directories" / "bert")([[5, 6]])
    with pytest.raises(AttributeError, match="no output 'logits', only prediction_logits, seq_relationship_logits"):
        _ = outputs.logits
    with pytest.raises(KeyError):
        _ = outputs["logits"]
    with pytest.raises(IndexError):
        _ = outputs[2]


def test_fused(path):
    text = str(bertc.load(path).graph)
    assert "scaled_dot_product_attention" in text
    assert "softmax" not in text
    if path.name not in NOT_BY_TOKEN:
        assert "per token (padding can be skipped)" in text.splitlines()[0]


def test_hidden_states_and_attentions(path):
    model = bertc.load(path)
    inputs, _ = expected_of(path)
    plain = model(**inputs)
    full = model(**inputs, output_hidden_states=True, output_attentions=True)
    assert list(full) == [*plain, "hidden_states", "attentions"]
    layers = len(full.attentions)
    assert len(full.hidden_states) == layers + 1
    ids = inputs["input_ids"].reshape(-1, inputs["input_ids"].shape[-1])
    for weights in full.attentions:
        assert weights.shape == (len(ids), 2, ids.shape[1], ids.shape[1])
        assert np.allclose(weights.sum(-1), 1, atol=1e-5)
    for name, value in plain.items():
        rows = inputs["attention_mask"].astype(bool) if value.shape[:2] == inputs["input_ids"].shape else ...
        assert np.abs(value - full[name])[rows].max() <= 2e-5 * value.std()
    assert list(model(**inputs)) == list(plain)


def test_rows_do_not_know_their_batch(path):
    model = bertc.load(path, threads=2)
    inputs, _ = expected_of(path)
    many = {name: np.concatenate([value] * 11) for name, value in inputs.items()}
    whole = model(**many)
    for row in (0, 1, 31):
        alone = model(**{name: value[row : row + 1] for name, value in many.items()})
        assert same(dict(alone), {name: value[row : row + 1] for name, value in whole.items()})


def test_run_packed(path):
    model = bertc.load(path)
    inputs, _ = expected_of(path)
    if inputs["input_ids"].ndim > 2:
        pytest.skip("choices have no sequences of their own length")
    whole = model(**inputs)
    lengths = inputs["attention_mask"].sum(1)
    results = model.run_packed([ids[:length] for ids, length in zip(inputs["input_ids"], lengths)])
    for i, (result, length) in enumerate(zip(results, lengths)):
        assert isinstance(result, bertc.ModelOutput)
        for name, value in whole.items():
            own = value[i, :length] if value.ndim > 1 and value.shape[1] == 7 else value[i]
            assert np.abs(result[name] - own).max() <= 1e-5 * value.std(), name


def read_weights(folder) -> dict[str, np.ndarray]:
    data = (folder / "model.safetensors").read_bytes()
    size = int.from_bytes(data[:8], "little")
    header, body = json.loads(data[8 : 8 + size]), data[8 + size :]
    header.pop("__metadata__", None)
    return {
        name: np.frombuffer(body[slice(*entry["data_offsets"])], np.float32).reshape(entry["shape"])
        for name, entry in header.items()
    }


def write_weights(folder, weights: dict[str, np.ndarray]) -> None:
    header, body = {}, b""
    for name, array in weights.items():
        own = array.tobytes()
        dtype = {"float32": "F32", "float16": "F16"}[array.dtype.name]
        header[name] = {"dtype": dtype, "shape": array.shape, "data_offsets": [len(body), len(body) + len(own)]}
        body += own
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + body)


def test_half_precision_weights(path, edited):
    folder = edited(path.name)
    write_weights(folder, {name: array.astype(np.float16) for name, array in read_weights(folder).items()})
    inputs, expected = expected_of(path)
    model = bertc.load(folder)
    for extra in ({}, {"output_attentions": True}):
        outputs = model(**inputs, **extra)
        for name, value in expected.items():
            assert outputs[name].dtype == np.float16
            rows = inputs["attention_mask"].astype(bool) if value.shape[:2] == inputs["input_ids"].shape else ...
            assert np.abs(outputs[name] - value)[rows].max() <= 0.02 * value.std()


CURATED = [
    ("embeddings.word_embeddings", "embeddings.piece_embeddings"),
    ("embeddings.token_type_embeddings", "embeddings.type_embeddings"),
    ("embeddings.LayerNorm", "embeddings.embed_output_layer_norm"),
    ("encoder.layer.", "layers."),
    ("attention.self.", "mha."),
    ("attention.output.dense", "mha.output"),
    ("attention.output.LayerNorm", "attn_residual_layer_norm"),
    ("intermediate.dense", "ffn.intermediate"),
    ("output.dense", "ffn.output"),
    ("output.LayerNorm", "ffn_residual_layer_norm"),
]


def curated(name: str) -> str:
    for old, new in CURATED:
        name = name.replace(old, new)
    return name


def joined(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Queries, keys and values in one weight."""
    result = {}
    for name, array in weights.items():
        if "mha.query" in name:
            parts = [weights[name.replace("query", part)] for part in ("query", "key", "value")]
            result[name.replace("query", "input")] = np.concatenate(parts)
        elif "mha.key" not in name and "mha.value" not in name:
            result[name] = array
    return result


@pytest.mark.parametrize("prefix", ["", "encoder."])
@pytest.mark.parametrize("join", [False, True])
def test_names_of_curated_transformers(edited, prefix, join):
    folder = edited("camembert")
    weights = {curated(name): array for name, array in read_weights(folder).items() if "pooler" not in name}
    weights = joined(weights) if join else weights
    write_weights(folder, {prefix + name: array for name, array in weights.items()})
    inputs, expected = expected_of(DATA / "directories" / "camembert")
    model = bertc.load(folder)
    assert not model.warning
    outputs = model(**inputs)
    assert list(outputs) == ["last_hidden_state"]
    value = expected["last_hidden_state"]
    assert np.abs(outputs[0] - value).max() <= 2e-5 * value.std()


def test_weights_that_curated_transformers_made():
    """Of its own BERT, whose trace is the reference."""
    traced = bertc.load(DATA / "nested" / "curated-bert-dictmask.pt")
    state = {name.removeprefix("inner."): array for name, array in traced.state_dict().items()}
    config = {
        "model_type": "bert",
        "vocab_size": 173,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
    }
    ids = np.random.default_rng(0).integers(1, 173, (3, 8))
    mask = np.arange(8) < np.array([[8], [5], [1]])
    model = bertc.from_state_dict(config, state)
    assert model.architecture == "BertModel" and not model.warning
    result = model(ids, mask, output_hidden_states=True)
    expected = traced(ids, {"bool_mask": mask})[0]
    assert len(expected) == len(result.hidden_states) == 3
    for own, other in zip(result.hidden_states, expected, strict=True):
        assert np.abs(own - other)[mask].max() <= 1e-5 * other.std()


def test_names_of_transformers_itself(edited):
    """GTE's, which save_pretrained turns into those of the hub."""
    folder = edited("gte")
    weights = {}
    for name, array in read_weights(folder).items():
        name = name.replace("encoder.layer.", "layers.").replace("attention.o_proj", "self_attn.o_proj")
        name = name.replace("attn_ln", "post_attention_layernorm").replace("mlp_ln", "post_mlp_layernorm")
        parts = ["q", "k", "v"] if "qkv_proj" in name else ["up", "gate"] if "up_gate_proj" in name else []
        for part, rows in zip(parts, np.split(array, len(parts) or 1)):
            weights[name.replace("attention.qkv", f"self_attn.{part}").replace("up_gate", part)] = rows
        if not parts:
            weights[name] = array
    write_weights(folder, weights)
    inputs, _ = expected_of(DATA / "directories" / "gte")
    assert same(dict(bertc.load(folder)(**inputs)), dict(bertc.load(DATA / "directories" / "gte")(**inputs)))


# ---- heads ----


def test_the_head_is_found_by_its_weights(edited):
    model = bertc.load(edited("bert", architectures=...))
    assert model.architecture == "BertForPreTraining"
    model = bertc.load(edited("distilbert", architectures=None))
    assert model.architecture == "DistilBertForQuestionAnswering"


def test_a_head_that_weights_do_not_tell_apart_is_not_guessed(edited):
    changes = {"architectures": [], "num_labels": 1, "id2label": ...}
    folder = edited("albert", **changes)
    with pytest.raises(bertc.UnsupportedError, match="AlbertForSequenceClassification as well as AlbertForMultipleCho"):
        bertc.load(folder)


def test_a_file_without_the_head_is_the_bare_model(edited):
    with pytest.warns(UserWarning, match="hold no head, so this is the bare MPNetModel"):
        model = bertc.load(edited("mpnet", architectures=["MPNetForMaskedLM"]))
    assert model.architecture == "MPNetModel"
    assert list(model([[5, 6]])) == ["last_hidden_state", "pooler_output"]


def test_weights_that_nothing_uses_are_named(edited):
    folder = edited("mpnet", num_hidden_layers=1)
    with pytest.warns(UserWarning, match=r"MPNetModel does not have: encoder\.layer\.1\..*\(16 in all\)") as caught:
        model = bertc.load(folder)
    assert caught[0].filename == __file__
    assert "encoder.layer.1." in model.warning


def test_missing_weights_are_named(edited):
    folder = edited("roberta", num_hidden_layers=3)
    with pytest.raises(bertc.FormatError, match=r"missing: roberta\.encoder\.layer\.2\.attention.*\(16 in all\)"):
        bertc.load(folder)


# ---- refusals ----


@pytest.mark.parametrize(
    ("name", "changes", "says"),
    [
        ("bert", {"model_type": "gpt_neox"}, "model_type 'gpt_neox' is not supported.*known: bert, distilbert"),
        ("bert", {"architectures": ["BertForCausalThings"]}, "'BertForCausalThings' is not supported.*BertForMaskedLM"),
        ("bert", {"architectures": ["RobertaModel"]}, "'RobertaModel' is not supported"),
        ("bert", {"architectures": "BertModel"}, "architectures is not a list of names"),
        ("bert", {"hidden_act": "mish"}, "hidden_act 'mish' is not supported"),
        ("bert", {"position_embedding_type": "relative_key"}, "'relative_key' is not supported, only 'absolute'"),
        ("bert", {"is_decoder": True}, "is_decoder true is not supported"),
        ("bert", {"add_cross_attention": True}, "add_cross_attention true"),
        ("bert", {"pruned_heads": {"0": [1]}}, "pruned_heads is not supported"),
        ("bert", {"quantization_config": {"bits": 4}}, "quantization_config is not supported"),
        ("bert", {"num_attention_heads": 3}, "hidden_size 16 is no multiple of num_attention_heads 3"),
        ("bert", {"hidden_size": 0}, "hidden_size is not an integer from 1 to"),
        ("bert", {"num_hidden_layers": 10**9}, "num_hidden_layers is 1000000000, but there are only"),
        ("bert", {"tie_word_embeddings": False}, "missing: cls.predictions.decoder.weight"),
        ("bert", {"vocab_size": 41}, r"has shape \[40, 16\], config.json says \[41, 16\]"),
        ("albert", {"num_hidden_groups": 10**9}, "num_hidden_groups is 1000000000"),
        ("electra", {"summary_type": "last"}, "summary_type 'last' is not supported, only 'first'"),
        ("electra", {"embedding_size": 16}, r"has shape \[40, 8\]"),
        ("mobilebert", {"normalization_type": "rms"}, "normalization_type 'rms' is not supported"),
        ("mobilebert", {"intra_bottleneck_size": 13}, "intra_bottleneck_size 13.*do not fit"),
        ("deberta", {"pos_att_type": ["p2p"]}, "pos_att_type 'p2p' is not supported"),
        ("deberta", {"talking_head": True}, "talking_head true is not supported"),
        ("deberta", {"pooler_hidden_size": 8}, "pooler_hidden_size 8 is not supported, only 16"),
        ("deberta-v2", {"norm_rel_ebd": "rms"}, "norm_rel_ebd 'rms' is not supported"),
        ("deberta-v2", {"attention_head_size": 4}, "attention_head_size 4 is not supported, only 8"),
        ("deberta-v2", {"conv_kernel_size": 3, "conv_act": "mish"}, "conv_act 'mish' is not supported"),
        ("modernbert", {"layer_types": ["full_attention"] * 3}, "layer_types is not a list of 4 names"),
        ("modernbert", {"layer_types": ["chunked"] * 4}, "layer type 'chunked' is not supported"),
        ("modernbert", {"classifier_pooling": "max"}, "classifier_pooling 'max' is not supported"),
        ("modernbert", {"classifier_activation": "mish"}, "classifier_activation 'mish' is not supported"),
        ("modernbert", {"rope_scaling": {"type": "linear"}}, "rope_scaling is not supported"),
        ("nomic_bert", {"rope_parameters": {"rope_type": "yarn"}}, "rope_type 'yarn' is not supported, only 'default'"),
        ("nomic_bert", {"head_dim": 4}, "head_dim 4 is not supported, only 8"),
        ("xlnet", {"attn_type": "uni"}, "attn_type 'uni' is not supported, only 'bi'"),
        ("xlnet", {"architectures": ["XLNetForQuestionAnswering"]}, "'XLNetForQuestionAnswering' is not supported"),
        ("gte", {"rope_parameters": {"rope_theta": "x"}}, "rope_theta is not a number"),
        ("gte", {"rope_scaling": {"type": "ntk", "factor": 8}}, "rope_scaling is not supported"),
        ("jina_embeddings_v3", {"rope_parameters": {"rope_type": "linear"}}, "rope_type 'linear' is not supported"),
        ("bert", {"model_type": ...}, "no model_type"),
        ("bert", {"hidden_act": 3}, "hidden_act is not a string"),
        ("bert", {"layer_norm_eps": "small"}, "layer_norm_eps is not a number"),
        ("bert", {"num_hidden_layers": 1.5}, "num_hidden_layers is not an integer from 0 to"),
        ("bert", {"is_decoder": "yes"}, "is_decoder is not true or false"),
        (
            "bert",
            {"type_vocab_size": 3},
            r"token_type_embeddings.weight has shape \[2, 16\], config.json says \[3, 16\]",
        ),
        ("bert", {"max_position_embeddings": 9}, "position_embeddings.weight has shape"),
        ("distilbert", {"activation": "mish"}, "config.json: activation 'mish' is not supported"),
        ("distilbert", {"n_heads": 3}, "is no multiple of num_attention_heads 3"),
        ("distilbert", {"dim": "x"}, "dim is not an integer"),
        ("roberta", {"position_embedding_type": "relative_key_query"}, "'relative_key_query' is not supported"),
        ("xlm-roberta", {"is_decoder": True}, "is_decoder true is not supported"),
        ("camembert", {"add_cross_attention": True}, "add_cross_attention true is not supported"),
        ("electra", {"position_embedding_type": "relative_key"}, "'relative_key' is not supported"),
        ("electra", {"summary_use_proj": False}, "summary_use_proj false is not supported"),
        ("albert", {"embedding_size": 9}, r"_embeddings.weight has shape \[40, 8\], config.json says \[40, 9\]"),
        ("mpnet", {"relative_attention_num_buckets": 33}, "relative_attention_bias.weight has shape"),
        ("deberta-v2", {"conv_kernel_size": 4, "conv_act": "gelu"}, "conv_kernel_size 4 is not odd"),
        ("modernbert", {"hidden_activation": "mish"}, "hidden_activation 'mish' is not supported"),
        ("modernbert", {"attention_bias": True}, "missing: .*Wqkv.bias"),
        ("xlnet", {"bi_data": True}, "bi_data true is not supported"),
        ("xlnet", {"d_head": 4}, "d_head 4 is not supported, only 8"),
        ("xlnet", {"ff_activation": "mish"}, "ff_activation 'mish' is not supported"),
    ],
    ids=lambda value: value if isinstance(value, str) and value.islower() and " " not in value else "",
)
def test_refusals(edited, name, changes, says):
    with pytest.raises((bertc.UnsupportedError, bertc.FormatError), match=f"(?s){says}"):
        bertc.load(edited(name, **changes))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "one of input_ids and inputs_embeds must be given"),
        ({"input_ids": [5, 6]}, r"'input_ids' is not a tensor \[batch, sequence\]"),
        ({"input_ids": [[0.5]]}, "'input_ids' is float32, expected integers"),
        ({"input_ids": [[5, 6]], "attention_mask": [[1]]}, "'attention_mask' has another shape than input_ids"),
        ({"input_ids": [[5]], "position_ids": [[0], [1]]}, "'position_ids' has another shape"),
        ({"inputs_embeds": np.zeros((1, 2, 5), np.float32)}, "'inputs_embeds' is 5 wide, expected 16"),
        ({"input_ids": [[5] * 41]}, "sequence length 41 is longer than the model's 40 positions"),
        ({"input_ids": [[40]]}, r"input_ids\[0, 0\] = 40"),
        ({"input_ids": [[5]], "output_attentions": 1}, "output_attentions: expected True or False"),
    ],
)
def test_arguments_that_do_not_fit(given, says):
    model = bertc.load(DATA / "directories" / "bert")
    with pytest.raises(bertc.InputError, match=says):
        model(**given)
