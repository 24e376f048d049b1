"""Five faults of the way to the exchange, with the numbers promised for each."""

import http
import itertools
import json
import multiprocessing
import random
import statistics
import time
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from cryptomarket.deribit.rate_limit import AttemptLimiter
from cryptomarket.deribit.timeouts import Timeouts
from cryptomarket.model import UpstreamState
from cryptomarket.simulator.exchange import running_exchange
from tests.tcp_proxy import slices, tcp_proxy

from .following import QUICK, following, held_up
from .proxies import authority, swallowing_relay
from .scripted import scripted_exchange

LIVE, CONNECTING, DOWN = UpstreamState.LIVE, UpstreamState.CONNECTING, UpstreamState.DOWN
#: A connection that is damaged during its greeting is given up soon.
HASTY = replace(QUICK, connect=1, greeting=1, probe=0.5)


async def test_fault_1_a_reset_costs_less_than_a_second() -> None:
    """Reconnect, resubscribe, first tick within 1 s of a reset, ten times, with the pauses used in earnest."""
    took: list[float] = []
    async with running_exchange(time_scale=10) as exchange, tcp_proxy(exchange.port) as line:
        url = f"ws://127.0.0.1:{line.port}/ws/api/v2"
        options = {"timeouts": Timeouts(), "attempts": AttemptLimiter(max_attempts=100)}
        async with following(url, "btc_usd", "eth_usd", **options) as follower:
            await follower.tick_of("eth_usd")
            for _ in range(10):
                line.reset()
                connections = exchange.connections
                started = time.monotonic()
                await follower.until(lambda seen=connections: exchange.connections > seen)  # type: ignore[misc]
                await follower.tick_of("btc_usd")
                took.append(time.monotonic() - started)
            assert statistics.median(took) < 1.0  # a busy machine may hold up one or another
            assert set(follower.states) == {CONNECTING, LIVE}


@pytest.mark.system
async def test_fault_2_half_open_is_noticed_within_ten_seconds() -> None:
    """Pongs still arrive, everything else is swallowed; with the default timeouts."""
    async with running_exchange() as exchange, swallowing_relay(exchange.ws_url) as line:
        async with following(line.url, timeouts=Timeouts()) as follower, held_up() as lost:
            await follower.tick_of("btc_usd")
            line.swallows = True
            started, before = time.monotonic(), lost()
            await follower.until(lambda: follower.states[-1] is CONNECTING, within=60)
            assert time.monotonic() - started - (lost() - before) < 10
            await follower.until(lambda: follower.states[-1] is LIVE)
        assert line.connections == 2


@pytest.mark.parametrize("status", [429, 503, 401])
async def test_fault_3_a_refused_handshake_is_met_rarely(status: int) -> None:
    """At most six attempts a minute; here a minute lasts a second and a half."""
    attempts: list[float] = []

    def refuse(connection: ServerConnection, request: Request) -> Response:
        attempts.append(time.monotonic())
        return connection.respond(http.HTTPStatus(status), "no")

    async with serve(lambda peer: peer.wait_closed(), "127.0.0.1", 0, process_request=refuse) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        quick = Timeouts(refused=0.25, stopped=0.5, first_pause=0.001, longest_pause=0.001)
        async with following(url, timeouts=quick) as follower:
            await follower.until(lambda: len(attempts) >= 3)
            assert follower.states == [CONNECTING, DOWN]
            assert str(status) in str(follower.deribit_client.statistics().reason)
    least = 0.25 if status != 401 else 0.5
    assert all(later - earlier >= least for earlier, later in itertools.pairwise(attempts))


