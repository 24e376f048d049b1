"""What a stream or a request can ask for beside the price of an instrument: groups of numbers of the exchange.

The names in each group, the parameter that asks for groups, and their JSON. Pure; numbers stay text, digit for digit.
"""

from collections.abc import Mapping

import msgspec

from .errors import InvalidParameter, InvalidPrice

__all__ = [
    "FIELD_GROUPS",
    "NO_FIELDS",
    "FieldValues",
    "Fields",
    "checked_values",
    "fields_json",
    "is_plain",
    "parse_fields",
]

#: The groups that can be asked for, and the names in each; docs/api.md has their units.
FIELD_GROUPS: Mapping[str, tuple[str, ...]] = {
    "quote": ("last", "bid", "ask", "bid_amount", "ask_amount"),
    "stats": ("price_change", "high", "low", "volume", "volume_usd", "volume_notional"),
    "greeks": ("mark_iv", "bid_iv", "ask_iv", "delta", "gamma", "vega", "theta", "rho"),
    "funding": ("current_funding", "funding_8h"),
    "interest": ("open_interest", "index_price", "underlying_price"),
}

#: The names of the groups that were asked for, in the order above, each once.
Fields = tuple[str, ...]
NO_FIELDS: Fields = ()

#: The values of each group in the order above: plain numbers or ``null``, separated by commas. None for a group that
#: the exchange does not send of this instrument. An index has no groups at all.
FieldValues = tuple[str | None, ...]

_PLACES = {name: place for place, name in enumerate(FIELD_GROUPS)}
#: The JSON of a group with its name in front, for `%` with its values.
_TEMPLATES = {
    group: ',"' + group + '":{' + ",".join(f'"{name}":%s' for name in names) + "}"
    for group, names in FIELD_GROUPS.items()
}
#: A JSON number of these characters has no exponent; with the letters, ``null`` beside it.
_PLAIN = b"0123456789.,-nul"
_numbers = msgspec.json.Decoder(list[float | None])
_EXPECTED = f"names of groups separated by commas, each once: {', '.join(FIELD_GROUPS)}"


def parse_fields(text: str | None) -> Fields:
    """The groups that the parameter ``fields`` asks for; none without it. Raises InvalidParameter naming it."""
    if text is None:
        return NO_FIELDS
    names = [name.strip() for name in text.split(",", len(FIELD_GROUPS))]
    if len({*names}) < len(names) or not FIELD_GROUPS.keys() >= {*names}:
        raise InvalidParameter("fields", _EXPECTED)
    return tuple(sorted(names, key=_PLACES.__getitem__))


def checked_values(values: FieldValues) -> FieldValues:
    """The same values; raises InvalidPrice when they are those of no tick."""
    if values and (len(values) != len(FIELD_GROUPS) or not all(map(_is_group, values, FIELD_GROUPS.values()))):
        raise InvalidPrice("not the values of groups of fields")
    return values


def _is_group(text: str | None, names: tuple[str, ...]) -> bool:
    if text is None:
        return True
    try:
        return is_plain(text.encode()) and len(_numbers.decode(f"[{text}]")) == len(names)
    except (msgspec.MsgspecError, UnicodeError):
        return False


def is_plain(text: bytes) -> bool:
    """Whether JSON values separated by commas are all numbers without an exponent, or ``null``."""
    return not text.translate(None, _PLAIN)


def fields_json(values: FieldValues, fields: Fields) -> str:
    """The members to put behind the JSON of a price, each with a comma in front; none where there are no groups."""
    if not values:
        return ""
    parts = []
    for name in fields:
        group = values[_PLACES[name]]
        parts.append(f',"{name}":null' if group is None else _TEMPLATES[name] % tuple(group.split(",")))
    return "".join(parts)
