"""The manager under a simulated clock: what is written to each stream, and when."""

import random

import anyio
import anyio.lowlevel
import pytest

from cryptomarket.market.demand import GRACE_SECONDS
from cryptomarket.model import Gap, Upstream, UpstreamState
from cryptomarket.stream.manager import ServerSSEManager
from cryptomarket.stream.subscribers import COHORT_SIZE, Subscription

from .reader import EVERYTHING, Harness, Reader, tick


@pytest.fixture
def harness() -> Harness:
    """A manager of btc_usd and eth_usd, with its bus and clock."""
    return Harness()


# Joining


def test_joining_is_one_write_of_retry_prices_and_state(harness: Harness) -> None:
    """It holds the pause, one event for each ticker in order of sequence, the state, and nothing else."""
    harness.live()
    harness.publish(1, ticker="eth_usd")
    harness.publish(2, 3)
    reader, _ = harness.join(5)
    assert len(reader.writes) == 1
    assert reader.writes[0].startswith(b"retry: 3000\nid: 7-1\n")
    assert [(e.event, e.id) for e in reader.events] == [("eth_usd", "7-1"), ("btc_usd", "7-3"), ("connection", "7-3")]
    assert reader.channel_events() == [
        {"kind": "upstream", "state": "live", "since": 1763669000000, "ages": {"eth_usd": 0, "btc_usd": 0}}
    ]


def test_joining_before_any_tick_is_the_state_alone(harness: Harness) -> None:
    """Without a price, the state says why."""
    reader, _ = harness.join(5)
    assert reader.prices() == []
    assert reader.channel_events()[0]["state"] == "connecting"


def test_the_retry_is_drawn_for_each_stream() -> None:
    """The pause before reconnecting is between one and five seconds."""
    draws = iter((0.0, 0.999999, 0.25))
    manager = ServerSSEManager("btc_usd", random=lambda: next(draws))
    readers = [Reader() for _ in range(3)]
    for reader in readers:
        manager.join(reader, Subscription())
    assert [reader.parser.retry for reader in readers] == [1000, 5000, 2000]


def test_a_stream_sees_only_its_tickers(harness: Harness) -> None:
    """It receives no prices, ages and gaps of other tickers."""
    harness.publish(1)
    harness.publish(2, ticker="eth_usd")
    reader, _ = harness.join(0, "eth_usd")
    harness.publish(3)
    harness.publish(4, ticker="eth_usd")
    harness.bus.publish(Gap("btc_usd"))
    harness.turn()
    assert reader.prices() == [2, 4]
    assert reader.channel_events("gap") == []
    assert reader.channel_events("upstream")[0]["ages"].keys() == {"eth_usd"}


def test_a_manager_without_latest_values_has_its_own() -> None:
    """The manager needs no argument but its channels."""
    manager = ServerSSEManager("btc_usd", "eth_usd", "connection")
    manager.on_message(Upstream(UpstreamState.LIVE, 1))
    manager.on_message(tick().at(1, 1))
    reader = Reader()
    manager.join(reader, Subscription(0, manager.tickers))
    assert reader.prices() == [1]
    assert reader.channel_events()[0]["state"] == "live"


# Timers


def test_a_timed_stream_gets_the_newest_once_per_interval(harness: Harness) -> None:
    """A delivery is one write with the newest tick of each ticker since the last."""
    reader, _ = harness.join(1)
    reader.clear()
    for second in range(4):
        for tenth in range(10):
            harness.publish(100 * second + tenth)
            harness.advance(0.1)
    assert len(reader.prices()) == 4
    assert reader.prices() == sorted(reader.prices())
    assert harness.manager.statistics().conflated == 30 + reader.prices()[-1] % 100 + 1 - 4


def test_both_tickers_travel_in_one_write(harness: Harness) -> None:
    """The events of a delivery are in order of sequence."""
    reader, _ = harness.join(1)
    reader.clear()
    harness.publish(1, 2)
    harness.publish(3, ticker="eth_usd")
    harness.publish(4)
    harness.advance(1)
    assert len(reader.writes) == 1
    assert reader.prices() == [3, 4]


def test_an_equal_price_is_still_a_tick(harness: Harness) -> None:
    """An equal price is delivered again; a ticker without a new tick is not."""
    reader, _ = harness.join(1)
    reader.clear()
    harness.publish(5)
    harness.advance(1)
    harness.publish(5)
    harness.advance(1)
    harness.advance(1)
    assert reader.prices() == [5, 5]


