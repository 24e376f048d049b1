"""The store on both databases: what it writes, what it refuses, what it returns."""

from decimal import Decimal

import anyio
import pytest

from cryptomarket.history.pages import Order
from cryptomarket.history.prices import PricePage, is_stored
from cryptomarket.model import Price, Source, plain
from tests.databases import StoredHistory

SLOT = 1_763_668_800


def price(
    slot: int, value: str = "64250.13", *, ticker: str = "btc_usd", source: str = Source.LIVE, epoch: int = 1
) -> Price:
    """A price at a slot, 59.5 seconds into it."""
    return Price(ticker, slot, Decimal(value), slot * 1000 + 59_500, source, epoch)


async def everything(store: StoredHistory, ticker: str = "btc_usd") -> list[Price]:
    """All rows of a ticker."""
    return list((await store.prices(ticker, limit=10_000)).data)


@pytest.mark.parametrize(
    "digits", ["64250.13", "8700", "0.00000001", "123456789012345678.123456789012345678", "64250.10"]
)
async def test_gives_back_every_digit(store: StoredHistory, digits: str) -> None:
    """A price leaves the database as it came, trailing zeros and 36 digits included."""
    epoch = await store.take_epoch()
    assert await store.write_live([price(SLOT, digits, epoch=epoch)], epoch)
    [row] = await everything(store)
    assert plain(row.price) == digits
    assert row == price(SLOT, digits, epoch=epoch)


async def test_writing_twice_leaves_one_row(store: StoredHistory) -> None:
    """A write that is repeated, because its answer was lost, changes nothing."""
    epoch = await store.take_epoch()
    for _ in range(2):
        assert await store.write_live([price(SLOT, epoch=epoch), price(SLOT + 60, epoch=epoch)], epoch)
    assert [row.timestamp for row in await everything(store)] == [SLOT, SLOT + 60]


async def test_a_later_price_of_the_slot_replaces_the_earlier(store: StoredHistory) -> None:
    """A late tick corrects the slot that was already written."""
    epoch = await store.take_epoch()
    await store.write_live([price(SLOT, "1", epoch=epoch)], epoch)
    await store.write_live([price(SLOT, "2", epoch=epoch)], epoch)
    assert [row.price for row in await everything(store)] == [Decimal(2)]


async def test_epochs_only_grow(store: StoredHistory) -> None:
    """Each leader gets a number of its own, higher than all before."""
    assert [await store.take_epoch() for _ in range(3)] == [1, 2, 3]


async def test_a_deposed_leader_writes_nothing(store: StoredHistory) -> None:
    """Neither a slot that stands nor one that is missing can be written under an older epoch."""
    old = await store.take_epoch()
    new = await store.take_epoch()
    await store.write_live([price(SLOT, "2", epoch=new)], new)
    assert not await store.write_live([price(SLOT, "1", epoch=old), price(SLOT + 60, "1", epoch=old)], old)
    assert await everything(store) == [price(SLOT, "2", epoch=new)]


async def test_a_row_of_an_older_epoch_is_replaced(store: StoredHistory) -> None:
    """The new leader writes the slot in which the old one ended."""
    old = await store.take_epoch()
    await store.write_live([price(SLOT, "1", epoch=old)], old)
    new = await store.take_epoch()
    await store.write_live([price(SLOT, "2", epoch=new)], new)
    assert await everything(store) == [price(SLOT, "2", epoch=new)]


async def test_backfill_never_replaces_a_row(store: StoredHistory) -> None:
    """What was filled in later goes only where nothing stands."""
    epoch = await store.take_epoch()
    await store.write_live([price(SLOT, "1", epoch=epoch)], epoch)
    await store.insert_missing(price(SLOT + 60 * n, "9", source=Source.BACKFILL, epoch=0) for n in range(3))
    rows = await everything(store)
    assert [(row.price, row.source) for row in rows] == [
        (Decimal(1), "live"),
        (Decimal(9), "backfill"),
        (Decimal(9), "backfill"),
    ]


async def test_a_live_price_replaces_a_filled_one(store: StoredHistory) -> None:
    """A live price replaces a backfilled one of any epoch."""
    await store.insert_missing([price(SLOT, "9", source=Source.BACKFILL, epoch=99)])
    epoch = await store.take_epoch()
    await store.write_live([price(SLOT, "1", epoch=epoch)], epoch)
    assert await everything(store) == [price(SLOT, "1", epoch=epoch)]


async def test_latest_is_the_newest_slot(store: StoredHistory) -> None:
    """The newest price of a ticker, or nothing for one that has none."""
    await store.insert_missing([price(SLOT, "1"), price(SLOT + 60, "2"), price(SLOT + 120, "3", ticker="eth_usd")])
    latest = await store.latest("btc_usd")
    assert latest is not None
    assert latest.timestamp == SLOT + 60
    assert await store.latest("sol_usd") is None


