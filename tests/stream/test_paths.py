"""Both kinds of sink write equal bytes, and a handed-over connection keeps nothing of its request."""

import asyncio
import gc
import re
import socket
from typing import Any

import anyio
import pytest
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from cryptomarket.app.uvicorn_protocol import HandoverProtocol
from cryptomarket.model import Gap, Upstream, UpstreamState
from cryptomarket.stream.sinks.socket import SocketSink

from .server import PATHS, Served, eventually, served

#: Clocks and draws that are the same for both, so that the bytes can be.
STILL: dict[str, Any] = {"monotonic": lambda: 1000.0, "wall": lambda: 1_763_668_000.0, "random": lambda: 0.5}


async def everything_a_stream_can_say(site: Served) -> bytes:
    """The bytes of one connection from head to end, on a site where the same things happen in order."""
    site.bus.publish(Upstream(UpstreamState.LIVE, 1))
    site.publish(1, 2)
    site.publish(3, ticker="eth_usd")
    stream = await site.get("/sse/?timer=0", Last_Event_ID="7-1", Cookie="session=a", Connection="keep-alive")
    await stream.until(3)
    site.publish(4)
    await stream.until(4)
    site.publish(5, 6)
    await stream.until(6)
    site.bus.publish(Upstream(UpstreamState.DOWN, 2))
    await stream.until(7)
    site.manager.send("a", '{"kind":"person"}')
    site.bus.publish(Gap("btc_usd"))
    await stream.until(9)
    await site.manager.drain(0)
    await stream.to_end()
    assert stream.ended
    raw = stream.head + b"\r\n\r\n" + b"".join(stream.chunks)
    return re.sub(rb"date: [^\r]+", b"date: now", raw)


async def test_both_paths_write_the_same_bytes() -> None:
    """Head, chunks and end are equal."""
    written = []
    for http in PATHS.values():
        async with served(
            http, manager=STILL, identify=lambda r: (r.cookies.get("session"), {"Set-Cookie": "session=a"})
        ) as site:
            written.append(await everything_a_stream_can_say(site))
    assert written[0] == written[1]
    assert written[0].count(b"event: ") == 9


async def test_overload_and_problems_are_the_same_bytes() -> None:
    """Answers that are no streams are equal as well."""
    written = []
    for http in PATHS.values():
        async with served(http, manager=STILL, max_streams=0) as site:
            answers = [await site.get(target) for target in ("/sse/", "/sse/?timer=x")]
            answers.append(await site.get(method="HEAD"))
            bodies = [await answer.to_end() for answer in answers[:2]]
            heads = [re.sub(rb"date: [^\r]+", b"", answer.head) for answer in answers]
            written.append((bodies, heads))
    assert written[0] == written[1]


async def test_nothing_of_the_request_stays_behind() -> None:
    """No protocol, cycle, task or scope stays, and none waits for the garbage collector."""
    gc.collect()
    gc.disable()
    try:
        async with served(HandoverProtocol) as site:
            streams = [await site.get() for _ in range(20)]
            for stream in streams:
                await stream.until(1)
            await eventually(lambda: not site.server.server_state.tasks)
            kinds = [type(thing) for thing in gc.get_objects()]
            assert not site.server.server_state.connections
            assert kinds.count(SocketSink) == 20
            assert kinds.count(HandoverProtocol) == kinds.count(RequestResponseCycle) == 0
            for stream in streams:
                await stream.socket.aclose()
            await site.streams(0)
            await eventually(lambda: not any(type(thing) is SocketSink for thing in gc.get_objects()))
    finally:
        gc.enable()


async def test_a_stalled_reader_takes_little_memory_and_receives_the_newest() -> None:
    """After ten thousand ticks it receives the old ones in its kernel's buffer, then the newest."""
    async with served(HandoverProtocol) as site:
        stalled = await site.connect(receive_buffer=4096)
        await stalled.get("/sse/?timer=0&channels=btc_usd")
        await stalled.until(1)
        (cohort,) = site.manager._subscribers
        (stream,) = cohort.members()
        transport = stream.sink._writer  # type: ignore[attr-defined]
        kernel = transport.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
        for price in range(1, 3000):
            site.publish(price)
            await asyncio.sleep(0)
        await eventually(lambda: site.manager.statistics().blocked_now == 1)
        assert transport.get_write_buffer_size() + kernel <= 100_000
        with anyio.fail_after(60):
            while stalled.prices()[-1:] != [2999]:
                assert await stalled.read()
        site.publish(3000)
        await stalled.until(len(stalled.events) + 1)
    prices = stalled.prices()
    assert prices[-2:] == [2999, 3000]
    assert len(prices) < 1500
    assert prices == sorted(set(prices))


async def test_a_drain_does_not_wait_for_a_reader_that_takes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection of a reader that does not read is aborted soon after the farewell."""
    monkeypatch.setattr("cryptomarket.stream.sinks.socket.CLOSE_SECONDS", 0.05)
    async with served(HandoverProtocol) as site:
        stalled = await site.connect(receive_buffer=4096)
        await stalled.get("/sse/?timer=0")
        for price in range(1, 2000):
            site.publish(price)
            await asyncio.sleep(0)
        await eventually(lambda: site.manager.statistics().blocked_now == 1)
        await site.manager.drain(0)
        await anyio.sleep(0.1)
        await stalled.to_end()
        assert not stalled.ended


async def test_a_stream_that_ends_before_its_connection_is_handed_over_is_ended() -> None:
    """What was written before the handover is written after it, with the farewell and the end of the body."""

    class Transport(asyncio.Transport):
        def __init__(self) -> None:
            super().__init__()
            self.written: list[bytes] = []

        def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

        def write(self, data: bytes | bytearray | memoryview) -> None:
            self.written.append(bytes(data))

        def get_extra_info(self, name: str, default: Any = None) -> Any: ...

        def close(self) -> None:
            self.written.append(b"closed")

        def abort(self) -> None: ...

    sink, transport = SocketSink(lambda _: None), Transport()
    assert sink.write(b"first")
    sink.close(b"farewell")
    assert sink.write(b"never")
    sink.attach(transport, b"head")
    assert transport.written == [b"headfirstfarewell0\r\n\r\n", b"closed"]
    assert repr(sink) == "<SocketSink ended>"
