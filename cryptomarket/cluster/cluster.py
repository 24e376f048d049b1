"""The interface between a node and the other nodes, in one process (`single`) or through Redis (`redis`).

It must not know what messages and requests mean, nor what a leader does.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import anyio
from anyio.abc import TaskStatus

from ..model import Message, Receiver

__all__ = ["MAX_CONCURRENT_REQUESTS", "Cluster", "ClusterStatistics", "Handler", "RunAsLeader", "WantedTickers"]

#: Requests that the leader handles at once. The calls behind them are limited by the exchange's credits anyway.
MAX_CONCURRENT_REQUESTS = 256

#: Returns the reply to a request. It must not raise: a failure is part of its reply.
Handler = Callable[[bytes], Awaitable[bytes]]


class RunAsLeader(Protocol):
    """Runs what only the leader runs, for one epoch, until cancelled."""

    async def __call__(self, epoch: int, /, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None: ...


@dataclass(frozen=True, slots=True)
class ClusterStatistics:
    """What `/status` shows of a node among the others; counters start at zero with the process."""

    node: str
    leads: bool
    batches: int = 0
    #: Times that the node caught up from Redis.
    healed: int = 0
    #: Messages and stored values that this node did not accept.
    refused: int = 0
    refused_by_reason: Mapping[str, int] = field(default_factory=dict)
    #: Whether messages arrive and none of another node verifies: its key is another one.
    keys_differ: bool = False
    #: Whether messages of other nodes verify, and all seem to be of another time: one clock is wrong.
    clocks_differ: bool = False
    #: Messages that were not published because this node did not lead.
    unsaid: int = 0
    connected: bool = True
    #: Whether Redis accepts the latest values.
    latest_stored: bool = True
    #: The names of all nodes present.
    nodes: tuple[str, ...] = ()


class Cluster(Protocol):
    """One node's connection to all nodes.

    Messages reach every receiver of every node in the order of publishing. Publishing never waits.
    """

    def publish(self, message: Message) -> None:
        """Deliver the message to the receivers of all nodes; a tick gets its epoch and sequence first.

        Only a leader may publish anything but SessionChanged; what others publish is dropped.
        """

    def subscribe(self, receiver: Receiver) -> None:
        """Call the receiver with every message published from now on by any node."""

    def want(self, ranks: Mapping[str, int]) -> None:
        """Replace the tickers that streams of this node want; where all nodes want too many, the lowest ranks count."""

    def demand(self) -> AsyncIterator[frozenset[str]]:
        """The tickers that streams of all nodes want, now and after every change; complete only on the leader."""

    async def request(self, body: bytes, *, seconds: float) -> bytes:
        """The leader's reply.

        Raises NoLeader when none came within ``seconds``, and CacheUnavailable when Redis did not accept the request.
        """

    async def serve(self, handler: Handler, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Reply to the requests of all nodes until cancelled; only the leader calls this."""

    async def lead(
        self, run_as_leader: RunAsLeader, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        """Run ``run_as_leader`` with a new epoch whenever this node leads, until cancelled; raises what it raises."""

    def leads(self) -> bool:
        """Whether this node leads."""

    def has_leader(self) -> bool:
        """Whether this node leads, or receives from a node that does."""

    def members(self) -> tuple[str, ...]:
        """The names of all nodes present, including this one."""

    def statistics(self) -> ClusterStatistics:
        """The node among the others, now."""

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Exchange messages and replies with the other nodes until cancelled."""

    async def hand_over(self) -> None:
        """Finish the requests in progress and let another node lead; this one never leads again. Bounded in time."""


class WantedTickers:
    """A set of tickers whose changes can be awaited."""

    def __init__(self) -> None:
        self.tickers: frozenset[str] = frozenset()
        self._changed = anyio.Event()

    def set(self, tickers: frozenset[str]) -> None:
        """Replace the set."""
        if tickers != self.tickers:
            self.tickers = tickers
            self._changed.set()
            self._changed = anyio.Event()

    async def changes(self) -> AsyncIterator[frozenset[str]]:
        """The set now and after every change; changes while the consumer is busy become one."""
        while True:
            changed = self._changed
            yield self.tickers
            await changed.wait()
