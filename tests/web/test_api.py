from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from cryptomarket.model import Price

from .site import NOON, prices, running_site


async def test_a_list_has_one_shape_and_exact_prices(tmp_path: Path) -> None:
    """The bytes are the contract's: ticker, complete, data, next, and each price with all of its digits."""
    stored = [
        Price("btc_usd", NOON, Decimal("64250.1300"), (NOON + 1) * 1000 + 123, epoch=1),
        Price("btc_usd", NOON + 60, Decimal("0.00000001234567890123456789"), (NOON + 61) * 1000, epoch=1),
    ]
    async with running_site(tmp_path, stored) as site:
        answer = await site.get("/api/v1/prices", ticker="btc_usd")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.text == (
        '{"ticker":"btc_usd","complete":true,"data":['
        f'{{"ticker":"btc_usd","price":64250.1300,"timestamp":{NOON},"exchange_timestamp":{NOON + 1}123}},'
        '{"ticker":"btc_usd","price":0.00000001234567890123456789,'
        f'"timestamp":{NOON + 60},"exchange_timestamp":{NOON + 61}000}}'
        '],"next":null}'
    )


async def test_the_start_is_included_and_the_end_is_not(tmp_path: Path) -> None:
    """Neighbouring ranges share no price and lose none."""
    async with running_site(tmp_path, prices("btc_usd", NOON, 5)) as site:
        answer = (await site.get("/api/v1/prices", ticker="btc_usd", start=NOON + 60, end=NOON + 180)).json()
    assert [price["timestamp"] for price in answer["data"]] == [NOON + 60, NOON + 120]


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_pages_lead_through_the_whole_history_once(tmp_path: Path, order: str) -> None:
    """Following `next` returns every price exactly once, in the requested order, and ends with null."""
    async with running_site(tmp_path, prices("btc_usd", NOON, 25)) as site:
        site.now = NOON + 25 * 60
        seen, cursor = [], None
        for _ in range(4):
            answer = await site.get("/api/v1/prices", ticker="btc_usd", limit=7, order=order, cursor=cursor)
            page = answer.json()
            assert page["complete"]
            seen += [price["timestamp"] for price in page["data"]]
            cursor = page["next"]
        assert cursor is None
    expected = [NOON + 60 * i for i in range(25)]
    assert seen == (expected if order == "asc" else expected[::-1])


async def test_a_missing_slot_makes_a_list_incomplete(tmp_path: Path) -> None:
    """A hole is shown by `complete`, never hidden."""
    stored = prices("btc_usd", NOON, 5)
    del stored[2]
    async with running_site(tmp_path, stored) as site:
        site.now = NOON + 3600
        answer = (await site.get("/api/v1/prices", ticker="btc_usd", start=NOON, end=NOON + 300)).json()
    assert answer["complete"] is False
    assert len(answer["data"]) == 4


async def test_dates_filter_with_and_without_an_end(tmp_path: Path) -> None:
    """`end_date` may be left out; as a bare date it includes its day."""
    yesterday = NOON - 86_400
    stored = prices("btc_usd", yesterday, 2) + prices("btc_usd", NOON, 2)
    async with running_site(tmp_path, stored) as site:
        both = await site.get("/api/v1/prices/filter", ticker="btc_usd", start_date="2025-11-19")
        first = await site.get(
            "/api/v1/prices/filter", ticker="btc_usd", start_date="2025-11-19", end_date="2025-11-19"
        )
        unix = await site.get("/api/v1/prices/filter", ticker="btc_usd", start_date=NOON, end_date=NOON * 1000 + 60_000)
    assert [price["timestamp"] for price in both.json()["data"]] == [yesterday, yesterday + 60, NOON, NOON + 60]
    assert [price["timestamp"] for price in first.json()["data"]] == [yesterday, yesterday + 60]
    assert [price["timestamp"] for price in unix.json()["data"]] == [NOON]


async def test_the_latest_price_is_the_newest_tick_else_the_newest_stored(tmp_path: Path) -> None:
    """Before the first tick the response is the stored price, afterwards the tick in the form of the stream."""
    async with running_site(tmp_path, prices("btc_usd", NOON, 2)) as site:
        stored = await site.get("/api/v1/prices/latest", ticker="btc_usd")
        site.tick("btc_usd", "64250.10", ms=NOON * 1000 + 7)
        live = await site.get("/api/v1/prices/latest", ticker="btc_usd")
        site.latest.follow(frozenset({"BTC-PERPETUAL"}), frozenset())
        site.tick("BTC-PERPETUAL", "8700", ms=NOON * 1000, bid=Decimal("8699.5"))
        instrument = await site.get("/api/v1/prices/latest", ticker="BTC-PERPETUAL")
    assert stored.json()["timestamp"] == NOON + 60
    assert live.text == f'{{"ticker":"btc_usd","price":64250.10,"timestamp":{NOON},"exchange_timestamp":{NOON}007}}'
    assert instrument.text.endswith('"last":null,"bid":8699.5,"ask":null}')


async def test_the_latest_price_has_the_fields_that_were_asked_for(tmp_path: Path) -> None:
    """An index has none, in any case; a wrong name is 422."""
    values = ("8700,8699.5,null,10,0.0", None, None, "0.00001,-0.0000031", "797578130,8701.10,null")
    path = "/api/v1/prices/latest"
    async with running_site(tmp_path) as site:
        site.tick("btc_usd", "64250.10")
        site.latest.follow(frozenset({"BTC-PERPETUAL"}), frozenset())
        site.tick("BTC-PERPETUAL", "8700", ms=NOON * 1000, bid=Decimal("8699.5"), fields=values)
        usual = await site.get(path, ticker="BTC-PERPETUAL")
        asked = await site.get(path, ticker="BTC-PERPETUAL", fields="funding,greeks,quote")
        index = await site.get(path, ticker="btc_usd", fields="quote")
        index_usual = await site.get(path, ticker="btc_usd")
        wrong = await site.get(path, ticker="btc_usd", fields="quotes")
    assert "quote" not in usual.text
    assert asked.text == usual.text[:-1] + (
        ',"quote":{"last":8700,"bid":8699.5,"ask":null,"bid_amount":10,"ask_amount":0.0},"greeks":null,'
        '"funding":{"current_funding":0.00001,"funding_8h":-0.0000031}}'
    )
    assert index.text == index_usual.text
    assert (wrong.status_code, wrong.json()["parameter"]) == (422, "fields")


