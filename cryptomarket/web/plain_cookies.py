"""Removes cookies that are quoted or too long from requests, before FastAPI parses them.

FastAPI reads all cookies of each request by `http.cookies`, which takes quadratic time on quotes in Python 3.11
(CVE-2024-7592). None of our cookies has a quote.
"""

from starlette.types import ASGIApp, Receive, Scope, Send

from ..cookies import MOST_CHARACTERS

__all__ = ["PlainCookies"]


class PlainCookies:
    """Passes requests on with the cookies that can be parsed in linear time."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] == "http" and any(
            name == b"cookie" and not _is_plain(value) for name, value in scope["headers"]
        ):
            headers = [(name, _plain(value) if name == b"cookie" else value) for name, value in scope["headers"]]
            scope = {**scope, "headers": headers}
        await self._app(scope, receive, send)


def _is_plain(header: bytes) -> bool:
    return len(header) <= MOST_CHARACTERS and b'"' not in header


def _plain(header: bytes) -> bytes:
    """The pairs without quotes; none of a header that is too long."""
    if len(header) > MOST_CHARACTERS:
        return b""
    return b";".join(pair for pair in header.split(b";") if b'"' not in pair)
