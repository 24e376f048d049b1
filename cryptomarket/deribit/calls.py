"""Calls that other parts of the program make over the one connection: asked once, answered to all who wait.

A call waits for its turn and for the connection; it is never dropped while somebody waits. What was sent when the
connection broke is asked again if it only reads, and fails otherwise, because nobody knows whether it was done.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import anyio
import msgspec

from ..backoff import doubled
from ..errors import ExchangeError, ExchangeRefused, ExchangeUnreachable
from .effects import Outgoing
from .error_codes import error_code
from .protocol import ErrorReply, Expired, Lost, Purpose, Result, UnsafeCall
from .rate_limit import Priority

__all__ = ["Calls"]

MOST_TRIES = 5
RETRY_SECONDS, LONGEST_RETRY_SECONDS = 1.0, 16.0


@dataclass(slots=True, eq=False)
class _Call:
    method: str
    priority: Priority
    number: int
    params: dict[str, Any] = field(repr=False)
    waiters: int = 0
    tries: int = 0
    not_before: float = 0.0
    request: int | None = None
    queued: bool = False
    done: anyio.Event = field(default_factory=anyio.Event)
    result: msgspec.Raw | ExchangeError | None = field(default=None, repr=False)

    @property
    def only_reads(self) -> bool:
        return self.method.startswith("public/") and self.method not in ("public/auth", "public/exchange_token")


class Calls:
    """The calls nobody has answered yet, over all connections of the process."""

    def __init__(self, *, monotonic: Callable[[], float], wake: Callable[[], None]) -> None:
        self._monotonic = monotonic
        self._wake = wake
        self._number = 0
        self._open: dict[bytes, _Call] = {}

    def __len__(self) -> int:
        return len(self._open)

    async def call(self, method: str, params: dict[str, Any], priority: Priority) -> msgspec.Raw:
        """The result of a call, as raw JSON; equal calls in flight share one request.

        Raises UnsafeCall at once for what must not be sent, ExchangeRefused and ExchangeUnreachable as they happen.
        """
        if method == "private/logout" or (method.startswith("private/") and not params.get("access_token")):
            raise UnsafeCall(f"{method} would act for everybody on this connection")
        key = hashlib.sha256(msgspec.json.encode([method, params], order="deterministic")).digest()
        found = self._open.get(key)
        if found is None:
            self._number += 1
            found = self._open[key] = _Call(method, priority, self._number, params)
        found.waiters += 1
        self._wake()
        try:
            await found.done.wait()
        finally:
            found.waiters -= 1
            if found.waiters == 0 and self._open.get(key) is found:
                del self._open[key]
        if isinstance(found.result, ExchangeError):
            raise found.result
        assert found.result is not None  # noqa: S101 (done means settled)
        return found.result

    def wishes(self) -> list[Outgoing]:
        """The calls that may be sent now and are in no queue yet."""
        now = self._monotonic()
        ready = [c for c in self._open.values() if not c.queued and c.not_before <= now]
        for call in ready:
            call.queued = True
        return [Outgoing(c.priority, c.number, c.method, Purpose.CALL, c.params) for c in ready]

    def sending(self, wish: Outgoing) -> bool:
        """Whether somebody still waits for what is about to be sent."""
        return any(call.number == wish.number for call in self._open.values())

    def sent(self, wish: Outgoing, request: int) -> None:
        """A call was sent as a request."""
        for call in self._open.values():
            if call.number == wish.number:
                call.request = request
                call.tries += 1

    def settle(self, event: Result | ErrorReply | Expired | Lost) -> None:
        """What became of a request of ours."""
        request = event.request
        call = next((c for c in self._open.values() if request and c.request == request.id), None)
        if call is None:
            return
        call.request = None
        match event:
            case Result():
                self._finish(call, event.result)
            case ErrorReply():
                error = ExchangeRefused(call.method, event.code, event.message, event.reason)
                self._again_or(call, error, repeat=error_code(event.code).passes)
            case Expired():
                late = ExchangeUnreachable(f"{call.method} was not answered in time")
                self._again_or(call, late, repeat=call.only_reads)
            case Lost():
                broken = ExchangeUnreachable(f"the connection broke during {call.method}")
                self._again_or(call, broken, repeat=call.only_reads)

    def _again_or(self, call: _Call, error: ExchangeError, *, repeat: bool) -> None:
        if not repeat or call.tries >= MOST_TRIES:
            self._finish(call, error)
            return
        call.queued = False
        call.not_before = self._monotonic() + doubled(RETRY_SECONDS, call.tries - 1, cap_seconds=LONGEST_RETRY_SECONDS)

    def _finish(self, call: _Call, result: msgspec.Raw | ExchangeError) -> None:
        self._open = {key: other for key, other in self._open.items() if other is not call}
        call.result = result
        call.done.set()

    def lost(self) -> None:
        """The connection and its queue are gone: what was only queued waits for the next."""
        for call in self._open.values():
            if call.request is None:
                call.queued = False