async def test_a_known_ticker_without_a_price_is_a_404_that_says_so(tmp_path: Path) -> None:
    """A ticker without a price differs from an unknown name."""
    async with running_site(tmp_path) as site:
        answer = await site.get("/api/v1/prices/latest", ticker="sol_usd")
    assert answer.status_code == 404
    assert answer.json()["type"] == "urn:cryptomarket:problem:no-price-yet"


async def test_a_ticker_that_is_only_stored_is_known(tmp_path: Path) -> None:
    """A delisted ticker keeps its history."""
    async with running_site(tmp_path, prices("BTC-20NOV25", NOON, 1)) as site:
        answer = await site.get("/api/v1/prices", ticker="BTC-20NOV25")
    assert answer.status_code == 200
    assert len(answer.json()["data"]) == 1


async def test_the_catalogue_lists_configured_tickers_first(tmp_path: Path) -> None:
    """Every name, its kind, and whether it is always recorded; a search narrows it."""
    async with running_site(tmp_path) as site:
        everything = (await site.get("/api/v1/tickers")).json()
        some = (await site.get("/api/v1/tickers", search="BTC", limit=1)).json()
    assert [entry["ticker"] for entry in everything["data"]] == ["btc_usd", "eth_usd", "BTC-PERPETUAL", "sol_usd"]
    assert everything["complete"] is True
    assert some == {"complete": False, "data": [{"ticker": "btc_usd", "kind": "index", "configured": True}]}


ROUTES = {"/api/v1/prices": {}, "/api/v1/prices/latest": {}, "/api/v1/prices/filter": {"start_date": "2025-11-20"}}


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("ticker", [None, ""])
async def test_a_missing_ticker_is_a_422_that_names_it(tmp_path: Path, path: str, ticker: str | None) -> None:
    """`ticker` is mandatory on every price route."""
    async with running_site(tmp_path) as site:
        answer = await site.get(path, ticker=ticker, **ROUTES[path])
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["parameter"] == "ticker"


@pytest.mark.parametrize("path", ROUTES)
async def test_an_unknown_ticker_is_a_404_with_the_nearest_names(tmp_path: Path, path: str) -> None:
    """A slip of the finger is answered with what was probably meant."""
    async with running_site(tmp_path) as site:
        answer = await site.get(path, ticker="btc_usdd", **ROUTES[path])
    assert answer.status_code == 404
    problem = answer.json()
    assert problem["type"] == "urn:cryptomarket:problem:unknown-ticker"
    assert problem["nearest"][0] == "btc_usd"
    assert problem["instance"] == path


@pytest.mark.parametrize(
    ("path", "query", "parameter"),
    [
        ("prices", {"start": "nonsense"}, "start"),
        ("prices", {"end": "2025-11-31"}, "end"),
        ("prices", {"start": "2025-11-21", "end": "2025-11-19"}, "start"),
        ("prices", {"limit": 0}, "limit"),
        ("prices", {"limit": 10_001}, "limit"),
        ("prices", {"limit": "many"}, "limit"),
        ("prices", {"limit": "9" * 5000}, "limit"),
        ("prices", {"order": "up"}, "order"),
        ("prices", {"cursor": "asc-x"}, "cursor"),
        ("prices", {"cursor": "asc-5", "order": "desc"}, "cursor"),
        ("prices/filter", {}, "start_date"),
        ("prices/filter", {"start_date": "2025-11-21", "end_date": "2025-11-19"}, "start_date"),
        ("prices/filter", {"start_date": "2025-11-21", "end_date": "soon"}, "end_date"),
    ],
)
async def test_a_wrong_parameter_is_named(tmp_path: Path, path: str, query: dict[str, Any], parameter: str) -> None:
    """A 422 problem names the parameter and what was expected, and does not repeat the value."""
    async with running_site(tmp_path) as site:
        answer = await site.get(f"/api/v1/{path}", ticker="btc_usd", **query)
    assert answer.status_code == 422
    problem = answer.json()
    assert (problem["parameter"], problem["status"]) == (parameter, 422)
    assert problem["expected"] in problem["detail"]
    assert "nonsense" not in answer.text


async def test_a_database_that_is_gone_is_a_503_that_can_be_repeated(tmp_path: Path) -> None:
    """Stored prices answer 503 with Retry-After; the newest price is still served from memory."""
    async with running_site(tmp_path) as site:
        site.tick("btc_usd", "64250.13")
        (tmp_path / "prices.db").rename(tmp_path / "away.db")
        (tmp_path / "prices.db").mkdir()
        await site.store.database.readers.dispose()
        answer = await site.get("/api/v1/prices", ticker="btc_usd")
        newest = await site.get("/api/v1/prices/latest", ticker="btc_usd")
        (tmp_path / "prices.db").rmdir()
        (tmp_path / "away.db").rename(tmp_path / "prices.db")
        healed = await site.get("/api/v1/prices", ticker="btc_usd")
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert str(tmp_path) not in answer.text
    assert newest.status_code == 200
    assert healed.status_code == 200
