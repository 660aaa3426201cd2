"""What importing and installing bertc costs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import bertc

PACKAGE = Path(bertc.__file__).resolve().parent


def run(code: str, *args) -> str:
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, args)], check=True, capture_output=True, text=True
    ).stdout


def test_load_and_run_import_no_torch(bert_path):
    modules = run(
        "import sys, bertc\nmodel = bertc.load(sys.argv[1])\nmodel([[1, 2]], [[1, 1]], [[0, 0]])\nprint(*sys.modules)",
        bert_path,
    ).split()
    assert "numpy" in modules
    assert not {"torch", "transformers", "scipy", "tokenizers", "safetensors"} & {m.partition(".")[0] for m in modules}


def test_load_imports_numpy_while_it_reads():
    code = """if True:
        import sys, threading, bertc
        assert "numpy" not in sys.modules
        try:
            bertc.load(b"no model")
        except bertc.FormatError as error:
            print(error)
        assert "numpy" in sys.modules and threading.active_count() == 1
    """
    assert "<bytes>" in run(code)


def test_weights_need_no_call_first(bert_path):
    assert int(run("import sys, bertc\nprint(len(bertc.load(sys.argv[1]).state_dict()))", bert_path)) > 20
    assert int(run("import sys, bertc\nprint(len(bertc.load_state_dict(sys.argv[1])))", bert_path)) > 20


def test_without_numpy_the_error_says_so(bert_path):
    code = """if True:
        import sys
        sys.modules["numpy"] = None
        import bertc
        try:
            bertc.load(sys.argv[1])
        except ImportError as error:
            print(error)
    """
    assert "numpy" in run(code, bert_path)


@pytest.mark.skipif("BERTC_SANITIZER" in os.environ, reason="a sanitizer's build is slow and large")
def test_import_is_quick():
    # the processor's time: what else the machine does is not the import's
    code = "import numpy, time\nstart = time.process_time()\nimport bertc\nprint(time.process_time() - start)"
    assert min(float(run(code)) for _ in range(5)) < 0.03


@pytest.mark.skipif("BERTC_SANITIZER" in os.environ, reason="a sanitizer's build is slow and large")
def test_package_is_small():
    files = [path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert sum(path.stat().st_size for path in files) < 5_000_000


def test_only_the_public_names_are_exported():
    assert all(hasattr(bertc, name) for name in bertc.__all__)
