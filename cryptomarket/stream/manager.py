"""The manager of the streams: takes ticks from the bus, and gives every reader the newest at its own pace.

Publishing never waits for a reader: `on_message` keeps the event, encoded once, and one coroutine writes it to the
streams that are due. This file decides when and to whom; `delivery` writes. It knows no socket and no HTTP.
"""

import random as randoms
import time
from collections.abc import Callable, Iterator

import anyio
import anyio.lowlevel
import structlog
from anyio.abc import TaskStatus

from ..market.demand import Demand
from ..market.latest import LatestValues
from ..model import Gap, GapReason, Message, Tick, Upstream
from .delivery import Delivery
from .encoding import CONNECTION, connection_event, gap_data, heartbeat_data, retry, state_data
from .event_log import KEPT_TICKS, EventLog
from .sinks.asgi import Sink
from .statistics import Counters, StreamStatistics
from .subscribers import Cohort, Stream, Subscribers, Subscription

__all__ = ["ServerSSEManager"]

log = structlog.get_logger(__name__)

#: Writes between two moments in which the event loop may do something else: about 10 ms.
SLICE = 2_000
#: How often the state of upstream, heartbeats and the long blocked are looked at.
LOOK_SECONDS = 0.25
#: The pause before reconnecting is drawn from these.
RETRY_SECONDS = (1.0, 5.0)
#: At a stop, where the window is longer than this, from the last second of them.
LATE_RETRY_SECONDS, SHORT_WINDOW_SECONDS = (4.0, 5.0), 2.0
#: How often a drain ends the streams whose turn has come.
DRAIN_STEP_SECONDS = 0.05
#: So many may end in a second without being a herd: a handful of readers need not keep a process for the whole window.
CALM_PER_SECOND = 100


def ignore(_: object) -> None:
    """Nobody wants to know."""


