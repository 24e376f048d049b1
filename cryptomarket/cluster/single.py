"""The cluster of one process: it leads from its start to its end, and everything is a direct call."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import anyio
from anyio.abc import TaskStatus

from ..errors import NoLeader
from ..model import Message, Receiver, Tick
from .cluster import MAX_CONCURRENT_REQUESTS, ClusterStatistics, Handler, RunAsLeader, WantedTickers

__all__ = ["SingleNode"]


async def _first_epoch() -> int:
    return 1


class SingleNode:
    """The only node; see Cluster. ``take_epoch`` returns the next epoch of the database.

    ``epoch``, ``sequence`` and ``after`` are what the next tick is numbered from.
    """

    def __init__(self, take_epoch: Callable[[], Awaitable[int]] = _first_epoch, *, epoch: int = 0) -> None:
        self.epoch, self.sequence, self.after = epoch, 0, (0, 0)
        self._take_epoch = take_epoch
        self._receivers: list[Receiver] = []
        self._wanted = WantedTickers()
        self._handler: Handler = _no_handler
        self._limit = anyio.Semaphore(MAX_CONCURRENT_REQUESTS)

    def publish(self, message: Message) -> None:
        """Deliver the message to every receiver; a tick gets its epoch and sequence first."""
        if isinstance(message, Tick):
            self.sequence += 1
            message = message.at(self.epoch, self.sequence, self.after)
        for receive in self._receivers:
            receive(message)

    def subscribe(self, receiver: Receiver) -> None:
        """Call the receiver with every message published from now on."""
        self._receivers.append(receiver)

    def want(self, ranks: Mapping[str, int]) -> None:
        """Replace the tickers that streams want."""
        self._wanted.set(frozenset(ranks))

    def demand(self) -> AsyncIterator[frozenset[str]]:
        """The tickers that streams want, now and after every change."""
        return self._wanted.changes()

    async def request(self, body: bytes, *, seconds: float) -> bytes:
        """The handler's reply; raises NoLeader when there is no handler, or no reply within ``seconds``."""
        try:
            with anyio.fail_after(seconds):
                async with self._limit:
                    return await self._handler(body)
        except TimeoutError:
            raise NoLeader(f"no reply within {seconds:g} s") from None

    async def serve(self, handler: Handler, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Reply to requests until cancelled."""
        self._handler = handler
        task_status.started()
        try:
            await anyio.sleep_forever()
        finally:
            self._handler = _no_handler

    async def lead(
        self, run_as_leader: RunAsLeader, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        """Take one epoch and run ``run_as_leader`` with it."""
        self.epoch, self.sequence = await self._take_epoch(), 0
        await run_as_leader(self.epoch, task_status=task_status)

    def leads(self) -> bool:
        """Always true."""
        return True

    def has_leader(self) -> bool:
        """Always true."""
        return True

    def members(self) -> tuple[str, ...]:
        """This node, which needs no name."""
        return ("",)

    def statistics(self) -> ClusterStatistics:
        """One node that leads."""
        return ClusterStatistics(node="", leads=True, nodes=self.members())

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Nothing to do."""
        task_status.started()

    async def hand_over(self) -> None:
        """Nothing to do: there is no other node."""


async def _no_handler(_: bytes) -> bytes:
    raise NoLeader("this process does not serve requests")
