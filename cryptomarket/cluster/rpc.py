"""The desk: what any node asks of the leader, one errand at a time, each answered or failed within its time.

An errand and its answer are bytes; what they mean is between those who ask and those who serve. Nothing secret goes
through the desk: an errand names where a secret is kept.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol

import anyio
from anyio.abc import TaskStatus

from ..errors import NoLeader

__all__ = ["Handler", "LocalRpc", "Rpc"]

#: Does one errand; it fails for nobody but itself and answers its failures in words of its own.
Handler = Callable[[bytes], Awaitable[bytes]]

#: Errands done at the same time. Their calls wait for the budget of the exchange anyway.
AT_ONCE = 256


class Rpc(Protocol):
    """Carries errands to the one node that serves them."""

    async def ask(self, request: bytes, *, seconds: float) -> bytes:
        """The leader's answer; raises NoLeader when none came within the time."""

    async def serve(self, handle: Handler, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Do the errands of all nodes until cancelled; only the leader does."""


class LocalRpc:
    """The desk of a single process: who serves is called directly."""

    def __init__(self) -> None:
        self._handle: Handler | None = None
        self._places = anyio.Semaphore(AT_ONCE)

    async def ask(self, request: bytes, *, seconds: float) -> bytes:
        """The answer of whoever serves here; raises NoLeader when none came within the time."""
        try:
            with anyio.fail_after(seconds):
                async with self._places:
                    if self._handle is None:
                        raise NoLeader("nobody serves the desk")
                    return await self._handle(request)
        except TimeoutError:
            raise NoLeader(f"no answer within {seconds:g} s") from None

    async def serve(self, handle: Handler, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Do the errands until cancelled."""
        self._handle = handle
        task_status.started()
        try:
            await anyio.sleep_forever()
        finally:
            self._handle = None
