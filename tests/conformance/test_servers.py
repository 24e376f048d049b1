"""The conformance checks on our stream over ASGI and over the socket, on sse-starlette, and on a wrong server."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from cryptomarket.app.uvicorn_protocol import HandoverProtocol
from tests.browser.live_site import live_site
from tests.web.site import running_server

from .examine import examine

pytestmark = pytest.mark.system


async def failing(address: str) -> set[str]:
    """Run the checks and print the table; return the rows that failed."""
    with anyio.fail_after(120):
        found = await examine(address)
    for finding in found:
        print("pass" if finding.holds else "FAIL", finding.row, finding.seen)
    assert len(found) > 10
    return {finding.row for finding in found if not finding.holds}


@pytest.mark.parametrize("http", ["httptools", HandoverProtocol], ids=["asgi", "socket"])
async def test_our_stream_passes_every_check(tmp_path: Path, http: Any) -> None:
    """Every check passes, over ASGI and over the socket."""
    async with live_site(tmp_path, hours=1, http=http) as site:
        assert await failing(f"{site.address}/sse/?timer=0") == set()


async def test_a_bare_response_of_sse_starlette_fails_three_checks(tmp_path: Path) -> None:
    """The usual response has correct bytes, but no reconnection time, no `no-transform` and no resuming."""

    async def numbers() -> AsyncIterator[dict[str, str]]:
        for i in range(1_000):
            yield {"id": str(i), "event": "number", "data": str(i)}
            await anyio.sleep(0.1)

    async def stream(_: Request) -> Response:
        return EventSourceResponse(numbers())

    async with running_server(Starlette(routes=[Route("/sse/", stream)])) as address:
        assert await failing(f"{address}/sse/?") == {
            "no proxy transforms it",
            "it has a reconnection time",
            "a resume repeats no event",
        }


async def test_a_wrong_server_fails_the_checks() -> None:
    """A wrong type, a byte order mark, unknown fields and wrong ids each fail a check."""

    async def pieces() -> AsyncIterator[bytes]:
        yield b"\xef\xbb\xbfretry: soon\nnumber: 1\nid: <1>\ndata: x\n\n"
        await anyio.sleep(0.2)

    async def stream(_: Request) -> Response:
        allowed = {"access-control-allow-origin": "*", "access-control-allow-credentials": "true"}
        return StreamingResponse(pieces(), media_type="text/plain", headers=allowed)

    async with running_server(Starlette(routes=[Route("/sse/", stream)])) as address:
        found = await failing(f"{address}/sse/?")
    assert found >= {
        "the type is that of an event stream",
        "no cache keeps it",
        "nginx does not buffer it",
        "there is no byte order mark",
        "a browser knows every field",
        "ids can be sent back",
        "it has a reconnection time",
    }
