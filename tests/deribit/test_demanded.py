"""What streams want beside the configured tickers must not disturb the connection of all."""

from dataclasses import replace

import anyio

from .following import QUICK, WATCHFUL, following
from .scripted import scripted_exchange

QUIET = "BTC-1JAN99-1-C"


async def test_quiet_instruments_that_streams_want_do_not_end_the_connection() -> None:
    """While the configured index is locked, they are subscribed again in vain; nobody is told anything."""
    timeouts = replace(WATCHFUL, probe=20, starvation=1)
    async with scripted_exchange() as exchange, following(exchange.url, timeouts=timeouts) as follower:
        await follower.tick_of("btc_usd")
        await exchange.notify("platform_state", {"price_index": "btc_usd", "locked": True})
        await follower.until(lambda: len(follower.states) == 3)
        exchange.first_values = False
        follower.deribit_client.want([QUIET, "eth_usd"])
        again = f"ticker.{QUIET}.100ms"
        with anyio.fail_after(30):
            while exchange.subscribed.count(again) < 3:
                await anyio.sleep(0.02)
        await anyio.sleep(1.2)
        assert exchange.connections == 1
        assert [str(state) for state in follower.states] == ["connecting", "live", "stale"]


async def test_unreadable_prices_of_what_streams_want_do_not_end_the_connection() -> None:
    """An instrument of an unknown shape is skipped, however often; of a configured one it ends the connection."""
    async with scripted_exchange() as exchange, following(exchange.url, timeouts=QUICK) as follower:
        await follower.tick_of("btc_usd")
        follower.deribit_client.want([QUIET])
        await follower.until(lambda: f"ticker.{QUIET}.100ms" in exchange.subscribed)
        for _ in range(50):
            await exchange.notify(f"ticker.{QUIET}.100ms", {"mark_price": "strange"})
        await exchange.price("deribit_price_index.btc_usd")
        await follower.until(lambda: follower.ticks_of("btc_usd") == 2)
        assert exchange.connections == 1
        for _ in range(50):
            await exchange.notify("deribit_price_index.btc_usd", {"price": "strange"})
        await follower.until(lambda: exchange.connections == 2)
