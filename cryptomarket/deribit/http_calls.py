"""Calls of persons over HTTP, where a socket would be one person: each call brings the token of its person.

A call is sent once. Who repeats it knows whether that is safe: a signature is used up by it, a renewal is not.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from ..errors import ExchangeRefused
from .http_client import result_of
from .http_transport import HttpTransport

__all__ = ["HttpCalls"]


class HttpCalls:
    """Calls at the HTTP address of a door; raises ExchangeRefused and ExchangeUnreachable."""

    def __init__(self, http_url: str, transport: HttpTransport) -> None:
        self._url = http_url.rstrip("/")
        self._transport = transport

    def __repr__(self) -> str:
        return f"<HttpCalls {self._url}>"

    async def call(self, method: str, params: Mapping[str, Any]) -> msgspec.Raw:
        """The raw result of a call. An ``access_token`` of the parameters goes into the header instead of the body."""
        sent = dict(params)
        headers = {"Content-Type": "application/json"}
        if token := sent.pop("access_token", None):
            headers["Authorization"] = f"Bearer {token}"
        body = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": method, "params": sent})
        url = f"{self._url}/{method}"
        answer = await self._transport.request(method, "POST", url, headers=headers, content=body)
        try:
            return result_of(method, answer.status, answer.body)[0]
        except ExchangeRefused as exc:
            if exc.code == 10028:
                self._transport.slow_down(exc.retry_after)
            if token is None and "token" not in sent:
                raise
            # Without the exchange's text, which may repeat the token.
            raise ExchangeRefused(method, exc.code, "refused with a token") from None
