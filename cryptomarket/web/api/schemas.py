"""What OpenAPI says of the answers: written here once, with examples, since one codec of ours writes their bytes.

A binary float has no place in an answer, so no serialiser of the framework touches a price.
"""

import json
from typing import Any

from .problems import MEDIA_TYPE, PROBLEM_SCHEMA

__all__ = ["CANDLES", "COVERAGE", "LIST", "NAMES", "ONE", "PROBLEMS", "SCHEMAS", "STATUS"]

_ONE = {"ticker": "btc_usd", "price": 64250.13, "timestamp": 1763668800, "exchange_timestamp": 1763668859123}

_PRICE: dict[str, Any] = {
    "type": "object",
    "title": "Price",
    "required": ["ticker", "price", "timestamp", "exchange_timestamp"],
    "properties": {
        "ticker": {"type": "string"},
        "price": {"type": "number", "description": "exactly the exchange's decimal; read it as one, not as a float"},
        "timestamp": {"type": "integer", "description": "UNIX seconds: of the slot in history, else of the tick"},
        "exchange_timestamp": {"type": "integer", "description": "UNIX milliseconds, as the exchange said"},
        "last": {"type": ["number", "null"], "description": "of an instrument: its last trade"},
        "bid": {"type": ["number", "null"], "description": "of an instrument: its best bid"},
        "ask": {"type": ["number", "null"], "description": "of an instrument: its best ask"},
    },
    "examples": [_ONE],
}

_PRICE_LIST: dict[str, Any] = {
    "type": "object",
    "title": "PriceList",
    "required": ["ticker", "complete", "data", "next"],
    "properties": {
        "ticker": {"type": "string"},
        "complete": {
            "type": "boolean",
            "description": "whether no slot of the range asked for is missing, as far as it is due",
        },
        "data": {"type": "array", "items": {"$ref": "#/components/schemas/Price"}},
        "next": {"type": ["string", "null"], "description": "the `cursor` of the page that follows"},
    },
    "examples": [{"ticker": "btc_usd", "complete": True, "data": [_ONE], "next": "asc-1763668800"}],
}

_TICKER_LIST: dict[str, Any] = {
    "type": "object",
    "title": "TickerList",
    "required": ["complete", "data"],
    "properties": {
        "complete": {"type": "boolean", "description": "whether all names that match are here"},
        "data": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["ticker", "kind", "configured"],
                "properties": {
                    "ticker": {"type": "string"},
                    "kind": {"enum": ["index", "instrument"]},
                    "configured": {"type": "boolean", "description": "always streamed and recorded"},
                },
            },
        },
    },
    "examples": [{"complete": True, "data": [{"ticker": "btc_usd", "kind": "index", "configured": True}]}],
}

_BAR = {"timestamp": 1763668800, "open": 64250.13, "high": 64260.5, "low": 64240, "close": 64255.01, "count": 58}

_CANDLE: dict[str, Any] = {
    "type": "object",
    "title": "Candle",
    "required": ["timestamp", "open", "high", "low", "close", "count"],
    "properties": {
        "timestamp": {"type": "integer", "description": "UNIX seconds, the start of the candle"},
        **{name: {"type": "number"} for name in ("open", "high", "low", "close")},
        "count": {"type": "integer", "description": "how many prices it is made of"},
        "partial": {"type": "boolean", "description": "true when missing or future time is in it, else absent"},
    },
    "examples": [_BAR],
}

_CANDLE_LIST: dict[str, Any] = {
    "type": "object",
    "title": "CandleList",
    "required": ["ticker", "resolution", "complete", "data", "next"],
    "properties": {
        "ticker": {"type": "string"},
        "resolution": {"type": "string"},
        "complete": {
            "type": "boolean",
            "description": "whether nothing of the range asked for is missing, as far as it is due",
        },
        "data": {"type": "array", "items": {"$ref": "#/components/schemas/Candle"}},
        "next": {"type": ["string", "null"], "description": "the `cursor` of the page that follows"},
    },
    "examples": [{"ticker": "btc_usd", "resolution": "1m", "complete": True, "data": [_BAR], "next": None}],
}

_COVERAGE: dict[str, Any] = {
    "type": "object",
    "title": "Coverage",
    "required": ["ticker", "start", "end", "complete", "intervals"],
    "properties": {
        "ticker": {"type": "string"},
        "start": {"type": "integer"},
        "end": {"type": "integer"},
        "complete": {"type": "boolean", "description": "whether nothing of the range is missing"},
        "intervals": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["start", "end", "kind"],
                "properties": {
                    "start": {"type": "integer"},
                    "end": {"type": "integer"},
                    "kind": {"enum": ["observed", "backfilled", "missing"]},
                    "source": {"type": "string", "description": "of what was filled in: where it comes from"},
                    "reason": {"type": "string", "description": "of what is missing: why"},
                },
            },
        },
    },
    "examples": [
        {
            "ticker": "btc_usd",
            "start": 1763640000,
            "end": 1763668800,
            "complete": False,
            "intervals": [
                {"start": 1763640000, "end": 1763661600, "kind": "observed"},
                {"start": 1763661600, "end": 1763668800, "kind": "missing", "reason": "upstream"},
            ],
        }
    ],
}

