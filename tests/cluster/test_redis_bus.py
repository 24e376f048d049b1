"""The bus over a real Redis: what the leader publishes reaches every node once and in order, and losses are made up."""

import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from redis.asyncio import Redis

from cryptomarket.cluster.redis.bus import RedisBus
from cryptomarket.cluster.redis.catch_up import BATCHES, LATEST
from cryptomarket.cluster.redis.client import redis_client
from cryptomarket.cluster.redis.membership import ANNOUNCE_SECONDS, MAX_WANTED
from cryptomarket.cluster.redis.publisher import BEAT_SECONDS, publish_notification
from cryptomarket.cluster.redis.wanted import EXPIRE_SECONDS, WANTED, read_wanted
from cryptomarket.errors import CacheUnavailable
from cryptomarket.model import Gap, GapReason, Message, SessionChanged, Tick, Upstream, UpstreamState
from tests.processes import eventually
from tests.redis_server import RedisServer, running_redis

from .messages import KEYS, places, tick


@dataclass
class Node:
    """A bus, its own client, and the messages that its receiver got."""

    redis: Redis
    bus: RedisBus
    received: list[Message] = field(default_factory=list)
    may_lead: bool = True

    @property
    def places(self) -> list[tuple[int, int]]:
        """The (epoch, sequence) of the ticks received."""
        return places(self.received)


@contextlib.asynccontextmanager
async def new_node(server: RedisServer, name: str, max_wanted: int = MAX_WANTED) -> AsyncIterator[Node]:
    """A node that does not run yet."""
    async with redis_client(server.url) as redis:
        node = Node(redis, RedisBus(redis, name, KEYS, may_lead=lambda: node.may_lead, max_wanted=max_wanted))
        node.bus.subscribe(node.received.append)
        yield node


@contextlib.asynccontextmanager
async def nodes(folder: Path, count: int = 2, **options: int) -> AsyncIterator[tuple[RedisServer, list[Node]]]:
    """Running nodes on one Redis, which know each other; the first leads with epoch 1."""
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(running_redis(folder))
        found = [await stack.enter_async_context(new_node(server, f"n{number}", **options)) for number in range(count)]
        tasks = await stack.enter_async_context(anyio.create_task_group())
        for node in found:
            await tasks.start(node.bus.run)
        found[0].bus.lead(1)
        everybody = tuple(node.bus.node for node in found)
        await eventually(lambda: all(node.bus.members() == everybody for node in found), "all know each other", 60)
        yield server, found
        tasks.cancel_scope.cancel()


async def disconnected(*found: Node) -> None:
    """Wait until the nodes notice that Redis is away."""
    await eventually(lambda: not any(node.bus.connected() for node in found), "all notice", 60)


async def test_all_nodes_receive_the_same_in_order(tmp_path: Path) -> None:
    """Ticks, states and notifications reach every node once, ticks with the same numbers."""
    async with nodes(tmp_path, 3) as (_, found):
        leader, changed = found[0], SessionChanged(("s",), "person")
        for number in range(200):
            leader.bus.publish(tick(number))
        leader.bus.publish(Upstream(UpstreamState.LIVE, 5))
        found[2].bus.publish(changed)
        expected = [(1, number + 1) for number in range(200)]
        await eventually(lambda: all(node.places == expected for node in found), "all ticks", 60)
        await eventually(lambda: all(changed in node.received for node in found), "the notification", 60)
        assert all(node.received.count(changed) == 1 for node in found)


async def test_other_nodes_receive_the_fields_of_an_instrument(tmp_path: Path) -> None:
    """With every tick, and a node that starts later finds them with the latest."""
    values = "83216.0,83212.0,null,71750.0,0.0", None, None, "-0.00021714,-0.0000031", "797578130,83251.03,null"
    async with nodes(tmp_path) as (server, (leader, other)):
        leader.bus.publish(replace(tick(7, "BTC-PERPETUAL"), fields=values))
        await eventually(lambda: other.places == [(1, 1)], "the tick", 60)
        await eventually(lambda: leader.bus.connected(), "it is stored", 60)
        async with new_node(server, "late") as late, anyio.create_task_group() as tasks:
            await tasks.start(late.bus.run)
            await eventually(lambda: late.places == [(1, 1)], "the latest tick", 60)
            tasks.cancel_scope.cancel()
    for node in (leader, other, late):
        (found,) = [message for message in node.received if isinstance(message, Tick)]
        assert found.fields == values


