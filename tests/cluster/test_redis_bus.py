"""The bus over a real Redis: what is said here is heard there, once, in order, and a loss is healed."""

import contextlib
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptomarket.cluster.redis.bus import RedisBus
from cryptomarket.cluster.redis.catch_up import KEPT, LATEST
from cryptomarket.cluster.redis.codec import (
    Batch,
    UnreadableBatch,
    decode_batch,
    decode_tick,
    encode_batch,
    encode_tick,
)
from cryptomarket.cluster.redis.rpc import RedisRpc
from cryptomarket.errors import CacheUnavailable, NoLeader
from cryptomarket.model import Gap, Message, SessionChanged, Tick, Upstream, UpstreamState
from tests.processes import eventually
from tests.redis_server import RedisServer, running_redis

prices = st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**9), max_value=10**9)
ticks = st.builds(
    Tick,
    ticker=st.text(max_size=12),
    price=prices,
    exchange_timestamp=st.integers(min_value=0, max_value=2**53),
    last=st.none() | prices,
    bid=st.none() | prices,
    ask=st.none() | prices,
    epoch=st.integers(min_value=0, max_value=2**31),
    sequence=st.integers(min_value=0, max_value=2**53),
    after=st.tuples(st.integers(0, 2**31), st.integers(0, 2**53)),
)
upstreams = st.builds(Upstream, st.sampled_from(UpstreamState), st.integers(0, 2**53), st.text(max_size=20))
news = st.builds(
    SessionChanged, st.lists(st.text(max_size=8), max_size=3).map(tuple), st.text(max_size=8), st.text(max_size=20)
)
messages = ticks | upstreams | news | st.builds(Gap, st.text(max_size=12))


@given(st.lists(messages, max_size=8), st.integers(0, 2**31), st.lists(st.text(max_size=8), max_size=3))
def test_a_batch_comes_back_as_it_was(said: list[Message], epoch: int, wanted: list[str]) -> None:
    """Every message, every digit of every price, in order."""
    batch = Batch("node", epoch, 7, tuple(wanted), said, tuple(wanted))
    assert decode_batch(encode_batch(batch)) == batch
    for one in said:
        if isinstance(one, Tick):
            assert str(decode_tick(encode_tick(one)).price) == format(one.price, "f")


@given(st.binary(max_size=200))
def test_what_no_node_wrote_is_refused(data: bytes) -> None:
    """Anything else on the channel or the board is an error of ours, whatever it is."""
    for decode in (decode_batch, decode_tick):
        with contextlib.suppress(UnreadableBatch):
            decode(data)


@contextlib.asynccontextmanager
async def nodes(folder: Path, count: int = 2) -> AsyncIterator[tuple[RedisServer, list[RedisBus], list[list[Message]]]]:
    """So many nodes on one Redis, the first leading with epoch 1, and what each heard."""
    async with running_redis(folder) as server, anyio.create_task_group() as tasks:
        buses = [RedisBus(server.url, f"n{number}") for number in range(count)]
        heard: list[list[Message]] = [[] for _ in buses]
        for bus, found in zip(buses, heard, strict=True):
            bus.subscribe(found.append)
            await tasks.start(bus.run)
        buses[0].lead(1)
        everybody = [bus.node for bus in buses]
        await eventually(lambda: all(bus.nodes() == everybody for bus in buses), "all hear of each other", 60)
        yield server, buses, heard
        tasks.cancel_scope.cancel()
    for bus in buses:
        await bus.aclose()


def tick(price: int, ticker: str = "btc_usd") -> Tick:
    """A tick as the exchange's side publishes it."""
    return Tick(ticker, Decimal(price), 1_700_000_000_000 + price)


def places(found: list[Message]) -> list[tuple[int, int]]:
    """The places of the ticks that were heard."""
    return [(one.epoch, one.sequence) for one in found if isinstance(one, Tick)]


async def test_all_hear_the_same_in_order(tmp_path: Path) -> None:
    """Ticks, states and news of the leader reach every node once, under the same places."""
    async with nodes(tmp_path, 3) as (_, buses, heard):
        for number in range(200):
            buses[0].publish(tick(number))
        buses[0].publish(Upstream(UpstreamState.LIVE, 5))
        buses[2].publish(SessionChanged(("s",), "person"))
        expected = [(1, number + 1) for number in range(200)]
        await eventually(lambda: all(places(found) == expected for found in heard), "all ticks", 60)
        await eventually(lambda: all(SessionChanged(("s",), "person") in found for found in heard), "the news", 60)
        assert all(found.count(SessionChanged(("s",), "person")) == 1 for found in heard)


