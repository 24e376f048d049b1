"""The snapshot as a single step, on a real store."""

from decimal import Decimal
from pathlib import Path

import pytest

from cryptomarket.errors import ExchangeRefused, ExchangeUnreachable
from cryptomarket.model import Price, Tick
from cryptomarket.tasks.snapshot import SOURCE, snapshot
from tests.databases import StoredHistory

NOW = 1_795_208_430.0  # half a minute into a slot
SLOT = 1_795_208_400


class Market:
    """The exchange, which records requests and returns prices or faults."""

    def __init__(self, **faults: Exception) -> None:
        self.requested: list[str] = []
        self.faults = faults

    async def newest(self, ticker: str) -> Tick | None:
        self.requested.append(ticker)
        if ticker in self.faults:
            raise self.faults[ticker]
        return None if ticker == "new_usd" else Tick(ticker, Decimal("8700.10"), int(NOW * 1000))


async def taken(store: StoredHistory, market: Market, *tickers: str, now: float = NOW) -> int:
    return await snapshot(store, market.newest, tickers, wall=lambda: now)


async def test_a_price_goes_into_the_slot_of_its_own_time(database_url: str) -> None:
    """The slot is that of the price, not of our clock; every digit is kept, and the ledger has the source."""
    async with StoredHistory(database_url, pooled=False) as store:
        await store.migrate()
        assert await taken(store, Market(), "btc_usd", "new_usd", now=NOW + 3600) == 1
        (row,) = (await store.prices("btc_usd")).data
        assert (row.timestamp, str(row.price), row.source) == (SLOT, "8700.10", SOURCE)
        found = await store.coverage("btc_usd", SLOT, SLOT + 60)
        assert [str(interval.kind) for interval in found.intervals] == ["backfilled"]


async def test_a_filled_slot_asks_nobody(sqlite_url: str) -> None:
    """A second run in a slot, or a run without tickers, costs the exchange nothing."""
    async with StoredHistory(sqlite_url, pooled=False) as store:
        await store.migrate()
        market = Market()
        assert await taken(store, market, "btc_usd") == 1
        assert await taken(store, market, "btc_usd") == 0
        assert await taken(store, market) == 0
        assert market.requested == ["btc_usd"]


async def test_a_live_price_is_never_replaced(database_url: str) -> None:
    """The recorder's price stands, though the snapshot's clock takes its slot for an empty one."""
    async with StoredHistory(database_url, pooled=False) as store:
        await store.migrate()
        epoch = await store.take_epoch()
        await store.write_live([Price("btc_usd", SLOT, Decimal("1.5"), SLOT * 1000, epoch=epoch)], epoch)
        await taken(store, Market(), "btc_usd", now=NOW + 3600)
        (row,) = (await store.prices("btc_usd")).data
        assert (str(row.price), row.source) == ("1.5", "live")


async def test_the_recorder_wins_over_a_snapshot(database_url: str) -> None:
    """With both running a slot is stored once, and a price that was received live replaces the other."""
    async with StoredHistory(database_url, pooled=False) as store:
        await store.migrate()
        await taken(store, Market(), "btc_usd")
        epoch = await store.take_epoch()
        await store.write_live([Price("btc_usd", SLOT, Decimal("1.5"), SLOT * 1000, epoch=epoch)], epoch)
        (row,) = (await store.prices("btc_usd")).data
        assert (str(row.price), row.source) == ("1.5", "live")


async def test_a_refused_ticker_costs_no_other(sqlite_url: str) -> None:
    """An instrument that expired is left out."""
    async with StoredHistory(sqlite_url, pooled=False) as store:
        await store.migrate()
        market = Market(gone_usd=ExchangeRefused("public/get_index_price", -32602, "Invalid params"))
        assert await taken(store, market, "gone_usd", "btc_usd") == 1


async def test_what_was_found_is_stored_before_a_failure(sqlite_url: str) -> None:
    """When the exchange goes away half-way, the task is repeated, and asks only for what is left."""
    async with StoredHistory(sqlite_url, pooled=False) as store:
        await store.migrate()
        market = Market(eth_usd=ExchangeUnreachable("away"))
        with pytest.raises(ExchangeUnreachable):
            await taken(store, market, "btc_usd", "eth_usd")
        market.faults.clear()
        assert await taken(store, market, "btc_usd", "eth_usd") == 1
        assert market.requested == ["btc_usd", "eth_usd", "eth_usd"]


async def test_a_store_without_a_pool_leaves_no_connection(tmp_path: Path) -> None:
    """An event loop that ends with the task leaves nothing behind that the next would find closed."""
    async with StoredHistory(f"sqlite+aiosqlite:///{tmp_path / 'prices.db'}", pooled=False) as store:
        await store.migrate()
        await store.prices("btc_usd")
        assert "NullPool" in repr(store.database.readers.pool)