def test_timer_zero_gets_every_tick_in_order(harness: Harness) -> None:
    """Ticks that arrive between two turns are written together."""
    reader, _ = harness.join(0)
    reader.clear()
    harness.publish(1)
    harness.turn()
    harness.publish(2, 3)
    harness.turn()
    harness.turn()
    assert reader.prices() == [1, 2, 3]
    assert len(reader.writes) == 2


def test_nothing_is_written_twice_to_a_stream_that_just_joined(harness: Harness) -> None:
    """A stream that joins between a tick and its delivery to the cohort receives it once."""
    first, _ = harness.join(0)
    harness.publish(1)
    second, _ = harness.join(0)
    harness.publish(2)
    third, _ = harness.join(0)
    harness.turn()
    harness.publish(3)
    harness.turn()
    assert [reader.prices() for reader in (first, second, third)] == [[1, 2, 3], [1, 2, 3], [2, 3]]


def test_equal_streams_share_one_encoding(harness: Harness) -> None:
    """The number of frames grows with cohorts: 3,000 streams that join at once are three frames."""
    readers = [harness.join(0)[0] for _ in range(3 * COHORT_SIZE)]
    harness.publish(1)
    harness.turn()
    statistics = harness.manager.statistics()
    assert all(reader.prices() == [1] for reader in readers)
    assert (statistics.delivered, statistics.cohorts) == (3 * COHORT_SIZE, 3)
    harness.publish(2)
    harness.turn()
    assert harness.manager.statistics().frames - statistics.frames == 3


# Epochs and resuming


def test_a_lower_epoch_is_refused(harness: Harness) -> None:
    """Ticks of a leader that lost its lease are ignored."""
    reader, _ = harness.join(0)
    harness.publish(1)
    harness.manager.on_message(tick(price=9).at(6, 99))
    harness.turn()
    assert reader.prices() == [1]


def test_a_repeated_message_is_not_delivered_again(harness: Harness) -> None:
    """A tick that the bus delivers twice is written once."""
    reader, _ = harness.join(0)
    harness.publish(1)
    harness.manager.on_message(tick(price=1).at(7, 1))
    harness.turn()
    assert reader.prices() == [1]


def test_a_new_epoch_goes_on_in_the_same_streams(harness: Harness) -> None:
    """Streams of any timer receive the last tick of the old leader and those of a new one that counts from one."""
    immediate, _ = harness.join(0)
    timed, _ = harness.join(1)
    harness.publish(500, ticker="eth_usd")
    harness.bus.epoch, harness.bus.sequence = 8, 0
    harness.publish(1, 2)
    harness.advance(1)
    assert immediate.prices() == [500, 1, 2]
    assert timed.prices() == [500, 2]
    assert immediate.parser.last_event_id == "8-2"


def test_an_immediate_stream_resumes_with_what_it_missed(harness: Harness) -> None:
    """It receives every tick after the id once, then the new ones."""
    harness.publish(1, 2)
    harness.publish(3, ticker="eth_usd")
    harness.publish(4, 5)
    reader, _ = harness.join(0, last_event_id="7-2")
    harness.publish(6)
    harness.turn()
    assert reader.prices() == [3, 4, 5, 6]
    assert reader.channel_events("gap") == []


def test_a_long_absence_is_replayed_in_pieces(harness: Harness) -> None:
    """A replay of a thousand ticks is several writes."""
    harness.publish(*range(1, 1001))
    reader, _ = harness.join(0, last_event_id="7-10")
    harness.publish(1001)
    harness.turn()
    assert reader.prices() == list(range(11, 1002))
    assert len(reader.writes) > 5
    assert max(map(len, reader.writes)) < 32_768


def test_a_replay_waits_for_a_slow_reader_and_loses_nothing(harness: Harness) -> None:
    """A reader that stalls in its replay continues where it stopped."""
    harness.publish(*range(1, 1001))

    class Slow(Reader):
        def write(self, frame: bytes) -> bool:
            taken = super().write(frame)
            self.stalled = True
            return taken

    reader, _ = harness.join(0, last_event_id="7-1", reader=Slow())
    for price in range(1001, 1101):
        harness.publish(price)
        harness.turn()
        reader.wake()
    assert reader.prices() == list(range(2, 1101))


def test_a_replay_slower_than_the_log_is_a_gap() -> None:
    """A gap event comes first, then the newest ticks."""
    harness = Harness(kept_ticks=200)
    harness.publish(*range(1, 201))
    reader = Reader()
    harness.join(0, last_event_id="7-1", reader=reader)
    reader.clear()
    stalled = Reader()
    stalled.stalled = True
    harness.join(0, last_event_id="7-1", reader=stalled)
    half = Reader()

    def write(frame: bytes) -> bool:
        half.stalled = True
        half._read(frame)
        del half.write
        return True

    half.write = write  # type: ignore[method-assign]
    harness.join(0, last_event_id="7-1", reader=half)
    harness.publish(*range(201, 1000))
    half.wake()
    stalled.wake()
    assert half.prices()[-1] == 999
    assert half.channel_events("gap") == [{"kind": "gap", "from": "7-129", "reason": "too_old"}]
    assert stalled.prices() == [999]


