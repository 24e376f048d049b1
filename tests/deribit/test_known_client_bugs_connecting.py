"""One test per bug thread of other clients, numbered as in our study of them: those about the connection.

The threads belong to cryptofeed, ccxt, nautilus_trader and others; each test is the story of one, and our answer.
"""

import json
import socket
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from cryptography.fernet import Fernet

from cryptomarket.app.leader import exchange_session_of
from cryptomarket.deribit.auth import READ_ONLY_SCOPE, Credentials, Secret
from cryptomarket.model import UpstreamState
from cryptomarket.persons.keyring import Keyring
from cryptomarket.simulator.exchange import Switches, running_exchange

from .following import WATCHFUL, Clock, Follower, following
from .scripted import SILENT, Refuse, Scripted, scripted_exchange

LIVE, CONNECTING, DOWN = UpstreamState.LIVE, UpstreamState.CONNECTING, UpstreamState.DOWN
KEY = Credentials("demo", Secret("demo-secret"))
BTC = "deribit_price_index.btc_usd"
ETH = "deribit_price_index.eth_usd"


async def chatter(exchange: Scripted, follower: Follower, clock: Clock, until: Callable[[], Any]) -> None:
    """Send a bitcoin price and set the clock forward by a tenth of a second, until the condition holds."""
    with anyio.fail_after(30):
        while not until():
            received = follower.ticks_of("btc_usd")
            await exchange.price(BTC)
            await follower.until(lambda seen=received: follower.ticks_of("btc_usd") > seen)  # type: ignore[misc]
            clock.jump(0.1)


async def test_thread_01_refused_raw_channels_fall_back_and_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    """A subscribe refused for its raw channels (13778) costs no price, and a warning is logged."""
    async with scripted_exchange() as exchange:

        def subscribe(params: dict[str, Any]) -> list[str]:
            if any(channel.endswith(".raw") for channel in params["channels"]):
                raise Refuse(13778, "raw_subscriptions_not_available_for_unauthorized")
            return exchange.accept(params["channels"])

        exchange.answers["public/subscribe"] = subscribe
        async with following(exchange.url, "BTC-PERPETUAL", "btc_usd", credentials=KEY, raw=True) as follower:
            await follower.tick_of("BTC-PERPETUAL")
        assert "ticker.BTC-PERPETUAL.100ms" in exchange.subscribed
        for params in exchange.requests_of("public/subscribe"):
            assert len({channel.endswith(".raw") for channel in params["channels"]}) == 1
    assert "13778" in capsys.readouterr().out


async def test_thread_02_too_many_requests_slows_the_reconnects_down() -> None:
    """10028 ends the connection; the next attempt follows after a pause, at half the pace."""
    async with scripted_exchange() as exchange:
        refusals = iter(range(2))
        times: list[float] = []

        def subscribe(params: dict[str, Any]) -> list[str]:
            times.append(anyio.current_time())
            if next(refusals, None) is None:
                return exchange.accept(params["channels"])
            raise Refuse(10028, "too_many_requests")

        exchange.answers["public/subscribe"] = subscribe
        async with following(exchange.url) as follower:
            await follower.tick_of("btc_usd")
            assert follower.states == [CONNECTING, DOWN, LIVE]
            assert "25%" in repr(follower.deribit_client.budget)
        assert exchange.connections == 3
        assert all(later - earlier >= 0.2 for earlier, later in pairwise(times))


async def test_thread_03_many_channels_are_one_request() -> None:
    """The cost is per request: three hundred tickers are one subscribe."""
    async with scripted_exchange() as exchange:
        tickers = [f"coin{number}_usd" for number in range(300)]
        async with following(exchange.url, *tickers) as follower:
            await follower.tick_of("coin299_usd")
        assert len(exchange.requests_of("public/subscribe")) == 1


