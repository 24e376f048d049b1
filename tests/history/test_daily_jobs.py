"""The daily work: once a day, made up when missed, and never a lie about what was pruned."""

from dataclasses import dataclass

import pytest

from cryptomarket.errors import DatabaseUnavailable
from cryptomarket.history.backfill import fillable
from cryptomarket.history.daily_jobs import DailyJobs, Job, Retention, history_jobs
from cryptomarket.history.intervals import Kind
from tests.databases import StoredHistory

from .test_store import SLOT, price

DAY = 86_400
MIDNIGHT = SLOT // DAY * DAY


@dataclass
class Wall:
    """UNIX seconds that the test advances."""

    now: float = MIDNIGHT + 3600.0

    def __call__(self) -> float:
        return self.now


async def test_a_job_runs_once_a_day(store: StoredHistory) -> None:
    """After each midnight once, at the first start at once, and after a restart not again."""
    wall, ran = Wall(), []

    async def run() -> None:
        ran.append(wall.now)

    for now in (MIDNIGHT + 10, MIDNIGHT + 20, MIDNIGHT + DAY - 1, MIDNIGHT + DAY, MIDNIGHT + 5 * DAY + 7):
        wall.now = now
        maintenance = DailyJobs(store.database, [Job("test", run)], wall=wall)
        assert await maintenance.run_due()
        assert await maintenance.run_due()
        assert maintenance.statistics()["test"].day == int(now) // DAY * DAY
    assert ran == [MIDNIGHT + 10, MIDNIGHT + DAY, MIDNIGHT + 5 * DAY + 7]


async def test_a_job_that_failed_is_tried_again(store: StoredHistory) -> None:
    """One failure neither stops the other jobs nor counts as done."""
    fails, ran = [True], []

    async def failing() -> None:
        if fails:
            raise DatabaseUnavailable("away")
        ran.append("first")

    async def well() -> None:
        ran.append("second")

    maintenance = DailyJobs(store.database, [Job("first", failing), Job("second", well)], wall=Wall())
    assert not await maintenance.run_due()
    assert maintenance.statistics()["first"].failure == "away"
    fails.clear()
    assert await maintenance.run_due()
    assert ran == ["second", "first"]
    assert maintenance.statistics()["first"].failure is None


async def test_by_default_everything_is_kept(store: StoredHistory) -> None:
    """Without a retention nothing is deleted, however old."""
    await store.insert_missing(price(SLOT - n * DAY) for n in range(0, 4000, 1000))
    assert await DailyJobs(store.database, history_jobs(store, Retention(), Wall()), wall=Wall()).run_due()
    assert len((await store.prices("btc_usd")).data) == 4


async def test_what_is_pruned_is_not_called_complete(store: StoredHistory) -> None:
    """Old prices go, their candles stay as long as they should, and the ledger says pruned."""
    await store.insert_missing(price(MIDNIGHT - 3 * DAY + 3600 * n) for n in range(96))
    wall = Wall(MIDNIGHT + DAY)
    retention = Retention(prices_days=2, candles_days={"1m": 2, "1h": 3})
    assert await DailyJobs(store.database, history_jobs(store, retention, wall), wall=wall).run_due()
    rows = (await store.prices("btc_usd")).data
    assert (rows[0].timestamp, len(rows)) == (MIDNIGHT - DAY, 48)
    coverage = await store.coverage("btc_usd", MIDNIGHT - 3 * DAY, MIDNIGHT)
    assert not any(
        interval.kind is not Kind.MISSING for interval in coverage.intervals if interval.end <= rows[0].timestamp
    )
    assert [interval.end for interval in coverage.intervals if interval.reason == "pruned"][-1] == MIDNIGHT - DAY - 3540
    assert len(await store.candles("btc_usd", "1h")) == 72
    assert len(await store.candles("btc_usd", "1d")) == 4
    assert (await store.candles("btc_usd", "1m"))[0].timestamp == MIDNIGHT - DAY


