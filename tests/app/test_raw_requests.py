"""Any bytes at the socket: requests in pieces of any size get their usual answers, and wrong bytes raise nothing.

RAW_EXAMPLES sets the number of examples (`make fuzz` takes many).
"""

import asyncio
import contextlib
import functools
import itertools
import json
import logging
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from cryptomarket.app.uvicorn_protocol import HandoverProtocol
from tests.web.site import NOON, prices, running_site

from .raw_server import Raw, RawServer, raw_server, serving_raw

EXAMPLES = int(os.environ.get("RAW_EXAMPLES", "120"))

#: Texts that matter to parsers of HTTP.
TOKENS = st.sampled_from(
    (
        *(b"\r\n", b"\n", b"\r\n\r\n", b"\0", b": ", b" ", b"\t", b"\xff", b"GET ", b"POST ", b"HTTP/1.1", b"HTTP/1.0"),
        *(b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n", b"ffffffffffffffff\r\n"),
        *(b"Connection: close\r\n", b"Connection: Upgrade\r\n", b"Upgrade: h2c\r\n", b"Expect: 100-continue\r\n"),
    )
)
PATHS = st.sampled_from(("/", "/a?b=c", "/slow", "/slow/2", "/%00%ff", "/a/../b"))
FIELDS = st.lists(
    st.sampled_from(("Cookie: a=b", "X: ", "Content-Type: text/plain", "X-Forwarded-For: 203.0.113.9", "x:\ty")),
    max_size=3,
)
TRAILERS = st.lists(
    st.sampled_from(("Cookie: evil=1", "Content-Type: evil/evil", "X-Forwarded-For: 203.0.113.66", "Expect: evil")),
    max_size=3,
)
EXTENSIONS = st.sampled_from(("", ";a", ";a=b", ';a="b;c"'))
BODIES = st.binary(max_size=60) | st.just(b"GET /evil HTTP/1.1\r\nHost: evil\r\n\r\n") | st.just(b"x" * 5_000)


def lines(*found: str) -> bytes:
    """The header lines, followed by an empty line."""
    return "".join(f"{line}\r\n" for line in (*found, "")).encode()


@st.composite
def chunked(draw: Any, body: bytes) -> bytes:
    """The body in chunks with extensions, followed by a trailer."""
    place, sent = 0, bytearray()
    while place < len(body):
        size = draw(st.integers(1, len(body) - place))
        sent += b"%x%b\r\n%b\r\n" % (size, draw(EXTENSIONS).encode(), body[place : place + size])
        place += size
    sent += b"0%b\r\n" % draw(EXTENSIONS).encode() + lines(*draw(TRAILERS))
    return bytes(sent)


@st.composite
def requests(draw: Any) -> bytes:
    """A valid request that keeps its connection open."""
    fields = ["Host: test", *draw(FIELDS)]
    kind = draw(st.sampled_from(("GET", "HEAD", "length", "chunked")))
    if kind in ("GET", "HEAD"):
        return lines(f"{kind} {draw(PATHS)} HTTP/1.1", *fields)
    body: bytes = draw(BODIES)
    if kind == "length":
        return lines(f"POST {draw(PATHS)} HTTP/1.1", *fields, f"Content-Length: {len(body)}") + body
    head = lines(f"POST {draw(PATHS)} HTTP/1.1", *fields, "Transfer-Encoding: chunked")
    return head + bytes(draw(chunked(body)))


@st.composite
def parts(draw: Any, data: bytes) -> list[bytes]:
    """The data in order: in a few pieces, byte by byte, or whole."""
    if draw(st.integers(0, 9)) == 0:
        return [data[i : i + 1] for i in range(len(data))] if len(data) < 1_000 else [data]
    cuts = sorted({0, len(data), *draw(st.lists(st.integers(0, len(data)), max_size=4))})
    return [data[start:end] for start, end in itertools.pairwise(cuts)]


@st.composite
def mutated(draw: Any, data: bytes) -> bytes:
    """The data after one to three random changes."""
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(data)))
        end = min(len(data), place + draw(st.integers(0, 12)))
        match draw(st.sampled_from(("insert", "delete", "replace", "repeat", "byte"))):
            case "insert":
                data = data[:place] + draw(TOKENS) + data[place:]
            case "delete":
                data = data[:place] + data[end:]
            case "replace":
                data = data[:place] + draw(TOKENS) + data[end:]
            case "repeat":
                data = data[:end] + data[place:]
            case _:
                data = data[:place] + draw(st.binary(min_size=1, max_size=3)) + data[end:]
    return data