_CHECK = {
    "type": "object",
    "required": ["ok", "needed", "detail"],
    "properties": {"ok": {"type": "boolean"}, "needed": {"type": "boolean"}, "detail": {"type": "string"}},
}

_STATUS: dict[str, Any] = {
    "type": "object",
    "title": "Status",
    "required": ["time", "status", "checks", "upstream", "age_bounds", "statistics"],
    "properties": {
        "time": {"type": "integer", "description": "UNIX milliseconds"},
        "status": {"enum": ["ready", "degraded", "unavailable"]},
        "checks": {"type": "object", "additionalProperties": _CHECK},
        "upstream": {
            "type": "object",
            "required": ["state", "since", "reason", "ages"],
            "properties": {
                "state": {"enum": ["live", "connecting", "stale", "down"]},
                "since": {"type": "integer", "description": "UNIX milliseconds"},
                "reason": {"type": "string"},
                "ages": {"type": "object", "additionalProperties": {"type": "integer"}},
            },
        },
        "age_bounds": {
            "type": "array",
            "items": {"type": "number"},
            "description": "upper bounds, in seconds, of the buckets of `age_counts`; one more has no bound",
        },
        "statistics": {"type": "object", "description": "the counters of each part, by its name"},
    },
    "examples": [
        {
            "time": 1763668859123,
            "status": "ready",
            "checks": {"database": {"ok": True, "needed": True, "detail": "answers"}},
            "upstream": {"state": "live", "since": 1763668100000, "reason": "", "ages": {"btc_usd": 412}},
            "age_bounds": [0.001, 0.01, 0.1, 1.0],
            "statistics": {"recorder": {"queued": 2, "written": 118, "dropped": 0}},
        }
    ],
}

#: For `components.schemas` of the document.
SCHEMAS = {
    "Price": _PRICE,
    "PriceList": _PRICE_LIST,
    "TickerList": _TICKER_LIST,
    "Candle": _CANDLE,
    "CandleList": _CANDLE_LIST,
    "Coverage": _COVERAGE,
    "Status": _STATUS,
    "Problem": PROBLEM_SCHEMA,
}


def _answer(description: str, schema: str, media_type: str = "application/json") -> dict[str, Any]:
    content = {media_type: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {"description": description, "content": content}


def _file(description: str, media_type: str, **example: str) -> dict[int | str, dict[str, Any]]:
    """A streamed file, whose bytes no schema describes."""
    return {200: {"description": description, "content": {media_type: {"schema": {"type": "string"}, **example}}}}


_NOT_MODIFIED: dict[int | str, dict[str, Any]] = {304: {"description": "The asker has it already, by its ETag."}}
LIST: dict[int | str, dict[str, Any]] = {200: _answer("A page of prices.", "PriceList"), **_NOT_MODIFIED}
CANDLES: dict[int | str, dict[str, Any]] = {200: _answer("A page of candles.", "CandleList"), **_NOT_MODIFIED}
COVERAGE: dict[int | str, dict[str, Any]] = {200: _answer("The stretches, oldest first.", "Coverage")}
CSV = _file(
    "A header and a line a price.",
    "text/csv",
    example="ticker,timestamp,price,exchange_timestamp\nbtc_usd,1763668800,64250.13,1763668859123\n",
)
NDJSON = _file("A JSON price a line.", "application/x-ndjson", example=json.dumps(_ONE, separators=(",", ":")) + "\n")
PARQUET = {
    **_file("A Parquet file.", "application/vnd.apache.parquet"),
    501: _answer("The extra is not installed.", "Problem", MEDIA_TYPE),
}
TIME: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "UNIX seconds.",
        "content": {"text/plain": {"schema": {"type": "string"}, "example": "1763668800"}},
    }
}
FEED: dict[int | str, dict[str, Any]] = {200: _answer("What it can do.", "Datafeed")}
BARS: dict[int | str, dict[str, Any]] = {200: _answer("Columns, or why there are none.", "Bars")}
FOUND: dict[int | str, dict[str, Any]] = {200: _answer("The symbols.", "Found")}
SYMBOL: dict[int | str, dict[str, Any]] = {
    200: _answer("The symbol.", "Symbol"),
    404: _answer("An unknown symbol, in the protocol's own form.", "Bars"),
}
ONE: dict[int | str, dict[str, Any]] = {200: _answer("The price.", "Price")}
NAMES: dict[int | str, dict[str, Any]] = {200: _answer("The names.", "TickerList")}
STATUS: dict[int | str, dict[str, Any]] = {200: _answer("The status.", "Status")}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    404: _answer("Nobody knows the ticker, or no price of it has arrived yet.", "Problem", MEDIA_TYPE),
    422: _answer("A parameter is missing or wrong.", "Problem", MEDIA_TYPE),
    503: _answer("The database does not answer; `Retry-After` says when to ask again.", "Problem", MEDIA_TYPE),
}
