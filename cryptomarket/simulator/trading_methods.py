"""The public methods that look up instruments, books, trades and summaries."""

from typing import Any

from .catalogue import COINS, SimulatedInstrument, parse_instrument
from .dispatch import MethodCall, handler, text, whole
from .rpc_errors import RpcError, invalid
from .trades import book, last_trade, trade

__all__ = ["CURRENCIES", "instrument_named"]

CURRENCIES = ("BTC", "ETH", "USDC", "USDT", "EURR", "any")


def instrument_named(call: MethodCall) -> SimulatedInstrument:
    """Returns the instrument of a request; a malformed name is a wrong parameter, an unknown one is not found."""
    name = text(call.params, "instrument_name")
    found = call.state.market.instruments(call.now_ms).get(name)
    if found is not None:
        return found
    if parse_instrument(name) is None and "PERPETUAL" not in name:
        raise invalid("instrument_name", "wrong format")
    raise RpcError(13020, {"reason": "instrument_not_found"})


def _of_currency(call: MethodCall, *, kind: Any = None) -> list[SimulatedInstrument]:
    currency = text(call.params, "currency")
    if currency not in CURRENCIES:
        raise invalid("currency", "invalid value")
    listed = call.state.market.instruments(call.now_ms).values()
    return [
        found
        for found in listed
        if currency in ("any", "USDC" if found.linear else found.coin.upper()) and kind in (None, "any", found.kind)
    ]


@handler("public/get_expirations")
def get_expirations(call: MethodCall) -> Any:
    """The dates that options and futures of a currency expire on, as their names spell them."""
    dates: dict[str, dict[str, int]] = {"option": {}, "future": {}}
    for found in _of_currency(call):
        if found.kind in dates:
            dates[found.kind]["PERPETUAL" if found.perpetual else found.name.split("-")[1]] = found.expires
    return {kind: sorted(names, key=lambda name: names[name]) for kind, names in dates.items()}


@handler("public/get_combos")
def get_combos(call: MethodCall) -> Any:
    """One call spread for each of the coins that have options."""
    rows: list[dict[str, Any]] = []
    for coin in ("btc", "eth"):
        calls = [found for found in _of_currency(call) if found.coin == coin and found.option_type == "call"]
        if calls:
            low, high = calls[3], calls[5]
            name = f"{coin.upper()}-CS-{low.name.split('-')[1]}-{low.strike:.0f}_{high.strike:.0f}"
            rows.append(
                {
                    "id": name,
                    "state": "active",
                    "legs": [
                        {"amount": 1, "instrument_name": low.name},
                        {"amount": -1, "instrument_name": high.name},
                    ],
                    "creation_timestamp": low.created,
                    "instrument_id": low.identifier + 1,
                    "state_timestamp": low.created + 598,
                }
            )
    return rows


@handler("public/get_book_summary_by_instrument")
def get_book_summary_by_instrument(call: MethodCall) -> Any:
    """A list of one summary."""
    return [_summary(call, instrument_named(call))]


@handler("public/get_book_summary_by_currency")
def get_book_summary_by_currency(call: MethodCall) -> Any:
    """The summaries of all instruments of a currency."""
    return [_summary(call, found) for found in _of_currency(call, kind=call.params.get("kind"))]


def _summary(call: MethodCall, found: SimulatedInstrument) -> dict[str, Any]:
    ticker = call.state.market.ticker(found, call.now_ms)
    stats, bid, ask = ticker["stats"], ticker["best_bid_price"] or None, ticker["best_ask_price"]
    value = {
        "volume_usd": stats["volume_usd"],
        "volume_notional": stats.get("volume_notional", stats["volume_usd"]),
        "volume": stats["volume"],
        "quote_currency": found.json()["quote_currency"],
        "price_change": stats["price_change"],
        "open_interest": ticker.get("open_interest"),
        "mid_price": None if bid is None else round((bid + ask) / 2, 6),
        "mark_price": ticker["mark_price"],
        "low": stats["low"],
        "last": ticker["last_price"],
        "instrument_name": found.name,
        "high": stats["high"],
        "estimated_delivery_price": ticker["estimated_delivery_price"],
        "creation_timestamp": call.now_ms,
        "bid_price": bid,
        "base_currency": found.coin.upper(),
        "ask_price": ask,
    }
    for name in ("funding_8h", "current_funding", "mark_iv", "underlying_price", "underlying_index", "interest_rate"):
        if name in ticker:
            value[name] = ticker[name]
    return value


@handler("public/get_order_book")
def get_order_book(call: MethodCall) -> Any:
    """The ticker and the order book."""
    found = instrument_named(call)
    moment = call.state.market.moment(found.name, call.now_ms)
    bids, asks = book(call.state.market, found, moment, whole(call.params, "depth", 5))
    return call.state.market.ticker(found, moment) | {"change_id": moment, "bids": bids, "asks": asks}


@handler("public/get_last_trades_by_instrument")
def get_last_trades_by_instrument(call: MethodCall) -> Any:
    """The newest trades of an instrument, newest first."""
    return _trades(call, [instrument_named(call)])


@handler("public/get_last_trades_by_currency")
def get_last_trades_by_currency(call: MethodCall) -> Any:
    """The newest trades of a currency, newest first."""
    return _trades(call, [found for found in _of_currency(call, kind=call.params.get("kind")) if found.coin in COINS])


def _trades(call: MethodCall, instruments: list[SimulatedInstrument]) -> dict[str, Any]:
    count = whole(call.params, "count", 10)
    if not 1 <= count <= 1000:
        raise invalid("count", "invalid value")
    market, rows = call.state.market, []
    for found in instruments:
        at = last_trade(market, found, min(call.now_ms, found.expires))
        for _ in range(min(count, 1 + count // len(instruments))):
            rows.append(trade(market, found, at))
            at = last_trade(market, found, at - 1)
    rows.sort(key=lambda row: int(row["timestamp"]), reverse=True)
    return {"trades": rows[:count], "has_more": True}
