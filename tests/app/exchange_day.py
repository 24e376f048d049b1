"""A day of the exchange in minutes: streams follow options that expire at 08:00 UTC, and then others listed that day.

The simulator has about 5,000 instruments and the happenings of a real day: expiries and listings, a settlement, the
lock of an index, a maintenance. Client, catalogue, latest values and streams are the program's own. Their clock and
their timeouts are simulated, in leaps; sockets are real.

`python -m tests.app.exchange_day --hours 26 --streams 200` prints what happened, and exits with 1 when it should not.
"""

import argparse
import json
import resource
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import anyio

from cryptomarket.cluster.single import SingleNode
from cryptomarket.deribit.client import DeribitClient
from cryptomarket.deribit.http_client import HttpClient
from cryptomarket.deribit.rate_limit import AttemptLimiter
from cryptomarket.logs import configure_logs
from cryptomarket.market.catalogue import Catalogue
from cryptomarket.market.demand import Demand
from cryptomarket.market.latest import LatestValues
from cryptomarket.model import Instrument, UpstreamState
from cryptomarket.simulator.credits import BUDGETS
from cryptomarket.simulator.exchange import Exchange, running_exchange
from cryptomarket.statements.limits import CreditLimit
from cryptomarket.stream.manager import ServerSSEManager
from cryptomarket.stream.subscribers import Stream, Subscription
from tests.deribit.following import QUICK, door_at
from tests.stream.reader import Reader

__all__ = ["ExchangeDay", "Report"]

#: A midnight UTC, in seconds.
MIDNIGHT, HOUR = 1_795_132_800.0, 3600.0
CONFIGURED = ("btc_usd", "eth_usd", "sol_usdc", "BTC-PERPETUAL", "SOL_USDC-PERPETUAL")
#: A simulated day has as many requests as a real one, within minutes.
RICH = {name: CreditLimit(1, 10_000, 10_000) for name in BUDGETS}
#: Announced reasons for which the state may be `stale`, and `down` with its successor while the exchange is away.
EXPLAINED = ("the exchange is in maintenance", "locked by the exchange: sol_usdc", "resting at the exchange")
PRICES_MEASURED, ROUNDS = 1_000, 7
#: Full within the first hours, so that what grows afterwards is something else.
EVENT_LOG_BYTES = 4 * 2**20


class Clock:
    """A clock that stands still until it is moved; sleepers wake when their time has come."""

    def __init__(self, now: float) -> None:
        self.now = now
        self._moved = anyio.Event()

    def __call__(self) -> float:
        return self.now

    def move(self, seconds: float) -> None:
        """So much time passes."""
        self.now += seconds
        self._moved.set()
        self._moved = anyio.Event()

    async def sleep(self, seconds: float) -> None:
        """Sleep by this clock."""
        until = self.now + seconds
        while self.now < until:
            await self._moved.wait()


@dataclass
class Follower:
    """A stream that follows one option.

    ``gaps`` are the tickers that its reader was told not to expect any more, ``prices`` those it had a price of.
    """

    instrument: Instrument
    reader: Reader
    stream: Stream
    gaps: list[str] = field(default_factory=list)
    prices: set[str] = field(default_factory=set)

    def read(self) -> None:
        """Take what the reader received; a day of it would fill the memory."""
        self.gaps += [event["ticker"] for event in self.reader.channel_events("gap")]
        self.prices |= {event.event for event in self.reader.events}
        self.reader.clear()

    def verdict(self, now: float) -> str:
        """What is wrong with what the reader was told, or nothing."""
        expired = (self.instrument.expiry or now) < now - 60
        right = [self.instrument.name] if expired else []
        return "" if self.gaps == right else f"{self.instrument.name}: told {self.gaps}, expected {right}"


@dataclass
class Report:
    """What happened; ``wrong`` is empty if all was as it should be."""

    wrong: list[str] = field(default_factory=list)
    leaps: int = 0
    states: Counter[str] = field(default_factory=Counter)
    expiries: int = 0
    listed_followed: int = 0
    connections: int = 0
    listed: int = 0
    #: At the start, in the middle and at the end: what is kept, by name; microseconds of one price; megabytes of all.
    kept: list[dict[str, int]] = field(default_factory=list)
    price: list[float] = field(default_factory=list)
    megabytes: list[float] = field(default_factory=list)


