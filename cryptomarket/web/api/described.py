"""What OpenAPI says of the answers of the datafeed, of the operator's routes, and of those for persons."""

from typing import Any

from .problems import MEDIA_TYPE

__all__ = ["ACCOUNT", "LOGIN_BODY", "LOGIN_TAKEN", "MORE_SCHEMAS", "OPERATION_PATHS", "PERSON", "person_problems"]

_TEXT: dict[str, Any] = {"type": "string"}
_NUMBER: dict[str, Any] = {"type": "number"}


def _object(title: str, example: dict[str, Any], **properties: Any) -> dict[str, Any]:
    required = list(properties)
    return {"type": "object", "title": title, "required": required, "properties": properties, "examples": [example]}


def _columns(*names: str) -> dict[str, Any]:
    return {name: {"type": "array", "items": _NUMBER} for name in names}


_WHO = {
    "person_id": "2801249",
    "username": "ada",
    "email": "ada@example.com",
    "scope": "account:read wallet:none trade:none block_trade:none",
    "expires_at": 1763766000,
}

_PERSON = _object(
    "Person",
    _WHO,
    person_id=_TEXT,
    username=_TEXT,
    email=_TEXT,
    scope={**_TEXT, "description": "what the exchange granted: reading the account, and nothing else"},
    expires_at={"type": "integer", "description": "UNIX seconds"},
)
_OWNED = {"currency": "BTC", "equity": 10.0, "balance": 10.0, "available_funds": 9.5}
_ACCOUNT = _object(
    "Account",
    {"person_id": "2801249", "accounts": [_OWNED]},
    person_id=_TEXT,
    accounts={
        "type": "array",
        "items": {
            "type": "object",
            "required": list(_OWNED),
            "properties": {"currency": _TEXT, **dict.fromkeys(["equity", "balance", "available_funds"], _NUMBER)},
        },
    },
)
_READINESS = _object(
    "Readiness",
    {
        "status": "ready",
        "degraded": [],
        "checks": {"database": {"ok": True, "needed": True, "detail": "answers"}},
    },
    status={"enum": ["ready", "degraded", "unavailable"]},
    degraded={"type": "array", "items": _TEXT, "description": "a sentence for each check that fails"},
    checks={
        "type": "object",
        "additionalProperties": {
            "type": "object",
            "required": ["ok", "needed", "detail"],
            "properties": {"ok": {"type": "boolean"}, "needed": {"type": "boolean"}, "detail": _TEXT},
        },
    },
)
_BARS = {
    "type": "object",
    "title": "Bars",
    "required": ["s"],
    "properties": {
        "s": {"enum": ["ok", "no_data", "error"]},
        **_columns("t", "o", "h", "l", "c"),
        "nextTime": {"type": "integer", "description": "of no_data: where older bars are, in UNIX seconds"},
        "errmsg": {**_TEXT, "description": "of error: what is wrong"},
    },
    "examples": [
        {"s": "ok", "t": [1763668800], "o": [64250.13], "h": [64260.5], "l": [64240], "c": [64255.01]},
        {"s": "no_data", "nextTime": 1763668740},
    ],
}
_SYMBOL = _object(
    "Symbol",
    {"ticker": "btc_usd", "name": "btc_usd", "type": "index", "pricescale": 100, "minmov": 1},
    ticker=_TEXT,
    name=_TEXT,
    type=_TEXT,
    pricescale={"type": "integer"},
    minmov={"type": "integer"},
)
_FOUND = {
    "type": "array",
    "title": "Found",
    "items": _object(
        "FoundSymbol",
        {"symbol": "btc_usd", "ticker": "btc_usd", "exchange": "Deribit", "type": "index"},
        **dict.fromkeys(["symbol", "ticker", "exchange", "type"], _TEXT),
    ),
    "examples": [[{"symbol": "btc_usd", "ticker": "btc_usd", "exchange": "Deribit", "type": "index"}]],
}
_FEED = _object(
    "Datafeed",
    {"supports_search": True, "supports_time": True, "supported_resolutions": ["1", "60", "1D"]},
    supports_search={"type": "boolean"},
    supports_time={"type": "boolean"},
    supported_resolutions={"type": "array", "items": _TEXT},
)

#: For `components.schemas`.
MORE_SCHEMAS = {
    "Person": _PERSON,
    "Account": _ACCOUNT,
    "LoginTaken": _object("LoginTaken", {"login": "TmV4dA"}, login={**_TEXT, "description": "a name for this log-in"}),
    "Readiness": _READINESS,
    "Bars": _BARS,
    "Symbol": _SYMBOL,
    "Found": _FOUND,
    "Datafeed": _FEED,
}


def _answer(description: str, schema: str, media_type: str = "application/json") -> dict[str, Any]:
    return {
        "description": description,
        "content": {media_type: {"schema": {"$ref": f"#/components/schemas/{schema}"}}},
    }


PERSON = _answer("The person.", "Person")
ACCOUNT = _answer("Balances by currency.", "Account")
LOGIN_TAKEN = _answer("Taken; the outcome comes on the stream.", "LoginTaken")
LOGIN_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["client_id", "client_secret"],
                    "properties": {
                        "client_id": {"type": "string", "maxLength": 256},
                        "client_secret": {"type": "string", "minLength": 1, "maxLength": 256, "writeOnly": True},
                    },
                },
                "example": {"client_id": "AbCdEfGh", "client_secret": "the-secret-of-a-key-with-account-read"},
            }
        },
    }
}

_REFUSALS = {
    400: "The body is not JSON.",
    401: "Nobody is logged in here.",
    403: "The request comes from a page of another site.",
    408: "The body did not arrive in time.",
    413: "The body is too long.",
    415: "The body is not of type application/json.",
    422: "A field is missing or wrong.",
    429: "Too many log-ins; `Retry-After` says when the next one may come.",
    503: "The exchange, the leader or Redis does not answer; `Retry-After` says when to ask again.",
}


def person_problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The refusals of a route for persons, for its `responses`."""
    return {status: _answer(_REFUSALS[status], "Problem", MEDIA_TYPE) for status in statuses}


def _operation(name: str, summary: str, description: str, **responses: dict[str, Any]) -> dict[str, Any]:
    told = {"summary": summary, "description": description, "operationId": name, "tags": ["operation"]}
    return {"get": {**told, "responses": {status.removeprefix("_"): one for status, one in responses.items()}}}


def _text(description: str, example: str) -> dict[str, Any]:
    return {"description": description, "content": {"text/plain": {"schema": _TEXT, "example": example}}}


#: For `paths`, as far as an application has these routes.
OPERATION_PATHS = {
    "/healthz": _operation("alive", "Alive", "This process answers.", _200=_text("It does.", "alive\n")),
    "/readyz": _operation(
        "ready",
        "Ready",
        "Whether to send traffic here, and why not, with a sentence for each dependency.",
        _200=_answer("Send traffic; something may be missing.", "Readiness"),
        _503=_answer("Send none.", "Readiness"),
    ),
    "/metrics": _operation(
        "metrics",
        "Numbers for Prometheus",
        "In its text form.",
        _200=_text("Each metric with its help.", "# TYPE cryptomarket_epoch gauge\ncryptomarket_epoch 7.0\n"),
    ),
}
