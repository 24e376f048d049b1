"""The bus of many nodes on Redis: what the leader publishes reaches every receiver of every node.

A node's own receivers are called first and always, so a leader's streams never wait for Redis. The others get batches
by Pub/Sub, which loses what it cannot deliver: batches are numbered, and who misses one reads what the leader leaves
in Redis beside.
"""

import contextlib
import time
from collections.abc import Callable

import anyio
import structlog
from anyio.abc import TaskStatus
from redis import RedisError, ResponseError
from redis.asyncio import Redis
from redis.asyncio.client import PubSub

from ...model import Message, Receiver, SessionChanged, Tick, Upstream, UpstreamState
from .catch_up import CatchUp
from .client import redis_client
from .codec import Batch, UnreadableBatch, decode_batch, encode_batch
from .membership import Membership

__all__ = ["RedisBus"]

log = structlog.get_logger(__name__)

#: What all must hear, and what only the leader must: that a node is there, and what it wants.
CHANNEL, BEATS = "cryptomarket:bus", "cryptomarket:beats"
#: A Redis that has not answered by then is treated as one that is not there.
COMMAND_SECONDS = 0.5
#: Messages wait so long for company; a command of Redis costs as much as twenty messages.
GATHER_SECONDS = 0.005
#: How often every node speaks, whether it has something to say or not.
BEAT_SECONDS = 1.0
#: A leader that was silent for so long is not there.
SILENT_SECONDS = 2.5
#: Messages that wait for Redis; beyond that they are said to be missing.
MOST_WAITING = 5_000
RETRY_SECONDS = 0.5
#: How long a node that starts waits until it listens and has caught up. A Redis that is away must not keep it from
#: serving; one that is only slow must not let it serve streams that resume where it knows nothing yet.
CATCH_UP_SECONDS = 5.0
#: By then every node listens again to a Redis that came back; news said to it earlier are said once more.
LISTENING_SECONDS = 2.5


def _anybody(_: int) -> None:
    """No leadership to tell."""


