"""Subscribing, and what channels send."""

from .sources import INFERRED
from .statement import EVERY_HOST, ConfirmedBy, Statement

__all__ = ["FAST_MARKET", "FIRST_VALUES", "STATES_OF_2026", "STRINGS_FOR_NUMBERS"]

FIRST_VALUES = Statement(
    "first_values",
    "A channel of indices, quotes or bars sends its current value as soon as it is subscribed: {value}.",
    True,
    source=INFERRED,
    confirmed_by=ConfirmedBy.NOBODY,
    hosts=EVERY_HOST,
    others=(False,),
)
FAST_MARKET = Statement(
    "fast_market",
    "Price statistics have the field fast_market instead of high_volatility: {value}.",
    False,
    source="the schema of 2026 has fast_market, its examples have high_volatility",
    confirmed_by=ConfirmedBy.NOBODY,
    hosts=EVERY_HOST,
    others=(True,),
)
STRINGS_FOR_NUMBERS = Statement(
    "strings_for_numbers",
    "A ticker may have a text where a number is expected, such as the last_price undefined: {value}.",
    False,
    source="recordings of 2020 and 2022 have such texts, later ones have none",
    confirmed_by=ConfirmedBy.NOBODY,
    hosts=EVERY_HOST,
    others=(True,),
)
STATES_OF_2026 = Statement(
    "states_of_2026",
    "The states of instruments are the words since January 2026, such as open, delivered and archivized: {value}.",
    True,
    source="the schema since 13 January 2026; nothing was recorded, and the earlier words may still occur",
    confirmed_by=ConfirmedBy.NOBODY,
    hosts=EVERY_HOST,
    others=(False,),
)
