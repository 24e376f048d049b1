"""The query parameters of a stream, read strictly.

Results are cached, because reconnecting streams repeat few queries. Pure: whether a ticker exists is not known here.
"""

import functools
import re
from typing import NamedTuple

from starlette.datastructures import QueryParams

from ..errors import InvalidParameter
from ..fields import Fields, parse_fields
from ..query import check_names
from .encoding import CONNECTION

__all__ = ["StreamParameters", "parse_parameters"]

#: The most tickers of one stream, and the most characters of a name.
MAX_TICKERS, MOST_NAME_CHARACTERS = 20, 64
DEFAULT_TENTHS = 600
#: Ours have 37 at most.
MOST_ID_CHARACTERS = 128
#: Longer queries are parsed each time: who varies them could fill the cache with megabytes.
MOST_CACHED_BYTES = 1024

#: `lastEventId` is what EventSource polyfills send instead of the header.
_NAMES = ("timer", "channels", "fields", "lastEventId")
_TIMER = re.compile(r"([0-9]{1,4})(?:\.([0-9])0*)?")
_TIMER_EXPECTED = "0 for every tick, or seconds from 0.1 to 3600 in tenths"
_CHANNELS_EXPECTED = (
    f"names of tickers separated by commas, {MAX_TICKERS} at most, each of {MOST_NAME_CHARACTERS} characters at most, "
    f"or {CONNECTION}"
)


class StreamParameters(NamedTuple):
    """The timer in tenths of a second, and the tickers among the channels; None when ``channels`` is missing.

    ``fields`` are the groups to add to the prices of instruments.
    ``last_event_id`` is the id of the last event that arrived, from clients that cannot send it as a header.
    """

    tenths: int
    tickers: frozenset[str] | None
    last_event_id: str | None
    fields: Fields


def parse_parameters(query: bytes) -> StreamParameters:
    """Parse a query string. Raises InvalidParameter naming the parameter that is wrong."""
    return _cached(query) if len(query) <= MOST_CACHED_BYTES else _parse(query)


def _parse(query: bytes) -> StreamParameters:
    check_names(query, _NAMES)
    params = QueryParams(query.decode("latin-1"))
    last_event_id = params.get("lastEventId")
    if last_event_id is not None and len(last_event_id) > MOST_ID_CHARACTERS:
        raise InvalidParameter("lastEventId", f"at most {MOST_ID_CHARACTERS} characters")
    fields = parse_fields(params.get("fields"))
    return StreamParameters(_tenths(params), _tickers(params), last_event_id, fields)


_cached = functools.lru_cache(maxsize=1024)(_parse)


def _tenths(params: QueryParams) -> int:
    text = params.get("timer")
    if text is None:
        return DEFAULT_TENTHS
    match = _TIMER.fullmatch(text)
    tenths = int(match[1]) * 10 + int(match[2] or 0) if match else -1
    if not 0 <= tenths <= 36_000:
        raise InvalidParameter("timer", _TIMER_EXPECTED)
    return tenths


def _tickers(params: QueryParams) -> frozenset[str] | None:
    text = params.get("channels")
    if text is None:
        return None
    channels = {name.strip() for name in text.split(",")}
    tickers = frozenset(channels - {CONNECTION})
    if "" in channels or len(tickers) > MAX_TICKERS or max(map(len, channels)) > MOST_NAME_CHARACTERS:
        raise InvalidParameter("channels", _CHANNELS_EXPECTED)
    return tickers
