"""The OpenAPI document: FastAPI's own description of the routes, completed with schemas generated from the models.

Schemas come from the models that responses and events are encoded from; a route names its model with `response`.
"""

import functools
import re
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from typing import Any

import msgspec
from fastapi import FastAPI
from starlette.routing import Route

from ...fields import FIELD_GROUPS
from ...history.intervals import Kind
from ...model import GapReason, UpstreamState
from ...persons.events import LoggedOutEvent, LoginFailedEvent, LoginWaitingEvent, PersonEvent
from ...stream.events import ConnectionEnvelope, GapEvent, HeartbeatEvent, PriceEnvelope, UpstreamEvent
from ...stream.parameters import MAX_TICKERS
from ..health import Check, ReadinessResponse
from . import models
from .price_fields import FundingFields, GreeksFields, InterestFields, QuoteFields, StatsFields
from .problems import MEDIA_TYPE

__all__ = [
    "NOT_MODIFIED",
    "PRICE_PROBLEMS",
    "describe",
    "problems",
    "query_names",
    "request_body",
    "response",
    "schemas",
    "text_response",
]

Responses = dict[int | str, dict[str, Any]]

_REF = "#/components/schemas/"

_CONNECTION = (
    UpstreamEvent | HeartbeatEvent | GapEvent | PersonEvent | LoginWaitingEvent | LoginFailedEvent | LoggedOutEvent
)

#: The public name of each schema that is not called like its model.
_NAMES: dict[str, Any] = {
    "Price": models.PriceResponse,
    "PriceList": models.PriceListResponse,
    "TickerList": models.TickerListResponse,
    "Instrument": models.InstrumentResponse,
    "InstrumentList": models.InstrumentListResponse,
    "Candle": models.CandleResponse,
    "CandleList": models.CandleListResponse,
    "Coverage": models.CoverageResponse,
    "Status": models.StatusResponse,
    "Problem": models.ProblemResponse,
    "Person": models.PersonResponse,
    "Account": models.AccountResponse,
    "SessionList": models.SessionListResponse,
    "LoginTaken": models.LoginAccepted,
    "Readiness": ReadinessResponse,
    "Bars": models.BarsResponse,
    "Symbol": models.SymbolResponse,
    "Found": list[models.SymbolMatch],
    "Datafeed": models.DatafeedResponse,
    "Connection": _CONNECTION,
}

_PRICE = models.PriceResponse("btc_usd", 64250.13, 1763668800, 1763668859123)
_INSTRUMENT = models.PriceResponse(
    "BTC-25DEC26-76000-C",
    0.1331,
    1763668800,
    1763668859123,
    0.1325,
    0.132,
    0.134,
    quote=QuoteFields(0.1325, 0.132, 0.134, 12.4, 31.0),
    stats=StatsFields(-1.852, 0.1385, 0.13, 48.2, 529840.5, 6.42),
    greeks=GreeksFields(42.31, 41.9, 42.75, 0.72451, 0.00001, 68.74501, -31.02733, 41.5021),
    funding=None,
    interest=InterestFields(1204.7, 83250.78, 84222.88),
)
_CANDLE = models.CandleResponse(1763668800, 64250.13, 64260.5, 64240, 64255.01, 58)
_OPTION = models.InstrumentResponse(
    "BTC-25DEC26-100000-C", "option", "btc_usd", "BTC", 1798185600, 100000, "call", 1, 0.0001
)
_CHECKS = {"database": Check(True, "answers")}
_AGES = {"btc_usd": 412}
_SCOPE = "account:read mainaccount"

