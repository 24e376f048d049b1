"""The command line's way in: the same answers, by a plain synchronous connection."""

from pathlib import Path

import anyio
import pytest

from cryptomarket.database.synchronous import read_synchronously, write_synchronously
from cryptomarket.errors import DatabaseUnavailable, StartError
from cryptomarket.history import ledger, prices
from cryptomarket.history.export import CSV_HEADER, write_export
from cryptomarket.history.pages import PageQuery
from cryptomarket.history.writer import insert_missing
from cryptomarket.model import Source
from tests.databases import StoredHistory

from .test_store import SLOT, price


def filled(url: str) -> None:
    """Some prices with a hole, written by the gateway's way."""

    async def fill() -> None:
        async with StoredHistory(url) as store:
            await store.migrate()
            await store.insert_missing(price(SLOT + 60 * n, f"{n}.50") for n in (0, 1, 2, 5))

    anyio.run(fill)


def test_reads_what_the_gateway_wrote(database_url: str) -> None:
    """Prices, tickers and coverage are those of the asynchronous store."""
    filled(database_url)
    page = read_synchronously(database_url, prices.page, PageQuery("btc_usd", limit=3, order="desc"))
    assert [str(row.price) for row in page.data] == ["5.50", "2.50", "1.50"]
    assert read_synchronously(database_url, prices.tickers) == ["btc_usd"]
    assert not read_synchronously(database_url, ledger.coverage, "btc_usd", SLOT, SLOT + 360).complete


def test_exports_every_line(database_url: str) -> None:
    """An export is the header and each price once, in order."""
    filled(database_url)
    written: list[str] = []
    assert read_synchronously(database_url, write_export, written.append, "csv", PageQuery("btc_usd", limit=3)) == 4
    lines = "".join(written).splitlines()
    assert lines[0] + "\n" == CSV_HEADER
    assert [line.split(",")[2] for line in lines[1:]] == ["0.50", "1.50", "2.50", "5.50"]


def test_writes_with_the_same_statements(database_url: str) -> None:
    """A price that a notebook inserts goes only where nothing stands."""
    filled(database_url)
    rows = [price(SLOT, "9", source=Source.BACKFILL), price(SLOT + 180, "9", source=Source.BACKFILL)]
    write_synchronously(database_url, insert_missing, rows, 60)
    page = read_synchronously(database_url, prices.page, PageQuery("btc_usd", limit=10))
    assert [str(row.price) for row in page.data] == ["0.50", "1.50", "2.50", "9", "5.50"]


def test_does_not_make_a_database(tmp_path: Path) -> None:
    """Asking where nothing is says so, and leaves nothing behind."""
    with pytest.raises(StartError, match=f"there is no database {tmp_path}/none.db"):
        read_synchronously(f"sqlite+aiosqlite:///{tmp_path}/none.db", prices.tickers)
    assert list(tmp_path.iterdir()) == []


def test_names_a_database_without_prices(postgres_url: str) -> None:
    """A database without tables is distinguished from an empty history."""
    with pytest.raises(StartError, match="holds no prices"):
        read_synchronously(postgres_url, prices.tickers)


def test_a_database_that_does_not_answer_is_told(tmp_path: Path) -> None:
    """The sentence has neither password nor traceback."""
    with pytest.raises(DatabaseUnavailable, match="does not answer") as caught:
        read_synchronously(f"postgresql+asyncpg://me:hunter2@/prices?host={tmp_path}", prices.tickers)
    assert "hunter2" not in str(caught.value)