class ExchangeDay:
    """The parts, and the day; ``step`` is the length of a leap in seconds."""

    def __init__(self, *, start: float, streams: int, step: float) -> None:
        self.clock = clock = Clock(MIDNIGHT + start * HOUR)
        self.step, self.streams = step, streams
        self.report = Report()
        self.bus = SingleNode(epoch=1)
        self.demand = Demand(CONFIGURED, max_tickers=10_000, max_tickers_per_address=10_000)
        self.latest = LatestValues(
            CONFIGURED, monotonic=clock, wall=clock, listed=lambda name: self.catalogue.known(name)
        )
        self.manager = ServerSSEManager(
            *CONFIGURED,
            "connection",
            latest=self.latest,
            demand=self.demand,
            event_log_bytes=EVENT_LOG_BYTES,
            monotonic=clock,
            wall=clock,
        )
        self.demand.subscribe(self.latest.follow)
        self.demand.subscribe(lambda _added, _released: self.client.want(self.demand.tickers))
        self.followers: list[Follower] = []
        self._away_until = 0.0
        self._before: set[str] = set()
        #: Streams of options that were listed within the last minute.
        self.newest: list[Follower] = []

    @asynccontextmanager
    async def _running(self) -> AsyncIterator[Exchange]:
        clock, step = self.clock, self.step
        patient = replace(
            QUICK,
            silence=4 * step,
            probe=20 * step,
            answer=60 * step,
            greeting=60 * step,
            rhythm=5 * step,
            first=5 * step,
            starvation=30 * step,
            refused=0.02,
        )
        async with (
            running_exchange(wall=clock, day=True, budgets=RICH) as exchange,
            HttpClient(exchange.http_url) as http_client,
            anyio.create_task_group() as tasks,
        ):
            self.catalogue = Catalogue(http_client.tickers, configured=CONFIGURED, wall=clock, sleep=clock.sleep)
            self.client = DeribitClient(
                door_at(exchange.ws_url),
                tickers=CONFIGURED,
                publish=self.bus.publish,
                price_index=self.catalogue.price_index,
                timeouts=patient,
                attempts=AttemptLimiter(window_seconds=0.0),
                monotonic=clock,
                wall=clock,
            )
            for receiver in (self.catalogue.on_message, self.latest.on_message, self.manager.on_message):
                self.bus.subscribe(receiver)
            tasks.start_soon(self.catalogue.run)
            await tasks.start(self.client.run)
            with anyio.fail_after(60):
                while not self.catalogue.fetched or self.client.session.proved is False:
                    await anyio.sleep(0.01)
            yield exchange
            tasks.cancel_scope.cancel()

    async def run(self, hours: float) -> Report:
        """Let the hours pass; returns what happened."""
        async with self._running() as exchange:
            end = self.clock.now + hours * HOUR
            looks = {60, round(hours * HOUR / self.step / 2)}
            self._follow_soonest()
            while self.clock.now < end:
                await self._leap(exchange)
                self._look(exchange)
                if self.report.leaps in looks:
                    self._measure()
            self._measure()
            self.report.wrong += [text for one in self.followers if (text := one.verdict(self.clock.now))]
            self.report.connections = exchange.connections
            self._compare(exchange)
        return self.report

    def _follow_soonest(self) -> None:
        """As many streams as wished follow the options that expire next."""
        soonest = sorted(self._options(), key=lambda one: (one.expiry or 0, one.name))
        self.followers += map(self._join, soonest[: self.streams - len(self.followers)])

    def _options(self) -> list[Instrument]:
        return [one for one in self.catalogue.instruments() if one.kind == "option" and one.expiry]

    def _join(self, instrument: Instrument) -> Follower:
        reader = Reader()
        subscription = Subscription(0, frozenset({"btc_usd", instrument.name}))
        return Follower(instrument, reader, self.manager.join(reader, subscription))

    def _follow_listed(self) -> None:
        """A stream follows an option that was listed at 08:00, within the minute after."""
        options, since = self._options(), self.clock.now % 86_400 - 8 * HOUR
        if 0 <= since <= 60:
            listed = [one for one in options if one.name not in self._before]
            self.newest = self.newest or [self._join(one) for one in listed[:1]]
            return
        if self.newest:
            self.report.wrong += [
                f"{one.instrument.name} was listed and has no price"
                for one in self.newest
                if one.instrument.name not in one.prices
            ]
            for one in self.newest:
                self.report.listed_followed += 1
                self.manager.leave(one.stream)
            self.newest = []
        elif 60 < since <= 60 + self.step:
            self.report.wrong.append(f"nothing that was listed was known within the minute, at {self._time()}")
        self._before = {one.name for one in options}

    async def _leap(self, exchange: Exchange) -> None:
        self.report.leaps += 1
        self.clock.move(self.step)
        exchange.step()
        # The answer is behind all that the exchange sent. While it is away nothing answers.
        with anyio.move_on_after(0.2 if exchange.state.platform.maintenance else 30):
            await self.client.call("public/get_time")
        await anyio.sleep(0.025)  # the client's timers
        self.demand.release(self.clock.now)
        for _ in self.manager.turn():
            pass
        for one in (*self.followers, *self.newest):
            one.read()

    def _look(self, exchange: Exchange) -> None:
        """Note the state, judge it, and replace the streams whose option has expired for half an hour."""
        upstream, now = self.latest.upstream(), self.clock.now
        self.report.states[f"{upstream.state}: {self._reason()}" if upstream.state != "live" else "live"] += 1
        if exchange.state.platform.maintenance:
            self._away_until = now + 3 * self.step
        away = now <= self._away_until and upstream.state in (UpstreamState.DOWN, UpstreamState.CONNECTING)
        explained = upstream.state is UpstreamState.STALE and upstream.reason.startswith(EXPLAINED)
        if upstream.state is not UpstreamState.LIVE and not away and not explained:
            self.report.wrong.append(f"{upstream.state} at {self._time()}: {upstream.reason}")
        ended = [one for one in self.followers if one.instrument.expiry and one.instrument.expiry < now - HOUR / 2]
        for one in ended:
            self.report.expiries += 1
            self.report.wrong += [text] if (text := one.verdict(now)) else []
            self.manager.leave(one.stream)
            self.followers.remove(one)
        if ended:
            self._follow_soonest()
        self._follow_listed()

    def _reason(self) -> str:
        return self.latest.upstream().reason.partition(":")[0].partition(" (")[0][:60]

    def _time(self) -> str:
        return time.strftime("%d %H:%M:%S", time.gmtime(self.clock.now))

    def _compare(self, exchange: Exchange) -> None:
        """The catalogue holds what the exchange lists, and no more."""
        listed = exchange.state.market.instruments(exchange.state.now_ms()).keys()
        known = {one.name for one in self.catalogue.instruments()}
        self.report.listed = len(listed)
        if different := sorted(known ^ listed):
            self.report.wrong.append(f"the catalogue differs in {len(different)}: {different[:5]}")

    def _measure(self) -> None:
        session, subscriptions = self.client.session, self.client.subscriptions
        self.report.kept.append(
            {
                "resting": len(session.exchange_status._resting),
                "refused": len(subscriptions._refused),
                "ended": len(subscriptions._ended),
                "channels": len(subscriptions._phases),
                "watched": len(session._channels._watchdog._watches),
                "latest": len(self.latest._entries),
                "wanted": len(self.demand.tickers),
            }
        )
        data = {"timestamp": int(self.clock.now * 1000), "price": 83251.03, "index_name": "btc_usd"}
        params = {"channel": "deribit_price_index.btc_usd", "data": data}
        frame = json.dumps({"jsonrpc": "2.0", "method": "subscription", "params": params})
        rounds = []
        for _ in range(ROUNDS):
            begun = time.thread_time()  # CPU: other work on the machine does not count
            for _ in range(PRICES_MEASURED):
                session.receive(frame)
                session.resting_reason()
            rounds.append(time.thread_time() - begun)
        self.report.price.append(min(rounds) / PRICES_MEASURED * 1e6)
        self.report.megabytes.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def main() -> int:
    """Print the report; returns 1 when something was wrong."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--hours", type=float, default=26.0)
    parser.add_argument("--start", type=float, default=7.0, help="the hour of the day, UTC")
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--step", type=float, default=20.0, help="seconds of a leap")
    options = parser.parse_args()
    configure_logs("ERROR")
    begun = time.perf_counter()
    day = ExchangeDay(start=options.start, streams=options.streams, step=options.step)
    report = anyio.run(day.run, options.hours)
    print(f"{options.hours:g} simulated hours in {time.perf_counter() - begun:.0f} s, {report.leaps} leaps")
    print(
        f"{report.listed} instruments listed at the end, {report.expiries} expiries followed, "
        f"{report.listed_followed} listings"
    )
    print(f"{report.connections} connections; states: {dict(report.states)}")
    for name in report.kept[0]:
        print(f"kept, {name}: {', '.join(str(kept[name]) for kept in report.kept)}")
    print(f"one price: {', '.join(f'{one:.1f} µs' for one in report.price)}")
    print(f"most memory, with the exchange: {', '.join(f'{one:.0f} MB' for one in report.megabytes)}")
    for text in report.wrong[:50]:
        print(f"WRONG {text}")
    return 1 if report.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
