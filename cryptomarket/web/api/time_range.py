"""Times and ranges of times as text: ISO 8601, UNIX seconds or milliseconds, or a bare date for a whole day.

Pure functions. A time without a zone is UTC.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from ...errors import InvalidParameter

__all__ = ["LATEST_MS", "MOST_CHARACTERS", "TimeRange", "parse_range", "parse_time"]

EXPECTED = "an ISO 8601 time or date (2025-11-20T14:00:00Z, 2025-11-20) or UNIX seconds or milliseconds"

#: The longest time has 32 characters, with microseconds and a zone.
MOST_CHARACTERS = 40

#: As seconds this is the year 5138, as milliseconds 1973: no time of trading is ambiguous.
SMALLEST_MILLISECONDS = 100_000_000_000

#: The end of the year 9999 in milliseconds.
LATEST_MS = 253_402_300_800_000

_NUMBER = re.compile(r"\d{1,16}(\.\d{1,9})?\Z", re.ASCII)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class TimeRange:
    """UNIX seconds from ``start``, included, to ``end``, excluded; None is open."""

    start: int | None = None
    end: int | None = None


def parse_time(text: str, parameter: str, *, ending: bool = False) -> int:
    """The time in UNIX milliseconds; with ``ending`` a bare date means the midnight that ends it.

    Raises InvalidParameter with the name of the parameter.
    """
    if len(text) > MOST_CHARACTERS:
        raise InvalidParameter(parameter, f"at most {MOST_CHARACTERS} characters")
    try:
        milliseconds = _milliseconds(text.strip(), ending)
    except (ValueError, OverflowError) as exc:
        raise InvalidParameter(parameter, EXPECTED) from exc
    if not 0 <= milliseconds <= LATEST_MS:
        raise InvalidParameter(parameter, EXPECTED)
    return milliseconds


def _milliseconds(text: str, ending: bool) -> int:
    if _NUMBER.match(text):
        number = float(text)
        return int(number) if number >= SMALLEST_MILLISECONDS else round(number * 1000)
    if _DATE.match(text):
        day = date.fromisoformat(text)
        midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
        return _since_epoch(midnight) + (86_400_000 if ending else 0)
    time = datetime.fromisoformat(_with_plus(text))
    return _since_epoch(time if time.tzinfo else time.replace(tzinfo=UTC))


def _with_plus(text: str) -> str:
    """The text with the `+` of its zone: one that is not written as %2B in a query arrives as a space."""
    time, space, zone = text.rpartition(" ")
    offset = zone.replace(":", "", 1)
    lost = space and "T" in time and len(offset) == 4 and offset.isascii() and offset.isdigit()
    return f"{time}+{zone}" if lost else text


def _since_epoch(time: datetime) -> int:
    return (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def parse_range(start: str | None, end: str | None, names: tuple[str, str] = ("start", "end")) -> TimeRange:
    """The range between two times; raises InvalidParameter when the start is after the end.

    Equal times are an empty range. A bare date as the end is its whole day, so a start on the next day is after it.
    ``names`` are the parameters that an error names.
    """
    first = parse_time(start, names[0]) if start is not None else None
    last = parse_time(end, names[1], ending=True) if end is not None else None
    if first is not None and last is not None:
        whole_day = end is not None and _DATE.match(end.strip()) is not None
        if first > last or (first == last and whole_day):
            raise InvalidParameter(names[0], f"a time that is not after {names[1]}")
    # Slots begin at whole seconds: the first slot at or after 1.5 s begins at 2 s.
    return TimeRange(_ceiling(first), _ceiling(last))


def _ceiling(milliseconds: int | None) -> int | None:
    return None if milliseconds is None else -(-milliseconds // 1000)
