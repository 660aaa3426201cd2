"""The C tests: programs of their own, under tests/c."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.skipif("BERTC_SANITIZER" in os.environ, reason="make asan and make tsan run the C tests themselves")
def test_c_programs():
    command = [sys.executable, ROOT / "tools" / "cbuild.py", "ctest"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
