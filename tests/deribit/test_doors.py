"""The client at the doors of the exchange: what each host of prices is asked, and what keeps its connection open."""

import json
import time
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from structlog.testing import capture_logs

from cryptomarket.deribit.application_login import ApplicationLogin
from cryptomarket.deribit.auth import Credentials, Secret
from cryptomarket.deribit.connection_failures import MinimumPause, classify
from cryptomarket.deribit.doors import DOORS, Door
from cryptomarket.deribit.error_codes import Action
from cryptomarket.deribit.protocol import Purpose
from cryptomarket.deribit.rate_limit import RateLimiter
from cryptomarket.deribit.session import ExchangeSession
from cryptomarket.deribit.subscriptions import Subscriptions
from cryptomarket.deribit.watchdog import LivenessProbe
from cryptomarket.errors import WrongHost
from cryptomarket.model import Upstream, UpstreamState
from cryptomarket.simulator.exchange import running_exchange
from cryptomarket.statements.coinbase import COINBASE_SILENCE_SECONDS
from cryptomarket.statements.connection import SHORTEST_HEARTBEAT

from .following import QUICK, Clock, Noting, door_at, following
from .scripted import Answer, Refuse, Scripted, refuse, scripted_exchange

KEY = Credentials("demo", Secret("secret-canary"))


def methods(exchange: Scripted) -> list[str]:
    """What was asked so far, in order."""
    return [method for method, _ in exchange.requests]


async def test_the_streams_host_of_coinbase_is_neither_greeted_nor_logged_in_to() -> None:
    """Heartbeats first, at the interval of the door, then channels of ten a second; the key is reported as unused."""
    async with scripted_exchange() as exchange:
        door = door_at(exchange.url, "coinbase")
        async with following(door, "BTC_USDC-PERPETUAL", credentials=KEY, raw=True) as follower:
            await follower.tick_of("BTC_USDC-PERPETUAL")
            client = follower.deribit_client
            assert methods(exchange)[:2] == ["public/set_heartbeat", "public/subscribe"]
            assert exchange.requests_of("public/set_heartbeat") == [{"interval": DOORS["coinbase"].heartbeat_seconds}]
            assert "ticker.BTC_USDC-PERPETUAL.100ms" in exchange.subscribed
            assert not any(channel.endswith(".raw") for channel in exchange.subscribed)
            assert client.statistics().degraded
            assert "the door coinbase takes no key" in client.login.problem
            assert client.session.alive
    assert "public/auth" not in methods(exchange)


async def test_prices_flow_from_the_streams_host_at_the_door_of_deribit() -> None:
    """Its address alone is enough: that hello and login are refused costs the login, not the prices."""
    async with scripted_exchange() as exchange:
        exchange.answers |= {"public/hello": refuse, "public/auth": refuse}
        async with following(exchange.url, credentials=KEY) as follower:
            await follower.tick_of("btc_usd")
            assert "-32601" in follower.deribit_client.login.problem


class Alone:
    """A session without a socket, at a time that the test sets; every request is answered at once."""

    def __init__(self, door: str, *tickers: str) -> None:
        self.now = 1000.0
        self.sent: list[float] = []
        login, subscriptions = ApplicationLogin(None, exchange_time=time.time), Subscriptions(tickers)
        self.session = ExchangeSession(DOORS[door], subscriptions, login, RateLimiter(), monotonic=lambda: self.now)
        self.session.start()
        self.send()

    def send(self) -> None:
        """Send what is due."""
        self.session.check_timers()
        for outgoing in self.session.outgoing():
            if found := self.session.request_for(outgoing):
                self.sent.append(self.now)
                result = found[0].params.get("channels")
                self.session.receive(json.dumps({"jsonrpc": "2.0", "id": found[0].id, "result": result}))

    def hear(self, method: str, params: dict[str, Any]) -> None:
        """A notification of the exchange."""
        self.session.receive(json.dumps({"jsonrpc": "2.0", "method": method, "params": params}))


@pytest.mark.parametrize("door", DOORS)
def test_a_client_that_is_only_sent_prices_speaks_every_15_seconds(door: str) -> None:
    """At every door: an exchange that hears nothing for 30 s closes the connection, however much it sends."""
    alone = Alone(door, "btc_usd")
    data = {"timestamp": 1_790_755_218_559, "price": 100.5, "index_name": "btc_usd"}
    for _ in range(4 * 120):
        alone.now += 0.25
        alone.hear("subscription", {"channel": "deribit_price_index.btc_usd", "data": data})
        alone.send()
    assert alone.sent[-1] > 1100
    assert max(later - earlier for earlier, later in pairwise(alone.sent)) < 16


