"""Who has the account of Redis, but not the keys of the nodes, cannot make a node believe anything.

The intruder of these tests reads and writes everything in Redis. What it takes from the nodes are whole messages.
"""

import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from cryptomarket.cluster.redis.acceptance import (
    MAX_AGE_SECONDS,
    MAX_EPOCH,
    Freshness,
    LeapLimit,
    is_next_epoch,
    sending_time,
)
from cryptomarket.cluster.redis.bus import RedisBus
from cryptomarket.cluster.redis.catch_up import BATCHES, LATEST
from cryptomarket.cluster.redis.client import own_channel, redis_client
from cryptomarket.cluster.redis.codec import Batch, encode_batch, encode_tick
from cryptomarket.cluster.redis.publisher import BEATS, CHANNEL
from cryptomarket.cluster.redis.refused import LOG_SECONDS, RefusedMessages
from cryptomarket.cluster.redis.signer import Signer
from cryptomarket.model import Message, SessionChanged, Upstream, UpstreamState
from cryptomarket.persons.keyring import Keyring
from cryptomarket.persons.keys import add_key, file_keys, use_newest_key
from tests.processes import eventually
from tests.redis_server import RedisServer, running_redis

from .messages import KEYS, new_keys, places, tick

LEAP = 10**15


@dataclass
class Node:
    """A bus, its own client, and the messages that its receiver got."""

    redis: Redis
    bus: RedisBus
    received: list[Message] = field(default_factory=list)

    def refused(self, reason: str) -> int:
        """How many messages the node refused for this reason."""
        return self.bus.statistics().refused_by_reason.get(reason, 0)