async def test_gateways_on_two_databases_of_one_redis_do_not_hear_each_other(tmp_path: Path) -> None:
    """Redis delivers published messages across its databases, so the names of the channels have the number."""
    changed = SessionChanged(("s",), "person")
    async with (
        nodes(tmp_path, 1) as (server, (leader,)),
        redis_client(f"redis://127.0.0.1:{server.port}/1") as redis,
        anyio.create_task_group() as tasks,
    ):
        epochs: list[int] = []
        other = Node(redis, RedisBus(redis, "n1", KEYS, may_lead=lambda: True, observe_epoch=epochs.append))
        other.bus.subscribe(other.received.append)
        await tasks.start(other.bus.run)
        other.bus.lead(7)  # a higher epoch would end the term of the first
        other.bus.publish(tick(1))
        leader.bus.publish(tick(2))
        await publish_notification(redis, KEYS, changed)
        await eventually(lambda: changed in other.received, "its own notification", 60)
        await anyio.sleep(2 * BEAT_SECONDS)  # each has sent its beats
        assert (other.places, leader.places, epochs) == ([(7, 1)], [(1, 1)], [])
        assert changed not in leader.received
        assert (other.bus.members(), leader.bus.members()) == (("n1",), ("n0",))
        tasks.cancel_scope.cancel()


async def test_only_ticks_of_the_highest_epoch_count(tmp_path: Path) -> None:
    """A node that does not lead publishes no tick; ticks of a lower epoch are refused."""
    async with nodes(tmp_path) as (_, (leader, other)):
        other.bus.publish(tick(1))
        assert other.places == []
        other.bus.lead(2)
        other.bus.publish(tick(2))
        await eventually(lambda: (2, 1) in other.places, "its own tick", 60)
        leader.bus.publish(tick(3))  # it still leads with epoch 1
        await eventually(lambda: other.bus.statistics().refused > 0, "the old epoch is refused", 60)
        assert (1, 1) not in other.places


async def test_a_leader_that_may_not_lead_publishes_only_notifications(tmp_path: Path) -> None:
    """Neither to its own receivers nor to other nodes."""
    async with running_redis(tmp_path) as server, new_node(server, "n") as node:
        node.may_lead = False
        node.bus.lead(1)
        node.bus.publish(tick(1))
        node.bus.publish(Upstream(UpstreamState.LIVE, 1))
        assert (node.received, node.bus.statistics().unsaid) == ([], 2)
        node.bus.publish(SessionChanged(("s",), "person"))
        assert node.received == [SessionChanged(("s",), "person")]


async def test_a_state_is_published_once_the_leader_may_lead_again(tmp_path: Path) -> None:
    """It changed while the lease could not be renewed: every node receives the newest, once."""
    async with nodes(tmp_path) as (_, (leader, other)):
        down, live = Upstream(UpstreamState.DOWN, 1), Upstream(UpstreamState.LIVE, 2)
        leader.bus.publish(down)
        await leader.bus.flush()
        leader.may_lead = False
        leader.bus.publish(live)
        await leader.bus.flush()
        leader.may_lead = True
        await eventually(lambda: live in leader.received and live in other.received, "all know the state", 60)
        await leader.bus.flush()
        assert [message for message in leader.received if isinstance(message, Upstream)] == [down, live]


async def test_a_lost_batch_is_made_up_from_redis(tmp_path: Path) -> None:
    """A node notices by the number of the next batch, and reads the ticks that it missed, each once."""
    async with nodes(tmp_path) as (_, (leader, other)):
        leader.bus.publish(tick(1))
        await eventually(lambda: (1, 1) in other.places, "the first", 60)
        healed = other.bus.statistics().healed
        leader.bus._sequencer.skip_batch()  # a batch that no node received
        leader.bus.publish(tick(2))
        await eventually(lambda: other.bus.statistics().healed > healed, "it catches up", 60)
        await eventually(lambda: other.places[-1] == (1, 2), "the newest", 60)
        assert len(other.places) == len(set(other.places))


@pytest.mark.system
async def test_notifications_published_while_redis_was_away_arrive(tmp_path: Path) -> None:
    """Also those published before the other nodes have subscribed to the new Redis."""
    async with nodes(tmp_path) as (server, (leader, other)):
        await server.kill()
        await disconnected(leader, other)
        away, early = SessionChanged(("s",), "person", "away"), SessionChanged(("s",), "person", "early")
        leader.bus.publish(away)
        await leader.bus.flush()
        await server.start()
        await leader.bus.flush()
        leader.bus.publish(early)
        await leader.bus.flush()
        await eventually(lambda: away in other.received and early in other.received, "both", 60)
        assert leader.received.count(away) == leader.received.count(early) == 1


