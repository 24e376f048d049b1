"""The public methods about price indices and the past: prices, bars, volatility, funding and settlements."""

from datetime import UTC, datetime
from typing import Any

from .catalogue import DAY_MS, EXPIRY_MS, SimulatedInstrument
from .charts import index_chart, tradingview_chart, volatility_index, volatility_now
from .dispatch import MethodCall, flag, handler, text, whole
from .indices import INDICES, supported
from .market_methods import instrument_named, of_currency
from .rpc_errors import RpcError, invalid
from .tickers import ticker_of

__all__: list[str] = []


@handler("public/get_index_price")
def get_index_price(call: MethodCall) -> Any:
    """The present price of an index; no time stamp."""
    price = call.state.market.index_price(_index(call), call.now_ms)
    return {"index_price": price, "estimated_delivery_price": price}


@handler("public/get_index_price_names")
def get_index_price_names(call: MethodCall) -> Any:
    """All indices."""
    names = call.state.market.index_names
    if not flag(call.params, "extended"):
        return names
    return [
        {
            "name": name,
            "future_combo_creation_enabled": name in _DERIVATIVE,
            "option_combo_creation_enabled": name in _DERIVATIVE,
        }
        for name in names
    ]


_DERIVATIVE = ("btc_usd", "eth_usd", "sol_usdc")


@handler("public/get_supported_index_names")
def get_supported_index_names(call: MethodCall) -> Any:
    """All indices, or those of a type."""
    kind = call.params.get("type", "all")
    if kind not in ("all", "spot", "derivative"):
        raise invalid("type", "invalid value")
    names = [name for name, index in INDICES.items() if supported(index)]
    return [name for name in names if kind == "all" or (name in _DERIVATIVE) == (kind == "derivative")]


@handler("public/get_index_chart_data")
def get_index_chart_data(call: MethodCall) -> Any:
    """Average prices of an index over a range."""
    return index_chart(call.state.market, _index(call), text(call.params, "range"), call.now_ms)


@handler("public/get_tradingview_chart_data")
def get_tradingview_chart_data(call: MethodCall) -> Any:
    """Bars of an instrument."""
    found, params = instrument_named(call), call.params
    if found.kind == "spot":
        raise RpcError(11060)
    start, end = whole(params, "start_timestamp"), whole(params, "end_timestamp")
    return tradingview_chart(call.state.market, found, start, end, str(params.get("resolution") or ""), call.now_ms)


@handler("public/get_volatility_index_data")
def get_volatility_index_data(call: MethodCall) -> Any:
    """Bars of the volatility index, walking backwards."""
    params, currency = call.params, text(call.params, "currency")
    if currency not in ("BTC", "ETH"):
        raise invalid("currency", "invalid value")
    start, end = whole(params, "start_timestamp"), whole(params, "end_timestamp")
    resolution = str(params.get("resolution") or "")
    return volatility_index(call.state.market, currency.lower(), start, end, resolution, call.now_ms)


@handler("public/get_historical_volatility")
def get_historical_volatility(call: MethodCall) -> Any:
    """``[[ms, value], ...]``, hourly; the first point is sometimes doubled on the real exchange."""
    currency = text(call.params, "currency")
    if currency not in ("BTC", "ETH"):
        raise invalid("currency", "invalid value")
    hour = 3_600_000
    end = call.now_ms - call.now_ms % hour
    moments = [end - 384 * hour, *range(end - 384 * hour, end + 1, hour)]
    return [[moment, volatility_now(call.state.market, currency.lower(), moment)] for moment in moments]


@handler("public/get_delivery_prices")
def get_delivery_prices(call: MethodCall) -> Any:
    """Prices that futures and options were settled at, newest first."""
    name, offset, count = _index(call), whole(call.params, "offset", 0), whole(call.params, "count", 10)
    if count > 1000:
        raise invalid("count", "value must be <= 1000")
    last = (call.now_ms - EXPIRY_MS) // DAY_MS
    rows: list[dict[str, Any]] = []
    for day in range(last - offset, last - offset - count, -1):
        moment = day * DAY_MS + EXPIRY_MS
        price = call.state.market.index_price(name, moment)
        rows.append({"date": _iso(moment), "delivery_price": price})
    return {"data": rows, "records_total": 2500}


@handler("public/get_funding_rate_value")
def get_funding_rate_value(call: MethodCall) -> Any:
    """The funding rate over a period: a bare number."""
    found, _, end = _funded(call)
    return ticker_of(call.state.market, found, end)["interest_value"] / 10