class Clock:
    """A clock that the test moves."""

    def __init__(self, now: float = 1_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@contextlib.asynccontextmanager
async def new_node(
    server: RedisServer, name: str, keys: Keyring = KEYS, wall: Callable[[], float] = time.time
) -> AsyncIterator[Node]:
    """A node that does not run yet."""
    async with redis_client(server.url) as redis:
        node = Node(redis, RedisBus(redis, name, keys, wall=wall))
        node.bus.subscribe(node.received.append)
        yield node


@contextlib.asynccontextmanager
async def two_nodes(folder: Path, *keys: Keyring) -> AsyncIterator[tuple[RedisServer, Node, Node]]:
    """Running nodes on one Redis; the first leads with epoch 1, and the other has its first tick if it can."""
    first, second = keys or (KEYS, KEYS)
    async with (
        running_redis(folder) as server,
        new_node(server, "n0", first) as leader,
        new_node(server, "n1", second) as follower,
        anyio.create_task_group() as tasks,
    ):
        for node in (leader, follower):
            await tasks.start(node.bus.run)
        leader.bus.lead(1)
        leader.bus.publish(tick(1))
        if first is second:
            await eventually(lambda: places(follower.received) == [(1, 1)], "the first tick", 60)
        yield server, leader, follower
        tasks.cancel_scope.cancel()


def batch(*messages: Message, sent: int, epoch: int = 1, node: str = "n0", number: int = 2) -> bytes:
    """The bytes of a batch as the leader would send it."""
    return encode_batch(Batch(node, sent, epoch, number, {}, messages))


async def now_us(redis: Redis) -> int:
    """Return the time in microseconds."""
    seconds, microseconds = await redis.time()
    return int(seconds) * 1_000_000 + int(microseconds)


@contextlib.asynccontextmanager
async def recording(redis: Redis, name: str) -> AsyncIterator[list[bytes]]:
    """Record every message of a channel."""
    found: list[bytes] = []

    async def listen() -> None:
        while True:
            message = await channel.get_message(timeout=1)
            if message is not None:
                found.append(message["data"])

    async with redis.pubsub(ignore_subscribe_messages=True) as channel, anyio.create_task_group() as tasks:
        await channel.subscribe(own_channel(redis, name))
        tasks.start_soon(listen)
        yield found
        tasks.cancel_scope.cancel()


async def test_forged_messages_reach_nobody(tmp_path: Path) -> None:
    """Neither a tick that would freeze the price, nor a state, nor the end of a login, whoever signed them."""
    async with two_nodes(tmp_path) as (_, leader, follower):
        channel, sent = own_channel(leader.redis, CHANNEL), await now_us(leader.redis)
        forged: list[Message] = [
            tick(666).at(1, LEAP, (0, 0)),
            Upstream(UpstreamState.DOWN, 1, "forged"),
            SessionChanged(("s",), "logged_out", "forged"),
            SessionChanged(("s",), "person"),
        ]
        data = batch(*forged, sent=sent + 1_000_000)
        signed = Signer(new_keys(), channel).sign(data)
        messages = [data, bytes(32) + data, signed, signed[:40], b"", b"x" * 31]
        for message in messages:
            await leader.redis.publish(channel, message)
        leader.bus.publish(tick(2))
        await eventually(lambda: places(follower.received) == [(1, 1), (1, 2)], "the next tick", 60)
        assert not set(forged) & set(follower.received)
        assert follower.refused("signature") == len(messages)


async def test_a_message_of_a_node_counts_once_and_only_where_it_was_sent(tmp_path: Path) -> None:
    """Copies of a node's own batches are refused, on the same channel and on another one."""
    ended = SessionChanged(("s",), "logged_out", "by a log-out")
    async with (
        two_nodes(tmp_path) as (_, leader, follower),
        recording(leader.redis, CHANNEL) as batches,
        recording(leader.redis, BEATS) as beats,
    ):
        leader.bus.publish(ended)
        leader.bus.publish(tick(2))
        await eventually(lambda: ended in follower.received, "the notification", 60)
        await eventually(lambda: bool(beats), "a beat of the follower", 60)
        copies = list(batches)
        stored: Any = await leader.redis.xrevrange(BATCHES, count=1)
        ((_, fields),) = stored
        for message in copies:
            await leader.redis.publish(own_channel(leader.redis, CHANNEL), message)
        for message in (beats[0], fields[b"b"]):
            await leader.redis.publish(own_channel(leader.redis, CHANNEL), message)
        await eventually(lambda: follower.refused("signature") == 2, "the two of other names are refused", 60)
        assert follower.refused("repeated") == len(copies)
        assert follower.received.count(ended) == 1


async def test_a_dead_leader_is_not_kept_alive_by_copies(tmp_path: Path) -> None:
    """A node says `stale` although old batches of the leader are sent again and again."""
    async with (
        running_redis(tmp_path) as server,
        new_node(server, "n0") as leader,
        new_node(server, "n1") as follower,
        anyio.create_task_group() as tasks,
        recording(leader.redis, CHANNEL) as batches,
    ):
        await tasks.start(follower.bus.run)
        leader.bus.lead(1)
        for number in range(20):
            leader.bus.publish(tick(number))
            await leader.bus.flush()
        await eventually(lambda: len(places(follower.received)) == 20, "all ticks", 60)
        with anyio.fail_after(60):
            while follower.bus.has_leader():
                for message in batches[-5:]:
                    await leader.redis.publish(own_channel(leader.redis, CHANNEL), message)
                await anyio.sleep(0.2)
        assert follower.refused("repeated") > 5
        tasks.cancel_scope.cancel()


async def test_a_leap_of_a_node_with_the_keys_freezes_nobody(tmp_path: Path) -> None:
    """A sequence or an epoch far above the last is refused even if it is signed, and true ticks go on."""
    async with two_nodes(tmp_path) as (_, leader, follower):
        channel = own_channel(leader.redis, CHANNEL)
        signer, sent = Signer(KEYS, channel), await now_us(leader.redis)
        leaps = [
            batch(tick(666).at(1, LEAP, (0, 0)), sent=sent, node="n2"),
            batch(tick(666).at(MAX_EPOCH, 2, (0, 0)), sent=sent, node="n3", epoch=MAX_EPOCH),
            batch(tick(666).at(10**12, 2, (0, 0)), sent=sent, node="n4", epoch=10**12),
        ]
        for data in leaps:
            await leader.redis.publish(channel, signer.sign(data))
        await eventually(lambda: follower.refused("epoch") == 2, "both epochs are refused", 60)
        await eventually(lambda: follower.refused("sequence") == 1, "the sequence is refused", 60)
        leader.bus.publish(tick(2))
        await eventually(lambda: places(follower.received) == [(1, 1), (1, 2)], "the next tick", 60)


async def test_what_is_stored_is_believed_only_where_a_node_stored_it(tmp_path: Path) -> None:
    """Forged and moved values, and those of a version before signatures, are counted and skipped; streams heal."""
    async with two_nodes(tmp_path) as (server, leader, follower):
        leader.bus.publish(tick(2, "eth_usd"))
        await eventually(lambda: len(places(follower.received)) == 2, "both ticks", 60)
        true: Any = await leader.redis.hgetall(LATEST)
        forged = tick(666).at(1, LEAP, (0, 0))
        stored: dict[Any, Any] = {
            "btc_usd": true[b"eth_usd"],
            "sol_usd": encode_tick(forged),
            "ada_usd": Signer(new_keys(), own_channel(leader.redis, LATEST)).sign(encode_tick(forged)),
            "xrp_usd": b"",
        }
        await leader.redis.hset(LATEST, mapping=stored)
        await leader.redis.xadd(BATCHES, {"b": batch(forged, sent=1)})
        await leader.redis.xadd(BATCHES, {"b": true[b"eth_usd"]})
        await leader.redis.xadd(BATCHES, {"c": b""})
        async with new_node(server, "late") as late, anyio.create_task_group() as tasks:
            await tasks.start(late.bus.run)
            assert places(late.received) == [(1, 1), (1, 2)]
            assert late.refused("signature") == len(stored) + 3
            leader.bus.publish(tick(3))
            await eventually(lambda: places(late.received)[-1] == (1, 3), "the next tick", 60)
            tasks.cancel_scope.cancel()
        signer = Signer(KEYS, own_channel(leader.redis, LATEST))
        mended: Any = await leader.redis.hgetall(LATEST)
        assert signer.verified(mended[b"btc_usd"]) is not None


async def test_nodes_with_different_keys_refuse_each_other_and_say_why(tmp_path: Path) -> None:
    """Each goes on alone; nodes with the same key do not mind junk."""
    async with two_nodes(tmp_path, KEYS, new_keys()) as (server, leader, other):
        await eventually(lambda: other.bus.statistics().keys_differ, "the follower knows", 60)
        await eventually(lambda: leader.bus.statistics().keys_differ, "the leader knows", 60)
        assert places(other.received) == []
        assert (leader.bus.members(), other.bus.members()) == (("n0",), ("n1",))
        leader.bus.publish(tick(2))
        assert places(leader.received) == [(1, 1), (1, 2)]
        await eventually(lambda: not other.bus.has_leader(), "the follower says stale", 60)
        async with new_node(server, "n2") as same, anyio.create_task_group() as tasks:
            await tasks.start(same.bus.run)
            await eventually(lambda: not leader.bus.statistics().keys_differ, "a node with the same key", 60)
            tasks.cancel_scope.cancel()


@pytest.mark.parametrize("wrong_seconds", [3_600.0, -3_600.0])
async def test_nodes_whose_clocks_differ_say_so_until_they_agree(tmp_path: Path, wrong_seconds: float) -> None:
    """Each goes on alone. Once the clock is set, the node takes part at once, though it had sent from the future."""
    offset = [wrong_seconds]
    async with (
        two_nodes(tmp_path) as (server, leader, right),
        new_node(server, "n2", wall=lambda: time.time() + offset[0]) as wrong,
        anyio.create_task_group() as tasks,
    ):
        await tasks.start(wrong.bus.run)
        await eventually(lambda: wrong.bus.statistics().clocks_differ, "the node with the wrong clock knows", 60)
        await eventually(lambda: not wrong.bus.has_leader(), "it says stale", 60)
        await eventually(lambda: leader.refused("time"), "the leader refuses it", 60)
        found = [node.bus.statistics() for node in (leader, right, wrong)]
        assert [(one.clocks_differ, one.keys_differ) for one in found] == [
            (False, False),
            (False, False),
            (True, False),
        ]
        offset[0] = 0.0
        leader.bus.publish(tick(2))
        wrong.bus.publish(changed := SessionChanged(("s",), "person"))
        await eventually(lambda: (1, 2) in places(wrong.received), "the tick", 60)
        await eventually(lambda: changed in leader.received, "the notification", 5)
        assert not wrong.bus.statistics().clocks_differ
        tasks.cancel_scope.cancel()


async def test_nodes_that_read_new_keys_one_after_the_other_refuse_nothing(tmp_path: Path) -> None:
    """A message of a key that a node does not know makes it read the file at once."""
    path = tmp_path / "cryptomarket.key"
    first, second = Keyring(file_keys(path)), Keyring(file_keys(path))
    async with two_nodes(tmp_path, first, second) as (_, leader, follower):
        await eventually(lambda: places(follower.received) == [(1, 1)], "the first tick", 60)
        for number, ahead in enumerate((first, second), start=2):
            add_key(path)
            use_newest_key(path)
            ahead.load()
            leader.bus.publish(tick(number))
            follower.bus.publish(changed := SessionChanged((f"s{number}",), "person"))
            await eventually(lambda place=(1, number): place in places(follower.received), "the tick", 60)  # type: ignore[misc]
            await eventually(lambda one=changed: one in leader.received, "the notification", 60)  # type: ignore[misc]
        assert (leader.bus.statistics().refused, follower.bus.statistics().refused) == (0, 0)


def test_a_message_is_accepted_once_and_only_while_it_is_new() -> None:
    """In the order of sending of each node; commands have no order among each other."""
    clock = Clock()
    freshness, now = Freshness(clock), int(clock.now * 1e6)
    assert [freshness.refusal("a", sent) for sent in (now, now, now - 1, now + 1)] == ["", "repeated", "repeated", ""]
    assert freshness.refusal("b", now) == ""
    assert [freshness.refusal("", sent) for sent in (now + 5, now + 4, now + 5)] == ["", "", "repeated"]
    for sent in (now - int((MAX_AGE_SECONDS + 1) * 1e6), now + int((MAX_AGE_SECONDS + 1) * 1e6), 0, 10**30):
        assert freshness.refusal("a", sent) == "time"
    for _ in range(1_000):
        clock.now += 1
        assert freshness.refusal("", int(clock.now * 1e6)) == ""
    assert len(freshness._last) < 4 * MAX_AGE_SECONDS


@pytest.mark.parametrize("step", [-3_600.0, -10.0, 0.0, 10.0, 3_600.0])
def test_a_clock_that_is_set_silences_no_node(step: float) -> None:
    """Neither that of the sender, nor that of the receiver with it."""
    clock = Clock(1e9)
    freshness, sent = Freshness(clock), 0
    for change in (0.0, 1.0, step, 0.0, 1.0):
        clock.now += change
        sent = sending_time(sent, clock.now)
        assert freshness.refusal("a", sent) == ""
        assert freshness.refusal("a", sent) == "repeated"


def test_a_sequence_may_grow_with_the_time_only() -> None:
    """A node that was cut off for an hour may have missed millions of ticks; the first may have any sequence."""
    clock = Clock()
    limit = LeapLimit(clock)
    assert limit.allows(10**12)
    assert not limit.allows(10**16)
    limit.observe(5)
    assert limit.allows(100_000)
    assert not limit.allows(LEAP)
    clock.now += 3_600
    assert limit.allows(5 + 3_600 * 20_000)
    assert not limit.allows(LEAP)


@pytest.mark.parametrize(
    ("epoch", "newest", "expected"), [(8, 7, True), (500, 7, True), (10**9, 7, False), (9, 0, True)]
)
def test_an_epoch_may_not_leap(epoch: int, newest: int, *, expected: bool) -> None:
    """The epochs come from the database one by one; its highest is bounded."""
    assert is_next_epoch(epoch, newest) is expected
    assert not is_next_epoch(2**31, newest)


def test_a_flood_of_refused_messages_is_a_few_log_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """One line a reason and minute, with the number of messages since the last."""
    clock = Clock()
    refused = RefusedMessages(clock)
    for _ in range(1_000):
        refused.add("signature")
    refused.add("time")
    clock.now += LOG_SECONDS
    refused.add("signature")
    assert refused.counts == {"signature": 1_001, "time": 1}
    lines = [line for line in capsys.readouterr().out.splitlines() if "refused" in line]
    assert len(lines) == 3
