import json
from decimal import Decimal
from pathlib import Path

import pytest

from cryptomarket.history.candles import MinuteBar
from cryptomarket.history.intervals import Reason
from cryptomarket.model import Price, Tick
from cryptomarket.web.pages.routes import FRONTEND

from .site import NOON, prices, running_site


def row(second: int, price: str) -> Price:
    """A price whose exchange timestamp lies in its slot."""
    return Price("btc_usd", NOON + second, Decimal(price), (NOON + second) * 1000 + 500, epoch=1)


async def test_candles_are_folded_from_what_is_stored(tmp_path: Path) -> None:
    """Five minutes of prices are one candle of theirs, exact, and nothing stands where nothing is known."""
    stored = [row(0, "10.0"), row(60, "12.50"), row(120, "9.01"), row(240, "11"), row(900, "13")]
    async with running_site(tmp_path, stored) as site:
        site.now = NOON + 3600
        answer = await site.get("/api/v1/candles", ticker="btc_usd", resolution="5m", start=NOON, end=NOON + 1800)
    found = answer.json()
    assert (found["ticker"], found["resolution"], found["complete"], found["next"]) == ("btc_usd", "5m", False, None)
    assert [candle["timestamp"] for candle in found["data"]] == [NOON, NOON + 900]
    assert '"open":10.0,"high":12.50,"low":9.01,"close":11,"count":4' in answer.text


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_candles_come_in_pages(tmp_path: Path, order: str) -> None:
    """Following `next` returns each candle once."""
    async with running_site(tmp_path, prices("btc_usd", NOON, 10)) as site:
        site.now = NOON + 600
        seen, cursor = [], None
        for _ in range(3):
            answer = await site.get("/api/v1/candles", ticker="btc_usd", limit=4, order=order, cursor=cursor)
            seen += [candle["timestamp"] for candle in answer.json()["data"]]
            cursor = answer.json()["next"]
        assert cursor is None
    expected = [NOON + 60 * i for i in range(10)]
    assert seen == (expected if order == "asc" else expected[::-1])


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("resolution", ["1m", "5m"])
async def test_pages_with_stored_and_open_minutes_are_one_list(tmp_path: Path, order: str, resolution: str) -> None:
    """Whatever the limit, the pages have what one page has; gaps and open minutes are marked as partial."""
    stored = [one for one in prices("btc_usd", NOON, 40) if one.timestamp not in (NOON + 600, NOON + 1200, NOON + 1260)]
    ticks = [Tick("btc_usd", Decimal(f"7{n}.70"), (NOON + 60 * n) * 1000 + 5) for n in (38, 39, 40, 41)]
    bars = [MinuteBar.of(tick, 1, 1) for tick in ticks]
    query = {"ticker": "btc_usd", "order": order, "resolution": resolution}
    async with running_site(tmp_path, stored, bars=lambda _: bars) as site:
        site.now = NOON + 42 * 60
        whole = (await site.get("/api/v1/candles", **query)).json()["data"]
        partial = [candle["timestamp"] - NOON for candle in whole if candle.get("partial")]
        expected = [2280, 2340, 2400, 2460] if resolution == "1m" else [600, 1200, 2100, 2400]
        assert (len(whole), sorted(partial)) == (39 if resolution == "1m" else 9, expected)
        for limit in (1, 2, 3, 5, 35, 36, 37, 38, 39):
            seen, cursor = [], None
            for _ in range(50):
                page = (await site.get("/api/v1/candles", **query, limit=limit, cursor=cursor)).json()
                assert len(page["data"]) <= limit
                seen += page["data"]
                cursor = page["next"]
                if cursor is None:
                    break
            assert seen == whole, limit


async def test_the_open_minute_is_the_last_candle(tmp_path: Path) -> None:
    """What the recorder still holds is shown, marked as partial, and only where the range reaches the present."""
    tick = Tick("btc_usd", Decimal("77.70"), (NOON + 130) * 1000)
    async with running_site(tmp_path, prices("btc_usd", NOON, 2), bars=lambda _: [MinuteBar.of(tick, 1, 0)]) as site:
        site.now = NOON + 140
        newest = await site.get("/api/v1/candles", ticker="btc_usd", order="desc", limit=1)
        past = await site.get("/api/v1/candles", ticker="btc_usd", end=NOON + 120)
    assert newest.json()["data"][0] == {
        "timestamp": NOON + 120, "open": 77.7, "high": 77.7, "low": 77.7, "close": 77.7, "count": 1, "partial": True
    }  # fmt: skip
    assert newest.json()["next"] == f"desc-{NOON + 120}"
    assert [candle["timestamp"] for candle in past.json()["data"]] == [NOON, NOON + 60]


