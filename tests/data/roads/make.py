"""Makes one small BERT in every format that torch and transformers write: python make.py (needs onnxscript too).

Odd sizes, so that no dimension is taken for another. test_roads.py writes the formats that need no torch itself.
"""

from __future__ import annotations

from pathlib import Path

import onnx
import torch
from torch import nn
from torch.export import Dim
from transformers import BertConfig, BertModel

HERE = Path(__file__).resolve().parent
CONFIG = BertConfig(
    vocab_size=19,
    hidden_size=15,
    num_hidden_layers=2,
    num_attention_heads=3,
    intermediate_size=11,
    max_position_embeddings=17,
    type_vocab_size=2,
    pad_token_id=0,
)
INPUTS = ["input_ids", "attention_mask", "token_type_ids"]
OUTPUTS = ["last_hidden_state", "pooler_output"]


class Plain(BertModel):
    """With no more arguments than the exporters know to handle."""

    def forward(self, input_ids, attention_mask, token_type_ids):
        return super().forward(input_ids, attention_mask, token_type_ids)


class Bars(nn.Module):
    """What tch's Tensor::save_multi writes: one module of flat parameters, with bars for dots."""

    def __init__(self, state: dict[str, torch.Tensor]) -> None:
        super().__init__()
        for name, tensor in state.items():
            self.register_parameter(name.replace(".", "|"), nn.Parameter(tensor, requires_grad=False))


class Scripted(nn.Module):
    """A traced model inside of scripted code."""

    def __init__(self, traced: torch.jit.ScriptModule) -> None:
        super().__init__()
        self.bert = traced

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor):
        hidden, pooled = self.bert(input_ids, attention_mask, token_type_ids)
        return hidden, pooled


def wide_weights(model: nn.Module) -> None:
    generator = torch.Generator().manual_seed(0)
    for name, weight in model.named_parameters():
        weight.data = torch.randn(weight.shape, generator=generator) * 0.5 + name.endswith("LayerNorm.weight")


def example() -> tuple[torch.Tensor, ...]:
    ids = torch.arange(3 * 7).view(3, 7) % 18 + 1
    mask = (torch.arange(7) < torch.tensor([[7], [4], [6]])).long()
    return ids * mask, mask, torch.arange(7).expand(3, 7) // 4


def write_state(model: nn.Module) -> None:
    state = {name: tensor for name, tensor in model.state_dict().items() if tensor.is_floating_point()}
    torch.save(state, HERE / "zip.bin")
    torch.save(state, HERE / "legacy.bin", _use_new_zipfile_serialization=False)
    torch.jit.save(torch.jit.script(Bars(state)), str(HERE / "rust_model.ot"))


def write_programs(attention: str) -> None:
    model = Plain.from_pretrained(HERE / "directory", attn_implementation=attention, return_dict=False)
    model.eval().requires_grad_(False)
    given, sizes = example(), {0: Dim("batch", max=1024), 1: Dim("length", max=17)}
    traced = torch.jit.trace(model, given)
    traced.save(HERE / f"{attention}.pt")
    if attention == "sdpa":
        torch.jit.script(Scripted(traced)).save(HERE / "scripted.pt")
    program = torch.export.export(model, given, dynamic_shapes=(sizes,) * 3)
    for node in program.graph.nodes:  # paths of the machine, and most of the file
        for key in ("stack_trace", "source_fn_stack", "nn_module_stack"):
            node.meta.pop(key, None)
    torch.export.save(program, HERE / f"{attention}.pt2")
    names = {"input_names": INPUTS, "output_names": OUTPUTS}
    axes = {name: {0: "batch", 1: "length"} for name in [*INPUTS, OUTPUTS[0]]} | {OUTPUTS[1]: {0: "batch"}}
    torch.onnx.export(model, given, HERE / f"{attention}.onnx", dynamo=False, dynamic_axes=axes, **names)
    exported = torch.onnx.export(model, given, dynamo=True, dynamic_shapes=(sizes,) * 3, **names).model_proto
    for node in exported.graph.node:  # as above
        del node.metadata_props[:]
    onnx.save(exported, HERE / f"{attention}.dynamo.onnx")


def main() -> None:
    model = BertModel(CONFIG)
    wide_weights(model)
    model.save_pretrained(HERE / "directory")
    write_state(model)
    for attention in ("eager", "sdpa"):
        write_programs(attention)


if __name__ == "__main__":
    main()