async def test_what_lacked_before_it_was_pruned_still_does(store: StoredHistory) -> None:
    """Candles outlive their prices, so a partial one must stay partial, and whole ones whole."""
    day = MIDNIGHT - 3 * DAY
    await store.insert_missing(price(day + 60 * n) for n in range(180) if n != 70)
    before = await store.candles("btc_usd", "1h")
    await store.prune(MIDNIGHT, {})
    assert await store.candles("btc_usd", "1h") == before
    assert [candle.partial for candle in before] == [False, True, False]
    reasons = [(i.start - day, i.reason) for i in (await store.coverage("btc_usd", day, day + 10_800)).intervals]
    assert reasons == [(0, "pruned"), (4200, "unrecorded"), (4260, "pruned")]


async def test_candles_go_though_their_prices_went_before(store: StoredHistory) -> None:
    """Each resolution has its own time, in pieces, whether or not a price is left of the ticker."""
    day = MIDNIGHT - 9 * DAY
    await store.insert_missing(price(day + 600 * n) for n in range(8 * 144))
    await store.prune(MIDNIGHT, {})
    await store.prune(MIDNIGHT, {60: MIDNIGHT, 3600: MIDNIGHT - 3 * DAY})
    assert await store.tickers() == []
    assert await store.candles("btc_usd", "1m") == []
    assert len(await store.candles("btc_usd", "1h")) == 2 * 24
    assert len(await store.candles("btc_usd", "1d")) == 8


async def test_a_late_filling_spoils_no_candle_whose_parts_were_pruned(store: StoredHistory) -> None:
    """A longer candle is made of all prices of its day again, not of the few minutes that came back."""
    day = MIDNIGHT - 3 * DAY
    await store.insert_missing(price(day + 60 * n, str(100 + n)) for n in range(180) if n != 70)
    await store.prune(None, {60: MIDNIGHT, 300: MIDNIGHT})
    await store.insert_missing([price(day + 4200, "999")])
    hours = await store.candles("btc_usd", "1h")
    [whole] = await store.candles("btc_usd", "1d")
    assert [(c.open, c.high, c.close, c.count) for c in hours] == [
        ("100", "159", "159", 60),
        ("160", "999", "219", 60),
        ("220", "279", "279", 60),
    ]
    assert (whole.open, whole.high, whole.low, whole.close, whole.count) == ("100", "999", "100", "279", 180)


async def test_what_was_pruned_is_not_filled_again(store: StoredHistory) -> None:
    """Such prices are neither requested nor stored: they would change final candles and be deleted the next night."""
    day = MIDNIGHT - 3 * DAY
    await store.insert_missing(price(day + 60 * n) for n in range(10) if n != 5)
    await store.insert_missing(price(day + DAY + 60 * n) for n in range(10) if n != 5)
    await store.prune(day + DAY, {})
    await store.insert_missing([price(day + 300), price(day + DAY + 300)])
    assert [row.timestamp - day - DAY for row in (await store.prices("btc_usd")).data] == [60 * n for n in range(10)]
    await store.mark_missing("btc_usd", day - DAY, day, "upstream")
    assert fillable(await store.missing()) == {}


@pytest.mark.parametrize("days", [0, 1])
async def test_pruning_again_changes_nothing(store: StoredHistory, days: int) -> None:
    """A second run of the same day finds nothing to do."""
    await store.insert_missing(price(MIDNIGHT - n * 3600) for n in range(72))
    for _ in range(2):
        await store.prune(MIDNIGHT - days * DAY, {})
        assert (await store.prices("btc_usd")).data[0].timestamp == MIDNIGHT - days * DAY
        assert (await store.coverage("btc_usd", MIDNIGHT - 5 * DAY, MIDNIGHT)).intervals[
            -1
        ].kind is Kind.MISSING or days
