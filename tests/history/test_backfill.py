"""Filling holes: the rules with lists, and the whole against the simulated exchange over real HTTP."""

import time
from dataclasses import replace
from decimal import Decimal

import anyio
import pytest
from structlog.testing import capture_logs

from cryptomarket.deribit.http_client import HttpClient
from cryptomarket.errors import ExchangeRefused
from cryptomarket.history.backfill import Backfill, Chart, Points, fill, index_chart, ranges_for
from cryptomarket.history.intervals import Interval, Kind
from cryptomarket.history.recorder import Recorder
from cryptomarket.model import Price, Tick
from cryptomarket.simulator.exchange import running_exchange
from tests.databases import StoredHistory

from .test_recorder import until


def hole(start: int, end: int) -> Interval:
    """A missing interval of slots of 60 s."""
    return Interval(start, end, Kind.MISSING, 60, reason="restart")


def points(start: int, end: int, every: int) -> list[tuple[int, Decimal]]:
    """A chart with a point each so many seconds, whose price is its own second."""
    return [(second * 1000, Decimal(second)) for second in range(start, end, every)]


def test_the_last_point_of_a_slot_is_its_price() -> None:
    """A chart finer than a slot fills one row for each missing slot, with its source."""
    found = fill("btc_usd", [hole(60, 180)], 60, index_chart("1h", points(0, 240, 6)))
    assert found.rows == [
        Price("btc_usd", 60, Decimal(114), 114_000, "backfill:index_chart:1h"),
        Price("btc_usd", 120, Decimal(174), 174_000, "backfill:index_chart:1h"),
    ]
    assert not found.pending


def test_a_chart_coarser_than_a_slot_fills_nothing() -> None:
    """Averages over minutes are not the price of one."""
    found = fill("btc_usd", [hole(0, 180), hole(600, 660)], 60, index_chart("1d", points(0, 1440, 144)))
    assert found.rows == ()
    assert found.coarse == [(0, 180), (600, 660)]


def test_a_slot_the_chart_has_no_point_in_is_not_available() -> None:
    """What the exchange itself has no price of stays missing, with that reason."""
    chart = Chart("chart", [*points(0, 60, 6), *points(120, 240, 6)], 6, 0, 240)
    found = fill("btc_usd", [hole(0, 180)], 60, chart)
    assert [row.timestamp for row in found.rows] == [0, 120]
    assert found.unavailable == [(60, 120)]


def test_what_is_newer_than_the_chart_is_asked_again() -> None:
    """The last slots may not be in the chart yet; nothing is decided about them."""
    found = fill("btc_usd", [hole(0, 240)], 60, index_chart("1h", points(0, 150, 6)))
    assert [row.timestamp for row in found.rows] == [0, 60]
    assert found.pending
    assert not found.unavailable


def test_what_is_older_than_the_chart_is_another_ranges() -> None:
    """A chart decides only about its own time."""
    found = fill("btc_usd", [hole(0, 240)], 60, index_chart("1h", points(120, 300, 6)))
    assert [row.timestamp for row in found.rows] == [120, 180]
    assert not found.unavailable


def test_asks_the_finest_range_that_covers_the_hole() -> None:
    """Coarser ranges are requested only for older slots."""
    now = 10_000_000
    assert ranges_for([hole(now - 1800, now - 60)], now) == ["1h"]
    assert ranges_for([hole(now - 7200, now - 60)], now) == ["1h", "1d"]
    assert ranges_for([hole(now - 7200, now - 5400)], now) == ["1d"]
    assert ranges_for([], now) == []


#: The slot that was open when the test began: the machine's minute may turn while it runs.
OPEN = [0]


@pytest.fixture(autouse=True)
def the_minute() -> None:
    """Remember which minute it is."""
    OPEN[0] = int(time.time()) // 60 * 60


def slot_now(back: int = 0) -> int:
    """The slot of 60 s in which the test began, or one before it."""
    return OPEN[0] - 60 * back


async def with_holes(store: StoredHistory, ticker: str, *present: int) -> None:
    """Record these slots, counted back from now, and thereby the holes between."""
    epoch = await store.take_epoch()
    for back in sorted(present, reverse=True):
        slot = slot_now(back)
        await store.write_live([Price(ticker, slot, Decimal(1), slot * 1000, epoch=epoch)], epoch)


