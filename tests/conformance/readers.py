"""Independent readers of event streams behind one interface.

Each reads until the stream ends, and does not reconnect. curl returns the bytes.
"""

import json
import shutil
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from subprocess import PIPE
from typing import Any

import anyio
import anyio.to_thread
import httpx
import httpx_sse
import pytest
import sseclient
from playwright.async_api import Page

from tests.frontend import npm_tools

from .corpus import Dispatched

__all__ = ["Reader", "by_chromium", "by_httpx_sse", "by_npm", "by_sseclient", "curl"]

#: Reads each address until its end; with it come the types of events that a browser must listen to.
Reader = Callable[[Sequence[tuple[str, Sequence[str]]]], Awaitable[list[list[Dispatched]]]]

SECONDS = 30
NODE = Path(__file__).with_name("read_events.mjs")

LISTEN = """
    streams => Promise.all(streams.map(([address, names]) => new Promise(done => {
        const received = [];
        const source = new EventSource(address);
        const note = event => received.push([event.type, event.data, event.lastEventId]);
        for (const name of new Set(['message', ...names])) source.addEventListener(name, note);
        source.onerror = () => { source.close(); done(received); };
    })))
"""


async def by_httpx_sse(streams: Sequence[tuple[str, Sequence[str]]]) -> list[list[Dispatched]]:
    """Read with httpx-sse."""
    found = []
    async with httpx.AsyncClient(timeout=SECONDS, trust_env=False) as client:
        for address, _ in streams:
            async with httpx_sse.aconnect_sse(client, "GET", address) as source:
                found.append([(one.event, one.data, one.id) async for one in source.aiter_sse()])
    return found


class _Body:
    """The interface that sseclient-py requires: an iterator of bytes with `close`."""

    def __init__(self, response: httpx.Response) -> None:
        self._response, self._pieces = response, response.iter_bytes()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._pieces)

    def close(self) -> None:
        self._response.close()


def _sseclient(streams: Sequence[tuple[str, Sequence[str]]]) -> list[list[Dispatched]]:
    found = []
    with httpx.Client(timeout=SECONDS, trust_env=False) as client:
        for address, _ in streams:
            with client.stream("GET", address) as response:
                events = sseclient.SSEClient(_Body(response)).events()
                found.append([(one.event, one.data, one.id or "") for one in events])
    return found


async def by_sseclient(streams: Sequence[tuple[str, Sequence[str]]]) -> list[list[Dispatched]]:
    """Read with sseclient-py over httpx."""
    return await anyio.to_thread.run_sync(_sseclient, streams)


async def by_npm(streams: Sequence[tuple[str, Sequence[str]]]) -> list[list[Dispatched]]:
    """Read with the npm package `eventsource` in node."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node on this machine")
    package = npm_tools() / "node_modules/eventsource/dist/index.js"
    request = json.dumps({"package": str(package), "streams": streams})
    with anyio.fail_after(2 * SECONDS):
        done = await anyio.run_process([node, NODE], input=request.encode(), stderr=PIPE)
    return [[(kind, data, last) for kind, data, last in received] for received in json.loads(done.stdout)]


def by_chromium(page: Page) -> Reader:
    """Return a reader with the browser's EventSource, in a page of the same origin."""

    async def read(streams: Sequence[tuple[str, Sequence[str]]]) -> list[list[Dispatched]]:
        found: list[list[Dispatched]] = []
        for i in range(0, len(streams), 5):  # a browser opens six connections to a host
            received: Any = await page.evaluate(LISTEN, [list(one) for one in streams[i : i + 5]])
            found += [[(kind, data, last) for kind, data, last in one] for one in received]
        return found

    return read


async def curl(address: str, *arguments: str, seconds: float = SECONDS) -> tuple[int, dict[str, str], bytes]:
    """Read with curl until the stream ends or the time is over; return status, headers and bytes."""
    program = shutil.which("curl")
    if program is None:
        pytest.skip("no curl on this machine")
    command = [program, "--silent", "--no-buffer", "--include", "--noproxy", "*", "--max-time", str(seconds)]
    done = await anyio.run_process([*command, *arguments, address], check=False)
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return int(first.split()[1]) if first else 0, headers, body
