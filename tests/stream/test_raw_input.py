"""What a hostile or broken client may send, as bytes: each has a defined answer, and none leaves anything open."""

import contextlib
import functools
from collections.abc import Iterator

import anyio
import pytest

from cryptomarket.app.limited_protocol import BODY_BYTES, HEAD_BYTES
from cryptomarket.app.uvicorn_protocol import HandoverProtocol

from .server import Connection, Serving, eventually, served


class Hasty(HandoverProtocol):
    """Our protocol, with shorter timeouts."""

    request_seconds = 0.5


hasty: Serving = functools.partial(served, Hasty)
REQUEST = "GET /sse/?timer=0 HTTP/1.1\r\nHost: test\r\n"


@pytest.fixture(autouse=True)
def no_error_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nothing that is sent causes a traceback."""
    yield
    assert [
        record.getMessage() for record in caplog.get_records("call") if record.levelname in ("ERROR", "CRITICAL")
    ] == []


async def hung_up(connection: Connection) -> bytes:
    """Everything received until the other side closes."""
    said = connection._buffer
    with anyio.fail_after(60):
        while True:
            try:
                said += await connection.socket.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                return said


@pytest.mark.parametrize(
    "request_text",
    [
        "GET /sse/ HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET /sse/ HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        "GET /sse/ HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        "GET /sse/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n",
        "GET /sse/ HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
        "GET /sse/ HTTP/1.1\r\nHost: a\r\n X: folded\r\n\r\n",
        "GET /sse/ HTTP/1.1\r\nHost : a\r\n\r\n",
        "GET /sse/ HTTP/9.9\r\n\r\n",
        "GET /sse/\xff HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /s e/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "nonsense\r\n\r\n",
    ],
)
async def test_what_is_no_request_is_refused_and_hung_up_on(serving: Serving, request_text: str) -> None:
    """A malformed request is answered with 400, before any stream begins."""
    async with serving() as site:
        connection = await site.connect()
        await connection.send(request_text)
        assert (await hung_up(connection)).startswith(b"HTTP/1.1 400 ")
        await site.streams(0)


async def test_a_second_request_in_the_same_packet_is_not_answered(
    serving: Serving, caplog: pytest.LogCaptureFixture, request: pytest.FixtureRequest
) -> None:
    """A pipelined request is not answered: the connection belongs to the first stream."""
    async with serving() as site:
        connection = await site.connect()
        await connection.send((REQUEST + "\r\n") * 3)
        await connection.read_head()
        await connection.until(1)
        site.publish(1)
        await connection.until(2)
        assert site.manager.statistics().joined == 1
    if "asgi" in request.node.callspec.id:
        caplog.clear()  # uvicorn's own protocol writes to a connection that was closed with requests waiting


@pytest.mark.parametrize("more", [REQUEST + "\r\n", "x", "hello", "0\r\n\r\n"])
async def test_a_stream_that_receives_bytes_is_ended(more: str) -> None:
    """A second request or a late body on the connection of a stream closes it."""
    async with hasty() as site:
        stream = await site.get("/sse/?timer=0", Content_Length="5" if more == "hello" else "0")
        await stream.until(1)
        await stream.send(more)
        await stream.to_end()
        assert not stream.ended
        await site.streams(0)


async def test_a_body_that_came_with_the_request_is_ignored(serving: Serving) -> None:
    """The body is neither read as a request nor an error."""
    async with serving() as site:
        connection = await site.connect()
        await connection.send(REQUEST + "Content-Length: 34\r\n\r\nGET /admin HTTP/1.1\r\nHost: test\r\n\r\n")
        await connection.read_head()
        await connection.until(1)
        assert connection.status == 200


async def test_http_1_0_gets_a_stream_that_closes(serving: Serving) -> None:
    """Old proxies send HTTP/1.0 and understand chunks."""
    async with serving() as site:
        connection = await site.connect()
        await connection.send("GET /sse/?timer=0 HTTP/1.0\r\n\r\n")
        await connection.read_head()
        await connection.until(1)
        assert connection.headers["connection"] == "close"
        await site.manager.drain(0)
        await connection.to_end()
        assert connection.ended


async def test_an_upgrade_is_not_taken_up(serving: Serving) -> None:
    """There is no WebSocket; the request is answered as the HTTP request it is."""
    async with serving() as site:
        stream = await site.get("/sse/?timer=0", Connection="Upgrade", Upgrade="websocket")
        assert stream.status == 200
        await stream.until(1)


@pytest.mark.parametrize("sent", ["", "G", REQUEST, REQUEST + "X: " + "y" * 100])
async def test_a_request_that_is_never_finished_is_cut_off(sent: str) -> None:
    """A silent connection is closed, an incomplete request is answered with 408."""
    async with hasty() as site:
        connection = await site.connect()
        if sent:
            await connection.send(sent)
        said = await hung_up(connection)
        assert said.startswith(b"HTTP/1.1 408 ") if sent else said == b""


async def test_a_dripping_request_is_cut_off() -> None:
    """A byte now and then does not extend its timeout."""
    async with hasty() as site:
        connection = await site.connect()
        with anyio.fail_after(60):
            for byte in REQUEST * 10:
                try:
                    await connection.send(byte)
                except anyio.BrokenResourceError:
                    break
                await anyio.sleep(0.01)
        assert not site.server.server_state.connections


async def test_a_dripping_body_is_cut_off() -> None:
    """The timeout is that of the whole request."""
    async with hasty() as site:
        connection = await site.connect()
        await connection.send("POST /sse/ HTTP/1.1\r\nHost: test\r\nContent-Length: 100\r\n\r\nx")
        assert (await hung_up(connection)).count(b"HTTP/1.1 ") <= 2
        await eventually(lambda: not site.server.server_state.connections)


async def test_a_second_request_on_a_kept_connection_has_its_time_too() -> None:
    """Half of a second request has the timeout of the first."""
    async with hasty() as site:
        connection = await site.get("/sse/?timer=x")
        await connection.to_end()
        await connection.send("GET /sse/?time")
        assert b"408" in await hung_up(connection)


async def test_a_slow_answer_is_not_cut_off() -> None:
    """The timeout is for requests: a stream stays open longer."""
    async with hasty() as site:
        stream = await site.get("/sse/?timer=0")
        await stream.until(1)
        await anyio.sleep(0.8)
        site.publish(1)
        await stream.until(2)


@pytest.mark.parametrize(
    "head",
    [
        f"X: {'y' * HEAD_BYTES}\r\n\r\n",
        f"X: {'y' * 200_000}",
        "".join(f"X{i}: y\r\n" for i in range(HEAD_BYTES // 4)) + "\r\n",
    ],
)
async def test_a_giant_head_is_refused(head: str) -> None:
    """A head that is too large is refused, complete or not."""
    async with served(HandoverProtocol) as site:
        connection = await site.connect()
        await connection.send(REQUEST + head)
        assert (await hung_up(connection)).startswith(b"HTTP/1.1 431 ")
        assert site.manager.statistics().joined == 0


async def test_a_giant_address_is_refused() -> None:
    """A path that is too long is refused, as part of the head."""
    async with served(HandoverProtocol) as site:
        connection = await site.connect()
        await connection.send(f"GET /sse/?{'x' * HEAD_BYTES} HTTP/1.1\r\n\r\n")
        assert (await hung_up(connection)).startswith(b"HTTP/1.1 431 ")


async def test_a_giant_body_is_not_read() -> None:
    """The connection is closed after the limit of a body."""
    async with served(HandoverProtocol) as site:
        connection = await site.connect()
        await connection.send(f"POST /sse/ HTTP/1.1\r\nHost: test\r\nContent-Length: {BODY_BYTES * 100}\r\n\r\n")
        for _ in range(2 * BODY_BYTES // 1000):
            with contextlib.suppress(anyio.BrokenResourceError):
                await connection.send("x" * 1000)
        await eventually(lambda: not site.server.server_state.connections)


async def test_many_broken_clients_leave_nothing_open() -> None:
    """Five hundred bad requests of all kinds do not disturb a stream beside them."""
    async with hasty(max_streams_per_address=1000) as site:
        healthy = await site.get("/sse/?timer=0")
        await healthy.until(1)
        for i in range(500):
            connection = await site.connect()
            await connection.send(("", "GET", REQUEST, REQUEST + "\r\n", "\0\0\r\n\r\n")[i % 5] or "G")
            if i % 2:
                await connection.socket.aclose()
        site.publish(1)
        await healthy.until(2)
        await site.manager.drain(0)
        await eventually(lambda: not site.server.server_state.connections)
        assert len(site.manager) == 0
