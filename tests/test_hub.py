"""Models of the Hugging Face hub: from a cache, offline."""

import shutil
import subprocess
import sys
import types
import zipfile

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


def write_bin(folder, seed: int) -> np.ndarray:
    """The roads' model with other weights, as an older repository has it; its hidden state for [[5, 6, 7]]."""
    folder.mkdir(parents=True)
    shutil.copy(DATA / "roads" / "directory" / "config.json", folder)
    with zipfile.ZipFile(DATA / "roads" / "zip.bin") as old, zipfile.ZipFile(folder / "pytorch_model.bin", "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if "/data/" in name:
                content = (np.frombuffer(content, np.float32) * seed).astype(np.float32).tobytes()
            new.writestr(name, content)
    return bertc.load(folder)([[5, 6, 7]])[0]


def test_revisions_and_older_files(offline, tmp_path):
    """A branch, a tag and a commit of a repository that has no safetensors."""
    folder = tmp_path / "models--someone--old-bert"
    commits = {name: digit * 40 for name, digit in (("main", "1"), ("v2.0", "2"))}
    expected = {}
    (folder / "refs").mkdir(parents=True)
    for seed, (name, commit) in enumerate(commits.items(), 1):
        expected[name] = write_bin(folder / "snapshots" / commit, seed).tobytes().hex()
        (folder / "refs" / name).write_text(commit)
    text = run(
        f"for revision in (None, 'main', 'v2.0', {commits['v2.0']!r}):\n"
        "    print(bertc.load('someone/old-bert', revision=revision)([[5, 6, 7]])[0].tobytes().hex())\n"
    )
    assert text.split() == [expected[name] for name in ("main", "main", "v2.0", "v2.0")]
    assert expected["main"] != expected["v2.0"]


def test_only_local_files_need_no_network(offline, monkeypatch):
    """Also where nothing says offline: a connection would be refused at once."""
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert "BertForPreTraining" in run(
        'print(bertc.load("someone/small-bert", local_files_only=True, token=False).architecture)'
    )
    assert run('bertc.load("someone/else", local_files_only=True)').startswith("FileNotFoundError: someone/else: ")
    assert "not in the Hugging Face hub's cache" in run('bertc.load("someone/else", local_files_only=True)')


def test_a_cached_model_without_weights(offline, tmp_path):
    (tmp_path / "models--someone--small-bert" / "snapshots" / COMMIT / "model.safetensors").unlink()
    error = run('bertc.load("someone/small-bert")')
    assert error.startswith(("bertc.FormatError: ", "FileNotFoundError: "))


class Errors:
    """As many of huggingface_hub.errors as are told apart."""

    HFValidationError = type("HFValidationError", (ValueError,), {})
    RepositoryNotFoundError = type("RepositoryNotFoundError", (OSError,), {})
    RevisionNotFoundError = type("RevisionNotFoundError", (OSError,), {})
    LocalEntryNotFoundError = type("LocalEntryNotFoundError", (OSError,), {})
    OfflineModeIsEnabled = type("OfflineModeIsEnabled", (ConnectionError,), {})


@pytest.fixture
def fake(monkeypatch):
    """A huggingface_hub that answers with what is set, and notes what it was asked."""
    module = types.SimpleNamespace(errors=Errors, calls=[], answer=None)

    def snapshot_download(name, **options):
        module.calls.append((name, options))
        if isinstance(module.answer, Exception):
            raise module.answer
        return module.answer

    module.snapshot_download = snapshot_download
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    return module


def test_what_the_hub_is_asked(fake):
    fake.answer = str(DATA / "directories" / "bert")
    model = bertc.load("someone/bert", revision="v2", token="hf_secret", local_files_only=True)
    assert "'someone/bert'" in repr(model) and "hf_secret" not in repr(model)
    ((name, options),) = fake.calls
    assert name == "someone/bert"
    assert (options["revision"], options["token"], options["local_files_only"]) == ("v2", "hf_secret", True)
    assert "*.safetensors" in options["allow_patterns"] and not any("bin" in x for x in options["allow_patterns"])


def test_older_weights_are_asked_for_only_without_safetensors(fake, tmp_path):
    fake.answer = str(tmp_path)
    shutil.copy(DATA / "roads" / "directory" / "config.json", tmp_path)
    shutil.copy(DATA / "roads" / "rust_model.ot", tmp_path)
    assert bertc.load("someone/rust-bert").architecture == "BertModel"
    assert [options["token"] for _, options in fake.calls] == [None, None]
    assert {"rust_model.ot", "pytorch_model*.bin"} <= set(fake.calls[1][1]["allow_patterns"])


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (Errors.RepositoryNotFoundError("401"), "no such model of the hub: 401"),
        (Errors.RevisionNotFoundError("404"), "no such model of the hub: 404"),
        (Errors.HFValidationError("bad"), "no such model of the hub: bad"),
        (Errors.LocalEntryNotFoundError("x"), "not in the Hugging Face hub's cache, and the hub cannot be reached"),
        (Errors.OfflineModeIsEnabled("x"), "not in the Hugging Face hub's cache, and the hub cannot be reached"),
    ],
)
def test_what_the_hub_refuses(fake, error, says):
    fake.answer = error
    with pytest.raises(FileNotFoundError, match=f"^someone/bert: .*{says}"):
        bertc.load("someone/bert")


def test_a_path_comes_first(fake, tmp_path, monkeypatch):
    shutil.copytree(DATA / "directories" / "bert", tmp_path / "someone" / "bert")
    monkeypatch.chdir(tmp_path)
    assert bertc.load("someone/bert").architecture == "BertForPreTraining" and not fake.calls


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
