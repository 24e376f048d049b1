"""The catalogue: every ticker the exchange offers, fetched each day, and the names nearest to a mistyped one.

Names are taken from the exchange and never derived: `PAXG-USDC` and `PAXG_USDC` both look right, and one of them fails.
"""

import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from difflib import get_close_matches

import anyio
import structlog
from anyio.abc import TaskStatus

from ..backoff import doubled
from ..errors import ExchangeError

__all__ = ["Catalogue", "CatalogueStatistics"]

log = structlog.get_logger(__name__)

DAY = 86_400
#: The pauses after failed fetches, which double. They may be long, since only new names depend on a fetch.
RETRY_SECONDS, LONGEST_RETRY_SECONDS = 15.0, 3600.0


@dataclass(frozen=True, slots=True)
class CatalogueStatistics:
    """How many tickers are known, when they were last fetched (UNIX seconds), and why the last fetch failed, if so."""

    tickers: int
    finished: int | None
    failure: str | None


class Catalogue:
    """The tickers of the exchange as last fetched; the configured ones are always known."""

    def __init__(
        self,
        fetch: Callable[[], Awaitable[Iterable[str]]],
        *,
        always: Iterable[str],
        wall: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        self._fetch = fetch
        self._always = frozenset(always)
        self._names = self._always
        self._wall = wall
        self._sleep = sleep
        self._fetched_at: float | None = None
        self._failure: str | None = None

    def __repr__(self) -> str:
        return f"<Catalogue {len(self._names)} tickers>"

    def statistics(self) -> CatalogueStatistics:
        """The state of the refresh."""
        fetched = None if self._fetched_at is None else int(self._fetched_at)
        return CatalogueStatistics(len(self._names), fetched, self._failure)

    def names(self) -> frozenset[str]:
        """Every known ticker."""
        return self._names

    def known(self, name: str) -> bool:
        """Whether the exchange offers the ticker, or it is configured."""
        return name in self._names

    def nearest(self, name: str) -> list[str]:
        """At most three known tickers that resemble ``name``, the closest first."""
        folded = {known.lower(): known for known in sorted(self._names)}
        # A long name is cut, because it is compared with thousands.
        return [folded[match] for match in get_close_matches(name[:64].lower(), folded, n=3, cutoff=0.6)]

    def changed(self, ticker: str, state: str) -> None:
        """Apply a change of state that the exchange reported for an instrument: list a new one, remove an ended one."""
        if state in ("created", "started"):
            self._names |= {ticker}
        elif state in ("closed", "deactivated", "terminated"):
            self._names -= {ticker} - self._always

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Fetch now and after each midnight UTC, until cancelled; a failed fetch is repeated with growing pauses."""
        task_status.started()
        failures = 0
        while True:
            try:
                self._names = self._always | frozenset(await self._fetch())
            except ExchangeError as exc:
                self._failure = str(exc)
                if not failures:
                    log.warning(
                        "catalogue not refreshed, known tickers stay", tickers=len(self._names), reason=str(exc)
                    )
                await self._sleep(doubled(RETRY_SECONDS, failures, cap_seconds=LONGEST_RETRY_SECONDS))
                failures += 1
                continue
            self._fetched_at, self._failure = self._wall(), None
            log.info("catalogue refreshed", tickers=len(self._names))
            failures = 0
            await self._sleep(DAY - self._fetched_at % DAY + 1)
