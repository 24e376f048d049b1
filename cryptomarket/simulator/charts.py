"""The history calls of the exchange, answered from the market: bars, averages and the volatility index."""

from collections.abc import Callable
from typing import Any

from ..statements.catalogue import MOST_BARS
from .catalogue import DAY_MS, EXPIRY_MS, SimulatedInstrument
from .market import Market
from .rpc_errors import invalid

__all__ = ["RANGES", "RESOLUTIONS", "index_chart", "tradingview_chart", "volatility_index", "volatility_now"]

#: The length of each range of get_index_chart_data, in ms; ``1h`` holds one point each 6 s (recorded 2026): 600 points.
RANGES = {
    "1h": DAY_MS // 24,
    "1d": DAY_MS,
    "2d": 2 * DAY_MS,
    "1m": 30 * DAY_MS,
    "1y": 365 * DAY_MS,
    "all": 3650 * DAY_MS,
}
POINTS = 600

#: The resolutions of bars: minutes, and ``1D``.
RESOLUTIONS = {
    name: int(name) * 60_000 for name in ("1", "3", "5", "10", "15", "30", "60", "120", "180", "360", "720")
} | {"1D": DAY_MS}
VOLATILITY_RESOLUTIONS = {"1": 1000, "60": 60_000, "3600": 3_600_000, "43200": 43_200_000, "1D": DAY_MS}

#: Bars of one answer. The real limit is not confirmed; the real exchange pages by a thousand.
MOST_VOLATILITY_BARS = 1000


def index_chart(market: Market, name: str, length: str, now_ms: int) -> list[list[Any]]:
    """``[[ms, average price], ...]`` over the range, oldest first."""
    if length not in RANGES:
        raise invalid("range", "invalid value")
    step = RANGES[length] // POINTS
    end = now_ms - now_ms % step
    points: list[list[Any]] = []
    for moment in range(end - step * (POINTS - 1), end + 1, step):
        parts = [market.index_price(name, moment - step + step * part // 6) for part in range(1, 7)]
        points.append([moment, round(sum(parts) / 6, 6)])
    return points


def tradingview_chart(
    market: Market, instrument: SimulatedInstrument, start_ms: int, end_ms: int, resolution: str, now_ms: int
) -> dict[str, Any]:
    """Returns bars as parallel arrays. Daily bars begin at 08:00 UTC; the last bar may still change."""
    if resolution not in RESOLUTIONS:
        raise invalid("resolution", "invalid value")
    step = RESOLUTIONS[resolution]
    price = lambda moment: market.mark_price(instrument, moment)  # noqa: E731
    bars = _bars(price, start_ms, min(end_ms, now_ms), step, now_ms)[-MOST_BARS.value :]
    columns: dict[str, list[Any]] = {
        name: [bar[place] for bar in bars] for place, name in enumerate(("ticks", "open", "high", "low", "close"))
    }
    columns["volume"] = [round(0.5 + bar[0] // step % 97 * step / 60_000 / 50, 8) for bar in bars]
    columns["cost"] = [
        round(volume * close, 2) for volume, close in zip(columns["volume"], columns["close"], strict=True)
    ]
    return {"status": "ok" if bars else "no_data", **columns}


def volatility_now(market: Market, coin: str, moment: int) -> float:
    """The volatility index of a coin in percent points: the price of its index, live and past."""
    return market.index_price(f"{coin}dvol_usdc", moment)


def volatility_index(
    market: Market, coin: str, start_ms: int, end_ms: int, resolution: str, now_ms: int
) -> dict[str, Any]:
    """``{data: [[ms, open, high, low, close], ...], continuation}``: pages go backwards from the newest bars."""
    if resolution not in VOLATILITY_RESOLUTIONS:
        raise invalid("resolution", "invalid value")
    step = VOLATILITY_RESOLUTIONS[resolution]
    first = max(start_ms, min(end_ms, now_ms) - step * (MOST_VOLATILITY_BARS - 1))
    bars = _bars(lambda moment: volatility_now(market, coin, moment), first, min(end_ms, now_ms), step, now_ms)
    return {"data": bars, "continuation": bars[0][0] - 1 if bars and first > start_ms else None}


def _bars(price: Callable[[int], float], start_ms: int, end_ms: int, step: int, now_ms: int) -> list[list[Any]]:
    """``[ms, open, high, low, close]`` for every bar that begins in [start, end]."""
    shift = EXPIRY_MS if step == DAY_MS else 0
    first = -(-(start_ms - shift) // step) * step + shift
    first = max(first, end_ms - (end_ms - shift) % step - (MOST_BARS.value - 1) * step)
    bars: list[list[Any]] = []
    for tick in range(first, end_ms + 1, step):
        last = min(tick + step - 1, now_ms)
        parts = [price(tick + (last - tick) * part // 4) for part in range(5)]
        bars.append([tick, parts[0], max(parts), min(parts), parts[-1]])
    return bars
