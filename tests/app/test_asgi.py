"""The gateway under other people's ASGI servers, each a real process: it runs whole, stops and fails in order."""

import contextlib
import signal
import subprocess
import sys
import time
from pathlib import Path

import anyio
import pytest

from cryptomarket.simulator.exchange import Exchange, running_exchange
from tests.asgi_servers import SERVERS, Site, answer, reader, running_server
from tests.processes import eventually
from tests.redis_server import running_redis
from tests.stream.server import Connection

pytestmark = pytest.mark.system

READERS = 100
WINDOW_SECONDS = 2.0
#: What a stop may take beside its window, by the contract.
STOP_SECONDS = 4.0

every_server = pytest.mark.parametrize("server", SERVERS)


def of(exchange: Exchange, **settings: object) -> dict[str, object]:
    """Return the settings of a gateway on the simulated exchange."""
    return {"deribit_ws_url": exchange.ws_url, "deribit_http_url": exchange.http_url, **settings}


async def open_readers(site: Site, opened: contextlib.AsyncExitStack, count: int = READERS) -> list[Connection]:
    """Open streams and wait until each has joined."""
    readers: list[Connection] = []
    with anyio.fail_after(60):
        while not readers:  # the server may not listen yet
            with contextlib.suppress(OSError):
                readers.append(await opened.enter_async_context(reader(site)))
            await anyio.sleep(0.05)
        readers += [await opened.enter_async_context(reader(site)) for _ in range(count - 1)]
    for one in readers:
        await one.until(1)
    return readers


async def stopped_in_time(site: Site, readers: list[Connection], window_seconds: float) -> int:
    """Send SIGTERM; each reader is told when to return and ended well, and the process ends in time."""
    began = time.monotonic()
    site.program.process.send_signal(signal.SIGTERM)
    async with anyio.create_task_group() as tasks:
        for one in readers:
            tasks.start_soon(one.to_end)
        code = await site.exit_code(window_seconds + STOP_SECONDS)
    print(f"exit {code} after {time.monotonic() - began:.2f} s")
    assert [len(one.parser.retries) for one in readers] == [2] * len(readers)
    assert all(one.ended for one in readers)
    return code


@every_server
async def test_d2_a_stop_ends_every_stream_within_the_window(tmp_path: Path, server: str) -> None:
    """With 100 readers each one gets its `retry` and a clean end, and the server exits within the window and 4 s."""
    async with (
        running_exchange() as exchange,
        contextlib.AsyncExitStack() as opened,
        running_server(tmp_path, server, of(exchange, drain_seconds=WINDOW_SECONDS)) as site,
    ):
        await site.answers()
        readers = await open_readers(site, opened)
        await stopped_in_time(site, readers, WINDOW_SECONDS)
        assert "Traceback" not in site.program.log + site.program.out


@every_server
async def test_d2_an_application_of_ones_own_stops_as_well(tmp_path: Path, server: str) -> None:
    """A Starlette application with nothing but the manager in its lifespan needs no further line."""
    async with (
        contextlib.AsyncExitStack() as opened,
        running_server(tmp_path, server, target="tests.app.factories:own") as site,
    ):
        readers = await open_readers(site, opened)
        await stopped_in_time(site, readers, 5.0)
        assert "Traceback" not in site.program.log + site.program.out


async def test_d2_a_server_that_gives_up_early_cuts_nobody_off(tmp_path: Path) -> None:
    """hypercorn cancels what is open after 3 s; the readers whose turn has not come by then get their `retry` there."""
    async with (
        contextlib.AsyncExitStack() as opened,
        running_server(tmp_path, "hypercorn", target="tests.app.factories:own") as site,
    ):
        readers = await open_readers(site, opened, 400)  # a window of 4 s
        await stopped_in_time(site, readers, 4.0)


@every_server
async def test_d2_a_second_interrupt_stops_at_once(tmp_path: Path, server: str) -> None:
    """A second Ctrl-C does not wait for the window, of which 900 readers use nine seconds."""
    async with running_exchange() as exchange, contextlib.AsyncExitStack() as opened:
        settings = of(exchange, drain_seconds=60, max_streams_per_address=1000)
        async with running_server(tmp_path, server, settings) as site:
            await site.answers()
            await open_readers(site, opened, 900)
            site.interrupt()
            await anyio.sleep(0.7)
            began = time.monotonic()
            site.interrupt()
            await site.exit_code(7)  # half a second on a quiet machine
            print(f"{time.monotonic() - began:.2f} s")


@every_server
async def test_the_whole_gateway_runs(tmp_path: Path, server: str) -> None:
    """Live prices, stored prices, pages, readiness and the description are served by any server."""
    async with (
        running_exchange() as exchange,
        running_server(tmp_path, server, of(exchange, snapshot_interval=1)) as site,
    ):
        assert (await site.answers()).json()["status"] == "ready"
        async with reader(site, "/sse/?timer=0&channels=btc_usd") as stream:
            await stream.until(4)
            assert len(stream.prices()) >= 3
        for path, text in (
            ("/", "<html"),
            ("/healthz", "alive"),
            ("/openapi.json", "latest"),
            ("/metrics", "cryptomarket_"),
        ):
            assert text in (await site.answers(path)).text
        await stored(site)
        site.program.process.send_signal(signal.SIGTERM)
        await site.exit_code(STOP_SECONDS)


