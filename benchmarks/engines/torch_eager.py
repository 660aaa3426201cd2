"""PyTorch running transformers' BertModel, with its fused attention (sdpa)."""

import torch
from transformers import BertModel
from transformers.utils import logging

FILE = "hf"
VERSION = torch.__version__


def load(path, threads):
    logging.disable_progress_bar()
    torch.set_num_threads(threads)
    model = BertModel.from_pretrained(path, attn_implementation="sdpa", return_dict=False).eval()

    def run(ids, mask, types):
        with torch.inference_mode():
            hidden, pooled = model(
                torch.from_numpy(ids), attention_mask=torch.from_numpy(mask), token_type_ids=torch.from_numpy(types)
            )
        return hidden.numpy(), pooled.numpy()

    return run
