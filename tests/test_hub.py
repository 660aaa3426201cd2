"""Models of the Hugging Face hub: from a cache, offline."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
from conftest import DATA

import bertc
from bertc import hub

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("source", "is_id"),
    [
        ("bert-base-uncased", True),
        ("sentence-transformers/all-MiniLM-L6-v2", True),
        ("./model", False),
        ("/models/bert", False),
        ("models/bert.pt", False),
        ("a/b/c", False),
        ("", False),
        (b"bert-base-uncased", False),
    ],
)
def test_ids(source, is_id):
    assert hub.is_id(source) is is_id


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """A cache of huggingface_hub with one model, and no network."""
    pytest.importorskip("huggingface_hub")
    folder = tmp_path / "models--someone--small-bert"
    shutil.copytree(DATA / "directories" / "bert", folder / "snapshots" / COMMIT)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(COMMIT)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))


def run(code: str) -> str:
    """In a process of its own: huggingface_hub reads the environment when it is imported."""
    done = subprocess.run([sys.executable, "-c", f"import bertc\n{code}"], capture_output=True, text=True)
    return done.stdout if done.returncode == 0 else done.stderr.strip().splitlines()[-1]


def test_a_cached_model(offline):
    text = run(
        f'commit = "{COMMIT}"\n'
        'for options in ({}, {"local_files_only": True}, {"revision": "main"}, {"revision": commit}):\n'
        '    print(bertc.load("someone/small-bert", **options)([[5, 6, 7]])[0].tobytes().hex())\n'
    )
    expected = bertc.load(DATA / "directories" / "bert")(np.array([[5, 6, 7]]))[0].tobytes().hex()
    assert text.split() == [expected] * 4


@pytest.mark.parametrize("call", ['"someone/else"', '"someone/small-bert", revision="v2"', '"nosuchfile"'])
def test_what_is_not_in_the_cache(offline, call):
    assert run(f"bertc.load({call})").startswith("FileNotFoundError: ")


def test_without_huggingface_hub(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(FileNotFoundError, match=r"pip install bertc\[hub\]"):
        bertc.load("someone/small-bert")


def test_folders_with_weights_of_their_own(tmp_path):
    assert hub._module_folders(tmp_path) == []
    (tmp_path / "modules.json").write_text('[{"path": ""}, {"path": "1_Dense"}]')
    assert hub._module_folders(tmp_path) == ["1_Dense"]
    (tmp_path / "router_config.json").write_text('{"types": {"query_0_SparseStaticEmbedding": "a", "document_0": "b"}}')
    assert hub._module_folders(tmp_path) == ["1_Dense", "query_0_SparseStaticEmbedding", "document_0"]
    (tmp_path / "router_config.json").write_text("[]")
    assert hub._module_folders(tmp_path) == []
