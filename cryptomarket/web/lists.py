"""A page of stored prices as it is answered: its place in the whole, its JSON, and whether anything is missing from it.

Plain functions over values; they know neither the database nor HTTP.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from ..errors import InvalidParameter
from ..model import Price
from .moments import Range

__all__ = ["Asked", "Found", "Order", "after", "cursor", "missing_nothing", "price_list"]

Order = Literal["asc", "desc"]

#: A slot is due this long after its end: the recorder waits for late ticks before it writes.
DUE_SECONDS = 5

_CURSOR = re.compile(r"(asc|desc)-(\d{1,12})\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request for stored prices wants; ``after`` is the last timestamp it has already seen."""

    within: Range
    order: Order = "asc"
    limit: int = 1000
    after: int | None = None


class Found(Protocol):
    """What the history gives: prices in the order asked for, and the position after which the next page begins."""

    @property
    def data(self) -> Sequence[Price]: ...
    @property
    def next(self) -> int | None: ...


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


def price_list(ticker: str, found: Found, *, order: Order, complete: bool) -> str:
    """The JSON of a page, each price with every digit it came with."""
    following = "null" if found.next is None else json.dumps(cursor(found.next, order))
    data = ",".join(price.json() for price in found.data)
    return f'{{"ticker":{json.dumps(ticker)},"complete":{json.dumps(complete)},"data":[{data}],"next":{following}}}'


def missing_nothing(asked: Asked, found: Found, *, interval: int, now: float) -> bool:
    """Whether the page holds every slot, already due, of the part of the range it covers.

    A page covers what lies between its neighbours: from the start (or the cursor) to its last price, or to the end
    of the range when nothing follows. An open start begins with the first price there is.
    """
    due = int(now - DUE_SECONDS) // interval * interval  # the first slot that may still be empty
    first, end = asked.within.start, due if asked.within.end is None else min(asked.within.end, due)
    stamps = sorted(price.timestamp for price in found.data)
    if asked.order == "asc":
        first = asked.after + 1 if asked.after is not None else first
        end = found.next + 1 if found.next is not None else end
    else:
        end = min(end, asked.after) if asked.after is not None else end
        first = found.next if found.next is not None else first
    if first is None:
        if not stamps:
            return False  # nothing was ever recorded
        first = stamps[0]
    expected = range(-(-first // interval) * interval, end, interval)
    present = {stamp - stamp % interval for stamp in stamps}
    return len(expected) <= len(present) and present.issuperset(expected)
