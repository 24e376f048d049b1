"""`DeribitClient`: keeps one connection to the exchange open for as long as it runs, and what outlives connections.

What outlives them: demand, the application's login, the budget of requests, unanswered calls, the upstream state.
"""

import random as random_module
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import anyio
import msgspec
from anyio.abc import TaskStatus

from ..backoff import delays
from ..model import Gap, InstrumentChanged, Message, Tick
from .application_login import ApplicationLogin, LoginStatistics
from .auth import Credentials, GrantType
from .calls import Calls
from .connection import Connection
from .connection_failures import EXPECTED, EarlyCloses, Failure, MinimumPause, classify
from .doors import Door
from .effects import Effect, ProtocolWarning
from .exchange_status import ExchangeStatus
from .rate_limit import AttemptLimiter, Priority, RateLimiter
from .session import ExchangeSession
from .subscriptions import Subscriptions
from .timeouts import Timeouts
from .transport import opener
from .upstream_clock import UpstreamClock
from .upstream_status import UpstreamReporter

__all__ = ["DeribitClient", "DeribitClientStatistics"]


@dataclass(frozen=True, slots=True)
class DeribitClientStatistics:
    """The state of the connection to the exchange."""

    state: str
    reason: str
    connections: int
    wanted: int  # tickers
    confirmed: int  # channels
    refused: list[str]  # wanted tickers that the exchange does not send
    login: LoginStatistics
    degraded: bool  # prices arrive, but the key cannot be used
    waiting_calls: int
    all_changes: bool  # of instruments arrive; else ten a second at most
    clock_behind_seconds: float  # of this machine, against the exchange's


