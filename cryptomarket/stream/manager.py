"""The manager of the streams: takes messages from the bus, and decides when to write to which stream.

Publishing never waits for a reader: `on_message` keeps the encoded event, and one coroutine serves the streams that are
due. `delivery` writes. It knows no socket and no HTTP.
"""

import random as randoms
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial

import anyio
import anyio.lowlevel
from anyio.abc import TaskStatus

from ..market.demand import Demand
from ..market.latest import LatestValues
from ..model import Gap, GapReason, Message, Tick, Upstream
from ..refusals import Refused, ignore_refusal
from .connection_channel import ConnectionChannel
from .delivery import Delivery
from .draining import RETRY_SECONDS, end_evenly
from .encoding import CONNECTION, connection_event, gap_data, retry
from .event_log import KEPT_TICKS, MOST_BYTES, EventLog
from .server_stop import ServerStop
from .sinks import Sink
from .statistics import Counters, StreamStatistics
from .subscribers import Cohort, Stream, Subscribers, Subscription

__all__ = ["ServerSSEManager"]

#: Writes before the event loop may run something else: about 10 ms.
SLICE = 2_000
#: Writes that take as long as a cohort does beside them: thousands may have one stream each, or nothing to write.
COHORT_WRITES = 2
#: How often upstream, heartbeats, blocked streams and the demand are checked.
CHECK_SECONDS = 0.25


