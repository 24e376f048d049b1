"""The ticker of an instrument: every field that ``ticker.*`` and ``public/ticker`` say of it at a moment."""

import math
from typing import Any

from .catalogue import DAY_MS, SimulatedInstrument
from .market import Market
from .random_walk import key_of, noise

__all__ = ["ticker_of"]


def ticker_of(market: Market, instrument: SimulatedInstrument, now_ms: int) -> dict[str, Any]:
    """Returns the fields of the ticker at a moment (UNIX ms)."""
    moment = market.moment(instrument.name, now_ms)
    key = key_of(market.seed, instrument.name)
    if instrument.legs:
        return _combo(market, instrument, moment, key)
    if instrument.kind == "option":
        return _option(market, instrument, moment, key)
    return _future(market, instrument, moment, key)


def _future(market: Market, instrument: SimulatedInstrument, moment: int, key: int) -> dict[str, Any]:
    mark, tick = market.mark_price(instrument, moment), instrument.tick_size
    index = market.index_price(instrument.price_index, moment)
    bid = instrument.on_tick(mark * (1 + noise(key, moment // 400) * 5e-5))
    day = market.of_day(instrument, moment)
    value: dict[str, Any] = {
        # Exchange timestamps are no sequence: some step back a little, as recorded.
        "timestamp": moment - (136 if noise(key + 1, moment) > 0.98 else 0),
        "state": "open",
        "stats": _stats(market, instrument, mark, day),
        "index_price": index,
        "instrument_name": instrument.name,
        "last_price": instrument.on_tick(mark * (1 + noise(key, moment // 3000) * 8e-5)),
        "settlement_price": day["settlement"],
        "min_price": instrument.on_tick(mark * 0.985),
        "max_price": instrument.on_tick(mark * 1.015),
        "open_interest": _open_interest(instrument, noise(key, moment // 60_000)),
        "mark_price": mark,
        "estimated_delivery_price": index,
        "best_ask_price": instrument.on_tick(bid + tick),
        "best_bid_price": bid,
        "best_ask_amount": _amount(instrument, noise(key + 2, moment)),
        "best_bid_amount": _amount(instrument, noise(key + 3, moment)),
    }
    if instrument.perpetual:
        value["interest_value"] = noise(key, moment // 60_000) * 1e-3
        value["current_funding"] = round(max(0.0, noise(key, moment // 30_000)) * 2e-4, 8)
        value["funding_8h"] = round(noise(key, moment // 900_000) * 2e-5, 8)
    elif instrument.kind == "spot":
        for absent in ("settlement_price", "open_interest"):
            del value[absent]
    return value


def _open_interest(instrument: SimulatedInstrument, random: float) -> float:
    """Dollars, a whole number, of inverse futures; coins of linear ones (recorded 2026)."""
    if instrument.linear:
        return round(459.3409 + 20 * random, 4)
    return 797_000_000 + int(random * 1e6) * 10


def _stats(market: Market, instrument: SimulatedInstrument, mark: float, day: dict[str, float]) -> dict[str, Any]:
    dollars = 781_497_780.0 + round(noise(key_of(market.seed, instrument.name), int(mark)) * 1e6) * 10
    return {
        "high": instrument.on_tick(max(day["high"], mark)),
        "low": instrument.on_tick(min(day["low"], mark)),
        "price_change": round((mark / day["first"] - 1) * 100, 4),
        "volume": round(dollars / mark, 8),
        "volume_usd": dollars,
        "volume_notional": dollars,
    }


def _option(market: Market, instrument: SimulatedInstrument, moment: int, key: int) -> dict[str, Any]:
    computed, on_tick = market.option(instrument, moment), instrument.on_tick
    mark, index = computed["mark_price"], market.index_price(instrument.price_index, moment)
    tick = instrument.tick_size
    wanted = mark >= 5 * tick
    bid = max(on_tick(mark - 5 * tick), 0.0) if wanted else 0.0
    traded = wanted and noise(key, moment // DAY_MS) > -0.5
    price = mark if instrument.linear else mark * index
    return {
        "timestamp": moment,
        "state": "open",
        "stats": {
            "high": on_tick(mark * 1.08) if traded else None,
            "low": on_tick(mark * 0.9) if traded else None,
            "price_change": round(noise(key, moment // 60_000) * 9, 4) if traded else None,
            "volume": 16.7 if traded else 0.0,
            "volume_usd": round(16.7 * price, 2) if traded else 0.0,
        },
        "greeks": computed["greeks"],
        "index_price": index,
        "instrument_name": instrument.name,
        "last_price": on_tick(mark) if wanted else None,
        "settlement_price": mark,
        "min_price": max(on_tick(mark * 0.7), tick),
        "max_price": on_tick(mark * 1.3 + 100 * tick),
        "open_interest": round(480.6 + 90 * noise(key, 0), 1),
        "mark_price": mark,
        "interest_rate": 0.0,
        "estimated_delivery_price": index,
        "best_ask_price": on_tick(mark + 10 * tick),
        "best_bid_price": bid,
        "mark_iv": computed["mark_iv"],
        "bid_iv": round(computed["mark_iv"] - 2.6, 2) if bid else 0.0,
        "ask_iv": round(computed["mark_iv"] + 2.1, 2),
        "underlying_price": computed["underlying_price"],
        "underlying_index": instrument.name.rsplit("-", 2)[0],
        "best_ask_amount": round(15 + 14 * noise(key + 2, moment), 1),
        "best_bid_amount": round(15 + 14 * noise(key + 3, moment), 1) if bid else 0.0,
    }


def _combo(market: Market, instrument: SimulatedInstrument, moment: int, key: int) -> dict[str, Any]:
    """The sum of the legs; its prices may be negative, and nothing rests in its own book at times."""
    mark, on_tick = market.mark_price(instrument, moment), instrument.on_tick
    index, tick = market.index_price(instrument.price_index, moment), instrument.tick_size
    quoted = noise(key, moment // 60_000) > -0.5
    limit = 0.0145 if instrument.kind == "option_combo" else index * 0.015
    value: dict[str, Any] = {
        "timestamp": moment,
        "state": "open",
        "stats": {"volume": None, "price_change": None, "low": None, "high": None},
        "open_interest": 0.0,
        "min_price": on_tick(mark - limit),
        "max_price": on_tick(mark + limit),
        "mark_price": mark,
        "last_price": None,
        "instrument_name": instrument.name,
        "index_price": index,
        "settlement_price": mark,
        "implied_bid": on_tick(mark - 10 * tick),
        "implied_ask": on_tick(mark + 10 * tick),
        "estimated_delivery_price": index,
        "combo_state": "active",
        "best_bid_price": on_tick(mark - 20 * tick) if quoted else 0.0,
        "best_bid_amount": _amount(instrument, noise(key + 3, moment)) if quoted else 0.0,
        "best_ask_price": on_tick(mark + 20 * tick) if quoted else 0.0,
        "best_ask_amount": _amount(instrument, noise(key + 2, moment)) if quoted else 0.0,
    }
    return value | _of_option_combo(market, instrument, moment) if instrument.kind == "option_combo" else value


def _of_option_combo(market: Market, instrument: SimulatedInstrument, moment: int) -> dict[str, Any]:
    legs = [(amount, market.option(leg, moment)) for amount, leg in instrument.legs]
    greeks = {
        name: round(sum(amount * values["greeks"][name] for amount, values in legs), 5) for name in legs[0][1]["greeks"]
    }
    return {
        "underlying_price": market.index_price(instrument.price_index, moment),
        "underlying_index": "index_price",
        "mark_iv": round(sum(amount * values["mark_iv"] for amount, values in legs), 2),
        "interest_rate": 0.0,
        "greeks": greeks,
        "bid_iv": 0.0,
        "ask_iv": 0.0,
    }


def _amount(instrument: SimulatedInstrument, random: float) -> float:
    least = instrument.min_trade_amount
    return round(math.ceil((1 + random) * (150 if instrument.kind.startswith("option") else 20_000) + 1) * least, 4)
