"""A manager under a simulated clock, and readers that can stall."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from cryptomarket.addresses import address_groups
from cryptomarket.cluster.single import SingleNode
from cryptomarket.conformance.eventsource import EventSourceParser, MessageEvent
from cryptomarket.fields import parse_fields
from cryptomarket.market.demand import Demand
from cryptomarket.market.latest import LatestValues
from cryptomarket.model import Tick, Upstream, UpstreamState
from cryptomarket.stream.manager import ServerSSEManager
from cryptomarket.stream.subscribers import Stream, Subscription

__all__ = ["Harness", "Reader", "tick"]

EVERYTHING = frozenset({"btc_usd", "eth_usd"})


def tick(ticker: str = "btc_usd", price: int = 1) -> Tick:
    """A tick that its price identifies."""
    return Tick(ticker, Decimal(price), 1_763_668_800_000 + price)


class Reader:
    """A sink whose reader parses each write at once, or refuses it while stalled."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.events: list[MessageEvent] = []
        self.parser = EventSourceParser()
        self.stalled = False
        self.closed = False
        self.aborted = False
        self.resume: Callable[[], None] | None = None

    @staticmethod
    def framed(data: bytes) -> bytes:
        """The data unchanged."""
        return data

    def write(self, frame: bytes) -> bool:
        """Parse the frame, or refuse it while stalled."""
        assert not self.closed, "written to after the end"
        if self.stalled:
            return False
        self._read(frame)
        return True

    def _read(self, frame: bytes) -> None:
        self.writes.append(frame)
        self.events += self.parser.receive(frame)

    def when_drained(self, resume: Callable[[], None]) -> None:
        """Keep the callback."""
        assert self.resume is None, "asked twice"
        self.resume = resume

    def wake(self) -> None:
        """Read again, and report it."""
        self.stalled = False
        if (resume := self.resume) is not None:
            self.resume = None
            resume()

    def close(self, farewell: bytes) -> None:
        """End with a last frame."""
        self._read(farewell)
        self.closed = True

    def abort(self) -> None:
        """End without a last frame."""
        self.closed = self.aborted = True

    def prices(self, ticker: str | None = None) -> list[int]:
        """The prices received, in order."""
        return [int(e.json["price"]) for e in self.events if e.event != "connection" and ticker in (None, e.event)]

    def channel_events(self, kind: str | None = None) -> list[dict[str, Any]]:
        """The events of the connection channel received, in order."""
        return [e.json for e in self.events if e.event == "connection" and kind in (None, e.json["kind"])]

    def clear(self) -> None:
        """Forget what was received so far."""
        self.events.clear()
        self.writes.clear()


class Harness:
    """A bus, latest values, a demand, a manager, and a clock that `advance` moves."""

    def __init__(
        self, *channels: str, epoch: int = 7, max_tickers: int = 200, per_address: int = 20, **options: Any
    ) -> None:
        self.now = 1000.0
        self.demand = Demand(EVERYTHING, max_tickers=max_tickers, max_tickers_per_address=per_address)
        self.latest = LatestValues(EVERYTHING, monotonic=self.clock, wall=self.wall)
        self.demand.subscribe(self.latest.follow)
        self.manager = ServerSSEManager(
            *(channels or ("btc_usd", "eth_usd", "connection")),
            latest=self.latest,
            demand=self.demand,
            monotonic=self.clock,
            wall=self.wall,
            random=lambda: 0.5,
            **options,
        )
        self.bus = SingleNode(epoch=epoch)
        self.bus.subscribe(self.latest.on_message)
        self.bus.subscribe(self.manager.on_message)

    def clock(self) -> float:
        """Monotonic seconds."""
        return self.now

    def wall(self) -> float:
        """UNIX seconds."""
        return 1_763_668_000.0 + self.now

    def live(self) -> None:
        """Publish that upstream is live."""
        self.bus.publish(Upstream(UpstreamState.LIVE, int(self.wall() * 1000)))

    def publish(self, *prices: int, ticker: str = "btc_usd") -> None:
        """Publish ticks of these prices."""
        for price in prices:
            self.bus.publish(tick(ticker, price))

    def turn(self) -> None:
        """Do everything that is due now."""
        for _ in self.manager.turn():
            pass

    def advance(self, seconds: float, step: float = 0.05) -> None:
        """Let time pass, with a turn of the manager after every step."""
        begin = self.now
        for i in range(1, round(seconds / step) + 1):
            self.now = round(begin + i * step, 6)
            self.turn()

    def join(
        self,
        timer: float = 60,
        *tickers: str,
        last_event_id: str | None = None,
        reader: Reader | None = None,
        session: str | None = None,
        address: str | None = None,
        unknown: tuple[str, ...] = (),
        fields: str | None = None,
    ) -> tuple[Reader, Stream]:
        """Join a reader; returns it and its stream."""
        reader = reader or Reader()
        groups = address_groups(address) if address else ()
        wanted = frozenset(tickers) or EVERYTHING
        subscription = Subscription(round(timer * 10), wanted, session, groups, unknown, fields=parse_fields(fields))
        return reader, self.manager.join(reader, subscription, last_event_id)
