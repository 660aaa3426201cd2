"""What schemathesis makes of the OpenAPI document: no failure of the server, nothing that the document does not say."""

import pytest

pytest_plugins = ["servers"]

schemathesis = pytest.importorskip("schemathesis")
MODELS = ("embedding", "sparse", "classifier", "reranker", "entities", "answers", "masks", "traced")


@pytest.fixture
def schema(folders):
    """Of a server for one test: schemathesis ends the application's lifespan, and so its scheduler, after each."""
    from servers import Client, make_engine

    from bertc.serve.app import create_app

    engine = make_engine(folders, *MODELS, payload_limit=100_000)
    client = Client.of(engine)
    yield schemathesis.openapi.from_asgi("/api-doc/openapi.json", create_app(engine))
    client.close()


def _check(schema, examples):
    from hypothesis import HealthCheck, Phase, given, settings
    from schemathesis import checks

    names = ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance")
    chosen = [getattr(checks, name) for name in names]
    operations = [result.ok() for result in schema.get_all_operations()]
    assert len(operations) >= 30
    for operation in operations:

        @given(case=operation.as_strategy())
        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
            derandomize=True,
        )
        def check(case):
            case.call_and_validate(checks=chosen)

        check()


def test_schema(schema):
    _check(schema, 5)


@pytest.mark.parity
def test_schema_at_length(schema):
    _check(schema, 60)
