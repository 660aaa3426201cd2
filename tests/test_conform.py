"""Real archives against the outputs that their own PyTorch gave."""

import subprocess
import sys
from pathlib import Path

import conform
import pytest
from conftest import DATA

import bertc

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.mark.parametrize("path", conform.references(DATA), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_archive(path):
    reference = conform.Reference(path)
    try:
        model = bertc.load(conform.model_path(path))
    except bertc.Error as error:
        assert reference.may_refuse(None) and str(error)
        return
    for case in reference.cases:
        reference.check_case(model, case)


@pytest.mark.parametrize("group", ["traced", "traced_2019", "nested", "pt2"])
def test_shared_group(group):
    if not (SHARED / "models" / group).is_dir():
        pytest.skip(f"no models beside the project: {SHARED / 'models' / group}")
    command = [sys.executable, SHARED / "conform.py", SHARED / "models", "--group", group, "--timeout", "600"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.strip().endswith(" 0 failed")
