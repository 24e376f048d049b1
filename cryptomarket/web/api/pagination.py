"""Pages of stored prices, candles and instruments: their cursors and their JSON.

Plain functions over values; this file knows neither the database nor HTTP.
"""

import json
import re
from collections.abc import Iterable

from ...errors import InvalidParameter
from ...history.pages import Order
from ...model import Instrument

__all__ = ["format_cursor", "instruments_json", "page_json", "parse_cursor"]

_CURSOR = re.compile(r"(asc|desc)-(\d{1,12})\Z", re.ASCII)


def format_cursor(timestamp: int | None, order: Order) -> str | None:
    """The cursor of the page that follows this timestamp; None when no page follows."""
    return None if timestamp is None else f"{order}-{timestamp}"


def parse_cursor(text: str | None, order: Order) -> int | None:
    """The timestamp of a cursor; raises InvalidParameter unless `next` returned it for the same order."""
    if text is None:
        return None
    match = _CURSOR.match(text)
    if match is None or match[1] != order:
        raise InvalidParameter("cursor", f"the `next` of an earlier response with order={order}")
    return int(match[2])


def page_json(ticker: str, data: str, *, cursor: str | None, complete: bool, **facts: str) -> str:
    """The JSON of a page; ``data`` holds the members of its array, already encoded with exact prices."""
    more = "".join(f",{json.dumps(name)}:{json.dumps(value)}" for name, value in facts.items())
    return (
        f'{{"ticker":{json.dumps(ticker)}{more},"complete":{json.dumps(complete)},'
        f'"data":[{data}],"next":{json.dumps(cursor)}}}'
    )


def instruments_json(instruments: Iterable[Instrument], *, cursor: str | None, complete: bool) -> str:
    """The JSON of a page of instruments; its cursor is the last name."""
    data = ",".join(one.json() for one in instruments)
    return f'{{"complete":{json.dumps(complete)},"data":[{data}],"next":{json.dumps(cursor)}}}'