async def stored(site: Site) -> None:
    """Wait until the recorder has stored a price."""
    with anyio.fail_after(30):
        while not (await answer(f"{site.url}/api/v1/prices?ticker=btc_usd")).json()["data"]:
            await anyio.sleep(0.2)


@every_server
async def test_a_failed_task_stops_the_server(tmp_path: Path, server: str) -> None:
    """No server goes on answering without a part of the gateway: streams end, and the exit is an error."""
    async with (
        running_exchange() as exchange,
        running_server(tmp_path, server, of(exchange), target="tests.app.factories:failing") as site,
    ):
        await site.answers()
        async with reader(site) as stream:
            await stream.to_end()
            assert stream.ended
            assert len(stream.parser.retries) == 2
        await ended_with_an_error(site, server)
        assert "background task failed, stopping" in site.program.log


async def ended_with_an_error(site: Site, server: str) -> None:
    """Wait for the end of the server. hypercorn exits with 0 whatever the exit code of its worker."""
    code = await site.exit_code(30)
    assert code != 0 or server == "hypercorn"


@every_server
@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"port": "many"}, "CRYPTOMARKET_PORT: expected"),
        ({"database_url": "sqlite+aiosqlite:////nowhere/x.db"}, "the folder /nowhere does not exist"),
    ],
)
async def test_a_start_that_fails_is_a_sentence(
    tmp_path: Path, server: str, settings: dict[str, object], sentence: str
) -> None:
    """The server exits with an error, after our sentence and no traceback."""
    async with running_server(tmp_path, server, settings) as site:
        await ended_with_an_error(site, server)
        said = site.program.log + site.program.out
        assert sentence in said
        assert "Traceback" not in said


@every_server
async def test_two_workers_without_redis_are_refused(tmp_path: Path, server: str) -> None:
    """Two leaders on one database would write one over the other; the server stops with a sentence."""
    async with (
        running_exchange() as exchange,
        running_server(tmp_path, server, of(exchange), options=["--workers", "2"]) as site,
    ):
        await eventually(lambda: site.program.process.returncode is not None, "the server ends")
        assert "set CRYPTOMARKET_REDIS_URL" in site.program.log + site.program.out


@every_server
async def test_workers_with_redis_are_nodes(tmp_path: Path, server: str) -> None:
    """With Redis each worker is a node: one leads, and the others serve the same prices."""
    async with running_exchange() as exchange, running_redis(tmp_path) as redis:
        settings = of(exchange, redis_url=redis.url)
        async with running_server(tmp_path, server, settings, options=["--workers", "2"]) as site:
            await site.answers()
            await eventually(lambda: site.program.log.count("gateway running under another server") == 2, "two nodes")
            assert exchange.most_at_once == 1
            async with contextlib.AsyncExitStack() as opened:
                readers = await open_readers(site, opened, 20)
                await stopped_in_time(site, readers, 0.5)


@every_server
async def test_trusted_proxies_forward_addresses(tmp_path: Path, server: str) -> None:
    """With one stream an address, readers behind a trusted proxy are counted by their own addresses."""
    limits = {"max_streams_per_address": 1, "trusted_proxies": "127.0.0.0/8"}
    async with (
        running_exchange() as exchange,
        running_server(tmp_path, server, of(exchange, **limits)) as site,
        contextlib.AsyncExitStack() as opened,
    ):
        await site.answers()
        found = []
        for forwarded in ("203.0.113.1", "203.0.113.9", "203.0.113.1"):
            stream = await opened.enter_async_context(reader(site, X_Forwarded_For=forwarded))
            await stream.read()
            found.append(bool(stream.events))
        assert found == [True, True, False]


def test_importing_the_factory_is_cheap() -> None:
    """It reads no settings and imports no library of a server."""
    heavy = "{'anyio', 'fastapi', 'pydantic', 'sqlalchemy', 'cryptomarket.settings'}"
    code = f"import sys, cryptomarket.app; print(len({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "0\n"


async def test_a_server_without_lifespan_is_told(tmp_path: Path) -> None:
    """Requests are answered 503 with what is missing."""
    async with running_server(tmp_path, "uvicorn", options=["--lifespan", "off"]) as site:
        assert "lifespan" in (await site.answers("/readyz", 503)).text


async def test_our_protocol_hands_connections_over_under_uvicorn(tmp_path: Path) -> None:
    """With `--http` streams cost as little as under `serve`, and a stop ends them as well."""
    protocol = ["--http", "cryptomarket.app.uvicorn_protocol:HandoverProtocol"]
    async with (
        running_exchange() as exchange,
        contextlib.AsyncExitStack() as opened,
        running_server(tmp_path, "uvicorn", of(exchange), options=protocol) as site,
    ):
        await site.answers()
        readers = await open_readers(site, opened, 20)
        await stopped_in_time(site, readers, 0.5)
