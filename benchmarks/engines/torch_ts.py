"""PyTorch's TorchScript interpreter, on the traced archive."""

import torch

FILE = "traced.pt"
VERSION = torch.__version__


def load(path, threads):
    torch.set_num_threads(threads)
    model = torch.jit.load(path)

    def run(ids, mask, types):
        with torch.inference_mode():
            hidden, pooled = model(torch.from_numpy(ids), torch.from_numpy(mask), torch.from_numpy(types))
        return hidden.numpy(), pooled.numpy()

    return run
