"""Makes programs of the same small model with the torch that runs it, beside their reference outputs (see conform.py).

python make.py, once under each version of torch: they write exported programs in different layouts.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.export import export

HERE = Path(__file__).resolve().parent
VERSION = torch.__version__.partition("+")[0]
SHAPES = [(3, 11), (2, 5), (5, 9), (2, 33)]


class Small(nn.Module):
    """One layer with tied weights, both kinds of buffers, a lifted constant, and nested results."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(60, 16)
        self.query, self.key, self.value, self.dense = (nn.Linear(16, 16) for _ in range(4))
        self.norm = nn.LayerNorm(16)
        self.decode = nn.Linear(16, 60, bias=False)
        self.decode.weight = self.embed.weight
        self.register_buffer("scale", torch.linspace(0.5, 2, 16))
        self.register_buffer("positions", torch.arange(40), persistent=False)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor):
        batch, length = ids.shape
        x = self.embed(ids) * self.scale + torch.tensor([0.5] * 16)
        x = x + self.positions[:length].float().unsqueeze(-1) / 40

        def heads(y: torch.Tensor) -> torch.Tensor:
            return y.view(batch, length, 2, 8).transpose(1, 2)

        hidden = (1 - mask.float())[:, None, None] * -10000.0
        keep = nn.functional.scaled_dot_product_attention(
            heads(self.query(x)), heads(self.key(x)), heads(self.value(x)), attn_mask=hidden
        )
        x = self.norm(x + nn.functional.gelu(self.dense(keep.transpose(1, 2).reshape(batch, length, 16))))
        first, rest = x.split([10, 6], -1)
        return {"logits": self.decode(x), "parts": (first.mean(1), [rest.sum(1)])}


def arguments(batch: int, length: int) -> tuple[torch.Tensor, torch.Tensor]:
    chance = np.random.default_rng([batch, length])
    mask = (np.arange(length) < length - np.arange(batch)[:, None] * length // (batch + 1)).astype(np.int64)
    return torch.tensor(chance.integers(1, 60, (batch, length)) * mask), torch.tensor(mask)


def dynamic(module: nn.Module):
    given = arguments(*SHAPES[0])
    try:
        from torch.export import Dim
    except ImportError:  # torch 2.1
        from torch.export import dynamic_dim

        bounds = [
            bound
            for i, most in enumerate((1024, 40))
            for bound in (dynamic_dim(given[0], i) >= 2, dynamic_dim(given[0], i) <= most)
        ]
        equal = [dynamic_dim(given[1], i) == dynamic_dim(given[0], i) for i in range(2)]
        return export(module, given, constraints=bounds + equal)
    sizes = {0: Dim("batch", min=2, max=1024), 1: Dim("length", min=2, max=39)}
    return export(module, given, dynamic_shapes={"ids": sizes, "mask": sizes})


def write(name: str, exported, module: nn.Module, shapes: list[tuple[int, int]]) -> None:
    for node in exported.graph.nodes:  # paths of the machine, and half of the file
        node.meta.pop("stack_trace", None)
        node.meta.pop("source_fn_stack", None)
        node.meta.pop("source_fn", None)
    torch.export.save(exported, HERE / f"{name}.pt2")
    meta = {
        "structure": {"logits": "T", "parts": ["T", ["T"]]},
        "producer": f"torch {VERSION} (torch.export)",
        "input_names": ["ids", "mask"],
        "traced_case": 0,
        "cases": shapes,
        "dtypes": ["float32"] * 3,
        "rtol": 1e-4,
    }
    arrays = {"meta": json.dumps(meta)}
    for i, shape in enumerate(shapes):
        given = arguments(*shape)
        result = module(*given)
        arrays |= {f"case{i}/in{j}": x.numpy() for j, x in enumerate(given)}
        arrays |= {f"case{i}/out:logits": result["logits"].numpy()}
        arrays |= {f"case{i}/out:parts.0": result["parts"][0].numpy()}
        arrays |= {f"case{i}/out:parts.1.0": result["parts"][1][0].numpy()}
    np.savez_compressed(HERE / f"{name}.npz", **arrays)


def main() -> None:
    generator = torch.Generator().manual_seed(0)
    module = Small().eval().requires_grad_(False)
    for weight in module.parameters():
        weight.data = torch.randn(weight.shape, generator=generator) * 0.4
    write(f"torch{VERSION}-dynamic", dynamic(module), module, SHAPES)
    if hasattr(torch.export, "pt2_archive"):  # the newest layout
        write(f"torch{VERSION}-static", export(module, arguments(*SHAPES[0])), module, SHAPES[:1])
        write(f"torch{VERSION}-core", dynamic(module).run_decompositions(), module, SHAPES)


if __name__ == "__main__":
    main()