class RedisBus:
    """The bus of a node named ``node``.

    While it leads, ``lead`` was called, and ``sure`` says before each message whether it still may. ``heard`` is told
    the epochs of others; ``wanted`` gives the tickers that streams here ask for.
    """

    def __init__(
        self,
        url: str,
        node: str,
        *,
        heard: Callable[[int], None] = _anybody,
        sure: Callable[[], bool] = lambda: True,
        wanted: Callable[[], frozenset[str]] = frozenset,
        catch_up_seconds: float = CATCH_UP_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.node = node
        self._redis: Redis = redis_client(url, connect_seconds=COMMAND_SECONDS, seconds=COMMAND_SECONDS)
        self._heard_epoch, self._sure, self._wanted = heard, sure, wanted
        self._monotonic, self._wall = monotonic, wall
        self._latest = CatchUp(self._redis)
        self._receivers: list[Receiver] = []
        self.epoch = 0  # ours while we lead, else 0
        self.sequence = 0
        self._number = 0
        self._state: Upstream | None = None
        self._shown: Upstream | None = None
        self._ticks: dict[str, Tick] = {}
        self._outbox: list[Message] = []
        self._unwritten: dict[str, Tick] = {}
        self._late_news: list[Message] = []
        self._reached = float("-inf")  # when Redis came back
        self._wake_up = anyio.Event()
        self._writing = anyio.Lock()
        self._newest_epoch = 0
        self._last: dict[str, tuple[int, int]] = {}
        self._place = self._after = 0, 0
        self._next_number: dict[int, int] = {}
        self._leader_heard = monotonic()
        self._lonely = False
        self._connected = self._board_written = True
        self._caught_up, self._catch_up_seconds = anyio.Event(), catch_up_seconds
        self.peers = Membership(node, monotonic=monotonic)
        self.counts = dict.fromkeys(("batches", "healed", "refused", "unsaid"), 0)

    def __repr__(self) -> str:
        return f"<RedisBus of {self.node}: {'leads' if self.epoch else 'follows'}>"

    # Speaking

    def lead(self, epoch: int) -> None:
        """From now on the ticks of this node are the ticks of all; their sequence goes on where the last one ended.

        So a node that did not hear that end sees a leap, and can say that it missed something.
        """
        self.epoch, self.sequence, self._number = epoch, self._place[1], 0
        self._after = self._place
        self._newest_epoch = max(self._newest_epoch, epoch)
        self._lonely = False
        self.peers.lead()
        self._wake_up.set()  # the sooner the others know, the less a deposed leader can say

    def follow(self) -> None:
        """From now on another node's ticks are ours."""
        self.epoch, self._state = 0, None
        self._ticks, self._unwritten = {}, {}  # the board is another's to write
        self._outbox = [message for message in self._outbox if isinstance(message, SessionChanged)]
        self._board_written = True
        self._leader_heard = self._monotonic()

    def subscribe(self, receiver: Receiver) -> None:
        """Deliver everything published from now on, here or elsewhere, to the receiver."""
        self._receivers.append(receiver)

    def publish(self, message: Message) -> None:
        """Deliver the message here and to the other nodes; only news may come from a node that does not lead."""
        if not isinstance(message, SessionChanged):
            if isinstance(message, Upstream) and self.epoch:
                self._state = message  # said when we are sure again, if we are not
            if not self.epoch or not self._sure():
                self.counts["unsaid"] += 1
                return
            if isinstance(message, Tick):
                self.sequence += 1
                message = message.at(self.epoch, self.sequence, self._after)
                self._ticks[message.ticker] = self._unwritten[message.ticker] = message
        self._deliver(message)
        if len(self._outbox) < MOST_WAITING:
            self._outbox.append(message)
        else:
            self._number += 1  # so that the loss is noticed
        self._wake_up.set()

    def _deliver(self, message: Message) -> None:
        if isinstance(message, Tick):
            self._last[message.ticker] = place = message.epoch, message.sequence
            self._place = max(self._place, place)
        elif isinstance(message, Upstream):
            self._shown = message
        for receive in self._receivers:
            receive(message)

    # Running

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Speak and listen until cancelled; a Redis that is away is a state.

        Started once this node listens and has caught up, or after ``catch_up_seconds`` without that: a stream that
        joins earlier would be sent what is caught up as new, and could not resume.
        """
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._speak)
            tasks.start_soon(self._listen)
            tasks.start_soon(self._watch)
            with anyio.move_on_after(self._catch_up_seconds):
                await self._caught_up.wait()
            if not self._caught_up.is_set():
                log.warning("started without catching up from Redis", waited_seconds=self._catch_up_seconds)
            task_status.started()

    async def aclose(self) -> None:
        """Let go of connections."""
        await self._redis.aclose()

    def statistics(self) -> dict[str, object]:
        """What was said and heard, and who else is there."""
        states = {"connected": self._connected, "board_written": self._board_written}
        refused = self.counts["refused"] + self._latest.garbled
        return {**self.counts, "refused": refused, **states, "nodes": self.nodes()}

    def nodes(self) -> list[str]:
        """Every node that is there, this one included."""
        return self.peers.names()

    @property
    def connected(self) -> bool:
        """Whether Redis took what was said last."""
        return self._connected

    @property
    def led(self) -> bool:
        """Whether this node leads, or hears one that does."""
        return bool(self.epoch) or not self._lonely

    def demand(self) -> frozenset[str]:
        """The tickers that streams of any node ask for."""
        return self._wanted() | self.peers.wanted()

    async def _speak(self) -> None:
        while True:
            with anyio.move_on_after(BEAT_SECONDS):
                await self._wake_up.wait()
                await anyio.sleep(GATHER_SECONDS)
            self._wake_up = anyio.Event()
            await self.flush()
            if not self._connected:
                await anyio.sleep(RETRY_SECONDS)

    async def flush(self) -> None:
        """Bring what was said here to Redis; when this returns, Redis has it or did not take it."""
        async with self._writing:
            if self._connected and self._all_listen():
                self._outbox, self._late_news = self._late_news + self._outbox, []
            messages, self._outbox = self._outbox, []
            news = [message for message in messages if isinstance(message, SessionChanged)]
            latest, self._unwritten = self._unwritten, {}
            try:
                with anyio.fail_after(COMMAND_SECONDS):
                    await self._write(messages, latest)
            except (RedisError, OSError, TimeoutError) as exc:
                self._say(False, type(exc).__name__)
                self._unwritten = latest | self._unwritten
                if self.epoch:  # the others get the ticks when Redis is back
                    ticks: list[Message] = [message for message in messages if isinstance(message, Tick)]
                    self._outbox = (ticks + self._outbox)[:MOST_WAITING]
                self._late_news = (self._late_news + news)[-MOST_WAITING:]
            else:
                self._say(True)
                if not self._all_listen():
                    self._late_news = (self._late_news + news)[-MOST_WAITING:]

    def _all_listen(self) -> bool:
        return self._monotonic() - self._reached >= LISTENING_SECONDS

    async def _write(self, messages: list[Message], latest: dict[str, Tick]) -> None:
        speaks = self.epoch if self._sure() else 0
        if self.epoch:
            self._number += 1
        if speaks and self._state is not None:
            messages = [*messages, self._state]
            if self._state is not self._shown:
                self._deliver(self._state)
        elif self.epoch and not speaks:  # it stood still since it said them
            self.counts["unsaid"] += len(messages)
            messages, latest = [message for message in messages if isinstance(message, SessionChanged)], {}
        nodes = self.peers.roll() if speaks else ()
        batch = encode_batch(Batch(self.node, speaks, self._number, tuple(sorted(self._wanted())), messages, nodes))
        async with self._redis.pipeline(transaction=False) as pipe:
            kept = self._latest.put(pipe, latest, batch)
            pipe.publish(CHANNEL if speaks or messages else BEATS, batch)
            answers = await pipe.execute(raise_on_error=False)
        if isinstance(answers[-1], RedisError):
            raise answers[-1]
        self.counts["batches"] += 1
        # A Redis that is full or only read still passes on what is said: the board waits, the ticks do not.
        refused = [answer for answer in answers[:kept] if isinstance(answer, ResponseError)]
        if refused:
            self._unwritten = latest | self._unwritten
        if latest:
            self._say_board(not refused, type(refused[0]).__name__ if refused else "")

    def _say(self, connected: bool, why: str = "") -> None:
        if connected is not self._connected:
            self._connected = connected
            if connected:
                self._reached = self._monotonic()
                self._unwritten = self._ticks | self._unwritten  # it may have come back empty
                self._wake_up.set()
                log.info("the bus reaches Redis again")
            else:
                log.warning("the bus does not reach Redis; this node goes on by itself", reason=why)

    def _say_board(self, written: bool, why: str) -> None:
        if written is not self._board_written:
            self._board_written = written
            if written:
                log.info("Redis takes the board again")
            else:
                log.warning("Redis does not take the board; ticks reach the other nodes all the same", reason=why)

    # Listening

    async def _listen(self) -> None:
        while True:
            try:
                async with self._redis.pubsub(ignore_subscribe_messages=True) as channel:
                    with anyio.fail_after(2 * COMMAND_SECONDS):
                        await channel.subscribe(CHANNEL)
                    await self._heal()  # what was said before we listened
                    self._caught_up.set()
                    self._deliver(SessionChanged((), "missed"))  # lost ones are kept nowhere
                    await self._follow_channel(channel)
            except (RedisError, OSError, TimeoutError):
                await anyio.sleep(RETRY_SECONDS)

    async def _follow_channel(self, channel: PubSub) -> None:
        hears_beats = False
        while True:
            with anyio.fail_after(SILENT_SECONDS):  # a leader hears itself: silence is a dead connection, or no leader
                if hears_beats is not bool(self.epoch):
                    hears_beats = bool(self.epoch)
                    await (channel.subscribe if hears_beats else channel.unsubscribe)(BEATS)
                while (found := await channel.get_message(timeout=BEAT_SECONDS)) is None:
                    pass
            await self._take(found["data"])

    async def _take(self, data: bytes) -> None:
        try:
            batch = decode_batch(data)
        except UnreadableBatch:
            self.counts["refused"] += 1
            return
        if batch.node == self.node:
            return
        now = self._monotonic()
        self.peers.hear(batch)
        if batch.epoch > self._newest_epoch:
            self._newest_epoch = batch.epoch
            self._heard_epoch(batch.epoch)
            self._next_number = {}
        leads = batch.epoch == self._newest_epoch and batch.epoch > 0 and not self.epoch
        if leads:
            expected = self._next_number.get(batch.epoch)
            self._next_number = {batch.epoch: batch.number + 1}
            self._leader_heard, self._lonely = now, False
            if expected != batch.number:
                await self._heal()
        for message in batch.messages:
            if isinstance(message, SessionChanged) or (leads and self._is_new(message, batch.epoch)):
                self._deliver(message)
        if not leads and batch.epoch:
            self.counts["refused"] += 1

    def _is_new(self, message: Message, epoch: int) -> bool:
        if not isinstance(message, Tick):
            return True
        place = message.epoch, message.sequence
        return message.epoch == epoch and place > self._last.get(message.ticker, (0, 0))

    async def catch_up(self) -> None:
        """Hear what the last leader said just before it fell silent, as far as Redis knows."""
        with contextlib.suppress(RedisError, OSError, TimeoutError):
            await self._heal()

    async def _heal(self) -> None:
        """Catch up with what the leader left in Redis."""
        if self.epoch:
            return
        ticks = await self._latest.since(self._place)
        self.counts["healed"] += 1
        if self.epoch:
            return
        for tick in ticks:
            if (tick.epoch, tick.sequence) > self._last.get(tick.ticker, (0, 0)):
                self._deliver(tick)
        if ticks:
            self._heard_epoch(ticks[-1].epoch)

    async def _watch(self) -> None:
        """Say that prices are stale when no leader speaks."""
        while True:
            await anyio.sleep(BEAT_SECONDS / 4)
            now = self._monotonic()
            if not self.epoch and not self._lonely and now - self._leader_heard > SILENT_SECONDS:
                self._lonely = True
                why = "no leader speaks" if self._connected else "Redis does not answer"
                self._deliver(Upstream(UpstreamState.STALE, int(self._wall() * 1000), why))