async def test_thread_04_no_request_is_larger_than_the_exchange_takes() -> None:
    """1,200 long option names go in chunks under 32 kB and 500 channels, and all arrive."""
    async with scripted_exchange(max_size=32_000) as exchange:
        exchange.first_values = False
        tickers = [f"BTC_USDC-30DEC26-{number}d5-C" for number in range(100_000, 101_200)]
        async with following(exchange.url, *tickers) as follower:
            await follower.until(lambda: len(follower.deribit_client.subscriptions.confirmed()) == 1204)
        sizes = [len(params["channels"]) for params in exchange.requests_of("public/subscribe")]
        assert max(sizes) <= 500
        assert all(len(json.dumps(p)) < 32_000 for p in exchange.requests_of("public/subscribe"))


async def test_thread_05_a_ticker_wanted_by_many_is_subscribed_once() -> None:
    """Wanting the same tickers again sends no request."""
    async with scripted_exchange() as exchange, following(exchange.url) as follower:
        await follower.tick_of("btc_usd")
        for _ in range(20):
            follower.deribit_client.want(["eth_usd", "btc_usd", "eth_usd"])
        await follower.tick_of("eth_usd")
        assert exchange.subscribed.count(ETH) == 1
        assert exchange.subscribed.count(BTC) == 1


async def test_thread_06_one_wrong_name_spoils_no_other() -> None:
    """`PAXG-USDC` is refused with the whole request it came in; the others are found by halving."""
    async with scripted_exchange() as exchange:

        def subscribe(params: dict[str, Any]) -> list[str]:
            if any("PAXG-USDC" in channel for channel in params["channels"]):
                raise Refuse(-32602, "Invalid params", {"param": "channels", "reason": "wrong format"})
            return exchange.accept(params["channels"])

        exchange.answers["public/subscribe"] = subscribe
        async with following(exchange.url, "btc_usd", "PAXG-USDC", "PAXG_USDC", "eth_usd") as follower:
            await follower.until(lambda: {t.ticker for t in follower.ticks} == {"btc_usd", "PAXG_USDC", "eth_usd"})
            await follower.until(lambda: follower.gaps == ["PAXG-USDC"])


async def test_thread_07_an_empty_answer_to_subscribe_is_a_refusal() -> None:
    """The exchange omits unknown channels without an error; each is published as a gap, once."""
    async with scripted_exchange() as exchange:
        exchange.answers["public/subscribe"] = lambda _: []
        async with following(exchange.url) as follower:
            await follower.until(lambda: follower.gaps)
            await anyio.sleep(0.1)
            assert follower.gaps == ["btc_usd"]
            assert follower.deribit_client.statistics().refused == ["btc_usd"]


def test_thread_14_two_installations_with_one_key_have_two_session_names() -> None:
    """Equal names would make each refresh invalidate the other's tokens; at each start the name is the same."""
    secret_keys = [Fernet.generate_key().decode() for _ in range(2)]
    names = {
        exchange_session_of(Keyring(lambda key=key: (key,)), "client", database)  # type: ignore[misc]
        for key in secret_keys
        for database in ("localhost/prices", "localhost/staging")
        for _start in range(3)
    }
    assert len(names) == 4


async def test_thread_15_a_price_may_come_before_the_answer_that_allowed_it() -> None:
    """It is delivered, and confirms the subscription if the answer never arrives."""
    async with scripted_exchange() as exchange:

        async def early(method: str, params: dict[str, Any]) -> None:
            if method == "public/subscribe":
                await exchange.price(BTC)

        exchange.before_answer = early
        exchange.answers["public/subscribe"] = lambda _: SILENT
        async with following(exchange.url) as follower:
            await follower.tick_of("btc_usd")
            assert BTC in follower.deribit_client.subscriptions.confirmed()


async def test_thread_16_an_instrument_nobody_announced_is_delivered() -> None:
    """Data needs no entry in a cache of instruments first."""
    async with scripted_exchange() as exchange, following(exchange.url, "NEW_KIND-1JAN30-x") as follower:
        assert (await follower.tick_of("NEW_KIND-1JAN30-x")).price == 100.5


