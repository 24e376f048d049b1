"""The client against the simulated exchange: prices arrive, and arrive again after every failure."""

from decimal import Decimal

import anyio
import pytest

from cryptomarket.deribit.auth import Credentials, GrantType, Secret
from cryptomarket.deribit.client import DeribitClient
from cryptomarket.deribit.protocol import TRANSITIONS, ConnectionState, IllegalTransition, Step
from cryptomarket.model import UpstreamState
from cryptomarket.simulator.exchange import running_exchange

from .following import QUICK, Follower, door_at, following

LIVE, CONNECTING, DOWN = UpstreamState.LIVE, UpstreamState.CONNECTING, UpstreamState.DOWN


async def test_prices_flow_without_credentials() -> None:
    """Public channels need no login."""
    async with (
        running_exchange(time_scale=10) as exchange,
        following(exchange.ws_url, "btc_usd", "eth_usd") as follower,
    ):
        tick = await follower.tick_of("btc_usd")
        await follower.tick_of("eth_usd")
        assert tick.price > 0
        assert isinstance(tick.price, Decimal)
        assert follower.states == [CONNECTING, LIVE]
        assert not follower.deribit_client.authenticated


@pytest.mark.parametrize("grant", list(GrantType))
async def test_logs_in_with_either_grant(grant: GrantType) -> None:
    """The application is authenticated before prices flow."""
    async with running_exchange(time_scale=10) as exchange:
        account = exchange.accounts[0]
        key = Credentials(account.client_id, Secret(account.client_secret))
        async with following(exchange.ws_url, credentials=key, grant_type=grant) as follower:
            await follower.tick_of("btc_usd")
            assert follower.deribit_client.authenticated
            assert follower.deribit_client.statistics().degraded is False


async def test_a_wrong_secret_leaves_prices_flowing_and_says_degraded() -> None:
    """The statistics have one clear problem, no login follows, and every price arrives as before."""
    key = Credentials("demo", Secret("wrong-secret-canary"))
    async with running_exchange(time_scale=10) as exchange, following(exchange.ws_url, credentials=key) as follower:
        await follower.tick_of("btc_usd")
        statistics = follower.deribit_client.statistics()
        assert statistics.degraded is True
        assert "13004" in str(statistics.login)
        assert "canary" not in str(statistics)


async def test_demand_is_followed_and_refusals_are_told() -> None:
    """What a stream asks for is subscribed; what the exchange does not have is a gap."""
    async with running_exchange(time_scale=10) as exchange, following(exchange.ws_url) as follower:
        await follower.tick_of("btc_usd")
        follower.deribit_client.want(["BTC-PERPETUAL", "nope_usd"])
        tick = await follower.tick_of("BTC-PERPETUAL")
        await follower.until(lambda: follower.gaps)
        assert tick.bid is not None
        assert follower.gaps == ["nope_usd"]
        assert follower.deribit_client.statistics().refused == ["nope_usd"]


async def test_a_ticker_that_is_not_wanted_any_more_is_silent_and_unsubscribed() -> None:
    """Its last ticks are not published: they would bring it back to readers that removed it, as a stale ticker."""
    async with running_exchange(time_scale=10) as exchange, following(exchange.ws_url) as follower:
        follower.deribit_client.want(["eth_usd"])
        await follower.tick_of("eth_usd")
        follower.deribit_client.want([])
        start = len(follower.messages)
        for _ in range(5):
            await follower.tick_of("btc_usd")
        assert "eth_usd" not in {tick.ticker for tick in follower.ticks_since(start)}
        subscriptions = follower.deribit_client.subscriptions
        await follower.until(lambda: "deribit_price_index.eth_usd" not in subscriptions.confirmed())


async def test_reconnects_after_the_exchange_drops_us() -> None:
    """A dropped connection is replaced and resubscribed, with configured and wanted tickers."""
    async with running_exchange(time_scale=10) as exchange, following(exchange.ws_url) as follower:
        follower.deribit_client.want(["eth_usd"])
        await follower.tick_of("eth_usd")
        for link in list(exchange.links):
            link.transport.abort()
        await follower.until(lambda: exchange.connections == 2)
        await follower.until(lambda: follower.states[-2:] == [CONNECTING, LIVE])
        await follower.tick_of("btc_usd")
        await follower.tick_of("eth_usd")
        assert exchange.connections == 2


async def test_keeps_trying_without_an_exchange_and_says_so_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Down is one state and one line however many attempts fail, and the line holds the hint."""
    async with following("ws://127.0.0.1:1/ws", hint="try the demo") as follower:
        await follower.until(lambda: DOWN in follower.states)
        attempts = follower.deribit_client.attempts
        await follower.until(lambda: attempts.wait(0) == 0 and len(attempts) >= 3)
        assert follower.states == [CONNECTING, DOWN]
    lines = [line for line in capsys.readouterr().out.splitlines() if "down" in line]
    assert len(lines) == 1
    assert "try the demo" in lines[0]


async def test_a_bug_in_the_connection_ends_the_program_loudly(monkeypatch: pytest.MonkeyPatch) -> None:
    """An InternalError is no failure of the exchange: it is not classified, retried or hidden."""
    monkeypatch.setitem(TRANSITIONS, (ConnectionState.GREETING, Step.SET_HEARTBEAT), ConnectionState.CLOSED)
    async with running_exchange() as exchange:
        with pytest.raises(BaseExceptionGroup) as caught:
            async with following(exchange.ws_url):
                await anyio.sleep(30)
        assert caught.group_contains(IllegalTransition)


async def test_d4_without_tickers_a_connection_is_live() -> None:
    """Nothing is wanted and the exchange has confirmed its own channels; the first stream's ticker then arrives."""
    async with running_exchange() as exchange:
        follower = Follower()
        client = DeribitClient(door_at(exchange.ws_url), tickers=(), publish=follower.receive, timeouts=QUICK)
        async with anyio.create_task_group() as tasks:
            await tasks.start(client.run)
            await follower.until(lambda: UpstreamState.LIVE in follower.states)
            assert follower.ticks == []
            exchange.inject("drop")
            await follower.until(lambda: follower.states.count(UpstreamState.LIVE) == 2)
            assert UpstreamState.DOWN not in follower.states
            client.want(["sol_usd"])
            await follower.tick_of("sol_usd")
            tasks.cancel_scope.cancel()


async def test_an_announcement_outlives_its_connection() -> None:
    """In maintenance connections are dropped and new ones say nothing: it still holds, until prices arrive."""
    async with running_exchange() as exchange, following(exchange.ws_url) as follower:
        client = follower.deribit_client
        await follower.tick_of("btc_usd")
        assert not client.rests("btc_usd")
        exchange.inject("refuse_connections")
        exchange.inject("maintenance")
        await follower.until(lambda: client.rests("btc_usd") and follower.states[-1] is not UpstreamState.LIVE)
        await follower.until(lambda: UpstreamState.DOWN in follower.states)
        assert client.rests("btc_usd")
        exchange.inject("maintenance", "off")
        exchange.inject("refuse_connections", "off")
        await follower.tick_of("btc_usd")
        assert not client.rests("btc_usd")
