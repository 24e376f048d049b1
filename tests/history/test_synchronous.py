"""The command line's way in: the same answers, by a plain synchronous connection."""

from pathlib import Path

import anyio
import pytest

from cryptomarket.errors import DatabaseUnavailable, StartError
from cryptomarket.history import reading, writing
from cryptomarket.history.store import Store
from cryptomarket.history.synchronous import CSV_HEADER, export, synchronously
from cryptomarket.model import Source

from .test_store import SLOT, price


def filled(url: str) -> None:
    """Some prices with a hole, written by the gateway's way."""

    async def fill() -> None:
        async with Store(url) as store:
            await store.migrate()
            await store.insert_missing(price(SLOT + 60 * n, f"{n}.50") for n in (0, 1, 2, 5))

    anyio.run(fill)


def test_reads_what_the_gateway_wrote(database_url: str) -> None:
    """Prices, tickers and coverage are those of the asynchronous store."""
    filled(database_url)
    page = synchronously(database_url, reading.prices, "btc_usd", None, None, 3, None, "desc")
    assert [str(row.price) for row in page.data] == ["5.50", "2.50", "1.50"]
    assert synchronously(database_url, reading.tickers) == ["btc_usd"]
    assert not synchronously(database_url, reading.coverage, "btc_usd", SLOT, SLOT + 360).complete


def test_exports_every_line(database_url: str) -> None:
    """An export is the header and each price once, in order."""
    filled(database_url)
    written: list[str] = []
    assert synchronously(database_url, export, written.append, "csv", "btc_usd") == 4
    lines = "".join(written).splitlines()
    assert lines[0] + "\n" == CSV_HEADER
    assert [line.split(",")[2] for line in lines[1:]] == ["0.50", "1.50", "2.50", "5.50"]


def test_writes_with_the_same_statements(database_url: str) -> None:
    """A snapshot of the command line or of Celery goes only where nothing stands."""
    filled(database_url)
    rows = [price(SLOT, "9", source=Source.BACKFILL), price(SLOT + 180, "9", source=Source.BACKFILL)]
    synchronously(database_url, writing.insert_missing, rows, 60, writes=True)
    page = synchronously(database_url, reading.prices, "btc_usd", None, None, 10, None, "asc")
    assert [str(row.price) for row in page.data] == ["0.50", "1.50", "2.50", "9", "5.50"]


def test_does_not_make_a_database(tmp_path: Path) -> None:
    """Asking where nothing is says so, and leaves nothing behind."""
    with pytest.raises(StartError, match=f"there is no database {tmp_path}/none.db"):
        synchronously(f"sqlite+aiosqlite:///{tmp_path}/none.db", reading.tickers)
    assert list(tmp_path.iterdir()) == []


def test_names_a_database_without_prices(postgres_url: str) -> None:
    """A database that no gateway ever started on is told from an empty history."""
    with pytest.raises(StartError, match="holds no prices"):
        synchronously(postgres_url, reading.tickers)


def test_a_database_that_does_not_answer_is_told(tmp_path: Path) -> None:
    """The sentence has neither password nor traceback."""
    with pytest.raises(DatabaseUnavailable, match="does not answer") as caught:
        synchronously(f"postgresql+asyncpg://me:hunter2@/prices?host={tmp_path}", reading.tickers)
    assert "hunter2" not in str(caught.value)