async def test_fills_a_hole_of_an_index(store: StoredHistory) -> None:
    """Every slot of an hour's hole is there afterwards, near the exchange's own price, and nothing live was touched."""
    async with running_exchange() as exchange, HttpClient(exchange.http_url) as api:
        await with_holes(store, "btc_usd", 50, 2)
        assert await Backfill(store, api).fill_all() == 47
        rows = {row.timestamp: row for row in (await store.prices("btc_usd")).data}
        coverage = await store.coverage("btc_usd", slot_now(50), slot_now(1))
        assert coverage.complete
        assert [interval.kind for interval in coverage.intervals] == ["observed", "backfilled", "observed"]
        assert [rows[slot_now(back)].price for back in (50, 2)] == [1, 1]
        for slot in range(slot_now(49), slot_now(2), 60):
            true = exchange.state.market.index_price("btc_usd", rows[slot].exchange_timestamp)
            assert abs(float(rows[slot].price) - true) < true * 0.001
            assert slot <= rows[slot].exchange_timestamp // 1000 < slot + 60


async def test_says_that_the_older_history_of_an_index_is_too_coarse(store: StoredHistory) -> None:
    """What the exchange has only as averages of minutes stays missing, and is not requested again."""
    async with running_exchange() as exchange, HttpClient(exchange.http_url) as api:
        await with_holes(store, "btc_usd", 300, 2)
        await Backfill(store, api).fill_all()
        coverage = await store.coverage("btc_usd", slot_now(300), slot_now(1))
        assert {interval.reason for interval in coverage.intervals if interval.kind is Kind.MISSING} == {"coarse"}
        assert not coverage.complete
        requests = exchange.state.requests["public/get_index_chart_data"]
        assert await Backfill(store, api).fill_all() == 0
        assert exchange.state.requests["public/get_index_chart_data"] == requests


async def test_fills_a_hole_of_an_instrument(store: StoredHistory) -> None:
    """An instrument's minutes are known for longer than an index's."""
    async with running_exchange() as exchange, HttpClient(exchange.http_url) as api:
        await with_holes(store, "BTC-PERPETUAL", 3000, 5)
        assert await Backfill(store, api).fill_all() == 2994
        assert (await store.coverage("BTC-PERPETUAL", slot_now(3000), slot_now(4))).complete


async def test_fills_a_hole_of_the_volatility_index(store: StoredHistory) -> None:
    """The volatility index has its own history, which goes back further than an index's, in pages."""
    async with running_exchange() as exchange, HttpClient(exchange.http_url) as api:
        await with_holes(store, "btcdvol_usdc", 1500, 5)
        assert await Backfill(store, api).fill_all() == 1494
        assert exchange.state.requests["public/get_volatility_index_data"] > 1
        coverage = await store.coverage("btcdvol_usdc", slot_now(1500), slot_now(4))
        assert coverage.complete
        assert coverage.intervals[1].source == "backfill:volatility"


async def test_a_history_that_does_not_exist_is_not_available(store: StoredHistory) -> None:
    """A ticker the exchange has no history of keeps its hole, with the reason."""
    async with running_exchange() as exchange, HttpClient(exchange.http_url) as api:
        await with_holes(store, "nosuch_usd", 30, 2)
        assert await Backfill(store, api).fill_all() == 0
        coverage = await store.coverage("nosuch_usd", slot_now(30), slot_now(1))
        assert [interval.reason for interval in coverage.intervals] == [None, "unavailable", None]


async def test_bars_that_a_door_does_not_offer_are_not_asked_for_again(store: StoredHistory) -> None:
    """Coinbase may not offer bars over HTTP: an instrument's hole keeps its reason, and indices are filled."""
    async with running_exchange(door="coinbase-main") as exchange, HttpClient(exchange.http_url) as api:
        door = exchange.state.door
        exchange.state.door = replace(door, refused=(*door.refused, "public/get_tradingview_chart_data"))
        await with_holes(store, "btc_usdc", 30, 2)
        await with_holes(store, "BTC_USDC-PERPETUAL", 30, 2)
        assert await Backfill(store, api).fill_all() == 27
        coverage = await store.coverage("BTC_USDC-PERPETUAL", slot_now(30), slot_now(1))
        assert [interval.reason for interval in coverage.intervals] == [None, "unavailable", None]
        refusals = exchange.state.requests.copy()
        assert await Backfill(store, api).fill_all() == 0
        assert exchange.state.requests == refusals
        exchange.state.door = door
        filled = await Backfill(store, api).fill_range("BTC_USDC-PERPETUAL", slot_now(30), slot_now(1))
        assert filled == 27  # on request it is tried again


