"""The OpenAPI document is complete: every route, examples that fit their schemas, errors as problems."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from tests.persons.site import running_persons

from .test_exports_streaming import validator

#: What the design promises beside the pages.
ROUTES = {
    "/sse/",
    "/healthz",
    "/readyz",
    "/metrics",
    "/api/v1/status",
    *(
        f"/api/v1/{name}"
        for name in ("tickers", "instruments", "prices", "prices/latest", "prices/filter", "candles", "coverage")
    ),
    *(f"/api/v1/export.{kind}" for kind in ("csv", "ndjson", "parquet")),
    *(f"/udf/{name}" for name in ("config", "symbols", "search", "time", "history")),
    *(f"/api/v1/persons/{name}" for name in ("login", "me", "me/account")),
}


@pytest.fixture
async def document(tmp_path: Path) -> dict[str, Any]:
    """The document of a whole gateway, with every route it has."""
    async with running_persons(tmp_path) as site:
        found: dict[str, Any] = (await (await site.browser()).client.get("/openapi.json")).json()
    return found


def answers(document: dict[str, Any]) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Yield each response: its operation, status, media type and description."""
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for status, answer in operation["responses"].items():
                for media_type, content in answer.get("content", {}).items():
                    yield f"{method} {path}", status, media_type, content


async def test_every_route_is_described(tmp_path: Path) -> None:
    """What the gateway answers beside its pages is in the document, and nothing else is."""
    async with running_persons(tmp_path) as site:
        client = (await site.browser()).client
        paths = (await client.get("/openapi.json")).json()["paths"]
        described = set(paths)
        for path in sorted(one for one in described - {"/sse/"} if "get" in paths[one]):
            answer = await client.get(path)
            assert "not-found" not in answer.text, path
            assert answer.status_code in (200, 401, 422, 501), (path, answer.text)  # 501: not offered by this gateway
    assert described >= ROUTES


async def test_every_answer_has_an_example(document: dict[str, Any]) -> None:
    """Each is shown, and what is shown fits its own schema."""
    shown = 0
    for operation, status, media_type, content in answers(document):
        if media_type in ("text/event-stream", "application/vnd.apache.parquet"):
            continue
        reference = content["schema"].get("$ref")
        schema = document["components"]["schemas"][reference.rpartition("/")[2]] if reference else content["schema"]
        examples = [content["example"]] if "example" in content else schema.get("examples", [])
        assert examples, (operation, status)
        check = jsonschema_rs.validator_for({**document, **content["schema"]})
        for example in examples:
            check.validate(example)
            shown += 1
    assert shown > 60


async def test_every_schema_has_an_example_that_fits(document: dict[str, Any]) -> None:
    """What is not the answer of a route, such as the events of the stream, is shown as well."""
    for name, schema in document["components"]["schemas"].items():
        check = validator(document, name)
        assert schema.get("examples"), name
        for example in schema["examples"]:
            check.validate(example)


async def test_every_refusal_is_a_problem(document: dict[str, Any]) -> None:
    """Every error is a problem document, except where another protocol defines errors."""
    own = {("get /readyz", "503"), ("get /udf/symbols", "404")}
    refused = [
        (operation, status, media_type, content)
        for operation, status, media_type, content in answers(document)
        if int(status) >= 400 and (operation, status) not in own
    ]
    assert len(refused) > 40
    for operation, status, media_type, content in refused:
        assert media_type == "application/problem+json", (operation, status)
        assert content["schema"] == {"$ref": "#/components/schemas/Problem"}, (operation, status)


async def test_every_parameter_is_described(document: dict[str, Any]) -> None:
    """Each has a description."""
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert operation["summary"], path
            assert operation.get("description"), path
            for parameter in operation.get("parameters", []):
                assert parameter.get("description"), (path, parameter["name"])