async def test_fault_3_a_redirect_is_not_followed() -> None:
    """Followed, it could lead a login anywhere."""
    async with scripted_exchange() as elsewhere:

        def redirect(connection: ServerConnection, request: Request) -> Response:
            response = connection.respond(http.HTTPStatus.FOUND, "")
            response.headers["Location"] = elsewhere.url
            return response

        async with (
            serve(lambda peer: peer.wait_closed(), "127.0.0.1", 0, process_request=redirect) as server,
            following(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/") as follower,
        ):
            await follower.until(lambda: DOWN in follower.states)
            assert "redirects us elsewhere, refused" in str(follower.deribit_client.statistics().reason)
        assert elsewhere.connections == 0


async def test_fault_4_frames_cut_into_bytes_are_read_the_same() -> None:
    """The server's stream arrives byte by byte, then glued together: every price is one that was sent."""
    async with scripted_exchange() as exchange, tcp_proxy(int(urlsplit(exchange.url).port or 0)) as line:
        line.transform = slices(1)
        async with following(f"ws://127.0.0.1:{line.port}/") as follower:
            await follower.tick_of("btc_usd")
            sent = [100.5 + number for number in range(20)]
            for price in sent:
                await exchange.price("deribit_price_index.btc_usd", price)
            await follower.until(lambda: len(follower.ticks) == 21)
            assert [float(tick.price) for tick in follower.ticks[1:]] == sent


@pytest.mark.parametrize("seed", range(2))
async def test_fault_4_corrupted_bytes_give_no_price(seed: int, tmp_path: Path) -> None:
    """Flipped bits and cut streams on the encrypted connection: only sent prices are published, nothing crashes."""
    chance, (context, ca_file) = random.Random(seed), authority(tmp_path)
    async with scripted_exchange(ssl=context) as exchange, tcp_proxy(int(urlsplit(exchange.url).port or 0)) as line:
        url, quick = (
            f"wss://127.0.0.1:{line.port}/",
            {"ca_file": ca_file, "attempts": AttemptLimiter(max_attempts=1000), "timeouts": HASTY},
        )
        async with following(url, **quick) as follower:
            await follower.tick_of("btc_usd")
            for _ in range(10):
                line.transform = lambda chunk: [_flipped(chunk, chance)]
                before = exchange.connections
                with anyio.fail_after(30):
                    while exchange.connections == before:
                        await exchange.price("deribit_price_index.btc_usd")
                        await anyio.sleep(0.005)
                        if chance.random() < 0.2:
                            line.transform = lambda chunk: [chunk]
                            line.reset()
                line.transform = lambda chunk: [chunk]
                received = len(follower.ticks)
                with anyio.fail_after(30):
                    while len(follower.ticks) == received:
                        await exchange.price("deribit_price_index.btc_usd")
                        await anyio.sleep(0.005)
            assert {float(tick.price) for tick in follower.ticks} == {100.5}


def _flipped(chunk: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(chunk))
    return chunk[:place] + bytes([chunk[place] ^ 1 << chance.randrange(8)]) + chunk[place + 1 :]


async def test_fault_4_a_peer_that_talks_nonsense_is_left() -> None:
    """A few unreadable frames are passed over, twenty are not the exchange any more; prices among them are read."""
    async with scripted_exchange() as exchange, following(exchange.url) as follower:
        await follower.tick_of("btc_usd")
        for _ in range(10):
            await exchange.say('{"jsonrpc":"2.0","method":"subscr')
        await exchange.price("deribit_price_index.btc_usd", 7.25)
        await follower.until(lambda: float(follower.ticks[-1].price) == 7.25)
        assert exchange.connections == 1
        for _ in range(10):
            await exchange.say("[" * 100)
        await follower.until(lambda: exchange.connections == 2)


@pytest.mark.parametrize("frame", [b"\xff\xfe\xfd", b"x" * (5 * 2**20)])
async def test_fault_4_a_frame_that_is_no_text_closes_the_connection(frame: bytes) -> None:
    """Not UTF-8 is closed with 1007, too large with 1009; then a new connection."""
    codes: list[int | None] = []
    async with scripted_exchange(max_size=None) as exchange:
        serving = exchange.serve

        async def noting(peer: ServerConnection) -> None:
            await serving(peer)
            codes.append(peer.close_code)

        async with serve(noting, "127.0.0.1", 0) as server:
            url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
            async with following(url) as follower:
                await follower.tick_of("btc_usd")
                await exchange.peers[0].send(frame, text=True)
                await follower.until(lambda: exchange.connections == 2 and len(follower.ticks) == 2)
    assert codes[0] in ({1007} if len(frame) < 10 else {1009})


def _burn(until: float) -> None:
    while time.monotonic() < until:
        pass


async def test_fault_5_a_test_request_is_answered_within_a_second_at_full_load() -> None:
    """Both cores burn and thousands of notifications wait to be read: the sign of life goes ahead of all."""
    burners = [
        multiprocessing.get_context("spawn").Process(target=_burn, args=(time.monotonic() + 20,)) for _ in range(2)
    ]
    for burner in burners:
        burner.start()
    try:
        async with scripted_exchange() as exchange, following(exchange.url, timeouts=Timeouts()) as follower:
            await follower.tick_of("btc_usd")
            params = {"channel": "deribit_price_index.btc_usd", "data": {"timestamp": exchange.stamp, "price": 5.5}}
            params["data"]["index_name"] = "btc_usd"  # type: ignore[index]
            flood = json.dumps({"jsonrpc": "2.0", "method": "subscription", "params": params})
            took: list[float] = []
            for _ in range(5):
                for _ in range(2000):
                    await exchange.say(flood)
                started, before = time.monotonic(), len(exchange.requests_of("public/test"))
                await exchange.say('{"params":{"type":"test_request"},"method":"heartbeat","jsonrpc":"2.0"}')
                await follower.until(lambda seen=before: len(exchange.requests_of("public/test")) > seen)  # type: ignore[misc]
                took.append(time.monotonic() - started)
            assert statistics.median(took) < 1.0
            assert exchange.connections == 1
    finally:
        for burner in burners:
            burner.kill()
            burner.join()


def test_the_numbers_in_earnest_keep_the_promises() -> None:
    """A half-open connection ends within ten seconds; a refused client makes at most six attempts a minute."""
    timeouts = Timeouts()
    assert timeouts.silence + timeouts.probe + 2 * timeouts.check < 10
    assert 60 / timeouts.refused <= 6
    assert QUICK.silence < timeouts.silence
