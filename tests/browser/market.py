"""A market that moves while a test looks at the page."""

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

__all__ = ["moving_site", "past"]


def past(ticker: str, middle: int, hours: float = 25, hole: tuple[int, int] = (2400, 1800)) -> list[Price]:
    """Prices of the hours before now, with a hole that lies so many seconds back."""
    now = int(time.time()) // 60 * 60
    walk = random.Random(ticker)
    found, price = [], float(middle)
    for i in range(int(hours * 60), 0, -1):
        price += walk.gauss(0, middle / 4000) + math.sin(i / 90) * middle / 30_000
        slot = now - i * 60
        if not hole[0] > now - slot > hole[1]:
            found.append(Price(ticker, slot, Decimal(f"{price:.2f}"), slot * 1000 + 59_123, epoch=1))
    return found


@contextlib.asynccontextmanager
async def moving_site(
    folder: Path, *, seconds: float = 0.1, interval: int = 60, hours: float = 25, **options: Any
) -> AsyncIterator[Site]:
    """A site with a day of history, and a recorded tick of each ticker every tenth of a second until the block ends."""
    stored = {"btc_usd": past("btc_usd", 64_250, hours), "eth_usd": past("eth_usd", 3_120, hours)}
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
                        prices[ticker] += Decimal(walk.randint(-400, 410)) / 100
                        site.tick(ticker, f"{prices[ticker]:.2f}")
                    await anyio.sleep(seconds)

        site.upstream(UpstreamState.LIVE)
        async with anyio.create_task_group() as tasks:
            await tasks.start(recorder.run)
            tasks.start_soon(move)
            yield site
            tasks.cancel_scope.cancel()
