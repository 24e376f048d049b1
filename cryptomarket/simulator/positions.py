"""Positions: what an account holds of an instrument, from its fills and from what every account begins with."""

from typing import Any

from .accounts import SimulatedAccount
from .catalogue import SimulatedInstrument
from .shared_state import SharedState
from .tickers import ticker_of

__all__ = ["held", "position"]

#: What every account holds of the first option in coins of BTC, so that there is a position to show.
HELD = 0.1


def held(state: SharedState, now_ms: int) -> list[SimulatedInstrument]:
    """Returns the instruments that every account has, an option and a closed perpetual, as far as they are listed."""
    listed = [found for found in state.market.instruments(now_ms).values() if found.coin == "btc"]
    option = next((found for found in listed if found.kind == "option" and not found.linear), None)
    perpetual = next((found for found in listed if found.perpetual), None)
    return [found for found in (option, perpetual) if found is not None]


def position(state: SharedState, account: SimulatedAccount, found: SimulatedInstrument, now_ms: int) -> dict[str, Any]:
    """Returns the position of an account in an instrument, as recorded in 2026."""
    size, average = state.orders.position(account.client_id, found)
    shown = ticker_of(state.market, found, now_ms)
    if found.kind == "option" and found in held(state, now_ms):
        size, average = round(size + HELD, 8), average or shown["mark_price"]
    profit = round(_profit(found, size, average, shown["mark_price"]), 9)
    value: dict[str, Any] = {
        "average_price": average,
        "delta": 0.0,
        "direction": "buy" if size > 0 else "sell" if size < 0 else "zero",
        "floating_profit_loss": profit,
        "index_price": shown["index_price"],
        "initial_margin": 0.0,
        "instrument_name": found.name,
        "kind": found.kind,
        "maintenance_margin": 0.0,
        "mark_price": shown["mark_price"],
        "realized_profit_loss": -4.01e-7,
        "settlement_price": shown.get("settlement_price", shown["mark_price"]),
        "size": size,
        "total_profit_loss": profit,
        "user_id": account.identity,
    }
    return value | (_of_option if found.kind == "option" else _of_future)(shown, size, average, profit)


def _profit(found: SimulatedInstrument, size: float, average: float, mark: float) -> float:
    """In coins of an inverse future, else size times the difference of prices."""
    if not size:
        return 0.0
    if found.kind.startswith("future") and not found.linear:
        return size * (1 / average - 1 / mark)
    return size * (mark - average)


def _of_option(shown: dict[str, Any], size: float, average: float, profit: float) -> dict[str, Any]:
    greeks = {name: round(shown["greeks"][name] * size, 5) for name in ("delta", "gamma", "theta", "vega")}
    usd = {"average_price_usd": round(average * shown["index_price"], 8)}
    return greeks | usd | {"floating_profit_loss_usd": round(profit * shown["index_price"], 8)}


def _of_future(shown: dict[str, Any], size: float, average: float, profit: float) -> dict[str, Any]:
    coins = round(size / shown["mark_price"], 8)
    return {
        "delta": coins,
        "estimated_liquidation_price": None,
        "interest_value": 0.0,
        "leverage": 25,
        "open_orders_margin": 0.0,
        "realized_funding": 0.0,
        "size_currency": coins,
    }
