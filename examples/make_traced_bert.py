"""Makes traced_bert.pt and its reference outputs, traced_bert.npz. Needs torch and transformers; bertc does not.

The model is a small BERT with random weights and BERT's real vocabulary size, so that real token ids fit.
"""

from pathlib import Path

import numpy as np
import torch
from transformers import BertConfig, BertModel

HERE = Path(__file__).resolve().parent

# [CLS] who was jim henson ? [SEP] jim [MASK] was a puppeteer [SEP]
TOKENS = [[101, 2040, 2001, 3958, 27227, 1029, 102, 3958, 103, 2001, 1037, 13997, 11510, 102]]
SEGMENTS = [[0] * 7 + [1] * 7]


class TwoSegments(torch.nn.Module):
    """BERT over a pair of texts, as in the guides on exporting it to TorchScript."""

    def __init__(self, bert):
        super().__init__()
        self.bert = bert

    def forward(self, input_ids, token_type_ids):
        return self.bert(input_ids=input_ids, token_type_ids=token_type_ids, return_dict=False)


def save(traced, path):
    """Like traced.save(path), without the debug records: they hold paths of this machine."""
    traced.save(path)
    reader = torch._C.PyTorchFileReader(str(path))
    records = {name: reader.get_record(name) for name in reader.get_all_records()}
    writer = torch._C.PyTorchFileWriter(str(path))
    for name, data in records.items():
        if not name.endswith((".debug_pkl", "version", "byteorder", "serialization_id")):
            writer.write_record(name, data, len(data))
    writer.write_end_of_file()


def main():
    torch.manual_seed(0)
    config = BertConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        initializer_range=0.2,  # wide, so that every part of the model shows in the outputs
    )
    model = TwoSegments(BertModel(config)).eval()
    tokens, segments = torch.tensor(TOKENS), torch.tensor(SEGMENTS)
    with torch.inference_mode():
        traced = torch.jit.trace(model, (tokens, segments))
        hidden, pooled = traced(tokens, segments)
    save(traced, HERE / "traced_bert.pt")
    np.savez(
        HERE / "traced_bert.npz",
        input_ids=tokens.numpy(),
        token_type_ids=segments.numpy(),
        hidden=hidden.numpy(),
        pooled=pooled.numpy(),
    )


if __name__ == "__main__":
    main()
