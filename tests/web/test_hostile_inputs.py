"""Every parameter of every route and every header that is read, with large and nasty values: no error, little CPU.

Routes and parameters are taken from the OpenAPI document and the list of pages, so new ones are included.
"""

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from starlette.types import ASGIApp
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from cryptomarket.query import MOST_QUERY_BYTES
from cryptomarket.web.pages.routes import PAGES

from .in_process import Answer, ask, full_gateway

PACKAGE = Path(__file__).parents[2] / "cryptomarket"

#: Seconds of CPU of the event loop for one request. The median is below a millisecond, a weak input takes seconds.
BUDGET = 0.05
#: A value that fits its own limit, one that fits the query's, and one that fits neither.
SIZES = (40, MOST_QUERY_BYTES - 500, 32_000)

UNITS = (
    *("T", "a", "0", "9", " ", '"', "\\", '\\"', ";", ",", "=", "-", ".", "&", "+", "%", "\0", "\n", "é", "\U0001f600"),
    *("T 00:00", "1-", "-1", "1e9", "0,", "en ", "q=0.", "W/", "a=1&", "a=1; ", "bytes=0-1,", "%41", "asc-"),
)

#: The headers that this program or its libraries read.
HEADERS = (
    "user-agent",
    *("accept-encoding", "accept-language", "access-control-request-headers", "access-control-request-method"),
    *("authorization", "content-encoding", "content-length", "content-type", "cookie", "host", "if-modified-since"),
    *("if-none-match", "if-range", "last-event-id", "origin", "range", "sec-fetch-site", "x-forwarded-for"),
    "x-forwarded-proto",
)
#: What a value must begin with so that a parser goes on to the nasty part.
PREFIXES = {
    "authorization": "Bearer ",
    "cookie": 'language="',
    "accept-language": "en",
    "range": "bytes=",
    "origin": "https://",
    "last-event-id": "1-",
    "if-none-match": '"',
}


