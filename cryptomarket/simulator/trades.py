"""Trades and order books of the simulated market: pure functions of market and time, like its prices."""

from typing import Any

from .catalogue import SimulatedInstrument
from .market import Market
from .random_walk import key_of, noise

__all__ = ["book", "book_change", "last_trade", "trade"]

DEPTH = 12
TRADE_MS = 700


def last_trade(market: Market, instrument: SimulatedInstrument, moment: int) -> int:
    """When the newest trade happened (UNIX ms); options trade rarely."""
    key, threshold = key_of(market.seed, f"trade-{instrument.name}"), 0.85 if instrument.kind == "option" else -0.3
    slot = moment // market.scaled_ms(TRADE_MS)
    while noise(key, slot) < threshold:
        slot -= 1
    return slot * market.scaled_ms(TRADE_MS)


def trade(market: Market, instrument: SimulatedInstrument, at: int) -> dict[str, Any]:
    """The trade that happened at that moment."""
    key, ticker = key_of(market.seed, f"size-{instrument.name}"), market.ticker(instrument, at)
    number = at // market.scaled_ms(TRADE_MS)
    buys = noise(key, number) > 0
    amount = ticker["best_ask_amount" if buys else "best_bid_amount"] or 1.0
    price = ticker["best_ask_price" if buys else "best_bid_price"] or ticker["best_ask_price"]
    prefix = "" if instrument.coin == "btc" else f"{instrument.coin.upper()}-"
    value: dict[str, Any] = {
        "timestamp": at,
        "price": price,
        "amount": amount,
        "direction": "buy" if buys else "sell",
        "index_price": ticker["index_price"],
        "instrument_name": instrument.name,
        "trade_seq": number % 1_000_000_000,
        "mark_price": ticker["mark_price"],
        "tick_direction": int((noise(key, number - 1) + 1) * 2),
        # Greater than 2**53, as real ids are: a browser that reads them as numbers loses digits.
        "starbase_match_id": 225_046_781_992_000_000 + number % 1_000_000_000,
        "trade_id": f"{prefix}{number % 1_000_000_000}",
        "contracts": round(amount / (10 if instrument.kind == "future" and instrument.coin == "btc" else 1), 4),
        "starbase_timestamp": at * 1_000_000 + 718_924,
    }
    return value | {"iv": ticker["mark_iv"]} if instrument.kind == "option" else value


def book(market: Market, instrument: SimulatedInstrument, at: int, depth: int = DEPTH) -> tuple[list[Any], list[Any]]:
    """Bids and asks as ``[price, amount]``, the best first."""
    ticker, tick = market.ticker(instrument, at), instrument.tick_size
    key = key_of(market.seed, f"book-{instrument.name}")

    def side(best: float, step: float, salt: int) -> list[Any]:
        levels = [round(best + step * place, 6) for place in range(depth)]
        return [
            # A level keeps its amount for some time, so that there are few changes.
            [price, float(10 * (1 + int((noise(key + salt, int(price / tick) + at // 4000) + 1) * 9000)))]
            for price in levels
            if best and price > 0
        ]

    return side(ticker["best_bid_price"], -tick, 1), side(ticker["best_ask_price"], tick, 2)


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
