"""The limits of our HTTP protocol at a real socket: pipelines, trailers, half requests, hang-ups, odd heads."""

import asyncio
import gc
import json
import logging
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
from structlog.testing import capture_logs
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from cryptomarket.app.connection_limits import Stage
from cryptomarket.app.limited_protocol import BODY_BYTES, HEAD_BYTES, HEADERS
from tests.processes import eventually

from .raw_server import RawServer, raw_server

GET = "GET / HTTP/1.1\r\nHost: test\r\n\r\n"
ENDLESS = "GET /endless HTTP/1.1\r\nHost: test\r\n\r\n"
HOST = "Host: test\r\n"
CLOSE = "Host: test\r\nConnection: close\r\n"


@pytest.fixture(autouse=True)
def nothing_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nothing that a client sends makes a library log, least of all a traceback."""
    caplog.set_level(logging.INFO)
    yield
    assert [record.getMessage() for record in caplog.get_records("call") if record.levelno > logging.INFO] == []


def bodies(received: bytes) -> list[Any]:
    """What the application echoed, from the bytes of a connection."""
    found = []
    for part in received.split(b"HTTP/1.1 200 OK\r\n")[1:]:
        head, _, rest = part.partition(b"\r\n\r\n")
        length = next(int(line[16:]) for line in head.split(b"\r\n") if line.startswith(b"content-length: "))
        found.append(json.loads(rest[:length]))
    return found


def alive(kind: type) -> int:
    """How many objects of a class there are."""
    gc.collect()
    return sum(type(thing) is kind for thing in gc.get_objects())


async def settled(server: RawServer, count: int) -> None:
    """Wait until so many answers are unread or given up."""
    await eventually(lambda: len(server.limits._unread) + len(server.reasons) == count, "it is not read", seconds=10)


# Pipelines


async def test_a_pipeline_behind_an_unread_answer_costs_nothing() -> None:
    """Thousands of requests behind an answer that nobody reads leave two requests a connection, not thousands."""
    async with raw_server() as server:
        warm = await server.connect(ENDLESS)
        await warm.status()
        server.hang_up()
        memory = psutil.Process().memory_info().rss
        for _ in range(20):
            await server.connect(ENDLESS + "GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 2_000)
        await eventually(lambda: len(server.reasons) == 20, "the pipelines are refused", seconds=10)
        assert alive(RequestResponseCycle) <= 2 * 20
        assert psutil.Process().memory_info().rss - memory < 20 * 2**20
        assert set(server.reasons) == {"pipelining"}


async def test_a_request_behind_another_is_answered() -> None:
    """One request may wait; the answers come in order."""
    async with raw_server() as server:
        received = await server.answered(f"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\n{CLOSE}\r\n")
        assert [body[1] for body in bodies(received)] == ["/1", "/2"]
        assert server.reasons == []


async def test_a_third_request_is_refused_after_the_answers() -> None:
    """The first two are answered, the second with the word that it is the last, and the connection is closed."""
    async with raw_server() as server:
        received = await server.answered("".join(f"GET /{i} HTTP/1.1\r\nHost: a\r\n\r\n" for i in range(10)))
        assert [body[1] for body in bodies(received)] == ["/0", "/1"]
        assert received.count(b"connection: close") == 1
        assert server.reasons == ["pipelining"]


async def test_requests_one_after_the_other_are_not_a_pipeline() -> None:
    """A kept connection answers as many requests as its client sends, each after the answer before."""
    async with raw_server() as server:
        raw = await server.connect()
        for i in range(20):
            await raw.send(f"GET /{i} HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n")
            assert await raw.status() == 200
            await raw.reader.readuntil(b"]")
        assert server.reasons == []


async def test_nonsense_behind_a_request_does_not_disturb_its_answer() -> None:
    """The status of the refusal comes after the whole answer, never within it."""
    async with raw_server() as server:
        received = await server.answered(GET + "nonsense\r\n\r\n")
        answer, _, refusal = received.partition(b"HTTP/1.1 400 Bad Request\r\n")
        assert bodies(answer) == [["GET", "/", [["host", "test"]], ""]]
        assert answer.endswith(b"]")
        assert refusal
        assert server.reasons == ["malformed_request"]


@pytest.mark.parametrize("behind", ["", "nonsense\r\n\r\n", GET, GET * 500, "POST / HTTP/1.1\r\nHost: a\r\nContent-Le"])
async def test_a_hang_up_within_an_answer_is_one_debug_line(behind: str) -> None:
    """Whatever waits behind the answer: no traceback, one line, and nothing of the requests stays."""
    async with raw_server() as server:
        raw = await server.connect(ENDLESS + behind)
        assert await raw.status() == 200
        await eventually(lambda: server.limits._unread, "the answer is not read", seconds=10)
        with capture_logs() as lines:
            raw.abort()
            await eventually(lambda: not len(server.limits), "the connection is gone", seconds=10)
            await asyncio.sleep(0.05)
        assert [(line["event"], line["log_level"], line["route"]) for line in lines] == [
            ("client disconnected before the end of the answer", "debug", "/endless")
        ]
        assert alive(RequestResponseCycle) == 0


# Trailers


TRAILERS = "Content-Type: a/b\r\nCookie: session=a\r\nX-Forwarded-For: 203.0.113.9\r\nExpect: 100-continue\r\n"


@pytest.mark.parametrize("split", [False, True])
async def test_fields_of_a_trailer_are_not_headers(split: bool) -> None:
    """A trailer is read to its end and ignored, in one packet or byte by byte; so are extensions of chunks."""
    async with raw_server() as server:
        head = f"POST /p HTTP/1.1\r\n{CLOSE}Transfer-Encoding: chunked\r\n\r\n"
        sent = f'{head}3;cookie=a;x="b"\r\nabc\r\n0;y\r\n{TRAILERS}\r\n'
        raw = await server.connect()
        for part in sent if split else [sent]:
            await raw.send(part)
            await asyncio.sleep(0)
        received = await raw.rest()
        headers = [["host", "test"], ["connection", "close"], ["transfer-encoding", "chunked"]]
        assert bodies(received) == [["POST", "/p", headers, "abc"]]
        assert b"100 Continue" not in received


async def test_a_giant_trailer_is_refused() -> None:
    """The fields of a trailer count as the body does."""
    async with raw_server() as server:
        raw = await server.connect(f"POST / HTTP/1.1\r\n{CLOSE}Transfer-Encoding: chunked\r\n\r\n0\r\n")
        for _ in range(3 * BODY_BYTES // 10_000):
            await raw.send("X: y\r\n" * (10_000 // 6))
        assert (await raw.rest()).startswith(b"HTTP/1.1 413 ")
        assert server.reasons == ["body_too_large"]
        assert server.refusals[0][1]["route"] == "/"


# Connections


async def test_connections_of_an_address_are_bounded() -> None:
    """A newcomer of an address that has too many is closed without a status; other addresses are answered."""
    async with raw_server(most_per_address=5) as server:
        for _ in range(5):
            await server.connect("GET / HT", source="127.0.0.2")
        await eventually(lambda: len(server.limits) == 5, "five are open", seconds=10)
        assert await server.answered(GET, source="127.0.0.2") == b""
        assert bodies(await server.answered(f"GET / HTTP/1.1\r\n{CLOSE}\r\n", source="127.0.0.3"))
        assert server.refusals == [
            ("connections_per_address", {"address": "127.0.0.2", "route": "", "status": None}),
        ]


async def test_a_crowd_behind_one_address_is_answered() -> None:
    """Browsers keep their connections for some seconds; an idle one is closed for a newcomer, and nothing reported."""
    async with raw_server(most_per_address=3) as server:
        crowd = []
        for i in range(12):
            crowd.append(await server.connect(GET, source="127.0.0.2"))
            assert await crowd[-1].status() == 200
            idle = min(i + 1, 3)
            await eventually(lambda idle=idle: len(server.limits._idle) == idle, "idle", seconds=10)  # type: ignore[misc]
        assert (await crowd[0].rest()).endswith(b"]")
        assert (len(server.limits), server.reasons) == (3, [])


async def test_half_requests_give_way_to_honest_ones() -> None:
    """Many more half requests than there are files: every honest request is answered, and their number is bounded."""
    async with raw_server(most_with_streams=60, streams=lambda: 10) as server:
        for i in range(400):
            await server.connect("GET / HTTP/1.1\r\nX: y", source=f"127.0.1.{i % 200 + 1}")
            assert len(server.limits) <= 50
            if not i % 20:
                assert bodies(await server.answered(f"GET / HTTP/1.1\r\n{CLOSE}\r\n"))
        assert set(server.reasons) == {"incomplete_request"}
        assert len(server.reasons) > 300


async def test_idle_connections_give_way_first() -> None:
    """A kept connection without a request is closed before a request that is arriving; no refusal is reported."""
    async with raw_server(most=3) as server:
        arriving = await server.connect("GET / HTTP/1.1\r\n")
        idle = await server.connect(GET)
        assert await idle.status() == 200
        await eventually(lambda: len(server.limits._idle) == 1, "one is idle", seconds=10)
        third, _ = await server.connect(), await server.connect()
        assert (await idle.rest()).endswith(b"]")
        for raw in (arriving, third):
            await raw.send("GET / HTTP/1.1\r\n"[len("GET / HTTP/1.1\r\n") * (raw is arriving) :] + CLOSE + "\r\n")
            assert await raw.status() == 200
        assert server.reasons == []


@pytest.mark.parametrize("close", [False, True])
async def test_an_answer_that_is_made_is_unread_until_it_is_sent(close: bool) -> None:
    """The rest of a whole answer that waits in the transport counts, whether or not the connection closes after it."""
    async with raw_server(most_unread=2) as server:
        for count in (1, 2, 3):
            await server.connect(f"GET /large HTTP/1.1\r\n{CLOSE if close else HOST}\r\n")
            await settled(server, count)
        assert server.reasons == ["unread_answer"]
        await eventually(lambda: len(server.limits) == 2, "the connection is gone", seconds=10)


async def test_unread_answers_give_way_to_another() -> None:
    """The answer that has not been read for the longest is given up."""
    async with raw_server(most_unread=2) as server:
        raws = []
        for count in (1, 2, 3):
            raws.append(await server.connect(ENDLESS))
            await settled(server, count)
        await raws[0].rest()
        assert server.reasons == ["unread_answer"]
        assert len(server.limits) == 2


async def test_the_bytes_of_half_heads_are_bounded_in_all() -> None:
    """Large half heads of many addresses are given up from the oldest on."""
    async with raw_server(most_incomplete_bytes=100_000) as server:
        for i in range(20):
            await server.connect(f"GET / HTTP/1.1\r\nX: {'y' * 20_000}", source=f"127.0.1.{i + 1}")
        await eventually(lambda: len(server.reasons) == 15, "the oldest are closed", seconds=10)
        assert server.limits._incomplete_bytes <= 100_000


async def test_stages_follow_a_connection() -> None:
    """The limits know what a connection does, from its first byte to its end."""
    async with raw_server() as server:
        raw = await server.connect("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n")
        await eventually(lambda: server.limits._incomplete_bytes, "the body is incomplete", seconds=10)
        assert next(iter(server.limits._incomplete))._stage is Stage.INCOMPLETE
        await raw.send("ab")
        assert await raw.status() == 200
        await eventually(lambda: len(server.limits._idle) == 1, "it is idle", seconds=10)
        assert server.limits._incomplete_bytes == 0
        await raw.send("GET ")
        await eventually(lambda: server.limits._incomplete, "the next request is incomplete", seconds=10)
        raw.abort()
        await eventually(lambda: not len(server.limits), "it is gone", seconds=10)


# Odd heads


#: Heads, each with the status of its one answer.
ODD_HEADS = {
    f"GET / HTTP/1.1\r\n{CLOSE}Upgrade: h2c\r\nConnection: Upgrade\r\n\r\n": 200,
    "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n": 200,
    "POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nab": 200,
    "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n": 400,
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n": 400,
    "OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n": 404,
    "GET / HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n": 200,
    "GET / HTTP/1.1\r\nHost: a b/\\c\r\nConnection: close\r\n\r\n": 200,
    "GET / HTTP/1.0\r\n\r\n": 200,
    "GET / HTTP/0.9\r\n\r\n": 200,
    "GET http://a/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n": 200,
    "GET http://a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n": 400,
    "GET /%00%ff HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n": 200,
    f"GET / HTTP/1.1\r\n{CLOSE}X: a\r\n folded\r\n\r\n": 400,
    f"GET / HTTP/1.1\r\n{CLOSE}X: a\0b\r\n\r\n": 400,
    "GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n": 400,
    f"HEAD / HTTP/1.1\r\n{CLOSE}\r\n": 200,
    f"GET / HTTP/1.1\r\n{CLOSE}" + "X: y\r\n" * (HEADERS - 2) + "\r\n": 200,
    f"GET / HTTP/1.1\r\n{CLOSE}" + "X: y\r\n" * (HEADERS - 1) + "\r\n": 431,
    f"GET / HTTP/1.1\r\n{CLOSE}X: {'y' * HEAD_BYTES}\r\n\r\n": 431,
}


async def test_odd_heads_have_an_answer() -> None:
    """One status each, then the connection is closed."""
    async with raw_server() as server:
        found = {}
        for head in ODD_HEADS:
            received = await server.answered(head)
            assert received.count(b"HTTP/1.1 ") == 1, head
            found[head] = int(received.split(b" ", 2)[1])
        assert found == ODD_HEADS
        assert len(server.reasons) == sum(status in (400, 431) for status in ODD_HEADS.values())


async def test_a_large_head_behind_another_request_is_refused_as_alone() -> None:
    """What arrives in one read with the request before it is counted as well."""
    async with raw_server() as server:
        received = await server.answered(f"{GET}GET / HTTP/1.1\r\nHost: a\r\nX: {'y' * HEAD_BYTES}\r\n\r\n")
        assert received.count(b"HTTP/1.1 200 ") == received.count(b"HTTP/1.1 431 ") == 1


async def test_expect_100_continue_is_answered_before_the_body() -> None:
    """The client waits for the interim response, then sends its body."""
    async with raw_server() as server:
        raw = await server.connect(f"POST / HTTP/1.1\r\n{CLOSE}Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert await raw.status() == 100
        await raw.send("ab")
        (echoed,) = bodies(await raw.rest())
        assert echoed[3] == "ab"
