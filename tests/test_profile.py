"""What model.profile() tells of each node, and that its figures fit together."""

import json

import numpy as np
import pytest

import bertc
from bertc.profile import Profile


@pytest.fixture(scope="module")
def bert(bert_path) -> bertc.Model:
    """Of this file alone: what other tests have called decides how a graph was built."""
    return bertc.load(bert_path)


@pytest.fixture(scope="module")
def profile(bert) -> Profile:
    ids = np.full((2, 9), 7)
    return bert.profile(ids, np.ones_like(ids), token_type_ids=np.zeros_like(ids), repeat=2)


def flops_of_bert(model: bertc.Model, batch: int, length: int) -> float:
    """Of its matrices for each token (the pooler's for each sequence), and of attention."""
    matrices = {name: array for name, array in model.state_dict().items() if array.ndim == 2}
    inner = sum(array.size for name, array in matrices.items() if ".layer." in name)
    queries = [array for name, array in matrices.items() if name.endswith("self.query.weight")]
    pooler = sum(array.size for name, array in matrices.items() if "pooler" in name)
    attention = sum(4 * batch * length**2 * len(array) for array in queries)
    return 2 * batch * length * inner + 2 * batch * pooler + attention


def test_figures_fit_together(profile, bert):
    nodes = profile.nodes
    assert profile.tokens == 18 and profile.threads == 1
    assert 0 < sum(node.seconds for node in nodes) <= 1.05 * profile.seconds
    assert sum(node.share for node in nodes) == pytest.approx(1)
    assert profile.flops == sum(node.flops for node in nodes) == flops_of_bert(bert, 2, 9)
    assert profile.peak_gflops > 0.5
    assert profile.gflops == pytest.approx(profile.flops / profile.seconds / 1e9)
    assert profile.peak_share == pytest.approx(profile.gflops / profile.peak_gflops)
    assert all(node.calls == 1 and node.seconds > 0 for node in nodes)
    assert sum(cost.seconds for cost in profile.ops) == pytest.approx(sum(node.seconds for node in nodes))
    assert [cost.op for cost in profile.ops] == [cost.op for cost in sorted(profile.ops, key=lambda c: -c.seconds)]


def test_nodes_are_those_of_the_graph(profile, bert):
    lines = [line.strip() for line in str(bert.graph).splitlines()]
    order = [next(i for i, line in enumerate(lines) if line.startswith(node.text)) for node in profile.nodes]
    assert order == sorted(set(order))
    linear = [node for node in profile.nodes if node.op == "linear"]
    assert all(node.weight in bert.state_dict() and node.weight in node.text for node in linear)
    assert all((node.flops > 0) == (node.op in ("linear", "scaled_dot_product_attention")) for node in profile.nodes)


def test_as_text_and_data(profile):
    lines = str(profile).splitlines()
    assert "18 tokens" in lines[0] and repr(profile) == str(profile)
    for node in profile.nodes:
        assert any(line.startswith(node.name + " ") and node.op in line for line in lines)
    data = json.loads(json.dumps(profile.to_dict()))
    assert data["seconds"] == profile.seconds and len(data["nodes"]) == len(profile.nodes)
    assert data["nodes"][0]["op"] == profile.nodes[0].op
    assert profile._repr_html_().count("<tr>") == len(profile.nodes) + len(profile.ops) + 2


@pytest.mark.parametrize("threads", [1, 2])
def test_parts_of_a_batch_are_summed(bert, threads):
    ids = np.full((64, 32), 7)
    profile = bert.profile(ids, np.ones_like(ids), np.zeros_like(ids), threads=threads, repeat=1)
    assert profile.threads == threads and profile.flops == flops_of_bert(bert, 64, 32)
    assert max(node.calls for node in profile.nodes) > 1


def test_it_changes_nothing(bert, inputs):
    before = [array.tobytes() for array in bert(*inputs)]
    bert.profile(*inputs, repeat=1)
    assert [array.tobytes() for array in bert(*inputs)] == before


def test_refusals(bert, inputs):
    with pytest.raises(bertc.InputError):
        bert.profile(*inputs[:2])
    with pytest.raises(ValueError):
        bert.profile(*inputs, repeat=0)
    with pytest.raises(ValueError):
        bert.profile(*inputs, threads=0)


def test_padding_that_is_skipped_costs_nothing(bert_path):
    """A sequence of 24 tokens and one of 8, padded to 24."""
    model = bertc.load(bert_path, padding="skip")
    ids = np.full((2, 24), 7)
    mask = (np.arange(24) < np.array([[24], [8]])).astype(np.int64)
    profile = model.profile(ids, mask, np.zeros_like(ids), repeat=1)
    expected = flops_of_bert(model, 1, 24) + flops_of_bert(model, 1, 8)
    assert profile.flops == expected and profile.tokens == 48
