"""Refused requests of the web application are reported, each once."""

from typing import Any

import pytest
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from cryptomarket.errors import InvalidParameter, NotLoggedIn, RequestRefused
from cryptomarket.persons.credential_middleware import LOGIN_PATH
from cryptomarket.web.api.problems import problem_response
from cryptomarket.web.refusal_report import RefusalReport

#: Name of a wrong request, the path, the error, and the reason and status that are reported, if any.
CASES = [
    ("rate", "/api/v1/prices", RequestRefused(429, "less"), ("rate", 429)),
    ("own reason", "/api/v1/prices", RequestRefused(429, "less", reason="candles"), ("candles", 429)),
    ("origin", "/", RequestRefused(403, "this site", reason="origin"), ("origin", 403)),
    ("nobody", "/api/v1/persons/me", NotLoggedIn(), ("not_logged_in", 401)),
    ("login body", LOGIN_PATH, RequestRefused(422, "a secret"), ("login", 422)),
    ("wrong parameter", "/api/v1/prices", InvalidParameter("ticker", "a name"), None),
    ("login unavailable", LOGIN_PATH, RequestRefused(503, "a leader"), None),
]


@pytest.mark.parametrize(("path", "error", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
async def test_refusals_are_reported(path: str, error: Exception, expected: tuple[str, int] | None) -> None:
    """With reason, address, route and status; wrong parameters and faults of ours are no refusals."""

    async def failing(scope: Scope, receive: Receive, send: Send) -> None:
        await problem_response(Request(scope), error)(scope, receive, send)

    reported: list[tuple[str, dict[str, Any]]] = []
    app = RefusalReport(failing, lambda reason, **facts: reported.append((reason, facts)))
    scope = {"type": "http", "path": path, "method": "GET", "client": ("192.0.2.7", 4242), "headers": []}
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await app(dict(scope), None, send)  # type: ignore[arg-type]
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    facts = {"address": "192.0.2.7", "route": path}
    assert reported == ([(expected[0], {**facts, "status": expected[1]})] if expected else [])