async def test_only_the_leader_s_ticks_count(tmp_path: Path) -> None:
    """A node that does not lead publishes nothing but news; a lower epoch is heard by nobody."""
    async with nodes(tmp_path) as (_, (leader, other), heard):
        other.publish(tick(1))
        assert places(heard[1]) == []
        other.lead(2)
        other.publish(tick(2))
        await eventually(lambda: (2, 1) in places(heard[1]), "its own tick", 60)
        leader.publish(tick(3))  # it leads with epoch 1, and has not heard yet or will not
        await eventually(lambda: other.counts["refused"] > 0, "the old epoch is refused", 60)
        assert (1, 1) not in places(heard[1])


async def test_a_leader_that_is_not_sure_says_nothing(tmp_path: Path) -> None:
    """Neither here nor elsewhere."""
    async with running_redis(tmp_path) as server:
        bus = RedisBus(server.url, "n", sure=lambda: False)
        found: list[Message] = []
        bus.subscribe(found.append)
        bus.lead(1)
        bus.publish(tick(1))
        bus.publish(Upstream(UpstreamState.LIVE, 1))
        assert (found, bus.counts["unsaid"]) == ([], 2)
        bus.publish(SessionChanged(("s",), "person"))
        assert found == [SessionChanged(("s",), "person")]
        await bus.aclose()


async def test_a_state_is_said_when_the_leader_is_sure_again(tmp_path: Path) -> None:
    """It changed while the database did not answer: here and elsewhere the last one counts, once."""
    async with nodes(tmp_path) as (_, (leader, _), heard):
        sure = [True]
        leader._sure = lambda: sure[0]
        down, live = Upstream(UpstreamState.DOWN, 1), Upstream(UpstreamState.LIVE, 2)
        leader.publish(down)
        await leader.flush()
        sure[0] = False
        leader.publish(live)
        await leader.flush()
        sure[0] = True
        for found in heard:
            await eventually(lambda found=found: live in found, "all know the state", 60)
        await leader.flush()
        assert [one for one in heard[0] if isinstance(one, Upstream)] == [down, live]


async def test_a_lost_batch_is_healed_from_the_board(tmp_path: Path) -> None:
    """Who missed a batch notices by its number, and gets the newest tick of each ticker."""
    async with nodes(tmp_path) as (_, (leader, other), heard):
        leader.publish(tick(1))
        await eventually(lambda: (1, 1) in places(heard[1]), "the first", 60)
        healed = other.counts["healed"]
        leader._number += 1  # a batch that nobody got
        leader.publish(tick(2))
        await eventually(lambda: other.counts["healed"] > healed, "it heals", 60)
        await eventually(lambda: places(heard[1])[-1] == (1, 2), "the newest", 60)
        assert len(places(heard[1])) == len(set(places(heard[1])))


@pytest.mark.system
async def test_news_said_to_a_dead_or_deaf_redis_arrive(tmp_path: Path) -> None:
    """Said while it is away, or before the others listen to the new one: everybody hears them all the same."""
    async with nodes(tmp_path) as (server, (leader, other), heard):
        await server.kill()
        await eventually(lambda: not leader.connected and not other.connected, "both notice", 60)
        away, early = SessionChanged(("s",), "person", "away"), SessionChanged(("s",), "person", "early")
        leader.publish(away)
        await leader.flush()
        await server.start()
        await leader.flush()
        leader.publish(early)
        await leader.flush()
        await eventually(lambda: away in heard[1] and early in heard[1], "both", 60)
        assert heard[0].count(away) == heard[0].count(early) == 1


async def test_what_was_said_while_redis_was_away_arrives(tmp_path: Path) -> None:
    """Every tick, once and in order, to who was there before and to who comes later."""
    async with nodes(tmp_path) as (server, (leader, other), heard):
        leader.publish(tick(1))
        await eventually(lambda: (1, 1) in places(heard[1]), "the first", 60)
        await server.kill()
        for number in range(2, 300):
            leader.publish(tick(number))
            await anyio.lowlevel.checkpoint()
        await eventually(lambda: not leader.connected and not other.connected, "both notice", 60)
        leader.publish(tick(300))
        await server.start()
        expected = [(1, number) for number in range(1, 301)]
        await eventually(lambda: places(heard[1]) == expected, "all of them", 60)
        late: list[Message] = []
        bus = RedisBus(server.url, "late")
        bus.subscribe(late.append)
        await bus.catch_up()
        assert places(late) == expected[1:]  # Redis came back empty, and was told what it had not taken
        await bus.aclose()


