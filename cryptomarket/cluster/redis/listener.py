"""Listening: batches of other nodes arrive through Pub/Sub; missed ones are read from what the leader stored."""

import contextlib
from collections.abc import Callable

import anyio
from redis import RedisError
from redis.asyncio import Redis
from redis.asyncio.client import PubSub

from ...model import SessionChanged, Tick
from ..node_keys import NodeKeys
from .acceptance import Freshness
from .catch_up import CatchUp
from .client import COMMAND_SECONDS, own_channel
from .codec import Batch, UnreadableBatch, decode_batch
from .delivery import LocalDelivery
from .membership import Membership
from .publisher import BEAT_SECONDS, BEATS, CHANNEL, RETRY_SECONDS
from .refused import RefusedMessages
from .sequencer import Sequencer
from .signer import Signer
from .staleness import SILENT_SECONDS, StalenessWatch

__all__ = ["Listener"]


class Listener:
    """Receives for one node. ``observe_epoch`` is called with the epochs of other nodes."""

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
        staleness: StalenessWatch,
        refused: RefusedMessages,
        observe_epoch: Callable[[int], None],
        wall: Callable[[], float],
    ) -> None:
        self._redis = redis
        channels = [own_channel(redis, name) for name in (CHANNEL, BEATS)]
        self._signers = {channel.encode(): Signer(keys, channel) for channel in channels}
        self._freshness = Freshness(wall)
        self._refused = refused
        self._node = node
        self._sequencer, self._delivery, self._membership = sequencer, delivery, membership
        self._catch_up = catch_up
        self._staleness = staleness
        self._observe_epoch = observe_epoch
        self.caught_up = 0
        #: Set once this node is subscribed and has caught up for the first time.
        self.ready = anyio.Event()

    async def run(self) -> None:
        """Receive until cancelled; a Redis that is away is waited for."""
        while True:
            try:
                async with self._redis.pubsub(ignore_subscribe_messages=True) as channel:
                    with anyio.fail_after(2 * COMMAND_SECONDS):
                        await channel.subscribe(own_channel(self._redis, CHANNEL))
                    await self._read_missed()
                    self.ready.set()
                    self._delivery.deliver(SessionChanged((), "missed"))  # notifications are not stored
                    await self._receive(channel)
            except (RedisError, OSError, TimeoutError):
                await anyio.sleep(RETRY_SECONDS)

    async def catch_up(self) -> None:
        """Deliver the ticks that the leader stored and this node missed, if Redis replies."""
        with contextlib.suppress(RedisError, OSError, TimeoutError):
            await self._read_missed()

    async def _receive(self, channel: PubSub) -> None:
        receives_beats = False
        while True:
            # A leader receives its own batches, so silence means a dead connection or no leader.
            with anyio.fail_after(SILENT_SECONDS):
                leads = bool(self._sequencer.epoch)
                if receives_beats is not leads:
                    receives_beats = leads
                    await (channel.subscribe if leads else channel.unsubscribe)(own_channel(self._redis, BEATS))
                while (found := await channel.get_message(timeout=BEAT_SECONDS)) is None:
                    pass
            batch = self._read(found["channel"], found["data"])
            if batch is not None:
                await self._accept(batch)

    def _read(self, channel: bytes, message: bytes) -> Batch | None:
        """The batch of another node, if it is one that must be accepted; None for a batch of this node too."""
        data = self._signers[channel].verified(message)
        if data is None:
            self._refused.add("signature")
            return None
        try:
            batch = decode_batch(data)
        except UnreadableBatch:
            self._refused.add("format")  # of another version
            return None
        if batch.node == self._node:
            return None
        refusal = self._freshness.refusal(batch.node, batch.sent)
        if batch.node:
            self._refused.verified(timely=refusal != "time")
        if not refusal and not self._sequencer.is_plausible(batch.epoch):
            refusal = "epoch"
        if refusal:
            self._refused.add(refusal)
            return None
        return batch

    async def _accept(self, batch: Batch) -> None:
        if batch.node:  # else of a command, which is no node
            self._membership.observe(batch)
        if self._sequencer.observe_epoch(batch.epoch):
            self._observe_epoch(batch.epoch)
        from_leader = self._sequencer.is_from_leader(batch)
        if from_leader:
            complete = self._sequencer.is_next(batch)
            self._staleness.leader_seen()
            if not complete:
                await self._read_missed()
        elif batch.epoch:
            self._refused.add("epoch")
        for message in batch.messages:
            if isinstance(message, Tick):
                if from_leader and message.epoch == batch.epoch and self._is_new(message):
                    self._delivery.deliver(message)
            elif from_leader or isinstance(message, SessionChanged):
                self._delivery.deliver(message)

    def _is_new(self, tick: Tick) -> bool:
        return self._is_plausible(tick) and self._delivery.is_new(tick)

    def _is_plausible(self, tick: Tick) -> bool:
        if not self._sequencer.is_plausible(tick.epoch):
            self._refused.add("epoch")
        elif not self._delivery.is_plausible(tick):
            self._refused.add("sequence")
        else:
            return True
        return False

    async def _read_missed(self) -> None:
        if self._sequencer.epoch:
            return
        ticks = await self._catch_up.since(self._delivery.newest)
        self.caught_up += 1
        if self._sequencer.epoch:  # this node became the leader meanwhile
            return
        # All are compared with what this node had: the newest tick of a quiet ticker may be much older than the others.
        plausible = [tick for tick in ticks if self._is_plausible(tick)]
        for tick in plausible:
            if self._delivery.is_new(tick):
                self._delivery.deliver(tick)
        if plausible:
            self._observe_epoch(plausible[-1].epoch)
