"""Trades and order books of the simulated market: pure functions of market and time, like its prices."""

from collections.abc import Iterator, Sequence
from typing import Any

from .catalogue import DAY_MS, SimulatedInstrument
from .market import Market
from .random_walk import key_of, noise
from .tickers import ticker_of

__all__ = ["book", "book_change", "last_trade", "trade", "trade_moments"]

DEPTH = 12
TRADE_MS = 700


def trade_moments(
    market: Market, instrument: SimulatedInstrument, start: int, end: int, *, oldest_first: bool = False
) -> Iterator[int]:
    """Yields when trades happened from ``start`` to ``end`` (UNIX ms), the newest first; options trade rarely."""
    key, threshold = key_of(market.seed, f"trade-{instrument.name}"), -0.3 if instrument.kind == "future" else 0.85
    every = market.scaled_ms(TRADE_MS)
    first, last = -(-start // every), end // every
    for slot in range(first, last + 1) if oldest_first else range(last, first - 1, -1):
        if noise(key, slot) >= threshold:
            yield slot * every


def last_trade(market: Market, instruments: Sequence[SimulatedInstrument], now_ms: int) -> int:
    """When any of the instruments last traded (UNIX ms); 0 when none did within a day.

    It looks at one moment after the other, so that it is quick for many instruments: one of them traded lately.
    """
    every = market.scaled_ms(TRADE_MS)
    for at in range(now_ms - now_ms % every, now_ms - DAY_MS, -every):
        for found in instruments:
            if at <= found.expires and any(trade_moments(market, found, at, at)):
                return at
    return 0


def trade(market: Market, instrument: SimulatedInstrument, at: int) -> dict[str, Any]:
    """The trade that happened at that moment; a trade of a combo has the trades of its legs."""
    key = key_of(market.seed, f"size-{instrument.name}")
    number = at // market.scaled_ms(TRADE_MS)
    shown, buys = ticker_of(market, instrument, at), noise(key, number) > 0
    amount = shown["best_ask_amount" if buys else "best_bid_amount"] or instrument.min_trade_amount
    price = shown["best_ask_price" if buys else "best_bid_price"] or shown["best_ask_price"] or shown["mark_price"]
    value = _trade(instrument, shown, at, number, price, amount, buys)
    value["tick_direction"] = int((noise(key, number - 1) + 1) * 2)
    if instrument.kind == "future" and noise(key + 1, number) > 0.99:
        value["liquidation"] = ("M", "T", "MT")[number % 3]
    if instrument.legs:
        value["legs"] = [_leg(market, instrument, value, share, leg) for share, leg in instrument.legs]
    return value


def _leg(
    market: Market, instrument: SimulatedInstrument, whole: dict[str, Any], share: int, leg: SimulatedInstrument
) -> dict[str, Any]:
    """The trade of a leg, at its mark price."""
    shown = ticker_of(market, leg, whole["timestamp"])
    buys = (whole["direction"] == "buy") == (share > 0)
    price, amount = leg.on_tick(shown["mark_price"]), round(abs(share) * whole["amount"], 4)
    value = _trade(leg, shown, whole["timestamp"] + 1, whole["trade_seq"], price, amount, buys)
    return value | {"combo_id": instrument.name, "combo_trade_id": whole["trade_id"]}


def _trade(
    instrument: SimulatedInstrument,
    shown: dict[str, Any],
    at: int,
    number: int,
    price: float,
    amount: float,
    buys: bool,
) -> dict[str, Any]:
    value: dict[str, Any] = {
        "timestamp": at,
        "price": price,
        "amount": amount,
        "direction": "buy" if buys else "sell",
        "index_price": shown["index_price"],
        "instrument_name": instrument.name,
        "trade_seq": number % 1_000_000_000,
        "mark_price": shown["mark_price"],
        "tick_direction": 0,
        # Greater than 2**53, as real ids are: a browser that reads them as numbers loses digits.
        "starbase_match_id": 225_046_781_992_000_000 + number % 1_000_000_000,
        "trade_id": f"{instrument.number_prefix}{number % 1_000_000_000}",
        "contracts": round(amount / instrument.contract_size, 4),
        "starbase_timestamp": at * 1_000_000 + 718_924,
    }
    return value | {"iv": shown["mark_iv"]} if instrument.kind == "option" else value


def book(market: Market, instrument: SimulatedInstrument, at: int, depth: int = DEPTH) -> tuple[list[Any], list[Any]]:
    """Bids and asks as ``[price, amount]``, the best first."""
    shown, tick = ticker_of(market, instrument, at), instrument.tick_size
    key, least = key_of(market.seed, f"book-{instrument.name}"), instrument.min_trade_amount

    def side(best: float, step: float, salt: int) -> list[Any]:
        levels = [round(best + step * place, 10) for place in range(depth)]
        return [
            # A level keeps its amount for some time, so that there are few changes.
            [price, round(least * (1 + int((noise(key + salt, int(price / tick) + at // 4000) + 1) * 9000)), 4)]
            for price in levels
            if best and (price > 0 or instrument.legs)
        ]

    return side(shown["best_bid_price"], -tick, 1), side(shown["best_ask_price"], tick, 2)


def book_change(old: list[Any], new: list[Any]) -> list[list[Any]]:
    """Returns the changes from the old side of a book to the new one: ``[new|change|delete, price, amount]``."""
    before, after = dict(old), dict(new)
    rows: list[list[Any]] = [["delete", price, 0.0] for price in before if price not in after]
    for price, amount in after.items():
        if price not in before:
            rows.append(["new", price, amount])
        elif before[price] != amount:
            rows.append(["change", price, amount])
    return rows
