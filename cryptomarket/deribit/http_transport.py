"""Requests over HTTP to one host, within its budget: what every client over HTTP shares.

The usual proxy variables of the environment are ignored, redirects are refused, and no error contains an address or a
part of an answer.
"""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import anyio
import httpx2

from ..errors import ExchangeUnreachable
from .rate_limit import Group, RateLimiter
from .transport import checked_proxy, trust

__all__ = ["HttpAnswer", "HttpTransport"]

#: The list of all instruments has a few megabytes; a larger answer than this would only fill the memory.
MAX_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """Status and body, and when the request was sent (monotonic); its representation shows no body."""

    status: int
    body: bytes = field(repr=False)
    sent: float


class HttpTransport:
    """An async context manager; ``budget`` is the pace that the host allows, 15 requests a second by default.

    An answer that is not complete within ``timeout_seconds`` is none, however steadily its parts arrive.
    """

    def __init__(
        self,
        *,
        proxy: str | None = None,
        ca_file: str | None = None,
        budget: RateLimiter | None = None,
        timeout_seconds: float = 30.0,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        self.budget = budget or RateLimiter()
        self._monotonic, self._sleep = monotonic, sleep
        self._timeout_seconds = timeout_seconds
        self._client = httpx2.AsyncClient(
            proxy=checked_proxy(proxy),
            verify=trust(ca_file),
            timeout=timeout_seconds,
            trust_env=False,  # no proxy but ours, no credentials from a .netrc
            follow_redirects=False,
        )

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.__aexit__(kind, error, trace)

    async def request(
        self,
        method: str,
        verb: str,
        url: str,
        *,
        group: Group = Group.NON_MATCHING,
        spared: int = 0,
        headers: Mapping[str, str] | None = None,
        **how: Any,
    ) -> HttpAnswer:
        """Return the answer once the budget allows the request; ``spared`` of each second are left to others.

        ``method`` names the request in errors. Raises ExchangeUnreachable when there is no answer.
        """
        await self._turn(group, spared)
        sent = self._monotonic()
        try:
            with anyio.fail_after(self._timeout_seconds):  # the client's own timeout is for each part of the answer
                return HttpAnswer(*await self._answer(verb, url, headers=headers, **how), sent)
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as exc:
            # Without the cause's text: it can hold the proxy's address.
            raise ExchangeUnreachable(f"{method}: no answer over HTTP ({type(exc).__name__})") from None

    def slow_down(self, retry_after_seconds: float = 0.0) -> None:
        """The host answered that there were too many requests."""
        self.budget.slow_down(self._monotonic(), retry_after_seconds)

    async def _turn(self, group: Group, spared: int) -> None:
        """Wait until the budget allows a request; another request can take the credits first, hence the loop."""
        self.budget.http_waiting += 1
        try:
            while pause := self.budget.wait(group, self._monotonic(), spared=spared):
                await self._sleep(pause)
        finally:
            self.budget.http_waiting -= 1
        self.budget.take(group, self._monotonic())

    async def _answer(self, verb: str, url: str, **how: Any) -> tuple[int, bytes]:
        body = bytearray()
        async with self._client.stream(verb, url, **how) as response:
            async for part in response.aiter_bytes():
                body += part
                if len(body) > MAX_BYTES:
                    raise ExchangeUnreachable("the answer is larger than any of the exchange")
            return response.status_code, bytes(body)