def test_a_timed_stream_resumes_with_the_newest(harness: Harness) -> None:
    """Its reader never receives every tick, so nothing is missing."""
    harness.publish(1, 2, 3)
    reader, _ = harness.join(5, last_event_id="7-1")
    assert reader.prices() == [3]
    assert reader.channel_events("gap") == []


@pytest.mark.parametrize(
    ("last_event_id", "reason"),
    [("6-900", "epoch"), ("7-4", "unknown"), ("9-1", "unknown"), ("nonsense", "unknown"), ("7-1-1", "unknown")],
)
@pytest.mark.parametrize("timer", [0, 5])
def test_what_cannot_be_resumed_is_a_gap(harness: Harness, last_event_id: str, reason: str, timer: float) -> None:
    """A gap event with its start and reason comes before the newest prices."""
    harness.publish(1, 2, 3)
    reader, _ = harness.join(timer, last_event_id=last_event_id)
    assert reader.events[0].json == {"kind": "gap", "from": last_event_id, "reason": reason}
    assert reader.prices() == [3]


def test_an_id_older_than_the_kept_ticks_is_too_old() -> None:
    """So is an id from before the start of this node."""
    harness = Harness(kept_ticks=100)
    harness.publish(*range(1, 500))
    reader, _ = harness.join(0, last_event_id="7-5")
    assert reader.channel_events("gap")[0]["reason"] == "too_old"
    assert reader.prices() == [499]
    late = Harness()
    late.bus.sequence = 50
    late.publish(1)
    assert late.join(0, last_event_id="7-10")[0].channel_events("gap")[0]["reason"] == "too_old"
    assert late.join(0, last_event_id="7-50")[0].prices() == [1]


# Tickers beyond the configured


def test_other_tickers_are_followed_while_streams_want_them(harness: Harness) -> None:
    """Each is added once, however many streams want it, and released a grace period after the last one left."""
    perpetual, none = frozenset({"BTC-PERPETUAL"}), frozenset[str]()
    changes: list[tuple[frozenset[str], frozenset[str]]] = []
    harness.demand.subscribe(lambda added, released: changes.append((added, released)))
    _, first = harness.join(5, "BTC-PERPETUAL", "btc_usd")
    _, second = harness.join(5, "BTC-PERPETUAL")
    assert changes == [(perpetual, none)]
    harness.manager.leave(first)
    harness.manager.leave(second)
    harness.advance(GRACE_SECONDS - 1, 0.25)
    _, third = harness.join(5, "BTC-PERPETUAL")
    harness.advance(2 * GRACE_SECONDS, 0.25)
    assert changes == [(perpetual, none)]
    harness.manager.leave(third)
    harness.advance(GRACE_SECONDS + 1, 0.25)
    assert changes == [(perpetual, none), (none, perpetual)]


def test_a_released_ticker_is_forgotten(harness: Harness) -> None:
    """A stream that wants it after the grace period starts without a price, as the last one may be out of date."""
    _, stream = harness.join(5, "BTC-PERPETUAL")
    harness.publish(1, 2, ticker="BTC-PERPETUAL")
    harness.manager.leave(stream)
    reader, stream = harness.join(5, "BTC-PERPETUAL")
    assert reader.prices() == [2]
    harness.manager.leave(stream)
    harness.advance(GRACE_SECONDS + 1, 0.25)
    assert harness.join(5, "BTC-PERPETUAL")[0].prices() == []


# Leaving and ending


def test_nothing_is_written_after_leaving(harness: Harness) -> None:
    """Nothing is kept for it either; leaving twice has no effect."""
    reader, stream = harness.join(0, session="s", address="10.0.0.1")
    reader.clear()
    harness.manager.leave(stream)
    harness.manager.leave(stream)
    harness.publish(1)
    harness.turn()
    assert reader.events == []
    assert len(harness.manager) == harness.manager.streams_of("10.0.0.1") == harness.manager.send("s", "{}") == 0