@handler("public/get_funding_rate_history")
def get_funding_rate_history(call: MethodCall) -> Any:
    """The funding of each hour of a period, oldest first; at most a month."""
    found, start, end = _funded(call)
    hour, market = 3_600_000, call.state.market
    first = max(-(-start // hour), end // hour - 744)
    rows: list[dict[str, Any]] = []
    for moment in range(first * hour, end + 1, hour):
        index = [market.index_price(found.price_index, at) for at in (moment - hour, moment)]
        rate = ticker_of(market, found, moment)["funding_8h"]
        rates = {"interest_8h": rate, "interest_1h": round(rate / 8, 12)}
        rows.append({"timestamp": moment, "index_price": index[1], "prev_index_price": index[0]} | rates)
    return rows


@handler("public/get_funding_chart_data")
def get_funding_chart_data(call: MethodCall) -> Any:
    """The funding of a perpetual over ``8h``, ``24h`` or ``1m``, in steps of an hour."""
    found, length = instrument_named(call), text(call.params, "length")
    hours = {"8h": 8, "24h": 24, "1m": 720}.get(length)
    if hours is None or not found.perpetual:
        raise invalid("instrument_name" if hours else "length", "invalid value")
    market, now = call.state.market, call.now_ms
    shown = ticker_of(market, found, now)
    moments = range(now - now % 3_600_000 - hours * 3_600_000, now + 1, 3_600_000)
    data = [(moment, ticker_of(market, found, moment)) for moment in moments]
    return {
        "interest_8h": shown["funding_8h"],
        "current_interest": shown["current_funding"],
        "data": [
            {"timestamp": moment, "index_price": row["index_price"], "interest_8h": row["funding_8h"]}
            for moment, row in data
        ],
    }


def _funded(call: MethodCall) -> tuple[SimulatedInstrument, int, int]:
    """Returns the perpetual of a request and the period."""
    found = instrument_named(call)
    if not found.perpetual:
        raise invalid("instrument_name", "invalid value")
    return found, whole(call.params, "start_timestamp"), min(whole(call.params, "end_timestamp"), call.now_ms)


@handler("public/get_mark_price_history")
def get_mark_price_history(call: MethodCall) -> Any:
    """``[[ms, mark price], ...]`` of an option, one a minute; other instruments have none, as documented."""
    found = instrument_named(call)
    start, end = whole(call.params, "start_timestamp"), min(whole(call.params, "end_timestamp"), call.now_ms)
    if found.kind != "option":
        return []
    first = max(-(-start // 60_000), end // 60_000 - 999)
    return [[moment, call.state.market.mark_price(found, moment)] for moment in range(first * 60_000, end + 1, 60_000)]


@handler("public/get_last_settlements_by_instrument")
def get_last_settlements_by_instrument(call: MethodCall) -> Any:
    """The daily settlements of a future, newest first."""
    return _settlements(call, [instrument_named(call)])


@handler("public/get_last_settlements_by_currency")
def get_last_settlements_by_currency(call: MethodCall) -> Any:
    """The daily settlements of the futures of a currency, newest first."""
    return _settlements(call, of_currency(call, text(call.params, "currency"), kind="future"))


def _settlements(call: MethodCall, instruments: list[SimulatedInstrument]) -> dict[str, Any]:
    count, market = whole(call.params, "count", 20), call.state.market
    if not 1 <= count <= 1000:
        raise invalid("count", "invalid value")
    last = (call.now_ms - EXPIRY_MS) // DAY_MS * DAY_MS + EXPIRY_MS
    futures = [found for found in instruments if found.kind == "future"]
    rows: list[dict[str, Any]] = []
    for moment in range(last, last - DAY_MS * (count // max(1, len(futures)) + 1), -DAY_MS):
        for found in futures:
            shown = ticker_of(market, found, moment)
            prices = {"index_price": shown["index_price"], "mark_price": shown["mark_price"]}
            gains = {"session_profit_loss": 0.0, "profit_loss": 0.0, "position": 0.0, "funded": 0.0, "funding": 0.0}
            known = {"type": "settlement", "timestamp": moment, "instrument_name": found.name}
            rows.append(known | prices | {name: gains[name] for name in _GAINS[found.perpetual]})
    return {"settlements": rows[:count], "continuation": None}


#: What a settlement says beside prices; of perpetuals the funding too.
_GAINS = {
    False: ("session_profit_loss", "profit_loss", "position"),
    True: ("session_profit_loss", "profit_loss", "position", "funding", "funded"),
}


@handler("public/get_trade_volumes")
def get_trade_volumes(call: MethodCall) -> Any:
    """The volumes of a day for each currency; with ``extended`` of a week and a month too."""
    periods = {"": 1} | ({"_7d": 7, "_30d": 30} if flag(call.params, "extended") else {})
    rows: list[dict[str, Any]] = []
    for currency, volume in (("BTC", 52_000.5), ("ETH", 490_000.25), ("USDC", 61_000_000.0)):
        row: dict[str, Any] = {"currency": currency}
        for suffix, days in periods.items():
            row[f"futures_volume{suffix}"] = volume * days
            row[f"calls_volume{suffix}"] = round(volume * days * 0.3, 2)
            row[f"puts_volume{suffix}"] = round(volume * days * 0.2, 2)
            row[f"spot_volume{suffix}"] = round(volume * days * 0.01, 2)
        rows.append(row)
    return rows


def _iso(moment: int) -> str:
    return datetime.fromtimestamp(moment / 1000, UTC).date().isoformat()


def _index(call: MethodCall) -> str:
    name = text(call.params, "index_name")
    if name not in INDICES:
        raise invalid("index_name", "invalid value")
    return name
