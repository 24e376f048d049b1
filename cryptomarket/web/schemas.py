"""What OpenAPI says of the answers: written here once, with examples, since one codec of ours writes their bytes.

A binary float has no place in an answer, so no serialiser of the framework touches a price.
"""

from typing import Any

from .problems import MEDIA_TYPE, PROBLEM_SCHEMA

__all__ = ["LIST", "NAMES", "ONE", "PROBLEMS", "SCHEMAS"]

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
        "complete": {"type": "boolean", "description": "whether no slot that is due is missing from this page"},
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

#: For `components.schemas` of the document.
SCHEMAS = {"Price": _PRICE, "PriceList": _PRICE_LIST, "TickerList": _TICKER_LIST, "Problem": PROBLEM_SCHEMA}


def _answer(description: str, schema: str, media_type: str = "application/json") -> dict[str, Any]:
    content = {media_type: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {"description": description, "content": content}


LIST: dict[int | str, dict[str, Any]] = {200: _answer("A page of prices.", "PriceList")}
ONE: dict[int | str, dict[str, Any]] = {200: _answer("The price.", "Price")}
NAMES: dict[int | str, dict[str, Any]] = {200: _answer("The names.", "TickerList")}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    404: _answer("Nobody knows the ticker, or no price of it has arrived yet.", "Problem", MEDIA_TYPE),
    422: _answer("A parameter is missing or wrong.", "Problem", MEDIA_TYPE),
    503: _answer("The database does not answer; `Retry-After` says when to ask again.", "Problem", MEDIA_TYPE),
}