async def test_thread_17_the_first_index_price_after_demand_is_delivered() -> None:
    """Prices of a subscription are published without a further registration."""
    async with running_exchange(time_scale=10) as exchange, following(exchange.ws_url) as follower:
        await follower.tick_of("btc_usd")
        follower.deribit_client.want(["eth_usd"])
        assert (await follower.tick_of("eth_usd")).price > 0


async def test_thread_18_authenticated_is_never_stale() -> None:
    """Between two connections the client is not authenticated, and the next one logs in first."""
    async with scripted_exchange() as exchange, following(exchange.url, credentials=KEY) as follower:
        await follower.tick_of("btc_usd")
        assert follower.deribit_client.authenticated
        opened = anyio.Event()

        async def hesitate(method: str, params: dict[str, Any]) -> None:
            if method == "public/auth":
                await opened.wait()

        exchange.before_answer = hesitate
        for peer in list(exchange.peers):
            await peer.close()
        await follower.until(lambda: len(exchange.requests_of("public/auth")) == 2)
        assert not follower.deribit_client.authenticated
        opened.set()
        await follower.tick_of("btc_usd")
        order = [m for m, _ in exchange.requests if m != "public/test"]
        assert order[4:] == ["public/hello", "public/auth", "public/set_heartbeat", "public/subscribe"]


async def test_thread_19_the_heartbeat_is_set_and_answered_so_that_nobody_hangs_up() -> None:
    """An exchange that closes on an unanswered test_request keeps the connection for many intervals."""
    switches = Switches(test_request_seconds=10)
    async with running_exchange(time_scale=10, switches=switches) as exchange, following(exchange.ws_url) as follower:
        await follower.tick_of("btc_usd")
        (session,) = exchange.sessions
        assert session.heartbeat_seconds == 30

        def answers() -> int:
            return sum(request.method == "public/test" for request in session.requests)

        for _ in range(5):
            before = answers()
            session.ask()
            with anyio.fail_after(30):
                while answers() == before:
                    await follower.tick_of("btc_usd")
        assert exchange.connections == 1


