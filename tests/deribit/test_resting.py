"""An announced rest of the exchange is not treated as a failure, and is shown with its reason."""

from dataclasses import replace

import anyio
import pytest

from cryptomarket.deribit.auth import Credentials, Secret
from cryptomarket.model import InstrumentChanged, Upstream, UpstreamState

from .following import QUICK, WATCHFUL, Clock, Follower, following
from .scripted import SILENT, Refuse, Scripted, scripted_exchange

LIVE, CONNECTING, STALE, DOWN = (
    UpstreamState.LIVE,
    UpstreamState.CONNECTING,
    UpstreamState.STALE,
    UpstreamState.DOWN,
)
BTC = "deribit_price_index.btc_usd"


def last(follower: Follower) -> Upstream:
    return [m for m in follower.messages if isinstance(m, Upstream)][-1]


#: Silence of a channel is noticed at once, on a clock that tests set forward; probes have a long timeout.
NOTICING = replace(WATCHFUL, probe=20, starvation=20)


async def silence(exchange: Scripted, follower: Follower, clock: Clock) -> None:
    """Two minutes without any frame, far beyond any timeout; each ends with a probe."""
    for _ in range(2):
        before = len(exchange.requests_of("public/test"))
        await follower.until(lambda: follower.deribit_client.session.protocol.in_flight == 0)
        clock.jump(60)
        await follower.until(lambda seen=before: len(exchange.requests_of("public/test")) > seen)  # type: ignore[misc]
    assert exchange.peers


async def test_maintenance_is_shown_as_such_and_nothing_is_asked_again() -> None:
    """The connection stays open, no channel is subscribed again, and prices make it live again."""
    options = {"timeouts": NOTICING, "monotonic": (clock := Clock())}
    async with scripted_exchange() as exchange, following(exchange.url, **options) as follower:
        await follower.tick_of("btc_usd")
        await exchange.notify("platform_state", {"maintenance": True})
        await follower.until(lambda: last(follower).state is STALE)
        assert last(follower).reason == "the exchange is in maintenance"
        await silence(exchange, follower, clock)
        assert exchange.requests_of("public/unsubscribe") == []
        assert exchange.connections == 1
        await exchange.notify("platform_state", {"maintenance": False})
        await exchange.price(BTC)
        await follower.until(lambda: last(follower).state is LIVE)


async def test_maintenance_that_is_announced_late_ends_no_connection() -> None:
    """Channels that were already subscribed again before the announcement do not end the connection."""
    options = {"timeouts": NOTICING, "monotonic": (clock := Clock())}
    async with scripted_exchange() as exchange:
        async with following(exchange.url, **options) as follower:
            await follower.tick_of("btc_usd")
            exchange.first_values = False
            await follower.until(lambda: len(exchange.requests_of("public/subscribe")) == 2)
            await exchange.notify("platform_state", {"maintenance": True})
            await follower.until(lambda: last(follower).state is STALE)
            await silence(exchange, follower, clock)
        assert exchange.connections == 1


async def test_a_disconnect_during_maintenance_is_explained_by_it() -> None:
    """Until prices arrive again the reason is the announcement, not the broken connection."""
    async with scripted_exchange() as exchange, following(exchange.url) as follower:
        await follower.tick_of("btc_usd")
        await exchange.notify("platform_state", {"maintenance": True})
        await follower.until(lambda: last(follower).state is STALE)

        def away(_: object) -> None:
            raise Refuse(11051, "system_maintenance")

        hello, exchange.answers["public/hello"] = exchange.answers["public/hello"], away
        await exchange.peers[0].close(1001)
        await follower.until(lambda: last(follower).state is DOWN)
        assert last(follower).reason.startswith("the exchange is in maintenance")
        exchange.answers["public/hello"] = hello
        await follower.until(lambda: last(follower).state is LIVE)


@pytest.mark.parametrize("locked", ["btc_usd", "sol_usdc"])
async def test_a_lock_counts_for_those_who_follow_the_index(locked: str) -> None:
    """The lock of a followed index is published; the lock of another one is not."""
    options = {"timeouts": NOTICING, "monotonic": (clock := Clock())}
    async with scripted_exchange() as exchange, following(exchange.url, **options) as follower:
        await follower.tick_of("btc_usd")
        await exchange.notify("platform_state", {"price_index": locked, "locked": True})
        if locked == "btc_usd":
            await follower.until(lambda: last(follower).reason == "locked by the exchange: btc_usd")
            await silence(exchange, follower, clock)
            assert exchange.requests_of("public/unsubscribe") == []
        else:
            await anyio.sleep(0.1)
            assert last(follower).state is LIVE


async def test_the_lock_of_an_index_counts_for_its_instruments() -> None:
    """Their silence is explained: the reason names the lock, nothing is subscribed again, the connection stays."""
    options = {"timeouts": NOTICING, "monotonic": (clock := Clock()), "price_index": {"BTC-PERPETUAL": "btc_usd"}.get}
    async with scripted_exchange() as exchange, following(exchange.url, "BTC-PERPETUAL", **options) as follower:
        await follower.tick_of("BTC-PERPETUAL")
        await exchange.notify("platform_state", {"price_index": "btc_usd", "locked": True, "reasons": []})
        await follower.until(lambda: last(follower).state is STALE)
        assert last(follower).reason == "locked by the exchange: btc_usd (index of BTC-PERPETUAL)"
        assert follower.deribit_client.rests("BTC-PERPETUAL")
        await silence(exchange, follower, clock)
        assert exchange.requests_of("public/unsubscribe") == []
        assert exchange.connections == 1
        await exchange.notify("platform_state", {"price_index": "btc_usd", "locked": False})
        await exchange.price("ticker.BTC-PERPETUAL.100ms")
        await follower.until(lambda: last(follower).state is LIVE)