async def test_ticks_published_while_redis_was_away_arrive(tmp_path: Path) -> None:
    """Every tick, once and in order, also at a node that starts later."""
    async with nodes(tmp_path) as (server, (leader, other)):
        leader.bus.publish(tick(1))
        await eventually(lambda: (1, 1) in other.places, "the first", 60)
        await server.kill()
        for number in range(2, 300):
            leader.bus.publish(tick(number))
            await anyio.lowlevel.checkpoint()
        await disconnected(leader, other)
        leader.bus.publish(tick(300))
        await server.start()
        expected = [(1, number) for number in range(1, 301)]
        await eventually(lambda: other.places == expected, "all of them", 60)
        async with new_node(server, "late") as late:
            await late.bus.catch_up()
            assert late.places == expected[1:]  # the first was lost with the data of the old Redis


async def test_a_node_reads_all_batches_that_it_missed(tmp_path: Path) -> None:
    """From the last tick that it received, in order; unreadable entries are counted and skipped."""
    async with nodes(tmp_path) as (server, (leader, _)), new_node(server, "late") as late:
        for number in range(1, 401):
            leader.bus.publish(tick(number, "eth_usd" if number == 7 else "btc_usd"))
            await leader.bus.flush()
            if number == 100:
                await late.bus.catch_up()
                assert late.places == [(1, one) for one in range(1, 101)]
        await leader.redis.xadd(BATCHES, {"b": b"nonsense"})
        await leader.redis.xadd(BATCHES, {"c": b"nonsense"})
        await late.bus.catch_up()
        assert late.places == [(1, one) for one in range(1, 401)]
        assert late.bus.statistics().refused == 2


async def test_a_node_that_starts_later_has_the_latest_ticks(tmp_path: Path) -> None:
    """It receives them although nothing is published any more."""
    async with nodes(tmp_path) as (server, (leader, other)):
        leader.bus.publish(tick(1))
        leader.bus.publish(tick(2, "eth_usd"))
        await eventually(lambda: len(other.places) == 2, "both ticks", 60)
        async with new_node(server, "late") as late, anyio.create_task_group() as tasks:
            await tasks.start(late.bus.run)
            await eventually(lambda: sorted(late.places) == [(1, 1), (1, 2)], "the latest ticks", 60)
            tasks.cancel_scope.cancel()


async def test_the_next_leader_continues_the_sequence(tmp_path: Path) -> None:
    """It reads from Redis what it did not receive, so that no number is used twice or left out."""
    async with nodes(tmp_path) as (_, (leader, other)):
        leader.bus.publish(tick(1))
        leader.bus.publish(tick(2))
        await leader.bus.flush()
        leader.bus.stop_leading()
        await other.bus.catch_up()
        other.bus.lead(2)
        other.bus.publish(tick(3))
        await eventually(lambda: leader.places[-1:] == [(2, 3)], "the tick of the second", 60)
        assert leader.places == [(1, 1), (1, 2), (2, 3)]
        assert other.places[-2:] == [(1, 2), (2, 3)]


async def test_a_flush_publishes_the_last_tick_of_a_leader(tmp_path: Path) -> None:
    """A leader that stops right after it has all of its ticks at the other nodes."""
    async with nodes(tmp_path) as (_, (leader, other)):
        leader.bus.publish(tick(1))
        await leader.bus.flush()
        leader.bus.stop_leading()
        await eventually(lambda: other.places == [(1, 1)], "the last tick", 60)


async def test_a_leader_that_stood_still_withdraws_what_waits(tmp_path: Path) -> None:
    """Ticks that wait for Redis when the lease is no longer certain are not sent."""
    async with nodes(tmp_path) as (_, (leader, other)):
        leader.bus.publish(tick(1))
        leader.may_lead = False
        await leader.bus.flush()
        leader.may_lead = True
        leader.bus.publish(tick(2))
        await eventually(lambda: (1, 2) in other.places, "the next tick", 60)
        assert (1, 1) not in other.places


