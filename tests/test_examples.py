"""The examples, as far as they need nothing but NumPy."""

from pathlib import Path

import numpy as np

import bertc

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def test_traced_bert():
    with np.load(EXAMPLES / "traced_bert.npz") as reference:
        model = bertc.load(EXAMPLES / "traced_bert.pt")
        hidden, pooled = model(reference["input_ids"], reference["token_type_ids"])
        np.testing.assert_allclose(hidden, reference["hidden"], atol=1e-5 * reference["hidden"].std())
        np.testing.assert_allclose(pooled, reference["pooled"], atol=1e-5 * reference["pooled"].std())