async def test_thread_20_a_name_that_does_not_resolve_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a failure of the resolver the client connects again."""

    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    # The resolver of the machine may be slow to fail.
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    async with following("ws://exchange.invalid/ws/api/v2") as follower:
        await follower.until(lambda: len(follower.deribit_client.attempts) >= 3)
        assert follower.states == [CONNECTING, DOWN]
        assert (
            follower.deribit_client.statistics().reason == "cannot connect: the name of the exchange cannot be resolved"
        )


async def test_thread_21_tokens_are_renewed_before_they_end() -> None:
    """At 80 % of a short life the refresh token is used, on the same connection."""
    async with scripted_exchange() as exchange:
        exchange.answers["public/auth"] = lambda params: {**exchange.auth(params), "expires_in": 1}
        async with following(exchange.url, credentials=KEY) as follower:
            await follower.until(lambda: len(exchange.requests_of("public/auth")) >= 2)
            grants = [params["grant_type"] for params in exchange.requests_of("public/auth")]
            assert grants[:2] == ["client_signature", "refresh_token"]
            assert follower.deribit_client.authenticated
        assert exchange.connections == 1


async def test_thread_22_the_login_names_its_scope() -> None:
    """Without a scope a token is accepted and useless; the login requests its own session and read-only rights."""
    async with scripted_exchange() as exchange, following(exchange.url, credentials=KEY) as follower:
        await follower.tick_of("btc_usd")
        (params,) = exchange.requests_of("public/auth")
        assert params["scope"].startswith("session:cryptomarket ")
        assert params["scope"].endswith(f" {READ_ONLY_SCOPE}")


async def test_thread_25_an_outage_is_said_and_not_hidden() -> None:
    """An outage is published as a change of state between the ticks."""
    async with scripted_exchange() as exchange, following(exchange.url) as follower:
        await follower.tick_of("btc_usd")
        await exchange.peers[0].close(1011)
        await follower.until(lambda: follower.ticks_of("btc_usd") == 2)
        await follower.until(lambda: follower.states[-1] is LIVE)
        assert follower.states == [CONNECTING, LIVE, CONNECTING, LIVE]


async def test_thread_26_a_line_that_looks_open_and_carries_nothing_is_replaced() -> None:
    """Pongs of the WebSocket library still come; answers and data do not."""
    async with scripted_exchange() as exchange, following(exchange.url, timeouts=WATCHFUL) as follower:
        await follower.tick_of("btc_usd")
        exchange.answers["public/test"] = lambda _: SILENT
        await follower.until(lambda: exchange.connections >= 2)
        await follower.until(lambda: follower.states[:4] == [CONNECTING, LIVE, CONNECTING, LIVE])


async def test_thread_27_one_silent_channel_is_subscribed_again_alone() -> None:
    """The other channel keeps ticking on the same connection."""
    clock = Clock()
    options = {"timeouts": replace(WATCHFUL, probe=20), "monotonic": clock}
    async with scripted_exchange() as exchange, following(exchange.url, "btc_usd", "eth_usd", **options) as follower:
        await follower.until(lambda: follower.ticks_of("btc_usd") and follower.ticks_of("eth_usd"))
        await chatter(exchange, follower, clock, lambda: follower.ticks_of("eth_usd") == 2)
        assert exchange.requests_of("public/unsubscribe")[0] == {"channels": [ETH]}
        assert exchange.requests_of("public/subscribe")[1] == {"channels": [ETH]}
        assert exchange.connections == 1


async def test_thread_28_watching_many_tickers_leaves_nothing_behind() -> None:
    """After hundreds of changes of demand only the present one is remembered."""
    async with scripted_exchange() as exchange, following(exchange.url) as follower:
        await follower.tick_of("btc_usd")
        for number in range(300):
            follower.deribit_client.want([f"coin{number}_usd"])
            await anyio.lowlevel.checkpoint()
        await follower.tick_of("coin299_usd")
        subscriptions, session = follower.deribit_client.subscriptions, follower.deribit_client.session
        await follower.until(lambda: len(subscriptions.confirmed()) == 6)
        await follower.until(lambda: session.protocol.in_flight == 0)
        await follower.until(lambda: len(session._channels._watchdog._watches) <= 6)


async def test_thread_29_a_confirmed_channel_that_never_speaks_is_asked_again() -> None:
    """A confirmed channel without data is subscribed again after a deadline of its own."""
    async with scripted_exchange() as exchange:
        exchange.first_values = False
        clock = Clock()
        options = {"timeouts": replace(WATCHFUL, probe=20), "monotonic": clock}
        async with following(exchange.url, "btc_usd", "eth_usd", **options) as follower:
            await follower.until(lambda: BTC in follower.deribit_client.subscriptions.confirmed())
            await chatter(exchange, follower, clock, lambda: exchange.requests_of("public/unsubscribe"))
            exchange.first_values = True
            await chatter(exchange, follower, clock, lambda: follower.ticks_of("eth_usd"))
        assert exchange.requests_of("public/unsubscribe")[0] == {"channels": [ETH]}


async def test_thread_30_a_caller_who_leaves_leaves_nothing_behind() -> None:
    """The place of a call is free once its caller has left, before or after it was sent."""
    async with scripted_exchange() as exchange, following(exchange.url) as follower:
        exchange.answers["public/get_time"] = lambda _: SILENT
        await follower.tick_of("btc_usd")
        for _ in range(5):
            with anyio.move_on_after(0.03):
                await follower.deribit_client.call("public/get_time")
        assert follower.deribit_client.statistics().waiting_calls == 0
