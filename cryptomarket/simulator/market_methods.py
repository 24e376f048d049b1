"""The public methods about instruments: the catalogue, tickers, books, trades and summaries."""

from collections.abc import Iterable
from itertools import islice
from typing import Any

from ..statements.errors import UNKNOWN_INSTRUMENT_REASON, WRONG_NAME_REASON
from .catalogue import DAY_MS, SimulatedInstrument, parse_instrument
from .currencies import CURRENCIES, KNOWN
from .dispatch import MethodCall, flag, handler, text, whole
from .rpc_errors import RpcError, invalid
from .tickers import ticker_of
from .trades import book, trade, trade_moments

__all__ = ["instrument_named", "of_currency"]

KINDS = ("future", "option", "spot", "future_combo", "option_combo")
#: A summary of a currency is a snapshot that is renewed so often (probed 2026).
SUMMARY_MS = 2000


def instrument_named(call: MethodCall) -> SimulatedInstrument:
    """Returns the instrument of a request; raises -32602 for a malformed name and for one that is not listed."""
    name = text(call.params, "instrument_name")
    found = call.state.market.instruments(call.now_ms).get(name)
    if found is not None:
        return found
    readable = parse_instrument(name) is not None or "PERPETUAL" in name
    raise invalid("instrument_name", UNKNOWN_INSTRUMENT_REASON.value if readable else WRONG_NAME_REASON.value)


def kind_of(call: MethodCall) -> str | None:
    """Returns the kind of a request, None for any; raises -32602 for an unknown one."""
    kind = call.params.get("kind")
    if kind in (None, "any", "all"):
        return None
    if kind not in (*KINDS, "combo"):
        raise invalid("kind", "invalid value")
    return str(kind)


def of_currency(call: MethodCall, currency: str, *, kind: str | None = None) -> list[SimulatedInstrument]:
    """Returns the listed instruments of a currency; raises -32602 for an unknown one, which has none at all."""
    return [found for found in call.state.market.instruments(call.now_ms).values() if belongs(found, currency, kind)]


def belongs(instrument: SimulatedInstrument, currency: str, kind: str | None = None) -> bool:
    """Whether an instrument is of a currency: the one it settles in, and for spot its base too; and of a kind."""
    if currency not in KNOWN:
        raise invalid("currency", "invalid value")
    own = currency in ("any", instrument.currency) or (
        instrument.kind == "spot" and currency == instrument.coin.upper()
    )
    return own and (kind in (None, instrument.kind) or (kind == "combo" and bool(instrument.legs)))


@handler("public/get_instruments")
def get_instruments(call: MethodCall) -> Any:
    """The instruments of a currency, everything without one: it is documented as required, and clients leave it out."""
    currency, kind = call.params.get("currency", "any"), kind_of(call)
    if flag(call.params, "expired"):
        return [found.json("closed") for found in _expired(call) if belongs(found, currency, kind)]
    return [found.json(_state(call, found)) for found in of_currency(call, currency, kind=kind)]


def _expired(call: MethodCall) -> list[SimulatedInstrument]:
    market, today = call.state.market, call.state.market.instruments(call.now_ms)
    return [found for name, found in market.instruments_of(call.now_ms - DAY_MS).items() if name not in today]


def _state(call: MethodCall, instrument: SimulatedInstrument) -> str:
    platform = call.state.platform
    if platform.locks(instrument.price_index):
        return "locked"
    return "settlement" if platform.settling else "open"


@handler("public/get_instrument")
def get_instrument(call: MethodCall) -> Any:
    """One instrument."""
    found = instrument_named(call)
    return found.json(_state(call, found))


@handler("public/get_contract_size")
def get_contract_size(call: MethodCall) -> Any:
    """The size of a contract."""
    return {"contract_size": instrument_named(call).contract_size}


@handler("public/get_currencies", "private/get_currencies")
def get_currencies(call: MethodCall) -> Any:
    """All currencies."""
    return CURRENCIES


@handler("public/ticker")
def ticker(call: MethodCall) -> Any:
    """The fields of the ticker channel, now."""
    found = instrument_named(call)
    return ticker_of(call.state.market, found, call.now_ms) | {"state": _state(call, found)}


@handler("public/tickers_by_currency")
def tickers_by_currency(call: MethodCall) -> Any:
    """The tickers of a currency, each with as many levels of its book as ``depth`` says."""
    depth, market = whole(call.params, "depth", 0), call.state.market
    rows: list[dict[str, Any]] = []
    for found in of_currency(call, text(call.params, "currency"), kind=kind_of(call)):
        moment = market.moment(found.name, call.now_ms)
        bids, asks = book(market, found, moment, depth)
        rows.append(ticker_of(market, found, moment) | ({"bids": bids, "asks": asks} if depth else {}))
    return rows


@handler("public/get_expirations")
def get_expirations(call: MethodCall) -> Any:
    """The dates that options and futures expire on: flat for any currency, under its name for one."""
    currency, kind = text(call.params, "currency"), kind_of(call)
    dates: dict[str, dict[str, int]] = {name: {} for name in ("option", "future") if kind in (None, name)}
    for found in of_currency(call, currency):
        if found.kind in dates:
            dates[found.kind]["PERPETUAL" if found.perpetual else found.name.split("-")[1]] = found.expires
    listed = {name: sorted(found, key=lambda date: found[date]) for name, found in dates.items()}
    return listed if currency == "any" else {currency.lower(): listed}


@handler("public/get_combos")
def get_combos(call: MethodCall) -> Any:
    """The combos of a currency."""
    return [_combo(found) for found in of_currency(call, text(call.params, "currency"), kind="combo")]


