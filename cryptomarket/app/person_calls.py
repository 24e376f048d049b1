"""The connections over HTTP for persons whose calls do not go over the one connection to the exchange."""

import contextlib
from types import TracebackType
from typing import Self

from ..deribit.doors import DERIBIT, Door, OAuth
from ..deribit.http_calls import HttpCalls
from ..deribit.http_transport import HttpTransport
from ..deribit.oauth_client import OAuthApplication, OAuthClient
from ..deribit.rate_limit import RateLimiter
from ..persons.grants import Call
from .persons import Coinbase

__all__ = ["PersonCalls"]

#: A call over HTTP that takes longer has failed; a login has 15 seconds in all.
TIMEOUT_SECONDS = 10.0


class PersonCalls:
    """An async context manager. ``application`` is that of ``at_coinbase``, the door of persons who log in there.

    ``coinbase`` is None where that is not offered. ``call`` is for persons with keys, None where their calls go over
    the one connection. At the host of Coinbase's market data nobody can log in: there it is Deribit's own door, or
    ``keys_url``.
    """

    def __init__(
        self,
        door: Door,
        budget: RateLimiter,
        *,
        keys_url: str | None,
        at_coinbase: Door | None,
        application: OAuthApplication,
        proxy: str | None,
        ca_file: str | None,
    ) -> None:
        self._proxy, self._ca_file = proxy, ca_file
        self._application = application
        self._transports: list[HttpTransport] = []
        self._open = contextlib.AsyncExitStack()
        self.call: Call | None = None
        if not door.authenticates:
            self.call = HttpCalls(keys_url or DERIBIT.http_url, self._transport(RateLimiter())).call
        self.coinbase: Coinbase | None = None
        if at_coinbase is not None and at_coinbase.oauth is not None:
            same = door.name == at_coinbase.name  # the exchange counts all calls to a host together
            shared = budget if same else RateLimiter()
            self.coinbase = self._new_coinbase(at_coinbase.http_url, at_coinbase.oauth, shared)

    def _transport(self, budget: RateLimiter) -> HttpTransport:
        transport = HttpTransport(
            proxy=self._proxy, ca_file=self._ca_file, budget=budget, timeout_seconds=TIMEOUT_SECONDS
        )
        self._transports.append(transport)
        return transport

    def _new_coinbase(self, http_url: str, oauth: OAuth, budget: RateLimiter) -> Coinbase:
        client = OAuthClient(oauth, self._application, self._transport(RateLimiter()))
        call = HttpCalls(http_url, self._transport(budget)).call
        return Coinbase(oauth, self._application.client_id, client, call)

    async def __aenter__(self) -> Self:
        for transport in self._transports:
            await self._open.enter_async_context(transport)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.aclose()