def test_answers_to_heartbeats_count_as_requests_of_ours() -> None:
    """Where the exchange asks for signs of life soon enough, nothing is sent unasked."""
    alone = Alone("coinbase")
    alone.send()
    started = len(alone.sent)
    for _ in range(40):
        alone.now += 4.0
        alone.hear("heartbeat", {"type": "test_request"})
        assert len(alone.session.replies()) == 1
        alone.hear("heartbeat", {"type": "heartbeat"})
        alone.session.check_timers()
        assert [outgoing.purpose for outgoing in alone.session.outgoing()].count(Purpose.PROBE) == 0
    assert len(alone.sent) == started


def test_only_one_unasked_request_is_open_at_a_time() -> None:
    """Silence of either side makes one due, and none follows before it is answered."""
    probe = LivenessProbe(5.0, 15.0, 3.0, 0.0)
    probe.frame_received(14.0)
    assert not probe.due(14.9)
    assert probe.due(15.0)
    probe.request_sent(15.0)
    probe.frame_received(15.0)
    assert not probe.due(31.0)
    probe.answered()
    assert probe.due(31.0)


async def test_an_unasked_request_goes_over_the_socket() -> None:
    """It is a `public/test`, and its answer keeps the connection: pings of the WebSocket would not count."""
    clock, timeouts = Clock(), replace(QUICK, silence=1000, first=1000, starvation=1000)
    async with (
        scripted_exchange() as exchange,
        following(exchange.url, monotonic=clock, timeouts=timeouts) as follower,
    ):
        await follower.tick_of("btc_usd")
        for times in (1, 2, 3):
            clock.jump(DOORS["deribit"].silence_seconds)
            await follower.until(lambda: len(exchange.requests_of("public/test")) == times)  # noqa: B023
            await follower.until(lambda: not follower.deribit_client.session.protocol.in_flight)
        assert follower.deribit_client.statistics().connections == 1


@pytest.mark.parametrize(("door", "slowed"), [("coinbase", True), ("deribit", False)])
async def test_a_door_that_only_hangs_up_is_asked_less(door: str, slowed: bool) -> None:
    """Coinbase tells of too many requests by the end of the connection; at other doors that says nothing of limits."""

    async def hang_up(method: str, _params: dict[str, Any]) -> None:
        if method == "public/subscribe" and exchange.connections <= 3:
            for peer in exchange.peers:
                peer.transport.abort()

    async with scripted_exchange() as exchange:
        exchange.before_answer = hang_up
        async with following(door_at(exchange.url, door)) as follower:
            await follower.tick_of("btc_usd")
            assert exchange.connections == 4
            assert ("100%" not in repr(follower.deribit_client.budget)) == slowed


async def test_the_wait_of_too_many_requests_is_kept_before_the_next_connection() -> None:
    """10028 ends the connection, and its answer may say for how long."""
    clock = Clock()
    async with scripted_exchange() as exchange:

        def refuse_once(params: dict[str, Any]) -> Any:
            if exchange.connections == 1:
                raise Refuse(10028, "too_many_requests", {"retry_after_ms": 700})
            return exchange.accept(params["channels"])

        exchange.answers["public/subscribe"] = refuse_once
        started = clock()
        async with following(exchange.url) as follower:
            await follower.tick_of("btc_usd")
            assert clock() - started >= 0.7
            assert exchange.connections == 2


#: Only the silence of our own ends a connection: no heartbeat asks for a sign of life, no silence is noticed.
PATIENT = replace(QUICK, silence=10_000, first=10_000, rhythm=10_000, starvation=10_000)


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
def test_the_numbers_of_a_door_agree_with_what_is_known(door: Door) -> None:
    """Two requests of ours fit into the silence that ends a connection, and no heartbeat is refused."""
    assert 2 * door.silence_seconds <= COINBASE_SILENCE_SECONDS.value
    assert door.heartbeat_seconds >= SHORTEST_HEARTBEAT.value


@pytest.mark.parametrize("like", ["coinbase", "deribit"])
async def test_the_streams_host_of_coinbase_is_followed_beyond_30_seconds(like: str) -> None:
    """The simulated host, which closes a silent connection with 1011, keeps ours for two minutes of a jumping clock.

    So it does when it was only given as an address, at the door of Deribit.
    """
    clock, budget = Clock(), Noting(time_scale=1)
    async with running_exchange(door="coinbase-streams", time_scale=10, monotonic=clock) as exchange:
        door = replace(door_at(exchange.ws_url, like), heartbeat_seconds=3600)
        tickers, options = ("BTC_USDC-PERPETUAL", "btc_usdc"), {"budget": budget, "timeouts": PATIENT}
        async with following(door, *tickers, monotonic=clock, **options) as follower:
            for ticker in tickers:
                await follower.tick_of(ticker)
            for _ in range(8):
                sent = len(budget.taken)
                clock.jump(door.silence_seconds)
                await follower.until(lambda: len(budget.taken) > sent)  # noqa: B023
                await follower.until(lambda: not follower.deribit_client.session.protocol.in_flight)
            for ticker in tickers:
                await follower.tick_of(ticker)
            assert follower.deribit_client.statistics().connections == 1
            assert follower.states == [UpstreamState.CONNECTING, UpstreamState.LIVE]


