"""CTranslate2 in fp32. It takes lengths in place of a mask, and computes nothing for padding."""

import ctranslate2
import numpy as np

FILE = "ct2"
VERSION = ctranslate2.__version__


def load(path, threads):
    encoder = ctranslate2.Encoder(path, device="cpu", compute_type="float32", inter_threads=1, intra_threads=threads)

    def run(ids, mask, types):
        view = ctranslate2.StorageView.from_array(ids.astype(np.int32))
        lengths = ctranslate2.StorageView.from_array(mask.sum(axis=1, dtype=np.int32))
        output = encoder.forward_batch(view, lengths, token_type_ids=types.tolist())
        return np.array(output.last_hidden_state), np.array(output.pooler_output)

    return run