async def test_a_drain_ends_every_stream_with_its_own_retry(harness: Harness) -> None:
    """Blocked streams end as well; nothing is written afterwards."""
    readers = [harness.join(timer)[0] for timer in (0, 1, 5, 60)]
    readers[0].stalled = True
    harness.publish(1)
    harness.turn()
    await harness.manager.drain(0)
    assert all(reader.closed for reader in readers)
    assert all(reader.parser.retries == [3000, 3000] for reader in readers)
    harness.publish(2)
    harness.turn()
    assert len(harness.manager) == 0
    assert harness.manager.draining


async def drained_in_steps(
    manager: ServerSSEManager, readers: list[Reader], window: float, moments: list[float]
) -> list[float]:
    """The moments at which readers reconnect, of a drain under a clock that takes the moments in turn."""
    back: dict[Reader, float] = {}
    moment = [0.0]
    manager._monotonic = lambda: moment[0]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(manager.drain, window)
        with anyio.fail_after(60):
            while not manager.draining:
                await anyio.lowlevel.checkpoint()
            for moment[0] in moments:
                while len(manager) > max(0.0, len(readers) * (1 - moment[0] / window) + 1):
                    await anyio.lowlevel.checkpoint()
                manager.on_message(tick(price=1 + int(10 * moment[0])).at(1, 1 + int(10 * moment[0])))
                for _ in manager.turn():
                    pass
                for reader in readers:
                    if reader.closed:
                        back.setdefault(reader, moment[0] + (reader.parser.retry or 0) / 1000)
    return list(back.values())


async def test_a_drain_is_spread_over_its_window() -> None:
    """At half time half of the streams are left, and still receive prices."""
    manager = ServerSSEManager("btc_usd")
    readers = [Reader() for _ in range(200)]
    for reader in readers:
        manager.join(reader, Subscription(0, manager.tickers))
    await drained_in_steps(manager, readers, 2, [0.5, 1, 1.5, 2.1])
    assert [sum(price in reader.prices() for reader in readers) for price in (6, 11, 16)] == [150, 100, 50]
    assert all(reader.closed for reader in readers)


@pytest.mark.parametrize(("window", "first", "last"), [(1, 1, 6), (2, 1, 7), (5, 4, 10)])
async def test_readers_reconnect_evenly_after_a_drain(window: float, first: float, last: float) -> None:
    """At most one and a half times the mean reconnects in a second, in any window; pauses are 1 to 5 s."""
    manager = ServerSSEManager("btc_usd", random=random.Random(7).random)
    readers = [Reader() for _ in range(2_000)]
    for reader in readers:
        manager.join(reader, Subscription(600, manager.tickers))
    steps = [window * step / 20 for step in range(1, 21)]
    back = await drained_in_steps(manager, readers, window, [*steps, window + 0.01])
    assert all(1_000 <= (reader.parser.retry or 0) <= 5_000 for reader in readers)
    seconds = [sum(low <= moment < low + 1 for moment in back) for low in range(int(first), int(last))]
    assert sum(seconds) >= 0.99 * len(back)
    assert max(seconds) <= 1.6 * len(back) / len(seconds), seconds


async def test_the_coroutine_serves_ticks_and_timers() -> None:
    """The task serves streams by itself."""
    manager = ServerSSEManager("btc_usd")
    immediate, timed = Reader(), Reader()
    async with anyio.create_task_group() as tasks:
        await tasks.start(manager.run)
        manager.join(immediate, Subscription(0, manager.tickers))
        manager.join(timed, Subscription(1, manager.tickers))
        manager.on_message(tick(price=1).at(1, 1))
        with anyio.fail_after(60):
            while not (immediate.prices() and timed.prices()):
                await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()


def test_the_statistics_count_streams_and_ages(harness: Harness) -> None:
    """They count streams by timer, and events by age."""
    harness.join(1)
    harness.join(0)
    harness.join(0)
    harness.publish(1)
    harness.advance(2, 0.01)
    statistics = harness.manager.statistics()
    assert statistics.by_timer == {0.0: 2, 1.0: 1}
    assert statistics.streams == 3
    assert sum(statistics.age_counts) == statistics.delivered == 3
    assert 0 < statistics.age_sum_seconds < 1.1


def test_ticks_of_tickers_that_are_not_followed_are_not_kept(harness: Harness) -> None:
    """What only other nodes follow takes no memory here."""
    harness.publish(*range(1, 100), ticker="ETH-PERPETUAL")
    assert repr(harness.manager._event_log) == "<EventLog 2 tickers at 7-99>"
    assert harness.latest.tick("ETH-PERPETUAL") is None


def test_every_channel_but_connection_is_a_ticker() -> None:
    """The constructor takes the names of the setting, and `connection`."""
    assert ServerSSEManager("btc_usd", "eth_usd", "connection").tickers == EVERYTHING