class ServerSSEManager:
    """The streams of the given channels: tickers, and ``connection``, which every stream has.

    Without ``latest``, which is shared with the bus, and without ``demand``, which counts what streams ask for, the
    manager has its own. ``arrived`` is called with the browser session of each stream that joins with one.
    """

    def __init__(
        self,
        *channels: str,
        latest: LatestValues | None = None,
        demand: Demand | None = None,
        arrived: Callable[[str], None] = ignore,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        random: Callable[[], float] = randoms.random,
        kept_ticks: int = KEPT_TICKS,
        heartbeat_seconds: float = 15.0,  # proxies cut a silent connection after 30 to 60 s
        blocked_seconds: float = 60.0,
    ) -> None:
        self.tickers = frozenset(channel for channel in channels if channel != CONNECTION)
        self.draining = False
        self._own_latest = latest is None
        self._latest = latest or LatestValues(sorted(self.tickers), monotonic=monotonic, wall=wall)
        self._tell_arrived = arrived
        self._monotonic, self._wall, self._random = monotonic, wall, random
        self._heartbeat_seconds, self._blocked_seconds = heartbeat_seconds, blocked_seconds
        self._counters = Counters()
        self._subscribers = Subscribers()
        self._demand = demand or Demand(self.tickers)
        if self._own_latest:
            self._demand.subscribe(self._latest.follow)
        self._demand.subscribe(self._follow)
        self._feed = EventLog(self.tickers, kept=kept_ticks)
        self._delivery = Delivery(self._feed, self._counters, state=self._state, monotonic=monotonic)
        self._refused: dict[str, Gap] = {}
        self._gaps: list[Gap] = []
        self._holes: list[bytes] = []
        self._upstream = self._latest.upstream()
        self._looked = -1
        self._said: dict[frozenset[str], bytes] = {}
        self._told = 0
        self._served = 0
        self._next_look = monotonic()
        self._wake_up = anyio.Event()

    def __repr__(self) -> str:
        return f"<ServerSSEManager {len(self)} streams, {len(self.tickers)} tickers>"

    def __len__(self) -> int:
        """How many streams are open."""
        return len(self._subscribers)

    def streams_of(self, address: str) -> int:
        """How many streams the address has."""
        return self._subscribers.of_address(address)

    def on_message(self, message: Message) -> None:
        """Take what the bus delivers, after the board did; nothing is written here, so no reader is waited for."""
        if self._own_latest:
            self._latest.on_message(message)
        self._looked = -1
        match message:
            case Tick():
                self._refused.pop(message.ticker, None)
                if self._feed.epoch and not message.follows(self._feed.epoch, self._feed.sequence):
                    self._miss(message)
                if self._feed.take(message, self._monotonic()) and self._subscribers.has_immediate:
                    self._wake_up.set()
            case Upstream():
                self._wake_up.set()
            case Gap():
                self._refused[message.ticker] = message
                self._gaps.append(message)
                self._wake_up.set()

    def _follow(self, added: frozenset[str], released: frozenset[str]) -> None:
        self._feed.follow(added, released)
        for ticker in released:
            self._refused.pop(ticker, None)

    def _miss(self, tick: Tick) -> None:
        """What was published before the tick did not reach this node: who gets every tick is told."""
        reason = GapReason.UNKNOWN if tick.epoch == self._feed.epoch else GapReason.EPOCH
        self._holes.append(connection_event(gap_data(reason, since=self._feed.id(self._feed.position))))
        self._wake_up.set()

    # Joining and leaving

    def join(self, sink: Sink, subscription: Subscription, last_event_id: str | None = None) -> Stream:
        """Register the sink and write the present to it, in one step, so that nothing falls between.

        Raises InvalidParameter when its tickers are more than may be followed at once.
        """
        self._demand.join(subscription.tickers)
        now = self._monotonic()
        self._look()
        stream, cohort, fresh = self._subscribers.join(sink, subscription, now)
        if fresh:
            cohort.position, cohort.version, cohort.last_sent = self._feed.position, self._delivery.version, now
        self._counters.joined += 1
        self._welcome(stream, cohort, last_event_id)
        if stream.session is not None:
            self._tell_arrived(stream.session)
        return stream

    def _welcome(self, stream: Stream, cohort: Cohort, last_event_id: str | None) -> None:
        head, since = self.draw_retry(), None
        if last_event_id:
            resumed = self._feed.resume(cohort.tickers, last_event_id)
            if isinstance(resumed, GapReason):
                head += connection_event(gap_data(resumed, since=last_event_id[:128]))
            else:
                since = resumed
        refusals = [self._refusal(gap) for ticker, gap in self._refused.items() if ticker in cohort.tickers]
        tail = b"".join((*refusals, self._state(cohort.tickers)))
        self._delivery.welcome(stream, cohort, head, tail, since)

    def leave(self, stream: Stream) -> None:
        """The reader is gone; nothing is written to it any more. May be called twice."""
        cohort = stream.cohort
        if cohort is not None:
            self._subscribers.leave(stream, cohort)
            self._delivery.forget(stream)
            self._demand.leave(cohort.tickers, self._monotonic())
            self._counters.left += 1

    def turned_away(self, reason: str) -> None:
        """Count a stream that was not taken."""
        self._counters.turned_away(reason)

    def draw_retry(self, low_seconds: float = RETRY_SECONDS[0], high_seconds: float = RETRY_SECONDS[1]) -> bytes:
        """A pause before reconnecting, drawn for one stream, because browsers add no jitter."""
        return retry(round(1000 * (low_seconds + (high_seconds - low_seconds) * self._random())))

    def send(self, session: str, data: str) -> int:
        """Send an event of the connection channel to the streams of one browser session; gives how many they are."""
        streams = self._subscribers.of_session(session)
        event = connection_event(data)
        for stream in streams:
            self._delivery.give(stream, event)
        return len(streams)

    def sessions(self) -> list[str]:
        """Every browser session that has a stream here."""
        return self._subscribers.sessions()

    def has_session(self, session: str) -> bool:
        """Whether the browser session has a stream here."""
        return bool(self._subscribers.of_session(session))

    # What streams are told beside prices

    def _ages(self, tickers: frozenset[str]) -> dict[str, int]:
        return {ticker: age for ticker, age in self._latest.ages().items() if ticker in tickers}

    def _state(self, tickers: frozenset[str]) -> bytes:
        self._look()
        said = self._said.get(tickers)
        if said is None:
            said = self._said[tickers] = connection_event(state_data(self._upstream, self._ages(tickers)))
        return said

    def _heartbeat(self, tickers: frozenset[str]) -> bytes:
        return connection_event(heartbeat_data(int(self._wall() * 1000), self._ages(tickers)))

    def _refusal(self, gap: Gap) -> bytes:
        tick = self._latest.tick(gap.ticker)
        return connection_event(gap_data(gap.reason, since=tick.id if tick else None, ticker=gap.ticker))

    def _look(self) -> None:
        """Notice a change of upstream; every cohort is told in the next turn.

        What is found holds for the millisecond, the grain of what is told: a crowd joins in one, and looking takes
        longer the more tickers there are.
        """
        moment = int(self._monotonic() * 1000)
        if moment == self._looked:
            return
        self._looked = moment
        self._said.clear()
        upstream = self._latest.upstream()
        if upstream.state is not self._upstream.state:
            self._delivery.version += 1
            self._wake_up.set()
        self._upstream = upstream

    # The wheel

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Serve the streams until cancelled."""
        task_status.started()
        while True:
            for _ in self.turn():
                await anyio.lowlevel.checkpoint()
            moments = [self._next_look] if (due := self._subscribers.schedule.next) is None else [self._next_look, due]
            with anyio.move_on_after(max(0.0, min(moments) - self._monotonic())):
                await self._wake_up.wait()

    def turn(self) -> Iterator[None]:
        """Do everything that is due now; it stops after every few hundred writes, so that others may run."""
        self._wake_up = anyio.Event()
        self._look()
        writes = 0
        for serve in (self._serve_gaps, self._serve_state, self._serve_prices, self._serve_rest):
            for written in serve():
                writes += written
                if writes >= SLICE:
                    writes = 0
                    yield

    def _serve_gaps(self) -> Iterator[int]:
        gaps, self._gaps = self._gaps, []
        for gap in gaps:
            event = self._refusal(gap)
            for cohort in list(self._subscribers):
                if gap.ticker in cohort.tickers:
                    self._delivery.keep(cohort, event)
                    yield self._delivery.tell(cohort, event)
        holes, self._holes = self._holes, []
        for event in holes:
            for cohort in list(self._subscribers.immediate()):
                self._delivery.keep(cohort, event)
                yield self._delivery.tell(cohort, event)

    def _serve_state(self) -> Iterator[int]:
        if self._told != self._delivery.version:
            self._told = self._delivery.version
            for cohort in list(self._subscribers):
                if cohort.version != self._delivery.version:
                    cohort.version = self._delivery.version
                    yield self._delivery.tell(cohort, self._state(cohort.tickers))

    def _serve_prices(self) -> Iterator[int]:
        yield from self._serve_immediate()
        due = self._subscribers.schedule.due(self._monotonic())
        for cohort in self._subscribers.cohorts(due):
            if self._feed.position > self._served:  # whoever gets every tick at once does not wait for the others
                yield from self._serve_immediate()
            yield self._delivery.deliver(cohort)

    def _serve_immediate(self) -> Iterator[int]:
        self._served = self._feed.position
        yield from map(self._delivery.deliver, self._subscribers.immediate())

    def _serve_rest(self) -> Iterator[int]:
        now = self._monotonic()
        if now < self._next_look:
            return
        self._next_look = now + LOOK_SECONDS
        for stream in self._delivery.blocked_since(now - self._blocked_seconds):
            stream.sink.abort()
            self.leave(stream)
            self._counters.turned_away("blocked")
        for cohort in list(self._subscribers):
            if now - cohort.last_sent >= self._heartbeat_seconds:
                yield self._delivery.tell(cohort, self._heartbeat(cohort.tickers))
        self._demand.release(now)

    # The end

    async def drain(self, window_seconds: float) -> None:
        """End every stream with its own pause before reconnecting, evenly over the window; no new ones are taken."""
        self.draining = True
        streams = [stream for cohort in self._subscribers for stream in cohort.members()]
        streams += self._delivery.blocked_since(self._monotonic())
        # Neighbours joined together and would return together.
        streams.sort(key=lambda _: self._random())
        window_seconds = min(window_seconds, len(streams) / CALM_PER_SECOND)
        log.info("streams draining", streams=len(streams), window_seconds=window_seconds)
        # They return at their ends plus their pauses. The peak of that is lowest, at most 1.5 times the mean, when one
        # of the two does the spreading alone. A long window does; pauses are late then, as a node alone is not back.
        pauses = RETRY_SECONDS if window_seconds <= SHORT_WINDOW_SECONDS else LATE_RETRY_SECONDS
        began, ended = self._monotonic(), 0
        try:
            while ended < len(streams):
                passed = self._monotonic() - began
                share = 1.0 if window_seconds <= 0 else min(1.0, passed / window_seconds)
                for stream in streams[ended : int(share * len(streams))]:
                    self._end(stream, self.draw_retry(*pauses))
                ended = int(share * len(streams))
                if ended < len(streams):
                    await anyio.sleep(min(DRAIN_STEP_SECONDS, window_seconds))
        finally:
            for stream in streams[ended:]:  # told not to wait: an open connection would keep the server
                stream.sink.abort()
                self.leave(stream)
        log.info("streams drained", streams=len(streams))

    def _end(self, stream: Stream, pause: bytes) -> None:
        if (cohort := stream.cohort) is not None:
            stream.sink.close(cohort.framed(pause + b"\n"))
            self.leave(stream)

    def statistics(self) -> StreamStatistics:
        """What the fan-out did so far."""
        counters = self._counters
        return StreamStatistics(
            streams=len(self),
            by_timer=self._subscribers.by_timer(),
            cohorts=sum(1 for _ in self._subscribers),
            tickers_wanted=len(self._demand.tickers),
            blocked_now=len(self._delivery),
            joined=counters.joined,
            left=counters.left,
            delivered=counters.delivered,
            frames=counters.frames,
            conflated=counters.conflated,
            blocked=counters.blocked,
            shed=dict(counters.shed),
            age_counts=tuple(counters.age_counts),
            age_sum_seconds=counters.age_sum_seconds,
        )
