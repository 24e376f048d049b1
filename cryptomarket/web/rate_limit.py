"""The rate limit of REST, pages and files: each address may cause so much work a second, whatever it asks for.

A request that would cost more than its address has left is answered with 429. A response that turns out to cost more is
still sent, and the address pays for it afterwards; a streamed one, such as an export, slows down to the rate. Whoever
asks, few costly requests are answered at once: the others wait, so that small ones find a free reader of the database.
"""

import math
import time
from collections.abc import Callable, Sequence

import anyio
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..addresses import address_groups
from ..errors import RequestRefused
from ..token_buckets import TokenBuckets
from .api.problems import problem_response
from .request_cost import expected_cost, is_streamed, produced_cost

__all__ = ["RateLimit"]

#: An address may save the units of so many seconds for a burst: several pages with their files, scripts and candles.
BURST_SECONDS = 5.0
#: Requests that are expected to cost so much, and how many of them are answered at once: half the database's readers.
COSTLY_UNITS, COSTLY_AT_ONCE = 5.0, 2
#: How long a costly request waits for its turn; each takes some tens of milliseconds.
MOST_WAIT_SECONDS = 5.0
#: The longest pause between two parts of a streamed response.
MOST_PAUSE_SECONDS = 5.0
TOO_MANY = "fewer requests from this address; wait before the next"


class RateLimit:
    """Charges each address for its requests, ``units_per_second`` at most; a unit is about a millisecond of CPU."""

    def __init__(
        self, app: ASGIApp, units_per_second: float, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._app = app
        self._buckets = TokenBuckets(units_per_second, units_per_second * BURST_SECONDS)
        self._monotonic = monotonic
        self._costly = anyio.Semaphore(COSTLY_AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and charge its address, or refuse it."""
        client = scope.get("client")
        if scope["type"] != "http" or not client:
            await self._app(scope, receive, send)
            return
        groups = address_groups(client[0])
        expected = expected_cost(scope["path"], scope["query_string"].decode("latin-1"))
        # Without a cost a request passes even when the address is in debt.
        wait = self._buckets.take(groups, expected, self._monotonic()) if expected else 0.0
        if wait > 0.0:
            await _refuse(RequestRefused(429, TOO_MANY, retry_after=math.ceil(wait)), scope, receive, send)
            return
        charged = _ChargedResponse(scope["path"], expected, send, lambda cost: self._charge(groups, cost))
        try:
            if expected < COSTLY_UNITS or is_streamed(scope["path"]):  # streamed ones are bounded page by page
                await self._app(scope, receive, charged.send)
            else:
                await self._take_turn(scope, receive, charged.send)
        finally:
            charged.settle()

    async def _take_turn(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a costly request when few others are being answered."""
        with anyio.move_on_after(MOST_WAIT_SECONDS) as waiting:
            await self._costly.acquire()
        if waiting.cancelled_caught:
            problem = RequestRefused(503, "fewer large requests at once", retry_after=math.ceil(MOST_WAIT_SECONDS))
            await _refuse(problem, scope, receive, send)
            return
        try:
            await self._app(scope, receive, send)
        finally:
            self._costly.release()

    def _charge(self, groups: Sequence[str], cost: float) -> float:
        """Charge for work that was done; return the seconds until the address is out of debt."""
        now = self._monotonic()
        self._buckets.charge(groups, cost, now)
        return self._buckets.take(groups, 0.0, now)


class _ChargedResponse:
    """Counts the bytes of a response and charges them: of a streamed response at each part, else at the end."""

    def __init__(self, path: str, paid: float, send: Send, charge: Callable[[float], float]) -> None:
        self._path, self._paid, self._send, self._charge = path, paid, send, charge
        self._status, self._size = 0, 0

    async def send(self, message: Message) -> None:
        """Pass a message on; after a part of a streamed response wait until the address is out of debt."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
        elif message["type"] == "http.response.body":
            self._size += len(message.get("body", b""))
        await self._send(message)
        if message.get("more_body") and self._cost() > self._paid:
            await anyio.sleep(min(self.settle(), MOST_PAUSE_SECONDS))

    def settle(self) -> float:
        """Charge what was not expected, or return what was not used; return the seconds of debt."""
        cost, paid = self._cost(), self._paid
        self._paid = cost
        return self._charge(cost - paid) if cost != paid else 0.0

    def _cost(self) -> float:
        return produced_cost(self._path, self._status, self._size)


async def _refuse(problem: RequestRefused, scope: Scope, receive: Receive, send: Send) -> None:
    response = problem_response(Request(scope), problem)
    if scope["method"] not in ("GET", "HEAD"):
        response.headers["Connection"] = "close"  # the unread body must not become the next request
    await response(scope, receive, send)
