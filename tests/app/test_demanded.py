"""One reader's wish is its own affair: what a stream asks for changes neither readiness nor what others are told."""

from pathlib import Path

import anyio

from cryptomarket.model import UpstreamState
from cryptomarket.simulator.exchange import Exchange, running_exchange
from tests.app.test_tickers import running_gateway
from tests.reader import reading


def instruments(exchange: Exchange, count: int) -> list[str]:
    """Names of options that the simulator offers."""
    names = exchange.state.market.instruments(exchange.state.now_ms())
    return sorted(name for name in names if name.startswith("BTC-") and name.endswith("-C"))[:count]


async def test_a_quiet_and_an_ended_instrument_make_nobody_stale(tmp_path: Path) -> None:
    """They were streamed, then fall silent for longer than any rhythm; the visitor of `btc_usd` notices nothing."""
    async with running_exchange() as exchange, running_gateway(tmp_path, exchange, "btc_usd") as (gateway, client):
        quiet, ending, silent = instruments(exchange, 3)
        exchange.inject("stall", f"ticker.{silent}.*")
        async with (
            reading(str(client.base_url.join("/sse/?timer=0&channels=btc_usd"))) as visitor,
            reading(str(client.base_url.join(f"/sse/?timer=0&channels={quiet},{ending},{silent},btc_usd"))) as asked,
        ):
            await asked.next(quiet)
            await asked.next(ending)
            exchange.inject("stall", f"ticker.{quiet}.*")
            exchange.inject("expire", ending)
            states: list[str] = []

            async def read() -> None:
                while True:
                    if '"kind":"upstream"' in (data := (await visitor.next("connection")).data):
                        states.append(data)

            with anyio.fail_after(60):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(read)
                    while min(gateway.latest.ages([quiet, ending]).values()) < 4_500:  # longer than any rhythm
                        assert (await client.get("/readyz")).status_code == 200
                        assert gateway.latest.upstream().state is UpstreamState.LIVE
                        await anyio.sleep(0.1)
                    tasks.cancel_scope.cancel()
        assert all('"state":"live"' in data or '"state":"connecting"' in data for data in states)
        assert not any(name in data for data in states for name in (quiet, ending, silent))
        assert quiet not in (await client.get("/metrics")).text
