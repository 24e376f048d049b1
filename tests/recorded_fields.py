"""The fields of a ticker as the exchange names them, read without the program."""

from decimal import Decimal
from typing import Any

from cryptomarket.fields import FIELD_GROUPS

__all__ = ["expected_fields", "value_of"]

#: Where the exchange has each value that it calls otherwise, or has inside another object.
SOURCES = {
    "last": ("last_price",),
    "bid": ("best_bid_price",),
    "ask": ("best_ask_price",),
    "bid_amount": ("best_bid_amount",),
    "ask_amount": ("best_ask_amount",),
    **{name: ("stats", name) for name in FIELD_GROUPS["stats"]},
    **{name: ("greeks", name) for name in ("delta", "gamma", "vega", "theta", "rho")},
}


#: What `value_of` returns for a name that is missing.
MISSING = object()


def value_of(data: dict[str, Any], name: str) -> Any:
    """Return what the exchange has for one of our names, or MISSING."""
    value: Any = data
    for step in SOURCES.get(name, (name,)):
        value = value.get(step, MISSING) if isinstance(value, dict) else MISSING
    return value


def expected_fields(data: dict[str, Any]) -> dict[str, dict[str, Decimal | None] | None]:
    """Return the groups of a ticker that was parsed with Decimal for every number."""
    found: dict[str, dict[str, Decimal | None] | None] = {}
    for group, names in FIELD_GROUPS.items():
        values = {name: value if isinstance(value := value_of(data, name), Decimal) else None for name in names}
        for side in ("bid", "ask"):
            if values.get(side) == 0 and not values[f"{side}_amount"]:
                values[side] = None  # an empty side
        found[group] = values if any(value_of(data, name) is not MISSING for name in names) else None
    return found
