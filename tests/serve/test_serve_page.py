"""The page at /, in Chromium where it is installed."""

import shutil
import subprocess

import pytest

pytest_plugins = ["servers"]


def test_page(url_of):
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("Chromium is not installed")
    url = url_of("embedding", "reranker")
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000", "--dump-dom", url]
    document = subprocess.run(command, capture_output=True, text=True, timeout=120).stdout
    assert "<td>embedding</td><td>embed, embed_all, forward</td>" in document
    assert "<td>reranker</td><td>score, forward</td>" in document
    for text in ("requests a second", "texts cut", ">/embed</option>", ">/rerank</option>"):
        assert text in document


def test_page_needs_nothing_from_elsewhere(client_of):
    text = client_of("embedding").get("/").text
    assert "http://" not in text and "https://" not in text and "//cdn" not in text
