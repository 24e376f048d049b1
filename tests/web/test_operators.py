"""Who is an operator."""

import pytest
from starlette.requests import Request

from cryptomarket.errors import RequestRefused
from cryptomarket.web.operators import Operators

TOKEN = "a-token-that-nobody-guesses"


def request(host: str | None, headers: dict[str, str]) -> Request:
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
    return Request({"type": "http", "client": (host, 4242) if host else None, "headers": raw})


@pytest.mark.parametrize(
    ("host", "headers", "included"),
    [
        ("127.0.0.1", {}, True),
        ("127.9.9.9", {}, True),
        ("::1", {}, True),
        ("::ffff:127.0.0.1", {}, True),
        ("10.1.2.3", {}, True),
        ("2001:db8::7", {}, True),
        ("10.2.0.1", {}, False),
        ("203.0.113.9", {}, False),
        ("2001:db8:1::7", {}, False),
        ("testclient", {}, False),
        (None, {}, False),
        ("203.0.113.9", {"Authorization": f"Bearer {TOKEN}"}, True),
        (None, {"Authorization": f"bearer {TOKEN}"}, True),
        ("203.0.113.9", {"Authorization": "Bearer "}, False),
        ("203.0.113.9", {"Authorization": f"Bearer {TOKEN}x"}, False),
        ("203.0.113.9", {"Authorization": "Bearer ü"}, False),
        ("203.0.113.9", {"Authorization": TOKEN}, False),
        # Behind a proxy on this machine that is not listed as trusted, everybody's address is that of this machine.
        ("127.0.0.1", {"X-Forwarded-For": "203.0.113.9"}, False),
        ("127.0.0.1", {"X-Forwarded-For": "127.0.0.1, 203.0.113.9"}, False),
        ("127.0.0.1", {"X-Forwarded-For": "10.1.2.3"}, True),
        ("127.0.0.1", {"X-Forwarded-For": ""}, False),
        ("127.0.0.1", {"X-Real-IP": "203.0.113.9"}, False),
        ("127.0.0.1", {"Forwarded": "for=203.0.113.9"}, False),
        ("203.0.113.9", {"X-Forwarded-For": "127.0.0.1"}, False),
    ],
)
def test_operators(host: str | None, headers: dict[str, str], included: bool) -> None:
    """This machine, the networks and the token; a forwarded request only if every address that it names is one."""
    operators = Operators(["10.1.0.0/16", "2001:db8::7"], TOKEN)
    assert operators.include(request(host, headers)) is included


def test_each_line_of_a_repeated_header_counts() -> None:
    """HAProxy adds a line of its own after that of the client, who must not become local by the first."""
    forged = request("127.0.0.1", {"X-Forwarded-For": "127.0.0.1"})
    forged.scope["headers"].append((b"x-forwarded-for", b"203.0.113.9"))
    assert not Operators().include(forged)


def test_without_a_token_none_is_accepted() -> None:
    """An empty token is no token."""
    for token in (None, ""):
        with pytest.raises(RequestRefused, match="CRYPTOMARKET_OPERATORS"):
            Operators((), token).check(request("203.0.113.9", {"Authorization": "Bearer "}))