async def test_a_former_leader_stores_no_latest_ticks(tmp_path: Path) -> None:
    """Redis returns empty: only the node that leads stores what it had."""
    async with nodes(tmp_path) as (server, (leader, other)):
        leader.bus.publish(tick(1, "eth_usd"))
        await leader.bus.flush()
        leader.bus.stop_leading()
        other.bus.lead(2)
        other.bus.publish(tick(2))
        await other.bus.flush()
        await server.kill()
        await disconnected(leader, other)
        await server.start()
        await eventually(lambda: leader.bus.connected() and other.bus.connected(), "both are back", 60)
        await leader.bus.flush()
        await other.bus.flush()
        assert set(await other.redis.hgetall(LATEST)) == {b"btc_usd"}


async def test_only_the_leader_receives_the_beats_of_all(tmp_path: Path) -> None:
    """Followers know each other from the leader's batches, whichever node leads."""
    async with nodes(tmp_path, 4) as (_, (leader, other, *rest)):
        for follower in (other, *rest):
            assert set(follower.bus._membership._others) == {"n0"}
        leader.bus.stop_leading()
        other.bus.lead(2)
        everybody, three = ("n0", "n1", "n2", "n3"), ["n0", "n2", "n3"]
        await eventually(lambda: sorted(other.bus._membership._others) == three, "the next receives them", 60)
        known = [node.bus for node in (leader, other, *rest)]
        await eventually(lambda: all(bus.members() == everybody for bus in known), "all know", 60)


async def test_the_leader_knows_what_streams_of_all_nodes_want(tmp_path: Path) -> None:
    """The tickers of another node are part of its demand, until they are released."""
    async with nodes(tmp_path) as (_, (leader, other)):
        demand = aiter(leader.bus.demand())
        with anyio.fail_after(60):
            assert await anext(demand) == frozenset()
            other.bus.want({"sol_usd": 0})
            assert await anext(demand) == {"sol_usd"}
            other.bus.want({})
            assert await anext(demand) == frozenset()


async def test_a_ticker_that_the_leader_has_no_room_for_is_a_gap_on_every_node(tmp_path: Path) -> None:
    """It is followed as soon as there is room, and who wants it later is told as well."""
    full = Gap("ada_usd", GapReason.FULL)
    async with nodes(tmp_path, 3, max_wanted=2) as (_, (leader, other, late)):
        demand = aiter(leader.bus.demand())
        with anyio.fail_after(60):
            assert await anext(demand) == frozenset()
            other.bus.want({"sol_usd": 0, "xrp_usd": 1, "ada_usd": 2})
            assert await anext(demand) == {"sol_usd", "xrp_usd"}
        await eventually(lambda: all(full in node.received for node in (leader, other, late)), "all are told", 60)
        late.received.clear()
        late.bus.want({"ada_usd": 3})
        await eventually(lambda: full in late.received, "the later one is told", 60)
        with anyio.fail_after(60):
            other.bus.want({"sol_usd": 0})
            while await anext(demand) != {"sol_usd", "ada_usd"}:
                pass


async def test_d4_what_streams_want_is_in_redis_while_a_leader_lives(tmp_path: Path) -> None:
    """A program that is no node reads it; it expires after the last leader."""
    async with nodes(tmp_path) as (server, (leader, follower)):
        follower.bus.want({"sol_usd": 0})
        leader.bus.want({"ada_usd": 0})
        with anyio.fail_after(60):
            while await read_wanted(server.url) != ["ada_usd", "sol_usd"]:
                await anyio.sleep(0.05)
        assert 0 < await leader.redis.ttl(WANTED) <= EXPIRE_SECONDS
        follower.bus.want({})
        with anyio.fail_after(60):
            while await read_wanted(server.url) != ["ada_usd"]:
                await anyio.sleep(0.05)
        for junk in (
            b"{",
            b"[1]",
            b'["a b"]',
            b'["%s"]' % (b"x" * 65),
            json.dumps(["x"] * 1_001),
            b"[" + b" " * 2**17 + b"]",
        ):
            await leader.redis.set(WANTED, junk)
            with pytest.raises(CacheUnavailable, match="cannot be read"):
                await read_wanted(server.url)
        leader.bus.stop_leading()
        await leader.bus.flush()
        await leader.redis.delete(WANTED)  # as if it had expired
        await anyio.sleep(ANNOUNCE_SECONDS + 1)
        assert await read_wanted(server.url) == []
        await server.kill()
        with pytest.raises(CacheUnavailable, match="ConnectionError"):
            await read_wanted(server.url)
