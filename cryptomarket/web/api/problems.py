"""Every error response is an RFC 9457 problem document; one table maps errors to statuses.

A document names the parameter and what was expected; it never repeats a value, which may be a secret.
https://www.rfc-editor.org/rfc/rfc9457
"""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple

import msgspec
from fastapi.exceptions import RequestValidationError
from msgspec.structs import replace
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
from ..refusal_report import REASON
from .models import ExpectedParameter, ProblemResponse

__all__ = ["HANDLERS", "NoPriceYet", "problem_response"]

MEDIA_TYPE = "application/problem+json"
_TYPE = "urn:cryptomarket:problem:"

#: A database usually restarts within this time, and clients still wait.
RETRY_AFTER_SECONDS = 5
_RETRY = {"Retry-After": str(RETRY_AFTER_SECONDS)}
NO_LOGINS = "logins do not work now, prices do; try again later"


class NoPriceYet(RequestError):
    """The ticker is known, but no price of it has arrived."""

    def __init__(self, ticker: str) -> None:
        super().__init__(ticker)
        self.ticker = ticker

    def __str__(self) -> str:
        return f"no price of {self.ticker!r} has arrived yet"


class _Problem(NamedTuple):
    """A problem document without its instance, and the headers of its response."""

    document: ProblemResponse
    headers: Mapping[str, str] = {}


#: Error -> status, name of the problem, title. The nearest base class in the table decides.
TABLE: dict[type[Exception], tuple[int, str, str]] = {
    InvalidParameter: (422, "invalid-parameter", "A parameter is missing or wrong"),
    RequestValidationError: (422, "invalid-parameter", "A parameter is missing or wrong"),
    UnknownTicker: (404, "unknown-ticker", "Unknown ticker"),
    NoPriceYet: (404, "no-price-yet", "No price has arrived yet"),
    NotLoggedIn: (401, "not-logged-in", "Not logged in"),
    RequestError: (400, "bad-request", "Bad request"),
    DatabaseUnavailable: (503, "database-unavailable", "The database does not answer"),
    CacheUnavailable: (503, "cache-unavailable", "Redis does not answer"),
    NoLeader: (503, "no-leader", "No node is connected to the exchange"),
    Exception: (500, "internal-error", "Internal error"),
}


def _problem(error: Exception) -> _Problem:
    """The problem of an error; an unexpected one reveals nothing about its cause."""
    if isinstance(error, HTTPException):
        return _http_problem(error)
    status, name, title = next(TABLE[kind] for kind in type(error).__mro__ if kind in TABLE)
    document = ProblemResponse(f"{_TYPE}{name}", title, status, str(error), "")
    match error:
        case InvalidParameter():
            return _Problem(_with_parameters(document, [ExpectedParameter(error.parameter, error.expected)]))
        case RequestValidationError():
            invalid = [ExpectedParameter(_parameter(entry), _expected(entry)) for entry in error.errors()]
            detail = "; ".join(f"{entry.parameter}: expected {entry.expected}" for entry in invalid)
            return _Problem(_with_parameters(replace(document, detail=detail), invalid))
        case UnknownTicker():
            return _Problem(replace(document, parameter=error.parameter, nearest=error.nearest))
        case RequestRefused():
            headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
            return _Problem(_by_status(error.status, str(error)), headers)
        case NotLoggedIn():
            return _Problem(document, {"WWW-Authenticate": "Bearer"})
        case RequestError():
            return _Problem(document)
        case DatabaseUnavailable():
            return _Problem(replace(document, detail="stored prices cannot be read now; try again later"), _RETRY)
        case CacheUnavailable() | NoLeader():
            return _Problem(replace(document, detail=NO_LOGINS), _RETRY)
    return _Problem(replace(document, detail="the request was correct; the log of the server has the cause"))


def problem_response(request: Request, error: Exception) -> Response:
    """The response to an error that ended a request; its instance is the path, without the query."""
    document, headers = _problem(error)
    if isinstance(error, RequestRefused) and error.reason:
        request.scope[REASON] = error.reason
    body = msgspec.json.encode(replace(document, instance=request.scope["path"]))
    return Response(body, document.status, {"Cache-Control": "no-store", **headers}, media_type=MEDIA_TYPE)


async def _handle(request: Request, error: Exception) -> Response:
    return problem_response(request, error)


#: For the `exception_handlers` of an application.
HANDLERS: dict[int | type[Exception], Callable[[Request, Any], Coroutine[Any, Any, Response]]] = dict.fromkeys(
    [*TABLE, HTTPException], _handle
)


def _http_problem(error: HTTPException) -> _Problem:
    headers = error.headers or {}
    match error.status_code:
        case 404:
            detail = "there is nothing at this address; /docs lists the addresses"
        case 405:
            detail = f"this address answers {headers.get('Allow', 'other methods')} only"
        case _:
            detail = error.detail
    return _Problem(_by_status(error.status_code, detail), headers)


def _by_status(status: int, detail: str) -> ProblemResponse:
    """A problem that is named like its status."""
    phrase = HTTPStatus(status).phrase
    return ProblemResponse(f"{_TYPE}{phrase.lower().replace(' ', '-')}", phrase, status, detail, "")


def _with_parameters(document: ProblemResponse, invalid: Sequence[ExpectedParameter]) -> ProblemResponse:
    first = invalid[0]
    return replace(document, parameter=first.parameter, expected=first.expected, errors=invalid)


def _parameter(entry: Mapping[str, Any]) -> str:
    """The name of the parameter: ``limit`` for ("query", "limit"), for a body the path into it."""
    _, *path = entry["loc"]
    return ".".join(str(step) for step in path) or "body"


def _expected(entry: Mapping[str, Any]) -> str:
    """What was expected, without the value that was sent."""
    context = entry.get("ctx", {})
    match entry["type"]:
        case "missing":
            return "a value; it is mandatory"
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
