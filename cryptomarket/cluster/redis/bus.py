"""The bus: what the leader publishes reaches every receiver of every node, in order.

Pub/Sub loses what it cannot deliver. So batches are numbered, and a node that misses one reads what the leader stored.
"""

import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping

import anyio
import structlog
from anyio.abc import TaskStatus
from redis.asyncio import Redis

from ...model import Gap, GapReason, Message, Receiver
from ..cluster import ClusterStatistics
from ..node_keys import NodeKeys
from .catch_up import CatchUp
from .delivery import LocalDelivery
from .listener import Listener
from .membership import MAX_WANTED, Membership
from .publisher import Publisher
from .refused import RefusedMessages
from .sequencer import Sequencer
from .staleness import StalenessWatch

__all__ = ["RedisBus"]

log = structlog.get_logger(__name__)

#: How long a starting node waits for Redis: it must serve while Redis is away, but not begin empty if Redis is slow.
CATCH_UP_SECONDS = 5.0


def _ignore(_: int) -> None:
    """No election takes part."""


class RedisBus:
    """The bus of the node named ``node``; it leads between `lead` and `stop_leading`.

    ``keys`` sign what it writes; what they do not verify is counted in ``refused``.
    ``may_lead`` returns, before each message, whether a leader may still publish; ``observe_epoch`` is called with the
    epochs that other nodes publish with. While this node leads, ``max_wanted`` tickers of all nodes are followed.
    """

    def __init__(
        self,
        redis: Redis,
        node: str,
        keys: NodeKeys,
        *,
        refused: RefusedMessages | None = None,
        observe_epoch: Callable[[int], None] = _ignore,
        may_lead: Callable[[], bool] = lambda: True,
        max_wanted: int = MAX_WANTED,
        catch_up_seconds: float = CATCH_UP_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.node = node
        self._catch_up_seconds = catch_up_seconds
        self._refused = refused = refused or RefusedMessages(monotonic)
        self._sequencer, self._delivery = Sequencer(), LocalDelivery(monotonic)
        self._membership = Membership(node, max_wanted=max_wanted, refused=self._refuse, monotonic=monotonic)
        self._catch_up = CatchUp(redis, keys, refused)
        self._publisher = Publisher(
            redis,
            node,
            keys,
            sequencer=self._sequencer,
            delivery=self._delivery,
            membership=self._membership,
            catch_up=self._catch_up,
            may_lead=may_lead,
            monotonic=monotonic,
            wall=wall,
        )
        self._staleness = StalenessWatch(
            self._sequencer, self._delivery, connected=self.connected, monotonic=monotonic, wall=wall
        )
        self._listener = Listener(
            redis,
            node,
            keys,
            sequencer=self._sequencer,
            delivery=self._delivery,
            membership=self._membership,
            catch_up=self._catch_up,
            staleness=self._staleness,
            refused=refused,
            observe_epoch=observe_epoch,
            wall=wall,
        )

    def __repr__(self) -> str:
        return f"<RedisBus of {self.node}: {'leads' if self.leads() else 'follows'}>"

    def lead(self, epoch: int) -> None:
        """Publish as the leader with this epoch from now on."""
        self._sequencer.lead(epoch, self._delivery.newest)
        self._staleness.leader_seen()
        self._membership.lead()
        self._publisher.lead()

    def stop_leading(self) -> None:
        """Receive from another leader from now on."""
        self._sequencer.stop_leading()
        self._publisher.stop_leading()
        self._staleness.leader_left()

    def publish(self, message: Message) -> None:
        """See Cluster."""
        self._publisher.publish(message)

    def subscribe(self, receiver: Receiver) -> None:
        """See Cluster."""
        self._delivery.subscribe(receiver)

    def want(self, ranks: Mapping[str, int]) -> None:
        """See Cluster."""
        self._membership.want(ranks)

    def _refuse(self, tickers: Iterable[str]) -> None:
        """Tell every node that the leader has no room for the tickers."""
        if self.leads():
            for ticker in tickers:
                self.publish(Gap(ticker, GapReason.FULL))

    def demand(self) -> AsyncIterator[frozenset[str]]:
        """See Cluster."""
        return self._membership.demand()

    def leads(self) -> bool:
        """See Cluster."""
        return bool(self._sequencer.epoch)

    def has_leader(self) -> bool:
        """See Cluster."""
        return self._staleness.has_leader()

    def connected(self) -> bool:
        """Whether Redis accepted the last batch."""
        return self._publisher.connected

    def members(self) -> tuple[str, ...]:
        """See Cluster."""
        return self._membership.names()

    def statistics(self) -> ClusterStatistics:
        """See Cluster."""
        return ClusterStatistics(
            node=self.node,
            leads=self.leads(),
            batches=self._publisher.batches,
            healed=self._listener.caught_up,
            refused=sum(self._refused.counts.values()),
            refused_by_reason=dict(self._refused.counts),
            keys_differ=self._refused.keys_differ(),
            clocks_differ=self._refused.clocks_differ(),
            unsaid=self._publisher.dropped,
            connected=self._publisher.connected,
            latest_stored=self._publisher.latest_stored,
            nodes=self.members(),
        )

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Publish and receive until cancelled.

        Started once this node receives and has caught up, or after ``catch_up_seconds``: streams that join earlier
        would receive the stored ticks as new and could not resume.
        """
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._publisher.run)
            tasks.start_soon(self._listener.run)
            tasks.start_soon(self._staleness.run)
            with anyio.move_on_after(self._catch_up_seconds):
                await self._listener.ready.wait()
            if not self._listener.ready.is_set():
                log.warning("started without catching up from Redis", waited_seconds=self._catch_up_seconds)
            task_status.started()

    async def catch_up(self) -> None:
        """Deliver what the last leader stored and this node missed, if Redis replies."""
        await self._listener.catch_up()

    async def flush(self) -> None:
        """Publish what waits; afterwards Redis has accepted it or is away."""
        await self._publisher.flush()