async def test_who_missed_batches_reads_them_all(tmp_path: Path) -> None:
    """However many they were, from the last that it heard; what nobody wrote is passed over."""
    async with nodes(tmp_path) as (_, (leader, other), _):
        late: list[Message] = []
        bus = RedisBus("redis://127.0.0.1:1", "late")
        bus.subscribe(late.append)
        bus._redis = bus._latest._redis = other._redis
        for number in range(1, 401):
            leader.publish(tick(number, "eth_usd" if number == 7 else "btc_usd"))
            await leader.flush()
            if number == 100:
                await bus.catch_up()
                assert places(late) == [(1, one) for one in range(1, 101)]
        await other._redis.xadd(KEPT, {"b": b"nonsense"})
        await other._redis.xadd(KEPT, {"c": b"nonsense"})
        await bus.catch_up()
        assert places(late) == [(1, one) for one in range(1, 401)]
        assert bus.statistics()["refused"] == 2


async def test_who_comes_later_begins_with_the_board(tmp_path: Path) -> None:
    """A node that starts when prices rest has them all the same."""
    async with nodes(tmp_path) as (server, (leader, _), heard):
        leader.publish(tick(1))
        leader.publish(tick(2, "eth_usd"))
        await eventually(lambda: len(places(heard[1])) == 2, "both ticks", 60)
        late: list[Message] = []
        bus = RedisBus(server.url, "late")
        bus.subscribe(late.append)
        async with anyio.create_task_group() as tasks:
            await tasks.start(bus.run)
            await eventually(lambda: sorted(places(late)) == [(1, 1), (1, 2)], "the board", 60)
            tasks.cancel_scope.cancel()
        await bus.aclose()


async def test_the_sequence_goes_on_where_the_last_leader_ended(tmp_path: Path) -> None:
    """The next leader asks Redis for what it did not hear itself, so that no place is given twice or left out."""
    async with nodes(tmp_path) as (_, (leader, other), heard):
        leader.publish(tick(1))
        leader.publish(tick(2))
        await leader.flush()
        leader.follow()
        await other.catch_up()
        other.lead(2)
        other.publish(tick(3))
        await eventually(lambda: places(heard[0])[-1:] == [(2, 3)], "the tick of the second", 60)
        assert places(heard[0]) == [(1, 1), (1, 2), (2, 3)]
        assert places(heard[1])[-2:] == [(1, 2), (2, 3)]


async def test_what_was_said_last_is_brought_before_the_end(tmp_path: Path) -> None:
    """A term ends in the moment after a tick: all have it."""
    async with nodes(tmp_path) as (_, (leader, _), heard):
        leader.publish(tick(1))
        await leader.flush()
        leader.follow()
        await eventually(lambda: places(heard[1]) == [(1, 1)], "the last tick", 60)


async def test_who_stood_still_takes_back_what_was_not_sent(tmp_path: Path) -> None:
    """What waits for Redis when the node is not sure any more stays here."""
    async with nodes(tmp_path) as (_, (leader, _), heard):
        sure = [True]
        leader._sure = lambda: sure[0]
        leader.publish(tick(1))
        sure[0] = False
        await leader.flush()
        sure[0] = True
        leader.publish(tick(2))
        await eventually(lambda: (1, 2) in places(heard[1]), "the next tick", 60)
        assert (1, 1) not in places(heard[1])


async def test_a_former_leader_leaves_the_board_alone(tmp_path: Path) -> None:
    """Redis returns empty: only who leads writes what it had."""
    async with nodes(tmp_path) as (server, (leader, other), _):
        leader.publish(tick(1, "eth_usd"))
        await leader.flush()
        leader.follow()
        other.lead(2)
        other.publish(tick(2))
        await other.flush()
        await server.kill()
        await eventually(lambda: not leader.connected and not other.connected, "both notice", 60)
        await server.start()
        await eventually(lambda: leader.connected and other.connected, "both are back", 60)
        await leader.flush()
        await other.flush()
        assert set(await other._redis.hgetall(LATEST)) == {b"btc_usd"}


async def test_only_the_leader_hears_everybody(tmp_path: Path) -> None:
    """Followers know of each other from the leader, whoever that is; a thousand of them must not hear each other."""
    async with nodes(tmp_path, 4) as (_, (leader, other, *rest), _):
        for follower in (other, *rest):
            assert set(follower.peers._peers) == {"n0"}
        leader.follow()
        other.lead(2)
        everybody = ["n0", "n1", "n2", "n3"]
        await eventually(lambda: sorted(other.peers._peers) == ["n0", "n2", "n3"], "the next hears them", 60)
        await eventually(lambda: all(bus.nodes() == everybody for bus in (leader, other, *rest)), "all know", 60)


