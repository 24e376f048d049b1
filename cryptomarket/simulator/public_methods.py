"""The public methods of the exchange."""

from datetime import UTC, datetime
from typing import Any

from .catalogue import CURRENCIES, DAY_MS, INDICES, SimulatedInstrument
from .charts import index_chart, tradingview_chart, volatility_index, volatility_now
from .dispatch import MethodCall, flag, handler, text, whole
from .market import SETTLEMENT_MS
from .rpc_errors import RpcError, invalid
from .trading_methods import CURRENCIES as TRADED
from .trading_methods import instrument_named

__all__: list[str] = []


@handler("public/get_time")
def get_time(call: MethodCall) -> Any:
    """The clock of the exchange, UNIX ms."""
    return call.now_ms


@handler("public/status")
def status(call: MethodCall) -> Any:
    """Locks of the platform; ``locked`` is a string in the JSON."""
    platform = call.state.platform
    if platform.all_locked:
        return {"locked": "true"}
    if platform.locked:
        return {"locked": "partial", "locked_indices": sorted(platform.locked)}
    return {"locked": "false"}


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
    names = call.state.market.index_names
    return [name for name in names if kind == "all" or (name in _DERIVATIVE) == (kind == "derivative")]


@handler("public/get_currencies")
def get_currencies(call: MethodCall) -> Any:
    """All currencies."""
    return CURRENCIES


_KINDS = ("future", "option", "spot", "future_combo", "option_combo")


@handler("public/get_instruments")
def get_instruments(call: MethodCall) -> Any:
    """The instruments of a currency: by settlement currency, and for spot also by base currency."""
    # Documented as required; widely used clients leave it out and receive everything.
    currency, kind = call.params.get("currency", "any"), call.params.get("kind")
    if currency not in TRADED:
        raise invalid("currency", "invalid value")
    if kind is not None and kind not in _KINDS:
        raise invalid("kind", "invalid value")
    if flag(call.params, "expired"):
        return [found.json("closed") for found in _expired(call) if _belongs(found, currency, kind)]
    listed = call.state.market.instruments(call.now_ms).values()
    return [found.json(_state(call, found)) for found in listed if _belongs(found, currency, kind)]


def _belongs(instrument: SimulatedInstrument, currency: str, kind: Any) -> bool:
    settled = "USDC" if instrument.linear else instrument.coin.upper()
    return (currency in ("any", settled) or (instrument.kind == "spot" and currency == instrument.coin.upper())) and (
        kind in (None, instrument.kind)
    )


def _expired(call: MethodCall) -> list[SimulatedInstrument]:
    today = call.state.market.instruments(call.now_ms)
    return [
        found for name, found in call.state.market.instruments_of(call.now_ms - DAY_MS).items() if name not in today
    ]


def _state(call: MethodCall, instrument: SimulatedInstrument) -> str:
    platform = call.state.platform
    if platform.all_locked or instrument.price_index in platform.locked:
        return "locked"
    return "settlement" if platform.settling else "open"


@handler("public/get_instrument")
def get_instrument(call: MethodCall) -> Any:
    """One instrument."""
    found = instrument_named(call)
    return found.json(_state(call, found))


@handler("public/ticker")
def ticker(call: MethodCall) -> Any:
    """The fields of the ticker channel, now."""
    found = instrument_named(call)
    return call.state.market.ticker(found, call.now_ms) | {"state": _state(call, found)}


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
    last = (call.now_ms - SETTLEMENT_MS) // DAY_MS
    rows: list[dict[str, Any]] = []
    for day in range(last - offset, last - offset - count, -1):
        moment = day * DAY_MS + SETTLEMENT_MS
        price = call.state.market.index_price(name, moment)
        rows.append({"date": _iso(moment), "delivery_price": price})
    return {"data": rows, "records_total": 2500}


@handler("public/get_funding_rate_value")
def get_funding_rate_value(call: MethodCall) -> Any:
    """The funding rate over a period: a bare number."""
    found = instrument_named(call)
    if not found.perpetual:
        raise invalid("instrument_name", "invalid value")
    whole(call.params, "start_timestamp")
    end = min(whole(call.params, "end_timestamp"), call.now_ms)
    return call.state.market.ticker(found, end)["interest_value"] / 10


def _iso(moment: int) -> str:
    return datetime.fromtimestamp(moment / 1000, UTC).date().isoformat()


def _index(call: MethodCall) -> str:
    name = text(call.params, "index_name")
    if name not in INDICES:
        raise invalid("index_name", "invalid value")
    return name
