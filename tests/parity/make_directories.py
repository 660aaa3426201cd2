"""Makes tests/data/directories: a small model of each architecture, with transformers' outputs in expected.npz."""

import shutil
from pathlib import Path

import numpy as np
import torch
from cases import CASES, make

TARGET = Path(__file__).resolve().parents[1] / "data" / "directories"
HEADS = {
    "Bert": "ForPreTraining",
    "Roberta": "ForSequenceClassification",
    "DistilBert": "ForQuestionAnswering",
    "Electra": "ForPreTraining",
    "ModernBert": "ForTokenClassification",
    "Albert": "ForMultipleChoice",
    "DebertaV2": "ForMaskedLM",
    "XLNet": "ForQuestionAnsweringSimple",
}


def main() -> None:
    shutil.rmtree(TARGET, ignore_errors=True)
    for case in CASES:
        if not case.name.endswith("small"):
            continue
        model = make(case, HEADS.get(case.family, "Model")).double()
        folder = TARGET / model.config.model_type
        chance = np.random.default_rng(0)
        shape = (3, 2, 7) if HEADS.get(case.family) == "ForMultipleChoice" else (3, 7)
        mask = (np.arange(7) < np.array([7, 5, 1]).reshape(3, *[1] * (len(shape) - 1))) | np.zeros(shape, bool)
        if case.family == "ModernBert":
            mask[2, :4] = True  # its reference gives NaN where a window sees only padding
        ids = np.where(mask, chance.integers(4, model.config.vocab_size, shape), model.config.pad_token_id)
        with torch.inference_mode():
            outputs = model(input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask.astype(np.int64)))
        arrays = {f"output_{name}": value.numpy().astype(np.float32) for name, value in outputs.items()}
        model.float().save_pretrained(folder)
        (folder / "generation_config.json").unlink(missing_ok=True)
        np.savez_compressed(folder / "expected.npz", input_ids=ids, attention_mask=mask.astype(np.int64), **arrays)


if __name__ == "__main__":
    main()
