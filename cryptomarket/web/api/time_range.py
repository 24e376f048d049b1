"""Moments and ranges as people write them: ISO 8601, UNIX seconds or milliseconds, a bare date for a whole day.

Plain functions over text; a time without a zone is UTC.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from ...errors import InvalidParameter

__all__ = ["Range", "asked_range", "moment"]

EXPECTED = "an ISO 8601 time or date (2025-11-20T14:00:00Z, 2025-11-20) or UNIX seconds or milliseconds"

#: Seconds reach this number in the year 5138, milliseconds passed it in 1973: no moment of trading is ambiguous.
SMALLEST_MILLISECONDS = 100_000_000_000

#: The first moment after the year 9999, in milliseconds.
TOO_LATE = 253_402_300_800_000

_NUMBER = re.compile(r"\d{1,16}(\.\d{1,9})?\Z", re.ASCII)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}\Z", re.ASCII)
#: A `+` in a query that was not written as %2B arrives as a space.
_LOST_PLUS = re.compile(r"(T.+) (\d{2}:?\d{2})\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Range:
    """UNIX seconds from ``start``, included, to ``end``, excluded; None is open."""

    start: int | None = None
    end: int | None = None


def moment(text: str, parameter: str, *, ending: bool = False) -> int:
    """UNIX milliseconds of what the text says; with ``ending`` a bare date means the midnight that ends it.

    Raises InvalidParameter naming the parameter.
    """
    try:
        found = _milliseconds(text.strip(), ending)
    except (ValueError, OverflowError) as exc:
        raise InvalidParameter(parameter, EXPECTED) from exc
    if not 0 <= found <= TOO_LATE:
        raise InvalidParameter(parameter, EXPECTED)
    return found


def _milliseconds(text: str, ending: bool) -> int:
    if _NUMBER.match(text):
        number = float(text)
        return int(number) if number >= SMALLEST_MILLISECONDS else round(number * 1000)
    if _DATE.match(text):
        day = date.fromisoformat(text)
        midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
        return _since_epoch(midnight) + (86_400_000 if ending else 0)
    found = datetime.fromisoformat(_LOST_PLUS.sub(r"\1+\2", text))
    return _since_epoch(found if found.tzinfo else found.replace(tzinfo=UTC))


def _since_epoch(found: datetime) -> int:
    return (found - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def asked_range(start: str | None, end: str | None, names: tuple[str, str] = ("start", "end")) -> Range:
    """The range between two moments as they were written; raises InvalidParameter when it runs backwards."""
    first = moment(start, names[0]) if start is not None else None
    last = moment(end, names[1], ending=True) if end is not None else None
    if first is not None and last is not None and first > last:
        raise InvalidParameter(names[0], f"a moment that is not after {names[1]}")
    # A stored price stands at a whole second: those at or after 1.5 s begin at 2, and so do those before it end.
    return Range(_ceiling(first), _ceiling(last))


def _ceiling(milliseconds: int | None) -> int | None:
    return None if milliseconds is None else -(-milliseconds // 1000)
