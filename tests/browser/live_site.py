"""A site with a day of stored history and prices that change while a test looks at its pages."""

import contextlib
import math
import random
import time
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio

from cryptomarket.history.recorder import Recorder
from cryptomarket.model import Price, UpstreamState
from tests.web.site import Site, running_site

__all__ = ["live_site", "price_history"]


def price_history(ticker: str, start: int, hours: float = 25, gap: tuple[int, int] = (2400, 1800)) -> list[Price]:
    """One price a minute up to now, a random walk from ``start``, with a gap between two ages in seconds."""
    now = int(time.time()) // 60 * 60
    walk = random.Random(ticker)
    rows, price = [], float(start)
    for i in range(int(hours * 60), 0, -1):
        price += walk.gauss(0, start / 4000) + math.sin(i / 90) * start / 30_000
        slot = now - i * 60
        if not gap[0] > now - slot > gap[1]:
            rows.append(Price(ticker, slot, Decimal(f"{price:.2f}"), slot * 1000 + 59_123, epoch=1))
    return rows


@contextlib.asynccontextmanager
async def live_site(
    folder: Path, *, seconds: float = 0.1, interval: int = 60, hours: float = 25, **options: Any
) -> AsyncIterator[Site]:
    """A site with history whose tickers have a tick every ``seconds``, recorded, until the block ends."""
    stored = {"btc_usd": price_history("btc_usd", 64_250, hours), "eth_usd": price_history("eth_usd", 3_120, hours)}
    async with running_site(
        folder, [*stored["btc_usd"], *stored["eth_usd"]], live=True, interval=interval, **options
    ) as site:
        recorder = Recorder(site.store, interval=interval, epoch=site.bus.epoch)
        site.bus.subscribe(recorder.on_message)
        site.counters["recorder"] = recorder.statistics

        async def move() -> None:
            walk = random.Random(1)
            prices = {ticker: rows[-1].price for ticker, rows in stored.items()}
            with site.market:
                while True:
                    for ticker in prices:
                        prices[ticker] *= 1 + Decimal(walk.randint(-60, 62)) / 1_000_000
                        site.tick(ticker, f"{prices[ticker]:.2f}")
                    await anyio.sleep(seconds)

        site.upstream(UpstreamState.LIVE)
        async with anyio.create_task_group() as tasks:
            await tasks.start(recorder.run)
            tasks.start_soon(move)
            yield site
            tasks.cancel_scope.cancel()
