"""The list of instruments: filters, pages, exact numbers, and what is refused."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from cryptomarket.model import Instrument, InstrumentChanged

from .site import PERPETUAL, Site, running_site

PATH = "/api/v1/instruments"
CHRISTMAS, FRIDAY = 1_798_185_600, 1_795_766_400
SPOT = Instrument("ETH_USDC", "spot", "eth_usd", "USDC", None, None, "", Decimal("0.0001"), Decimal("0.010"))


def option(name: str, strike: str, expiry: int = CHRISTMAS) -> Instrument:
    side = {"C": "call", "P": "put"}[name[-1]]
    return Instrument(name, "option", "btc_usd", "BTC", expiry, Decimal(strike), side, Decimal(1), Decimal("0.0001"))


LISTED = [
    option("BTC-25DEC26-100000-C", "100000.0"),
    option("BTC-25DEC26-100000-P", "100000.0"),
    option("BTC-27NOV26-90000-C", "90000.50", FRIDAY),
    SPOT,
]


def list_all(site: Site) -> None:
    for instrument in LISTED:
        site.bus.publish(InstrumentChanged(instrument.name, listed=True, instrument=instrument))


def names(document: Any) -> list[str]:
    return [entry["ticker"] for entry in document["data"]]


async def test_each_instrument_is_described_exactly(tmp_path: Path) -> None:
    """Numbers have every digit of the exchange, and what an instrument does not have is null."""
    async with running_site(tmp_path) as site:
        list_all(site)
        answer = await site.get(PATH)
    document = json.loads(answer.text, parse_float=Decimal)
    assert names(document) == sorted([PERPETUAL.name, *(one.name for one in LISTED)])
    assert (document["complete"], document["next"]) == (True, None)
    by_name = {entry["ticker"]: entry for entry in document["data"]}
    assert by_name["BTC-27NOV26-90000-C"] == {
        "ticker": "BTC-27NOV26-90000-C",
        "kind": "option",
        "price_index": "btc_usd",
        "unit": "BTC",
        "expiry": FRIDAY,
        "strike": Decimal("90000.50"),
        "option_type": "call",
        "contract_size": 1,
        "tick_size": Decimal("0.0001"),
    }
    assert '"strike":90000.50,' in answer.text
    assert [by_name["ETH_USDC"][name] for name in ("expiry", "strike", "option_type")] == [None] * 3


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"index": "eth_usd"}, ["ETH_USDC"]),
        ({"index": "sol_usd"}, []),
        ({"kind": "option", "expiry": "2026-12-25"}, ["BTC-25DEC26-100000-C", "BTC-25DEC26-100000-P"]),
        ({"expiry": "2026-11-27"}, ["BTC-27NOV26-90000-C"]),
        ({"expiry": "2026-11-28"}, []),
        ({"kind": "future"}, ["BTC-PERPETUAL"]),
        ({"kind": "spot", "index": "btc_usd"}, []),
    ],
)
async def test_filters_narrow_the_list(tmp_path: Path, query: dict[str, str], found: list[str]) -> None:
    """By index, kind and day of expiry, each with the others."""
    async with running_site(tmp_path) as site:
        list_all(site)
        assert names((await site.get(PATH, **query)).json()) == found


async def test_pages_are_followed_by_their_cursor(tmp_path: Path) -> None:
    """Every instrument once, in order; the link repeats the filters; the last page has no cursor."""
    async with running_site(tmp_path) as site:
        list_all(site)
        answer = await site.get(PATH, index="btc_usd", limit=2)
        pages = [names(answer.json())]
        while link := answer.links.get("next"):
            site.bus.publish(InstrumentChanged(pages[0][0], listed=False))  # what ends meanwhile shifts no page
            answer = await site.client.get(link["url"])
            pages.append(names(answer.json()))
    assert answer.json()["next"] is None
    assert pages == [["BTC-25DEC26-100000-C", "BTC-25DEC26-100000-P"], ["BTC-27NOV26-90000-C", "BTC-PERPETUAL"]]


async def test_an_unchanged_list_is_not_sent_again(tmp_path: Path) -> None:
    """The ETag is that of the content: a listing changes it."""
    async with running_site(tmp_path) as site:
        first = await site.get(PATH)
        assert first.headers["cache-control"] == "no-cache"
        held = {"If-None-Match": first.headers["etag"]}
        assert (await site.client.get(PATH, headers=held)).status_code == 304
        list_all(site)
        assert (await site.client.get(PATH, headers=held)).status_code == 200


async def test_an_unknown_index_is_404_with_the_nearest(tmp_path: Path) -> None:
    """The problem names the parameter, and offers indices only."""
    async with running_site(tmp_path) as site:
        answer = await site.get(PATH, index="btc_us")
        other = await site.get(PATH, index="BTC-PERPETUAL")
    assert (answer.status_code, answer.json()["parameter"]) == (404, "index")
    assert answer.json()["nearest"] == ["btc_usd", "eth_usd"]
    assert other.status_code == 404


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("kind", "perpetual"),
        ("expiry", "2026-02-30"),
        ("expiry", "25DEC26"),
        ("expiry", ""),
        ("limit", "1001"),
        ("limit", "0"),
        ("limit", "many"),
    ],
)
async def test_wrong_values_are_refused_by_name(tmp_path: Path, name: str, value: str) -> None:
    """422 with the parameter and what was expected."""
    async with running_site(tmp_path) as site:
        answer = await site.get(PATH, **{name: value})
    assert (answer.status_code, answer.json()["parameter"]) == (422, name)
    assert answer.json()["expected"]