async def test_pruned_candles_make_a_list_incomplete(tmp_path: Path) -> None:
    """Prices may be kept longer than their candles: then the prices are complete, and the candles are not."""
    async with running_site(tmp_path, prices("btc_usd", NOON, 180)) as site:
        site.now = NOON + 20_000
        await site.store.prune(None, {60: NOON + 3600})
        query = {"ticker": "btc_usd", "end": NOON + 10_800}
        found = {
            (resolution, hour): (
                await site.get("/api/v1/candles", resolution=resolution, start=NOON + 3600 * hour, **query)
            ).json()["complete"]
            for resolution, hour in [("1m", 0), ("1m", 1), ("1h", 0)]
        }
        stored = (await site.get("/api/v1/prices", start=NOON, **query)).json()["complete"]
    assert found == {("1m", 0): False, ("1m", 1): True, ("1h", 0): True}
    assert stored


async def test_coverage_tells_what_is_known_and_what_is_missing(tmp_path: Path) -> None:
    """The stretches fill the range without overlap, a hole has its reason, and the future is left out."""
    stored = prices("btc_usd", NOON, 10)
    del stored[4:6]
    async with running_site(tmp_path, stored) as site:
        site.now = NOON + 605
        found = (await site.get("/api/v1/coverage", ticker="btc_usd", start=NOON - 60, end=NOON + 86_400)).json()
        nothing = (await site.get("/api/v1/coverage", ticker="sol_usd")).json()
    assert (found["start"], found["end"], found["complete"]) == (NOON - 60, NOON + 600, False)
    edges = [edge for stretch in found["intervals"] for edge in (stretch["start"], stretch["end"])]
    assert edges == sorted(edges)
    missing = [stretch for stretch in found["intervals"] if stretch["kind"] == "missing"]
    assert [(stretch["start"], stretch["end"]) for stretch in missing] == [
        (NOON - 60, NOON),
        (NOON + 240, NOON + 360),
    ]
    assert all(stretch["reason"] for stretch in missing)
    assert (nothing["complete"], nothing["intervals"]) == (False, [])


@pytest.mark.parametrize("language", ["en", "ru"])
def test_every_reason_has_a_message(language: str) -> None:
    """The pages have a sentence for every reason of a gap."""
    words = json.loads((FRONTEND / "messages" / f"{language}.json").read_text())
    assert {f"reason.{reason}" for reason in Reason} <= set(words)


def test_every_reason_is_explained() -> None:
    """docs/api.md explains each reason."""
    document = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
    assert [reason for reason in Reason if f"| `{reason}` |" not in document] == []


async def test_a_resolution_nobody_has_is_named(tmp_path: Path) -> None:
    """A wrong resolution is answered with those there are."""
    async with running_site(tmp_path) as site:
        answer = await site.get("/api/v1/candles", ticker="btc_usd", resolution="7m")
    assert answer.status_code == 422
    assert answer.json()["parameter"] == "resolution"
    assert "'15m'" in answer.json()["expected"]


async def test_a_candle_that_is_still_open_is_not_kept(tmp_path: Path) -> None:
    """A range that ends within a candle is closed when the candle is, not when the range ends."""
    async with running_site(tmp_path, prices("btc_usd", NOON, 120)) as site:
        site.now = NOON + 7200
        query = {"ticker": "btc_usd", "start": NOON, "end": NOON + 3600}
        hours = await site.get("/api/v1/candles", resolution="1h", **query)
        day = await site.get("/api/v1/candles", resolution="1d", **{**query, "start": NOON - 43_200})
    assert hours.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert hours.json()["complete"]
    assert day.headers["cache-control"] == "no-store"
    assert day.json()["data"][0]["partial"]