async def test_an_exchange_without_the_channel_of_creations_is_no_worse(capsys: pytest.CaptureFixture[str]) -> None:
    """It leaves the channel out of its answer: no gap and no log line; it is requested again with growing pauses."""
    options = {"timeouts": NOTICING, "monotonic": (clock := Clock())}
    async with scripted_exchange() as exchange:
        exchange.answers["public/subscribe"] = lambda params: exchange.accept(
            c for c in params["channels"] if not c.startswith("instrument.creation")
        )

        def requested() -> int:
            return sum(
                "instrument.creation.any.any" in params["channels"]
                for params in exchange.requests_of("public/subscribe")
            )

        async with following(exchange.url, **options) as follower:
            await follower.tick_of("btc_usd")
            capsys.readouterr()
            for times in (2, 3):
                clock.jump(60 * times)
                await follower.until(lambda seen=times: requested() == seen)  # type: ignore[misc]
                # A request that is open during a jump would count as unanswered.
                await follower.until(lambda: not follower.deribit_client.session.protocol.in_flight)
            await exchange.price(BTC)
            await follower.tick_of("btc_usd")
            assert follower.gaps == []
            assert last(follower).state is LIVE
            assert follower.deribit_client.statistics().refused == []
    assert "warning" not in capsys.readouterr().out


async def test_a_settling_instrument_rests() -> None:
    """The state in its own ticker shows the rest; the next open state ends it."""
    options = {"timeouts": NOTICING, "monotonic": (clock := Clock())}
    async with scripted_exchange() as exchange, following(exchange.url, "BTC-PERPETUAL", **options) as follower:
        await follower.tick_of("BTC-PERPETUAL")
        data = {"timestamp": exchange.stamp, "instrument_name": "BTC-PERPETUAL", "mark_price": 5, "state": "settlement"}
        await exchange.notify("ticker.BTC-PERPETUAL.100ms", data)
        await follower.until(lambda: last(follower).state is STALE)
        assert "BTC-PERPETUAL (settlement)" in last(follower).reason
        await silence(exchange, follower, clock)
        assert exchange.requests_of("public/unsubscribe") == []
        await exchange.notify("ticker.BTC-PERPETUAL.100ms", {**data, "state": "open"})
        await follower.until(lambda: last(follower).state is LIVE)


async def test_an_instrument_that_appears_is_asked_for_again() -> None:
    """A refused ticker is subscribed again when instrument.state announces it."""
    async with scripted_exchange() as exchange:
        exchange.answers["public/subscribe"] = lambda params: exchange.accept(
            c for c in params["channels"] if "BTC-1JAN30" not in c
        )
        async with following(exchange.url, "BTC-1JAN30", "btc_usd") as follower:
            await follower.until(lambda: follower.gaps == ["BTC-1JAN30"])
            exchange.answers["public/subscribe"] = lambda params: exchange.accept(params["channels"])
            change = {"timestamp": 1, "instrument_name": "BTC-1JAN30", "state": "created"}
            await exchange.notify("instrument.state.any.any", change)
            await follower.until(lambda: follower.ticks_of("BTC-1JAN30"))
    assert [m for m in follower.messages if isinstance(m, InstrumentChanged)] == [InstrumentChanged("BTC-1JAN30", True)]


async def test_unauthenticated_requests_switched_off_is_said() -> None:
    """A client without credentials receives no prices then; the reason shows what to do."""
    async with scripted_exchange() as exchange, following(exchange.url) as follower:
        await follower.tick_of("btc_usd")
        state = {"allow_unauthenticated_public_requests": False}
        await exchange.notify("platform_state.public_methods_state", state)
        await follower.until(lambda: "only authenticated requests" in last(follower).reason)


async def test_an_exchange_that_answers_but_sends_no_price_is_left_in_the_end() -> None:
    """When subscribing again brings no price, the connection is replaced."""
    timeouts = replace(WATCHFUL, probe=20, starvation=1.5)
    async with scripted_exchange() as exchange, following(exchange.url, timeouts=timeouts) as follower:
        await follower.tick_of("btc_usd")
        exchange.first_values = False
        await follower.until(lambda: exchange.connections >= 2)
        assert exchange.requests_of("public/unsubscribe")


async def test_a_login_that_never_answers_keeps_no_price_waiting() -> None:
    """Prices arrive without a login, and the login is tried again later."""
    key = Credentials("demo", Secret("demo-secret"))
    async with scripted_exchange() as exchange:
        exchange.answers["public/auth"] = lambda _: SILENT
        async with following(exchange.url, credentials=key, timeouts=replace(QUICK, greeting=0.3)) as follower:
            await follower.tick_of("btc_usd")
            assert follower.deribit_client.statistics().degraded is True


async def test_a_wider_grant_than_asked_for_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """A grant of rights to write is logged."""
    key = Credentials("demo", Secret("demo-secret"))
    async with scripted_exchange() as exchange:
        exchange.answers["public/auth"] = lambda params: {
            **exchange.auth(params),
            "scope": "account:read trade:read_write",
        }
        async with following(exchange.url, credentials=key) as follower:
            await follower.tick_of("btc_usd")
    assert "more than reading: trade:read_write" in capsys.readouterr().out
