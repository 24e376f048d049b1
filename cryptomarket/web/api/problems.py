"""Every refusal as an RFC 9457 problem document; one table says which error is which status.

It names the parameter and what was expected, and never repeats a value that could be a secret.
https://www.rfc-editor.org/rfc/rfc9457
"""

import json
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from ...errors import (
    CacheUnavailable,
    DatabaseUnavailable,
    InvalidParameter,
    NoLeader,
    NotLoggedIn,
    RequestError,
    RequestRefused,
    UnknownTicker,
)

__all__ = ["HANDLERS", "PROBLEM_SCHEMA", "NoPriceYet", "Problem", "problem", "problem_response"]

MEDIA_TYPE = "application/problem+json"

#: Long enough for a database to come back from a restart, short enough that nobody gives up.
RETRY_AFTER_SECONDS = 5


class NoPriceYet(RequestError):
    """A ticker that is known but of which no price ever arrived."""

    def __init__(self, ticker: str) -> None:
        super().__init__(ticker)
        self.ticker = ticker

    def __str__(self) -> str:
        return f"no price of {self.ticker!r} has arrived yet"


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem document and the headers that travel with it."""

    status: int
    name: str
    title: str
    detail: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def json(self, instance: str) -> bytes:
        """The document; ``instance`` is the path asked for, without its query."""
        known = {
            "type": f"urn:cryptomarket:problem:{self.name}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "instance": instance,
        }
        return json.dumps({**known, **self.facts}, ensure_ascii=False).encode()


#: Error -> status, name of the problem, title. The nearest ancestor in the tree of errors decides.
TABLE: dict[type[Exception], tuple[int, str, str]] = {
    InvalidParameter: (422, "invalid-parameter", "A parameter is missing or wrong"),
    RequestValidationError: (422, "invalid-parameter", "A parameter is missing or wrong"),
    UnknownTicker: (404, "unknown-ticker", "Nobody knows this ticker"),
    NoPriceYet: (404, "no-price-yet", "No price has arrived yet"),
    NotLoggedIn: (401, "not-logged-in", "Nobody is logged in here"),
    RequestError: (400, "bad-request", "The request cannot be answered"),
    DatabaseUnavailable: (503, "database-unavailable", "The database does not answer"),
    CacheUnavailable: (503, "cache-unavailable", "Redis does not answer"),
    NoLeader: (503, "no-leader", "No node reaches the exchange now"),
    Exception: (500, "internal-error", "Something here is broken"),
}


def problem(error: Exception) -> Problem:
    """The problem document of an error; what is no error of ours says nothing about its cause."""
    if isinstance(error, HTTPException):
        return _http_problem(error)
    status, name, title = next(TABLE[kind] for kind in type(error).__mro__ if kind in TABLE)
    match error:
        case InvalidParameter():
            return Problem(status, name, title, str(error), _invalid([(error.parameter, error.expected)]))
        case RequestValidationError():
            invalid = [(_parameter(entry), _expected(entry)) for entry in error.errors()]
            detail = "; ".join(f"{parameter}: expected {expected}" for parameter, expected in invalid)
            return Problem(status, name, title, detail, _invalid(invalid))
        case UnknownTicker():
            return Problem(status, name, title, str(error), {"parameter": "ticker", "nearest": list(error.nearest)})
        case RequestRefused():
            return _refused(error)
        case NotLoggedIn():
            return Problem(status, name, title, str(error), headers={"WWW-Authenticate": "Bearer"})
        case RequestError():
            return Problem(status, name, title, str(error))
        case DatabaseUnavailable():
            headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
            return Problem(status, name, title, "stored prices cannot be read now; ask again later", headers=headers)
        case CacheUnavailable() | NoLeader():
            headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
            return Problem(status, name, title, "persons cannot be served now; prices flow; try again", headers=headers)
    return Problem(status, name, title, "the request was fine; the log of the server says more")


def _refused(error: RequestRefused) -> Problem:
    phrase = HTTPStatus(error.status).phrase
    headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    return Problem(error.status, phrase.lower().replace(" ", "-"), phrase, str(error), headers=headers)


def problem_response(request: Request, error: Exception) -> Response:
    """The answer for an error that ended a request."""
    found = problem(error)
    headers = {"Cache-Control": "no-store", **found.headers}
    return Response(found.json(request.url.path), found.status, headers, media_type=MEDIA_TYPE)


async def _handle(request: Request, error: Exception) -> Response:
    return problem_response(request, error)


#: For the `exception_handlers` of an application.
HANDLERS: dict[int | type[Exception], Callable[[Request, Any], Coroutine[Any, Any, Response]]] = dict.fromkeys(
    [*TABLE, HTTPException], _handle
)


def _http_problem(error: HTTPException) -> Problem:
    phrase = HTTPStatus(error.status_code).phrase
    headers = error.headers or {}
    match error.status_code:
        case 404:
            detail = "there is nothing at this address; /docs lists what is"
        case 405:
            detail = f"this address answers {headers.get('Allow', 'other methods')} only"
        case _:
            detail = error.detail
    return Problem(error.status_code, phrase.lower().replace(" ", "-"), phrase, detail, headers=headers)


def _invalid(invalid: list[tuple[str, str]]) -> dict[str, Any]:
    errors = [{"parameter": parameter, "expected": expected} for parameter, expected in invalid]
    return {**errors[0], "errors": errors}


def _parameter(entry: Mapping[str, Any]) -> str:
    """``limit`` of ("query", "limit"); of a body the path into it."""
    _, *path = entry["loc"]
    return ".".join(str(step) for step in path) or "body"


def _expected(entry: Mapping[str, Any]) -> str:
    """What was expected, in words that hold without the value that was sent."""
    context = entry.get("ctx", {})
    match entry["type"]:
        case "missing":
            return "a value, it is mandatory"
        case "int_parsing" | "int_type" | "int_from_float" | "int_parsing_size":
            return "a whole number"
        case "greater_than_equal":
            return f"at least {context['ge']}"
        case "less_than_equal":
            return f"at most {context['le']}"
        case "literal_error" | "enum":
            return str(context["expected"])
        case "string_too_short":
            return f"at least {context['min_length']} characters"
        case "string_too_long":
            return f"at most {context['max_length']} characters"
        case "string_pattern_mismatch":
            return f"text like {context['pattern']}"
        case "json_invalid":
            return "a JSON object"
    return str(entry["msg"]).removeprefix("Input should be ").removeprefix("Value error, ")


PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "title": "Problem",
    "description": "A refusal, as RFC 9457 says.",
    "required": ["type", "title", "status", "detail", "instance"],
    "properties": {
        "type": {"type": "string", "format": "uri", "examples": ["urn:cryptomarket:problem:unknown-ticker"]},
        "title": {"type": "string", "examples": ["Nobody knows this ticker"]},
        "status": {"type": "integer", "examples": [404]},
        "detail": {"type": "string", "examples": ["unknown ticker 'btc_usdd'; did you mean btc_usd?"]},
        "instance": {"type": "string", "description": "the path asked for", "examples": ["/api/v1/prices"]},
        "parameter": {"type": "string", "description": "the parameter at fault", "examples": ["ticker"]},
        "expected": {"type": "string", "description": "what was expected of it"},
        "nearest": {"type": "array", "items": {"type": "string"}, "description": "known names near to the one asked"},
        "errors": {
            "type": "array",
            "description": "every parameter at fault",
            "items": {
                "type": "object",
                "required": ["parameter", "expected"],
                "properties": {"parameter": {"type": "string"}, "expected": {"type": "string"}},
            },
        },
    },
    "examples": [
        {
            "type": "urn:cryptomarket:problem:unknown-ticker",
            "title": "Nobody knows this ticker",
            "status": 404,
            "detail": "unknown ticker 'btc_usdd'; did you mean btc_usd?",
            "instance": "/api/v1/prices",
            "parameter": "ticker",
            "nearest": ["btc_usd"],
        }
    ],
}