#: Values of the models; each schema shows those of its model, also where one is a part of another.
_EXAMPLES: list[Any] = [
    _INSTRUMENT,
    FundingFields(-0.00021714, -0.0000031),
    models.PriceListResponse("btc_usd", True, [_PRICE], "asc-1763668800"),
    models.TickerListResponse(True, [models.TickerEntry("btc_usd", "index", True)]),
    models.InstrumentListResponse(True, [_OPTION], "BTC-25DEC26-100000-C"),
    models.CandleListResponse("btc_usd", "1m", True, [_CANDLE], None),
    models.CoverageResponse(
        "btc_usd",
        1763640000,
        1763668800,
        False,
        [
            models.CoverageInterval(1763640000, 1763661600, Kind.OBSERVED),
            models.CoverageInterval(1763661600, 1763668800, Kind.MISSING, reason="upstream"),
        ],
    ),
    models.StatusResponse(
        1763668859123,
        "ready",
        models.UpstreamStatus(UpstreamState.LIVE, 1763668100000, _AGES, ""),
        _CHECKS,
        [0.001, 0.01, 0.1, 1.0],
        {"recorder": {"queued": 2, "written": 118, "dropped": 0}},
    ),
    ReadinessResponse("ready", [], _CHECKS),
    models.ProblemResponse(
        "urn:cryptomarket:problem:unknown-ticker",
        "Unknown ticker",
        404,
        "unknown ticker 'btc_usdd'; did you mean btc_usd?",
        "/api/v1/prices",
        parameter="ticker",
        nearest=["btc_usd"],
    ),
    models.ExpectedParameter("limit", "at most 10000"),
    models.PersonResponse("2801249", "ada", "ada@example.com", _SCOPE, 1763766000),
    models.AccountResponse("2801249", [models.Balance("BTC", 10.0, 10.0, 9.5)]),
    models.SessionListResponse(
        "2801249", [models.SessionEntry("5d1f0a9be2c47730", "Firefox on Linux", 1763640000, 1763668800, True)]
    ),
    models.LoginBody("AbCdEfGh", "the-secret-of-a-key-with-account-read"),
    models.LoginAccepted("TmV4dA"),
    models.DatafeedResponse(
        True,
        False,
        False,
        False,
        True,
        ["1", "60", "1D"],
        [models.DatafeedExchange("Deribit", "Deribit", "Deribit")],
        [models.DatafeedType("Index", "index")],
    ),
    models.SymbolResponse("btc_usd", "btc_usd", "Deribit:btc_usd", "btc_usd on Deribit", "index", 100, ["1", "60"]),
    models.SymbolMatch("btc_usd", "Deribit:btc_usd", "btc_usd on Deribit", "btc_usd", "index"),
    models.BarsResponse("ok", [1763668800], [64250.13], [64260.5], [64240], [64255.01]),
    models.BarsResponse("no_data", nextTime=1763668740),
    UpstreamEvent(UpstreamState.LIVE, 1763668100000, {"btc_usd": 412, "eth_usd": 398}),
    HeartbeatEvent(1763668815000, {"btc_usd": 15012}),
    GapEvent("6-911", GapReason.EPOCH),
    PersonEvent("2801249", "ada", "ada@example.com", "Z0FBQUFBQm8", 1763766000, _SCOPE),
    LoginWaitingEvent(112, 16),
    LoginFailedEvent("the exchange did not answer in time: try again"),
    LoggedOutEvent("logged out"),
    PriceEnvelope("btc_usd", '{"ticker":"btc_usd","price":64250.13,"timestamp":1763668800,...}', "7-20519"),
    ConnectionEnvelope("connection", '{"kind":"gap","from":null,"reason":"refused","ticker":"x_usd"}'),
]


@functools.cache
def schemas() -> dict[str, Any]:
    """The `components.schemas` of the document: a JSON Schema with examples for each model, by its public name."""
    named, components = msgspec.json.schema_components(
        [*_NAMES.values(), models.LoginBody, PriceEnvelope, ConnectionEnvelope], ref_template=_REF + "{name}"
    )
    for example in _EXAMPLES:
        for value in _parts(example):
            shown = components[type(value).__name__].setdefault("examples", [])
            if (plain := msgspec.to_builtins(value)) not in shown:
                shown.append(plain)
    for schema in components.values():
        _require_defaults(schema)
    for name, schema in zip(_NAMES, named, strict=False):
        if "$ref" not in schema:  # a list or a union, which msgspec does not name
            components[name] = {"title": name, **schema, "examples": _examples(schema, components)}
    envelopes = {"oneOf": [{"$ref": f"{_REF}{model.__name__}"} for model in (PriceEnvelope, ConnectionEnvelope)]}
    components["StreamEvent"] = {**envelopes, "examples": _examples(envelopes, components)}
    return _renamed(components)


