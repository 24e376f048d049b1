"""Leadership: one node at a time holds the lease in the database and leads; one that dies or is cut off is replaced.

The lease is renewed every second. A leader that could not renew for two seconds by the monotonic clock must not publish
until it knows that it still leads: its process may have stood still while another node took over. A leader that knows
that the database is down goes on, because no other node can take over either; it ends when another node publishes with
a higher epoch.
"""

import contextlib
import time
from collections.abc import Callable
from typing import Protocol

import anyio
import structlog
from anyio.abc import TaskStatus

from ..errors import DatabaseUnavailable
from .cluster import RunAsLeader

__all__ = ["Election", "Lease"]

log = structlog.get_logger(__name__)

#: How often the lease is renewed or claimed.
RENEW_SECONDS = 1.0
#: How long a leader may publish without a renewal.
VALID_SECONDS = 2.0
#: A database that has not replied by then counts as unavailable.
DATABASE_SECONDS = 1.5


class Lease(Protocol):
    """The lease in the database."""

    async def claim_lease(self, holder: str, session: int | None, above: int) -> int | None:
        """Returns a new epoch higher than ``above``, or None while another node holds the lease."""

    async def renew_lease(self, holder: str, epoch: int, session: int | None) -> bool:
        """Returns whether the node still holds the lease with this epoch."""

    async def release_lease(self, holder: str, epoch: int) -> None:
        """Leave the lease to other nodes."""

    async def hold_lock(self, held: Callable[[int | None], None]) -> None:
        """Hold the database's lock while possible; calls ``held`` with its database session, or None when lost."""


class Election:
    """Leads as ``node`` whenever the lease is free."""

    def __init__(self, lease: Lease, node: str, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._lease = lease
        self._node = node
        self._monotonic = monotonic
        #: The epoch of this node while it leads.
        self.epoch: int | None = None
        self._highest_epoch = 0
        self._database_session: int | None = None
        self._renewed = self._attempted = float("-inf")
        self._database_down = False
        self._wake_up = anyio.Event()
        self._ended = False
        self._resigned = False
        self._idle = anyio.Event()

    def __repr__(self) -> str:
        return f"<Election of {self._node}: {self.epoch or 'follows'}>"

    def may_lead(self) -> bool:
        """Whether this node leads as far as it can know, so that no two nodes publish at once."""
        if self.epoch is None or self._ended:
            return False
        known = self._attempted if self._database_down else self._renewed
        return self._monotonic() - known <= VALID_SECONDS

    def observe_epoch(self, epoch: int) -> None:
        """Another node published with this epoch: a lower one of this node ends, and its next will be higher.

        A database that was created anew counts from one, while Redis may hold higher epochs.
        """
        self._highest_epoch = max(self._highest_epoch, epoch)
        if self.epoch is not None and epoch > self.epoch:
            self._end()

    async def resign(self) -> None:
        """Stop leading, release the lease, and never claim it again."""
        self._resigned = True
        self._end()
        self._wake_up.set()
        await self._idle.wait()

    def _end(self) -> None:
        self._ended = True
        self._wake_up.set()

    async def run(
        self, run_as_leader: RunAsLeader, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        """Run ``run_as_leader`` with a new epoch whenever the lease is free, until cancelled; raises what it raises."""
        task_status.started()
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._lease.hold_lock, self._lock_changed)
                while not self._resigned:
                    epoch = await self._claim()
                    if epoch is not None and not self._resigned:
                        await self._lead(epoch, run_as_leader)
                    elif not self._resigned:
                        await self._pause()
                tasks.cancel_scope.cancel()  # releases the lock
        finally:
            self._idle.set()
        await anyio.sleep_forever()

    def _lock_changed(self, database_session: int | None) -> None:
        self._database_session = database_session
        self._wake_up.set()

    async def _pause(self) -> None:
        with anyio.move_on_after(RENEW_SECONDS):
            await self._wake_up.wait()
        self._wake_up = anyio.Event()

    async def _claim(self) -> int | None:
        self._attempted = self._monotonic()
        try:
            with anyio.fail_after(DATABASE_SECONDS):
                return await self._lease.claim_lease(self._node, self._database_session, self._highest_epoch)
        except (DatabaseUnavailable, TimeoutError):
            return None

    async def _lead(self, epoch: int, run_as_leader: RunAsLeader) -> None:
        self._renewed, self._database_down, self._ended = self._attempted, False, False
        self.epoch = epoch
        log.info("became leader", epoch=epoch)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(run_as_leader, epoch)
                while not self._ended:
                    await self._pause()
                    if not self._ended:
                        await self._renew(epoch)
                tasks.cancel_scope.cancel()
        finally:
            self.epoch = None
            with anyio.move_on_after(DATABASE_SECONDS, shield=True):
                await self._release(epoch)
        log.info("stopped leading", epoch=epoch)

    async def _renew(self, epoch: int) -> None:
        attempted = self._monotonic()
        try:
            with anyio.fail_after(DATABASE_SECONDS):
                held = await self._lease.renew_lease(self._node, epoch, self._database_session)
        except (DatabaseUnavailable, TimeoutError):
            if not self._database_down:
                log.warning("lease not renewed, database unavailable", epoch=epoch)
            self._database_down, self._attempted = True, self._monotonic()
            return
        if self._database_down and held:
            log.info("lease renewed again", epoch=epoch)
        self._database_down = False
        if held:
            self._renewed = attempted
        else:
            self._ended = True

    async def _release(self, epoch: int) -> None:
        with contextlib.suppress(DatabaseUnavailable):  # the lease expires
            await self._lease.release_lease(self._node, epoch)