@handler("public/get_combo_ids")
def get_combo_ids(call: MethodCall) -> Any:
    """The names of the combos of a currency."""
    if call.params.get("state", "active") != "active":
        return []
    return [found.name for found in of_currency(call, text(call.params, "currency"), kind="combo")]


@handler("public/get_combo_details")
def get_combo_details(call: MethodCall) -> Any:
    """One combo."""
    found = call.state.market.instruments(call.now_ms).get(text(call.params, "combo_id"))
    if found is None or not found.legs:
        raise RpcError(13020, {"reason": "combo not found"})
    return _combo(found)


def _combo(found: SimulatedInstrument) -> dict[str, Any]:
    return {
        "id": found.name,
        "state": "active",
        "legs": [{"amount": amount, "instrument_name": leg.name} for amount, leg in found.legs],
        "creation_timestamp": found.created,
        "instrument_id": found.identifier,
        "state_timestamp": found.created + 598,
    }


@handler("public/get_book_summary_by_instrument")
def get_book_summary_by_instrument(call: MethodCall) -> Any:
    """A list of one summary."""
    return [_summary(call, instrument_named(call), call.now_ms)]


@handler("public/get_book_summary_by_currency")
def get_book_summary_by_currency(call: MethodCall) -> Any:
    """The summaries of all instruments of one currency; ``any`` is refused."""
    currency = text(call.params, "currency")
    if currency == "any":
        raise invalid("currency", "invalid currency")
    moment = call.now_ms - call.now_ms % SUMMARY_MS
    return [_summary(call, found, moment) for found in of_currency(call, currency, kind=kind_of(call))]


def _summary(call: MethodCall, found: SimulatedInstrument, moment: int) -> dict[str, Any]:
    shown = ticker_of(call.state.market, found, moment)
    stats, bid, ask = shown["stats"], shown["best_bid_price"] or None, shown["best_ask_price"] or None
    value = {
        "volume_usd": stats.get("volume_usd", 0.0),
        "volume_notional": stats.get("volume_notional", stats.get("volume_usd", 0.0)),
        "volume": stats["volume"],
        "quote_currency": found.quote_currency,
        "price_change": stats["price_change"],
        "open_interest": shown.get("open_interest"),
        "mid_price": None if bid is None or ask is None else round((bid + ask) / 2, 6),
        "mark_price": shown["mark_price"],
        "low": stats["low"],
        "last": shown["last_price"],
        "instrument_name": found.name,
        "high": stats["high"],
        "estimated_delivery_price": shown["estimated_delivery_price"],
        "creation_timestamp": moment,
        "bid_price": bid,
        "base_currency": found.coin.upper(),
        "ask_price": ask,
    }
    for name in ("funding_8h", "current_funding", "mark_iv", "underlying_price", "underlying_index", "interest_rate"):
        if name in shown:
            value[name] = shown[name]
    return value


@handler("public/get_order_book")
def get_order_book(call: MethodCall) -> Any:
    """The ticker and the order book; 13019 for an instrument that ended within the last day."""
    if call.state.market.ended(text(call.params, "instrument_name"), call.now_ms):
        raise RpcError(13019)
    return _book(call, instrument_named(call))


@handler("public/get_order_book_by_instrument_id")
def get_order_book_by_instrument_id(call: MethodCall) -> Any:
    """The ticker and the order book of the instrument with a number."""
    number = whole(call.params, "instrument_id")
    listed = call.state.market.instruments(call.now_ms).values()
    found = next((found for found in listed if found.identifier == number), None)
    if found is None:
        raise invalid("instrument_id", UNKNOWN_INSTRUMENT_REASON.value)
    return _book(call, found)


def _book(call: MethodCall, found: SimulatedInstrument) -> dict[str, Any]:
    market, depth = call.state.market, whole(call.params, "depth", 5)
    moment = market.moment(found.name, call.now_ms)
    bids, asks = book(market, found, moment, depth)
    return ticker_of(market, found, moment) | {"change_id": moment, "bids": bids, "asks": asks}


@handler("public/get_last_trades_by_instrument", "public/get_last_trades_by_instrument_and_time")
def get_last_trades_by_instrument(call: MethodCall) -> Any:
    """The trades of an instrument in a period, the newest first unless ``sorting`` says otherwise."""
    return _trades(call, [instrument_named(call)])


@handler("public/get_last_trades_by_currency", "public/get_last_trades_by_currency_and_time")
def get_last_trades_by_currency(call: MethodCall) -> Any:
    """The trades of a currency in a period, the newest first unless ``sorting`` says otherwise."""
    return _trades(call, of_currency(call, text(call.params, "currency"), kind=kind_of(call)))


def _trades(call: MethodCall, instruments: Iterable[SimulatedInstrument]) -> dict[str, Any]:
    count = whole(call.params, "count", 10)
    if not 1 <= count <= 1000:
        raise invalid("count", "invalid value")
    start, end = whole(call.params, "start_timestamp", 0), whole(call.params, "end_timestamp", call.now_ms)
    market, oldest_first = call.state.market, call.params.get("sorting") == "asc"
    traded = [found for found in instruments if found.kind != "spot"]
    most = 1 + count if len(traded) == 1 else 1 + 2 * count // max(1, len(traded))
    moments: list[tuple[int, SimulatedInstrument]] = []
    for found in traded:
        last = min(end, call.now_ms, found.expires)
        listed = trade_moments(market, found, start, last, oldest_first=oldest_first)
        moments += [(at, found) for at in islice(listed, most)]
    moments.sort(key=lambda row: row[0], reverse=not oldest_first)
    rows = [trade(market, found, at) for at, found in moments[:count]]
    return {"trades": rows, "has_more": len(moments) > count}