async def test_the_wrong_host_of_http_costs_no_history(store: StoredHistory) -> None:
    """A host that offers no history at all is an error that is tried again, not a history that does not exist."""
    async with running_exchange(door="coinbase-streams") as exchange, HttpClient(exchange.http_url) as api:
        await with_holes(store, "btc_usdc", 30, 2)
        with pytest.raises(ExchangeRefused, match="-32601"):
            await Backfill(store, api).fill_all()
    async with running_exchange(door="coinbase-main") as exchange, HttpClient(exchange.http_url) as api:
        assert await Backfill(store, api).fill_all() == 27


async def test_a_refusal_of_one_ticker_holds_no_other_up(store: StoredHistory) -> None:
    """A ticker that the exchange refuses temporarily is requested again after the others."""

    class Refusing:
        """Answers for all but one ticker, which comes first."""

        def __init__(self, api: HttpClient) -> None:
            self.volatility, self.bars, self._api = api.volatility, api.bars, api

        async def index_chart(self, index: str, chart_range: str, /) -> Points:
            """The exchange's answer, or its refusal."""
            if index == "btc_usd":
                raise ExchangeRefused("public/get_index_chart_data", 10_041, "settlement_in_progress")
            return await self._api.index_chart(index, chart_range)

    async with running_exchange() as exchange, HttpClient(exchange.http_url) as api:
        await with_holes(store, "btc_usd", 10, 3)
        await with_holes(store, "eth_usd", 10, 3)
        with pytest.raises(ExchangeRefused):
            await Backfill(store, Refusing(api)).fill_all()
        assert (await store.coverage("eth_usd", slot_now(10), slot_now(2))).complete
        assert not (await store.coverage("btc_usd", slot_now(10), slot_now(2))).complete


async def test_fills_when_the_exchange_is_back_and_says_so_once(sqlite_url: str) -> None:
    """While the exchange does not answer, one line says so; the hole is filled soon after it does."""
    with capture_logs() as logs:
        async with StoredHistory(sqlite_url) as store, running_exchange() as exchange:
            await store.migrate()
            await with_holes(store, "btc_usd", 10, 3)
            exchange.inject("http_page")
            async with HttpClient(exchange.http_url, tries=1) as api, anyio.create_task_group() as tasks:
                backfill = Backfill(store, api)
                await tasks.start(backfill.run)
                await until(lambda: any(line["event"] == "backfill failing, retrying" for line in logs))
                exchange.inject("clear")
                await until(lambda: any(line["event"] == "missing slots filled" for line in logs))
                tasks.cancel_scope.cancel()
            assert (await store.coverage("btc_usd", slot_now(8), slot_now(3))).complete
    events = [line["event"] for line in logs]
    assert events == ["backfill failing, retrying", "missing slots filled", "backfill working again"]


async def test_a_gap_is_filled_within_ten_seconds_of_the_first_tick(store: StoredHistory) -> None:
    """The first tick after an outage shows the gap, which the exchange's own chart fills."""
    await with_holes(store, "btc_usd", 12)
    async with running_exchange() as exchange, HttpClient(exchange.http_url) as api, anyio.create_task_group() as tasks:
        backfill = Backfill(store, api)
        recorder = Recorder(store, interval=60, epoch=await store.take_epoch(), on_written=backfill.wake)
        await tasks.start(backfill.run)
        await tasks.start(recorder.run)
        recorder.on_message(Tick("btc_usd", Decimal(1), int(time.time() * 1000), epoch=1))
        with anyio.fail_after(10):
            while not (await store.coverage("btc_usd", slot_now(12), slot_now())).complete:
                await anyio.sleep(0.05)
        tasks.cancel_scope.cancel()
    assert len((await store.prices("btc_usd")).data) >= 13


async def test_fills_a_range_by_hand(store: StoredHistory) -> None:
    """A range without any record is filled too, and the progress reaches its end."""
    progress: list[int] = []
    async with running_exchange() as exchange, HttpClient(exchange.http_url) as api:
        filled = await Backfill(store, api).fill_range("BTC-PERPETUAL", slot_now(2000), slot_now(2), progress.append)
        assert filled == 1998
        assert progress[-1] == 1998 * 60
        assert (await store.coverage("BTC-PERPETUAL", slot_now(2000), slot_now(2))).complete
