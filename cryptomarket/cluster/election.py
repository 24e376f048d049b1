"""Leadership: one node at a time holds the lease and runs a term; a dead, paused or cut-off one is replaced.

The lease is renewed each second. A leader that could not renew for two seconds by the monotonic clock says nothing
until it knows: it may have stood still while another took over. One that knows that the database is away goes on,
because no other node can take over then either; it ends its term when it hears of a higher epoch.
"""

import contextlib
import time
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

import anyio
import structlog
from anyio.abc import TaskStatus

from ..errors import DatabaseUnavailable

__all__ = ["Election", "Lease"]

log = structlog.get_logger(__name__)

#: How often the lease is renewed, or asked for.
RENEW_SECONDS = 1.0
#: How long a leader speaks without knowing that it still leads.
SURE_SECONDS = 2.0
#: A database that takes longer than this is treated as one that does not answer.
ASK_SECONDS = 1.5

#: Runs what only a leader does, for an epoch, until cancelled.
Term = Callable[[int], Coroutine[Any, Any, None]]


class Lease(Protocol):
    """The lease in the database: the history's store is one."""

    async def claim_lease(self, holder: str, session: int | None, above: int) -> int | None: ...
    async def renew_lease(self, holder: str, epoch: int, session: int | None) -> bool: ...
    async def release_lease(self, holder: str, epoch: int) -> None: ...
    async def hold_lock(self, held: Callable[[int | None], None]) -> None: ...


class Election:
    """Takes its turn as the leader of all nodes; ``term`` runs while this node is."""

    def __init__(self, lease: Lease, node: str, term: Term, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._lease = lease
        self._node = node
        self._leader_tasks = term
        self._monotonic = monotonic
        self.epoch: int | None = None
        self._highest = 0
        self._session: int | None = None
        self._renewed = self._asked = float("-inf")
        self._database_away = False
        self._wake_up = anyio.Event()
        self._ended = False
        self._resigned = False
        self._idle = anyio.Event()

    def __repr__(self) -> str:
        return f"<Leadership of {self._node}: {self.epoch or 'follows'}>"

    @property
    def sure(self) -> bool:
        """Whether this node leads as far as anybody can know: what it says now is not said by two."""
        if self.epoch is None or self._ended:
            return False
        known = self._asked if self._database_away else self._renewed
        return self._monotonic() - known <= SURE_SECONDS

    def heard(self, epoch: int) -> None:
        """A node speaks with this epoch, or spoke: ours is over if it is lower, and the next will be higher.

        A database that was begun anew counts from one, beside a Redis that remembers.
        """
        self._highest = max(self._highest, epoch)
        if self.epoch is not None and epoch > self.epoch:
            self._end()

    async def resign(self) -> None:
        """End the term if there is one, leave the lease to the others, and take it no more."""
        self._resigned = True
        self._end()
        self._wake_up.set()
        await self._idle.wait()

    def _end(self) -> None:
        self._ended = True
        self._wake_up.set()

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Lead whenever nobody else does, until cancelled; what makes a term fail is raised."""
        task_status.started()
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._lease.hold_lock, self._held)
                while not self._resigned:
                    epoch = await self._claim()
                    if epoch is not None and not self._resigned:
                        await self._lead(epoch)
                    elif not self._resigned:
                        await self._pause()
                tasks.cancel_scope.cancel()  # the lock is another's
        finally:
            self._idle.set()
        await anyio.sleep_forever()

    def _held(self, session: int | None) -> None:
        self._session = session
        self._wake_up.set()

    async def _pause(self) -> None:
        with anyio.move_on_after(RENEW_SECONDS):
            await self._wake_up.wait()
        self._wake_up = anyio.Event()

    async def _claim(self) -> int | None:
        self._asked = self._monotonic()
        try:
            with anyio.fail_after(ASK_SECONDS):
                return await self._lease.claim_lease(self._node, self._session, self._highest)
        except (DatabaseUnavailable, TimeoutError):
            return None

    async def _lead(self, epoch: int) -> None:
        self._renewed, self._database_away, self._ended = self._asked, False, False
        self.epoch = epoch
        log.info("leads", epoch=epoch)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._leader_tasks, epoch)
                while not self._ended:
                    await self._pause()
                    if not self._ended:
                        await self._renew(epoch)
                tasks.cancel_scope.cancel()
        finally:
            self.epoch = None
            with anyio.move_on_after(ASK_SECONDS, shield=True):
                await self._release(epoch)
        log.info("follows", after=epoch)

    async def _renew(self, epoch: int) -> None:
        asked = self._monotonic()
        try:
            with anyio.fail_after(ASK_SECONDS):
                still = await self._lease.renew_lease(self._node, epoch, self._session)
        except (DatabaseUnavailable, TimeoutError):
            if not self._database_away:
                log.warning("the lease cannot be renewed: the database does not answer", epoch=epoch)
            self._database_away, self._asked = True, self._monotonic()
            return
        if self._database_away:
            log.info("the lease can be renewed again" if still else "another node leads", epoch=epoch)
        self._database_away = False
        if still:
            self._renewed = asked
        else:
            self._ended = True

    async def _release(self, epoch: int) -> None:
        with contextlib.suppress(DatabaseUnavailable):  # it runs out by itself
            await self._lease.release_lease(self._node, epoch)
