"""A process that records, to be killed: one tick a quarter slot, as fast as it can, a line for each slot written.

python -m tests.history.recording URL FIRST_SLOT
"""

import asyncio
import sys
from collections.abc import Sequence
from decimal import Decimal

from cryptomarket.history.candles import MinuteBar
from cryptomarket.history.intervals import MissingReasons
from cryptomarket.history.recorder import Recorder
from cryptomarket.model import Price, Tick
from tests.databases import StoredHistory

__all__ = ["INTERVAL", "price_at"]

INTERVAL = 60
TICKERS = ("btc_usd", "eth_usd")


def price_at(milliseconds: int) -> Decimal:
    """The one true price of a moment."""
    return Decimal(milliseconds % 100_000_007) / 1000


class Telling:
    """A store that says on standard output which slots it has committed."""

    def __init__(self, store: StoredHistory) -> None:
        self._store = store

    async def write_live(
        self, rows: Sequence[Price], epoch: int, *, bars: Sequence[MinuteBar], reasons: MissingReasons
    ) -> bool:
        """Write, then tell."""
        written = await self._store.write_live(rows, epoch, bars=bars, reasons=reasons)
        for slot in sorted({price.timestamp for price in rows}):
            print(slot, flush=True)
        return written


async def main(url: str, first_slot: int) -> None:
    """Record until killed."""
    async with StoredHistory(url) as store:
        await store.migrate()
        epoch = await store.take_epoch()
        now = float(first_slot)
        recorder = Recorder(Telling(store), interval=INTERVAL, epoch=epoch, monotonic=lambda: now)
        while True:
            for ticker in TICKERS:
                milliseconds = int(now * 1000)
                recorder.on_message(Tick(ticker, price_at(milliseconds), milliseconds, epoch=epoch))
            await recorder.write()
            now += INTERVAL / 4


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
