"""The length of a query string and the names in it, checked before any value is read. Pure; it knows no route."""

from collections.abc import Collection
from difflib import get_close_matches
from urllib.parse import unquote_plus

from .errors import InvalidParameter

__all__ = ["MOST_QUERY_BYTES", "check_length", "check_names"]

#: Valid queries are shorter: twenty tickers of 64 characters take 1,300 bytes.
MOST_QUERY_BYTES = 4_096

#: How many bytes of a name are decoded, and how many characters of it an error shows. Known names are shorter, even
#: percent-encoded.
MOST_BYTES, MOST_CHARACTERS = 256, 64

#: The names of our parameters in other APIs, each with ours. Similar spelling does not find these.
_MEANT = {
    **dict.fromkeys(
        ("since", "after", "begin", "from", "start_time", "start_timestamp"), ("start", "start_date", "from")
    ),
    **dict.fromkeys(("until", "till", "before", "to", "end_time", "end_timestamp"), ("end", "end_date", "to")),
    **dict.fromkeys(
        ("symbol", "pair", "instrument", "instrument_name", "index_name"), ("ticker", "channels", "symbol")
    ),
    **dict.fromkeys(("ticker", "tickers", "symbols", "channel"), ("channels", "ticker", "symbol")),
    **dict.fromkeys(("interval", "period", "granularity", "timeframe"), ("resolution", "timer")),
    **dict.fromkeys(("count", "size", "per_page"), ("limit", "countback")),
    **dict.fromkeys(("page", "offset"), ("cursor",)),
    **dict.fromkeys(("sort", "direction"), ("order",)),
    "q": ("search", "query"),
}


def check_length(query: bytes) -> None:
    """Raises InvalidParameter naming the longest parameter when the query has more than MOST_QUERY_BYTES bytes."""
    if len(query) > MOST_QUERY_BYTES:
        longest = _name(max(query.split(b"&"), key=len))
        raise InvalidParameter(
            longest[:MOST_CHARACTERS], f"a shorter value: a query has at most {MOST_QUERY_BYTES} bytes"
        )


def check_names(query: bytes, known: Collection[str]) -> None:
    """Check that the query string is not too long, and that each name in it is known and given once.

    Raises InvalidParameter with the first wrong name, the known names, and the nearest of them when one is close. The
    work is bounded: of more names than are known, one is unknown or repeated.
    """
    check_length(query)
    seen = set()
    for field in query.split(b"&"):
        if not field:
            continue
        name = _name(field)
        if name not in known:
            raise InvalidParameter(name[:MOST_CHARACTERS], _expected(name[:MOST_CHARACTERS], known))
        if name in seen:
            raise InvalidParameter(name, "one value, but it is given several times")
        seen.add(name)


def _name(field: bytes) -> str:
    return unquote_plus(field.partition(b"=")[0][:MOST_BYTES].decode("latin-1"))


def _expected(name: str, known: Collection[str]) -> str:
    if not known:
        return "no parameter at this address"
    folded = name.lower()
    meant = [other for other in _MEANT.get(folded, ()) if other in known]
    near = meant[:1] or get_close_matches(folded, known, n=1, cutoff=0.6)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"only parameters of this address: {', '.join(sorted(known))}{hint}"