class DeribitClient:
    """The one connection to the exchange, replaced whenever it ends.

    ``door`` says where prices come from; where its host takes no login, ``credentials`` are reported and not used.
    ``publish`` receives ticks, states of upstream, instruments that were listed or ended, and a `Gap` for each ticker
    that the exchange does not send. ``price_index`` returns the index of an instrument: its lock counts for both.
    ``raw`` subscribes every change of an instrument instead of ten a second, while the application is logged in.
    ``hint`` is added to the log line of a lost upstream.
    """

    def __init__(
        self,
        door: Door,
        *,
        tickers: Iterable[str],
        publish: Callable[[Message], None],
        credentials: Credentials | None = None,
        exchange_session: str = "cryptomarket",
        grant_type: GrantType = GrantType.SIGNATURE,
        proxy: str | None = None,
        ca_file: str | None = None,
        raw: bool = False,
        hint: str = "",
        price_index: Callable[[str], str | None] = lambda _: None,
        timeouts: Timeouts | None = None,
        budget: RateLimiter | None = None,
        attempts: AttemptLimiter | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        random: Callable[[], float] = random_module.random,
    ) -> None:
        self.timeouts = timeouts or Timeouts()
        self.budget = budget or RateLimiter(instrument_lists_at_once=door.instrument_lists_at_once)
        self.attempts = AttemptLimiter() if attempts is None else attempts  # an unused one is empty, hence false
        self.clock = UpstreamClock(wall=wall, monotonic=monotonic)
        usable = credentials if door.authenticates else None
        self.login = ApplicationLogin(
            usable,
            exchange_time=self.clock.now,
            exchange_session=exchange_session,
            random=random,
            grant_type=grant_type,
        )
        self.subscriptions = Subscriptions(tickers, raw=raw)
        self._status = UpstreamReporter(publish, wall=wall, hint=hint)
        if credentials and not usable:
            self.login.problem = (
                f"the host of prices at the door {door.name} takes no key: unset CRYPTOMARKET_DERIBIT_CLIENT_ID, "
                "or choose another CRYPTOMARKET_EXCHANGE"
            )
            self._status.warn(self.login.problem)
        self._door = door
        self._open = opener(door.prices_url, proxy=proxy, ca_file=ca_file, connect_seconds=self.timeouts.connect)
        self._publish = publish
        self._price_index = price_index
        self._monotonic = monotonic
        self._random = random
        self._calls = Calls(monotonic=monotonic, wake=self._wake)
        self._connection: Connection | None = None
        self._connections = 0
        self._early_closes = EarlyCloses()
        self._announced = ExchangeStatus()  # by the last connection that had prices or a reason for none
        self.session = self._new_session()

    def __repr__(self) -> str:
        return f"<DeribitClient {self._status.state}, {self.subscriptions!r}>"

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Connect, and connect again, until cancelled; failures of the network and the exchange never escape."""
        self._status.connecting()
        task_status.started()
        pauses = self._pauses()
        while True:
            await anyio.sleep(self.attempts.wait(self._monotonic()))
            self.attempts.record(self._monotonic())
            failure = await self._connect_once()
            session = self.session
            self._status.ended(failure, session.proved, session.resting_reason())
            if session.resting_reason() or session.prices_received:
                self._announced = session.exchange_status
            if session.prices_received:  # an exchange may accept connections and drop them
                pauses = self._pauses()
            await anyio.sleep(self._minimum_pause(failure) + next(pauses))

    def _pauses(self) -> Iterator[float]:
        timeouts = self.timeouts
        return delays(first_seconds=timeouts.first_pause, cap_seconds=timeouts.longest_pause, random=self._random)

    def _minimum_pause(self, failure: Failure) -> float:
        pauses = {
            MinimumPause.NONE: 0.0,
            MinimumPause.REFUSED: self.timeouts.refused,
            MinimumPause.STOPPED: self.timeouts.stopped,
        }
        return max(pauses[failure.pause], failure.retry_after_seconds)

    async def _connect_once(self) -> Failure:
        """One connection from opening to its end; returns why it ended. Any unexpected error is a bug and escapes."""
        self.session = self._new_session()
        opened = self._monotonic()
        try:
            async with self._open() as socket:
                self.clock.connection_opened()
                self._connections += 1
                opened = self._monotonic()
                self._connection = Connection(
                    socket, self.session, self._calls, deliver=self._deliver, monotonic=self._monotonic
                )
                await self._connection.run()
        except EXPECTED as exc:
            return self._judge(classify(exc), self._monotonic() - opened)
        finally:
            self._connection = None
        raise AssertionError("a connection ends with an error")  # pragma: no cover

    def _judge(self, failure: Failure, lived_seconds: float) -> Failure:
        """What a failure means at this door, where too many requests may be told by nothing but its end."""
        if self._door.announces_limits:
            return failure
        judged = self._early_closes.judge(failure, lived_seconds)
        if judged is not failure:
            self.budget.slow_down(self._monotonic())
        return judged

    def _new_session(self) -> ExchangeSession:
        return ExchangeSession(
            self._door,
            self.subscriptions,
            self.login,
            self.budget,
            timeouts=self.timeouts,
            clock=self.clock,
            price_index=self._price_index,
            monotonic=self._monotonic,
        )

    def _deliver(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Tick() | Gap():
                    # The last ticks of a ticker that is being unsubscribed would bring it back to its readers.
                    if effect.ticker in self.subscriptions.tickers():
                        self._publish(effect)
                case ProtocolWarning():
                    self._status.warn(effect.message)
                case InstrumentChanged():
                    self._publish(effect)
                case _:
                    pass
        if self.session.alive:
            self._status.connected(self.session.proved, self.session.resting_reason())

    def _wake(self) -> None:
        if self._connection is not None:
            self._connection.wake()

    def want(self, tickers: Iterable[str]) -> None:
        """Subscribe these tickers beside the configured ones, and no others."""
        for ticker in self.subscriptions.want(tickers):
            self._publish(Gap(ticker))
        self.session.update_subscriptions()
        self._wake()

    def listed(self, tickers: Iterable[str]) -> None:
        """Subscribe these tickers now, if the exchange refused them before: it lists them now."""
        for ticker in tickers:
            self.subscriptions.listed(ticker)
        self.session.update_subscriptions()
        self._wake()

    async def call(
        self, method: str, params: dict[str, Any] | None = None, *, priority: Priority = Priority.BACKFILL
    ) -> msgspec.Raw:
        """The raw result of a call, which waits for its turn without a limit: set a timeout around it.

        Raises ExchangeRefused and ExchangeUnreachable. Raises UnsafeCall, a bug of the caller, for a private call
        without an ``access_token``.
        """
        return await self._calls.call(method, params or {}, priority)

    def wanted(self) -> frozenset[str]:
        """The configured tickers and those that streams want."""
        return self.subscriptions.tickers()

    def rests(self, ticker: str) -> bool:
        """Whether the exchange refuses the ticker, or announced that it has no price now.

        An announcement outlives its connection until prices arrive on another one.
        """
        known = [self.session.exchange_status, *(() if self.session.prices_received else (self._announced,))]
        return ticker in self.subscriptions.refused() or any(status.rests(ticker) for status in known)

    @property
    def authenticated(self) -> bool:
        """Whether the application is logged in on the present connection."""
        return self.login.authenticated

    def statistics(self) -> DeribitClientStatistics:
        """The state for health checks and metrics."""
        return DeribitClientStatistics(
            state=str(self._status.state or "connecting"),
            reason=self._status.reason,
            connections=self._connections,
            wanted=len(self.subscriptions.tickers()),
            confirmed=len(self.subscriptions.confirmed()),
            refused=self.subscriptions.refused(),
            login=self.login.statistics(),
            degraded=self.login.degraded,
            waiting_calls=len(self._calls),
            all_changes=self.subscriptions.all_changes,
            clock_behind_seconds=round(self.clock.behind_seconds, 3),
        )
