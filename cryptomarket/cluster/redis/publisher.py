"""Publishing: messages go to this node's receivers at once, and to the other nodes in batches through Redis.

Receivers of this node never wait for Redis. While Redis is away, a leader's ticks and changes of instruments wait for
it.
"""

import time
from collections.abc import Callable

import anyio
import structlog
from redis import RedisError, ResponseError
from redis.asyncio import Redis

from ...errors import CacheUnavailable
from ...model import InstrumentChanged, Message, SessionChanged, Tick, Upstream
from ..node_keys import NodeKeys
from .acceptance import sending_time
from .catch_up import CatchUp
from .client import COMMAND_SECONDS, own_channel
from .codec import Batch, encode_batch
from .delivery import LocalDelivery
from .membership import Membership
from .notifications import MAX_WAITING, LateNotifications
from .sequencer import Sequencer
from .signer import Signer
from .wanted import store_wanted

__all__ = ["BEATS", "BEAT_SECONDS", "CHANNEL", "RETRY_SECONDS", "Publisher", "publish_notification"]

log = structlog.get_logger(__name__)

#: The channel that every node receives, and the one of empty batches, which only the leader receives, before
#: `own_channel` adds the database.
CHANNEL, BEATS = "cryptomarket:bus", "cryptomarket:beats"
#: Messages are collected for so long: one command of Redis costs as much as twenty messages.
BATCH_SECONDS = 0.005
#: How often every node publishes a batch, even an empty one.
BEAT_SECONDS = 1.0
RETRY_SECONDS = 0.5


