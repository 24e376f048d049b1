"""What is listed on a given day: perpetuals, spot pairs, futures, options and combos.

Expiries follow the calendar of the real exchange: every day, every Friday, the last Friday of a month and of a quarter,
at 08:00 UTC. On each day one expiry ends and one is added.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from .catalogue import DAY_MS, EXPIRY_MS, SimulatedInstrument, combo, dated
from .indices import COINS, INDICES

__all__ = ["FEW", "MANY", "Listings", "instruments_on"]


@dataclass(frozen=True, slots=True)
class Listings:
    """How much is listed: ``expiries`` of days, weeks, months and quarters, ``strikes`` of each inverse option.

    ``linear`` are the coins with options in USDC, of ``linear_strikes`` each; ``all_perpetuals``: every coin has one.
    """

    expiries: tuple[int, int, int, int]
    strikes: tuple[int, ...]
    linear: tuple[str, ...]
    linear_strikes: tuple[int, ...]
    all_perpetuals: bool = False


#: A small exchange. The farthest strike has no trade and no bid: nulls and zeros, as on the real exchange.
FEW = Listings((1, 1, 0, 1), (-8, -4, -2, -1, 0, 1, 2, 4, 8, 30), ("sol", "xrp"), (-1, 0, 1))
#: As much as the real exchange had in the summer of 2026: about 5,000 instruments, 500 of which expire a day.
MANY = Listings((4, 2, 2, 2), (*range(-20, 20), 60), ("btc", "eth", "sol", "xrp"), tuple(range(-20, 20)), True)

#: The distance of strikes, as a text that says how many decimals they have.
_STEPS = {"btc": "2000", "eth": "100", "sol": "5", "xrp": "0.05"}

_FIXED = (
    SimulatedInstrument("BTC-PERPETUAL", "future", "btc", "btc_usd", 0.5, 124972, "perpetual"),
    SimulatedInstrument("ETH-PERPETUAL", "future", "eth", "eth_usd", 0.05, 124973, "perpetual", created=1552568454000),
    SimulatedInstrument("SOL_USDC-PERPETUAL", "future", "sol", "sol_usdc", 0.01, 124974, "perpetual"),
    SimulatedInstrument("BTC_USDC-PERPETUAL", "future", "btc", "btc_usdc", 0.5, 124977, "perpetual"),
    SimulatedInstrument("ETH_USDC-PERPETUAL", "future", "eth", "eth_usdc", 0.05, 124978, "perpetual"),
    SimulatedInstrument("XRP_USDC-PERPETUAL", "future", "xrp", "xrp_usdc", 0.0001, 124979, "perpetual"),
    SimulatedInstrument("BTC_USDC", "spot", "btc", "btc_usdc", 0.5, 124975),
    SimulatedInstrument("ETH_USDC", "spot", "eth", "eth_usdc", 0.05, 124976),
)


def instruments_on(now_ms: int, listings: Listings = FEW) -> dict[str, SimulatedInstrument]:
    """Returns the instruments that have not expired at the moment (UNIX ms), by name."""
    found = list(_FIXED)
    if listings.all_perpetuals:
        found += _perpetuals()
    expiries = list(_expiries(now_ms, listings.expiries))
    for coin in ("btc", "eth"):
        for period, expires in expiries:
            found += _chain(coin, period, expires, listings.strikes)
    for coin in listings.linear:
        for period, expires in expiries:
            found += _chain(f"{coin}_usdc", period, expires, listings.linear_strikes)
    return {instrument.name: instrument for instrument in found}


def _perpetuals() -> Iterator[SimulatedInstrument]:
    """A linear perpetual of every coin that has an index in USDC."""
    known = {instrument.name for instrument in _FIXED}
    for number, name in enumerate(COINS):
        ticker = f"{name.upper()}_USDC-PERPETUAL"
        if f"{name}_usdc" in INDICES and ticker not in known:
            tick = 10.0 ** -max(2, COINS[name].decimals - 1)
            yield SimulatedInstrument(ticker, "future", name, f"{name}_usdc", tick, 125_000 + number, "perpetual")


def _chain(pair: str, period: str, expires: int, places: tuple[int, ...]) -> Iterator[SimulatedInstrument]:
    """The future of an expiry, its options around the price of the coin, and combos of them."""
    future = dated(pair, period, expires)
    yield future
    step = float(_STEPS[future.coin])
    middle = round(COINS[future.coin].base / step)
    strikes = [_strike((middle + place) * step, _STEPS[future.coin]) for place in places]
    options = [dated(pair, period, expires, strike, side) for strike in strikes for side in "CP"]
    yield from options
    if not future.linear:
        yield from _combos(future, options)


def _strike(price: float, step: str) -> str:
    """Returns a strike as names spell it: ``d`` is the decimal point."""
    decimals = len(step.partition(".")[2])
    text = f"{price:.{decimals}f}"
    return (text.rstrip("0").rstrip(".") if decimals else text).replace(".", "d")


def _combos(future: SimulatedInstrument, options: list[SimulatedInstrument]) -> Iterator[SimulatedInstrument]:
    """A spread of the future against the perpetual, a call spread, a ratio spread and a straddle."""
    perpetual = next(fixed for fixed in _FIXED if fixed.coin == future.coin and fixed.perpetual)
    coin, _, date = future.name.partition("-")
    yield combo(f"{coin}-FS-{date}_PERP", (-1, perpetual), (1, future))
    calls = [option for option in options if option.option_type == "call"]
    low, high = calls[len(calls) // 2 - 2], calls[len(calls) // 2]
    strikes = f"{low.strike:.0f}_{high.strike:.0f}"
    yield combo(f"{coin}-CS-{date}-{strikes}", (1, low), (-1, high))
    yield combo(f"{coin}-CSR12-{date}-{strikes}", (1, low), (-2, high))
    put = next(option for option in options if option.option_type == "put" and option.strike == high.strike)
    yield combo(f"{coin}-STRD-{date}-{high.strike:.0f}", (1, high), (1, put))


def _expiries(now_ms: int, counts: tuple[int, int, int, int]) -> Iterator[tuple[str, int]]:
    """The next days, then the Fridays after them, the last Fridays of months after those, then those of quarters."""
    first = (now_ms - EXPIRY_MS) // DAY_MS * DAY_MS + EXPIRY_MS
    moment = datetime.fromtimestamp(first / 1000, UTC)
    for period, count, ends in zip(("day", "week", "month", "month"), counts, _ENDS, strict=True):
        for _ in range(count):
            moment += timedelta(days=1)
            while not ends(moment):
                moment += timedelta(days=1)
            yield period, int(moment.timestamp()) * 1000


def _friday(day: datetime) -> bool:
    return day.weekday() == 4


def _month_end(day: datetime) -> bool:
    return _friday(day) and (day + timedelta(days=7)).month != day.month


_ENDS: tuple[Callable[[datetime], bool], ...] = (
    lambda _day: True,
    _friday,
    _month_end,
    lambda day: _month_end(day) and day.month % 3 == 0,
)