@pytest.fixture(scope="module", params=["asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


async def _document(app: ASGIApp) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((await ask(app, "/openapi.json")).body)["paths"]
    return found


def _parameters(document: dict[str, Any]) -> Iterator[tuple[str, str, list[dict[str, Any]]]]:
    """Method, path and query parameters of every route; pages have one parameter."""
    for path, operations in document.items():
        for method, operation in operations.items():
            parameters = [one for one in operation.get("parameters", ()) if one["in"] == "query"]
            yield method.upper(), path, parameters
    for page in PAGES:
        yield "GET", page, [{"name": "lang"}]
    yield "GET", "/static/site.css", []
    yield "GET", "/nowhere", []


def _right(parameters: list[dict[str, Any]], but: str) -> str:
    """A right value of each mandatory parameter beside the one that is tried."""
    values = {
        one["name"]: one.get("example", one["schema"].get("examples", one.get("examples", [1_763_647_200]))[0])
        if "example" not in one
        else one["example"]
        for one in parameters
        if one.get("required") and one["name"] != but
    }
    return "".join(f"&{name}={quote(str(value))}" for name, value in values.items())


async def _judged(app: ASGIApp, path: str, query: bytes, **request: Any) -> Answer:
    """The answer, which must be no error of the server and cheap; asked again when it was dear, as noise is not."""
    for _ in range(3):
        answer = await ask(app, path, query, **request)
        if answer.loop_seconds < BUDGET:
            break
    headers = [(name, value[:40]) for name, value in request.get("headers", ())]
    said = path, query[:80], request.get("method"), headers
    assert answer.loop_seconds < BUDGET, (answer.loop_seconds, said)
    assert answer.status < 500 or answer.status in (501, 503), (answer.status, said)
    return answer


async def test_every_parameter_of_every_route_takes_nasty_values_cheaply(tmp_path: Path) -> None:
    async with full_gateway(tmp_path, minutes=200, rest_units_per_second=1e9, logins_per_minute=10**9) as gateway:
        tried = set()
        for place, (method, path, parameters) in enumerate(_parameters(await _document(gateway.app))):
            for name in [*(one["name"] for one in parameters), "unknown"]:
                right = _right(parameters, name)
                for unit in UNITS[place % 2 :: 2]:
                    raw = quote(unit, safe="&=;,:+") if unit != "%" else unit
                    for size in SIZES:
                        query = f"{name}={raw * (size // len(raw))}{right}".encode()
                        answer = await _judged(gateway.app, path, query, method=method)
                        if size == SIZES[-1] and path != "/healthz":
                            assert answer.status in (422, 403, 415), (path, name, unit, answer.status)
                        tried.add((path, name))
        assert {("/api/v1/prices", "start"), ("/udf/search", "query"), ("/sse/", "channels"), ("/", "lang")} <= tried
        assert len(tried) > 60


async def test_every_header_that_is_read_takes_nasty_values_cheaply(tmp_path: Path) -> None:
    async with full_gateway(tmp_path, minutes=200, rest_units_per_second=1e9, logins_per_minute=10**9) as gateway:
        app: ASGIApp = ProxyHeadersMiddleware(gateway.app, ["127.0.0.1"])  # type: ignore[arg-type, assignment]
        routes = list(_parameters(await _document(gateway.app)))
        for place, (method, path, parameters) in enumerate(routes):
            for number, name in enumerate(HEADERS):
                # Each route with each header, each header with each unit on some routes, not each with each.
                for unit in UNITS[(place + number) % 8 :: 8]:
                    value = (
                        (PREFIXES.get(name, "") + unit * SIZES[-1])[: SIZES[-1]].encode("utf-8").replace(b"\n", b" ")
                    )
                    query = _right(parameters, "")[1:].encode()
                    await _judged(app, path, query, method=method, headers=[(name.encode(), value)])


async def test_every_body_and_path_is_cheap(tmp_path: Path) -> None:
    async with full_gateway(tmp_path, minutes=200, rest_units_per_second=1e9, logins_per_minute=10**9) as gateway:
        head = [(b"content-type", b"application/json"), (b"content-length", b"8000")]
        for unit in (*UNITS, "[", '{"a":', '{"client_id":"', "1E"):
            for size in (8_000, 32_000):
                body = (unit * size)[:size].encode()
                answer = await _judged(
                    gateway.app, "/api/v1/persons/login", b"", method="POST", headers=head, body=body
                )
                assert 400 <= answer.status < 500
                for folder in ("/", "/static/", "/api/v1/", "/sse/"):
                    await _judged(gateway.app, folder + (unit * size)[:size], b"")


async def test_a_length_of_many_digits_is_refused(tmp_path: Path) -> None:
    async with full_gateway(tmp_path, minutes=1) as gateway:
        for length in (b"9" * 32_000, b"0" * 4_500, "²".encode("latin-1"), b"-1"):
            head = [(b"content-type", b"application/json"), (b"content-length", length)]
            answer = await _judged(gateway.app, "/api/v1/persons/login", b"", method="POST", headers=head, body=b"{}")
            assert answer.status == 413


def test_no_header_is_read_that_is_not_tried() -> None:
    """The names of headers in the source of what answers requests."""
    rooms = ("web", "persons", "stream", "app")
    found = set()
    for path in (*PACKAGE.glob("*.py"), *(path for room in rooms for path in (PACKAGE / room).rglob("*.py"))):
        for node in ast.walk(ast.parse(path.read_text())):
            name = None
            if isinstance(node, ast.Call) and node.args:
                called = ast.unparse(node.func)
                if called.endswith(("headers.get", "header")) or "Headers(scope=scope).get" in called:
                    name = node.args[-1] if called.endswith("_header") else node.args[0]
            elif isinstance(node, ast.Compare) and ast.unparse(node.comparators[0]).endswith("request.headers"):
                name = node.left
            if isinstance(name, ast.Constant) and isinstance(name.value, (str, bytes)):
                text = name.value.decode() if isinstance(name.value, bytes) else name.value
                found.add(text.lower())
    assert {"cookie", "if-none-match", "last-event-id", "sec-fetch-site", "accept-encoding"} <= found
    assert found - {"allow"} <= {*HEADERS}  # "allow" is one of our own answers