def _parts(value: Any) -> Iterator[Any]:
    """The models and enumerations within a value, itself included."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        for entry in value:
            yield from _parts(entry)
    elif isinstance(value, Enum):
        yield value
    elif isinstance(value, msgspec.Struct):
        yield value
        for field in value.__struct_fields__:
            yield from _parts(getattr(value, field))


def _require_defaults(schema: dict[str, Any]) -> None:
    """Mark fields with a default as required: a response always contains them."""
    for name, field in schema.get("properties", {}).items():
        if "default" in field:
            del field["default"]
            schema["required"].append(name)


def _examples(schema: Mapping[str, Any], components: Mapping[str, Any]) -> list[Any]:
    """The examples of a list of a model, or of each model of a union."""
    members: Iterable[Any] = schema.get("anyOf") or schema.get("oneOf") or [schema["items"]]
    found = [example for m in members for example in components[m["$ref"].removeprefix(_REF)]["examples"]]
    return [found] if "items" in schema else found


def _renamed(components: dict[str, Any]) -> dict[str, Any]:
    """The same schemas under their public names."""
    names = {model.__name__: name for name, model in _NAMES.items() if isinstance(model, type)}
    text = msgspec.json.encode(components).decode()
    text = re.sub(rf'"{_REF}(\w+)"', lambda found: f'"{_REF}{names.get(found[1], found[1])}"', text)
    renamed: dict[str, Any] = msgspec.json.decode(text)
    return {names.get(name, name): {**schema, "title": names.get(name, name)} for name, schema in renamed.items()}


def response(description: str, model: Any, *, status: int = 200, media_type: str = "application/json") -> Responses:
    """A response of a route with a model as its body, for its `responses`."""
    name = next((name for name, known in _NAMES.items() if known == model), getattr(model, "__name__", ""))
    content = {media_type: {"schema": {"$ref": _REF + name}}}
    return {status: {"description": description, "content": content}}


def request_body(model: type[msgspec.Struct]) -> dict[str, Any]:
    """The body of a request that no route parses itself, for its `openapi_extra`."""
    content = {"application/json": {"schema": {"$ref": _REF + model.__name__}}}
    return {"requestBody": {"required": True, "content": content}}


def text_response(description: str, media_type: str, example: str | None = None) -> Responses:
    """A response of a route with text or a file as its body, for its `responses`."""
    shown = {} if example is None else {"example": example}
    return {200: {"description": description, "content": {media_type: {"schema": {"type": "string"}, **shown}}}}


_PROBLEMS = {
    400: "The body is not JSON.",
    401: "Nobody is logged in.",
    403: "The request comes from a page of another site.",
    404: "The ticker is unknown, or no price of it has arrived yet.",
    408: "The body did not arrive in time.",
    413: "The body is too long.",
    415: "The body is not of type application/json.",
    422: "A parameter or a field is missing or wrong.",
    429: "Too many requests from this address; `Retry-After` contains the seconds until the next one is allowed.",
    501: "The extra is not installed.",
    503: "The database, the exchange, the leader or Redis does not answer; `Retry-After` contains the seconds to wait.",
}


def problems(*statuses: int) -> Responses:
    """The problem documents of a route by status, for its `responses`."""
    found: Responses = {}
    for status in statuses:
        found |= response(_PROBLEMS[status], models.ProblemResponse, status=status, media_type=MEDIA_TYPE)
    return found


#: The problems of every route that takes a ticker.
PRICE_PROBLEMS = problems(404, 422, 503)
NOT_MODIFIED: Responses = {304: {"description": "The copy named by `If-None-Match` is current."}}


def describe(app: FastAPI) -> None:
    """Complete the document of the application: schemas, the stream, and the routes that are not FastAPI's."""
    generated = app.openapi

    def openapi() -> dict[str, Any]:
        document = generated()
        document["components"] = {"schemas": schemas()}
        served = {route.path for route in app.router.routes if isinstance(route, Route)}
        plain = {path: operation for path, operation in _OPERATIONS.items() if path in served}
        document["paths"] = {**document["paths"], **plain}
        for path, operations in document["paths"].items():
            # An unknown parameter is refused everywhere, too many requests wherever they cost anything.
            everywhere = problems(422) if path in _UNLIMITED else problems(422, 429)
            for operation in operations.values():
                operation["responses"] |= {str(status): problem for status, problem in everywhere.items()}
        return document

    app.openapi_version = "3.2.0"  # the first version that describes the events of a stream
    app.openapi = openapi  # type: ignore[method-assign]


