"""Any order of joins, ticks, stalls, resumptions and leaves keeps the promises to each reader."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from cryptomarket.model import Gap, Upstream, UpstreamState

from .reader import Harness, Reader

pytestmark = pytest.mark.system

TICKERS = ("btc_usd", "eth_usd", "BTC-PERPETUAL")


class Witness(Reader):
    """A reader that records what it must receive."""

    def __init__(self, timer: float, tickers: frozenset[str], joined: int, last_seen: int) -> None:
        super().__init__()
        self.timer = timer
        self.tickers = tickers
        self.joined = joined
        self.last_seen = last_seen
        self.was_blocked = False

    def write(self, frame: bytes) -> bool:
        """Record a refusal: from then on the reader must receive only the newest."""
        taken = super().write(frame)
        self.was_blocked = self.was_blocked or not taken
        return taken


class Streams(RuleBasedStateMachine):
    """The manager compared with a plain list of everything that was published."""

    witnesses = Bundle("witnesses")

    def __init__(self) -> None:
        super().__init__()
        self.harness = Harness(kept_ticks=40, blocked_seconds=30)
        self.log: list[tuple[str, int, str]] = []
        self.open: dict[Witness, object] = {}
        self.price = 0

    @rule(
        target=witnesses,
        timer=st.sampled_from((0, 0, 0.1, 1, 7.5, 60)),
        tickers=st.frozensets(st.sampled_from(TICKERS), min_size=1),
        resumed=st.one_of(st.none(), st.integers(0, 60)),
        stalled=st.booleans(),
    )
    def join(self, timer: float, tickers: frozenset[str], resumed: int | None, stalled: bool) -> Witness:
        """A reader joins, perhaps with a last id, perhaps stalled."""
        known = resumed is not None and resumed < len(self.log)
        event_id = self.log[resumed][2] if resumed is not None and known else None
        reader = Witness(timer, tickers, len(self.log), self.log[resumed][1] if known and resumed is not None else -1)
        reader.stalled = stalled
        _, stream = self.harness.join(timer, *tickers, last_event_id=event_id, reader=reader)
        self.open[reader] = stream
        return reader

    @rule(ticker=st.sampled_from(TICKERS), times=st.integers(1, 3))
    def tick(self, ticker: str, times: int) -> None:
        """Ticks are published."""
        for _ in range(times):
            self.price += 1
            self.harness.publish(self.price, ticker=ticker)
            self.log.append((ticker, self.price, f"{self.harness.bus.epoch}-{self.harness.bus.sequence}"))

    @rule(seconds=st.sampled_from((0, 0.02, 0.5, 3, 20)))
    def time(self, seconds: float) -> None:
        """Time passes."""
        self.harness.now += seconds
        self.harness.turn()

    @rule()
    def part_of_a_turn(self) -> None:
        """A turn is interrupted, as when the event loop runs another task."""
        next(self.harness.manager.turn(), None)

    @rule(witness=witnesses)
    def stall(self, witness: Witness) -> None:
        """A reader stops reading."""
        witness.stalled = True

    @rule(witness=witnesses)
    def wake(self, witness: Witness) -> None:
        """A reader reads again."""
        witness.wake()

    @rule(witness=consumes(witnesses))
    def leave(self, witness: Witness) -> None:
        """A reader leaves."""
        if (stream := self.open.pop(witness, None)) is not None:
            self.harness.manager.leave(stream)  # type: ignore[arg-type]
            witness.closed = True

    @rule(state=st.sampled_from(UpstreamState), ticker=st.sampled_from(TICKERS))
    def change_state(self, state: UpstreamState, ticker: str) -> None:
        """Upstream changes its state, or a ticker is refused."""
        self.harness.bus.publish(Upstream(state, 1))
        self.harness.bus.publish(Gap(ticker))

    @rule(unheard=st.sampled_from((0, 0, 2, 1_000)))
    def new_leader(self, unheard: int) -> None:
        """Another leader takes over after the last tick it has seen, or counts from one."""
        bus = self.harness.bus
        bus.after = bus.epoch, max(0, bus.sequence - unheard)
        bus.epoch, bus.sequence = bus.epoch + 1, bus.after[1]

    @rule(count=st.integers(1, 3))
    def lose(self, count: int) -> None:
        """Ticks are published that do not reach this node."""
        self.harness.bus.sequence += count

    @invariant()
    def each_reader_sees_a_subsequence_in_order(self) -> None:
        """No event is repeated, out of order, of another ticker, invented or forged."""
        published = {price: (ticker, event_id) for ticker, price, event_id in self.log}
        for reader in self.open:
            prices = reader.prices()
            assert prices == sorted(set(prices))
            assert all(price > reader.last_seen or reader.channel_events("gap") or reader.timer for price in prices)
            for event in reader.events:
                if event.event != "connection":
                    assert event.event in reader.tickers
                    assert published[int(event.json["price"])] == (event.event, event.id)

    @invariant()
    def an_immediate_reader_misses_nothing(self) -> None:
        """Every tick arrives, unless the reader was blocked, which receives the newest."""
        for reader in self.open:
            if reader.timer == 0 and not reader.was_blocked and not reader.closed:
                seen = reader.prices()
                owed = [p for t, p, _ in self.log[reader.joined :] if t in reader.tickers]
                assert [p for p in seen if p in set(owed)] == owed[: len([p for p in seen if p in set(owed)])]

    def teardown(self) -> None:
        """In the end every reader has received the newest of each of its tickers, and the statistics agree."""
        self.harness.turn()
        for reader in self.open:
            if not reader.closed:
                reader.wake()
        for _ in range(0 if not self.open else 70):
            self.harness.now += 1
            self.harness.turn()
        newest = {ticker: price for ticker, price, _ in self.log}
        for reader, stream in self.open.items():
            if reader.closed:
                continue
            for ticker, price in newest.items():
                if ticker in reader.tickers and (ticker in self.harness.manager.tickers or reader.prices(ticker)):
                    assert reader.last_seen >= price or reader.prices(ticker)[-1:] == [price]
            self.harness.manager.leave(stream)  # type: ignore[arg-type]
        statistics = self.harness.manager.statistics()
        assert (statistics.streams, statistics.cohorts, statistics.blocked_now) == (0, 0, 0)
        assert statistics.joined == statistics.left


TestStreams = Streams.TestCase
TestStreams.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
