"""The page at /, in Chromium where it is installed."""

import json

import pytest
from chromium import PATH, Browser

pytest_plugins = ["servers"]


@pytest.mark.skipif(PATH is None, reason="Chromium is not installed")
def test_page(url_of, tmp_path):
    url = url_of("embedding", "reranker")
    with Browser(tmp_path) as page:
        page.call("Page.navigate", url=url)
        page.wait_for("document.querySelectorAll('#models tr').length == 2")
        rows = page.run("[...document.querySelectorAll('#models td')].map((cell) => cell.textContent)")
        assert rows == ["embedding", "embed, embed_all, forward", "reranker", "score, forward"]
        routes = page.run("[...document.querySelectorAll('#route option')].map((option) => option.textContent)")
        assert routes == ["/embed", "/similarity", "/rerank", "/predict", "/tokenize"]
        for route in routes:
            page.run(
                "{const route = find('route');"
                f" route.value = [...route.options].find((option) => option.textContent == {route!r}).value;"
                " route.onchange(); find('took').textContent = '';}"
            )
            page.run("document.querySelector('#form button').click()")
            assert page.wait_for("find('took').textContent").startswith("200 in ")
            assert json.loads(page.run("find('answer').textContent"))
        answered = "[...document.querySelectorAll('.figure')].find((f) => f.textContent.endsWith('answered'))"
        page.wait_for(f"{answered} && {answered}.querySelector('b').textContent == '4'")


def test_page_needs_nothing_from_elsewhere(client_of):
    text = client_of("embedding").get("/").text
    assert "http://" not in text and "https://" not in text and "//cdn" not in text
