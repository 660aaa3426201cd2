"""Makes the weights of one small BERT with torch, in the formats that only torch writes.

python make.py. test_state.py writes the other formats itself, and compares them all. legacy_views.bin has tied, strided
and offset tensors, and one of each dtype.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import nn

HERE = Path(__file__).resolve().parent
CONFIG = {
    "model_type": "bert",
    "vocab_size": 24,
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "max_position_embeddings": 16,
    "type_vocab_size": 2,
}


def weights() -> dict[str, torch.Tensor]:
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    model = BertModel(BertConfig(**CONFIG))
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    return {name: tensor for name, tensor in model.state_dict().items() if tensor.is_floating_point()}


def views() -> dict[str, torch.Tensor]:
    base = torch.arange(60, dtype=torch.float32)
    matrix = base.view(6, 10)
    return {
        "whole": base,
        "tied": base,
        "rows": matrix[2:4],
        "columns": matrix[:, 3:5],
        "transposed": matrix.t(),
        "expanded": base[7:9].unsqueeze(1).expand(2, 3),
        "number": base[5],
        "empty": torch.zeros(0, 4),
        "bool": torch.tensor([True, False, True]),
        **{
            str(dtype).removeprefix("torch."): torch.tensor([-3, 0, 7]).abs().to(dtype)
            for dtype in (torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16)
        },
        "int8": torch.tensor([-3, 0, 7], dtype=torch.int8),
        "uint8": torch.tensor([3, 0, 200], dtype=torch.uint8),
    }


class Bars(nn.Module):
    """What tch's Tensor::save_multi writes: one module of flat parameters, with bars for dots."""

    def __init__(self, state: dict[str, torch.Tensor]) -> None:
        super().__init__()
        for name, tensor in state.items():
            self.register_parameter(name.replace(".", "|"), nn.Parameter(tensor, requires_grad=False))


def main() -> None:
    state = weights()
    old = {n.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): t
           for n, t in state.items()}  # fmt: skip
    (HERE / "config.json").write_text(json.dumps(CONFIG, indent=2) + "\n")
    torch.save(state, HERE / "zip.bin")
    torch.save(old, HERE / "legacy.bin", _use_new_zipfile_serialization=False)
    torch.save({"epoch": 3, "state_dict": {f"bert.{name}": t for name, t in state.items()}}, HERE / "wrapped.bin")
    torch.jit.save(torch.jit.script(Bars(state)), str(HERE / "bars.ot"))
    torch.save(views(), HERE / "legacy_views.bin", _use_new_zipfile_serialization=False)


if __name__ == "__main__":
    main()
