"""Calls that other parts of the program make over the one connection; equal calls in flight share one request.

A call waits for its turn and for the connection, and is never dropped while a caller waits. A call that was in flight
when the connection broke is sent again if it only reads. Otherwise it fails, because it may have been carried out.
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
from .protocol import ErrorReply, Expired, Lost, Purpose, Result, check_safe
from .rate_limit import Priority

__all__ = ["Calls"]

MAX_TRIES = 5
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
    """The unanswered calls, over all connections of the process; ``wake`` is called when one may be sent."""

    def __init__(self, *, monotonic: Callable[[], float], wake: Callable[[], None]) -> None:
        self._monotonic = monotonic
        self._wake = wake
        self._number = 0
        self._open: dict[bytes, _Call] = {}

    def __len__(self) -> int:
        return len(self._open)

    async def call(self, method: str, params: dict[str, Any], priority: Priority) -> msgspec.Raw:
        """The result of a call, as raw JSON; waits without a limit.

        Raises ExchangeRefused, and ExchangeUnreachable when the last of `MAX_TRIES` was not answered. Raises
        UnsafeCall, a bug of the caller, before anything is sent.
        """
        check_safe(method, params)
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
        assert found.result is not None  # noqa: S101 (set before `done`)
        return found.result

    def outgoing(self) -> list[Outgoing]:
        """The calls that may be sent now and are in no queue yet."""
        now = self._monotonic()
        ready = [c for c in self._open.values() if not c.queued and c.not_before <= now]
        for call in ready:
            call.queued = True
        return [Outgoing(c.priority, c.number, c.method, Purpose.CALL, c.params) for c in ready]

    def awaited(self, outgoing: Outgoing) -> bool:
        """Whether a caller still waits for the call."""
        return any(call.number == outgoing.number for call in self._open.values())

    def sent(self, outgoing: Outgoing, request: int) -> None:
        """The call was sent as the request of that id."""
        for call in self._open.values():
            if call.number == outgoing.number:
                call.request = request
                call.tries += 1

    def settle(self, event: Result | ErrorReply | Expired | Lost) -> None:
        """A request ended: finish its call, or send it again later."""
        request = event.request
        call = next((c for c in self._open.values() if request and c.request == request.id), None)
        if call is None:
            return
        call.request = None
        match event:
            case Result():
                self._finish(call, event.result)
            case ErrorReply():
                error = ExchangeRefused(
                    call.method, event.code, event.message, event.reason, retry_after=event.retry_after
                )
                self._retry_or_fail(call, error, repeat=error_code(event.code).passes, least_pause=event.retry_after)
            case Expired():
                late = ExchangeUnreachable(f"{call.method} was not answered in time")
                self._retry_or_fail(call, late, repeat=call.only_reads)
            case Lost():
                broken = ExchangeUnreachable(f"the connection broke during {call.method}")
                self._retry_or_fail(call, broken, repeat=call.only_reads)

    def _retry_or_fail(self, call: _Call, error: ExchangeError, *, repeat: bool, least_pause: float = 0.0) -> None:
        if not repeat or call.tries >= MAX_TRIES:
            self._finish(call, error)
            return
        call.queued = False
        pause = doubled(RETRY_SECONDS, call.tries - 1, cap_seconds=LONGEST_RETRY_SECONDS)
        call.not_before = self._monotonic() + max(pause, least_pause)

    def _finish(self, call: _Call, result: msgspec.Raw | ExchangeError) -> None:
        self._open = {key: other for key, other in self._open.items() if other is not call}
        call.result = result
        call.done.set()

    def connection_lost(self) -> None:
        """The connection and its queue are gone: calls that were only queued wait for the next one."""
        for call in self._open.values():
            if call.request is None:
                call.queued = False