class Watched(HandoverProtocol):
    """Our protocol; it records the largest number of requests that waited behind another."""

    most_waiting = 0

    def on_headers_complete(self) -> None:
        """Record how many requests wait, if they are more than before."""
        super().on_headers_complete()
        Watched.most_waiting = max(Watched.most_waiting, len(self.pipeline))


class Errors(logging.Handler):
    """Records warnings, errors and unhandled exceptions."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Record a line of the log."""
        self.found.append(self.format(record))

    def unhandled(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Record an exception that the event loop reports as unhandled."""
        self.found.append(str(context))


@dataclass
class Served:
    """A server on an event loop that runs only during `run`."""

    runner: asyncio.Runner
    server: RawServer
    errors: Errors

    def run(self, coroutine: Any) -> Any:
        """Run the coroutine. Raises AssertionError if anything was logged or too many requests waited."""
        Watched.most_waiting = 0
        result = self.runner.run(asyncio.wait_for(coroutine, 20))
        assert self.errors.found == []
        assert Watched.most_waiting <= 1
        return result


@contextlib.contextmanager
def served(site: AbstractAsyncContextManager[RawServer]) -> Iterator[Served]:
    """Run the site in its own task, which lasts longer than the `run` of one example."""
    errors = Errors()
    logging.getLogger().addHandler(errors)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.get_loop().set_exception_handler(errors.unhandled)
            stop = asyncio.Event()

            async def hold(ready: "asyncio.Future[RawServer]") -> None:
                async with site as server:
                    ready.set_result(server)
                    await stop.wait()

            async def start() -> tuple[RawServer, "asyncio.Task[None]"]:
                ready: asyncio.Future[RawServer] = asyncio.get_running_loop().create_future()
                task = asyncio.get_running_loop().create_task(hold(ready))
                task.add_done_callback(lambda _: ready.done() or ready.cancel())
                return await ready, task

            async def end() -> None:
                stop.set()
                await task

            server, task = runner.run(start())
            yield Served(runner, server, errors)
            runner.run(end())
    finally:
        logging.getLogger().removeHandler(errors)


@pytest.fixture(scope="module")
def echo() -> Iterator[Served]:
    """The small application, with limits that one address does not reach."""
    with served(raw_server(protocol=Watched)) as found:
        yield found


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The web application with stored prices and streams."""

    @contextlib.asynccontextmanager
    async def running() -> AsyncIterator[RawServer]:
        stored = prices("btc_usd", NOON - 6000, 90)
        folder: Path = tmp_path_factory.mktemp("site")
        run = functools.partial(running_site, folder, stored, limits={"max_streams_per_address": 10_000})
        async with serving_raw(lambda http: run(http=http), lambda found: found.address, protocol=Watched) as server:
            yield server

    with served(running()) as found:
        yield found


async def send(raw: Raw, sent: list[bytes]) -> None:
    """Send the parts so that the server reads each by itself."""
    for part in sent:
        await raw.send(part)
        for _ in range(3):
            await asyncio.sleep(0)


@dataclass(frozen=True)
class Answer:
    """One response without what changes with the time, and without what closes the connection after the last one."""

    status: bytes
    headers: frozenset[bytes]
    body: bytes


def answers(received: bytes, sent: list[bytes]) -> list[Answer]:
    """Parse what a connection received into the responses to the requests that it sent."""
    found = []
    for request in sent:
        if not received:
            break
        head, _, received = received.partition(b"\r\n\r\n")
        status, *fields = head.split(b"\r\n")
        length = next((int(line[16:]) for line in fields if line.startswith(b"content-length: ")), 0)
        length = 0 if request.startswith(b"HEAD") else length
        kept = frozenset(
            line for line in fields if not line.startswith((b"date: ", b"connection: ", b"content-length: "))
        )
        found.append(Answer(status, kept, without_close(received[:length])))
        received = received[length:]
    assert received == b""
    return found


def without_close(body: bytes) -> bytes:
    """The echoed request without the header that `last` adds."""
    return body.replace(b',["connection","close"]', b"")


def last(request: bytes) -> bytes:
    """The request with a header that closes the connection after it."""
    return request.replace(b"\r\nHost: test\r\n", b"\r\nHost: test\r\nConnection: close\r\n", 1)


@settings(max_examples=EXAMPLES, deadline=None)
@given(data=st.data())
def test_each_request_is_answered_as_alone(echo: Served, data: st.DataObject) -> None:
    """Requests on one connection, in pieces of any size, get the answers that each gets alone; at least two do."""
    *first, final = data.draw(st.lists(requests(), min_size=1, max_size=4))
    sent = [*first, last(final)]
    cut = data.draw(parts(b"".join(sent)))

    async def both() -> None:
        alone = [answers(await echo.server.answered(last(request)), [request])[0] for request in first]
        alone += answers(await echo.server.answered(sent[-1]), sent[-1:])
        echo.server.refusals.clear()
        raw = await echo.server.connect()
        receiving = asyncio.get_running_loop().create_task(raw.rest())
        await send(raw, cut)
        found = answers(await receiving, sent)
        assert found == alone[: len(found)], f"{found} differs from {alone} for {cut}"
        assert len(found) >= min(len(sent), 2)
        assert (len(found) < len(sent)) == (echo.server.reasons == ["pipelining"])
        heads = [json.loads(answer.body)[:3] for answer in found if answer.body]
        assert "evil" not in str(heads)  # neither fields of a trailer nor a request within a body
        echo.server.hang_up()

    echo.run(both())


async def sent_nonsense(server: RawServer, cut: list[bytes]) -> bytes:
    """Send the parts and return what is received within a moment; the server has forgotten the connection then."""
    raw = await server.connect()
    await send(raw, cut)
    received = b""
    with contextlib.suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(0.01):
            while data := await raw.reader.read(1 << 16):
                received += data
    server.hang_up()
    async with asyncio.timeout(10):
        while len(server.limits):
            await asyncio.sleep(0)
    return received


@settings(max_examples=EXAMPLES, deadline=None)
@given(data=st.data())
def test_mutated_bytes_raise_nothing(echo: Served, data: st.DataObject) -> None:
    """Changed bytes cause no exception and no 500, and nothing remains of the connection."""
    sent = b"".join(data.draw(st.lists(requests(), min_size=1, max_size=3)))
    cut = data.draw(parts(data.draw(mutated(sent))))
    assert b"HTTP/1.1 500" not in echo.run(sent_nonsense(echo.server, cut))


TARGETS = st.sampled_from(
    ("/", "/api/v1/prices?limit=2", "/api/v1/export.ndjson", "/sse/?timer=0", "/sse/?timer=x", "/healthz", "/nowhere")
)


@settings(max_examples=EXAMPLES // 2, deadline=None)
@given(data=st.data())
def test_mutated_bytes_raise_nothing_in_the_web_application(site: Served, data: st.DataObject) -> None:
    """The same holds for pages, exports, streams and log-ins on one connection, in any order."""
    login = lines("POST /api/v1/persons/login HTTP/1.1", "Host: test", "Content-Length: 2") + b"{}"
    plain = TARGETS.map(lambda target: lines(f"GET {target} HTTP/1.1", "Host: test"))
    sent = b"".join(data.draw(st.lists(plain | st.just(login) | requests(), min_size=1, max_size=3)))
    if data.draw(st.booleans()):
        sent = data.draw(mutated(sent))
    cut = data.draw(parts(sent))
    assert b"HTTP/1.1 500" not in site.run(sent_nonsense(site.server, cut))