def query_names(app: FastAPI) -> dict[str, frozenset[str]]:
    """The names of the query parameters that the document has, by path."""
    return {
        path: frozenset(
            parameter["name"]
            for operation in operations.values()
            for parameter in operation.get("parameters", ())
            if parameter["in"] == "query"
        )
        for path, operations in app.openapi()["paths"].items()
    }


def _operation(
    name: str, summary: str, description: str, responses: Responses, *, tag: str = "operation", **more: Any
) -> dict[str, Any]:
    facts = {"tags": [tag], "operationId": name, "summary": summary, "description": description}
    return {"get": {**facts, **more, "responses": {str(status): entry for status, entry in responses.items()}}}


_STREAM_PARAMETERS: list[dict[str, Any]] = [
    {
        "name": "timer",
        "in": "query",
        "description": "Seconds between deliveries: 0.1 to 3600 in tenths, or 0 for every tick at once.",
        "schema": {"type": "number", "minimum": 0, "maximum": 3600, "multipleOf": 0.1, "default": 60},
        "example": 5,
    },
    {
        "name": "channels",
        "in": "query",
        "description": f"Tickers, separated by commas, at most {MAX_TICKERS}; by default the configured ones. "
        "`connection` is always delivered. Of unknown names beside known ones each is refused by a gap event.",
        "schema": {"type": "array", "items": {"type": "string"}, "maxItems": MAX_TICKERS + 1},
        "style": "form",
        "explode": False,
        "example": ["btc_usd", "eth_usd"],
    },
    {
        "name": "fields",
        "in": "query",
        "description": "Groups of numbers to add to the prices of instruments, separated by commas.",
        "schema": {"type": "array", "items": {"enum": list(FIELD_GROUPS)}, "uniqueItems": True},
        "style": "form",
        "explode": False,
        "example": ["quote", "greeks"],
    },
    {
        "name": "lastEventId",
        "in": "query",
        "description": "The same as the header `Last-Event-ID`, which counts first: some clients cannot send headers.",
        "schema": {"type": "string", "maxLength": 128},
    },
    {
        "name": "Last-Event-ID",
        "in": "header",
        "description": "The id of the last event that arrived; browsers send it when they reconnect.",
        "schema": {"type": "string", "maxLength": 128},
    },
]

#: The routes without a rate limit of REST; streams have limits of their own.
_UNLIMITED = ("/sse/", "/healthz", "/readyz")

#: The routes that are plain Starlette.
_OPERATIONS = {
    "/sse/": _operation(
        "stream",
        "Prices as they come",
        "Sends the newest price of each ticker and the state on joining; then, at every delivery, the newest price of "
        "each ticker that had a tick. The status is 200 even under overload, with a long `retry` and the end of the "
        "stream, because an EventSource does not reconnect after any other status.",
        {
            200: {
                "description": "The stream.",
                "content": {"text/event-stream": {"itemSchema": {"$ref": f"{_REF}StreamEvent"}}},
            },
            **problems(422),
        },
        tag="stream",
        parameters=_STREAM_PARAMETERS,
    ),
    "/healthz": _operation(
        "alive",
        "Alive",
        "Answers while the process runs.",
        text_response("The process runs.", "text/plain", "alive\n"),
    ),
    "/readyz": _operation(
        "ready",
        "Ready",
        "Whether this node should get traffic, with a sentence for each dependency.",
        response("It should; something may be missing.", ReadinessResponse)
        | response("It should not.", ReadinessResponse, status=503),
    ),
    "/metrics": _operation(
        "metrics",
        "Metrics for Prometheus",
        "In the text format of Prometheus; for operators.",
        text_response(
            "Each metric with its help.", "text/plain", "# TYPE cryptomarket_epoch gauge\ncryptomarket_epoch 7.0\n"
        ),
    ),
}