class Publisher:
    """Publishes for one node. ``may_lead`` returns whether a leader may still publish, and is called each time."""

    def __init__(
        self,
        redis: Redis,
        node: str,
        keys: NodeKeys,
        *,
        sequencer: Sequencer,
        delivery: LocalDelivery,
        membership: Membership,
        catch_up: CatchUp,
        may_lead: Callable[[], bool],
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._redis = redis
        self._node = node
        self._signers = {name: Signer(keys, own_channel(redis, name)) for name in (CHANNEL, BEATS)}
        self._wall = wall
        self._sent = 0
        self._sequencer, self._delivery, self._membership = sequencer, delivery, membership
        self._catch_up = catch_up
        self._may_lead = may_lead
        self._waiting: list[Message] = []
        self._late = LateNotifications(monotonic)
        self._upstream: Upstream | None = None
        self._ticks: dict[str, Tick] = {}
        self._unstored: dict[str, Tick] = {}
        self._wake_up = anyio.Event()
        self._writing = anyio.Lock()
        #: Whether Redis accepted the last batch, and the latest ticks.
        self.connected = self.latest_stored = True
        self.batches = self.dropped = 0

    def lead(self) -> None:
        """Publish a batch now: the sooner nodes learn the new epoch, the less a deposed leader can publish."""
        self._wake_up.set()

    def stop_leading(self) -> None:
        """Drop what only a leader may publish or store."""
        self._upstream = None
        self._ticks, self._unstored = {}, {}
        self._waiting = [*_notifications(self._waiting)]
        self.latest_stored = True

    def publish(self, message: Message) -> None:
        """Deliver the message here and queue it for the other nodes; without the lead only SessionChanged counts."""
        if not isinstance(message, SessionChanged):
            if isinstance(message, Upstream) and self._sequencer.epoch:
                self._upstream = message  # published as soon as this node may lead
            if not self._sequencer.epoch or not self._may_lead():
                self.dropped += 1
                return
            if isinstance(message, Tick):
                message = self._sequencer.number(message)
                self._ticks[message.ticker] = self._unstored[message.ticker] = message
        self._delivery.deliver(message)
        if len(self._waiting) < MAX_WAITING:
            self._waiting.append(message)
        else:
            self._sequencer.skip_batch()
        self._wake_up.set()

    async def run(self) -> None:
        """Publish batches until cancelled; a Redis that is away is waited for."""
        while True:
            with anyio.move_on_after(BEAT_SECONDS):
                await self._wake_up.wait()
                await anyio.sleep(BATCH_SECONDS)
            self._wake_up = anyio.Event()
            self._membership.refresh()
            await self.flush()
            if not self.connected:
                await anyio.sleep(RETRY_SECONDS)

    async def flush(self) -> None:
        """Publish one batch with all that waits; afterwards Redis has accepted it or is away."""
        async with self._writing:
            messages, self._waiting = [*self._late.due(), *self._waiting], []
            latest, self._unstored = self._unstored, {}
            try:
                with anyio.fail_after(COMMAND_SECONDS):
                    await self._write(messages, latest)
            except (RedisError, OSError, TimeoutError) as exc:
                self._set_connected(False, type(exc).__name__)
                self._unstored = latest | self._unstored
                if self._sequencer.epoch:
                    kept: list[Message] = [one for one in messages if isinstance(one, Tick | InstrumentChanged)]
                    self._waiting = (kept + self._waiting)[:MAX_WAITING]
            else:
                self._set_connected(True)
            self._late.published(_notifications(messages))

    async def _write(self, messages: list[Message], latest: dict[str, Tick]) -> None:
        epoch = self._sequencer.epoch if self._may_lead() else 0
        number = self._sequencer.next_batch()
        if epoch and self._upstream is not None:
            messages = [*messages, self._upstream]
            if self._upstream is not self._delivery.upstream:
                self._delivery.deliver(self._upstream)
        elif self._sequencer.epoch and not epoch:  # the process stood still after the messages were published
            self.dropped += len(messages)
            messages, latest = [*_notifications(messages)], {}
        nodes = self._membership.announcement() if epoch else ()
        self._sent = sending_time(self._sent, self._wall())
        batch = encode_batch(Batch(self._node, self._sent, epoch, number, self._membership.own, messages, nodes))
        name = CHANNEL if epoch or messages else BEATS
        async with self._redis.pipeline(transaction=False) as pipe:
            stored = self._catch_up.store(pipe, latest, batch)
            if epoch and (wanted := self._membership.wanted_to_store()) is not None:
                store_wanted(pipe, wanted)
            pipe.publish(own_channel(self._redis, name), self._signers[name].sign(batch))
            replies = await pipe.execute(raise_on_error=False)
        if isinstance(replies[-1], RedisError):
            raise replies[-1]
        self.batches += 1
        # A Redis that is full or read-only still publishes: only the latest ticks wait.
        refused = [reply for reply in replies[:stored] if isinstance(reply, ResponseError)]
        if refused:
            self._unstored = latest | self._unstored
        if latest:
            self._set_latest_stored(not refused, type(refused[0]).__name__ if refused else "")

    def _set_connected(self, connected: bool, reason: str = "") -> None:
        if connected is self.connected:
            return
        self.connected = connected
        if connected:
            self._late.reconnected()
            self._unstored = self._ticks | self._unstored  # Redis may have lost its data
            self._wake_up.set()
            log.info("redis available again")
        else:
            self._late.disconnected()
            log.warning("redis unavailable, node continues alone", reason=reason)

    def _set_latest_stored(self, stored: bool, reason: str) -> None:
        if stored is self.latest_stored:
            return
        self.latest_stored = stored
        if stored:
            log.info("redis accepts writes again")
        else:
            log.warning("redis refuses writes, ticks are still published", reason=reason)


async def publish_notification(
    redis: Redis, keys: NodeKeys, message: SessionChanged, *, wall: Callable[[], float] = time.time
) -> None:
    """Publish one message to all nodes from a program that is none of them. Raises CacheUnavailable."""
    channel = own_channel(redis, CHANNEL)
    batch = Batch("", int(wall() * 1e6), 0, 0, {}, [message])
    try:
        with anyio.fail_after(COMMAND_SECONDS):
            await redis.publish(channel, Signer(keys, channel).sign(encode_batch(batch)))
    except (RedisError, OSError, TimeoutError) as exc:
        raise CacheUnavailable(f"Redis did not accept a message: {type(exc).__name__}") from None


def _notifications(messages: list[Message]) -> list[SessionChanged]:
    return [message for message in messages if isinstance(message, SessionChanged)]
