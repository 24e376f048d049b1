"""One suite of stream behaviour on our own program and on other people's servers, each a real process."""

import contextlib
import re
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anyio
import httpx2
import pytest
from anyio.from_thread import start_blocking_portal

from cryptomarket.simulator.exchange import running_exchange
from tests.asgi_servers import SERVERS, Site, answer, reader, running_server
from tests.processes import environment, free_port, running_command

pytestmark = pytest.mark.system

MOST_STREAMS = 5


@contextlib.asynccontextmanager
async def gateway(folder: Path, server: str) -> AsyncIterator[Site]:
    """Run the whole gateway on a simulated exchange."""
    async with running_exchange(time_scale=5) as exchange:
        urls = {"deribit_ws_url": exchange.ws_url, "deribit_http_url": exchange.http_url}
        limits = {"max_streams_per_address": MOST_STREAMS, "allowed_origins": "https://shop.example"}
        async with running_server(folder, server, {**urls, **limits}) as site:
            await site.answers()
            yield site


@pytest.fixture(scope="module", params=["serve", *SERVERS])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One gateway on each server."""
    folder = tmp_path_factory.mktemp(request.param)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(gateway(folder, request.param)) as site:
        yield site


async def test_the_join_is_one_write(site: Site) -> None:
    """`retry`, the newest price of each ticker and the state arrive together, in this order."""
    async with reader(site, "/sse/?timer=60") as stream:
        assert await stream.read()
    first = stream.body.decode()
    assert re.match(r"retry: [1-5]\d{3}\n", first)
    *prices, state = stream.events
    assert {event.event for event in prices} == {"btc_usd", "eth_usd"}
    assert state.json["kind"] == "upstream"


async def test_the_headers_are_those_of_the_contract(site: Site) -> None:
    """No cache keeps the stream, no proxy changes or buffers it, and only allowed origins read it."""
    async with reader(site, Origin="https://shop.example") as stream:
        found = stream.headers
    assert stream.status == 200
    assert found["content-type"] == "text/event-stream"
    assert found["cache-control"] == "no-store, no-transform"
    assert found["x-accel-buffering"] == "no"
    assert found["vary"] == "Origin"
    assert found["access-control-allow-origin"] == "https://shop.example"
    assert found["transfer-encoding"] == "chunked"


async def test_timer_0_is_every_tick_and_others_are_regular(site: Site) -> None:
    """Ids of timer 0 rise, none twice; a timer of a second has one delivery a second."""
    async with reader(site, "/sse/?timer=0&channels=btc_usd") as every, reader(site, "/sse/?timer=1") as slow:
        with anyio.move_on_after(3.5):
            async with anyio.create_task_group() as tasks:
                for stream in (every, slow):
                    tasks.start_soon(stream.until, 1_000)
    ids = [int(event.id.partition("-")[2]) for event in every.events if event.event == "btc_usd"]
    assert len(ids) > 10
    assert ids == sorted(set(ids))
    assert 3 <= len([event for event in slow.events if event.event == "btc_usd"]) <= 5


async def test_a_stream_resumes(site: Site) -> None:
    """With Last-Event-ID the missed ticks come first, each once; an unknown id is a gap."""
    async with reader(site, "/sse/?timer=0&channels=btc_usd") as stream:
        ids = [event.id for event in await stream.until(6) if event.event == "btc_usd"]
    async with reader(site, "/sse/?timer=0&channels=btc_usd", Last_Event_ID=ids[1]) as again:
        await again.until(4)
        assert [event.id for event in again.events if event.event == "btc_usd"][: len(ids) - 2] == ids[2:]
    async with reader(site, "/sse/?timer=0", Last_Event_ID="nonsense") as lost:
        await lost.until(1)
    assert lost.events[0].json == {"kind": "gap", "from": "nonsense", "reason": "unknown"}


async def test_a_wrong_parameter_is_a_problem_before_the_stream(site: Site) -> None:
    """The answer is 422 and names the parameter."""
    async with reader(site, "/sse/?timer=x") as refused:
        await refused.to_end()
    assert refused.status == 422
    assert b'"timer"' in refused.body


async def test_head_is_answered_without_a_stream(site: Site) -> None:
    """The headers, no body and an end."""
    async with httpx2.AsyncClient(timeout=5) as client:
        found = await client.head(f"{site.url}/sse/")
    assert (found.status_code, found.headers["content-type"]) == (200, "text/event-stream")


async def test_overload_is_200_with_a_long_retry_and_the_end(site: Site) -> None:
    """A stream above the limit of its address is told to return later; the place of one that leaves is free again."""
    async with contextlib.AsyncExitStack() as opened:
        for _ in range(MOST_STREAMS):
            await accepted(site, opened)
        async with reader(site) as refused:
            await refused.to_end()
        assert (refused.status, refused.ended, refused.events) == (200, True, [])
        assert 15_000 <= (refused.parser.retry or 0) <= 45_000
    async with contextlib.AsyncExitStack() as opened:
        await accepted(site, opened)


async def accepted(site: Site, opened: contextlib.AsyncExitStack) -> None:
    """Open a stream, once the server has noticed that earlier readers left."""
    with anyio.fail_after(20):
        while True:
            stream = await opened.enter_async_context(reader(site))
            await stream.read()
            if stream.events:
                return
            await anyio.sleep(0.1)


async def test_a_silent_stream_has_a_heartbeat(site: Site) -> None:
    """After 15 s without an event there is one that a page can see."""
    async with reader(site, "/sse/?timer=3600&channels=connection") as stream:
        with anyio.fail_after(25):
            await stream.until(2)
    assert stream.events[-1].json["kind"] == "heartbeat"


@contextlib.asynccontextmanager
async def scripted(folder: Path, server: str, factory: str) -> AsyncIterator[Site]:
    """Run the scripted application on a server."""
    if server != "serve":
        async with running_server(folder, server, target=f"tests.app.scripted:{factory}") as site:
            await site.answers("/do/nothing")
            yield site
        return
    port = free_port()
    command = [sys.executable, "-m", "tests.app.scripted", factory, str(port)]
    variables = {**environment(folder), "PYTHONPATH": str(Path(__file__).parents[2])}
    async with running_command(folder, command, variables) as program:
        site = Site(program, port)
        await site.answers("/do/nothing")
        yield site


async def everything_a_stream_can_say(site: Site) -> tuple[list[bytes], dict[str, str]]:
    """The chunks and the headers of one stream, on a site where the same things happen in order."""

    async def do(what: str, number: int = 0) -> None:
        assert (await answer(f"{site.url}/do/{what}?number={number}")).status_code == 200

    for what, number in (("live", 1), ("btc_usd", 1), ("btc_usd", 2), ("eth_usd", 3)):
        await do(what, number)
    async with reader(site, "/sse/?timer=0", Last_Event_ID="7-1", Cookie="session=a") as stream:
        await stream.until(3)
        for count, (what, number) in enumerate(
            [("btc_usd", 4), ("btc_usd", 5), ("down", 2), ("person", 0), ("refused", 0)], start=4
        ):
            await do(what, number)
            await stream.until(count)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(do, "drain")
            await stream.to_end()
        assert stream.ended
    # granian writes the size of a chunk in capitals, as the specification allows.
    chunks = [size.lower() + data for size, _, data in (chunk.partition(b"\r\n") for chunk in stream.chunks)]
    return chunks, {name: value for name, value in stream.headers.items() if name not in SERVERS_OWN}


#: Headers that the server adds to every response.
SERVERS_OWN = {"date", "server", "connection"}


async def test_every_server_writes_the_same_bytes(tmp_path: Path) -> None:
    """The chunks from the first to the end are equal, and so are the headers of the stream."""
    written = {}
    for server in ("serve", *SERVERS):
        async with scripted(tmp_path, server, "scripted") as site:
            written[server] = await everything_a_stream_can_say(site)
    assert b"".join(written["serve"][0]).count(b"event: ") == 8
    assert all(found == written["serve"] for found in written.values()), written


@pytest.mark.parametrize("server", ["serve", *SERVERS])
async def test_a_reader_that_reads_nothing_is_cut_off(tmp_path: Path, server: str) -> None:
    """What it does not take is not kept without end, and it is gone after its time."""
    async with scripted(tmp_path, server, "flooded") as site, reader(site, Cookie="session=a"):
        async with httpx2.AsyncClient(timeout=60) as client:
            shed, written = (await client.get(f"{site.url}/flood")).json()
        print(server, shed, written)
        assert shed == {"blocked": 1}
        assert (await answer(f"{site.url}/do/nothing")).json() == 0