async def test_demand_is_everybody_s(tmp_path: Path) -> None:
    """What streams of any node ask for reaches the leader."""
    wanted = frozenset({"sol_usd"})
    async with running_redis(tmp_path) as server, anyio.create_task_group() as tasks:
        leader, other = RedisBus(server.url, "a"), RedisBus(server.url, "b", wanted=lambda: wanted)
        leader.lead(1)
        for bus in (leader, other):
            await tasks.start(bus.run)
        await eventually(lambda: leader.demand() == wanted, "it hears of it", 60)
        tasks.cancel_scope.cancel()
    await leader.aclose()
    await other.aclose()


@contextlib.asynccontextmanager
async def desks(folder: Path) -> AsyncIterator[tuple[RedisServer, RedisRpc, RedisRpc]]:
    """Two nodes' desks on one Redis, both fetching their answers."""
    async with running_redis(folder) as server, anyio.create_task_group() as tasks:
        pair = RedisRpc(server.url, "a"), RedisRpc(server.url, "b")
        for rpc in pair:
            await tasks.start(rpc.run)
        yield server, *pair
        tasks.cancel_scope.cancel()
    for rpc in pair:
        await rpc.aclose()


async def test_an_errand_is_done_by_the_one_who_serves(tmp_path: Path) -> None:
    """Asked anywhere, done by the leader once, answered to the one who asked; many at once keep apart."""
    done: list[bytes] = []

    async def handle(request: bytes) -> bytes:
        done.append(request)
        return request.upper()

    async with desks(tmp_path) as (_, asker, leader), anyio.create_task_group() as tasks:
        await tasks.start(leader.serve, handle)
        answers: dict[bytes, bytes] = {}

        async def ask(request: bytes) -> None:
            answers[request] = await asker.ask(request, seconds=60)

        async with anyio.create_task_group() as asking:
            for number in range(50):
                asking.start_soon(ask, b"errand-%d" % number)
        assert answers == {request: request.upper() for request in done}
        assert len(done) == len(set(done)) == 50
        tasks.cancel_scope.cancel()


async def test_an_errand_of_a_dead_leader_is_done_by_the_next(tmp_path: Path) -> None:
    """Taken and never answered: the next leader claims it."""
    taken = anyio.Event()

    async def die(_: bytes) -> bytes:
        taken.set()
        await anyio.sleep_forever()
        raise AssertionError

    async def handle(request: bytes) -> bytes:
        return request.upper()

    async with desks(tmp_path) as (_, asker, leader), anyio.create_task_group() as tasks:
        answers: list[bytes] = []

        async def ask() -> None:
            answers.append(await asker.ask(b"errand", seconds=60))

        tasks.start_soon(ask)
        async with anyio.create_task_group() as first:
            await first.start(leader.serve, die)
            await taken.wait()
            first.cancel_scope.cancel()
        await tasks.start(asker.serve, handle)
        await eventually(lambda: answers == [b"ERRAND"], "the second leader does it", 60)
        tasks.cancel_scope.cancel()


async def test_who_finishes_does_what_it_has_in_hand(tmp_path: Path) -> None:
    """An errand that was taken is done to its end, and the next waits for the next leader."""
    taken, go_on = anyio.Event(), anyio.Event()

    async def slowly(request: bytes) -> bytes:
        taken.set()
        await go_on.wait()
        return request.upper()

    async def handle(request: bytes) -> bytes:
        return request.title()

    async with desks(tmp_path) as (_, asker, leader), anyio.create_task_group() as tasks:
        answers: list[bytes] = []

        async def ask(request: bytes) -> None:
            answers.append(await asker.ask(request, seconds=60))

        tasks.start_soon(leader.serve, slowly)
        tasks.start_soon(ask, b"first")
        with anyio.fail_after(60):
            await taken.wait()
            async with anyio.create_task_group() as finishing:
                finishing.start_soon(leader.finish)
                await anyio.wait_all_tasks_blocked()
                go_on.set()
        tasks.start_soon(ask, b"second")
        await eventually(lambda: answers == [b"FIRST"], "the first is answered", 60)
        await tasks.start(asker.serve, handle)
        await eventually(lambda: answers == [b"FIRST", b"Second"], "the next leader does the second", 60)
        tasks.cancel_scope.cancel()


async def test_nobody_there_is_said_in_time(tmp_path: Path) -> None:
    """Without a leader the errand fails in its time, without Redis at once."""
    async with desks(tmp_path) as (server, asker, _):
        with pytest.raises(NoLeader):
            await asker.ask(b"errand", seconds=0.3)
        await server.kill()
        with pytest.raises(CacheUnavailable):
            await asker.ask(b"errand", seconds=60)