async def test_a_range_includes_its_start_and_not_its_end(store: StoredHistory) -> None:
    """`start` is included, `end` is not."""
    await store.insert_missing(price(SLOT + 60 * n) for n in range(5))
    page = await store.prices("btc_usd", start=SLOT + 60, end=SLOT + 180)
    assert [row.timestamp for row in page.data] == [SLOT + 60, SLOT + 120]
    assert page.next is None


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_pages_together_are_the_whole(store: StoredHistory, order: str) -> None:
    """Following `next` returns every row once, in both directions."""
    await store.insert_missing(price(SLOT + 60 * n) for n in range(25))
    await store.insert_missing([price(SLOT, ticker="eth_usd")])
    seen: list[int] = []
    page = PricePage(())
    while not seen or page.next is not None:
        page = await store.prices("btc_usd", limit=10, after=page.next, order=order)  # type: ignore[arg-type]
        seen += [row.timestamp for row in page.data]
    whole = [SLOT + 60 * n for n in range(25)]
    assert seen == (whole if order == "asc" else whole[::-1])


async def test_a_full_last_page_has_no_next(store: StoredHistory) -> None:
    """A page that ends with the last row does not promise another."""
    await store.insert_missing(price(SLOT + 60 * n) for n in range(10))
    assert (await store.prices("btc_usd", limit=10)).next is None


async def test_names_the_stored_tickers(store: StoredHistory) -> None:
    """Every ticker with rows is named once; an empty database has none."""
    assert await store.tickers() == []
    await store.insert_missing(
        price(SLOT + 60 * n, ticker=t) for n in range(3) for t in ("eth_usd", "BTC-PERPETUAL", "btc_usd")
    )
    assert sorted(await store.tickers()) == ["BTC-PERPETUAL", "btc_usd", "eth_usd"]
    assert await store.is_stored("eth_usd")
    assert not await store.is_stored("sol_usd")


async def test_a_session_reads_and_gives_its_connection_back(store: StoredHistory) -> None:
    """More sessions than the pool has connections can follow each other."""
    await store.insert_missing([price(SLOT)])
    for _ in range(20):
        async for session in store.database.session():
            assert await session.read(is_stored, "btc_usd")


async def test_many_rows_are_inserted_in_chunks(store: StoredHistory) -> None:
    """A week of two tickers, as a demo writes its past: every row is there, and the recorder had its turn between."""
    epoch = await store.take_epoch()
    rows = (
        price(SLOT + 60 * n, ticker=t, source=Source.SIMULATED) for t in ("btc_usd", "eth_usd") for n in range(10_080)
    )
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(store.insert_missing, rows)
        turns = 0
        while not await store.is_stored("eth_usd"):
            turns += 1
            with anyio.fail_after(60):
                assert await store.write_live([price(SLOT - 60, epoch=epoch)], epoch)
    assert turns > 2
    assert (await store.prices("eth_usd", order="desc", limit=1)).data[0].timestamp == SLOT + 60 * 10_079
    assert (await store.coverage("btc_usd", SLOT - 60, SLOT + 60 * 10_080)).complete


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_pages_written_by_the_database_are_the_same_pages(store: StoredHistory, order: Order) -> None:
    """The text has the rows, the digits and the order of the objects, on both databases."""
    digits = ["64250.1300", "0.00000001", "123456789012345678", "8700", "5E+2"]
    await store.insert_missing(price(SLOT + 60 * n, d) for n, d in enumerate(digits))
    after = None
    for _ in range(3):
        page = await store.prices("btc_usd", limit=2, after=after, order=order)
        text = await store.text_page("json", "btc_usd", limit=2, after=after, order=order)
        csv = await store.text_page("csv", "btc_usd", limit=2, after=after, order=order)
        lines = await store.text_page("ndjson", "btc_usd", limit=2, after=after, order=order)
        assert text.text == ",".join(row.json() for row in page.data)
        assert lines.text == "".join(row.json() + "\n" for row in page.data)
        assert [line.split(",")[2] for line in csv.text.splitlines()] == [plain(row.price) for row in page.data]
        assert (text.count, text.next, csv.next) == (len(page.data), page.next, page.next)
        after = page.next
    assert after is None
    empty = await store.text_page("json", "sol_usd")
    assert (empty.text, empty.count, empty.next) == ("", 0, None)


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_candles_written_by_the_database_are_the_same_candles(store: StoredHistory, order: Order) -> None:
    """The text has the candles, the digits, the marks and the order of the objects."""
    await store.insert_missing(price(SLOT + 60 * n, f"{n}.50") for n in range(14) if n != 12)
    after = None
    for _ in range(3):
        page = await store.candles("btc_usd", "1m", end=SLOT + 720, limit=4, after=after, order=order)
        text = await store.candle_text("btc_usd", "1m", end=SLOT + 720, limit=4, after=after, order=order)
        assert text.text == ",".join(candle.json() for candle in page)
        assert text.count == len(page) == 4
        after = text.next
        assert after in (None, page[-1].timestamp)
    assert after is None
    whole, marked = (
        await store.candles("btc_usd", "5m", order=order),
        await store.candle_text("btc_usd", "5m", order=order),
    )
    assert marked.text == ",".join(candle.json() for candle in whole)
    assert [candle.partial for candle in whole].count(True) == marked.text.count('"partial":true') == 1
    empty = await store.candle_text("sol_usd", "1m", order=order)
    assert (empty.text, empty.count, empty.next) == ("", 0, None)