async def test_the_close_of_a_silent_connection_is_explained() -> None:
    """What happens to a client that only listens: the reason of the state says it."""
    clock = Clock()
    async with running_exchange(door="coinbase-streams", time_scale=10, monotonic=clock) as exchange:
        door = replace(door_at(exchange.ws_url, "coinbase"), heartbeat_seconds=3600, silence_seconds=10_000)
        async with following(door, "btc_usdc", monotonic=clock, timeouts=PATIENT) as follower:
            await follower.tick_of("btc_usdc")
            clock.jump(31.0)
            await follower.until(lambda: follower.states.count(UpstreamState.LIVE) == 2)
            (reason,) = {message.reason for message in follower.messages if isinstance(message, Upstream)} - {""}
            assert "(1011): it failed, or heard no request of ours for too long" in reason


async def test_the_main_host_of_coinbase_is_the_wrong_one_for_prices() -> None:
    """The simulated host takes calls of persons and refuses to subscribe; at either door the state says so."""
    async with running_exchange(door="coinbase-main") as exchange:
        for like in ("coinbase", "deribit"):
            async with following(door_at(exchange.ws_url, like), "btc_usdc") as follower:
                await follower.until(lambda: UpstreamState.DOWN in follower.states)
                assert "wrong host?" in follower.deribit_client.statistics().reason


async def test_the_simulated_streams_host_works_at_the_door_of_deribit() -> None:
    """Hello and login are refused there, and prices flow all the same."""
    async with (
        running_exchange(door="coinbase-streams", time_scale=10) as exchange,
        following(exchange.ws_url, "btc_usdc", credentials=KEY, raw=True) as follower,
    ):
        await follower.tick_of("btc_usdc")
        assert "this host takes no key, see CRYPTOMARKET_EXCHANGE" in follower.deribit_client.login.problem


REFUSALS: dict[str, Answer] = {"by an error": refuse, "by an empty answer": lambda _: []}


@pytest.mark.parametrize("how", REFUSALS)
async def test_a_host_that_refuses_every_channel_is_down_as_the_wrong_host(how: str) -> None:
    """The state names the host once, each ticker is a gap once, and the host is left alone for minutes."""
    with capture_logs() as logs:
        async with scripted_exchange() as exchange:
            exchange.answers["public/subscribe"] = REFUSALS[how]
            timeouts = replace(QUICK, stopped=0.3)
            async with following(exchange.url, "btc_usd", "BTC-PERPETUAL", timeouts=timeouts) as follower:
                await follower.until(lambda: len(exchange.requests_of("public/subscribe")) == 3)
                assert exchange.connections == 3  # no request is split, none is repeated
                assert follower.states == [UpstreamState.CONNECTING, UpstreamState.DOWN]
                reason = follower.deribit_client.statistics().reason
                assert reason.startswith("127.0.0.1 sends no prices: wrong host?")
                assert sorted(follower.gaps) == ["BTC-PERPETUAL", "btc_usd"]
                exchange.answers["public/subscribe"] = lambda params: exchange.accept(params["channels"])
                await follower.tick_of("btc_usd")
                assert follower.states[-1] is UpstreamState.LIVE
    assert [line["state"] for line in logs if line["event"] == "upstream state changed"] == [
        "connecting",
        "down",
        "live",
    ]


async def test_the_pause_before_the_wrong_host_is_asked_again_is_long() -> None:
    """As for anything that the operator must mend: not at the pace of a network that fails."""
    failure = classify(WrongHost("drb.coinbase.com"))
    assert (failure.action, failure.pause) == (Action.STOP, MinimumPause.STOPPED)
    assert "drb.coinbase.com" in failure.reason


async def test_names_that_are_all_wrong_are_no_wrong_host() -> None:
    """The exchange's own channels are confirmed, so the names are at fault, which another check says."""
    async with scripted_exchange() as exchange:
        exchange.answers["public/subscribe"] = lambda params: exchange.accept(
            [channel for channel in params["channels"] if "nope" not in channel]
        )
        async with following(exchange.url, "nope_usd") as follower:
            await follower.until(lambda: follower.gaps)
            await follower.until(lambda: len(exchange.requests_of("public/test")) > 1)
            assert follower.states == [UpstreamState.CONNECTING]
            assert follower.deribit_client.statistics().connections == 1


async def test_a_host_that_stops_to_subscribe_keeps_what_is_subscribed() -> None:
    """A refusal of what a stream asks for later does not end the connection that has prices."""
    async with scripted_exchange() as exchange, following(exchange.url) as follower:
        await follower.tick_of("btc_usd")
        exchange.answers["public/subscribe"] = refuse
        follower.deribit_client.want(["eth_usd"])
        await follower.until(lambda: follower.gaps == ["eth_usd"])
        await exchange.price("deribit_price_index.btc_usd")
        assert follower.deribit_client.statistics().connections == 1
        assert follower.states[-1] is UpstreamState.LIVE
