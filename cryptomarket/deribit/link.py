"""What the one connection carries and what outlives it: demand, login, budget, calls, the state that is told.

The supervisor decides when a connection is made; this file makes one and takes what comes out of it.
"""

import random as random_module
import time
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from ..model import Gap, Message, Tick
from .application_login import ApplicationLogin
from .auth import Credentials, GrantType
from .calls import Calls
from .connection import Connection
from .connection_failures import EXPECTED, Failure, MinimumPause, classify
from .effects import Effect, InstrumentChanged, ProtocolWarning
from .rate_limit import AttemptLimiter, Priority, RateLimiter
from .session import ExchangeSession
from .subscriptions import Subscriptions
from .timeouts import Timeouts
from .transport import opener
from .upstream_status import UpstreamStatus

__all__ = ["Link"]


def _ignore(change: InstrumentChanged) -> None:
    """Take no notice."""


class Link:
    """The link to the exchange, one connection at a time.

    ``publish`` takes ticks, the state of upstream and the tickers that cannot be had; ``hint`` is said when upstream
    is down; ``on_instrument`` hears of instruments that appear and end. ``raw`` asks for every change of an
    instrument instead of ten a second, as long as the application is logged in.
    """

    def __init__(
        self,
        url: str,
        *,
        tickers: Iterable[str],
        publish: Callable[[Message], None],
        credentials: Credentials | None = None,
        grant_type: GrantType = GrantType.SIGNATURE,
        proxy: str | None = None,
        ca_file: str | None = None,
        raw: bool = False,
        grace_seconds: float = 30.0,
        hint: str = "",
        on_instrument: Callable[[InstrumentChanged], None] = _ignore,
        patience: Timeouts | None = None,
        budget: RateLimiter | None = None,
        attempts: AttemptLimiter | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        random: Callable[[], float] = random_module.random,
    ) -> None:
        self.patience = patience or Timeouts()
        self.budget = budget or RateLimiter()
        self.attempts = AttemptLimiter() if attempts is None else attempts  # an unused one is empty, hence false
        self.status = UpstreamStatus(publish, wall=wall, hint=hint)
        self.login = ApplicationLogin(credentials, wall=wall, random=random, grant_type=grant_type)
        self.subscriptions = Subscriptions(tickers, raw=raw, grace_seconds=grace_seconds)
        self._open = opener(url, proxy=proxy, ca_file=ca_file, connect_seconds=self.patience.connect)
        self._publish = publish
        self._on_instrument = on_instrument
        self.monotonic = monotonic
        self.random = random
        self._calls = Calls(monotonic=monotonic, wake=self._poke)
        self._connection: Connection | None = None
        self._connections = 0
        self.session = self._new_session()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.status.state}, {self.subscriptions!r}>"

    async def one_life(self) -> Failure:
        """One connection from opening to its end; returns why it ended."""
        self.session = self._new_session()
        try:
            async with self._open() as socket:
                self._connections += 1
                self._connection = Connection(
                    socket, self.session, self._calls, deliver=self._deliver, monotonic=self.monotonic
                )
                await self._connection.run()
        except EXPECTED as exc:
            return classify(exc)
        finally:
            self._connection = None
        raise AssertionError("a connection ends with an error")  # pragma: no cover

    def pause(self, failure: Failure) -> float:
        """Seconds to leave the exchange alone after a failure, at least."""
        pauses = {
            MinimumPause.NONE: 0.0,
            MinimumPause.REFUSED: self.patience.answered,
            MinimumPause.STOPPED: self.patience.stopped,
        }
        return max(pauses[failure.pause], failure.retry_after_seconds)

    def _new_session(self) -> ExchangeSession:
        return ExchangeSession(
            self.subscriptions, self.login, self.budget, patience=self.patience, monotonic=self.monotonic
        )

    def _deliver(self, outputs: list[Effect]) -> None:
        for output in outputs:
            match output:
                case Tick() | Gap():
                    # A ticker in its grace period is forgotten by its readers, who would call its end stale.
                    if output.ticker in self.subscriptions.tickers():
                        self._publish(output)
                case ProtocolWarning():
                    self.status.trouble(output.what)
                case InstrumentChanged():
                    self._on_instrument(output)
                case _:
                    pass
        if self.session.alive:
            self.status.flowing(self.session.flowed, self.session.rest_reason())

    def _poke(self) -> None:
        if self._connection is not None:
            self._connection.poke()

    def want(self, tickers: Iterable[str]) -> None:
        """Follow these tickers beside the configured ones; replaces those wanted before."""
        for ticker in self.subscriptions.want(tickers, self.monotonic()):
            self._publish(Gap(ticker))
        self.session.ask_for_channels()
        self._poke()

    async def call(
        self, method: str, params: dict[str, Any] | None = None, *, priority: Priority = Priority.BACKFILL
    ) -> msgspec.Raw:
        """The raw result of a call over the connection, which waits for its turn; bound it with a timeout of yours.

        Raises ExchangeRefused, ExchangeUnreachable, and UnsafeCall for a private call without an ``access_token``.
        """
        return await self._calls.call(method, params or {}, priority)

    @property
    def authenticated(self) -> bool:
        """Whether the application is logged in on the connection of this moment."""
        return self.login.authenticated

    def statistics(self) -> dict[str, object]:
        """What health shows; ``degraded`` means that prices flow but the key does not work."""
        return {
            "state": str(self.status.state or "connecting"),
            "reason": self.status.reason,
            "connections": self._connections,
            "wanted": len(self.subscriptions.tickers()),
            "confirmed": len(self.subscriptions.confirmed()),
            "refused": self.subscriptions.refused(),
            "login": self.login.statistics(),
            "degraded": self.login.degraded,
            "waiting_calls": len(self._calls),
        }
