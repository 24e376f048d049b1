"""Black-Scholes values of options: pure functions of numbers."""

import math
from typing import Any

from .catalogue import SimulatedInstrument

__all__ = ["YEAR_MS", "option_values"]

YEAR_MS = 365 * 86_400_000


def option_values(instrument: SimulatedInstrument, index: float, moment: int, wobble: float) -> dict[str, Any]:
    """Returns price, implied volatility (percent) and greeks; ``wobble`` in [-1, 1) moves the volatility a little.

    The price of an inverse option is in its coin, of a linear one in USDC.
    """
    years = max(instrument.expires - moment, 60_000) / YEAR_MS
    forward = index * (1 + 0.05 * years)
    strike, call = instrument.strike, instrument.option_type == "call"
    iv = 0.38 + 0.15 * min(2.0, abs(math.log(strike / forward))) + wobble * 0.004
    spread = iv * math.sqrt(years)
    d1 = math.log(forward / strike) / spread + spread / 2
    d2 = d1 - spread
    price = _normal(d1) - strike / forward * _normal(d2)
    price = max(price if call else price - 1 + strike / forward, 0.0)
    density = math.exp(-d1 * d1 / 2) / math.sqrt(2 * math.pi)
    return {
        "mark_price": round(price * forward if instrument.linear else price, 4),
        "mark_iv": round(iv * 100, 2),
        "underlying_price": round(forward, 4 if instrument.linear else 2),
        "greeks": {
            "delta": round(_normal(d1) - (0 if call else 1), 5),
            "gamma": round(density / (forward * spread), 5),
            "vega": round(forward * density * math.sqrt(years) / 100, 5),
            "theta": round(-forward * density * iv / (2 * math.sqrt(years)) / 365, 5),
            "rho": round((strike if call else -strike) * years * _normal(d2 if call else -d2) / 100, 5),
        },
    }


def _normal(value: float) -> float:
    """The cumulative normal distribution."""
    return (1 + math.erf(value / math.sqrt(2))) / 2
