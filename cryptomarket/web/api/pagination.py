"""A page of stored prices or candles as it is answered: its place in the whole, its JSON, and what it promises.

Plain functions over values; they know neither the database nor HTTP.
"""

import json
import re
from dataclasses import dataclass
from typing import Literal

from ...errors import InvalidParameter
from ...history.intervals import due
from .time_range import Range

__all__ = ["Order", "PageParameters", "after", "closed", "cursor", "due_part", "list_json"]

Order = Literal["asc", "desc"]

#: A range that ended so long before the first slot that may still be written will not change by itself any more.
SETTLED_SECONDS = 60

_CURSOR = re.compile(r"(asc|desc)-(\d{1,12})\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class PageParameters:
    """What a request for stored prices wants; ``after`` is the last timestamp it has already seen."""

    within: Range
    order: Order = "asc"
    limit: int = 1000
    after: int | None = None


def cursor(position: int, order: Order) -> str:
    """What to send back as `cursor` to go on after this timestamp."""
    return f"{order}-{position}"


def after(text: str | None, order: Order) -> int | None:
    """The timestamp a cursor points at; raises InvalidParameter for what `next` never said in this order."""
    if text is None:
        return None
    match = _CURSOR.match(text)
    if match is None or match[1] != order:
        raise InvalidParameter("cursor", f"the `next` of a former answer with order={order}")
    return int(match[2])


def list_json(ticker: str, data: str, *, following: str | None, complete: bool, **facts: str) -> str:
    """The JSON of a page; ``data`` are the members of its array, already written with every digit."""
    said = "".join(f",{json.dumps(name)}:{json.dumps(value)}" for name, value in facts.items())
    return (
        f'{{"ticker":{json.dumps(ticker)}{said},"complete":{json.dumps(complete)},'
        f'"data":[{data}],"next":{json.dumps(following)}}}'
    )


def due_part(within: Range, span: tuple[int, int] | None, *, step: int, now: float) -> tuple[int, int] | None:
    """The part of a range, in whole slots, that could be recorded by now; None when nothing was ever recorded.

    An open start begins with the record. Start and end may be equal or cross: then nothing of the range is due yet.
    """
    if span is None:
        return None
    start = span[0] if within.start is None else -(-within.start // step) * step
    latest = due(now, step)
    return start, latest if within.end is None else min(-(-within.end // step) * step, latest)


def closed(within: Range, *, step: int, now: float) -> bool:
    """Whether the range lies so far back that nothing new falls into it."""
    return within.end is not None and within.end + SETTLED_SECONDS <= due(now, step)
