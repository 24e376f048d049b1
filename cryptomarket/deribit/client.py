"""The supervisor: a short loop around short connections. One at a time, for as long as the program runs."""

from collections.abc import Iterator

import anyio
from anyio.abc import TaskStatus

from ..backoff import delays
from .link import Link

__all__ = ["DeribitClient"]


class DeribitClient(Link):
    """Keeps the link to the exchange up; see Link for its arguments and what it offers."""

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Connect, and connect again, until cancelled; failures of the network and the exchange never escape."""
        self.status.connecting()
        task_status.started()
        pauses = self._pauses()
        while True:
            await anyio.sleep(self.attempts.wait(self.monotonic()))
            self.attempts.record(self.monotonic())
            failure = await self.one_life()
            flowed = self.session.flowed
            self.status.ended(failure, flowed, self.session.rest_reason())
            if flowed:  # a handshake alone proves nothing: only data resets the pauses
                pauses = self._pauses()
            await anyio.sleep(self.pause(failure) + next(pauses))

    def _pauses(self) -> Iterator[float]:
        patience = self.patience
        return delays(first_seconds=patience.first_pause, cap_seconds=patience.longest_pause, random=self.random)
