"""Checks of the catalogue and of past prices, over HTTP where it has them."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from ...statements import catalogue, channels
from ..host import Host
from ..registry import check
from ..rows import Observation, saw
from .channel_data import fields, has_fields

HOUR_MS = 3_600_000


def _hour(ms: float) -> int:
    return datetime.fromtimestamp(ms / 1000, UTC).hour


@check(
    catalogue.EVERY_INSTRUMENT,
    catalogue.INSTRUMENT_FIELDS,
    catalogue.PERPETUAL_EXPIRES,
    catalogue.OPTION_QUOTE_CURRENCY,
    catalogue.EXPIRY_HOUR,
)
async def instruments(host: Host) -> AsyncIterator[Observation]:
    """Ask for every instrument."""
    rows = await host.instruments()
    kinds = {row.get("kind") for row in rows}
    yield saw(catalogue.EVERY_INSTRUMENT, bool(kinds))
    by_name = {row["instrument_name"]: row for row in rows}
    perpetual = by_name.get(host.perpetual)
    if perpetual is not None:
        yield has_fields(catalogue.INSTRUMENT_FIELDS, perpetual)
        yield saw(catalogue.PERPETUAL_EXPIRES, perpetual.get("expiration_timestamp"))
    options = [row for name, row in by_name.items() if row.get("kind") == "option" and name.startswith("BTC-")]
    if options:
        yield saw(catalogue.OPTION_QUOTE_CURRENCY, options[0].get("quote_currency"))
        hours = {_hour(row["expiration_timestamp"]) for row in options}
        yield saw(catalogue.EXPIRY_HOUR, hours.pop() if len(hours) == 1 else hours)


@check(
    catalogue.INDEX_NAMES_ARE_LIST,
    catalogue.INDEX_NAMES_EXTENDED,
    catalogue.INDEX_PRICE_FIELDS,
    catalogue.TICKER_BY_HTTP,
)
async def names_and_prices(host: Host) -> AsyncIterator[Observation]:
    """Ask for the indices, the price of one, and a ticker."""
    names = (await host.get("public/get_index_price_names")).result
    yield saw(catalogue.INDEX_NAMES_ARE_LIST, isinstance(names, list) and all(isinstance(one, str) for one in names))
    extended = (await host.get("public/get_index_price_names", extended=True)).result
    if isinstance(extended, list) and extended:
        yield saw(catalogue.INDEX_NAMES_EXTENDED, fields(extended[0]))
    price = (await host.get("public/get_index_price", index_name=host.index)).result
    yield saw(catalogue.INDEX_PRICE_FIELDS, fields(price))
    ticker = (await host.get("public/ticker", instrument_name=host.perpetual)).result
    missing = [name for name in channels.TICKER_FIELDS.value if name not in fields(ticker)]
    yield saw(catalogue.TICKER_BY_HTTP, f"without {', '.join(missing)}" if missing else True)


@check(catalogue.GET_INDEX_EXISTS, catalogue.SUMMARY_OF_ANY, catalogue.CURRENCY_FIELDS)
async def calls(host: Host) -> AsyncIterator[Observation]:
    """Make calls that changed in the last years."""
    yield saw(catalogue.GET_INDEX_EXISTS, not (await host.get("public/get_index", currency="BTC")).code)
    yield saw(
        catalogue.SUMMARY_OF_ANY, not (await host.get("public/get_book_summary_by_currency", currency="any")).code
    )
    currencies = (await host.get("public/get_currencies")).result
    if isinstance(currencies, list) and currencies:
        yield has_fields(catalogue.CURRENCY_FIELDS, currencies[0])


@check(catalogue.ANY_EXPIRATIONS, catalogue.OWN_EXPIRATIONS)
async def expirations(host: Host) -> AsyncIterator[Observation]:
    """Ask for the expirations of any currency, and of one."""
    every = (await host.get("public/get_expirations", currency="any", kind="any")).result
    yield saw(catalogue.ANY_EXPIRATIONS, bool({"option", "future"} & set(fields(every))))
    own = (await host.get("public/get_expirations", currency="BTC", kind="any")).result
    yield saw(catalogue.OWN_EXPIRATIONS, "btc" in fields(own))


@check(catalogue.INDEX_CHART_SECONDS, catalogue.DAILY_BARS_HOUR, catalogue.MOST_BARS)
async def charts(host: Host) -> AsyncIterator[Observation]:
    """Ask for past prices of an index, daily bars, and more bars than one answer has."""
    points = (await host.get("public/get_index_chart_data", index_name=host.index, range="1h")).result
    if isinstance(points, list) and len(points) > 1:
        steps = sorted(after[0] - before[0] for before, after in pairwise(points))
        yield saw(catalogue.INDEX_CHART_SECONDS, round(steps[len(steps) // 2] / 1000))
    now = int(host.clock.wall() * 1000)
    days = await _bars(host, now - 5 * 24 * HOUR_MS, now, "1D")
    if days:
        hours = {_hour(day) for day in days}
        yield saw(catalogue.DAILY_BARS_HOUR, hours.pop() if len(hours) == 1 else hours)
    most = catalogue.MOST_BARS.value
    minutes = await _bars(host, now - (most + 1000) * 60_000, now, "1")
    if minutes:
        yield saw(catalogue.MOST_BARS, len(minutes), holds=abs(len(minutes) - most) <= 1)


async def _bars(host: Host, start: int, end: int, resolution: str) -> list[int]:
    params: dict[str, Any] = {"start_timestamp": start, "end_timestamp": end, "resolution": resolution}
    answer = await host.get("public/get_tradingview_chart_data", instrument_name=host.perpetual, **params)
    return list(answer.result.get("ticks", [])) if isinstance(answer.result, dict) else []


@check(catalogue.VOLATILITY_CONTINUES, catalogue.DELIVERY_NEWEST_FIRST, catalogue.MOST_DELIVERIES)
async def volatility_and_deliveries(host: Host) -> AsyncIterator[Observation]:
    """Ask for the volatility index and for delivery prices."""
    now = int(host.clock.wall() * 1000)
    period: dict[str, Any] = {"start_timestamp": now - HOUR_MS, "end_timestamp": now, "resolution": "60"}
    volatility = (await host.get("public/get_volatility_index_data", currency="BTC", **period)).result
    yield saw(catalogue.VOLATILITY_CONTINUES, "continuation" in fields(volatility))
    prices = (await host.get("public/get_delivery_prices", index_name=host.index)).result
    dates = [row["date"] for row in prices["data"]] if isinstance(prices, dict) else []
    if len(dates) > 1:
        yield saw(catalogue.DELIVERY_NEWEST_FIRST, dates == sorted(dates, reverse=True))
    most = catalogue.MOST_DELIVERIES.value
    more = await host.get("public/get_delivery_prices", index_name=host.index, count=most + 1)
    good = await host.get("public/get_delivery_prices", index_name=host.index, count=most)
    holds = bool(more.code) and not good.code
    yield saw(catalogue.MOST_DELIVERIES, most if holds else f"{most + 1}: {more.code or 'accepted'}")