class ServerSSEManager:
    """The streams of the given channels: tickers, and ``connection``, which every stream has.

    ``latest`` is shared with the bus, which writes it before it calls the manager, and ``demand`` counts what streams
    want; without them the manager has its own. The event log has at most ``event_log_bytes``. ``refused`` is told of
    tickers that streams want and that are not followed. When the server stops, `run` ends the streams over
    ``drain_seconds``; with None the caller awaits `drain`, before the server waits for open responses.
    """

    def __init__(
        self,
        *channels: str,
        latest: LatestValues | None = None,
        demand: Demand | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        random: Callable[[], float] = randoms.random,
        kept_ticks: int = KEPT_TICKS,
        event_log_bytes: int = MOST_BYTES,
        refused: Refused = ignore_refusal,
        heartbeat_seconds: float = 15.0,  # proxies close a silent connection after 30 to 60 s
        blocked_seconds: float = 60.0,
        drain_seconds: float | None = 5.0,
    ) -> None:
        self.tickers = frozenset(channel for channel in channels if channel != CONNECTION)
        self.draining = False
        self._session_subscribers: list[Callable[[str], None]] = []
        self._monotonic, self._random = monotonic, random
        self._heartbeat_seconds, self._blocked_seconds = heartbeat_seconds, blocked_seconds
        self._drain_seconds = drain_seconds
        self._demand = demand or Demand(self.tickers)
        self._own_latest = latest is None
        self._latest = latest or LatestValues(sorted(self.tickers), monotonic=monotonic, wall=wall)
        if self._own_latest:
            self._demand.subscribe(self._latest.follow)
        self._demand.subscribe(self._follow)
        self._counters = Counters()
        self._subscribers = Subscribers()
        self._event_log = EventLog(self.tickers, kept=kept_ticks, most_bytes=event_log_bytes)
        self._channel = ConnectionChannel(self._latest, changed=self._wake, monotonic=monotonic, wall=wall)
        self._delivery = Delivery(self._event_log, self._channel, self._counters, monotonic=monotonic)
        self._report = refused
        #: The followed tickers that are not delivered; and those to tell the streams that want them.
        self._refused: dict[str, Gap] = {}
        self._new_refusals: dict[str, Gap] = {}
        self._new_gaps: list[bytes] = []
        self._served_version = 0
        self._served_position = 0
        self._next_check = monotonic()
        self._wake_up = anyio.Event()

    def __repr__(self) -> str:
        return f"<ServerSSEManager {len(self)} streams, {len(self.tickers)} tickers>"

    def __len__(self) -> int:
        """How many streams are open."""
        return len(self._subscribers)

    def streams_of(self, group: str) -> int:
        """How many streams a group of addresses has."""
        return self._subscribers.of_group(group)

    # Messages of the bus

    def on_message(self, message: Message) -> None:
        """Keep a message of the bus for the next turn; nothing is written here."""
        if self._own_latest:
            self._latest.on_message(message)
        self._channel.fresh = False
        match message:
            case Tick():
                self._refused.pop(message.ticker, None)
                if self._event_log.epoch and not message.follows(self._event_log.epoch, self._event_log.sequence):
                    self._note_gap(message)
                if self._event_log.append(message, self._monotonic()) and self._subscribers.has_immediate:
                    self._wake_up.set()
            case Upstream():
                self._wake_up.set()
            case Gap():
                if self._event_log.follows(message.ticker):
                    self._refused[message.ticker] = message
                    self._new_refusals[message.ticker] = message
                    self._wake_up.set()

    def _note_gap(self, tick: Tick) -> None:
        """Ticks before this one did not reach the node: the streams that receive every tick get a gap event."""
        reason = GapReason.UNKNOWN if tick.epoch == self._event_log.epoch else GapReason.EPOCH
        last_id = self._event_log.id(self._event_log.position)
        self._new_gaps.append(connection_event(gap_data(reason, since=last_id)))
        self._wake_up.set()

    def _follow(self, added: frozenset[str], released: frozenset[str]) -> None:
        self._event_log.follow(added, released)
        for ticker in added:
            self._new_refusals.pop(ticker, None)  # it was not told yet, and is not true any more
        for ticker in released:
            self._refused.pop(ticker, None)
            # Streams that still want it received it at the charge of an address that left.
            self._new_refusals[ticker] = Gap(ticker, GapReason.FULL)
        if released:
            self._wake()

    def _wake(self) -> None:
        self._wake_up.set()

    # Joining and leaving

    def join(self, sink: Sink, subscription: Subscription, last_event_id: str | None = None) -> Stream:
        """Register the sink and write the first frame to it, in one step without a gap between the two.

        The frame has a gap event for each ticker that is unknown or not followed.
        """
        full = self._demand.join(subscription.tickers, subscription.groups)
        now = self._monotonic()
        self._channel.refresh()
        if subscription.fields and subscription.tenths == 0:
            self._event_log.keep_fields(subscription.tickers)
        stream, cohort, is_new = self._subscribers.join(sink, subscription, now)
        if is_new:
            cohort.position, cohort.version, cohort.last_sent = self._event_log.position, self._channel.version, now
        self._counters.joined += 1
        gaps = [Gap(ticker) for ticker in subscription.unknown] + [Gap(ticker, GapReason.FULL) for ticker in full]
        self._welcome(stream, cohort, last_event_id, gaps, replays=subscription.replays)
        for reason in set(full.values()):
            tickers = [ticker for ticker, why in full.items() if why == reason][:3]
            address = next(iter(subscription.groups), None)
            self._report(reason, address=address, route="/sse/", status=200, tickers=tickers)
        if stream.session is not None:
            for opened in self._session_subscribers:
                opened(stream.session)
        return stream

    def missed(self, subscription: Subscription, last_event_id: str) -> int:
        """How many events a stream that joins with the id would first receive."""
        if subscription.tenths:
            return 0
        tickers, fields = subscription.tickers, bool(subscription.fields)
        since = self._event_log.resume(tickers, last_event_id, fields=fields)
        return self._event_log.count(tickers, since) if isinstance(since, int) else 0

    def _welcome(
        self, stream: Stream, cohort: Cohort, last_event_id: str | None, gaps: list[Gap], *, replays: bool
    ) -> None:
        head, since = self.draw_retry(), None
        if last_event_id:
            every_with_fields = cohort.bucket.immediate and bool(cohort.fields)
            resumed = self._event_log.resume(cohort.tickers, last_event_id, fields=every_with_fields)
            if not replays:
                resumed = GapReason.TOO_OLD
            if isinstance(resumed, GapReason):
                head += connection_event(gap_data(resumed, since=last_event_id[:128]))
            else:
                since = resumed
        if self._refused:
            gaps += [gap for ticker, gap in self._refused.items() if ticker in cohort.tickers]
        tail = b"".join((*map(self._channel.refusal, gaps), self._channel.state(cohort.tickers)))
        self._delivery.welcome(stream, cohort, head, tail, since)

    def leave(self, stream: Stream) -> None:
        """Remove a stream whose reader is gone; nothing is written to it any more. May be called twice."""
        cohort = stream.cohort
        if cohort is not None:
            self._subscribers.leave(stream, cohort)
            self._delivery.discard(stream)
            self._demand.leave(cohort.tickers, stream.groups, self._monotonic())
            self._counters.left += 1

    def count_shed(self, reason: str) -> None:
        """Count a stream that was turned away."""
        self._counters.add_shed(reason)

    def draw_retry(self, low_seconds: float = RETRY_SECONDS[0], high_seconds: float = RETRY_SECONDS[1]) -> bytes:
        """The pause before reconnecting, drawn for one stream, because browsers add no jitter."""
        return retry(round(1000 * (low_seconds + (high_seconds - low_seconds) * self._random())))

    # Browser sessions

    def send(self, session: str, data: str) -> int:
        """Write an event of the connection channel to the streams of one browser session; returns their number."""
        streams = self._subscribers.of_session(session)
        event = connection_event(data)
        for stream in streams:
            self._delivery.send(stream, event)
        return len(streams)

    def subscribe_sessions(self, opened: Callable[[str], None]) -> None:
        """Call ``opened`` with the browser session of each stream that joins from now on."""
        self._session_subscribers.append(opened)

    def sessions(self) -> list[str]:
        """Every browser session with an open stream."""
        return self._subscribers.sessions()

    def has_session(self, session: str) -> bool:
        """Whether the browser session has an open stream."""
        return self._subscribers.has_session(session)

    # Serving

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Serve the streams until cancelled. Start it in the lifespan of the server, whose stop it notices."""
        async with anyio.create_task_group() as tasks:
            if self._drain_seconds is not None:
                await tasks.start(ServerStop(partial(self.drain, self._drain_seconds)).run)
            task_status.started()
            await self._serve()

    async def _serve(self) -> None:
        while True:
            for _ in self.turn():
                await anyio.lowlevel.checkpoint()
            due = self._subscribers.schedule.next_due
            wake_at = self._next_check if due is None else min(self._next_check, due)
            with anyio.move_on_after(max(0.0, wake_at - self._monotonic())):
                await self._wake_up.wait()

    def turn(self) -> Iterator[None]:
        """Do everything that is due now; yields after every `SLICE` writes, so that other tasks can run."""
        self._wake_up = anyio.Event()
        self._channel.refresh()
        writes = 0
        for serve in (self._serve_gaps, self._serve_state, self._serve_prices, self._serve_checks):
            for written in serve():
                writes += written + COHORT_WRITES
                if writes >= SLICE:
                    writes = 0
                    yield

    def _serve_gaps(self) -> Iterator[int]:
        refusals, self._new_refusals = self._new_refusals, {}
        if refusals:
            for cohort in list(self._subscribers):
                if found := cohort.tickers.intersection(refusals):
                    events = (self._channel.refusal(refusals[ticker]) for ticker in sorted(found))
                    yield self._delivery.broadcast(cohort, b"".join(events), keep=True)
        gaps, self._new_gaps = self._new_gaps, []
        for event in gaps:
            for cohort in self._subscribers.immediate():
                yield self._delivery.broadcast(cohort, event, keep=True)

    def _serve_state(self) -> Iterator[int]:
        version = self._channel.version
        if self._served_version != version:
            self._served_version = version
            for cohort in list(self._subscribers):
                if cohort.version != self._channel.version:
                    cohort.version = self._channel.version
                    yield self._delivery.broadcast(cohort, self._channel.state(cohort.tickers))

    def _serve_prices(self) -> Iterator[int]:
        yield from self._serve_immediate()
        due = self._subscribers.schedule.due(self._monotonic())
        for cohort in self._subscribers.cohorts(due):
            if self._event_log.position > self._served_position:  # a tick arrived meanwhile; timer 0 does not wait
                yield from self._serve_immediate()
            yield self._delivery.deliver(cohort)

    def _serve_immediate(self) -> Iterator[int]:
        self._served_position = self._event_log.position
        yield from map(self._delivery.deliver, self._subscribers.immediate())

    def _serve_checks(self) -> Iterator[int]:
        now = self._monotonic()
        if now < self._next_check:
            return
        self._next_check = now + CHECK_SECONDS
        for stream in self._delivery.blocked_since(now - self._blocked_seconds):
            self._abort(stream)
            self._counters.add_shed("blocked")
        for cohort in list(self._subscribers):
            if now - cohort.last_sent >= self._heartbeat_seconds:
                yield self._delivery.broadcast(cohort, self._channel.heartbeat(cohort.tickers))
        self._demand.release(now)

    # The end

    async def drain(self, window_seconds: float) -> None:
        """End every stream, evenly over the window, each with its own pause before reconnecting; accept no new ones."""
        self.draining = True
        streams = [stream for cohort in self._subscribers for stream in cohort.members()]
        streams += self._delivery.blocked_since(self._monotonic())
        # Neighbours in a cohort joined together and would return together.
        streams.sort(key=lambda _: self._random())
        await end_evenly(streams, window_seconds, end=self._end, abort=self._abort, monotonic=self._monotonic)

    def _end(self, stream: Stream, pause: tuple[float, float]) -> None:
        if (cohort := stream.cohort) is not None:
            stream.sink.close(cohort.framed(self.draw_retry(*pause) + b"\n"))
            self.leave(stream)

    def _abort(self, stream: Stream) -> None:
        stream.sink.abort()
        self.leave(stream)

    def statistics(self) -> StreamStatistics:
        """The streams at this moment."""
        return StreamStatistics(
            streams=len(self),
            by_timer=self._subscribers.by_timer(),
            cohorts=sum(1 for _ in self._subscribers),
            tickers_wanted=len(self._demand.tickers),
            blocked_now=len(self._delivery),
            event_log_bytes=self._event_log.bytes,
            event_log_limit_bytes=self._event_log.most_bytes,
            **asdict(self._counters),
        )
